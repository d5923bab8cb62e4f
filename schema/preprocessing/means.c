/* means.c - categories encoded by the mean target of their training rows (Micci-Barreca 2001). For category c with n_c rows that sum up
 * to s_c, and the mean p of all training rows: (s_c + m p) / (n_c + m), m being `smoothing`. Of a class target the mean is the share of each class
 * (of the second alone where there are two); of a number it is in its own unit. What is missing, rare or unseen is one more category.
 *
 * A training row that saw a mean in which its own target counts would learn to read the answer off it. So training rows are divided into
 * SCHEMA_TARGET_ENCODING_FOLDS by their number, and each uses the means of the other folds' rows. Those tables follow from the data and are not
 * stored. */
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 4 << 20 };

int32_t schema_means_fold(int64_t row) {
    uint64_t z = ((uint64_t)row + 1) * UINT64_C(0x9E3779B97F4A7C15); /* the finalizer of splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (int32_t)((z ^ (z >> 31)) % SCHEMA_TARGET_ENCODING_FOLDS);
}

static bool encoded(const struct schema_feature *f) {
    return f->options.encode == SCHEMA_ENCODE_TARGET;
}

static int32_t width_of(const struct schema_target *t) {
    if (t->shape.rank > 0) return 0;
    return t->classification && t->labels_count > 2 ? t->labels_count : 1;
}

/* Per fold and category: how many rows, and the sums of each number. */
struct tally {
    int32_t categories, width; /* categories: with the one for the rest */
    double *rows;              /* (SCHEMA_TARGET_ENCODING_FOLDS, categories) */
    double *sums;              /* (SCHEMA_TARGET_ENCODING_FOLDS, categories, width) */
};

static bool tally_open(struct tally *t, const struct schema_feature *f) {
    *t = (struct tally){.categories = f->categories_count + 1, .width = f->means_width};
    const size_t cells = (size_t)SCHEMA_TARGET_ENCODING_FOLDS * (size_t)t->categories;
    t->rows = calloc(cells, sizeof *t->rows);
    t->sums = calloc(cells * (size_t)t->width, sizeof *t->sums);
    return t->rows && t->sums;
}

static void tally_close(struct tally *t) {
    free(t->rows);
    free(t->sums);
}

static size_t cell_of(const struct tally *t, int64_t row, int32_t category) {
    return (size_t)schema_means_fold(row) * (size_t)t->categories + (size_t)(category < 0 ? t->categories - 1 : category);
}

/* Some rows' numbers of one target are added up. */
static void add_target(struct tally *t, const struct schema_target *target, int32_t offset, const size_t *cells, const double *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double *sums = t->sums + cells[i] * (size_t)t->width + offset;
        if (isnan(y[i])) continue;
        if (!target->classification) sums[0] += y[i] * target->std + target->mean;
        else if (target->labels_count > 2) sums[(int32_t)y[i]] += 1;
        else sums[0] += y[i];
    }
}

static void count_rows(struct tally *t, const struct schema_view *view, int32_t feature, const int64_t *rows, int64_t n) {
    double y[SCHEMA_ROWS_MAX];
    int32_t codes[SCHEMA_ROWS_MAX];
    size_t cells[SCHEMA_ROWS_MAX];
    for (int64_t first = 0; first < n; first += SCHEMA_ROWS_MAX) {
        const int64_t some = n - first < SCHEMA_ROWS_MAX ? n - first : SCHEMA_ROWS_MAX;
        int32_t offset = 0;
        schema_dataset_gather_codes(view->dataset, view->columns[feature], rows + first, some, codes);
        for (int64_t i = 0; i < some; i++) {
            cells[i] = cell_of(t, rows[first + i], codes[i] < 0 ? -1 : view->categories[feature][codes[i]]);
            t->rows[cells[i]] += 1;
        }
        for (int32_t k = 0; k < view->preprocessing->targets_count; k++) {
            const struct schema_target *target = &view->preprocessing->targets[k];
            if (width_of(target) == 0) continue;
            schema_view_targets(view, k, rows + first, some, y);
            add_target(t, target, offset, cells, y, some);
            offset += width_of(target);
        }
    }
}

/* The means without the rows of a fold; -1: with all. */
static void means_without(const struct tally *t, double smoothing, int32_t fold, double *means) {
    const size_t categories = (size_t)t->categories, width = (size_t)t->width;
    for (size_t w = 0; w < width; w++) {
        double all = 0, all_rows = 0;
        for (int pass = 0; pass < 2; pass++) /* the mean of all first */
            for (size_t c = 0; c < categories; c++) {
                double sum = 0, rows = 0;
                for (int32_t k = 0; k < SCHEMA_TARGET_ENCODING_FOLDS; k++) {
                    const size_t cell = (size_t)k * categories + c;
                    if (k == fold) continue;
                    sum += t->sums[cell * width + w];
                    rows += t->rows[cell];
                }
                const double prior = all_rows > 0 ? all / all_rows : 0;
                if (pass == 0) all += sum, all_rows += rows;
                else means[c * width + w] = rows + smoothing > 0 ? (sum + smoothing * prior) / (rows + smoothing) : prior;
            }
    }
}

