/* text.c - texts to numbers: the vocabulary of the training rows, bags of words, hashed words, sequences of words. */
#include "schema/dataset/cell_dictionary.h"
#include "schema/dataset/frequency.h"
#include "schema/preprocessing/feature.h"
#include "schema/text/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FITTED_ROWS = 100000, WORDS_MAX = 2000000, FEW_ROWS = 50, LENGTH_MAX = 256 };

/* ---- fitting ------------------------------------------------------------------------------------------------------------ */

/* The words of the rows looked at. */
struct census {
    struct schema_dictionary words;
    int64_t *rows; /* per word: how many rows have it */
    int64_t *last; /* per word: the last row that has it */
    int32_t room;
    int64_t *lengths, count; /* per row with a text: its words; how many such rows */
};

static void census_clear(struct census *c) {
    schema_dictionary_clear(&c->words);
    free(c->rows);
    free(c->last);
    free(c->lengths);
}

static int count_word(struct census *c, const struct schema_words *w, int64_t row) {
    int32_t at = schema_dictionary_find(&c->words, w->word, w->size);
    if (at < 0) {
        if (c->words.count >= WORDS_MAX) return 0; /* such a late one is not among the frequent */
        if ((at = schema_dictionary_add(&c->words, w->word, w->size, w->word, w->size)) < 0) return -1;
        if (at >= c->room) {
            const int32_t room = c->room ? c->room * 2 : 1024;
            int64_t *rows = realloc(c->rows, (size_t)room * sizeof *rows);
            if (rows) c->rows = rows;
            int64_t *last = rows ? realloc(c->last, (size_t)room * sizeof *last) : NULL;
            if (!last) return -1;
            c->last = last, c->room = room;
        }
        c->rows[at] = 0, c->last[at] = -1;
    }
    c->rows[at] += c->last[at] != row;
    c->last[at] = row;
    return 0;
}

/* If there are many rows, only every n-th is read. */
static int take_census(struct census *c, const struct schema_fit *fit, int32_t column, locale_t locale) {
    const int64_t step = fit->n / FITTED_ROWS + 1;
    if (!(c->lengths = malloc(((size_t)(fit->n / step) + 1) * sizeof *c->lengths))) return -1;
    for (int64_t i = 0; i < fit->n; i += step) {
        size_t size;
        const char *text = schema_dataset_text(fit->dataset, column, fit->rows[i], &size);
        int64_t length = 0;
        if (!text) continue;
        struct schema_words w = {.at = text, .end = text + size, .locale = locale};
        for (; schema_words_next(&w); length++)
            if (count_word(c, &w, i) != 0) return -1;
        c->lengths[c->count++] = length;
    }
    return 0;
}

