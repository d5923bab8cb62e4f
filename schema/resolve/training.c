/* training.c - resolving a job against its data.
 *
 * Order: which columns (columns.c); what each target is; the split (split.c) and the fitted preprocessing; the dataset that
 * validates (validation.c); which output learns what, output layers and losses (output.c); the plan of the network; metrics and
 * early stopping (metrics.c). Every step adds all its problems before the next one starts. */
#include "schema/resolve/resolution.h"

#include "engine/kernels/kernels.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { WARNINGS_MAX = 20 };

void resolving_warn(struct resolving *r, const char *format, ...) {
    char text[400];
    va_list arguments;
    if (json_array_size(r->training->warnings) >= WARNINGS_MAX) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(r->training->warnings, json_string(text));
}

const char *resolving_place(const struct resolving *r, const char *name, char *out, size_t size) {
    return schema_pointer(r->request->pointer, name, out, size);
}

const char *resolving_validation_place(const struct resolving *r, const char *name, char *out, size_t size) {
    snprintf(out, size, "%s/validation/%s", r->request->pointer, name);
    return out;
}

/* ---- split and preprocessing ----------------------------------------------------------------------------------------------- */

/* The split needs classes, classes need labels, not yet scales: a view through a preprocessing that has only the targets. */
static struct schema_preprocessing bare_targets(const struct resolving *r, struct schema_target *targets, struct schema_feature *features) {
    for (int32_t k = 0; k < r->targets_count; k++) {
        const struct resolving_target *t = &r->targets[k];
        const struct schema_column *c = &r->dataset->columns[t->column];
        targets[k] = (struct schema_target){
            .name = c->name, .classification = t->classification, .labels_count = t->labels_count, .labels = t->labels, .std = 1};
        targets[k].shape = c->shape;
        targets[k].ragged = t->ragged;
        targets[k].multilabel = t->multilabel;
        if (t->multilabel) targets[k].shape = (struct bp_shape){.rank = 1, .dims = {t->labels_count}};
    }
    int32_t dropping = 0; /* features whose missing values leave rows out */
    for (int32_t i = 0; i < r->features_count; i++)
        if (r->options[i].missing == SCHEMA_MISSING_DROP)
            features[dropping++] = (struct schema_feature){
                .name = r->dataset->columns[r->features[i]].name, .type = r->dataset->columns[r->features[i]].type, .options = r->options[i]};
    return (struct schema_preprocessing){.features_count = dropping,
                                         .features = features,
                                         .targets_count = r->targets_count,
                                         .targets = targets,
                                         .sample_weight = r->sample_weight < 0 ? NULL : r->dataset->columns[r->sample_weight].name};
}

static int fit_rows(struct resolving *r, const struct schema_split *split, struct schema_fit_target *targets, struct bp_error *error) {
    for (int32_t k = 0; k < r->targets_count; k++)
        targets[k] = (struct schema_fit_target){.column = r->targets[k].column,
                                                .labels = r->targets[k].labels,
                                                .labels_count = r->targets[k].labels_count,
                                                .ragged = r->targets[k].ragged,
                                                .clamp = r->targets[k].clamp,
                                                .transform = r->targets[k].transform,
                                                .multilabel = r->targets[k].multilabel,
                                                .balanced = r->targets[k].balanced,
                                                .class_weights = r->targets[k].class_weights};
    const struct schema_fit how = {.dataset = r->dataset,
                                   .columns = r->features,
                                   .columns_count = r->features_count,
                                   .options = r->options,
                                   .targets = targets,
                                   .targets_count = r->targets_count,
                                   .sample_weight = r->sample_weight < 0 ? NULL : r->dataset->columns[r->sample_weight].name,
                                   .rows = split->train,
                                   .n = split->train_count,
                                   .sparing = r->training->fold && r->training->options.window_rows > 0};
    r->training->preprocessing = schema_preprocessing_fit(&how, error);
    if (!r->training->preprocessing) return -1;
    if (!r->request->keep || schema_preprocessing_adopt(r->training->preprocessing, r->request->keep, r->request->columns, error) == 0) return 0;
    schema_preprocessing_free(r->training->preprocessing);
    r->training->preprocessing = NULL;
    return -1;
}

