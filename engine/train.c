/* train.c - one step of training: a mini-batch, cut into shards, forward, loss, backward, one update; at the end of an epoch validation,
 * metrics and early stopping. Nothing here allocates or takes a lock (shards.c sleeps on one when there are several threads).
 *
 *     position < rows ──train_batch──► STEP ... ──last──► validated < validation rows ──validate_batch──► STEP ... ──last──► finish_epoch ► EPOCH
 *
 * Order: a shard's passes, the mini-batch, the update, the epoch. */
#include "trainer.h"

#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { SLICE = 1024 }; /* reals: an update is cut at multiples of it, so slices of threads do not share cache lines */

/* ---- one shard --------------------------------------------------------------------------------------------------- */

static void bounds(const struct bp_work *work, int32_t shard, int32_t *first, int32_t *count) {
    const int64_t n = work->n, active = work->active;
    *first = *count = 0;
    if (shard < work->active) {
        *first = (int32_t)(n * shard / active);
        *count = (int32_t)(n * (shard + 1) / active) - *first;
    }
}

static void fill_shard(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    struct bp_shard *shard = &trainer->shard[index];
    const struct bp_source *source = trainer->work.source;
    struct bp_batch batch = {.targets = shard->targets, .weights = source->weighted ? shard->weights : NULL};
    bounds(&trainer->work, index, &shard->first, &shard->count);
    if (!shard->count) return;
    for (int32_t i = 0; i < trainer->network->inputs_count; i++) batch.inputs[i] = bp_workspace_input(shard->workspace, i);
    source->fill(source->context, trainer->work.rows + shard->first, shard->count, &batch);
}

static void pass_shard(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    struct bp_shard *shard = &trainer->shard[index];
    const struct bp_work *work = &trainer->work;
    if (!shard->count) return;
    const struct bp_draw draw = {.seed = trainer->options.seed, .step = (uint64_t)trainer->updates, .first = shard->first};
    shard->call = (struct bp_loss_call){
        .batch = shard->count, .y = shard->targets, .weights = work->source->weighted ? shard->weights : NULL, .scale = work->scale};
    shard->loss = bp_loss_forward(trainer->network, trainer->weights, shard->workspace, work->update ? &draw : NULL, &shard->call, work->update);
    if (work->update) bp_loss_backward(trainer->network, trainer->weights, shard->workspace, shard->gradient, false, false);
}

static void fill_and_pass_shard(void *context, int32_t index) {
    fill_shard(context, index);
    pass_shard(context, index);
}

/* ---- the mini-batch ---------------------------------------------------------------------------------------------- */

/* Classes of one-hot targets (B, width), for metrics of classification under a loss of values. */
static const bp_real *class_targets(const struct bp_trainer *trainer, struct bp_shard *shard) {
    const struct bp_metric_call rows = {.batch = shard->count, .width = trainer->target_width, .predictions = shard->targets};
    if (!shard->classes) return shard->targets;
    for (int32_t i = 0; i < shard->count; i++) shard->classes[i] = (bp_real)bp_metric_class(&rows, i);
    return shard->classes;
}

static void update_metrics(const struct bp_trainer *trainer, struct bp_shard *shard, double *sums) {
    const struct bp_train_options *options = &trainer->options;
    const int64_t *state = trainer->metric_state[sums == trainer->validation_sums ? BP_VALIDATION : BP_TRAINING];
    if (!options->metrics_count) return;
    struct bp_metric_call call = {.batch = shard->count,
                                  .width = bp_loss_keep_points(trainer->network->outputs[0].loss, trainer->network->outputs[0].values, &shard->call),
                                  .classes = options->classes,
                                  .scores = options->scores,
                                  .predictions = shard->call.z,
                                  .y = class_targets(trainer, shard),
                                  .weights = shard->call.weights,
                                  .unit = options->target_unit,
                                  .origin = options->target_origin};
    for (int32_t m = 0; m < options->metrics_count; m++) {
        call.numbers = options->metric_numbers[m];
        if (state[m] >= 0) options->metrics[m]->update(sums + state[m], &call);
    }
}

