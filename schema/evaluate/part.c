/* part.c - see part.h: rows through a model, and their predictions by target. */
#include "schema/evaluate/part.h"

#include "engine/activations/activation.h"
#include "engine/base/random.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256 };

/* ---- which parts there are ---------------------------------------------------------------------------------------------------------------- */

static int add(struct schema_parts *parts, const struct schema_part *part) {
    struct schema_part *grown = realloc(parts->parts, ((size_t)parts->count + 1) * sizeof *grown);
    if (!grown) return -1;
    parts->parts = grown;
    grown[parts->count++] = *part;
    return 0;
}

/* Of an output with several labels: each by itself while they are named in metrics, and all together. */
static int add_labels(struct schema_parts *parts, const struct schema_preprocessing *p, struct schema_part *part) {
    const int32_t labels = schema_output_labels(p, part->output);
    part->kind = SCHEMA_PART_LABELS;
    part->classes = 2;
    part->width = labels;
    const struct schema_output *output = &p->outputs[part->output];
    snprintf(part->name, sizeof part->name, "%s", output->count == 1 ? p->targets[output->first].name : output->name[0] ? output->name : "labels");
    int failed = add(parts, part);
    part->kind = SCHEMA_PART_LABEL;
    part->width = 1;
    for (int32_t j = 0; j < labels && labels <= SCHEMA_NAMED_LABELS_MAX && !failed; j++) {
        part->number = j;
        part->threshold = part->task.thresholds[j];
        snprintf(part->name, sizeof part->name, "%s", schema_output_label(p, part->output, j));
        failed = add(parts, part);
    }
    return failed;
}

static int add_target(struct schema_parts *parts, const struct schema_model *model, int32_t k, struct schema_part *part) {
    const struct schema_training *t = model->training;
    const struct schema_target *target = &t->preprocessing->targets[k];
    const struct bp_output *output = &t->network->outputs[part->output];
    const int32_t size = (int32_t)schema_target_size(target), numbers = (int32_t)bp_shape_size(&output->shape);
    snprintf(part->name, sizeof part->name, "%s", target->name);
    part->target = k;
    part->number = k - t->preprocessing->outputs[part->output].first;
    part->kind = target->classification ? SCHEMA_PART_CLASS : SCHEMA_PART_NUMBER;
    part->classes = target->classification ? target->labels_count : 0;
    part->per = target->classification ? size : 1;
    part->width = target->classification ? numbers / size : size;
    part->threshold = target->classification && part->task.thresholds ? part->task.thresholds[0] : 0;
    part->each = !target->classification && target->shape.rank <= 0 ? bp_loss_outputs_per_target(output->loss, output->values) : 0;
    return add(parts, part);
}

