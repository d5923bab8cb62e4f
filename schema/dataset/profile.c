/* profile.c - the pass over each column, and the reported statistics. Sections: the sample, one column, associations, JSON. */
#include "schema/dataset/profile.h"

#include "schema/dataset/association.h"
#include "schema/dataset/frequency.h"
#include "schema/dataset/histogram.h"
#include "schema/text/number_print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCK = 4096, WINDOW_BYTES = 16 << 20 /* of the file: pages are released after this many */ };

static const double probabilities[] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
static const char *const probability_names[] = {"0", "0.05", "0.25", "0.5", "0.75", "0.95", "1"};
enum { QUANTILES = sizeof probabilities / sizeof *probabilities };

/* From this strength on the column probably leaks the target; with fewer rows it may be chance. */
static const double suspect_strength = 0.99;
enum { SUSPECT_ROWS = 20 };

struct entry {
    int32_t column;
    enum schema_association_kind kind;
    int64_t rows;
    double value, other, strength; /* Pearson and Spearman; eta; V */
};

/* What one profile works with. */
struct profile {
    const struct schema_dataset *dataset;
    const struct schema_profile_request *request;
    struct schema_text *out;
    int64_t *sample; /* row numbers, ascending */
    int64_t sample_count;
    double *x, *y, *rank_x, *rank_y; /* of the sample: the column and the target */
    int32_t *codes_x, *codes_y;
    struct schema_ranked *sorted, *sorted_y; /* each twice the sample */
    int64_t sorted_count, sorted_y_count;
    struct entry *entries;
    int32_t entries_count;
    int64_t window; /* rows after which pages are released */
};

/* ---- the sample ---- */

