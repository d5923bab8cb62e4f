/* calibrate.c - see calibrate.h: rows in an order, a part of them held out, a fit for each target, and its proof. */
#include "schema/calibrate/calibrate.h"

#include "engine/base/random.h"
#include "schema/evaluate/part.h"
#include "schema/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A calibration at work. */
struct fitting {
    const struct schema_calibrating *c;
    struct schema_parts parts;
    int64_t *order; /* (parts.n) */
    int64_t held;   /* of them are held out */
    json_t *warnings;
    struct bp_error *error;
};

/* Of one target. */
struct fit {
    struct fitting *f;
    const struct schema_part *part;
    struct schema_target_calibration *how;
    int64_t temperature_rows, score_rows; /* fitted on */
    float *p;                             /* space for n rows of probabilities, */
    int32_t *truth;                       /* their classes, */
    double *scores;                       /* or scores */
    int64_t *picked;                      /* and which rows they are */
};

static void warn(struct fitting *f, const char *text) {
    size_t i;
    const json_t *one;
    json_array_foreach(f->warnings, i, one) if (strcmp(json_string_value(one), text) == 0) return;
    if (json_array_size(f->warnings) < 20) json_array_append_new(f->warnings, json_string(text));
}

/* ---- what a target gets -------------------------------------------------------------------------------------------------- */

static bool has_band(const struct fit *fit, enum schema_conformal method) {
    const struct bp_output *output = &fit->f->c->model->training->network->outputs[fit->part->output];
    const struct schema_target_calibration how = {.method = method};
    struct schema_band band;
    return fit->f->parts.n > 0 && schema_band_of(&how, output, fit->part->groups, &band);
}

/* The method for a target; NONE: it has none, with the error if that was asked for. */
static enum schema_conformal method_of(const struct fit *fit) {
    const enum schema_conformal asked = fit->f->c->options.method;
    const bool classes = fit->part->kind == SCHEMA_PART_CLASS;
    if (classes && !asked) return SCHEMA_CONFORMAL_LAC;
    if (!asked)
        return has_band(fit, SCHEMA_CONFORMAL_CQR)          ? SCHEMA_CONFORMAL_CQR
               : has_band(fit, SCHEMA_CONFORMAL_NORMALIZED) ? SCHEMA_CONFORMAL_NORMALIZED
                                                            : SCHEMA_CONFORMAL_ABSOLUTE;
    if (schema_conformal_is_set(asked) != classes)
        return bp_error_set(fit->f->error, "/conformal/method", "the target \"%.60s\" is %s, for which the method \"%s\" is not: use %s",
                            fit->part->name, classes ? "a class" : "a number", schema_conformal_names[asked],
                            classes ? "\"lac\" or \"aps\"" : "\"absolute\", \"normalized\" or \"cqr\""),
               SCHEMA_CONFORMAL_NONE;
    if (classes || has_band(fit, asked)) return asked;
    bp_error_set(
        fit->f->error, "/conformal/method",
        asked == SCHEMA_CONFORMAL_CQR
            ? "\"cqr\" needs a network that predicts quantiles, which this one does not for \"%.60s\": train it with the loss \"quantile\", or use "
              "\"absolute\""
            : "\"normalized\" needs a network that predicts a deviation or quantiles, which this one does not for \"%.60s\": train it with the "
              "loss \"gaussian_nll\" or \"quantile\", or use \"absolute\"",
        fit->part->name);
    return SCHEMA_CONFORMAL_NONE;
}

/* ---- fitting ------------------------------------------------------------------------------------------------------------- */

/* Those of rows[0..n) that have the target, with their classes and probabilities. */
static int64_t gather(struct fit *fit, const int64_t *rows, int64_t n) {
    const struct schema_part *part = fit->part;
    int64_t count = 0;
    for (int64_t r = 0; r < n; r++) {
        if (!part->counts[rows[r]]) continue;
        fit->picked[count] = rows[r];
        if (part->kind == SCHEMA_PART_CLASS) {
            memcpy(fit->p + count * part->width, part->predictions + rows[r] * part->width, (size_t)part->width * sizeof *fit->p);
            fit->truth[count] = (int32_t)part->y[rows[r]];
        }
        count++;
    }
    return count;
}

