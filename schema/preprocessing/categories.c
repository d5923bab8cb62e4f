/* categories.c - categories to numbers: the table by text, which the words of texts use too, the fit on the training rows, the transform. */
#include "schema/preprocessing/feature.h"

#include "schema/dataset/frequency.h"
#include "schema/text/number.h"

#include <stdlib.h>
#include <string.h>

enum { CATEGORIES_MAX = 20000 };

/* ---- the table of texts ---------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *text, size_t size) {
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

/* What a category is compared by; a word by itself. */
static const char *key_of(const struct schema_feature *f, const char *text, size_t *size, char key[static 32]) {
    return schema_type_of(f->type)->value == SCHEMA_VALUE_TEXT ? text : schema_category_key(text, size, key);
}

int32_t schema_feature_category(const struct schema_feature *f, const char *text, size_t size) {
    char number[32], other[32];
    size_t n = size;
    const char *key = key_of(f, text, &n, number);
    if (f->hash_size == 0) return -1;
    for (uint32_t at = hash_of(key, n) & (f->hash_size - 1); f->hash[at] >= 0; at = (at + 1) & (f->hash_size - 1)) {
        const char *category = f->categories[f->hash[at]];
        size_t m = strlen(category);
        const char *known = key_of(f, category, &m, other);
        if (n == m && memcmp(key, known, n) == 0) return f->hash[at];
    }
    return -1;
}

int schema_feature_hash(struct schema_feature *f) {
    uint32_t size = 4;
    while (size < 2u * (uint32_t)f->categories_count) size *= 2;
    f->hash = malloc(size * sizeof *f->hash);
    if (!f->hash) return -1;
    f->hash_size = size;
    for (uint32_t i = 0; i < size; i++) f->hash[i] = -1;
    for (int32_t c = 0; c < f->categories_count; c++) {
        char number[32];
        size_t n = strlen(f->categories[c]);
        const char *key = key_of(f, f->categories[c], &n, number);
        uint32_t at = hash_of(key, n) & (size - 1);
        while (f->hash[at] >= 0) at = (at + 1) & (size - 1);
        f->hash[at] = c;
    }
    return 0;
}

/* ---- fitting ------------------------------------------------------------------------------------------------------------- */

struct category {
    char *text;
    int64_t count;
};

/* Numbers by value, then texts. */
static int compare_categories(const void *a, const void *b) {
    const char *x = ((const struct category *)a)->text, *y = ((const struct category *)b)->text;
    char *x_end, *y_end;
    const double u = strtod(x, &x_end), v = strtod(y, &y_end);
    if (*x && *y && !*x_end && !*y_end && u != v) return u < v ? -1 : 1;
    return strcmp(x, y);
}

/* ORDINAL, EMBEDDING: sorts the categories; for ORDINAL also the scale, over the training rows' counts. */
static int place(struct schema_feature *f, const int64_t *counts) {
    const int32_t n = f->categories_count;
    struct category *sorted = calloc((size_t)n + 1, sizeof *sorted);
    struct schema_moments m = {0};
    if (!sorted) return -1;
    for (int32_t i = 0; i < n; i++) sorted[i] = (struct category){f->categories[i], counts[i]};
    qsort(sorted, (size_t)n, sizeof *sorted, compare_categories);
    for (int32_t i = 0; i < n; i++) {
        f->categories[i] = sorted[i].text;
        for (int64_t k = 0; k < sorted[i].count; k++) schema_moments_add(&m, i);
    }
    free(sorted);
    if (f->options.encode == SCHEMA_ENCODE_ORDINAL) schema_moments_result(&m, &f->mean, &f->std);
    return 0;
}

/* Drops the rare ones, and all but the most frequent: the options give the numbers. */
static void keep_frequent(struct schema_feature *f, int64_t *seen, int32_t count) {
    int32_t there = 0;
    if (!f->options.categories_max) f->options.categories_max = SCHEMA_CATEGORIES_MAX;
    if (!f->options.categories_min_count) f->options.categories_min_count = 1;
    for (int32_t k = 0; k < count; k++) {
        if (seen[k] == 0) continue;
        if (seen[k] < f->options.categories_min_count) seen[k] = 0, f->rare++;
        else there++;
    }
    if (there <= f->options.categories_max) return;
    int32_t *order = schema_by_frequency(seen, sizeof *seen, count);
    if (!order) return; /* the next check reports that there are too many */
    for (int32_t k = f->options.categories_max; k < count; k++) seen[order[k]] = 0;
    f->left_out = there - f->options.categories_max;
    free(order);
}