/* Drawn for a stretch: the finalizer of splitmix64. */
static uint64_t drawn(uint64_t z) {
    z = (z + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* One row of each of sample_count stretches of the dataset, which cover it. */
static void draw(struct profile *p) {
    const int64_t n = p->sample_count, base = p->dataset->rows / n, rest = p->dataset->rows % n;
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = i * base + i * rest / n, to = (i + 1) * base + (i + 1) * rest / n;
        p->sample[i] = from + (int64_t)(drawn((uint64_t)i) % (uint64_t)(to - from));
    }
}

/* ---- one column ---- */

static const struct schema_column *column_at(const struct profile *p, int32_t column) {
    return &p->dataset->columns[column];
}
static bool numeric(const struct schema_column *c) {
    return schema_type_of(c->type)->storage == SCHEMA_HELD_AS_NUMBER;
}
static bool coded(const struct schema_column *c) {
    return schema_type_of(c->type)->storage == SCHEMA_HELD_AS_CODE;
}

/* Rows of a column and of the target, as far as they are numbers or codes. */
struct block {
    double x[BLOCK], y[BLOCK];
    int32_t codes_x[BLOCK], codes_y[BLOCK];
    int64_t rows[BLOCK];
};

static void read_column(const struct profile *p, int32_t column, int64_t first, int64_t n, const int64_t *rows, double *numbers, int32_t *codes) {
    if (numeric(column_at(p, column))) schema_dataset_numbers(p->dataset, column, first, n, numbers);
    else if (coded(column_at(p, column))) schema_dataset_gather_codes(p->dataset, column, rows, n, codes);
}

static void associate(struct schema_association *a, const struct block *b, bool x_is_number, int64_t n) {
    switch (a->kind) {
    case SCHEMA_ASSOCIATION_NUMBERS: schema_association_numbers(a, b->x, b->y, n); break;
    case SCHEMA_ASSOCIATION_RATIO: schema_association_ratio(a, x_is_number ? b->x : b->y, x_is_number ? b->codes_y : b->codes_x, n); break;
    case SCHEMA_ASSOCIATION_TABLE:
        if (!a->sampled) schema_association_table(a, b->codes_x, b->codes_y, n);
        break;
    case SCHEMA_ASSOCIATION_NONE: break;
    }
}

/* Reads all rows of a column once: into the histogram, the association with the target (may be NULL) and the sample. -1: stopped. */
static int pass(struct profile *p, int32_t column, struct schema_histogram *histogram, struct schema_association *association, struct block *b) {
    const int32_t target = p->request->target;
    const bool is_number = numeric(column_at(p, column)), paired = association && association->kind != SCHEMA_ASSOCIATION_NONE;
    int64_t next = 0, kept = 0; /* the next row of the sample; rows that are still resident begin here */
    for (int64_t first = 0; first < p->dataset->rows; first += BLOCK) {
        const int64_t n = p->dataset->rows - first < BLOCK ? p->dataset->rows - first : BLOCK;
        for (int64_t i = 0; i < n; i++) b->rows[i] = first + i;
        read_column(p, column, first, n, b->rows, b->x, b->codes_x);
        if (paired) read_column(p, target, first, n, b->rows, b->y, b->codes_y);
        if (is_number) schema_histogram_add(histogram, b->x, n);
        if (paired) associate(association, b, is_number, n);
        for (; next < p->sample_count && p->sample[next] < first + n; next++) {
            if (is_number) p->x[next] = b->x[p->sample[next] - first];
            else p->codes_x[next] = b->codes_x[p->sample[next] - first];
        }
        if (first + n - kept < p->window && first + n < p->dataset->rows) continue;
        schema_dataset_release(p->dataset); /* all of it: the kernel maps more than requested around a fault */
        kept = first + n;
        if (p->request->stop && p->request->stop(p->request->context)) return -1;
    }
    return 0;
}

/* Between the two nearest of the sample, as numpy does by default (Hyndman and Fan's type 7). */
static double quantile(const struct profile *p, double probability) {
    const double place = (double)(p->sorted_count - 1) * probability;
    const int64_t at = (int64_t)place, above = at + 1 < p->sorted_count ? at + 1 : at;
    const double a = p->x[p->sorted[at].at], b = p->x[p->sorted[above].at], t = place - (double)at;
    if (!isfinite(b - a)) return a * (1 - t) + b * t;
    return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

/* ---- JSON ---- */

static void put(struct profile *p, const char *text) {
    schema_text_string(p->out, text);
}

static void put_number(struct profile *p, const char *before, double number) {
    char text[SCHEMA_NUMBER_PRINTED];
    put(p, before);
    if (isfinite(number)) schema_text_add(p->out, text, schema_number_print(number, text));
    else put(p, "null");
}

static void put_count(struct profile *p, const char *before, int64_t count) {
    schema_text_format(p->out, "%s%lld", before, (long long)count);
}

static void put_histogram(struct profile *p, const struct schema_histogram *h) {
    if (h->bins == 0) {
        put(p, ",\"histogram\":null");
        return;
    }
    put(p, h->by_value ? ",\"histogram\":{\"values\":[" : ",\"histogram\":{\"edges\":[");
    for (int32_t i = 0; i < h->bins + !h->by_value; i++) put_number(p, i ? "," : "", h->edges[i]);
    put(p, "],\"counts\":[");
    for (int32_t i = 0; i < h->bins; i++) put_count(p, i ? "," : "", h->counts[i]);
    put(p, "]}");
}

static void put_numbers(struct profile *p, const struct schema_column *c, const struct schema_histogram *h) {
    put(p, ",\"quantiles\":");
    for (int i = 0; i < QUANTILES && p->sorted_count > 0; i++) {
        const double value = i == 0 ? c->min : i == QUANTILES - 1 ? c->max : quantile(p, probabilities[i]);
        schema_text_format(p->out, "%s\"%s\"", i ? "," : "{", probability_names[i]);
        put_number(p, ":", value);
    }
    put(p, p->sorted_count > 0 ? "}" : "null");
    put_histogram(p, h);
}

static int put_categories(struct profile *p, const struct schema_column *c) {
    int32_t *order = c->categories ? schema_by_frequency(&c->categories->count, sizeof *c->categories, c->categories_count) : NULL;
    int64_t rest = 0; /* of labels a row may have several */
    for (int32_t i = 0; i < c->categories_count; i++) rest += c->categories[i].count;
    if (!order && c->categories_count > 0) return -1;
    put_count(p, ",\"categories_count\":", c->categories_count);
    put(p, ",\"categories\":[");
    for (int32_t i = 0; i < c->categories_count && i < SCHEMA_PROFILE_CATEGORIES; i++) {
        const struct schema_category *category = &c->categories[order[i]];
        put(p, i ? ",{\"value\":" : "{\"value\":");
        schema_text_json_string(p->out, category->value);
        put_count(p, ",\"count\":", category->count);
        put(p, "}");
        rest -= category->count;
    }
    put_count(p, "],\"other_count\":", rest);
    free(order);
    return 0;
}

static int put_column(struct profile *p, const struct schema_column *c, const struct schema_histogram *h) {
    put(p, "{\"name\":");
    schema_text_json_string(p->out, c->name);
    schema_text_format(p->out, ",\"type\":\"%s\"", schema_type_name(c->type));
    put_count(p, ",\"count\":", p->dataset->rows - c->missing);
    put_count(p, ",\"missing\":", c->missing);
    if (schema_type_of(c->type)->categories_max > 0 && put_categories(p, c) != 0) return -1;
    if (!coded(c)) {
        put_number(p, ",\"min\":", c->min), put_number(p, ",\"max\":", c->max);
        put_number(p, ",\"mean\":", c->mean), put_number(p, ",\"std\":", c->std);
    }
    if (numeric(c)) put_numbers(p, c, h);
    put(p, "}");
    return 0;
}

/* ---- associations ---- */

static int add_association(struct profile *p, int32_t column, struct schema_association *a) {
    struct entry *t = &p->entries[p->entries_count++];
    const int64_t n = p->sample_count;
    *t = (struct entry){.column = column, .kind = a->kind};
    switch (a->kind) {
    case SCHEMA_ASSOCIATION_NUMBERS:
        t->value = schema_association_pearson(a);
        schema_ranks(p->sorted, p->sorted_count, p->y, p->rank_x);
        schema_ranks(p->sorted_y, p->sorted_y_count, p->x, p->rank_y);
        t->other = schema_association_spearman(p->rank_x, p->rank_y, p->x, p->y, n);
        t->strength = isnan(t->other) || fabs(t->value) > fabs(t->other) ? fabs(t->value) : fabs(t->other);
        break;
    case SCHEMA_ASSOCIATION_RATIO: t->value = schema_association_eta(a, &t->strength); break;
    case SCHEMA_ASSOCIATION_TABLE:
        if (a->sampled && schema_association_pairs(a, p->codes_x, p->codes_y, n, &t->value) != 0) return -1;
        if (!a->sampled && schema_association_cramers_v(a, &t->value) != 0) return -1;
        t->strength = t->value;
        break;
    case SCHEMA_ASSOCIATION_NONE: p->entries_count--; break;
    }
    t->rows = a->rows;
    return 0;
}

/* The strongest first, those without a measure last; among equals in the order of the columns. */
static int stronger(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    const double s = isnan(x->strength) ? -1 : x->strength, t = isnan(y->strength) ? -1 : y->strength;
    if (s != t) return s > t ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

static void put_associations(struct profile *p) {
    if (p->entries_count > 1) qsort(p->entries, (size_t)p->entries_count, sizeof *p->entries, stronger);
    for (int32_t i = 0; i < p->entries_count; i++) {
        const struct entry *t = &p->entries[i];
        put(p, i ? ",{\"column\":" : "{\"column\":");
        schema_text_json_string(p->out, column_at(p, t->column)->name);
        put_count(p, ",\"rows\":", t->rows);
        if (t->kind == SCHEMA_ASSOCIATION_NUMBERS) put_number(p, ",\"pearson\":", t->value), put_number(p, ",\"spearman\":", t->other);
        else put_number(p, t->kind == SCHEMA_ASSOCIATION_RATIO ? ",\"eta\":" : ",\"cramers_v\":", t->value);
        put_number(p, ",\"strength\":", t->strength);
        put(p, t->strength >= suspect_strength && t->rows >= SUSPECT_ROWS ? ",\"leakage_suspect\":true}" : ",\"leakage_suspect\":false}");
    }
}

/* ---- all of it ---- */

static int profile_column(struct profile *p, int32_t column, struct block *b) {
    const struct schema_column *c = column_at(p, column);
    const int32_t target = p->request->target;
    struct schema_histogram histogram;
    struct schema_association association = {0};
    int failed = 0;
    schema_histogram_start(&histogram, c);
    if (target >= 0 && target != column) failed = schema_association_start(&association, c, column_at(p, target));
    p->sorted_count = 0;
    if (!failed && (numeric(c) || association.kind != SCHEMA_ASSOCIATION_NONE)) failed = pass(p, column, &histogram, &association, b);
    if (!failed && numeric(c)) p->sorted_count = schema_ranks_sort(p->x, p->sample_count, p->sorted, p->sorted + p->sample_count);
    if (!failed) failed = put_column(p, c, &histogram);
    if (!failed && target >= 0 && target != column) failed = add_association(p, column, &association);
    schema_association_clear(&association);
    return failed;
}

/* The target's part of the sample, which stays. */
static int read_target(struct profile *p, struct block *b) {
    const int32_t target = p->request->target;
    const size_t n = (size_t)p->sample_count;
    struct schema_histogram unused = {0};
    if (target < 0) return 0;
    if (pass(p, target, &unused, NULL, b) != 0) return -1;
    memcpy(p->y, p->x, n * sizeof *p->y);
    memcpy(p->codes_y, p->codes_x, n * sizeof *p->codes_y);
    if (numeric(column_at(p, target))) p->sorted_y_count = schema_ranks_sort(p->y, (int64_t)n, p->sorted_y, p->sorted_y + n);
    return 0;
}

static int run(struct profile *p, struct block *b) {
    const struct schema_profile_request *request = p->request;
    put_count(p, "\"rows\":", p->dataset->rows);
    put_count(p, ",\"sampled_rows\":", p->sample_count);
    put(p, ",\"target\":");
    if (request->target < 0) put(p, "null");
    else schema_text_json_string(p->out, column_at(p, request->target)->name);
    draw(p);
    if (read_target(p, b) != 0) return -1;
    put(p, ",\"columns\":[");
    for (int32_t i = 0; i < request->columns_count; i++) {
        if (i) put(p, ",");
        if (profile_column(p, request->columns[i], b) != 0) return -1;
    }
    put(p, "],\"associations\":[");
    put_associations(p);
    put(p, "]");
    return p->out->failed ? -1 : 0;
}

/* What the sample needs in one piece, which goes back to the system with the answer. */
struct sample_memory {
    int64_t rows[SCHEMA_PROFILE_SAMPLE];
    double x[SCHEMA_PROFILE_SAMPLE], y[SCHEMA_PROFILE_SAMPLE], rank_x[SCHEMA_PROFILE_SAMPLE], rank_y[SCHEMA_PROFILE_SAMPLE];
    int32_t codes_x[SCHEMA_PROFILE_SAMPLE], codes_y[SCHEMA_PROFILE_SAMPLE];
    struct schema_ranked sorted[2 * SCHEMA_PROFILE_SAMPLE], sorted_y[2 * SCHEMA_PROFILE_SAMPLE];
    struct block block;
};

int schema_dataset_profile(const struct schema_dataset *dataset, const struct schema_profile_request *request, struct schema_text *out) {
    struct sample_memory *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) return -1;
    struct profile p = {.dataset = dataset,
                        .request = request,
                        .out = out,
                        .sample = m->rows,
                        .x = m->x,
                        .y = m->y,
                        .rank_x = m->rank_x,
                        .rank_y = m->rank_y,
                        .codes_x = m->codes_x,
                        .codes_y = m->codes_y,
                        .sorted = m->sorted,
                        .sorted_y = m->sorted_y};
    p.sample_count = dataset->rows < SCHEMA_PROFILE_SAMPLE ? dataset->rows : SCHEMA_PROFILE_SAMPLE;
    p.window = dataset->bytes > 0 ? (int64_t)((double)dataset->rows * WINDOW_BYTES / (double)dataset->bytes) : 0;
    p.entries = calloc((size_t)request->columns_count + 1, sizeof *p.entries);
    const int failed = p.entries && p.sample_count > 0 ? run(&p, &m->block) : -1;
    free(p.entries);
    munmap(m, sizeof *m);
    return failed;
}