/* Rows that are left out, and whether any validates. kept: can be learned from; drops: columns that leave rows out. */
static void report_split(struct resolving *r, int64_t kept, bool drops) {
    const struct schema_options *o = &r->training->options;
    const long long rows = (long long)r->dataset->rows;
    if (schema_options_validate(o) && o->validation != SCHEMA_VALIDATION_DATASET && r->validation_rows == 0)
        resolving_warn(r, "no row validates, so there is no val_loss: %s; add rows, or name a dataset in validation",
                       kept < 2 ? "there is only one usable row" : "each class needs a training row, and none has a second row");
    if (kept + r->test_rows == r->dataset->rows) return;
    resolving_warn(r, "%lld of %lld rows have no value in \"%s\"%s and are left out", rows - (long long)(kept + r->test_rows), rows,
                   r->dataset->columns[r->targets[0].column].name,
                   drops                  ? ", or in a column whose missing is \"drop\","
                   : r->targets_count > 1 ? " or another target"
                                          : "");
}

/* A column says which rows validate: the fraction becomes what they come to. */
static void take_fraction(struct resolving *r, int64_t kept) {
    struct schema_options *o = &r->training->options;
    const double is = (double)r->split.validation_count / (double)(kept > 0 ? kept : 1);
    if (o->validation_fraction_given && fabs(o->validation_fraction - is) > 1e-6)
        resolving_warn(r, "validation.fraction is %g, but column \"%.60s\" says which rows validate, which are %.4g of them: leave fraction out",
                       o->validation_fraction, o->validation_column, is);
    o->validation_fraction = is;
}

