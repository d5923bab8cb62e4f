/* permutation.c - permutation importance: a metric of an evaluation with one column permuted. */
#include "schema/evaluate/part.h"
#include "schema/explain/encoded.h"

#include <math.h>

/* What the rows are predicted by, and their metric. */
struct importance {
    const struct explainer *x;
    struct schema_pass *pass;
    struct schema_parts parts;
    const char *metric;
    bool higher;
};

/* The metric of the predictions as they are; NaN with the error. */
static double measure(struct importance *m, struct bp_error *error) {
    double value = (double)NAN;
    if (schema_parts_metric(&m->parts, m->metric, &value, &m->higher, error) != 0) return (double)NAN;
    if (isfinite(value)) return value;
    bp_error_set(error, "/metric", "%.60s is not defined for these rows", m->metric);
    return (double)NAN;
}

/* How much worse it is without the feature: mean and standard deviation over the repeats. NULL with the error. */
static json_t *explain_feature(struct importance *m, double whole, int32_t feature, struct bp_error *error) {
    const struct schema_explanation *e = m->x->e;
    double sum = 0, squares = 0;
    for (int32_t r = 0; r < e->repeats; r++) {
        if (schema_pass_permute(m->pass, feature, e->seed + (uint64_t)r, &m->parts, error) != 0) return NULL;
        const double value = measure(m, error), worse = m->higher ? whole - value : value - whole;
        if (isnan(worse)) return NULL;
        sum += worse;
        squares += worse * worse;
    }
    const double mean = sum / e->repeats, variance = squares / e->repeats - mean * mean;
    return json_pack("{s:s, s:f, s:f}", "column", m->x->p->features[feature].name, "importance", mean, "std", variance < 0 ? 0 : sqrt(variance));
}

json_t *explain_permutation(const struct explainer *x, struct bp_error *error) {
    const struct schema_evaluation evaluation = {
        .model = x->e->model, .dataset = x->e->dataset, .rows_max = x->e->rows_max, .stop = x->e->stop, .context = x->e->context};
    struct importance m = {.x = x, .metric = x->e->metric ? x->e->metric : "loss"};
    if (!(m.pass = schema_pass_open(&evaluation, x->e->model, &m.parts, error))) return NULL;
    const double whole = measure(&m, error);
    json_t *columns = isnan(whole) ? NULL : json_array();
    for (int32_t k = 0; k < x->features_count && columns; k++) {
        json_t *column = explain_feature(&m, whole, x->features[k], error);
        if (column) json_array_append_new(columns, column);
        else json_decref(columns), columns = NULL;
    }
    if (columns && !(columns = schema_sorted_json(columns, "importance"))) bp_error_memory(error, "no memory to explain");
    const int64_t rows = m.parts.n;
    schema_pass_close(m.pass);
    schema_parts_close(&m.parts);
    return columns ? json_pack("{s:I, s:s, s:f, s:o}", "rows", (json_int_t)rows, "metric", m.metric, "value", whole, "columns", columns) : NULL;
}