static void heat(struct fit *fit, int64_t n) {
    for (int64_t i = 0; i < n; i++) schema_temperature_apply(fit->how->temperature, fit->p + i * fit->part->width, fit->part->width);
}

static int fit_temperature(struct fit *fit, const int64_t *rows, int64_t n) {
    const int64_t count = gather(fit, rows, n);
    bool edge;
    char text[300];
    if (count < SCHEMA_TEMPERATURE_ROWS_MIN)
        return bp_error_set(
            fit->f->error, "/dataset",
            "a temperature needs at least %d rows to fit, and there are %lld for \"%.60s\": send more rows, set \"holdout\" lower, or "
            "\"temperature\" to false",
            SCHEMA_TEMPERATURE_ROWS_MIN, (long long)count, fit->part->name);
    fit->how->temperature = schema_temperature_fit(fit->p, fit->truth, count, fit->part->width, &edge);
    fit->temperature_rows = count;
    if (isnan(fit->how->temperature)) return bp_error_memory(fit->f->error, "no memory to fit a temperature");
    if (!edge) return 0;
    snprintf(
        text, sizeof text,
        "\"%.60s\": no temperature between %g and %g has the least log loss on these rows (all of them are predicted correctly, or at random); it "
        "stays 1",
        fit->part->name, SCHEMA_TEMPERATURE_MIN, SCHEMA_TEMPERATURE_MAX);
    warn(fit->f, text);
    return 0;
}

/* The score of the truth of the i-th gathered row. */
static double score_of(const struct fit *fit, int64_t i, int32_t *order, double *scores, float *shares) {
    const struct schema_part *part = fit->part;
    const int64_t row = fit->picked[i];
    if (part->kind == SCHEMA_PART_NUMBER) {
        const struct bp_output *output = &fit->f->c->model->training->network->outputs[part->output];
        struct schema_band band;
        schema_band_of(fit->how, output, part->groups + row * part->each, &band);
        return schema_number_score(&band, (double)part->y[row]);
    }
    const float *p = fit->p + i * part->width;
    if (part->width == 1) shares[0] = 1 - p[0], shares[1] = p[0], p = shares;
    schema_classes_order(p, part->classes, order);
    schema_class_scores(fit->how, p, part->classes, fit->f->parts.uniforms[row], order, scores);
    for (int32_t c = 0; c < part->classes; c++)
        if (order[c] == fit->truth[i]) return scores[c];
    return 1;
}

static int too_few(struct fit *fit, int64_t count) {
    const double coverage = fit->f->c->options.coverage;
    return bp_error_set(fit->f->error, "/conformal/coverage",
                        "a coverage of %.9g needs at least %lld rows for the scores, and there are %lld for \"%.60s\": send more rows, ask for less "
                        "coverage, or set \"holdout\" lower",
                        coverage, (long long)schema_coverage_rows(coverage), (long long)count, fit->part->name);
}

/* The scores of each class, or of all rows. */
static int keep_groups(struct fit *fit, int64_t count, double *values) {
    struct schema_target_calibration *how = fit->how;
    for (int32_t g = 0; g < how->groups_count; g++) {
        int64_t n = 0;
        for (int64_t i = 0; i < count; i++)
            if (how->groups_count == 1 || fit->truth[i] == g) values[n++] = fit->scores[i];
        if (schema_scores_keep(&how->groups[g], values, n) != 0) return -1;
        if (how->groups_count == 1 || n >= schema_coverage_rows(how->coverage)) continue;
        char text[300];
        snprintf(text, sizeof text,
                 "\"%.60s\": only %lld rows have the class \"%.60s\", too few for a coverage of %.9g by itself: it is in every set", fit->part->name,
                 (long long)n, schema_part_class(fit->f->c->model, fit->part, g), how->coverage);
        warn(fit->f, text);
    }
    return 0;
}

