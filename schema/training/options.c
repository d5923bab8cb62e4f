/* options.c - training options from JSON and back, from tables of parameters like everything else. */
#include "schema/training/options.h"

#include "schema/json/values.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* In the order of enum schema_precision. */
static const char *const precisions[] = {"float32", "bfloat16", "auto", NULL};

enum field_type { FIELD_INT32, FIELD_INT64, FIELD_UINT64, FIELD_DOUBLE };

static const struct bp_param params[] = {
#define OPTION(field, held, kind, text, ...)              {.name = #field, .type = BP_PARAM_##kind, .help = text, __VA_ARGS__},
#define OPTION_GIVEN(field, given, held, kind, text, ...) OPTION(field, held, kind, text, __VA_ARGS__)
#include "schema/training/options.def"
#undef OPTION_GIVEN
#undef OPTION
};
enum { COUNT = sizeof params / sizeof *params };

/* Where the value of a row goes in struct schema_options. */
static const struct field {
    enum field_type type;
    size_t offset, given; /* given: of a bool; 0: none */
} fields[] = {
#define OPTION(field, held, ...) {FIELD_##held, offsetof(struct schema_options, field), 0},
#define OPTION_GIVEN(field, given_field, held, ...)                                                                                                  \
    {FIELD_##held, offsetof(struct schema_options, field), offsetof(struct schema_options, given_field)},
#include "schema/training/options.def"
#undef OPTION_GIVEN
#undef OPTION
};

static const struct bp_entry options_entry = {"a job", "training options", params, COUNT};

static void put(struct schema_options *options, const struct field *f, const struct bp_value *value) {
    void *at = (char *)options + f->offset;
    switch (f->type) {
    case FIELD_INT32: *(int32_t *)at = (int32_t)value->number; break;
    case FIELD_INT64: *(int64_t *)at = (int64_t)value->number; break;
    case FIELD_UINT64: *(uint64_t *)at = (uint64_t)value->number; break;
    case FIELD_DOUBLE: *(double *)at = value->number; break;
    }
    if (f->given) *(bool *)((char *)options + f->given) = value->given;
}

static struct bp_value get(const struct schema_options *options, const struct field *f) {
    const void *at = (const char *)options + f->offset;
    struct bp_value value = {0};
    switch (f->type) {
    case FIELD_INT32: value.number = *(const int32_t *)at; break;
    case FIELD_INT64: value.number = (double)*(const int64_t *)at; break;
    case FIELD_UINT64: value.number = (double)*(const uint64_t *)at; break;
    case FIELD_DOUBLE: value.number = *(const double *)at; break;
    }
    return value;
}

#define FRACTION_MAX 0.9

static const struct bp_param validation_params[] = {
    {"fraction", BP_PARAM_NUMBER, "fraction of held-out validation rows, 0 for none", .preset = 0.2, .min = 0, .max = 1, .flags = BP_PARAM_MAX_OPEN},
    {"folds", BP_PARAM_INTEGER, "parts that validate in turn, before a fit on all rows", .preset = 0, .min = 2, .max = SCHEMA_FOLDS_MAX},
};
static const struct bp_entry validation_entry = {"validation", "which rows validate", validation_params, 2};
static const struct bp_param test_params[] = {
    {"fraction", BP_PARAM_NUMBER, "fraction of the rows that are held back for an evaluation at the end", .preset = 0.2, .min = 0, .max = 1,
     .flags = BP_PARAM_MAX_OPEN},
};
static const struct bp_entry test_entry = {"test", "which rows the evaluation at the end has for itself", test_params, 1};

enum { PATIENCE, MIN_DELTA };
static const struct bp_param stopping_params[] = {
    [PATIENCE] = {"patience", BP_PARAM_INTEGER, "epochs without improvement before it stops", .preset = 10, .min = 0, .max = 1e6},
    [MIN_DELTA] = {"min_delta", BP_PARAM_NUMBER, "what counts as an improvement", .preset = 0, .min = 0, .max = 1e9},
};
static const struct bp_entry stopping_entry = {"early_stopping", "when to stop", stopping_params, 2};

const char *const schema_options_names[] = {
#define OPTION(field, ...)       #field,
#define OPTION_GIVEN(field, ...) #field,
#include "schema/training/options.def"
#undef OPTION_GIVEN
#undef OPTION
    "validation", "test", "optimizer", "schedule", "dropout_schedule", "weight_decay_schedule", "early_stopping", NULL};

static const struct bp_entry job_entry = {"job", "the members of a job that are one value", params, COUNT};
static const struct bp_entry *const entries[] = {&stopping_entry, &job_entry, &test_entry, &validation_entry};
const struct bp_family schema_options_family = {"options", "training option", entries, 4};

static void decode_stopping(const json_t *json, const char *pointer, struct schema_options *options, struct schema_problems *problems) {
    static const char *const own[] = {"metric", NULL};
    const struct schema_names others = {own, NULL};
    struct bp_value values[2];
    char place[256], got[80];
    if (json_is_null(json) || json_is_false(json)) return;
    if (json_is_true(json)) {
        options->stop_early = true;
        options->stop_patience = SCHEMA_PATIENCE;
        return;
    }
    if (!json_is_object(json)) {
        schema_problem_add(problems, pointer, "early_stopping must be an object like {\"metric\":\"val_loss\",\"patience\":20}, got %s",
                           schema_json_text(json, got, sizeof got));
        return;
    }
    options->stop_early = true;
    schema_values_decode(json, pointer, &stopping_entry, &others, values, problems);
    options->stop_patience = (int32_t)values[PATIENCE].number;
    options->stop_min_delta = values[MIN_DELTA].number;
    const json_t *metric = json_object_get(json, "metric");
    if (!metric) return;
    if (!json_is_string(metric) || strlen(json_string_value(metric)) >= BP_NAME_MAX)
        schema_problem_add(problems, schema_pointer(pointer, "metric", place, sizeof place),
                           "metric must be the name of a metric like \"val_loss\", got %s", schema_json_text(metric, got, sizeof got));
    else snprintf(options->stop_metric, BP_NAME_MAX, "%s", json_string_value(metric));
}

/* "adam", or {"type":"adam","learning_rate":0.01,...}; the learning rate may be "auto". */
static void decode_optimizer(const json_t *json, const char *pointer, struct schema_options *options, struct schema_problems *problems) {
    json_t *copy = json ? json_deep_copy(json) : json_string("adam");
    const char *rate = json_string_value(json_object_get(copy, "learning_rate"));
    if (rate && strcmp(rate, "auto") == 0) {
        options->find_rate = true;
        json_object_del(copy, "learning_rate");
    }
    options->optimizer =
        (const struct bp_optimizer_ops *)schema_entry_decode(copy, pointer, &bp_optimizers, NULL, options->optimizer_values, problems);
    if (options->optimizer && options->optimizer->search && options->find_rate)
        schema_problem_add(problems, pointer, "%s determines its step length itself; leave learning_rate out", options->optimizer->entry.name);
    json_decref(copy);
}

static const char *const validation_names[] = {"", "group", "time", "column", "dataset", NULL};

/* "group", "time", "column" or "dataset", whose value is a text. */
static void decode_way(const json_t *value, int i, const char *place, struct schema_options *options, struct schema_problems *problems) {
    const bool dataset = i == SCHEMA_VALIDATION_DATASET;
    const size_t room = dataset ? sizeof options->validation_dataset : sizeof options->validation_column;
    char got[80];
    if (!json_is_string(value) || json_string_length(value) >= room)
        schema_problem_add(problems, place, "%s must be the name of a %s, got %s", validation_names[i], dataset ? "stored dataset" : "column",
                           schema_json_text(value, got, sizeof got));
    else if (options->validation != SCHEMA_VALIDATION_RANDOM)
        schema_problem_add(problems, place, "give only one way to select validation rows: %s or %s", validation_names[options->validation],
                           validation_names[i]);
    else {
        options->validation = (enum schema_validation)i;
        snprintf(dataset ? options->validation_dataset : options->validation_column, room, "%s", json_string_value(value));
    }
}

/* {"fraction":0.2}, with "group" or "time" and a column; {"column":"split"}; {"folds":5}, with "group" or without; {"dataset":"name@2"}. */
static void decode_validation(const json_t *json, const char *pointer, struct schema_options *options, struct schema_problems *problems) {
    enum { FRACTION, FOLDS };
    struct bp_value values[2];
    char place[300], got[80];
    if (!json_is_object(json)) {
        schema_problem_add(problems, pointer, "validation must be an object like {\"fraction\":0.2}, got %s",
                           schema_json_text(json, got, sizeof got));
        return;
    }
    const bool valid =
        schema_values_decode(json, pointer, &validation_entry, &(struct schema_names){.list = validation_names + 1}, values, problems) == 0;
    for (int i = 1; validation_names[i]; i++) {
        const json_t *value = json_object_get(json, validation_names[i]);
        if (!value || json_is_null(value)) continue;
        decode_way(value, i, schema_pointer(pointer, validation_names[i], place, sizeof place), options, problems);
    }
    const bool folds = json_object_get(json, "folds") != NULL, dataset = options->validation == SCHEMA_VALIDATION_DATASET;
    if (folds && options->validation != SCHEMA_VALIDATION_RANDOM && options->validation != SCHEMA_VALIDATION_GROUP)
        schema_problem_add(problems, schema_pointer(pointer, validation_names[options->validation], place, sizeof place),
                           "folds can only be combined with group: every row validates once, so %s cannot select the validation rows",
                           validation_names[options->validation]);
    if ((folds || dataset) && json_object_get(json, "fraction"))
        schema_problem_add(problems, schema_pointer(pointer, "fraction", place, sizeof place),
                           folds ? "with folds every row validates once: leave fraction out, or use a fraction without folds"
                                 : "the rows of the other dataset validate, so no rows of the job's dataset are held out: leave fraction out");
    if (!valid) return;
    const bool by_column = options->validation == SCHEMA_VALIDATION_COLUMN; /* of a resolved job: the share that the column came to */
    if (values[FRACTION].number > FRACTION_MAX && !by_column)
        schema_problem_add(problems, schema_pointer(pointer, "fraction", place, sizeof place),
                           "fraction must be a number of at least 0 and at most %g, got %g: training rows are needed", FRACTION_MAX,
                           values[FRACTION].number);
    if ((options->validation == SCHEMA_VALIDATION_GROUP || options->validation == SCHEMA_VALIDATION_TIME) && values[FRACTION].number == 0)
        schema_problem_add(problems, schema_pointer(pointer, validation_names[options->validation], place, sizeof place),
                           "fraction is 0, so no rows are held back and %s would have no effect; say a fraction above 0, or leave %s out",
                           validation_names[options->validation], validation_names[options->validation]);
    options->validation_fraction = values[FRACTION].number;
    options->validation_fraction_given = values[FRACTION].given;
    options->folds = (int32_t)values[FOLDS].number;
    if (folds) options->validation_fraction = 1.0 / options->folds;
    if (dataset) options->validation_fraction = 0;
}

/* {"fraction":0.2}, with "group" or "time" and a column; {"column":"split"}; null: none. */
static void decode_test(const json_t *json, const char *pointer, struct schema_options *options, struct schema_problems *problems) {
    struct bp_value value;
    char place[300], got[80];
    if (json_is_null(json)) return;
    if (!json_is_object(json)) {
        schema_problem_add(problems, pointer, "test must be an object like {\"fraction\":0.2}, or null, got %s",
                           schema_json_text(json, got, sizeof got));
        return;
    }
    static const char *const ways[] = {"column", "group", "time", NULL};
    if (schema_values_decode(json, pointer, &test_entry, &(struct schema_names){.list = ways}, &value, problems) != 0) return;
    for (int i = SCHEMA_VALIDATION_GROUP; i <= SCHEMA_VALIDATION_COLUMN; i++) {
        const json_t *column = json_object_get(json, validation_names[i]);
        if (!column || json_is_null(column)) continue;
        schema_pointer(pointer, validation_names[i], place, sizeof place);
        if (!json_is_string(column) || json_string_length(column) >= sizeof options->test_column)
            schema_problem_add(problems, place, "%s must be the name of a column, got %s", validation_names[i],
                               schema_json_text(column, got, sizeof got));
        else if (options->test != SCHEMA_VALIDATION_RANDOM)
            schema_problem_add(problems, place, "give only one way to select test rows: %s or %s", validation_names[options->test],
                               validation_names[i]);
        else options->test = (enum schema_validation)i;
        if (json_is_string(column)) snprintf(options->test_column, sizeof options->test_column, "%.255s", json_string_value(column));
    }
    const bool by_column = options->test == SCHEMA_VALIDATION_COLUMN;
    options->test_fraction = by_column ? 0 : value.number;
    if (by_column && json_object_get(json, "fraction"))
        schema_problem_add(problems, schema_pointer(pointer, "fraction", place, sizeof place),
                           "the column selects the test rows: leave fraction out");
    else if (!by_column && (value.number > FRACTION_MAX || value.number <= 0))
        schema_problem_add(problems, schema_pointer(pointer, "fraction", place, sizeof place),
                           "fraction must be a number above 0 and at most %g, got %g: leave test out if no rows are to be tested", FRACTION_MAX,
                           value.number);
}

bool schema_options_test(const struct schema_options *o) {
    return o->test_fraction > 0 || o->test == SCHEMA_VALIDATION_COLUMN;
}

static json_t *encode_test(const struct schema_options *o) {
    if (!schema_options_test(o)) return json_null();
    json_t *json = json_object();
    if (o->test != SCHEMA_VALIDATION_COLUMN) json_object_set_new(json, "fraction", schema_number_encode(o->test_fraction));
    if (o->test != SCHEMA_VALIDATION_RANDOM) json_object_set_new(json, validation_names[o->test], json_string(o->test_column));
    return json;
}

/* The epochs that a schedule waits for an improvement, 0: it does not. */
static int32_t schedule_patience(const struct schema_options *o) {
    const struct bp_entry *entry = o->schedule && o->schedule->observe ? &o->schedule->entry : NULL;
    for (int32_t i = 0; entry && i < entry->params_count; i++)
        if (strcmp(entry->params[i].name, "patience") == 0) return (int32_t)o->schedule_values[i].number;
    return 0;
}

void schema_options_settle(struct schema_options *o, bool validates) {
    if (o->stop_default && !o->stop_early && validates) {
        const int32_t waits = schedule_patience(o);
        o->stop_early = true;
        o->stop_patience = waits < SCHEMA_PATIENCE ? SCHEMA_PATIENCE : 2 * waits + 2;
    }
    if (o->stop_early && !o->epochs_given) o->epochs = SCHEMA_EPOCHS_MOST;
}

bool schema_options_validate(const struct schema_options *o) {
    return o->validation_fraction > 0 || o->validation == SCHEMA_VALIDATION_DATASET;
}

static json_t *encode_validation(const struct schema_options *o) {
    json_t *json = json_object();
    if (o->folds) json_object_set_new(json, "folds", json_integer(o->folds));
    else if (o->validation != SCHEMA_VALIDATION_DATASET) json_object_set_new(json, "fraction", schema_number_encode(o->validation_fraction));
    if (o->validation == SCHEMA_VALIDATION_DATASET) json_object_set_new(json, "dataset", json_string(o->validation_dataset));
    else if (o->validation != SCHEMA_VALIDATION_RANDOM) json_object_set_new(json, validation_names[o->validation], json_string(o->validation_column));
    return json;
}

/* What belongs to a definition, placed in the job beside it: a problem that says where it belongs. */
static const char *const model_parts[] = {"layers", "loss", "metrics", "loss_weights", "outputs", "inputs", NULL};

static void report_misplaced(const json_t *object, const char *pointer, const char *const *others, struct schema_problems *problems) {
    char place[256];
    for (int32_t i = 0; model_parts[i]; i++) {
        const char *name = model_parts[i];
        if (!json_object_get(object, name) || schema_names_have(&(struct schema_names){.list = others}, name)) continue;
        const bool layers = strcmp(name, "layers") == 0;
        schema_problem_add(problems, schema_pointer(pointer, name, place, sizeof place),
                           "\"%s\" is part of the model: write \"model\":{\"layers\":[...]%s%s%s}", name, layers ? "" : ",\"", layers ? "" : name,
                           layers ? "" : "\":...");
    }
}

static const struct bp_schedule_ops *decode_schedule(const json_t *object, const char *pointer, const char *name, struct bp_value *values,
                                                     struct schema_problems *problems) {
    char place[256];
    const json_t *schedule = json_object_get(object, name);
    if (!schedule || json_is_null(schedule)) return NULL;
    return (const struct bp_schedule_ops *)schema_entry_decode(schedule, schema_pointer(pointer, name, place, sizeof place), &bp_schedules, NULL,
                                                               values, problems);
}

static json_t *encode_schedule(const struct bp_schedule_ops *schedule, const struct bp_value *values) {
    return schedule ? schema_entry_encode(&schedule->entry, values) : json_null();
}

int schema_options_decode(const json_t *object, const char *pointer, const char *const *others, struct schema_options *options,
                          struct schema_problems *problems) {
    static const char *const own[] = {"validation", "test", "optimizer", "early_stopping", "schedule", "dropout_schedule", "weight_decay_schedule",
                                      NULL};
    const struct schema_names parts = {model_parts, NULL}, more = {others, &parts}, known = {own, &more};
    const int64_t before = problems->total;
    char place[256];
    struct bp_value values[COUNT];
    memset(options, 0, sizeof *options);
    report_misplaced(object, pointer, others, problems);
    schema_values_decode(object, pointer, &options_entry, &known, values, problems);
    for (int32_t i = 0; i < COUNT; i++) put(options, &fields[i], &values[i]);
    const json_t *validation = json_object_get(object, "validation"), *optimizer = json_object_get(object, "optimizer");
    const json_t *stopping = json_object_get(object, "early_stopping");
    options->stop_default = !stopping;
    options->validation_fraction = 0.2;
    if (validation) decode_validation(validation, schema_pointer(pointer, "validation", place, sizeof place), options, problems);
    if (json_object_get(object, "test"))
        decode_test(json_object_get(object, "test"), schema_pointer(pointer, "test", place, sizeof place), options, problems);
    decode_optimizer(optimizer, schema_pointer(pointer, "optimizer", place, sizeof place), options, problems);
    options->schedule = decode_schedule(object, pointer, "schedule", options->schedule_values, problems);
    options->dropout_schedule = decode_schedule(object, pointer, "dropout_schedule", options->dropout_schedule_values, problems);
    options->decay_schedule = decode_schedule(object, pointer, "weight_decay_schedule", options->decay_schedule_values, problems);
    if (stopping) decode_stopping(stopping, schema_pointer(pointer, "early_stopping", place, sizeof place), options, problems);
    return problems->total == before ? 0 : -1;
}

json_t *schema_options_encode(const struct schema_options *o) {
    json_t *json = json_object();
    struct bp_value values[COUNT];
    for (int32_t i = 0; i < COUNT; i++) values[i] = get(o, &fields[i]);
    schema_values_encode(&options_entry, values, true, json);
    json_object_set_new(json, "validation", encode_validation(o));
    json_object_set_new(json, "test", encode_test(o));
    json_object_set_new(json, "optimizer", schema_entry_encode(&o->optimizer->entry, o->optimizer_values));
    if (o->find_rate) json_object_set_new(json_object_get(json, "optimizer"), "learning_rate", json_string("auto"));
    json_object_set_new(json, "schedule", encode_schedule(o->schedule, o->schedule_values));
    json_object_set_new(json, "dropout_schedule", encode_schedule(o->dropout_schedule, o->dropout_schedule_values));
    json_object_set_new(json, "weight_decay_schedule", encode_schedule(o->decay_schedule, o->decay_schedule_values));
    if (o->stop_early)
        json_object_set_new(json, "early_stopping",
                            json_pack("{s:s, s:i, s:o}", "metric", o->stop_metric, "patience", o->stop_patience, "min_delta",
                                      schema_number_encode(o->stop_min_delta)));
    else json_object_set_new(json, "early_stopping", json_null());
    return json;
}

void schema_options_complete(json_t *encoded) {
    static const char *const others[] = {NULL};
    struct schema_options options = {0};
    struct schema_problems problems = {0};
    json_t *none = json_object(), *defaults = NULL;
    bool lacks = false;
    for (int32_t i = 0; schema_options_names[i]; i++) lacks = lacks || !json_object_get(encoded, schema_options_names[i]);
    if (lacks && json_is_object(encoded) && schema_options_decode(none, "", others, &options, &problems) == 0)
        defaults = schema_options_encode(&options);
    if (defaults) json_object_update_missing(encoded, defaults);
    schema_problems_clear(&problems);
    json_decref(defaults);
    json_decref(none);
}
