/* options.c - how a request says what is to be calibrated. */
#include "schema/calibrate/calibrate.h"

#include "schema/json/values.h"

#include <string.h>

enum { HOLDOUT, REFIT, ROWS, SEED, TEMPERATURE, PARAMS };
static const struct bp_param params[PARAMS] = {
    [HOLDOUT] = {.name = "holdout",
                 .type = BP_PARAM_NUMBER,
                 .preset = 0.5,
                 .max = 0.9,
                 .help = "Share of the rows that measure the result and are not fitted on"},
    [REFIT] = {.name = "refit", .type = BP_PARAM_BOOLEAN, .preset = 1, .help = "Fits once more on all rows after the measurement"},
    [ROWS] = {.name = "rows", .type = BP_PARAM_INTEGER, .max = 1e15, .help = "At most so many rows, evenly spread; 0: all"},
    [SEED] = {.name = "seed", .type = BP_PARAM_INTEGER, .max = 9007199254740992.0, .help = "Of the order of the rows"},
    [TEMPERATURE] = {.name = "temperature", .type = BP_PARAM_BOOLEAN, .preset = 1, .help = "Fits a temperature for each target of classes"},
};
static const struct bp_entry entry = {.name = "a calibration", .params = params, .params_count = PARAMS};

enum { ALLOW_EMPTY, CLASS_CONDITIONAL, COVERAGE, METHOD, RANDOMIZED, CONFORMAL };
static const char *const methods[] = {"auto", "absolute", "aps", "cqr", "lac", "normalized", NULL}; /* in the order of enum schema_conformal */
static const struct bp_param conformal_params[CONFORMAL] = {
    [ALLOW_EMPTY] = {.name = "allow_empty", .type = BP_PARAM_BOOLEAN, .help = "Sets may have no class instead of the most probable one"},
    [CLASS_CONDITIONAL] = {.name = "class_conditional", .type = BP_PARAM_BOOLEAN, .help = "Covers the rows of each class by themselves"},
    [COVERAGE] = {.name = "coverage",
                  .type = BP_PARAM_NUMBER,
                  .preset = 0.9,
                  .max = 1,
                  .flags = BP_PARAM_MIN_OPEN | BP_PARAM_MAX_OPEN,
                  .help = "Share of rows whose truth is to be in the set or interval"},
    [METHOD] = {.name = "method", .type = BP_PARAM_CHOICE, .choices = methods, .help = "How the scores of the rows are made"},
    [RANDOMIZED] = {.name = "randomized", .type = BP_PARAM_BOOLEAN, .help = "aps: smaller sets, by a number that follows from the row"},
};
static const struct bp_entry conformal_entry = {.name = "a conformal prediction", .params = conformal_params, .params_count = CONFORMAL};

static void take_conformal(const struct bp_value *values, struct schema_calibrate_options *options) {
    options->method = (enum schema_conformal)values[METHOD].number;
    options->coverage = values[COVERAGE].number;
    options->class_conditional = values[CLASS_CONDITIONAL].number != 0;
    options->randomized = values[RANDOMIZED].number != 0;
    options->allow_empty = values[ALLOW_EMPTY].number != 0;
}

/* true, false, null, the name of a method, or an object. */
static void decode_conformal(const json_t *json, const char *pointer, struct schema_calibrate_options *options, struct schema_problems *problems) {
    struct bp_value values[CONFORMAL];
    char place[300], got[80];
    json_t *object = json_is_string(json) ? json_pack("{s:O}", "method", json) : json_incref((json_t *)(uintptr_t)json);
    schema_pointer(pointer, "conformal", place, sizeof place);
    options->conformal = !json || (!json_is_false(json) && !json_is_null(json));
    bp_values_preset(&conformal_entry, values);
    if (json_is_object(object)) schema_values_decode(object, place, &conformal_entry, NULL, values, problems);
    else if (json && !json_is_boolean(json) && !json_is_null(json))
        schema_problem_add(problems, place,
                           "conformal is true, false, the name of a method, or an object such as {\"method\":\"lac\",\"coverage\":0.9}, "
                           "got %s",
                           schema_json_text(json, got, sizeof got));
    json_decref(object);
    take_conformal(values, options);
}

int schema_calibrate_decode(const json_t *object, const char *pointer, const char *const *others, struct schema_calibrate_options *options,
                            struct schema_problems *problems) {
    static const char *const own[] = {"conformal", NULL};
    const struct schema_names more = {others, NULL}, known = {own, &more};
    const int64_t before = problems->total;
    struct bp_value values[PARAMS];
    bp_values_preset(&entry, values);
    schema_values_decode(object, pointer, &entry, &known, values, problems);
    *options = (struct schema_calibrate_options){.temperature = values[TEMPERATURE].number != 0,
                                                 .temperature_given = values[TEMPERATURE].given,
                                                 .holdout_given = values[HOLDOUT].given,
                                                 .holdout = values[HOLDOUT].number,
                                                 .refit = values[REFIT].number != 0,
                                                 .seed = (uint64_t)values[SEED].number,
                                                 .rows_max = (int64_t)values[ROWS].number};
    decode_conformal(json_object_get(object, "conformal"), pointer, options, problems);
    if (problems->total == before && !options->temperature && !options->conformal)
        schema_problem_add(problems, pointer, "there is nothing to fit: \"temperature\" and \"conformal\" are both false");
    return problems->total == before ? 0 : -1;
}
