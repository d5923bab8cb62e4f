/* options.c - training options from JSON and back, from tables of parameters like everything else. */
#include "schema/training/options.h"

#include "schema/json/values.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    EPOCHS,
    BATCH_SIZE,
    SEED,
    THREADS,
    L1,
    L2,
    MAX_NORM,
    GRADIENT_CLIP_NORM,
    GRADIENT_CLIP_VALUE,
    GRADIENT_ACCUMULATION_STEPS,
    EMA,
    MIXUP,
    PRECISION,
    CHECKPOINT_EVERY_EPOCHS,
    WINDOW_ROWS
};
static const char *const precisions[] = {"float32", "bfloat16", "auto", NULL};
static const struct bp_param params[] = {
    [EPOCHS] = {"epochs", BP_PARAM_INTEGER, "passes over the training rows", .preset = 100, .min = 1, .max = 1e6},
    [BATCH_SIZE] = {"batch_size", BP_PARAM_INTEGER, "rows of one mini-batch", .preset = 32, .min = 1, .max = 65536},
    [SEED] = {"seed", BP_PARAM_INTEGER, "decides weights, split and shuffling; chosen and told when not given", .preset = 0, .min = 0,
              .max = 9007199254740991.0},
    [THREADS] = {"threads", BP_PARAM_INTEGER, "threads that share each mini-batch", .preset = 1, .min = 1, .max = 64},
    [L1] = {"l1", BP_PARAM_NUMBER, "adds l1 x the sum of absolute kernel weights to the loss", .preset = 0, .min = 0, .max = 1e6},
    [L2] = {"l2", BP_PARAM_NUMBER, "adds l2 x the sum of squared kernel weights to the loss", .preset = 0, .min = 0, .max = 1e6},
    [MAX_NORM] = {"max_norm", BP_PARAM_NUMBER, "scales each unit's kernel weights down to this L2 norm; 0 never", .preset = 0, .min = 0, .max = 1e9},
    [GRADIENT_CLIP_NORM] = {"gradient_clip_norm", BP_PARAM_NUMBER, "scales the gradient down to this L2 norm; 0 never", .preset = 0, .min = 0,
                            .max = 1e9},
    [GRADIENT_CLIP_VALUE] = {"gradient_clip_value", BP_PARAM_NUMBER, "holds each number of the gradient within +- this; 0 never", .preset = 0,
                             .min = 0, .max = 1e9},
    [GRADIENT_ACCUMULATION_STEPS] = {"gradient_accumulation_steps", BP_PARAM_INTEGER,
                                     "mini-batches that make one update, of the mean gradient of their samples", .preset = 1, .min = 1, .max = 65536},
    [EMA] = {"ema", BP_PARAM_NUMBER, "decay of a moving average of the weights, which is validated and kept; 0 for none", .preset = 0, .min = 0,
             .max = 1, .flags = BP_PARAM_MAX_OPEN},
    [MIXUP] = {"mixup", BP_PARAM_NUMBER, "alpha of mixup: mini-batches are mixed with themselves by a share from Beta(alpha, alpha); 0 for none",
               .preset = 0, .min = 0, .max = 100},
    [PRECISION] = {"precision", BP_PARAM_CHOICE, "of large products: float32, bfloat16, or auto for bfloat16 where the machine has it", .preset = 0,
                   .choices = precisions},
    [CHECKPOINT_EVERY_EPOCHS] = {"checkpoint_every_epochs", BP_PARAM_INTEGER, "epochs between checkpoints", .preset = 10, .min = 1, .max = 1e6},
    [WINDOW_ROWS] = {"window_rows", BP_PARAM_INTEGER, "rows that are read and shuffled together, for data larger than memory; 0 for all", .preset = 0,
                     .min = 0, .max = 9007199254740991.0},
};
static const struct bp_entry options_entry = {"a job", "training options", params, sizeof params / sizeof *params};

#define FRACTION_MAX 0.9

static const struct bp_param validation_params[] = {
    {"fraction", BP_PARAM_NUMBER, "share of the rows held back for validation, 0 for none", .preset = 0.2, .min = 0, .max = 1,
     .flags = BP_PARAM_MAX_OPEN},
    {"folds", BP_PARAM_INTEGER, "parts that validate in turn, before a fit on all rows", .preset = 0, .min = 2, .max = SCHEMA_FOLDS_MAX},
};
static const struct bp_entry validation_entry = {"validation", "which rows are held back", validation_params, 2};

enum { PATIENCE, MIN_DELTA };
static const struct bp_param stopping_params[] = {
    [PATIENCE] = {"patience", BP_PARAM_INTEGER, "epochs without improvement before it stops", .preset = 10, .min = 0, .max = 1e6},
    [MIN_DELTA] = {"min_delta", BP_PARAM_NUMBER, "what counts as an improvement", .preset = 0, .min = 0, .max = 1e9},
};
static const struct bp_entry stopping_entry = {"early_stopping", "when to stop", stopping_params, 2};