static int list(struct schema_parts *parts, const struct schema_evaluation *e, const struct schema_model *model) {
    const double *thresholds = model->calibration && !e->raw ? model->calibration->thresholds : NULL;
    const struct schema_preprocessing *p = model->training->preprocessing;
    const struct bp_train_options options = schema_training_options(model->training);
    int failed = 0;
    for (int32_t o = 0; o < p->outputs_count; o++) {
        struct schema_part part = {.output = o, .target = p->outputs[o].first, .task = options.tasks[o], .per = 1};
        if (thresholds && part.task.thresholds) part.task.thresholds = thresholds + p->targets[part.target].thresholds_at;
        if (schema_output_multilabel(p, o)) failed = failed || add_labels(parts, p, &part) != 0;
        else
            for (int32_t k = 0; k < p->outputs[o].count; k++) failed = failed || add_target(parts, model, p->outputs[o].first + k, &part) != 0;
    }
    return failed ? -1 : 0;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------------------------ */

static int allocate(struct schema_parts *parts, bool weighted, bool sets) {
    const size_t n = (size_t)parts->n + 1;
    parts->losses = malloc(n * sizeof *parts->losses);
    bool good = parts->losses != NULL;
    if (weighted) good = (parts->weights = malloc(n * sizeof *parts->weights)) && good;
    if (sets) good = (parts->uniforms = malloc(n * sizeof *parts->uniforms)) && good;
    for (int32_t i = 0; i < parts->count; i++) {
        struct schema_part *part = &parts->parts[i];
        if (sets && part->each) good = (part->groups = malloc(n * (size_t)part->each * sizeof *part->groups)) && good;
        const size_t samples = n * (size_t)part->per;
        good = (part->predictions = malloc(samples * (size_t)part->width * sizeof *part->predictions)) && good;
        good = (part->y = malloc(samples * (size_t)schema_part_y_width(part) * sizeof *part->y)) && good;
        good = (part->counts = malloc(samples)) && good;
    }
    return good ? 0 : -1;
}

void schema_parts_close(struct schema_parts *parts) {
    for (int32_t i = 0; i < parts->count; i++) {
        free(parts->parts[i].predictions);
        free(parts->parts[i].y);
        free(parts->parts[i].counts);
        free(parts->parts[i].groups);
    }
    free(parts->parts);
    free(parts->rows);
    free(parts->losses);
    free(parts->weights);
    free(parts->uniforms);
    *parts = (struct schema_parts){0};
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------------------------
 */

struct schema_pass {
    const struct schema_evaluation *evaluation;
    const struct schema_model *model;
    struct schema_view *view;
    struct schema_source *source;
    struct bp_source batches;
    struct bp_workspace *many, *one; /* one: for the loss of each row */
    struct bp_batch batch;
    bool calibrated; /* by the model's calibration */
    bp_real *logits; /* of one row of an output, for its loss */
    /* a permuted feature */
    int64_t *order; /* (n) whose value each row gets, NULL until one is permuted */
    struct bp_batch donors;
};

void schema_pass_close(struct schema_pass *pass) {
    if (!pass) return;
    bp_workspace_free(pass->many);
    bp_workspace_free(pass->one);
    for (int32_t k = 0; k < BP_OUTPUTS_MAX; k++) free(pass->batch.targets[k]);
    for (int32_t k = 0; k < BP_OUTPUTS_MAX; k++) free(pass->donors.targets[k]);
    for (int32_t k = 0; k < BP_INPUTS_MAX; k++) free(pass->donors.inputs[k]);
    free(pass->batch.weights);
    free(pass->batch.counts);
    free(pass->donors.weights);
    free(pass->donors.counts);
    free(pass->order);
    free(pass->logits);
    schema_source_free(pass->source);
    schema_view_free(pass->view);
    free(pass);
}

static int64_t y_size(const struct schema_model *model, int32_t o) {
    const struct bp_output *output = &model->training->network->outputs[o];
    return bp_loss_target_width(output->loss, output->values, &output->shape);
}

/* At most so many rows, evenly spread. */
static void spread(struct schema_parts *parts, int64_t most) {
    if (most <= 0 || parts->n <= most) return;
    for (int64_t i = 0; i < most; i++) parts->rows[i] = parts->rows[i * parts->n / most];
    parts->n = most;
}

static int open_permutation(struct schema_pass *pass, int64_t n, struct bp_error *error) {
    const struct bp_network *net = pass->model->training->network;
    if (pass->order) return 0;
    bool good = (pass->order = malloc(((size_t)n + 1) * sizeof *pass->order)) && (pass->donors.weights = malloc(BATCH * sizeof(bp_real))) &&
                (pass->donors.counts = malloc(BATCH * sizeof(bp_real)));
    for (int32_t o = 0; o < net->outputs_count; o++)
        good = (pass->donors.targets[o] = malloc(BATCH * (size_t)y_size(pass->model, o) * sizeof(bp_real))) && good;
    for (int32_t k = 0; k < net->inputs_count; k++)
        good = (pass->donors.inputs[k] = malloc(BATCH * (size_t)bp_shape_size(&net->nodes[k].out) * sizeof(bp_real))) && good;
    return good ? 0 : bp_error_memory(error, "no memory to permute %lld rows", (long long)n);
}

/* The numbers of the permuted feature come from other rows. */
static void permute(const struct schema_pass *pass, const struct schema_feature *feature, int64_t first, int32_t n) {
    pass->batches.fill(pass->batches.context, pass->order + first, n, &pass->donors);
    for (int32_t p = 0; p < feature->places_count; p++) {
        const struct schema_place *place = &feature->places[p];
        const int64_t size = bp_shape_size(&pass->model->training->network->nodes[place->input].out);
        for (int32_t i = 0; i < n; i++)
            memcpy(pass->batch.inputs[place->input] + i * size + place->offset, pass->donors.inputs[place->input] + i * size + place->offset,
                   (size_t)place->width * sizeof(bp_real));
    }
}

static int open_rows(struct schema_pass *pass, struct schema_parts *parts, struct bp_error *error) {
    const struct schema_training *t = pass->model->training;
    struct schema_split split = {0};
    pass->view = schema_view_new(t->preprocessing, pass->evaluation->dataset, true, error);
    const struct schema_evaluation *e = pass->evaluation;
    if (!pass->view) return -1;
    if (e->rows) {
        if (!(split.validation = malloc(((size_t)e->rows_count + 1) * sizeof *split.validation)))
            return bp_error_memory(error, "no memory to evaluate %lld rows", (long long)e->rows_count);
        memcpy(split.validation, e->rows, (size_t)e->rows_count * sizeof *split.validation);
        split.validation_count = e->rows_count;
    } else if (schema_training_held(t, pass->view, &split, error) != 0) {
        return -1;
    }
    parts->rows = split.validation;
    parts->n = split.validation_count;
    parts->skipped = (e->rows ? e->rows_count : e->dataset->rows) - parts->n;
    if (parts->n == 0)
        return bp_error_set(error, "/dataset", "no row can be evaluated: each lacks a target, or has a label that the model does not know");
    spread(parts, pass->evaluation->rows_max);
    struct schema_source_options options = {.view = pass->view, .rows = parts->rows, .n = parts->n, .memory_max = e->lean ? 0 : SCHEMA_SOURCE_MEMORY};
    schema_training_one_hot(t, options.one_hot);
    if (schema_source_new(&options, &pass->source, error) != 0) return -1;
    if (e->lean) schema_dataset_release(e->dataset); /* the targets are kept */
    pass->batches = schema_source_batches(pass->source);
    bool good = (pass->batch.weights = malloc(BATCH * sizeof(bp_real))) && (pass->batch.counts = malloc(BATCH * sizeof(bp_real)));
    size_t widest = 1;
    for (int32_t o = 0; o < t->network->outputs_count; o++)
        widest = (size_t)fmax((double)widest, (double)bp_shape_size(&t->network->outputs[o].shape));
    good = (pass->logits = malloc(widest * sizeof *pass->logits)) && good;
    for (int32_t o = 0; o < t->network->outputs_count; o++)
        good = (pass->batch.targets[o] = malloc(BATCH * (size_t)y_size(pass->model, o) * sizeof(bp_real))) && good;
    if (!good) return bp_error_memory(error, "no memory to evaluate %lld rows", (long long)parts->n);
    if (bp_workspace_new(t->network, BATCH, false, &pass->many, error) != 0 || bp_workspace_new(t->network, 1, false, &pass->one, error) != 0)
        return -1;
    for (int32_t i = 0; i < t->network->inputs_count; i++) pass->batch.inputs[i] = bp_workspace_input(pass->many, i);
    return 0;
}

/* The target of a sample of classes out of what the loss learns: a class number, or numbers by class. */
static bool class_of(const struct schema_part *part, const bp_real *y, bool one_hot, bp_real *out) {
    int32_t best = 0;
    if (!one_hot) {
        *out = *y < 0 ? 0 : *y;
        return !(*y < 0);
    }
    for (int32_t c = 1; c < part->width; c++)
        if (y[c] > y[best]) best = c;
    *out = part->width == 1 ? (bp_real)(y[0] > 0) : (bp_real)best;
    return true;
}

/* Row `at` of the part, out of row i of the batch. */
static void keep_row(const struct schema_pass *pass, struct schema_part *part, int32_t i, int64_t at) {
    const struct bp_output *output = &pass->model->training->network->outputs[part->output];
    const int64_t numbers = bp_shape_size(&output->shape), y_width = y_size(pass->model, part->output);
    const int32_t each = bp_loss_outputs_per_target(output->loss, output->values);
    const bp_real *p = bp_workspace_output(pass->many, part->output) + i * numbers, *y = pass->batch.targets[part->output] + i * y_width;
    if (part->kind == SCHEMA_PART_CLASS) {
        const bool one_hot = output->loss->target == BP_TARGET_VALUES;
        memcpy(part->predictions + at * part->per * part->width, p, (size_t)part->per * (size_t)part->width * sizeof *p);
        for (int32_t s = 0; s < part->per; s++) {
            const int64_t sample = at * part->per + s;
            part->counts[sample] = class_of(part, y + (one_hot ? s * part->width : s), one_hot, &part->y[sample]);
        }
        return;
    }
    part->counts[at] = 1;
    for (int32_t j = 0; j < part->width; j++) {
        const int64_t number = part->number + j;
        part->predictions[at * part->width + j] = p[number * each + (each > 1 ? bp_loss_point(output->loss, output->values) : 0)];
        part->y[at * part->width + j] = y[number];
        if (part->groups) memcpy(part->groups + at * each, p + number * each, (size_t)each * sizeof *p);
        if (!(y[number] - y[number] == 0)) part->counts[at] = 0, part->y[at * part->width + j] = 0;
    }
}

/* The loss of an output whose probabilities have another temperature: that of the numbers before the head which would give them. */
static double loss_of_calibrated(const struct schema_pass *pass, int32_t o, int32_t i) {
    const struct bp_output *output = &pass->model->training->network->outputs[o];
    const int32_t width = (int32_t)bp_shape_size(&output->shape);
    const bp_real *p = bp_workspace_output(pass->many, o) + (int64_t)i * width;
    const bool each = output->loss->head->probabilities == BP_PROBABILITIES_EACH;
    for (int32_t c = 0; c < width; c++) {
        const double one = fmin(fmax((double)p[c], (double)FLT_MIN), each ? 1 - (double)FLT_EPSILON / 2 : 1);
        pass->logits[c] = (bp_real)(each ? log(one) - log1p(-one) : log(one));
    }
    const struct bp_loss_call call = {
        .batch = 1, .width = width, .z = pass->logits, .y = pass->batch.targets[o] + i * y_size(pass->model, o), .scale = 1};
    return output->loss->evaluate(output->values, &call);
}

/* What the temperatures change in the loss of row i. The loss of an order has no such numbers: it stays that of the network. */
static double loss_change(const struct schema_pass *pass, const struct bp_loss_call *calls, int32_t i) {
    const struct schema_calibration *c = pass->model->calibration;
    double change = 0;
    for (int32_t k = 0; pass->calibrated && k < c->targets_count; k++) {
        const int32_t o = schema_target_output(pass->model->training->preprocessing, k);
        const struct bp_output *output = &pass->model->training->network->outputs[o];
        if (c->targets[k].temperature == 1 || !output->loss->head || output->loss->ordered) continue;
        change += output->weight * (loss_of_calibrated(pass, o, i) - calls[o].loss);
    }
    return change;
}

static double loss_of(const struct schema_pass *pass, int32_t i) {
    const struct bp_network *net = pass->model->training->network;
    struct bp_loss_call calls[BP_OUTPUTS_MAX] = {{0}};
    for (int32_t k = 0; k < net->inputs_count; k++) {
        const size_t size = (size_t)bp_shape_size(&net->nodes[k].out);
        memcpy(bp_workspace_input(pass->one, k), pass->batch.inputs[k] + (size_t)i * size, size * sizeof(bp_real));
    }
    for (int32_t o = 0; o < net->outputs_count; o++)
        calls[o] = (struct bp_loss_call){.batch = 1, .y = pass->batch.targets[o] + i * y_size(pass->model, o), .scale = 1};
    const double loss = bp_loss_forward(net, pass->model->weights, pass->one, NULL, calls, false);
    return loss + loss_change(pass, calls, i);
}

static int predict(const struct schema_pass *pass, const struct schema_feature *permuted, struct schema_parts *parts, struct bp_error *error) {
    const struct schema_evaluation *e = pass->evaluation;
    for (int64_t first = 0; first < parts->n; first += BATCH) {
        int64_t samples[BATCH];
        const int32_t n = (int32_t)(parts->n - first < BATCH ? parts->n - first : BATCH);
        if (e->stop && e->stop(e->context)) return bp_error_set(error, "", "the evaluation was stopped");
        for (int32_t i = 0; i < n; i++) samples[i] = first + i;
        pass->batches.fill(pass->batches.context, samples, n, &pass->batch);
        if (permuted) permute(pass, permuted, first, n);
        bp_predict(pass->model->training->network, pass->model->weights, pass->many, n);
        if (pass->calibrated) schema_calibration_apply(pass->model->calibration, pass->model->training, pass->many, n);
        for (int32_t i = 0; !e->no_losses && i < n; i++) parts->losses[first + i] = loss_of(pass, i);
        for (int32_t i = 0; parts->uniforms && i < n; i++) parts->uniforms[first + i] = schema_row_uniform(pass->model->training, pass->many, i);
        for (int32_t k = 0; k < parts->count; k++)
            for (int32_t i = 0; i < n; i++) keep_row(pass, &parts->parts[k], i, first + i);
        if (e->lean) schema_source_advise(pass->source, first, n, false);
        if (parts->weights) schema_view_weights(pass->view, parts->rows + first, n, parts->weights + first);
    }
    return schema_dataset_intact(e->dataset, error);
}

int schema_pass_permute(struct schema_pass *pass, int32_t feature, uint64_t seed, struct schema_parts *parts, struct bp_error *error) {
    if (open_permutation(pass, parts->n, error) != 0) return -1;
    struct bp_random random = bp_random_open(seed, BP_STREAM_BOOTSTRAP, (uint32_t)feature);
    for (int64_t i = 0; i < parts->n; i++) pass->order[i] = i;
    bp_random_shuffle(&random, pass->order, parts->n);
    return predict(pass, &pass->model->training->preprocessing->features[feature], parts, error);
}

struct schema_pass *schema_pass_open(const struct schema_evaluation *evaluation, const struct schema_model *model, struct schema_parts *parts,
                                     struct bp_error *error) {
    struct schema_pass *pass = calloc(1, sizeof *pass);
    *parts = (struct schema_parts){0};
    if (!pass) return bp_error_memory(error, "no memory to evaluate"), NULL;
    pass->evaluation = evaluation;
    pass->model = model;
    pass->calibrated = model->calibration && !evaluation->raw;
    const bool sets = evaluation->sets || (pass->calibrated && model->calibration->quantiles_count > 0);
    int failed = open_rows(pass, parts, error);
    if (!failed && (list(parts, evaluation, model) != 0 || allocate(parts, model->training->preprocessing->sample_weight != NULL, sets) != 0))
        failed = bp_error_memory(error, "no memory for the predictions of %lld rows", (long long)parts->n);
    if (!failed) failed = predict(pass, NULL, parts, error);
    if (!failed) return pass;
    schema_pass_close(pass);
    schema_parts_close(parts);
    return NULL;
}

int schema_parts_open(const struct schema_evaluation *evaluation, const struct schema_model *model, struct schema_parts *parts,
                      struct bp_error *error) {
    struct schema_pass *pass = schema_pass_open(evaluation, model, parts, error);
    schema_pass_close(pass);
    return pass ? 0 : -1;
}

static void move_rows(void *array, size_t size, int64_t to, int64_t from) {
    if (array && to != from) memmove((char *)array + (size_t)to * size, (char *)array + (size_t)from * size, size);
}

void schema_parts_keep(struct schema_parts *parts, const int64_t *rows, int64_t n) {
    int64_t kept = 0;
    for (int64_t i = 0, at = 0; i < parts->n; i++) {
        while (at < n && rows[at] < parts->rows[i]) at++;
        if (at >= n || rows[at] != parts->rows[i]) continue;
        move_rows(parts->rows, sizeof *parts->rows, kept, i);
        move_rows(parts->losses, sizeof *parts->losses, kept, i);
        move_rows(parts->weights, sizeof *parts->weights, kept, i);
        move_rows(parts->uniforms, sizeof *parts->uniforms, kept, i);
        for (int32_t k = 0; k < parts->count; k++) {
            struct schema_part *part = &parts->parts[k];
            move_rows(part->predictions, (size_t)part->per * (size_t)part->width * sizeof *part->predictions, kept, i);
            move_rows(part->y, (size_t)part->per * (size_t)schema_part_y_width(part) * sizeof *part->y, kept, i);
            move_rows(part->counts, (size_t)part->per, kept, i);
            move_rows(part->groups, (size_t)part->each * sizeof *part->groups, kept, i);
        }
        kept++;
    }
    parts->skipped += parts->n - kept;
    parts->n = kept;
}

/* ---- what a part says ------------------------------------------------------------------------------------------------------------------------ */

const char *schema_part_class(const struct schema_model *model, const struct schema_part *part, int32_t c) {
    static const char *const has[] = {"no", "yes"};
    const struct schema_target *target = schema_part_target(model, part);
    return part->kind == SCHEMA_PART_LABEL && target->multilabel ? has[c]
           : part->kind == SCHEMA_PART_LABEL                     ? model->training->preprocessing->targets[part->target + part->number].labels[c]
                                                                 : target->labels[c];
}

double schema_part_score(const struct schema_part *part, int64_t i, int32_t c) {
    const bp_real *p = part->predictions + i * part->width;
    if (part->width > 1) return (double)p[c];
    return c ? (double)p[0] : part->task.scores ? -(double)p[0] : 1 - (double)p[0];
}

int32_t schema_part_predicted(const struct schema_part *part, int64_t i) {
    return bp_class_of(part->predictions + i * part->width, part->width, part->task.scores, part->threshold);
}

double schema_part_value(const struct schema_part *part, int64_t i, int64_t j, bool predicted) {
    const struct bp_task *task = &part->task;
    const int32_t number = part->number + (int32_t)j;
    double v = (double)(predicted ? part->predictions : part->y)[i * part->width + j];
    if (task->measured) v = task->measured(task->measured_by, number, v, predicted);
    return task->units ? v * task->units[number] + task->origins[number] : v * task->unit + task->origin;
}

double schema_part_weight(const struct schema_parts *parts, const struct schema_part *part, int64_t i) {
    if (!part->counts[i]) return 0;
    return parts->weights ? parts->weights[i / part->per] : 1;
}