static int fit_scores(struct fit *fit, const int64_t *rows, int64_t n) {
    const struct schema_calibrate_options *options = &fit->f->c->options;
    struct schema_target_calibration *how = fit->how;
    const size_t classes = (size_t)(fit->part->classes > 0 ? fit->part->classes : 1);
    how->method = method_of(fit);
    if (!how->method) return -1;
    how->coverage = options->coverage;
    const bool sets = schema_conformal_is_set(how->method);
    how->randomized = sets && options->randomized && how->method == SCHEMA_CONFORMAL_APS && !fit->f->c->held;
    how->allow_empty = sets && options->allow_empty;
    const int64_t count = fit->score_rows = gather(fit, rows, n);
    if (count < schema_coverage_rows(options->coverage)) return too_few(fit, count);
    if (sets) heat(fit, count);
    how->groups_count = sets && options->class_conditional ? fit->part->classes : 1;
    how->groups = calloc((size_t)how->groups_count, sizeof *how->groups);
    int32_t *order = malloc(classes * sizeof *order);
    double *scores = malloc(classes * sizeof *scores), *values = malloc(((size_t)count + 1) * sizeof *values);
    float shares[2];
    bool good = how->groups && order && scores && values;
    for (int64_t i = 0; good && i < count; i++) fit->scores[i] = score_of(fit, i, order, scores, shares);
    good = good && keep_groups(fit, count, values) == 0;
    free(order);
    free(scores);
    free(values);
    return good ? 0 : bp_error_memory(fit->f->error, "no memory to calibrate %lld rows", (long long)count);
}

/* Fits a target on rows[0..n). */
static int fit_rows(struct fit *fit, const int64_t *rows, int64_t n) {
    const struct schema_calibrate_options *options = &fit->f->c->options;
    const int64_t share = options->conformal ? n / 4 : n;
    bool heats = options->temperature && fit->part->kind == SCHEMA_PART_CLASS;
    if (heats && options->conformal && !options->temperature_given && share < SCHEMA_TEMPERATURE_ROWS_USUAL) {
        char text[300];
        snprintf(
            text, sizeof text,
            "\"%.60s\": too few rows for a temperature beside sets (at least %d are needed, or ask for it with \"temperature\": true); it stays %.9g",
            fit->part->name, 4 * SCHEMA_TEMPERATURE_ROWS_USUAL, fit->how->temperature);
        warn(fit->f, text);
        heats = false;
    }
    const int64_t first = heats ? share : 0;
    int failed = heats ? fit_temperature(fit, rows, first) : 0;
    if (!failed && options->conformal) failed = fit_scores(fit, rows + first, n - first);
    return failed;
}

/* ---- the proof ----------------------------------------------------------------------------------------------------------- */

static json_t *held_out_json(struct fit *fit) {
    struct fitting *f = fit->f;
    const struct schema_part *part = fit->part;
    const int64_t n = gather(fit, f->order, f->held);
    json_t *json = json_pack("{s:I}", "rows", (json_int_t)n);
    if (part->kind == SCHEMA_PART_CLASS) {
        json_object_set_new(json, "before", schema_probability_scores(fit->p, fit->truth, n, part->width));
        heat(fit, n);
        json_object_set_new(json, "after", schema_probability_scores(fit->p, fit->truth, n, part->width));
    }
    if (!fit->how->method) return json;
    /* the coverage reads the predictions of the part: with the temperature for a moment */
    for (int64_t i = 0; part->kind == SCHEMA_PART_CLASS && i < n; i++)
        for (int32_t c = 0; c < part->width; c++) {
            float *at = part->predictions + fit->picked[i] * part->width + c, raw = *at;
            *at = fit->p[i * part->width + c];
            fit->p[i * part->width + c] = raw;
        }
    double *quantiles = malloc(((size_t)fit->how->groups_count + 1) * sizeof *quantiles);
    for (int32_t g = 0; quantiles && g < fit->how->groups_count; g++) quantiles[g] = schema_scores_quantile(&fit->how->groups[g], fit->how->coverage);
    const struct schema_coverage_call call = {f->c->model, &f->parts, part, fit->how, quantiles, fit->picked, n};
    json_t *coverage = quantiles ? schema_coverage_json(&call) : NULL;
    for (int64_t i = 0; part->kind == SCHEMA_PART_CLASS && i < n; i++)
        memcpy(part->predictions + fit->picked[i] * part->width, fit->p + i * part->width, (size_t)part->width * sizeof *fit->p);
    free(quantiles);
    json_object_update(json, coverage);
    json_decref(coverage);
    return json;
}

static void fit_close(struct fit *fit) {
    free(fit->p);
    free(fit->truth);
    free(fit->scores);
    free(fit->picked);
}

