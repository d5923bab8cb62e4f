/* evaluate.c - see evaluate.h: the whole report. */
#include "schema/evaluate/part.h"

#include <stdlib.h>
#include <string.h>

int64_t schema_evaluation_work(const struct schema_evaluation *e) {
    const struct bp_network *net = e->model->training->network;
    int64_t width = 0;
    for (int32_t o = 0; o < net->outputs_count; o++) width += bp_shape_size(&net->outputs[o].shape);
    const int64_t rows = e->rows_max > 0 && e->rows_max < e->dataset->rows ? e->rows_max : e->dataset->rows;
    return rows * (width + 1) * (1 + e->bootstrap) * (e->other ? 2 : 1);
}

static bool has_class(const struct schema_evaluation *e, const struct schema_parts *parts) {
    for (int32_t k = 0; k < parts->count; k++)
        for (int32_t c = 0; parts->parts[k].kind == SCHEMA_PART_CLASS && c < parts->parts[k].classes; c++)
            if (strcmp(schema_part_class(e->model, &parts->parts[k], c), e->positive_class) == 0) return true;
    return false;
}

/* Each target as both models have it, or the error says which differs. */
static int check_other(const struct schema_evaluation *e, struct bp_error *error) {
    const struct schema_preprocessing *a = e->model->training->preprocessing, *b = e->other->training->preprocessing;
    if (a->targets_count != b->targets_count || a->outputs_count != b->outputs_count)
        return bp_error_set(error, "/compare", "the two versions predict different targets");
    for (int32_t k = 0; k < a->targets_count; k++) {
        const struct schema_target *x = &a->targets[k], *y = &b->targets[k];
        bool same = strcmp(x->name, y->name) == 0 && x->classification == y->classification && x->labels_count == y->labels_count &&
                    schema_target_size(x) == schema_target_size(y);
        for (int32_t c = 0; same && c < x->labels_count; c++) same = strcmp(x->labels[c], y->labels[c]) == 0;
        if (!same)
            return bp_error_set(error, "/compare", "the two versions differ in the target \"%.60s\": its name, its classes or its shape", x->name);
    }
    return 0;
}

/* How good the probabilities of a class per row are, whatever is predicted from them. */
static int add_probabilities(const struct schema_parts *parts, const struct schema_part *part, json_t *target) {
    float *p = malloc(((size_t)parts->n + 1) * (size_t)part->width * sizeof *p);
    int32_t *truth = malloc(((size_t)parts->n + 1) * sizeof *truth);
    int64_t n = 0;
    for (int64_t i = 0; p && truth && i < parts->n; i++) {
        if (!part->counts[i]) continue;
        memcpy(p + n * part->width, part->predictions + i * part->width, (size_t)part->width * sizeof *p);
        truth[n++] = (int32_t)part->y[i];
    }
    if (p && truth) json_object_set_new(target, "probabilities", schema_probability_scores(p, truth, n, part->width));
    const int failed = p && truth ? 0 : -1;
    free(p);
    free(truth);
    return failed;
}

/* That the calibration of the version is in all of this, and what its sets or intervals cover. */
static int add_calibration(const struct schema_evaluation *e, const struct schema_parts *parts, const struct schema_part *part, json_t *target) {
    const struct schema_calibration *c = e->raw ? NULL : e->model->calibration;
    const struct schema_target_calibration *how = c && part->kind != SCHEMA_PART_LABEL ? &c->targets[part->target] : NULL;
    const bool classes = part->kind == SCHEMA_PART_CLASS && schema_target_has_classes(e->model->training, part->target);
    if (classes && add_probabilities(parts, part, target) != 0) return -1;
    if (how && classes) json_object_set_new(target, "temperature", json_real(how->temperature));
    if (!how || !how->method) return 0;
    const struct schema_coverage_call call = {
        .model = e->model, .parts = parts, .part = part, .how = how, .quantiles = c->quantiles + how->quantiles_at, .n = parts->n};
    json_t *coverage = schema_coverage_json(&call);
    if (!coverage) return -1;
    json_object_set_new(coverage, "method", json_string(schema_conformal_names[how->method]));
    json_object_set_new(coverage, "requested", json_real(how->coverage));
    return json_object_set_new(target, "conformal", coverage);
}

