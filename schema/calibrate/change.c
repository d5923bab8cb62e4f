/* change.c - a calibration changed by hand: temperature, thresholds, coverage. */
#include "schema/calibrate/calibrate.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/text/text.h"

#include <stdlib.h>
#include <string.h>

/* A change by hand, as it is decoded. */
struct change {
    const struct schema_training *training;
    struct schema_calibration *calibration;
    struct schema_problems *problems;
    bool heated; /* a temperature is another one */
};

static void set_temperature(struct change *c, int32_t k, const json_t *json, const char *pointer) {
    const double t = json_is_null(json) ? 1 : json_number_value(json);
    struct schema_target_calibration *target = &c->calibration->targets[k];
    char got[80];
    if ((!json_is_number(json) && !json_is_null(json)) || !(t >= SCHEMA_TEMPERATURE_MIN && t <= SCHEMA_TEMPERATURE_MAX)) {
        schema_problem_add(c->problems, pointer, "a temperature is a number from %g to %g, got %s; 1 leaves probabilities as they are",
                           SCHEMA_TEMPERATURE_MIN, SCHEMA_TEMPERATURE_MAX, schema_json_text(json, got, sizeof got));
        return;
    }
    if (!schema_target_has_classes(c->training, k)) {
        schema_problem_add(c->problems, pointer, "a temperature is for a target with one class per row and probabilities, which \"%.60s\" is not",
                           c->training->preprocessing->targets[k].name);
        return;
    }
    if (t == target->temperature) return;
    if (schema_conformal_is_set(target->method))
        schema_problem_add(
            c->problems, pointer,
            "the sets of \"%.60s\" hold for the temperature %.9g: send \"conformal\": null too, which removes them, or calibrate again",
            c->training->preprocessing->targets[k].name, target->temperature);
    target->temperature = t;
    c->heated = true;
}

static const char *target_at(const void *context, int32_t k) {
    return ((const struct schema_preprocessing *)context)->targets[k].name;
}

/* A number for all targets of classes, or numbers by target. */
static void change_temperature(struct change *c, const json_t *json) {
    const struct schema_preprocessing *p = c->training->preprocessing;
    const char *name;
    json_t *value;
    int32_t count = 0;
    for (int32_t k = 0; !json_is_object(json) && k < p->targets_count; k++)
        if (schema_target_has_classes(c->training, k)) set_temperature(c, k, json, "/temperature"), count++;
    if (!json_is_object(json) && count == 0) set_temperature(c, 0, json, "/temperature"); /* which says why not */
    if (!json_is_object(json)) return;
    json_object_foreach((json_t *)(uintptr_t)json, name, value) {
        char place[300], hint[200];
        int32_t k = 0;
        while (k < p->targets_count && strcmp(p->targets[k].name, name) != 0) k++;
        schema_pointer("/temperature", name, place, sizeof place);
        if (k < p->targets_count) set_temperature(c, k, value, place);
        else
            schema_problem_add(c->problems, place, "there is no target \"%.60s\"%s", name,
                               schema_did_you_mean(schema_nearest(name, target_at, p, p->targets_count), hint, sizeof hint));
    }
}

/* As in a request to predict; null: none. */
static void change_thresholds(struct change *c, const json_t *json) {
    const struct schema_preprocessing *p = c->training->preprocessing;
    const size_t count = (size_t)schema_thresholds_count(p);
    bool usable[BP_OUTPUTS_MAX];
    double *thresholds = json_is_null(json) ? NULL : malloc((count + 1) * sizeof *thresholds);
    for (int32_t o = 0; o < p->outputs_count; o++) usable[o] = !schema_training_scores(c->training, o);
    if (thresholds) memcpy(thresholds, c->calibration->thresholds ? c->calibration->thresholds : p->thresholds, count * sizeof *thresholds);
    if (!thresholds && !json_is_null(json)) schema_problem_no_memory(c->problems);
    if (thresholds && schema_thresholds_decode(p, json, "/thresholds", usable, thresholds, c->problems) != 0) {
        free(thresholds);
        return;
    }
    free(c->calibration->thresholds);
    c->calibration->thresholds = thresholds;
}