/* A word of only one row is not informative for others, unless there are few rows. */
static int choose_words(struct schema_feature *f, const struct census *c) {
    const int64_t least = c->count >= FEW_ROWS ? 2 : 1;
    int32_t *order = schema_by_frequency(c->rows, sizeof *c->rows, c->words.count), n = 0;
    if (!order) return -1;
    while (n < c->words.count && n < f->options.vocabulary && c->rows[order[n]] >= least) n++;
    f->categories = calloc((size_t)n + 1, sizeof *f->categories);
    f->idf = f->options.encode == SCHEMA_ENCODE_BAG_OF_WORDS ? calloc((size_t)n + 1, sizeof *f->idf) : NULL;
    bool memory = f->categories && (f->idf || f->options.encode != SCHEMA_ENCODE_BAG_OF_WORDS);
    for (int32_t i = 0; memory && i < n; i++) {
        memory = (f->categories[i] = strdup(schema_dictionary_value(&c->words, order[i]))) != NULL;
        f->categories_count += memory;
        if (f->idf) f->idf[i] = log((1.0 + (double)c->count) / (1.0 + (double)c->rows[order[i]])) + 1;
    }
    free(order);
    return memory ? schema_feature_hash(f) : -1;
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* So long that 95 of 100 texts fit. */
static int32_t usual_length(struct census *c) {
    qsort(c->lengths, (size_t)c->count, sizeof *c->lengths, compare);
    const int64_t length = c->count ? c->lengths[(c->count - 1) * 95 / 100] : 1;
    return length < 1 ? 1 : length > LENGTH_MAX ? LENGTH_MAX : (int32_t)length;
}

int schema_feature_locale(struct schema_preprocessing *p, struct bp_error *error) {
    return p->locale || (p->locale = schema_words_locale(error)) ? 0 : -1;
}

int schema_texts_fit(struct schema_feature *f, const struct schema_fit *fit, int32_t column, locale_t locale, struct bp_error *error) {
    struct census c = {0};
    if (!f->options.vocabulary) f->options.vocabulary = SCHEMA_VOCABULARY;
    if (!f->options.buckets) f->options.buckets = SCHEMA_BUCKETS;
    if (f->options.encode == SCHEMA_ENCODE_HASHED) return 0;
    const int failed = take_census(&c, fit, column, locale) || choose_words(f, &c);
    if (!failed && f->options.encode == SCHEMA_ENCODE_TOKENS && !f->options.length) f->options.length = usual_length(&c);
    census_clear(&c);
    if (failed) return bp_error_memory(error, "no memory for the words of column \"%.60s\"", f->name);
    if (f->categories_count == 0)
        return bp_error_set(error, "/features", "column \"%.60s\" has no word that occurs twice in the training rows; leave it out of features",
                            f->name);
    return 0;
}

/* ---- the transform ------------------------------------------------------------------------------------------------------ */

static void to_length_one(float *out, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (double)out[i] * (double)out[i];
    const double length = sqrt(sum);
    for (int32_t i = 0; sum > 0 && i < n; i++) out[i] = (float)((double)out[i] / length);
}

static void bag_of_words(const struct schema_feature *f, struct schema_words *w, float *out) {
    memset(out, 0, (size_t)f->categories_count * sizeof *out);
    while (schema_words_next(w)) {
        const int32_t at = schema_feature_category(f, w->word, w->size);
        if (at >= 0) out[at] += 1;
    }
    for (int32_t i = 0; i < f->categories_count; i++)
        if (out[i] > 0) out[i] = (float)((1 + log((double)out[i])) * f->idf[i]);
    to_length_one(out, f->categories_count);
}

/* FNV-1a, its bits spread once more (the finalizer of MurmurHash3). */
static uint32_t hash_of(const char *word, size_t size) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) h = (h ^ (unsigned char)word[i]) * 16777619u;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    return h ^ h >> 16;
}

static void hashed(const struct schema_feature *f, struct schema_words *w, float *out) {
    const uint32_t buckets = (uint32_t)f->options.buckets;
    memset(out, 0, buckets * sizeof *out);
    while (schema_words_next(w)) {
        const uint32_t h = hash_of(w->word, w->size);
        out[(h >> 1) % buckets] += h & 1 ? 1.0f : -1.0f;
    }
    for (uint32_t i = 0; i < buckets; i++)
        if (out[i] != 0) out[i] = copysignf((float)(1 + log(fabs((double)out[i]))), out[i]);
    to_length_one(out, (int32_t)buckets);
}

static void tokens(const struct schema_feature *f, struct schema_words *w, float *out) {
    int32_t n = 0;
    for (; n < f->options.length && schema_words_next(w); n++) out[n] = (float)(schema_feature_category(f, w->word, w->size) + 2);
    for (; n < f->options.length; n++) out[n] = 0;
}

void schema_text_apply(const struct schema_preprocessing *p, const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    const bool there = cell->kind == SCHEMA_VALUE_TEXT;
    struct schema_words w = {.at = there ? cell->text : "", .locale = p->locale};
    w.end = w.at + (there ? cell->size : 0);
    if (f->options.encode == SCHEMA_ENCODE_TOKENS) tokens(f, &w, out);
    else if (f->options.encode == SCHEMA_ENCODE_HASHED) hashed(f, &w, out);
    else bag_of_words(f, &w, out);
}