static void forget(struct schema_target_calibration *how, double temperature) {
    for (int32_t g = 0; how->groups && g < how->groups_count; g++) free(how->groups[g].kept);
    free(how->groups);
    *how = (struct schema_target_calibration){.temperature = temperature};
}

/* One target: the fit and its proof, then the fit on all rows. Its entry of the report; NULL with the error. */
static json_t *calibrate_target(struct fitting *f, const struct schema_part *part, struct schema_target_calibration *how) {
    const size_t n = (size_t)f->parts.n + 1;
    const double temperature = how->temperature;
    struct fit fit = {.f = f,
                      .part = part,
                      .how = how,
                      .p = malloc(n * (size_t)(part->kind == SCHEMA_PART_CLASS ? part->width : 1) * sizeof(float)),
                      .truth = malloc(n * sizeof(int32_t)),
                      .scores = malloc(n * sizeof(double)),
                      .picked = malloc(n * sizeof(int64_t))};
    json_t *json = NULL, *held_out = json_null();
    int failed =
        fit.p && fit.truth && fit.scores && fit.picked ? 0 : bp_error_memory(f->error, "no memory to calibrate %lld rows", (long long)f->parts.n);
    if (!failed) failed = fit_rows(&fit, f->order + f->held, f->parts.n - f->held);
    if (!failed && f->held) held_out = held_out_json(&fit);
    if (!failed && f->held && f->c->options.refit) {
        forget(how, temperature);
        failed = fit_rows(&fit, f->order, f->parts.n);
    }
    if (!failed)
        json = json_pack("{s:s, s:I, s:I, s:O}", "target", part->name, "temperature_rows", (json_int_t)fit.temperature_rows, "conformal_rows",
                         (json_int_t)fit.score_rows, "held_out", held_out);
    json_decref(held_out);
    fit_close(&fit);
    return json;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------- */

static bool takes(const struct schema_training *t, const struct schema_part *part, const struct schema_calibrate_options *options) {
    if (part->kind == SCHEMA_PART_CLASS) return schema_target_has_classes(t, part->target);
    return part->kind == SCHEMA_PART_NUMBER && part->groups && options->conformal && schema_target_is_number(t, part->target);
}

static struct schema_calibration *fit_all(struct fitting *f, json_t *report) {
    const struct schema_model *model = f->c->model;
    const struct schema_training *t = model->training;
    struct schema_calibration *out = schema_calibration_new(t);
    const int64_t thresholds = schema_thresholds_count(t->preprocessing);
    int32_t count = 0;
    bool failed = !out;
    if (out && model->calibration && model->calibration->thresholds) {
        out->thresholds = malloc((size_t)thresholds * sizeof *out->thresholds);
        failed = !out->thresholds;
        if (!failed) memcpy(out->thresholds, model->calibration->thresholds, (size_t)thresholds * sizeof *out->thresholds);
    }
    for (int32_t k = 0; !failed && k < f->parts.count; k++) {
        const struct schema_part *part = &f->parts.parts[k];
        if (!takes(t, part, &f->c->options)) continue;
        struct schema_target_calibration *how = &out->targets[part->target];
        if (model->calibration && !f->c->options.temperature) how->temperature = model->calibration->targets[part->target].temperature;
        json_t *one = calibrate_target(f, part, how);
        failed = !one;
        if (one) json_array_append_new(report, one);
        count++;
    }
    if (!failed && count == 0)
        failed = bp_error_set(f->error, "",
                              "this version has nothing that can be calibrated: sets and temperatures are for a class per row with probabilities, "
                              "intervals for a number per row; several labels a row, tensors and scores have thresholds at most");
    if (!failed && schema_calibration_complete(out, t->preprocessing) == 0) return out;
    schema_calibration_free(out);
    bp_error_memory(f->error, "no memory for the calibration");
    return NULL;
}

static int draw_order(struct fitting *f) {
    struct bp_random random = bp_random_open(f->c->options.seed, BP_STREAM_SPLIT, 1);
    f->order = malloc(((size_t)f->parts.n + 1) * sizeof *f->order);
    if (!f->order) return bp_error_memory(f->error, "no memory to calibrate %lld rows", (long long)f->parts.n);
    for (int64_t i = 0; i < f->parts.n; i++) f->order[i] = i;
    bp_random_shuffle(&random, f->order, f->parts.n);
    f->held = (int64_t)floor(f->c->options.holdout * (double)f->parts.n);
    const int64_t fitted = f->parts.n - f->held, least = f->c->options.conformal ? schema_coverage_rows(f->c->options.coverage) : 1;
    if (f->held && !f->c->options.holdout_given && fitted < least) {
        f->held = 0;
        warn(f, "there are too few rows to hold some out: what the calibration covers was not measured");
    }
    return 0;
}

/* The parts of predictions that are there already. */
static int take_held(const struct schema_calibrating *c, struct schema_parts *parts, struct bp_error *error) {
    const struct schema_held_predictions *held = c->held;
    const struct schema_target *target = &c->model->training->preprocessing->targets[0];
    const size_t n = (size_t)held->n + 1, width = (size_t)held->width;
    struct schema_part *part = calloc(1, sizeof *part);
    *parts = (struct schema_parts){.n = held->n, .count = part != NULL, .parts = part};
    if (!part) return bp_error_memory(error, "no memory to calibrate %lld rows", (long long)held->n);
    *part = (struct schema_part){.kind = target->classification ? SCHEMA_PART_CLASS : SCHEMA_PART_NUMBER,
                                 .classes = target->classification ? target->labels_count : 0,
                                 .width = held->width,
                                 .per = 1,
                                 .each = target->classification ? 0 : 1,
                                 .predictions = malloc(n * width * sizeof(bp_real)),
                                 .groups = malloc(n * width * sizeof(bp_real)),
                                 .y = malloc(n * sizeof(bp_real)),
                                 .counts = malloc(n)};
    snprintf(part->name, sizeof part->name, "%s", target->name);
    parts->uniforms = calloc(n, sizeof *parts->uniforms);
    if (!part->predictions || !part->groups || !part->y || !part->counts || !parts->uniforms)
        return bp_error_memory(error, "no memory to calibrate %lld rows", (long long)held->n);
    memcpy(part->predictions, held->predictions, (size_t)held->n * width * sizeof(bp_real));
    memcpy(part->groups, held->predictions, (size_t)held->n * width * sizeof(bp_real));
    memcpy(part->y, held->y, (size_t)held->n * sizeof(bp_real));
    memset(part->counts, 1, n);
    return 0;
}

static int open_parts(struct fitting *f) {
    const struct schema_calibrating *c = f->c;
    const struct schema_evaluation evaluation = {.model = c->model,
                                                 .lean = c->lean,
                                                 .no_losses = true,
                                                 .dataset = c->dataset,
                                                 .rows_max = c->options.rows_max,
                                                 .rows = c->only,
                                                 .rows_count = c->only_count,
                                                 .raw = true,
                                                 .sets = true,
                                                 .stop = c->stop,
                                                 .context = c->context};
    return c->held ? take_held(c, &f->parts, f->error) : schema_parts_open(&evaluation, c->model, &f->parts, f->error);
}

json_t *schema_calibrate(const struct schema_calibrating *c, struct bp_error *error) {
    struct fitting f = {.c = c, .error = error, .warnings = json_array()};
    json_t *document = NULL, *targets = json_array();
    struct schema_calibration *calibration = NULL;
    if (open_parts(&f) == 0 && draw_order(&f) == 0 && (calibration = fit_all(&f, targets))) {
        document = schema_calibration_encode(calibration, c->model->training->preprocessing);
        if (calibration->thresholds && c->options.temperature) warn(&f, "the thresholds of this version were set for its probabilities of before");
        json_object_set_new(document, "fitted",
                            json_pack("{s:I, s:I, s:f, s:b, s:I, s:O, s:O}", "rows", (json_int_t)f.parts.n, "skipped_rows",
                                      (json_int_t)f.parts.skipped, "holdout", f.held ? c->options.holdout : 0.0, "refit", c->options.refit, "seed",
                                      (json_int_t)c->options.seed, "targets", targets, "warnings", f.warnings));
    }
    schema_calibration_free(calibration);
    schema_parts_close(&f.parts);
    free(f.order);
    json_decref(targets);
    json_decref(f.warnings);
    return document;
}
