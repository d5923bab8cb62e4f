/* train_new.c - checks what a training is asked for, and makes and frees its trainer. Order: names of metrics, checks, sizes,
 * buffers, the trainer. */
#include "trainer.h"

#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALIDATION_BATCH = 64, THREADS_MAX = 256 };

static int32_t most(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* Validation reads at least 64 samples at a time; fixed by the options, for the bits' sake. */
static int32_t validation_batch(const struct bp_train_options *options) {
    return most(options->batch_size, VALIDATION_BATCH);
}

int32_t bp_trainer_capacity(const struct bp_train_options *options, bool validation) {
    const int32_t n = validation ? validation_batch(options) : options->batch_size;
    return (n + options->threads - 1) / options->threads;
}

static int32_t target_width(const struct bp_network *network) {
    return bp_loss_target_width(network->outputs[0].loss, network->outputs[0].values, (int32_t)bp_shape_size(&network->outputs[0].shape));
}

/* What metrics see of a sample. */
static int32_t points_width(const struct bp_network *network) {
    const int32_t width = (int32_t)bp_shape_size(&network->outputs[0].shape);
    return network->outputs[0].loss ? bp_loss_points_width(network->outputs[0].loss, network->outputs[0].values, width) : width;
}

/* ---- names of metrics -------------------------------------------------------------------------------------------- */

/* Whether the metric (-1: the loss) is measured over that part of the rows. */
static bool measures(const struct bp_train_options *options, int32_t metric, int32_t part, bool validates) {
    if (part == BP_VALIDATION) return validates;
    return metric < 0 || !options->metrics[metric]->whole || !validates;
}

static void list_values(struct bp_trainer *trainer) {
    for (int32_t m = -1; m < trainer->options.metrics_count; m++)
        for (int32_t part = BP_TRAINING; part <= BP_VALIDATION; part++)
            if (measures(&trainer->options, m, part, trainer->validates)) trainer->series[trainer->values_count++] = (struct bp_series){m, part};
}

static void name_values(struct bp_trainer *trainer) {
    for (int32_t i = 0; i < trainer->values_count; i++) {
        const struct bp_series *series = &trainer->series[i];
        const char *name = series->metric < 0 ? "loss" : trainer->options.metrics[series->metric]->entry.name;
        snprintf(trainer->names[i], BP_NAME_MAX, "%s%.*s", series->part == BP_VALIDATION ? "val_" : "", BP_NAME_MAX - 5, name);
        trainer->values[i] = (double)NAN;
    }
}

static int find_stop_metric(struct bp_trainer *trainer, struct bp_error *error) {
    const struct bp_train_options *options = &trainer->options;
    char names[320] = "";
    if (!options->stop_early) return 0;
    for (int32_t i = 0; i < trainer->values_count; i++) {
        if (!strcmp(trainer->names[i], options->stop_metric)) {
            trainer->stop_index = i;
            trainer->stop_higher = trainer->series[i].metric >= 0 && options->metrics[trainer->series[i].metric]->higher_is_better;
            return 0;
        }
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", trainer->names[i]);
    }
    const bool lacks_validation = !trainer->validates && !strncmp(options->stop_metric, "val_", 4);
    return bp_error_set(error, "/early_stopping/metric", "early stopping watches \"%s\", but %s; this training has %s", options->stop_metric,
                        lacks_validation ? "there is no validation data" : "there is no such metric", names);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static int check_metrics(const struct bp_train_options *options, struct bp_error *error) {
    char pointer[64];
    const unsigned kind = options->classes ? BP_METRIC_CLASSIFICATION : BP_METRIC_REGRESSION;
    if (options->metrics_count < 0 || options->metrics_count > BP_METRICS_MAX)
        return bp_error_set(error, "/metrics", "%d metrics are too many; at most %d are allowed", (int)options->metrics_count, BP_METRICS_MAX);
    for (int32_t m = 0; m < options->metrics_count; m++) {
        snprintf(pointer, sizeof pointer, "/metrics/%d", (int)m);
        if (!options->metrics[m]) return bp_error_set(error, pointer, "there is no such metric");
        if (!(options->metrics[m]->kinds & kind))
            return bp_error_set(error, pointer, "%s does not suit %s; it is a metric of %s", options->metrics[m]->entry.name,
                                options->classes ? "classification" : "regression", options->classes ? "regression" : "classification");
        if (options->scores && options->metrics[m]->probabilities)
            return bp_error_set(error, pointer, "%s needs probabilities, but the output gives scores; use a loss such as cross_entropy",
                                options->metrics[m]->entry.name);
        for (int32_t k = 0; k < m; k++)
            if (options->metrics[k] == options->metrics[m])
                return bp_error_set(error, pointer, "%s is listed twice", options->metrics[m]->entry.name);
    }
    return 0;
}

static int check_classes(const struct bp_network *network, const struct bp_train_options *options, struct bp_error *error) {
    const int32_t width = (int32_t)bp_shape_size(&network->outputs[0].shape);
    const bool class_loss = network->outputs[0].loss->target == BP_TARGET_CLASS;
    if (!options->classes && class_loss)
        return bp_error_set(error, "/loss", "the loss %s is for classes, but the target is a number; use mse or mae",
                            network->outputs[0].loss->entry.name);
    if (options->classes && options->classes < 2)
        return bp_error_set(error, "/target", "the target has %d class; a classification needs at least 2", (int)options->classes);
    if (options->classes && (width == 1 ? 2 : width) != options->classes)
        return bp_error_set(error, "/layers", "the output has %d number%s, but the target has %d classes; use %d units%s", (int)width,
                            width == 1 ? "" : "s", (int)options->classes, (int)options->classes, options->classes == 2 ? ", or 1 with sigmoid" : "");
    return 0;
}

static int check(const struct bp_network *network, const struct bp_train_options *options, const struct bp_source *train,
                 const struct bp_source *validation, struct bp_error *error) {
    if (!network->complete) return bp_error_set(error, "", "the network cannot be trained: the shape of an input is not known");
    if (!network->outputs[0].loss) return bp_error_set(error, "/loss", "the network has no loss");
    if (!options->optimizer) return bp_error_set(error, "/optimizer", "there is no optimizer");
    if (options->epochs < 1 || options->batch_size < 1)
        return bp_error_set(error, options->epochs < 1 ? "/epochs" : "/batch_size", "epochs is %d and batch_size %d; both must be at least 1",
                            (int)options->epochs, (int)options->batch_size);
    if (options->threads < 1 || options->threads > THREADS_MAX)
        return bp_error_set(error, "/threads", "threads is %d; expected 1 to %d", (int)options->threads, THREADS_MAX);
    if (train->rows < 1 || (validation && validation->rows < 1))
        return bp_error_set(error, "", "there are no rows to %s", train->rows < 1 ? "train on" : "validate with");
    if (!(options->l2 >= 0) || !(options->gradient_clip_norm >= 0) || !isfinite(options->l2) || !isfinite(options->gradient_clip_norm))
        return bp_error_set(error, "", "l2 is %g and gradient_clip_norm %g; both must be finite and not negative", options->l2,
                            options->gradient_clip_norm);
    return check_classes(network, options, error) || check_metrics(options, error) ? -1 : 0;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/* Doubles that an epoch sums up over that part, of so many rows; state, when not NULL, gets the place of each metric's. */
static int64_t sums_count(const struct bp_network *network, const struct bp_train_options *options, int32_t part, const int64_t rows[2],
                          int64_t *state) {
    int64_t count = BP_SUMS;
    for (int32_t m = 0; m < options->metrics_count; m++) {
        const bool measured = measures(options, m, part, rows[BP_VALIDATION] > 0);
        if (state) state[m] = measured ? count : -1;
        if (measured) count += options->metrics[m]->state_size(options->classes, points_width(network), rows[part]);
    }
    return count;
}

size_t bp_trainer_bytes(const struct bp_network *network, const struct bp_train_options *options, int64_t rows, int64_t validation_rows) {
    const bool validation = validation_rows > 0;
    const int64_t parts[2] = {rows, validation_rows};
    const int32_t slots = options->optimizer->slots(options->optimizer_values);
    const int32_t capacity = most(bp_trainer_capacity(options, false), validation ? bp_trainer_capacity(options, true) : 0);
    const size_t threads = (size_t)options->threads;
    const size_t buffers = (options->stop_early ? 2u : 1u) + (size_t)slots + threads;
    const size_t targets =
        bp_reals_round((size_t)capacity * (size_t)(network->outputs[0].loss ? target_width(network) : 1)) + 2 * bp_reals_round((size_t)capacity);
    return buffers * network->weights_count * sizeof(bp_real) + threads * (bp_workspace_bytes(network, capacity, true) + targets * sizeof(bp_real)) +
           (size_t)(sums_count(network, options, BP_TRAINING, parts, NULL) + sums_count(network, options, BP_VALIDATION, parts, NULL)) *
               sizeof(double) +
           sizeof(struct bp_trainer);
}

/* ---- buffers ----------------------------------------------------------------------------------------------------- */

static int make_shard(struct bp_trainer *trainer, struct bp_shard *shard, struct bp_error *error) {
    const struct bp_train_options *options = &trainer->options;
    const int32_t capacity = most(bp_trainer_capacity(options, false), trainer->validates ? bp_trainer_capacity(options, true) : 0);
    const bool weighted = trainer->train.weighted || (trainer->validates && trainer->validation.weighted);
    const bool one_hot = options->classes && trainer->network->outputs[0].loss->target == BP_TARGET_VALUES && trainer->target_width > 1;
    if (bp_workspace_new(trainer->network, capacity, true, &shard->workspace, error)) return -1;
    shard->gradient = bp_reals_new(trainer->weights_count);
    shard->targets = bp_reals_new((size_t)capacity * (size_t)trainer->target_width);
    shard->weights = weighted ? bp_reals_new((size_t)capacity) : NULL;
    shard->classes = one_hot ? bp_reals_new((size_t)capacity) : NULL;
    if (!shard->gradient || !shard->targets || (weighted && !shard->weights) || (one_hot && !shard->classes))
        return bp_error_set(error, "", "no memory for the gradients of %lld parameters", (long long)trainer->network->parameters);
    return 0;
}

static int make_buffers(struct bp_trainer *trainer, struct bp_error *error) {
    const struct bp_train_options *options = &trainer->options;
    const int64_t rows[2] = {trainer->train.rows, trainer->validates ? trainer->validation.rows : 0};
    trainer->accumulators_count = sums_count(trainer->network, options, BP_TRAINING, rows, trainer->metric_state[BP_TRAINING]);
    trainer->validation_sums_count = sums_count(trainer->network, options, BP_VALIDATION, rows, trainer->metric_state[BP_VALIDATION]);
    list_values(trainer);
    trainer->weights = bp_reals_new(trainer->weights_count);
    trainer->best = options->stop_early ? bp_reals_new(trainer->weights_count) : NULL;
    trainer->slots_count = options->optimizer->slots(options->optimizer_values);
    bool lacking = !trainer->weights || (options->stop_early && !trainer->best);
    for (int32_t i = 0; i < trainer->slots_count; i++) lacking = !(trainer->slots[i] = bp_reals_new(trainer->weights_count)) || lacking;
    trainer->order = calloc((size_t)trainer->train.rows, sizeof *trainer->order);
    trainer->ascending = calloc((size_t)trainer->validation_batch, sizeof *trainer->ascending);
    trainer->accumulators = calloc((size_t)trainer->accumulators_count, sizeof *trainer->accumulators);
    trainer->validation_sums = calloc((size_t)trainer->validation_sums_count, sizeof *trainer->validation_sums);
    trainer->names = calloc((size_t)trainer->values_count, sizeof *trainer->names);
    trainer->values = calloc((size_t)trainer->values_count, sizeof *trainer->values);
    trainer->shard = calloc((size_t)options->threads, sizeof *trainer->shard);
    if (lacking || !trainer->order || !trainer->ascending || !trainer->accumulators || !trainer->validation_sums || !trainer->names ||
        !trainer->values || !trainer->shard)
        return bp_error_set(error, "", "no memory to train %lld parameters on %lld rows", (long long)trainer->network->parameters,
                            (long long)trainer->train.rows);
    for (int32_t s = 0; s < options->threads; s++)
        if (make_shard(trainer, &trainer->shard[s], error)) return -1;
    return 0;
}

/* ---- the trainer ------------------------------------------------------------------------------------------------- */

int bp_trainer_new(const struct bp_network *network, const struct bp_train_options *options, const struct bp_source *train,
                   const struct bp_source *validation, struct bp_trainer **trainer, struct bp_error *error) {
    *trainer = NULL;
    if (check(network, options, train, validation, error)) return -1;
    bp_engine_start();
    struct bp_trainer *made = calloc(1, sizeof *made);
    if (!made) return bp_error_set(error, "", "no memory for a trainer");
    *made = (struct bp_trainer){.network = network,
                                .options = *options,
                                .train = *train,
                                .validates = validation != NULL,
                                .validation_batch = validation_batch(options),
                                .target_width = target_width(network),
                                .points_width = points_width(network),
                                .weights_count = network->weights_count,
                                .order_epoch = -1};
    if (validation) made->validation = *validation;
    if (make_buffers(made, error)) goto fail;
    name_values(made);
    if (find_stop_metric(made, error)) goto fail;
    made->shards = bp_shards_new(options->threads);
    if (!made->shards) {
        bp_error_set(error, "/threads", "%d threads could not be started; use fewer", (int)options->threads);
        goto fail;
    }
    bp_network_initialize(network, options->seed, made->weights);
    *trainer = made;
    return 0;
fail:
    bp_trainer_free(made);
    return -1;
}

void bp_trainer_free(struct bp_trainer *trainer) {
    if (!trainer) return;
    bp_shards_free(trainer->shards);
    for (int32_t s = 0; trainer->shard && s < trainer->options.threads; s++) {
        struct bp_shard *shard = &trainer->shard[s];
        bp_workspace_free(shard->workspace);
        free(shard->gradient);
        free(shard->targets);
        free(shard->weights);
        free(shard->classes);
    }
    for (int32_t i = 0; i < BP_SLOTS_MAX; i++) free(trainer->slots[i]);
    free(trainer->shard);
    free(trainer->weights);
    free(trainer->best);
    free(trainer->order);
    free(trainer->ascending);
    free(trainer->accumulators);
    free(trainer->validation_sums);
    free(trainer->names);
    free(trainer->values);
    free(trainer);
}
