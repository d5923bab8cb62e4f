/* predict_set.c - sets of classes and intervals beside predictions, of a version that is calibrated for them. */
#include "schema/predict/predictor.h"

#include "schema/json/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int schema_predictor_calibrate(struct schema_predictor *p) {
    const struct schema_calibration *c = p->calibration = p->model->calibration;
    p->quantiles = c ? c->quantiles : NULL;
    if (!c || p->order) return 0;
    p->order = malloc(((size_t)c->labels_max + 1) * sizeof *p->order);
    p->set_scores = malloc(((size_t)c->labels_max + 1) * sizeof *p->set_scores);
    return p->order && p->set_scores ? 0 : -1;
}

/* ---- another coverage ---------------------------------------------------------------------------------------------------- */

/* Every target must have so many rows; a class by itself may have fewer, and is in every set then. */
static bool rows_suffice(const struct schema_calibration *c, double coverage, int64_t *rows) {
    bool good = true;
    *rows = INT64_MAX;
    for (int32_t k = 0; k < c->targets_count; k++) {
        int64_t most = 0;
        if (!c->targets[k].method) continue;
        for (int32_t g = 0; g < c->targets[k].groups_count; g++) most = c->targets[k].groups[g].n > most ? c->targets[k].groups[g].n : most;
        if (most < *rows) *rows = most;
        good = good && most >= schema_coverage_rows(coverage);
    }
    return good;
}

int schema_predictor_coverage(struct schema_predictor *p, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_calibration *c = p->calibration;
    const double coverage = json_number_value(json);
    char got[80];
    int64_t rows;
    if (!json_is_number(json) || !(coverage > 0 && coverage < 1))
        return schema_problem_add(problems, pointer, "coverage is a share of rows between 0 and 1, such as 0.9, got %s",
                                  schema_json_text(json, got, sizeof got));
    if (!c || c->quantiles_count == 0)
        return schema_problem_add(problems, pointer,
                                  "this version has no sets or intervals: fit them first with POST "
                                  "/v1/models/{model}/versions/{version}/calibrate, or leave coverage out");
    if (!rows_suffice(c, coverage, &rows))
        return schema_problem_add(problems, pointer,
                                  "a coverage of %.9g needs %lld rows, and this version was calibrated with %lld; ask for less, "
                                  "or calibrate it with more rows",
                                  coverage, (long long)schema_coverage_rows(coverage), (long long)rows);
    if (!p->asked && !(p->asked = malloc((size_t)c->quantiles_count * sizeof *p->asked))) return schema_problem_no_memory(problems);
    for (int32_t k = 0; k < c->targets_count; k++)
        for (int32_t g = 0; g < c->targets[k].groups_count; g++)
            p->asked[c->targets[k].quantiles_at + g] = schema_scores_quantile(&c->targets[k].groups[g], coverage);
    p->quantiles = p->asked;
    return 0;
}

/* ---- sets ---------------------------------------------------------------------------------------------------------------- */

/* share: of each class. They are in p->order. */
static int32_t make_set(struct schema_predictor *p, int32_t k, const float *shares, int64_t row) {
    const struct schema_target_calibration *how = &p->calibration->targets[k];
    const struct schema_set_call call = {.how = how,
                                         .quantiles = p->quantiles + how->quantiles_at,
                                         .p = shares,
                                         .classes = p->preprocessing->targets[k].labels_count,
                                         .u = how->randomized ? schema_row_uniform(p->model->training, p->workspace, (int32_t)row) : 0,
                                         .order = p->order,
                                         .scores = p->set_scores};
    return schema_set_make(&call);
}

static bool has_sets(const struct schema_predictor *p, int32_t k) {
    return p->calibration && schema_conformal_is_set(p->calibration->targets[k].method);
}

void schema_predictor_write_set(struct schema_predictor *p, int32_t k, const float *shares, int64_t row) {
    if (!has_sets(p, k)) return;
    const int32_t count = make_set(p, k, shares, row);
    schema_text_string(p->out, ",\"set\":[");
    for (int32_t i = 0; i < count; i++) {
        if (i) schema_text_add(p->out, ",", 1);
        schema_text_string(p->out, p->model->labels_json[k][p->order[i]]);
    }
    schema_text_string(p->out, "]");
}

int32_t schema_predict_set(struct schema_predictor *p, int32_t row, int32_t k, const int32_t **classes) {
    const int32_t o = schema_target_output(p->preprocessing, k);
    float pair[2];
    if (!has_sets(p, k)) return -1;
    *classes = p->order;
    return make_set(p, k, schema_predictor_shares(schema_predictor_numbers(p, o, k, row), p->widths[o], p->scores[o], pair), row);
}

/* ---- intervals ----------------------------------------------------------------------------------------------------------- */

static bool interval(const struct schema_predictor *p, int32_t o, int32_t k, const float *y, double *low, double *high) {
    struct schema_band band;
    const struct schema_target_calibration *how = p->calibration ? &p->calibration->targets[k] : NULL;
    if (!how || !how->method || schema_conformal_is_set(how->method)) return false;
    if (!schema_band_of(how, &p->model->training->network->outputs[o], y, &band)) return false;
    schema_interval_make(&p->preprocessing->targets[k], &band, p->quantiles[how->quantiles_at], low, high);
    return true;
}

static void write_end(struct schema_predictor *p, double value, double step) {
    char text[40];
    if (!isfinite(value)) {
        schema_text_string(p->out, "null");
        return;
    }
    schema_text_add(p->out, text, (size_t)schema_predicted_text(value, step, text));
}

void schema_predictor_write_interval(struct schema_predictor *p, int32_t o, int32_t k, const float *y) {
    const struct bp_output *output = &p->model->training->network->outputs[o];
    double low, high;
    if (!interval(p, o, k, y, &low, &high)) return;
    const double step = schema_target_step(&p->preprocessing->targets[k], 0, (double)y[bp_loss_point(output->loss, output->values)]);
    schema_text_string(p->out, ",\"interval\":[");
    write_end(p, low, step);
    schema_text_string(p->out, ",");
    write_end(p, high, step);
    schema_text_string(p->out, "]");
}

bool schema_predict_interval(struct schema_predictor *p, int32_t row, int32_t k, double *low, double *high) {
    const int32_t o = schema_target_output(p->preprocessing, k);
    return interval(p, o, k, schema_predictor_numbers(p, o, k, row), low, high);
}