/* Runs the mini-batch in trainer->work. Returns the loss sum; adds the sum of sample weights to *weight. */
static double run_batch(struct bp_trainer *trainer, double *weight) {
    struct bp_work *work = &trainer->work;
    work->active = work->n < trainer->options.threads ? work->n : trainer->options.threads;
    work->scale = 1.0 / work->n;
    *weight = work->n;
    if (work->source->weighted) {
        bp_shards_run(trainer->shards, fill_shard, trainer);
        *weight = 0;
        for (int32_t s = 0; s < work->active; s++)
            for (int32_t i = 0; i < trainer->shard[s].count; i++) *weight += (double)trainer->shard[s].weights[i];
        work->scale = *weight > 0 ? 1 / *weight : 0;
        bp_shards_run(trainer->shards, pass_shard, trainer);
    } else {
        bp_shards_run(trainer->shards, fill_and_pass_shard, trainer);
    }
    double loss = 0;
    for (int32_t s = 0; s < work->active; s++) loss += trainer->shard[s].loss;
    return loss;
}

static void account(struct bp_trainer *trainer, double *sums, double loss, double weight) {
    sums[BP_SUM_LOSS] += loss;
    sums[BP_SUM_WEIGHT] += weight;
    for (int32_t s = 0; s < trainer->work.active; s++) update_metrics(trainer, &trainer->shard[s], sums);
}

/* ---- the update -------------------------------------------------------------------------------------------------- */

/* The part of the weights that a thread updates. */
static void slice(const struct bp_trainer *trainer, int32_t index, size_t *from, size_t *n) {
    const size_t count = trainer->weights_count, threads = (size_t)trainer->options.threads;
    const size_t blocks = (count + SLICE - 1) / SLICE;
    *from = blocks * (size_t)index / threads * SLICE;
    const size_t to = blocks * ((size_t)index + 1) / threads * SLICE;
    *n = (to < count ? to : count) - *from;
}

/* Shard 0's gradient += those of the others, in order. */
static void reduce_slice(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    size_t from, n;
    slice(trainer, index, &from, &n);
    for (int32_t s = 1; s < trainer->work.active; s++)
        bp_kernels()->scaled_add(n, 1, trainer->shard[s].gradient + from, trainer->shard[0].gradient + from);
}

static void update_slice(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    size_t from, n;
    slice(trainer, index, &from, &n);
    bp_real *g = trainer->shard[0].gradient + from;
    if (trainer->work.clip != 1) bp_kernels()->scale(n, (bp_real)trainer->work.clip, g);
    struct bp_update update = {.values = trainer->options.optimizer_values,
                               .learning_rate = trainer->options.optimizer_values[0].number,
                               .step = (uint64_t)trainer->updates + 1,
                               .n = n,
                               .g = g,
                               .W = trainer->weights + from};
    for (int32_t i = 0; i < trainer->slots_count; i++) update.slots[i] = trainer->slots[i] + from;
    trainer->options.optimizer->update(&update);
}

static void reduce_and_update_slice(void *context, int32_t index) {
    reduce_slice(context, index);
    update_slice(context, index);
}

/* g += 2 l2 W on kernels. */
static void add_penalty(struct bp_trainer *trainer) {
    const struct bp_network *net = trainer->network;
    for (int32_t i = 0; i < net->nodes_count; i++)
        for (int32_t t = 0; t < net->nodes[i].tensors_count; t++) {
            const struct bp_tensor *tensor = &net->nodes[i].tensors[t];
            if (tensor->penalised)
                bp_kernels()->scaled_add((size_t)bp_shape_size(&tensor->shape), (bp_real)(2 * trainer->options.l2), trainer->weights + tensor->offset,
                                         trainer->shard[0].gradient + tensor->offset);
        }
}

/* False: the gradient is not finite, and nothing was changed. */
static bool apply_update(struct bp_trainer *trainer) {
    const double most = trainer->options.gradient_clip_norm;
    trainer->work.clip = 1;
    if (!(most > 0) && !(trainer->options.l2 > 0)) {
        bp_shards_run(trainer->shards, reduce_and_update_slice, trainer);
        return true;
    }
    if (trainer->work.active > 1) bp_shards_run(trainer->shards, reduce_slice, trainer);
    if (trainer->options.l2 > 0) add_penalty(trainer);
    if (most > 0) {
        const double norm = sqrt(bp_kernels()->sum_squares(trainer->weights_count, trainer->shard[0].gradient));
        if (!isfinite(norm)) return false;
        trainer->work.clip = norm > most ? most / norm : 1;
    }
    bp_shards_run(trainer->shards, update_slice, trainer);
    return true;
}

/* ---- the epoch --------------------------------------------------------------------------------------------------- */

static enum bp_train_event diverge(struct bp_trainer *trainer) {
    trainer->diverged = true;
    return BP_TRAIN_DIVERGED;
}