static int add_targets(const struct schema_evaluation *e, const struct schema_parts *parts, json_t *report) {
    static const char *const kinds[] = {"classification", "regression", "label", "labels"};
    json_t *targets = json_array();
    json_object_set_new(report, "targets", targets);
    for (int32_t k = 0; k < parts->count; k++) {
        const struct schema_part *part = &parts->parts[k];
        json_t *json = json_pack("{s:s, s:s}", "target", part->name, "task", kinds[part->kind]);
        json_array_append_new(targets, json);
        if (part->kind == SCHEMA_PART_LABELS) continue;
        if (add_calibration(e, parts, part, json) != 0) return -1;
        if ((part->kind == SCHEMA_PART_NUMBER ? schema_numbers_json : schema_classes_json)(e, parts, part, json) != 0) return -1;
    }
    return 0;
}

/* The other model on the same rows; both lose the rows that only one can use. */
static int compare(const struct schema_evaluation *e, struct schema_parts *parts, json_t *report, struct bp_error *error) {
    struct schema_parts other;
    if (schema_parts_open(e, e->other, &other, error) != 0) return -1;
    schema_parts_keep(parts, other.rows, other.n);
    schema_parts_keep(&other, parts->rows, parts->n);
    json_t *json = NULL;
    if (parts->n == 0) bp_error_set(error, "/compare", "no row can be used by both versions");
    else if (!(json = schema_comparison_json(e, parts, &other))) bp_error_memory(error, "no memory to compare the versions, or stopped");
    schema_parts_close(&other);
    if (json) json_object_set_new(report, "comparison", json);
    return json ? 0 : -1;
}

json_t *schema_evaluate(const struct schema_evaluation *e, struct bp_error *error) {
    struct schema_parts parts;
    json_t *metrics = NULL, *slices = NULL, *report;
    if (e->other && check_other(e, error) != 0) return NULL;
    if (schema_parts_open(e, e->model, &parts, error) != 0) return NULL;
    int failed = 0;
    report = json_pack("{s:I, s:I}", "rows", (json_int_t)parts.n, "skipped_rows", (json_int_t)parts.skipped);
    if (e->positive_class && !has_class(e, &parts))
        failed = bp_error_set(error, "/positive_class", "\"%.60s\" is no class of a target", e->positive_class);
    if (!failed &&
        (!(metrics = schema_metrics_json(e, &parts)) || (json_object_set_new(report, "metrics", metrics), add_targets(e, &parts, report)) != 0 ||
         !(slices = schema_slices_json(e, &parts))))
        failed = e->stop && e->stop(e->context) ? bp_error_set(error, "", "the evaluation was stopped")
                                                : bp_error_memory(error, "no memory to evaluate %lld rows", (long long)parts.n);
    if (!failed) json_object_set_new(report, "slices", slices);
    if (!failed) json_object_set_new(report, "calibrated", json_boolean(e->model->calibration && !e->raw));
    if (!failed && e->other) failed = compare(e, &parts, report, error);
    schema_parts_close(&parts);
    if (!failed) return report;
    json_decref(report);
    return NULL;
}

static int largest_first(const void *a, const void *b, void *number) {
    const double x = json_number_value(json_object_get(*(json_t *const *)a, number)),
                 y = json_number_value(json_object_get(*(json_t *const *)b, number));
    return (x < y) - (x > y);
}

json_t *schema_sorted_json(json_t *array, const char *number) {
    const size_t count = json_array_size(array);
    json_t **items = malloc((count + 1) * sizeof *items), *sorted = items ? json_array() : NULL;
    for (size_t i = 0; items && i < count; i++) items[i] = json_array_get(array, i);
    if (items) qsort_r(items, count, sizeof *items, largest_first, (void *)(uintptr_t)number);
    for (size_t i = 0; items && i < count; i++) json_array_append(sorted, items[i]);
    free(items);
    json_decref(array);
    return sorted;
}
