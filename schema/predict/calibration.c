/* calibration.c - what a version has apart from its weights, in memory and as JSON. The formulas are in conformal.c. */
#include "schema/predict/calibration.h"

#include "schema/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const schema_conformal_names[SCHEMA_CONFORMALS + 1] = {"none", "absolute", "aps", "cqr", "lac", "normalized", NULL};

/* ---- targets ------------------------------------------------------------------------------------------------------------- */

int32_t schema_target_output(const struct schema_preprocessing *p, int32_t k) {
    int32_t o = 0;
    while (k >= p->outputs[o].first + p->outputs[o].count) o++;
    return o;
}

bool schema_target_has_classes(const struct schema_training *t, int32_t k) {
    const struct schema_target *target = &t->preprocessing->targets[k];
    const int32_t o = schema_target_output(t->preprocessing, k);
    return target->classification && target->shape.rank <= 0 && !schema_output_multilabel(t->preprocessing, o) && !schema_training_scores(t, o);
}

bool schema_target_is_number(const struct schema_training *t, int32_t k) {
    const struct schema_target *target = &t->preprocessing->targets[k];
    return !target->classification && target->shape.rank <= 0;
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

struct schema_calibration *schema_calibration_new(const struct schema_training *training) {
    const struct schema_preprocessing *p = training->preprocessing;
    struct schema_calibration *c = calloc(1, sizeof *c);
    if (c) c->targets = calloc((size_t)p->targets_count, sizeof *c->targets);
    if (!c || !c->targets) return free(c), NULL;
    c->targets_count = p->targets_count;
    for (int32_t k = 0; k < p->targets_count; k++) {
        c->targets[k].temperature = 1;
        if (p->targets[k].labels_count > c->labels_max) c->labels_max = p->targets[k].labels_count;
    }
    return c;
}

static void clear_groups(struct schema_target_calibration *t) {
    for (int32_t g = 0; t->groups && g < t->groups_count; g++) free(t->groups[g].kept);
    free(t->groups);
    t->groups = NULL;
    t->groups_count = 0;
    t->method = SCHEMA_CONFORMAL_NONE;
}

void schema_calibration_free(struct schema_calibration *c) {
    if (!c) return;
    for (int32_t k = 0; k < c->targets_count; k++) clear_groups(&c->targets[k]);
    free(c->targets);
    free(c->thresholds);
    free(c->quantiles);
    free(c);
}

size_t schema_calibration_bytes(const struct schema_calibration *c) {
    size_t bytes = c ? sizeof *c : 0;
    for (int32_t k = 0; c && k < c->targets_count; k++) {
        bytes += sizeof *c->targets;
        for (int32_t g = 0; g < c->targets[k].groups_count; g++)
            bytes += sizeof *c->targets[k].groups + (size_t)c->targets[k].groups[g].kept_count * sizeof(double);
    }
    return bytes;
}

int schema_calibration_complete(struct schema_calibration *c, const struct schema_preprocessing *p) {
    int32_t count = 0;
    (void)p;
    for (int32_t k = 0; k < c->targets_count; k++) {
        c->targets[k].quantiles_at = count;
        count += c->targets[k].groups_count;
    }
    double *quantiles = malloc(((size_t)count + 1) * sizeof *quantiles);
    if (!quantiles) return -1;
    free(c->quantiles);
    c->quantiles = quantiles;
    c->quantiles_count = count;
    for (int32_t k = 0; k < c->targets_count; k++)
        for (int32_t g = 0; g < c->targets[k].groups_count; g++)
            quantiles[c->targets[k].quantiles_at + g] = schema_scores_quantile(&c->targets[k].groups[g], c->targets[k].coverage);
    return 0;
}

/* ---- to JSON ------------------------------------------------------------------------------------------------------------- */

static json_t *group_json(const struct schema_scores *s, double coverage) {
    json_t *scores = json_array();
    for (int32_t i = 0; i < s->kept_count; i++) json_array_append_new(scores, json_real(s->kept[i]));
    const double q = schema_scores_quantile(s, coverage);
    return json_pack("{s:I, s:o, s:o}", "rows", (json_int_t)s->n, "quantile", isfinite(q) ? json_real(q) : json_null(), "scores", scores);
}

static json_t *conformal_json(const struct schema_target_calibration *t, const struct schema_target *target) {
    json_t *groups = json_array();
    int64_t rows = 0;
    for (int32_t g = 0; g < t->groups_count; g++) {
        json_t *group = group_json(&t->groups[g], t->coverage);
        if (t->groups_count > 1) json_object_set_new(group, "label", json_string(target->labels[g]));
        json_array_append_new(groups, group);
        rows += t->groups[g].n;
    }
    json_t *json = json_pack("{s:s, s:f, s:I}", "method", schema_conformal_names[t->method], "coverage", t->coverage, "rows", (json_int_t)rows);
    if (schema_conformal_is_set(t->method)) {
        json_object_set_new(json, "class_conditional", json_boolean(t->groups_count > 1));
        json_object_set_new(json, "randomized", json_boolean(t->randomized));
        json_object_set_new(json, "allow_empty", json_boolean(t->allow_empty));
    }
    json_object_set_new(json, "groups", groups);
    return json;
}

json_t *schema_calibration_encode(const struct schema_calibration *c, const struct schema_preprocessing *p) {
    json_t *targets = json_object(), *json = json_pack("{s:o}", "targets", targets);
    for (int32_t k = 0; k < c->targets_count; k++) {
        const struct schema_target_calibration *t = &c->targets[k];
        json_t *one = json_object();
        if (p->targets[k].classification && p->targets[k].shape.rank <= 0) json_object_set_new(one, "temperature", json_real(t->temperature));
        json_object_set_new(one, "conformal", t->method ? conformal_json(t, &p->targets[k]) : json_null());
        json_object_set_new(targets, p->targets[k].name, one);
    }
    if (!c->thresholds) return json_object_set_new(json, "thresholds", json_null()), json;
    json_t *values = json_array();
    for (int64_t i = 0; i < schema_thresholds_count(p); i++) json_array_append_new(values, json_real(c->thresholds[i]));
    json_object_set_new(json, "thresholds", schema_thresholds_show(p, c->thresholds));
    json_object_set_new(json, "threshold_values", values);
    return json;
}

json_t *schema_calibration_show(const json_t *document) {
    json_t *copy = json_deep_copy(document), *target, *group;
    const char *name;
    size_t i;
    json_object_del(copy, "threshold_values");
    json_object_foreach(json_object_get(copy, "targets"), name, target)
        json_array_foreach(json_object_get(json_object_get(target, "conformal"), "groups"), i, group) json_object_del(group, "scores");
    return copy;
}

/* ---- from JSON ----------------------------------------------------------------------------------------------------------- */

static bool share_good(double v) {
    return v > 0 && v < 1;
}

static int decode_group(const json_t *json, struct schema_scores *s) {
    const json_t *scores = json_object_get(json, "scores"), *rows = json_object_get(json, "rows");
    const size_t count = json_array_size(scores);
    double last = (double)-INFINITY;
    s->n = json_integer_value(rows);
    if (!json_is_array(scores) || !json_is_integer(rows) || count > SCHEMA_SCORES_MAX || s->n < (int64_t)count || s->n > INT64_C(1) << 50 ||
        (count < SCHEMA_SCORES_MAX && s->n != (int64_t)count))
        return -1;
    if (!(s->kept = malloc((count + 1) * sizeof *s->kept))) return -1;
    for (size_t i = 0; i < count; i++) {
        const json_t *score = json_array_get(scores, i);
        s->kept[i] = json_number_value(score);
        if (!json_is_number(score) || !(s->kept[i] >= last)) return -1;
        last = s->kept[i];
    }
    s->kept_count = (int32_t)count;
    return 0;
}

static int decode_conformal(const json_t *json, const struct schema_training *training, int32_t k, struct schema_target_calibration *t) {
    const char *method = json_string_value(json_object_get(json, "method"));
    const json_t *groups = json_object_get(json, "groups");
    int m = SCHEMA_CONFORMAL_ABSOLUTE;
    if (!json || json_is_null(json)) return 0;
    while (method && m < SCHEMA_CONFORMALS && strcmp(schema_conformal_names[m], method) != 0) m++;
    if (!method || m == SCHEMA_CONFORMALS) return -1;
    t->coverage = json_number_value(json_object_get(json, "coverage"));
    t->randomized = json_is_true(json_object_get(json, "randomized"));
    t->allow_empty = json_is_true(json_object_get(json, "allow_empty"));
    const bool set = schema_conformal_is_set((enum schema_conformal)m);
    const int32_t classes = training->preprocessing->targets[k].labels_count;
    const size_t count = json_array_size(groups);
    if (!share_good(t->coverage) || (set ? !schema_target_has_classes(training, k) : !schema_target_is_number(training, k))) return -1;
    if (count != 1 && !(set && json_is_true(json_object_get(json, "class_conditional")) && count == (size_t)classes)) return -1;
    if (!(t->groups = calloc(count, sizeof *t->groups))) return -1;
    t->method = (enum schema_conformal)m;
    t->groups_count = (int32_t)count;
    for (size_t g = 0; g < count; g++)
        if (decode_group(json_array_get(groups, g), &t->groups[g]) != 0) return -1;
    if (set) return 0;
    struct schema_band band;
    static const float zeros[64];
    const struct bp_output *output = &training->network->outputs[schema_target_output(training->preprocessing, k)];
    return bp_loss_outputs_per_target(output->loss, output->values) <= 64 && schema_band_of(t, output, zeros, &band) ? 0 : -1;
}

static int decode_target(const json_t *json, const struct schema_training *training, int32_t k, struct schema_target_calibration *t) {
    const json_t *temperature = json_object_get(json, "temperature");
    if (temperature) t->temperature = json_number_value(temperature);
    if (!(t->temperature >= SCHEMA_TEMPERATURE_MIN && t->temperature <= SCHEMA_TEMPERATURE_MAX)) return -1;
    if (t->temperature != 1 && !schema_target_has_classes(training, k)) return -1;
    return decode_conformal(json_object_get(json, "conformal"), training, k, t);
}

static int decode_thresholds(const json_t *values, const struct schema_training *training, struct schema_calibration *c) {
    const int64_t count = schema_thresholds_count(training->preprocessing);
    if (!values || json_is_null(values)) return 0;
    if (json_array_size(values) != (size_t)count || !(c->thresholds = malloc((size_t)count * sizeof *c->thresholds))) return -1;
    for (int64_t i = 0; i < count; i++) {
        c->thresholds[i] = json_number_value(json_array_get(values, (size_t)i));
        if (!(c->thresholds[i] >= 0 && c->thresholds[i] < 1)) return -1;
    }
    return 0;
}

struct schema_calibration *schema_calibration_decode(const json_t *json, const struct schema_training *training, struct bp_error *error) {
    const struct schema_preprocessing *p = training->preprocessing;
    struct schema_calibration *c = schema_calibration_new(training);
    bool good = c && json_is_object(json) && decode_thresholds(json_object_get(json, "threshold_values"), training, c) == 0;
    for (int32_t k = 0; good && k < p->targets_count; k++) {
        const json_t *one = json_object_get(json_object_get(json, "targets"), p->targets[k].name);
        good = !one || decode_target(one, training, k, &c->targets[k]) == 0;
    }
    if (good && schema_calibration_complete(c, p) == 0) return c;
    schema_calibration_free(c);
    if (schema_memory_failed()) bp_error_memory(error, "no memory for the calibration of the version");
    else bp_error_set(error, "", "the calibration of this version is damaged, or was made for another model; calibrate it again");
    return NULL;
}