static void change_coverage(struct change *c, const json_t *json) {
    const double coverage = json_number_value(json);
    int32_t count = 0;
    char got[80];
    if (!json_is_number(json) || !(coverage > 0 && coverage < 1)) {
        schema_problem_add(c->problems, "/conformal/coverage", "coverage is a share of rows between 0 and 1, such as 0.9, got %s",
                           schema_json_text(json, got, sizeof got));
        return;
    }
    for (int32_t k = 0; k < c->calibration->targets_count; k++) {
        struct schema_target_calibration *t = &c->calibration->targets[k];
        int64_t rows = 0;
        if (!t->method) continue;
        for (int32_t g = 0; g < t->groups_count; g++) rows = t->groups[g].n > rows ? t->groups[g].n : rows;
        if (rows < schema_coverage_rows(coverage))
            schema_problem_add(c->problems, "/conformal/coverage",
                               "a coverage of %.9g needs %lld rows, and this version was calibrated with %lld; "
                               "calibrate it with more rows",
                               coverage, (long long)schema_coverage_rows(coverage), (long long)rows);
        t->coverage = coverage;
        count++;
    }
    if (count == 0) schema_problem_add(c->problems, "/conformal", "this version has no sets or intervals yet: fit them with POST .../calibrate");
}

/* null removes the sets and intervals; {"coverage":0.95} is another one of the same scores. */
static void change_conformal(struct change *c, const json_t *json) {
    char got[80];
    if (json_is_null(json)) {
        for (int32_t k = 0; k < c->calibration->targets_count; k++) {
            struct schema_target_calibration *t = &c->calibration->targets[k];
            for (int32_t g = 0; g < t->groups_count; g++) free(t->groups[g].kept);
            free(t->groups);
            *t = (struct schema_target_calibration){.temperature = t->temperature};
        }
    } else if (json_is_object(json) && json_object_size(json) == 1 && json_object_get(json, "coverage")) {
        change_coverage(c, json_object_get(json, "coverage"));
    } else {
        schema_problem_add(c->problems, "/conformal",
                           "conformal is null, which removes sets and intervals, or {\"coverage\":0.95}, which changes their "
                           "coverage, got %s",
                           schema_json_text(json, got, sizeof got));
    }
}

static void apply_change(struct change *c, const json_t *body) {
    static const char *const known[] = {"conformal", "temperature", "thresholds", NULL};
    static const struct bp_entry entry = {.name = "a change of a calibration"};
    struct bp_value none[1];
    const json_t *temperature = json_object_get(body, "temperature"), *thresholds = json_object_get(body, "thresholds");
    const json_t *conformal = json_object_get(body, "conformal");
    schema_values_decode(body, "", &entry, &(struct schema_names){.list = known}, none, c->problems);
    if (c->problems->total == 0 && !temperature && !thresholds && !conformal)
        schema_problem_add(c->problems, "", "expected an object with \"temperature\", \"thresholds\" or \"conformal\"");
    if (conformal) change_conformal(c, conformal); /* first: without sets the temperature is free */
    if (temperature) change_temperature(c, temperature);
    if (thresholds) change_thresholds(c, thresholds);
}

json_t *schema_calibration_change(const json_t *before, const struct schema_training *training, const json_t *body,
                                  struct schema_problems *problems) {
    struct bp_error error = {0};
    json_t *document = NULL;
    struct change c = {.training = training, .problems = problems};
    c.calibration = before ? schema_calibration_decode(before, training, &error) : schema_calibration_new(training);
    if (!c.calibration && error.message[0]) schema_problem_error(problems, "", &error);
    else if (!c.calibration) schema_problem_no_memory(problems);
    else apply_change(&c, body);
    if (problems->total == 0) {
        document = schema_calibration_encode(c.calibration, training->preprocessing);
        json_t *fitted = c.heated ? NULL : json_object_get(before, "fitted"); /* it was measured with another temperature */
        if (fitted) json_object_set(document, "fitted", fitted);
        else json_object_set_new(document, "fitted", json_null());
    }
    schema_calibration_free(c.calibration);
    return document;
}
