/* new.c - makes and frees a trainer. Order: sizes, buffers, the trainer. check.c validates the options. */
#include "engine/train/trainer.h"

#include "engine/kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALIDATION_BATCH = 64 };

static int32_t most(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* Validation reads at least 64 samples at a time; fixed by the options, for the bits' sake. */
static int32_t validation_batch(const struct bp_train_options *options) {
    return most(options->batch_size, VALIDATION_BATCH);
}

int32_t bp_trainer_capacity(const struct bp_train_options *options, bool validation) {
    const int32_t n = validation ? validation_batch(options) : options->batch_size;
    const int32_t shards = bp_train_shards(options);
    return (n + shards - 1) / shards;
}

static int32_t target_width(const struct bp_output *output) {
    return output->loss ? bp_loss_target_width(output->loss, output->values, &output->shape) : (int32_t)bp_shape_size(&output->shape);
}

/* What metrics see of a sample. */
static int32_t points_width(const struct bp_network *network, int32_t k) {
    const struct bp_output *output = &network->outputs[k];
    const int32_t width = (int32_t)bp_shape_size(&output->shape) / bp_output_rows(network, k);
    return output->loss ? bp_loss_points_width(output->loss, output->values, width) : width;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/* Doubles that an epoch sums up over that part, of so many rows; state, when not NULL, gets the place of each metric's. */
static int64_t sums_count(const struct bp_network *network, const struct bp_train_options *options, int32_t part, const int64_t rows[2],
                          int64_t (*state)[BP_METRICS_MAX]) {
    int64_t count = BP_SUMS;
    for (int32_t k = 0; k < network->outputs_count; k++)
        for (int32_t m = 0; m < options->tasks[k].metrics_count; m++) {
            const struct bp_metric_ops *metric = options->tasks[k].metrics[m];
            const bool measured = part == BP_VALIDATION ? rows[BP_VALIDATION] > 0 : !metric->whole || rows[BP_VALIDATION] <= 0;
            if (state) state[k][m] = measured ? count : -1;
            const bool labels = options->tasks[k].multilabel && !(metric->kinds & BP_METRIC_MULTILABEL);
            const int64_t states = labels ? options->tasks[k].targets : 1;
            if (measured)
                count += states * metric->state_size(options->tasks[k].classes, labels ? 1 : points_width(network, k),
                                                     rows[part] * bp_output_rows(network, k));
        }
    return count;
}

/* Reals of one shard besides its workspace and its gradient. */
static size_t shard_reals(const struct bp_network *network, const struct bp_train_options *options, int32_t capacity) {
    size_t targets = 3 * bp_reals_round((size_t)capacity), outputs = 0, inputs = 0;
    for (int32_t k = 0; k < network->outputs_count; k++) {
        targets += bp_reals_round((size_t)capacity * (size_t)target_width(&network->outputs[k]));
        outputs += 2 * bp_reals_round((size_t)capacity * (size_t)bp_shape_size(&network->nodes[network->outputs[k].node].out));
    }
    for (int32_t i = 0; i < network->inputs_count; i++) inputs += bp_reals_round((size_t)capacity * (size_t)bp_shape_size(&network->nodes[i].out));
    return options->mixup > 0 ? 2 * targets + outputs + inputs : targets;
}

/* The tables of a trainer, which count in small trainings only. */
static size_t table_bytes(const struct bp_network *network, const struct bp_train_options *options) {
    const size_t nodes = (size_t)network->nodes_count, threads = (size_t)options->threads;
    size_t widest = 1, tensors = 1;
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++) {
        const struct bp_shape *out = &network->nodes[i].out;
        if (out->rank > 0 && (size_t)out->dims[out->rank - 1] > widest) widest = (size_t)out->dims[out->rank - 1];
        tensors += (size_t)network->nodes[i].tensors_count;
    }
    return sizeof(struct bp_trainer) + (size_t)bp_train_metrics_most(network, options) * (BP_NAME_MAX + sizeof(struct bp_series) + sizeof(double)) +
           (BP_LOOKS + widest) * sizeof(double) +
           nodes * (BP_TENSORS_MAX * (sizeof(struct bp_place) + sizeof(struct bp_pace)) + sizeof(struct bp_health) + sizeof(int32_t)) +
           threads * (sizeof(struct bp_shard) + tensors * sizeof(double)) + (size_t)validation_batch(options) * sizeof(int64_t);
}

size_t bp_trainer_bytes(const struct bp_network *network, const struct bp_train_options *options, int64_t rows, int64_t validation_rows) {
    const bool validation = validation_rows > 0;
    const int64_t parts[2] = {rows, validation_rows};
    const size_t slots = (size_t)options->optimizer->slots(options->optimizer_values);
    const int32_t capacity = most(bp_trainer_capacity(options, false), validation ? bp_trainer_capacity(options, true) : 0);
    const size_t threads = (size_t)options->threads, copies = 2u + threads + (options->ema > 0) + (options->keep_best && !options->stop_early);
    const int64_t once = sums_count(network, options, BP_TRAINING, parts, NULL) + sums_count(network, options, BP_VALIDATION, parts, NULL);
    const int64_t sums = bp_train_processes(options) > 1 ? 3 * once : once; /* those of two processes are put together */
    return (copies * network->weights_count + slots * network->trained_count) * sizeof(bp_real) +
           threads * (bp_workspace_bytes(network, capacity, true) + shard_reals(network, options, capacity) * sizeof(bp_real)) +
           (size_t)(sums + BP_REPORTED) * sizeof(double) + bp_order_bytes(options, rows) + bp_fitting_bytes(network, options, rows) +
           table_bytes(network, options);
}

/* ---- buffers ----------------------------------------------------------------------------------------------------- */

static int make_shard(struct bp_trainer *trainer, struct bp_shard *shard, struct bp_error *error) {
    const struct bp_train_options *options = &trainer->options;
    const int32_t capacity = most(bp_trainer_capacity(options, false), trainer->validates ? bp_trainer_capacity(options, true) : 0);
    const bool weighted = trainer->train.weighted || (trainer->validates && trainer->validation.weighted);
    if (bp_workspace_new(trainer->network, capacity, true, &shard->workspace, error)) return -1;
    bp_workspace_precision(shard->workspace, options->precision);
    shard->gradient = bp_reals_new(trainer->weights_count);
    shard->weights = weighted ? bp_reals_new((size_t)capacity) : NULL;
    shard->counts = trainer->train.counted ? bp_reals_new((size_t)capacity) : NULL;
    shard->classes = bp_reals_new((size_t)capacity);
    shard->changes = calloc((size_t)trainer->tensors_count + 1, sizeof *shard->changes);
    bool lacking =
        !shard->gradient || (weighted && !shard->weights) || (trainer->train.counted && !shard->counts) || !shard->classes || !shard->changes;
    for (int32_t k = 0; k < trainer->network->outputs_count; k++)
        lacking = !(shard->targets[k] = bp_reals_new((size_t)capacity * (size_t)trainer->target_width[k])) || lacking;
    if (lacking) return bp_error_memory(error, "no memory for the gradients of %lld parameters", (long long)trainer->network->parameters);
    return options->mixup > 0 ? bp_mixing_new(trainer, capacity, &shard->mixing, error) : 0;
}

/* Neighbours with the same factors are updated together. */
static void list_paces(struct bp_trainer *trainer) {
    const struct bp_train_options *options = &trainer->options;
    const struct bp_optimizer_ops *optimizer = options->optimizer;
    const bool kernels = optimizer->decays && options->optimizer_values[optimizer->decay_index].number == BP_DECAY_KERNELS;
    for (int32_t i = 0; i < trainer->tensors_count; i++) {
        const struct bp_tensor *tensor = trainer->tensors[i].tensor;
        const double decay = !optimizer->decays ? 1 : kernels && !tensor->penalised ? 0 : tensor->decay;
        struct bp_pace *last = trainer->paces_count ? &trainer->paces[trainer->paces_count - 1] : NULL;
        if (!last || last->rate != tensor->rate || last->decay != decay) {
            last = &trainer->paces[trainer->paces_count++];
            *last = (struct bp_pace){.rate = tensor->rate, .decay = decay};
        }
        last->end = i + 1 < trainer->tensors_count ? trainer->tensors[i + 1].tensor->offset : trainer->trained_count;
    }
}

/* The trained tensors in the order of their offsets. */
static int list_tensors(struct bp_trainer *trainer, struct bp_error *error) {
    const struct bp_network *net = trainer->network;
    trainer->tensors = calloc((size_t)net->nodes_count * BP_TENSORS_MAX, sizeof *trainer->tensors);
    trainer->paces = calloc((size_t)net->nodes_count * BP_TENSORS_MAX, sizeof *trainer->paces);
    if (!trainer->tensors || !trainer->paces) return bp_error_memory(error, "no memory for a trainer");
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        for (int32_t t = 0; t < net->nodes[i].tensors_count; t++)
            if (net->nodes[i].tensors[t].offset < net->trained_count)
                trainer->tensors[trainer->tensors_count++] = (struct bp_place){i, &net->nodes[i].tensors[t]};
    list_paces(trainer);
    return 0;
}

static int make_buffers(struct bp_trainer *trainer, struct bp_error *error) {
    const struct bp_train_options *options = &trainer->options;
    const int64_t rows[2] = {trainer->train.rows, trainer->validates ? trainer->validation.rows : 0};
    trainer->accumulators_count =
        sums_count(trainer->network, options, BP_TRAINING, rows, trainer->metric_state[BP_TRAINING]) + (trainer->apart ? BP_REPORTED : 0);
    trainer->validation_sums_count = sums_count(trainer->network, options, BP_VALIDATION, rows, trainer->metric_state[BP_VALIDATION]);
    trainer->weights = bp_reals_new(trainer->weights_count);
    const bool keeps_best = options->stop_early || options->keep_best;
    trainer->best = keeps_best ? bp_reals_new(trainer->weights_count) : NULL;
    trainer->good = options->stop_early ? NULL : bp_reals_new(trainer->weights_count);
    trainer->average = options->ema > 0 ? bp_reals_new(trainer->weights_count) : NULL;
    trainer->slots_count = options->optimizer->slots(options->optimizer_values);
    bool lacking =
        !trainer->weights || (keeps_best && !trainer->best) || (!options->stop_early && !trainer->good) || (options->ema > 0 && !trainer->average);
    for (int32_t i = 0; i < trainer->slots_count; i++) lacking = !(trainer->slots[i] = bp_reals_new(trainer->trained_count)) || lacking;
    lacking = bp_order_new(trainer) != 0 || lacking;
    trainer->ascending = calloc((size_t)trainer->validation_batch, sizeof *trainer->ascending);
    trainer->accumulators = calloc((size_t)trainer->accumulators_count, sizeof *trainer->accumulators);
    trainer->validation_sums = calloc((size_t)trainer->validation_sums_count, sizeof *trainer->validation_sums);
    const size_t values = (size_t)bp_train_metrics_most(trainer->network, options);
    trainer->series = calloc(values, sizeof *trainer->series);
    trainer->names = calloc(values, sizeof *trainer->names);
    trainer->values = calloc(values, sizeof *trainer->values);
    trainer->shard = calloc((size_t)options->threads, sizeof *trainer->shard);
    if (lacking || !trainer->ascending || !trainer->accumulators || !trainer->validation_sums || !trainer->series || !trainer->names ||
        !trainer->values || !trainer->shard)
        return bp_error_memory(error, "no memory to train %lld parameters on %lld rows", (long long)trainer->network->parameters,
                               (long long)trainer->train.rows);
    for (int32_t s = 0; s < options->threads; s++)
        if (make_shard(trainer, &trainer->shard[s], error)) return -1;
    return 0;
}

/* ---- the trainer ------------------------------------------------------------------------------------------------- */

/* The number that early stopping, or a schedule that reads results, watches: by default the validation loss, otherwise the loss. */
static int find_stop_metric(struct bp_trainer *trainer, struct bp_error *error) {
    const struct bp_train_options *options = &trainer->options;
    const char *watched = options->stop_metric[0] ? options->stop_metric : trainer->validates ? "val_loss" : "loss";
    char names[320] = "";
    for (int32_t i = 0; i < trainer->values_count; i++) {
        if (!strcmp(trainer->names[i], watched)) {
            trainer->stop_index = i;
            return 0;
        }
        const size_t used = strlen(names);
        if (used + BP_NAME_MAX + 8 < sizeof names) snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", trainer->names[i]);
    }
    if (!options->stop_early) return 0;
    const bool lacks_validation = !trainer->validates && !strncmp(watched, "val_", 4);
    return bp_error_set(error, "/early_stopping/metric", "early stopping watches \"%s\", but %s; this training has %s", watched,
                        lacks_validation ? "there is no validation data" : "there is no such metric", names);
}

int bp_trainer_new(const struct bp_network *network, const struct bp_train_options *options, const struct bp_source *train,
                   const struct bp_source *validation, struct bp_trainer **trainer, struct bp_error *error) {
    *trainer = NULL;
    if (bp_trainer_check(network, options, train, validation, error)) return -1;
    bp_engine_start();
    struct bp_trainer *made = calloc(1, sizeof *made);
    if (!made) return bp_error_memory(error, "no memory for a trainer");
    *made = (struct bp_trainer){.network = network,
                                .options = *options,
                                .train = *train,
                                .validates = validation != NULL,
                                .validation_batch = validation_batch(options),
                                .weights_count = network->weights_count,
                                .trained_count = network->trained_count};
    if (validation) made->validation = *validation;
    made->apart = train->counted;
    for (int32_t k = 0; k < network->outputs_count; k++) made->apart = made->apart || options->tasks[k].class_weights;
    for (int32_t k = 0; k < network->outputs_count; k++) {
        made->target_width[k] = target_width(&network->outputs[k]);
        made->points_width[k] = points_width(network, k);
        made->metric_samples[BP_TRAINING][k] = train->rows * bp_output_rows(network, k);
        made->metric_samples[BP_VALIDATION][k] = validation ? validation->rows * bp_output_rows(network, k) : 0;
    }
    if (list_tensors(made, error) || make_buffers(made, error) || bp_health_new(made, error) || bp_fitting_new(made, error) ||
        bp_reduce_new(made, error))
        goto fail;
    bp_trainer_list_series(made);
    if (find_stop_metric(made, error)) goto fail;
    made->shards = bp_shards_new(options->threads);
    if (!made->shards) {
        bp_error_set(error, "/threads", "%d threads could not be started; use fewer", (int)options->threads);
        goto fail;
    }
    bp_network_initialize(network, options->seed, made->weights);
    if (made->average) memcpy(made->average, made->weights, made->weights_count * sizeof *made->weights);
    *trainer = made;
    return 0;
fail:
    bp_trainer_free(made);
    return -1;
}

void bp_trainer_free(struct bp_trainer *trainer) {
    if (!trainer) return;
    bp_shards_free(trainer->shards);
    bp_reduce_free(trainer);
    for (int32_t s = 0; trainer->shard && s < trainer->options.threads; s++) {
        struct bp_shard *shard = &trainer->shard[s];
        bp_workspace_free(shard->workspace);
        bp_mixing_free(shard->mixing);
        for (int32_t k = 0; k < BP_OUTPUTS_MAX; k++) free(shard->targets[k]);
        free(shard->gradient);
        free(shard->weights);
        free(shard->counts);
        free(shard->classes);
        free(shard->changes);
    }
    for (int32_t i = 0; i < BP_SLOTS_MAX; i++) free(trainer->slots[i]);
    free(trainer->shard);
    free(trainer->tensors);
    free(trainer->paces);
    free(trainer->health);
    free(trainer->health_nodes);
    free(trainer->looks);
    free(trainer->weights);
    free(trainer->best);
    free(trainer->good);
    free(trainer->average);
    bp_order_free(trainer);
    bp_fitting_drop(trainer);
    free(trainer->ascending);
    free(trainer->accumulators);
    free(trainer->validation_sums);
    free(trainer->series);
    free(trainer->names);
    free(trainer->values);
    free(trainer);
}