const char *const schema_options_names[] = {"epochs",
                                            "batch_size",
                                            "seed",
                                            "threads",
                                            "l1",
                                            "l2",
                                            "max_norm",
                                            "gradient_clip_norm",
                                            "gradient_clip_value",
                                            "gradient_accumulation_steps",
                                            "ema",
                                            "mixup",
                                            "precision",
                                            "checkpoint_every_epochs",
                                            "window_rows",
                                            "validation",
                                            "optimizer",
                                            "schedule",
                                            "early_stopping",
                                            NULL};

static void decode_stopping(const json_t *json, const char *pointer, struct schema_options *options, struct schema_problems *problems) {
    static const char *const others[] = {"metric", NULL};
    struct bp_value values[2];
    char place[256], got[80];
    if (json_is_null(json) || json_is_false(json)) return;
    if (!json_is_object(json)) {
        schema_problem_add(problems, pointer, "early_stopping must be an object like {\"metric\":\"val_loss\",\"patience\":20}, got %s",
                           schema_json_text(json, got, sizeof got));
        return;
    }
    options->stop_early = true;
    schema_values_decode(json, pointer, &stopping_entry, others, values, problems);
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
        schema_problem_add(problems, pointer, "%s finds the length of its steps itself; leave learning_rate out", options->optimizer->entry.name);
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
        schema_problem_add(problems, place, "validation rows are chosen in one way: say either %s or %s", validation_names[options->validation],
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
    const bool valid = schema_values_decode(json, pointer, &validation_entry, validation_names + 1, values, problems) == 0;
    for (int i = 1; validation_names[i]; i++) {
        const json_t *value = json_object_get(json, validation_names[i]);
        if (!value || json_is_null(value)) continue;
        decode_way(value, i, schema_pointer(pointer, validation_names[i], place, sizeof place), options, problems);
    }
    const bool folds = json_object_get(json, "folds") != NULL, dataset = options->validation == SCHEMA_VALIDATION_DATASET;
    if (folds && options->validation != SCHEMA_VALIDATION_RANDOM && options->validation != SCHEMA_VALIDATION_GROUP)
        schema_problem_add(problems, schema_pointer(pointer, validation_names[options->validation], place, sizeof place),
                           "folds go with group or alone: every row validates once, so %s cannot say which rows are held back",
                           validation_names[options->validation]);
    if ((folds || dataset) && json_object_get(json, "fraction"))
        schema_problem_add(problems, schema_pointer(pointer, "fraction", place, sizeof place),
                           folds ? "with folds every row validates once: leave fraction out, or say a fraction without folds"
                                 : "the rows of the other dataset validate, none of the job's own are held back: leave fraction out");
    if (!valid) return;
    const bool by_column = options->validation == SCHEMA_VALIDATION_COLUMN; /* of a resolved job: the share that the column came to */
    if (values[FRACTION].number > FRACTION_MAX && !by_column)
        schema_problem_add(problems, schema_pointer(pointer, "fraction", place, sizeof place),
                           "fraction must be a number of at least 0 and at most %g, got %g: rows are needed to train on", FRACTION_MAX,
                           values[FRACTION].number);
    options->validation_fraction = values[FRACTION].number;
    options->folds = (int32_t)values[FOLDS].number;
    if (folds) options->validation_fraction = 1.0 / options->folds;
    if (dataset) options->validation_fraction = 0;
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

/* What a definition says, placed in the job beside it. */
static const char *const model_parts[] = {"layers", "loss", "metrics", "loss_weights", "outputs", "inputs", NULL};

static bool misplaced(const json_t *object, const char *pointer, const char *const *known, const char *name, struct schema_problems *problems) {
    char place[256];
    if (!json_object_get(object, name)) return false;
    for (int32_t i = 0; known[i]; i++)
        if (strcmp(known[i], name) == 0) return false;
    const bool layers = strcmp(name, "layers") == 0;
    schema_problem_add(problems, schema_pointer(pointer, name, place, sizeof place),
                       "\"%s\" is part of the model: write \"model\":{\"layers\":[...]%s%s%s}", name, layers ? "" : ",\"", layers ? "" : name,
                       layers ? "" : "\":...");
    return true;
}

int schema_options_decode(const json_t *object, const char *pointer, const char *const *others, struct schema_options *options,
                          struct schema_problems *problems) {
    int64_t before = problems->total;
    const char *known[32] = {"validation", "optimizer", "early_stopping", "schedule"};
    char place[256];
    for (int32_t i = 0; others && others[i] && i < 27; i++) known[4 + i] = others[i];
    struct bp_value values[sizeof params / sizeof *params];
    memset(options, 0, sizeof *options);
    for (int32_t i = 0; model_parts[i]; i++) { /* passed over here: the problem says where they belong */
        if (!misplaced(object, pointer, known, model_parts[i], problems)) continue;
        int32_t n = 0;
        while (known[n]) n++;
        if (n < 31) known[n] = model_parts[i];
    }
    schema_values_decode(object, pointer, &options_entry, known, values, problems);
    options->epochs = (int32_t)values[EPOCHS].number;
    options->batch_size = (int32_t)values[BATCH_SIZE].number;
    options->threads = (int32_t)values[THREADS].number;
    options->seed = (uint64_t)values[SEED].number;
    options->seed_given = values[SEED].given;
    options->l1 = values[L1].number;
    options->l2 = values[L2].number;
    options->max_norm = values[MAX_NORM].number;
    options->gradient_clip_norm = values[GRADIENT_CLIP_NORM].number;
    options->gradient_clip_value = values[GRADIENT_CLIP_VALUE].number;
    options->gradient_accumulation_steps = (int32_t)values[GRADIENT_ACCUMULATION_STEPS].number;
    options->ema = values[EMA].number;
    options->mixup = values[MIXUP].number;
    options->precision = strcmp(precisions[(int)values[PRECISION].number], "bfloat16") == 0 ? BP_PRECISION_BFLOAT16 : BP_PRECISION_FLOAT32;
    options->precision_auto = strcmp(precisions[(int)values[PRECISION].number], "auto") == 0;
    options->checkpoint_every_epochs = (int32_t)values[CHECKPOINT_EVERY_EPOCHS].number;
    options->window_rows = (int64_t)values[WINDOW_ROWS].number;
    options->checkpoint_every_given = values[CHECKPOINT_EVERY_EPOCHS].given;
    const json_t *validation = json_object_get(object, "validation"), *optimizer = json_object_get(object, "optimizer");
    const json_t *stopping = json_object_get(object, "early_stopping");
    options->validation_fraction = 0.2;
    if (validation) decode_validation(validation, schema_pointer(pointer, "validation", place, sizeof place), options, problems);
    decode_optimizer(optimizer, schema_pointer(pointer, "optimizer", place, sizeof place), options, problems);
    const json_t *schedule = json_object_get(object, "schedule");
    if (schedule && !json_is_null(schedule))
        options->schedule = (const struct bp_schedule_ops *)schema_entry_decode(schedule, schema_pointer(pointer, "schedule", place, sizeof place),
                                                                                &bp_schedules, NULL, options->schedule_values, problems);
    if (stopping) decode_stopping(stopping, schema_pointer(pointer, "early_stopping", place, sizeof place), options, problems);
    return problems->total == before ? 0 : -1;
}

json_t *schema_options_encode(const struct schema_options *o) {
    json_t *json = json_object();
    json_object_set_new(json, "epochs", json_integer(o->epochs));
    json_object_set_new(json, "batch_size", json_integer(o->batch_size));
    json_object_set_new(json, "seed", json_integer((json_int_t)o->seed));
    json_object_set_new(json, "threads", json_integer(o->threads));
    json_object_set_new(json, "validation", encode_validation(o));
    json_object_set_new(json, "optimizer", schema_entry_encode(&o->optimizer->entry, o->optimizer_values));
    if (o->find_rate) json_object_set_new(json_object_get(json, "optimizer"), "learning_rate", json_string("auto"));
    json_object_set_new(json, "schedule", o->schedule ? schema_entry_encode(&o->schedule->entry, o->schedule_values) : json_null());
    if (o->stop_early)
        json_object_set_new(json, "early_stopping",
                            json_pack("{s:s, s:i, s:o}", "metric", o->stop_metric, "patience", o->stop_patience, "min_delta",
                                      schema_number_encode(o->stop_min_delta)));
    else json_object_set_new(json, "early_stopping", json_null());
    json_object_set_new(json, "l1", schema_number_encode(o->l1));
    json_object_set_new(json, "l2", schema_number_encode(o->l2));
    json_object_set_new(json, "max_norm", schema_number_encode(o->max_norm));
    json_object_set_new(json, "gradient_clip_norm", schema_number_encode(o->gradient_clip_norm));
    json_object_set_new(json, "gradient_clip_value", schema_number_encode(o->gradient_clip_value));
    json_object_set_new(json, "gradient_accumulation_steps", json_integer(o->gradient_accumulation_steps));
    json_object_set_new(json, "ema", schema_number_encode(o->ema));
    json_object_set_new(json, "mixup", schema_number_encode(o->mixup));
    json_object_set_new(json, "precision", json_string(o->precision_auto ? "auto" : o->precision == BP_PRECISION_BFLOAT16 ? "bfloat16" : "float32"));
    json_object_set_new(json, "checkpoint_every_epochs", json_integer(o->checkpoint_every_epochs));
    json_object_set_new(json, "window_rows", json_integer((json_int_t)o->window_rows));
    return json;
}
