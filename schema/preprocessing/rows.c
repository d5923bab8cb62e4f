/* rows.c - rows of a dataset through a fitted preprocessing: targets, weights, and which rows are usable for training. Inputs are in stretch.c. */
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- targets and weights --------------------------------------------------------------------------------------------------- */

/* Classes of numbers, in place. A label is a text: each number is printed and looked up once, as long as it keeps its slot. */
static void classify(const struct schema_target *target, int64_t n, double *numbers) {
    enum { SLOTS = 32 };
    struct {
        uint64_t bits;
        int32_t label;
        bool used;
    } slots[SLOTS] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &numbers[i], sizeof bits);
        const size_t at = (size_t)(bits * 0x9E3779B97F4A7C15u >> 59);
        if (!slots[at].used || slots[at].bits != bits) {
            slots[at].label = schema_target_class(target, numbers[i]);
            slots[at].bits = bits;
            slots[at].used = true;
        }
        numbers[i] = slots[at].label < 0 ? (double)NAN : slots[at].label;
    }
}

static void coded_targets(const struct schema_view *view, int32_t k, const int64_t *rows, int64_t n, double *out) {
    int32_t codes[SCHEMA_STRETCH];
    for (int64_t first = 0; first < n; first += SCHEMA_STRETCH) {
        const int64_t some = n - first < SCHEMA_STRETCH ? n - first : SCHEMA_STRETCH;
        schema_dataset_gather_codes(view->dataset, view->targets[k], rows + first, some, codes);
        for (int64_t i = 0; i < some; i++) {
            const int32_t label = codes[i] < 0 ? -1 : view->classes[k][codes[i]];
            out[first + i] = label < 0 ? (double)NAN : label;
        }
    }
}

void schema_view_targets(const struct schema_view *view, int32_t k, const int64_t *rows, int64_t n, double *out) {
    const struct schema_target *t = &view->preprocessing->targets[k];
    if (view->classes[k]) {
        coded_targets(view, k, rows, n, out);
        return;
    }
    schema_dataset_gather(view->dataset, view->targets[k], rows, n, out); /* NaN without such a column */
    if (t->classification) classify(t, n, out);
    else
        for (int64_t i = 0; i < n; i++) out[i] = schema_target_number(t, out[i]);
}

double schema_view_target(const struct schema_view *view, int32_t k, int64_t row) {
    double y;
    schema_view_targets(view, k, &row, 1, &y);
    return y;
}

void schema_view_weights(const struct schema_view *view, const int64_t *rows, int64_t n, double *out) {
    if (view->sample_weight >= 0) schema_dataset_gather(view->dataset, view->sample_weight, rows, n, out);
    else
        for (int64_t i = 0; i < n; i++) out[i] = 1;
}

/* ---- which rows are usable for training -------------------------------------------------------------------------------------------- */

static int complete_tensor(const struct schema_view *view, int32_t k, const int64_t *rows, int32_t n, bool *out) {
    float *cell = malloc((size_t)schema_target_size(&view->preprocessing->targets[k]) * sizeof *cell);
    for (int32_t i = 0; cell && i < n; i++) out[i] = out[i] && schema_view_target_tensor(view, k, rows[i], cell);
    free(cell);
    return cell ? 0 : -1;
}

/* Rows whose cell of the column is missing are not usable. Some numbers of a tensor may be. */
static void present(const struct schema_view *view, int32_t column, const int64_t *rows, int32_t n, bool *out) {
    double numbers[SCHEMA_ROWS_MAX];
    int32_t codes[SCHEMA_ROWS_MAX];
    size_t size;
    switch (schema_type_of(view->dataset->columns[column].type)->storage) {
    case SCHEMA_HELD_AS_TENSOR: return;
    case SCHEMA_HELD_AS_BYTES:
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && schema_dataset_text(view->dataset, column, rows[i], &size);
        return;
    case SCHEMA_HELD_AS_CODE:
        schema_dataset_gather_codes(view->dataset, column, rows, n, codes);
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && codes[i] >= 0;
        return;
    case SCHEMA_HELD_AS_NUMBER:
        schema_dataset_gather(view->dataset, column, rows, n, numbers);
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && !isnan(numbers[i]);
        return;
    }
}

int schema_view_complete(const struct schema_view *view, const int64_t *rows, int32_t n, bool *out) {
    double numbers[SCHEMA_ROWS_MAX];
    for (int32_t i = 0; i < n; i++) out[i] = true;
    for (int32_t k = 0; k < view->preprocessing->targets_count; k++) {
        if (view->preprocessing->targets[k].shape.rank > 0) {
            if (complete_tensor(view, k, rows, n, out) != 0) return -1;
            continue;
        }
        schema_view_targets(view, k, rows, n, numbers);
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && !isnan(numbers[i]);
    }
    for (int32_t f = 0; f < view->preprocessing->features_count; f++)
        if (view->preprocessing->features[f].options.missing == SCHEMA_MISSING_DROP && view->columns[f] >= 0)
            present(view, view->columns[f], rows, n, out);
    schema_view_weights(view, rows, n, numbers);
    for (int32_t i = 0; i < n; i++) out[i] = out[i] && numbers[i] >= 0;
    return 0;
}