/* Early stopping: keeps the best weights, counts epochs without improvement. A value that is not a number never improves. */
static void judge_epoch(struct bp_trainer *trainer) {
    const double value = trainer->values[trainer->stop_index], delta = trainer->options.stop_min_delta, best = trainer->best_value;
    const bool better = trainer->stop_higher ? value > best + delta : value < best - delta;
    if (better || (!trainer->best_epoch && !isnan(value))) {
        trainer->best_epoch = trainer->epoch;
        trainer->best_value = value;
        trainer->waited = 0;
        memcpy(trainer->best, trainer->weights, trainer->weights_count * sizeof *trainer->best);
    } else if (++trainer->waited >= trainer->options.stop_patience) {
        trainer->stopped = true;
    }
}

static void compute_values(struct bp_trainer *trainer) {
    const struct bp_train_options *options = &trainer->options;
    for (int32_t i = 0; i < trainer->values_count; i++) {
        const struct bp_series *series = &trainer->series[i];
        double *sums = series->part == BP_VALIDATION ? trainer->validation_sums : trainer->accumulators;
        if (series->metric < 0) trainer->values[i] = sums[BP_SUM_WEIGHT] > 0 ? sums[BP_SUM_LOSS] / sums[BP_SUM_WEIGHT] : (double)NAN;
        else
            trainer->values[i] = options->metrics[series->metric]->result(sums + trainer->metric_state[series->part][series->metric],
                                                                          options->classes, trainer->points_width);
    }
}

static enum bp_train_event finish_epoch(struct bp_trainer *trainer) {
    compute_values(trainer);
    trainer->epoch++;
    trainer->position = 0;
    trainer->validated = 0;
    memset(trainer->accumulators, 0, (size_t)trainer->accumulators_count * sizeof *trainer->accumulators);
    memset(trainer->validation_sums, 0, (size_t)trainer->validation_sums_count * sizeof *trainer->validation_sums);
    if (trainer->options.stop_early) judge_epoch(trainer);
    return BP_TRAIN_EPOCH;
}

/* The order of an epoch is a pure function of (seed, epoch), so a checkpoint needs only the position. */
static void order_epoch(struct bp_trainer *trainer) {
    if (trainer->order_epoch == trainer->epoch) return;
    struct bp_random random = bp_random_open(trainer->options.seed, BP_STREAM_SHUFFLE, (uint32_t)trainer->epoch);
    for (int64_t i = 0; i < trainer->train.rows; i++) trainer->order[i] = i;
    bp_random_shuffle(&random, trainer->order, trainer->train.rows);
    trainer->order_epoch = trainer->epoch;
}

static enum bp_train_event train_batch(struct bp_trainer *trainer) {
    const int64_t left = trainer->train.rows - trainer->position;
    const int32_t n = left < trainer->options.batch_size ? (int32_t)left : trainer->options.batch_size;
    double weight;
    order_epoch(trainer);
    trainer->work = (struct bp_work){.source = &trainer->train, .rows = trainer->order + trainer->position, .n = n, .update = true};
    const double loss = run_batch(trainer, &weight);
    if (!isfinite(loss) || !apply_update(trainer)) return diverge(trainer);
    account(trainer, trainer->accumulators, loss, weight);
    trainer->updates++;
    trainer->position += n;
    if (trainer->position < trainer->train.rows) return BP_TRAIN_STEP;
    if (!bp_kernels()->finite(trainer->weights_count, trainer->weights)) /* the last update may have spoilt them */
        return diverge(trainer);
    return trainer->validates ? BP_TRAIN_STEP : finish_epoch(trainer);
}

static enum bp_train_event validate_batch(struct bp_trainer *trainer) {
    const int64_t left = trainer->validation.rows - trainer->validated;
    const int32_t n = left < trainer->validation_batch ? (int32_t)left : trainer->validation_batch;
    double weight;
    for (int32_t i = 0; i < n; i++) trainer->ascending[i] = trainer->validated + i;
    trainer->work = (struct bp_work){.source = &trainer->validation, .rows = trainer->ascending, .n = n};
    const double loss = run_batch(trainer, &weight);
    if (!isfinite(loss)) return diverge(trainer);
    account(trainer, trainer->validation_sums, loss, weight);
    trainer->validated += n;
    return trainer->validated < trainer->validation.rows ? BP_TRAIN_STEP : finish_epoch(trainer);
}

enum bp_train_event bp_trainer_step(struct bp_trainer *trainer) {
    if (trainer->diverged) return BP_TRAIN_DIVERGED;
    if (trainer->stopped || trainer->epoch >= trainer->options.epochs) return BP_TRAIN_DONE;
    bp_flush_denormals();
    return trainer->position < trainer->train.rows ? train_batch(trainer) : validate_batch(trainer);
}
