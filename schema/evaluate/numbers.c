/* numbers.c - residuals of a part with numbers: truth minus prediction, in the target's own unit. */
#include "schema/evaluate/part.h"
#include "schema/quantile.h"

#include <math.h>
#include <stdlib.h>

static const double quantiles[] = {0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1};

struct residual {
    double residual, prediction;
};

static int by_prediction(const void *a, const void *b) {
    const double x = ((const struct residual *)a)->prediction, y = ((const struct residual *)b)->prediction;
    return (x > y) - (x < y);
}

/* Mean residual and error by tenths of the predictions: where it predicts too little or too much. */
static json_t *tenths(struct residual *all, int64_t n) {
    enum { TENTHS = 10 };
    json_t *json = json_array();
    qsort(all, (size_t)n, sizeof *all, by_prediction);
    for (int64_t t = 0; t < TENTHS; t++) {
        const int64_t first = t * n / TENTHS, end = (t + 1) * n / TENTHS;
        double sum = 0, squares = 0;
        for (int64_t i = first; i < end; i++) sum += all[i].residual, squares += all[i].residual * all[i].residual;
        if (first == end) continue;
        const double count = (double)(end - first);
        json_array_append_new(json, json_pack("{s:f, s:f, s:I, s:f, s:f}", "low", all[first].prediction, "high", all[end - 1].prediction, "numbers",
                                              (json_int_t)(end - first), "mean_residual", sum / count, "rmse", sqrt(squares / count)));
    }
    return json;
}

int schema_numbers_json(const struct schema_evaluation *e, const struct schema_parts *parts, const struct schema_part *part, json_t *json) {
    struct residual *all = malloc(((size_t)(parts->n * part->width) + 1) * sizeof *all);
    double *sorted = malloc(((size_t)(parts->n * part->width) + 1) * sizeof *sorted);
    int64_t n = 0;
    double sum = 0, squares = 0;
    (void)e;
    if (!all || !sorted) {
        free(all);
        free(sorted);
        return -1;
    }
    for (int64_t i = 0; i < parts->n; i++)
        for (int64_t j = 0; j < part->width && part->counts[i]; j++) {
            const double prediction = schema_part_value(part, i, j, true);
            all[n] = (struct residual){schema_part_value(part, i, j, false) - prediction, prediction};
            sorted[n] = all[n].residual;
            n++;
        }
    if (n > 0) {
        json_t *found = json_array();
        qsort(sorted, (size_t)n, sizeof *sorted, schema_compare_numbers);
        for (size_t q = 0; q < sizeof quantiles / sizeof *quantiles; q++)
            json_array_append_new(found, json_pack("{s:f, s:f}", "quantile", quantiles[q], "value", schema_quantile(sorted, n, quantiles[q])));
        for (int64_t i = 0; i < n; i++) sum += sorted[i];
        for (int64_t i = 0; i < n; i++) squares += (sorted[i] - sum / (double)n) * (sorted[i] - sum / (double)n);
        json_object_set_new(json, "residuals",
                            json_pack("{s:I, s:f, s:f, s:o, s:o}", "numbers", (json_int_t)n, "mean", sum / (double)n, "std",
                                      sqrt(squares / (double)n), "quantiles", found, "by_prediction", tenths(all, n)));
    }
    free(all);
    free(sorted);
    return 0;
}