/* Mean and deviation of what the training rows see. */
static void fit_scale(struct schema_feature *f, const struct tally *t, double *means) {
    struct schema_moments m = {0};
    for (int32_t fold = 0; fold < SCHEMA_TARGET_ENCODING_FOLDS; fold++) {
        means_without(t, f->options.smoothing, fold, means);
        for (int32_t c = 0; c < t->categories; c++)
            for (double k = 0; k < t->rows[(size_t)fold * (size_t)t->categories + (size_t)c]; k++)
                for (int32_t w = 0; w < t->width; w++) schema_moments_add(&m, means[(size_t)c * (size_t)t->width + (size_t)w]);
    }
    schema_moments_result(&m, &f->mean, &f->std);
}

static int fit_feature(struct schema_feature *f, int32_t i, const struct schema_view *view, const struct schema_fit *fit, struct bp_error *error) {
    struct tally tally = {0};
    f->means_width = 0;
    for (int32_t k = 0; k < fit->targets_count; k++) f->means_width += width_of(&view->preprocessing->targets[k]);
    if (f->means_width == 0)
        return bp_error_set(error, "/columns", "column \"%.60s\": encode \"target\" needs a class or a number as the target, not a tensor", f->name);
    const int64_t size = ((int64_t)f->categories_count + 1) * f->means_width;
    if (size * SCHEMA_TARGET_ENCODING_FOLDS > TABLE_MAX)
        return bp_error_set(error, "/columns", "column \"%.60s\": encode \"target\" needs %lld means (%d categories, %d numbers each), more than %d",
                            f->name, (long long)size, f->categories_count, f->means_width, TABLE_MAX / SCHEMA_TARGET_ENCODING_FOLDS);
    f->means = calloc((size_t)size, sizeof *f->means);
    const bool memory = f->means && tally_open(&tally, f);
    if (memory) {
        count_rows(&tally, view, i, fit->rows, fit->n);
        fit_scale(f, &tally, f->means);
        means_without(&tally, f->options.smoothing, -1, f->means);
    }
    tally_close(&tally);
    return memory ? 0 : bp_error_memory(error, "out of memory");
}

int schema_means_fit(const struct schema_fit *fit, struct schema_preprocessing *p, struct bp_error *error) {
    struct schema_view *view = NULL;
    int failed = 0;
    for (int32_t i = 0; !failed && i < p->features_count; i++) {
        if (!encoded(&p->features[i])) continue;
        if (!view && !(view = schema_view_new(p, fit->dataset, true, error))) return -1;
        failed = fit_feature(&p->features[i], i, view, fit, error);
    }
    schema_view_free(view);
    return failed;
}

int schema_view_leave_folds_out(struct schema_view *view, const int64_t *rows, int64_t n, struct bp_error *error) {
    const struct schema_preprocessing *p = view->preprocessing;
    for (int32_t i = 0; i < p->features_count; i++) {
        const struct schema_feature *f = &p->features[i];
        struct tally tally = {0};
        if (!encoded(f) || !view->categories[i]) continue;
        const size_t size = ((size_t)f->categories_count + 1) * (size_t)f->means_width;
        if (!view->folds) view->folds = calloc((size_t)p->features_count + 1, sizeof *view->folds);
        if (view->folds && !view->folds[i]) view->folds[i] = malloc(SCHEMA_TARGET_ENCODING_FOLDS * size * sizeof **view->folds);
        const bool memory = view->folds && view->folds[i] && tally_open(&tally, f);
        if (memory) {
            count_rows(&tally, view, i, rows, n);
            for (int32_t fold = 0; fold < SCHEMA_TARGET_ENCODING_FOLDS; fold++)
                means_without(&tally, f->options.smoothing, fold, view->folds[i] + (size_t)fold * size);
        }
        tally_close(&tally);
        if (!memory) return bp_error_memory(error, "out of memory");
    }
    return 0;
}

/* A row of numbers for each category, and the last for the rest. */
json_t *schema_means_encode(const struct schema_feature *f) {
    json_t *list = json_array();
    for (size_t c = 0; c <= (size_t)f->categories_count; c++)
        json_array_append_new(list, schema_reals_encode(f->means + c * (size_t)f->means_width, (size_t)f->means_width));
    return list;
}

int schema_means_decode(const json_t *list, struct schema_feature *f) {
    const size_t rows = (size_t)f->categories_count + 1, width = json_array_size(json_array_get(list, 0));
    if (json_array_size(list) != rows || width < 1 || width > 1 << 20) return -1;
    f->means_width = (int32_t)width;
    if (!(f->means = calloc(rows * width, sizeof *f->means))) return -1;
    for (size_t c = 0; c < rows; c++)
        if (!schema_reals_decode(json_array_get(list, c), f->means + c * width, width)) return -1;
    return 0;
}