int schema_categories_fit(struct schema_feature *f, const struct schema_fit *fit, int32_t column, struct bp_error *error) {
    const struct schema_dataset *d = fit->dataset;
    const int64_t *rows = fit->rows, n = fit->n;
    const struct schema_column *c = &d->columns[column];
    int64_t *seen = calloc((size_t)c->categories_count + 1, sizeof *seen), there = 0; /* rows of each category */
    f->categories = calloc((size_t)c->categories_count + 1, sizeof *f->categories);
    if (!seen || !f->categories) {
        free(seen);
        return bp_error_memory(error, "no memory for %d categories", c->categories_count);
    }
    for (int64_t first = 0; first < n; first += SCHEMA_ROWS_MAX) {
        int32_t codes[SCHEMA_ROWS_MAX];
        const int64_t some = n - first < SCHEMA_ROWS_MAX ? n - first : SCHEMA_ROWS_MAX;
        schema_dataset_gather_codes(d, column, rows + first, some, codes);
        for (int64_t i = 0; i < some; i++)
            if (codes[i] >= 0) seen[codes[i]]++, there++;
    }
    keep_frequent(f, seen, c->categories_count);
    for (int32_t k = 0; k < c->categories_count; k++)
        if (seen[k] && (f->categories[f->categories_count] = strdup(c->categories[k].value))) seen[f->categories_count++] = seen[k];
    f->constant = f->categories_count == 1 && there == n && seen[0] == n;
    const bool placed = (f->options.encode != SCHEMA_ENCODE_ORDINAL && f->options.encode != SCHEMA_ENCODE_EMBEDDING) || place(f, seen) == 0;
    free(seen);
    if (!placed) return bp_error_memory(error, "out of memory");
    if (f->categories_count > CATEGORIES_MAX)
        return bp_error_set(error, "/features",
                            "column \"%.80s\" has %d distinct values in the training rows, more than %d; leave it out of features", c->name,
                            f->categories_count, CATEGORIES_MAX);
    return schema_feature_hash(f);
}

/* ---- the transform -------------------------------------------------------------------------------------------------------- */

bool schema_category_is_one_hot(const struct schema_feature *f) {
    switch (f->options.encode) {
    case SCHEMA_ENCODE_EMBEDDING:
    case SCHEMA_ENCODE_TARGET:
    case SCHEMA_ENCODE_ORDINAL: return false;
    case SCHEMA_ENCODE_COMPACT: return f->categories_count != 2;
    default: return true;
    }
}

void schema_category_apply(const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    const bool known = f->constant || (cell->kind == SCHEMA_VALUE_CATEGORY && cell->category >= 0);
    const int32_t category = f->constant ? 0 : cell->category;
    if (f->options.encode == SCHEMA_ENCODE_EMBEDDING) {
        out[0] = known ? (float)(category + 1) : 0.0f;
        return;
    }
    if (f->options.encode == SCHEMA_ENCODE_TARGET) {
        const double *means = cell->kind == SCHEMA_VALUE_CATEGORY && cell->means ? cell->means : f->means;
        means += (size_t)(known ? category : f->categories_count) * (size_t)f->means_width;
        for (int32_t w = 0; w < f->means_width; w++) out[w] = (float)((means[w] - f->mean) / f->std);
        return;
    }
    if (f->options.encode == SCHEMA_ENCODE_ORDINAL) {
        out[0] = known ? (float)((category - f->mean) / f->std) : 0.0f;
        return;
    }
    if (f->options.encode == SCHEMA_ENCODE_COMPACT && f->categories_count == 2) {
        out[0] = !known ? 0.0f : category ? 1.0f : -1.0f;
        return;
    }
    memset(out, 0, (size_t)f->width * sizeof *out);
    if (known) out[category] = 1.0f;
    else if (f->options.unseen != SCHEMA_UNSEEN_IGNORE) out[f->categories_count] = 1.0f;
}

int schema_categories_decode(const json_t *json, const char *name, struct schema_feature *f) {
    const json_t *list = json_object_get(json, name);
    f->categories = schema_strings_decode(list, &f->categories_count);
    return f->categories && (size_t)f->categories_count == json_array_size(list) ? schema_feature_hash(f) : -1;
}