static void fit(struct resolving *r) {
    struct bp_error error = {0};
    struct schema_target *bare = calloc((size_t)r->targets_count, sizeof *bare);
    struct schema_fit_target *targets = calloc((size_t)r->targets_count, sizeof *targets);
    struct schema_feature *features = calloc((size_t)r->features_count + 1, sizeof *features);
    struct schema_preprocessing bare_preprocessing = {0};
    struct schema_view *view = NULL;
    int64_t kept = 0;
    if (!bare || !targets || !features) {
        bp_error_memory(&error, "out of memory");
    } else {
        bare_preprocessing = bare_targets(r, bare, features);
        view = schema_view_new(&bare_preprocessing, r->dataset, true, &error);
    }
    struct schema_split test = {0};
    if (view && schema_training_test(r->training, view, &test, &error) == 0) r->test_rows = test.validation_count;
    schema_split_free(&test);
    if (view && !error.message[0] && schema_training_split(r->training, view, &r->split, &error) == 0 &&
        resolving_folds(r, view, &r->split, &error) == 0) {
        kept = r->split.train_count + r->split.validation_count;
        r->validation_rows = r->training->options.folds ? kept : r->split.validation_count;
        if (r->training->options.validation == SCHEMA_VALIDATION_COLUMN) take_fraction(r, kept);
        if (r->split.train_count < 1)
            bp_error_set(&error, "/dataset", "no training rows are left: %lld rows have a value in the target column%s", (long long)kept,
                         r->targets_count > 1 ? "s" : "");
        else fit_rows(r, &r->split, targets, &error);
    }
    if (!r->training->preprocessing) {
        char where[RESOLVING_POINTER_MAX];
        snprintf(where, sizeof where, "%s%s", r->request->pointer, error.pointer);
        schema_problem_error(r->problems, where, &error);
    } else {
        report_split(r, kept, bare_preprocessing.features_count > 0);
    }
    schema_view_free(view);
    free(features);
    free(bare);
    free(targets);
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------------- */

int schema_training_request_decode(const json_t *object, const char *pointer, struct schema_training_request *request,
                                   struct schema_problems *problems) {
    int64_t before = problems->total;
    char where[RESOLVING_POINTER_MAX], got[80];
    const json_t *target = json_object_get(object, "target"), *task = json_object_get(object, "task"),
                 *features = json_object_get(object, "features"), *weight = json_object_get(object, "sample_weight");
    *request = (struct schema_training_request){.pointer = pointer, .definition_pointer = "/model"};
    if (!target) schema_problem_add(problems, pointer, "a job needs \"target\": the name of the column to predict");
    else if (!json_is_string(target) && !json_is_array(target) && !json_is_object(target))
        schema_problem_add(problems, schema_pointer(pointer, "target", where, sizeof where),
                           "target must be the name of a column, a list of columns, or an object of columns by output layer, got %s",
                           schema_json_text(target, got, sizeof got));
    if (task && !json_is_null(task) && !json_is_string(task) && !json_is_object(task))
        schema_problem_add(problems, schema_pointer(pointer, "task", where, sizeof where),
                           "task must be \"classification\" or \"regression\", got %s", schema_json_text(task, got, sizeof got));
    if (features && !json_is_null(features) && !json_is_array(features))
        schema_problem_add(problems, schema_pointer(pointer, "features", where, sizeof where), "features must be a list of column names, got %s",
                           schema_json_text(features, got, sizeof got));
    if (weight && !json_is_null(weight) && !json_is_string(weight))
        schema_problem_add(problems, schema_pointer(pointer, "sample_weight", where, sizeof where),
                           "sample_weight must be the name of a column, got %s", schema_json_text(weight, got, sizeof got));
    request->target = target;
    request->task = json_is_null(task) ? NULL : task;
    request->features = json_is_array(features) ? features : NULL;
    request->sample_weight = json_string_value(weight);
    request->class_weights = json_object_get(object, "class_weights");
    const json_t *thresholds = json_object_get(object, "thresholds"), *labels = json_object_get(object, "labels");
    request->thresholds = json_is_null(thresholds) ? NULL : thresholds;
    request->labels = json_is_null(labels) ? NULL : labels;
    request->transform = json_object_get(object, "transform");
    request->clamp = json_object_get(object, "clamp");
    request->positive_class = json_object_get(object, "positive_class");
    if (request->labels && !json_is_array(labels) && !json_is_object(labels))
        schema_problem_add(problems, schema_pointer(pointer, "labels", where, sizeof where),
                           "labels are names for the positions of a vector of 0 and 1, like [\"red\",\"round\"], got %s",
                           schema_json_text(labels, got, sizeof got));
    const json_t *columns = json_object_get(object, "columns");
    if (columns && !json_is_null(columns) && !json_is_object(columns))
        schema_problem_add(problems, schema_pointer(pointer, "columns", where, sizeof where),
                           "columns must be an object by column, like {\"age\":{\"missing\":\"median\"}}, got %s",
                           schema_json_text(columns, got, sizeof got));
    request->columns = json_is_object(columns) ? columns : NULL;
    return problems->total == before ? 0 : -1;
}

const char *const schema_training_request_names[] = {"target",     "task",   "features",  "sample_weight", "class_weights",  "columns",
                                                     "thresholds", "labels", "transform", "clamp",         "positive_class", NULL};

static void report_heads(struct resolving *r) {
    const struct bp_network *network = r->training->network;
    for (int32_t o = 0; o < network->outputs_count; o++)
        if (network->outputs[o].head_implied)
            resolving_warn(r, "the output layer%s%s%s is linear: its outputs are logits, and %s is applied to them",
                           network->outputs_count > 1 ? " \"" : "", network->outputs_count > 1 ? r->outputs[o].name : "",
                           network->outputs_count > 1 ? "\"" : "", network->outputs[o].loss->head->entry.name);
}

/* What only the engine knows to be wrong with the options for this network. */
static void check_training(struct resolving *r) {
    struct bp_error error = {0};
    char where[RESOLVING_POINTER_MAX];
    struct bp_train_options options = schema_training_options(r->training);
    if (options.precision == BP_PRECISION_BFLOAT16) {
        struct bp_error cpu = {0};
        const struct bp_error *missing = bp_bfloat16_available(&cpu) ? r->request->bfloat16_unavailable : &cpu;
        if (missing)
            schema_problem_add(r->problems, resolving_place(r, "precision", where, sizeof where),
                               "products in bfloat16 are not available here: %s; use \"float32\" or \"auto\"", missing->message);
    }
    options.precision = BP_PRECISION_FLOAT32; /* the job's process starts what computes the other */
    if (bp_train_check(r->training->network, &options, &error) == 0) return;
    snprintf(where, sizeof where, "%s%s", r->request->pointer, error.pointer);
    schema_problem_error(r->problems, where, &error);
}

bool resolving_tensor(const struct schema_dataset *d, int32_t column) {
    return schema_type_of(d->columns[column].type)->storage == SCHEMA_HELD_AS_TENSOR;
}

bool resolving_holds_indices(const struct schema_dataset *d, int32_t column, int32_t indices, double *worst) {
    const bool tensor = resolving_tensor(d, column);
    const int64_t size = tensor ? bp_shape_size(&d->columns[column].shape) : 1;
    float *cell = malloc((size_t)size * sizeof *cell);
    bool good = cell != NULL;
    for (int64_t row = 0; good && row < d->rows; row++) {
        if (tensor) schema_dataset_tensor(d, column, row, cell);
        else cell[0] = (float)schema_dataset_number(d, column, row);
        for (int64_t i = 0; good && i < size; i++) {
            *worst = (double)cell[i];
            good = isnan(cell[i]) || (cell[i] >= 0 && cell[i] < (float)indices && floorf(cell[i]) == cell[i]);
        }
    }
    free(cell);
    return good;
}

/* A feature whose numbers an embedding reads as they are: an index out of range would end the training. */
static void check_indices(struct resolving *r, int32_t i, int32_t indices) {
    const struct schema_feature *f = &r->training->preprocessing->features[i];
    char where[RESOLVING_POINTER_MAX];
    double worst = 0;
    resolving_place(r, "features", where, sizeof where);
    if (!schema_type_of(f->type)->quantity)
        schema_problem_add(r->problems, where, "column \"%.60s\" is %s, but an embedding reads it and accepts integers from 0 to %d", f->name,
                           schema_type_name(f->type), indices - 1);
    else if (f->indicator)
        schema_problem_add(r->problems, where, "column \"%.60s\" has missing cells, but an embedding reads it and accepts integers from 0 to %d",
                           f->name, indices - 1);
    else if (!resolving_holds_indices(r->dataset, r->features[i], indices, &worst))
        schema_problem_add(r->problems, where,
                           "column \"%.60s\" holds %.9g, but an embedding reads it and accepts integers from 0 to %d; raise its "
                           "input_dim, or leave the column out",
                           f->name, worst, indices - 1);
    else if (!resolving_validation_indices(r, f->name, indices, &worst))
        schema_problem_add(r->problems, resolving_validation_place(r, "dataset", where, sizeof where),
                           "its column \"%.60s\" holds %.9g, but an embedding reads it and accepts integers from 0 to %d", f->name, worst,
                           indices - 1);
    resolving_scale_of_indices(r, f);
}

/* The features that embeddings read: those with numbers of their own need enough of them, the others are not scaled. */
static void resolve_indices(struct resolving *r) {
    struct schema_preprocessing *p = r->training->preprocessing;
    struct bp_network *network = r->training->definition->layers_count > 0 ? resolving_plan(r, false) : NULL;
    char where[RESOLVING_POINTER_MAX];
    for (int32_t i = 0; network && i < p->features_count; i++) {
        struct schema_feature *f = &p->features[i];
        const struct schema_type_ops *type = schema_type_of(f->type);
        const char *meaning = "";
        int32_t indices = 0;
        for (int32_t k = 0; k < f->places_count && !indices; k++) indices = bp_network_indices(network, f->places[k].input);
        const int32_t own = indices && type->indices ? type->indices(f, &meaning) : 0;
        if (own > indices)
            schema_problem_add(r->problems, resolving_place(r, "features", where, sizeof where),
                               "column \"%.60s\" has %d %s: the embedding that reads it needs an input_dim of at least %d, not %d", f->name,
                               f->categories_count, meaning, own, indices);
        if (!indices || own) continue;
        check_indices(r, i, indices);
        schema_feature_unscaled(f);
    }
    bp_network_free(network);
}

/* The rare that share a bucket: the user should know that they do. */
static void warn_left_out(struct resolving *r) {
    const struct schema_preprocessing *p = r->training->preprocessing;
    for (int32_t i = 0; i < p->features_count; i++)
        if (p->features[i].left_out > 0)
            resolving_warn(r,
                           "column \"%s\" has %lld categories in the training rows: the %d most frequent are kept, the others are treated as "
                           "unknown; \"categories_max\" in columns sets the number",
                           p->features[i].name, (long long)p->features[i].categories_count + (long long)p->features[i].left_out,
                           p->features[i].categories_count);
    for (int32_t i = 0; i < p->features_count; i++)
        if (p->features[i].rare > 0 && p->features[i].categories_count == 0)
            resolving_warn(r, "column \"%s\" has no effect: none of its %lld categories has the %d training rows that categories_min_count demands",
                           p->features[i].name, (long long)p->features[i].rare, p->features[i].options.categories_min_count);
}

/* The columns, the split, and the preprocessing fitted on the training rows. */
static void resolve_features(struct resolving *r) {
    resolving_columns(r);
    resolving_tasks(r);
    if (r->problems->total) return;
    resolving_target_options(r); /* before what is by label */
    resolving_class_weights(r);
    if (r->problems->total) return;
    fit(r);
}

static void draw_outline(struct resolving *r) {
    const struct schema_preprocessing *p = r->training->preprocessing;
    int32_t counts[SCHEMA_SHARED_INPUTS];
    schema_preprocessing_count(p, counts);
    *r->outline = (struct schema_training_outline){.rows = r->split.train_count,
                                                   .numbers = counts[SCHEMA_INPUT_NUMBERS],
                                                   .categories = counts[SCHEMA_INPUT_CATEGORIES],
                                                   .own_inputs = p->inputs_count - p->shared_count,
                                                   .targets = p->targets_count,
                                                   .classes = p->targets[0].labels_count};
}

uint64_t schema_seed_draw(void) {
    uint32_t seed = 1;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = 1;
    return seed;
}

static void resolve(struct resolving *r) {
    struct schema_options *o = &r->training->options;
    if (!o->seed_given) {
        o->seed = schema_seed_draw();
        o->seed_given = true;
    }
    resolve_features(r);
    if (r->problems->total) return;
    if (r->outline) {
        draw_outline(r);
        return;
    }
    warn_left_out(r);
    resolving_split_inputs(r);
    if (r->problems->total) return;
    resolving_inputs(r);
    resolving_validation(r);
    if (r->problems->total) return;
    resolving_masks(r);
    if (r->problems->total) return;
    resolve_indices(r);
    if (r->problems->total) return;
    resolving_outputs(r);
    if (r->problems->total) return;
    resolving_complete(r);
    if (r->problems->total) return;
    r->training->network = resolving_plan(r, true);
    if (r->training->network) {
        resolving_target_padding(r);
        resolving_target_range(r);
        resolving_check_transforms(r);
    }
    if (r->training->network) report_heads(r);
    if (r->training->network) resolving_thresholds(r);
    resolving_metrics(r);
    resolving_stopping(r);
    if (r->training->network && !r->training->network->complete)
        schema_problem_add(r->problems, r->request->definition_pointer, "the shapes of this network are not all known");
    if (!r->problems->total) check_training(r);
    if (!r->problems->total && !r->training->fold) resolving_effects(r);
    if (!r->problems->total) resolving_folds_plan(r);
}

static struct schema_training *resolve_job(struct schema_definition *definition, const struct schema_options *options,
                                           const struct schema_dataset *dataset, const struct schema_training_request *request,
                                           struct schema_training_outline *outline, struct schema_problems *problems) {
    struct schema_training *t = calloc(1, sizeof *t);
    struct resolving_target *targets = calloc(RESOLVING_TARGETS_MAX, sizeof *targets);
    if (!t || !targets) {
        free(t);
        free(targets);
        schema_definition_free(definition);
        schema_problem_no_memory(problems);
        return NULL;
    }
    t->definition = definition;
    t->options = *options;
    t->fold = request->fold;
    t->warnings = json_array();
    struct resolving r = {.training = t, .dataset = dataset, .request = request, .problems = problems, .targets = targets, .outline = outline};
    resolve(&r);
    schema_split_free(&r.split);
    free(r.features);
    free(r.options);
    for (int32_t k = 0; k < RESOLVING_TARGETS_MAX; k++) {
        for (int32_t i = 0; targets[k].labels && i < targets[k].labels_count; i++) free(targets[k].labels[i]);
        free(targets[k].labels);
        free(targets[k].class_weights);
    }
    free(targets);
    struct bp_error damage = {0};
    if (schema_dataset_intact(dataset, &damage) != 0 || schema_dataset_intact(request->validation, &damage) != 0) {
        schema_problems_clear(problems); /* what was found in cells that are not there means nothing */
        schema_problem_error(problems, NULL, &damage);
    }
    if (problems->total == 0 && schema_memory_failed()) schema_problem_no_memory(problems); /* a warning, a name may be missing */
    if (problems->total == 0) return t;
    schema_training_free(t);
    return NULL;
}

struct schema_training *schema_training_resolve(struct schema_definition *definition, const struct schema_options *options,
                                                const struct schema_dataset *dataset, const struct schema_training_request *request,
                                                struct schema_problems *problems) {
    return resolve_job(definition, options, dataset, request, NULL, problems);
}

int schema_training_outline(const struct schema_options *options, const struct schema_dataset *dataset, const struct schema_training_request *request,
                            struct schema_training_outline *outline, struct schema_problems *problems) {
    struct schema_definition *none = calloc(1, sizeof *none);
    *outline = (struct schema_training_outline){0};
    if (!none) return schema_problem_no_memory(problems);
    struct schema_training *t = resolve_job(none, options, dataset, request, outline, problems);
    schema_training_free(t);
    return t ? 0 : -1;
}

void schema_training_free(struct schema_training *t) {
    if (!t) return;
    schema_definition_free(t->definition);
    schema_preprocessing_free(t->preprocessing);
    bp_network_free(t->network);
    json_decref(t->warnings);
    free(t);
}
