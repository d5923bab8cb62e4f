/* permutation.c - permutation importance: the metrics of an evaluation with one column permuted. */
#include "schema/evaluate/evaluate.h"
#include "schema/explain/encoded.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether a higher value of the metric is better: "accuracy", or with several targets "price_r2". */
static bool is_higher(const char *name) {
    for (int32_t i = 0; i < bp_metrics.count; i++) {
        const char *metric = bp_metrics.entries[i]->name;
        const size_t size = strlen(metric), all = strlen(name);
        if (all >= size && strcmp(name + all - size, metric) == 0 && (all == size || name[all - size - 1] == '_'))
            return ((const struct bp_metric_ops *)bp_metrics.entries[i])->higher_is_better;
    }
    return false;
}

/* The metric, of the rows as they are or with a feature permuted; NaN with the error. */
static double measure(const struct explainer *x, int32_t feature, uint64_t seed, int64_t *rows, struct bp_error *error) {
    const char *name = x->e->metric ? x->e->metric : "loss";
    double value = (double)NAN;
    json_t *report = schema_evaluate(&(struct schema_evaluation){.model = x->e->model,
                                                                 .dataset = x->e->dataset,
                                                                 .points = 2,
                                                                 .rows_max = x->e->rows_max,
                                                                 .permuted = feature,
                                                                 .permuted_by = seed,
                                                                 .only_metrics = true,
                                                                 .stop = x->e->stop,
                                                                 .context = x->e->context},
                                     error);
    if (!report) return value;
    const json_t *metric = json_object_get(json_object_get(report, "metrics"), name);
    if (!metric) bp_error_set(error, "/metric", "the model has no metric \"%.60s\"", name);
    else if (!json_is_number(json_object_get(metric, "value"))) bp_error_set(error, "/metric", "%.60s is not defined for these rows", name);
    else value = json_number_value(json_object_get(metric, "value"));
    *rows = json_integer_value(json_object_get(report, "rows"));
    json_decref(report);
    return value;
}

static int most_first(const void *a, const void *b) {
    const double x = json_number_value(json_object_get(*(json_t *const *)a, "importance")),
                 y = json_number_value(json_object_get(*(json_t *const *)b, "importance"));
    return (x < y) - (x > y);
}

static json_t *sorted(json_t *columns) {
    const size_t count = json_array_size(columns);
    json_t **items = malloc((count + 1) * sizeof *items), *out = json_array();
    for (size_t i = 0; items && i < count; i++) items[i] = json_array_get(columns, i);
    if (items) qsort(items, count, sizeof *items, most_first);
    for (size_t i = 0; items && i < count; i++) json_array_append(out, items[i]);
    free(items);
    json_decref(columns);
    return out;
}

json_t *explain_permutation(const struct explainer *x, struct bp_error *error) {
    const char *name = x->e->metric ? x->e->metric : "loss";
    int64_t rows = 0;
    const double whole = measure(x, -1, 0, &rows, error), sign = is_higher(name) ? 1 : -1;
    json_t *columns = json_array();
    bool failed = isnan(whole);
    for (int32_t k = 0; k < x->features_count && !failed; k++) {
        double sum = 0, squares = 0;
        for (int32_t r = 0; r < x->e->repeats && !failed; r++) {
            const double worse = sign * (whole - measure(x, x->features[k], x->e->seed + (uint64_t)r, &rows, error));
            failed = isnan(worse);
            sum += worse;
            squares += worse * worse;
        }
        const double mean = sum / x->e->repeats, variance = squares / x->e->repeats - mean * mean;
        json_array_append_new(columns, json_pack("{s:s, s:f, s:f}", "column", x->p->features[x->features[k]].name, "importance", failed ? 0 : mean,
                                                 "std", failed || variance < 0 ? 0 : sqrt(variance)));
    }
    columns = sorted(columns);
    if (!failed) return json_pack("{s:I, s:s, s:f, s:o}", "rows", (json_int_t)rows, "metric", name, "value", whole, "columns", columns);
    json_decref(columns);
    return NULL;
}
