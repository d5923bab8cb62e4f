/* update.c - from the shards' gradients to new weights: reduction in a fixed order, penalties, clipping, the optimizer, max_norm, the moving
 * average, running statistics. Threads work on slices of the weights; a sum over all of them runs between two rounds. */
#include "engine/train/trainer.h"

#include "engine/kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { SLICE = 1024 /* reals: an update is cut at multiples of it, so slices of threads do not share cache lines */, BLOCK = 4 * SLICE };

/* ---- the learning rate ------------------------------------------------------------------------------------------- */

static double base_rate(const struct bp_trainer *trainer) {
    const double tested = trainer->memory[BP_MEMORY_RATE];
    return tested > 0 ? tested : trainer->options.optimizer_values[0].number;
}

static double factor_at(const struct bp_trainer *trainer, const struct bp_schedule_ops *schedule, const struct bp_value *values, int64_t step) {
    const struct bp_train_options *options = &trainer->options;
    if (!schedule) return 1;
    const int64_t rows_a_step = (int64_t)options->batch_size * (options->gradient_accumulation_steps > 1 ? options->gradient_accumulation_steps : 1);
    const bool whole = bp_trainer_whole(trainer); /* an epoch is one step of it, however often it looks */
    const int64_t steps = whole ? 1 : bp_steps(trainer->train.rows, rows_a_step);
    if (whole) step = trainer->epoch;
    const struct bp_schedule_at at = {.step = step,
                                      .steps_per_epoch = steps,
                                      .epochs = options->epochs,
                                      .epoch = (double)step / (double)steps,
                                      .state = trainer->memory + BP_MEMORY_SCHEDULE};
    return bp_schedule_factor(schedule, values, &at);
}

static double rate_at(const struct bp_trainer *trainer, int64_t step) {
    return base_rate(trainer) * factor_at(trainer, trainer->options.schedule, trainer->options.schedule_values, step);
}

double bp_trainer_schedule(const struct bp_trainer *trainer, const struct bp_schedule_ops *schedule, const struct bp_value *values) {
    return factor_at(trainer, schedule, values, trainer->updates);
}

double bp_trainer_next_rate(const struct bp_trainer *trainer) {
    return rate_at(trainer, trainer->updates);
}

double bp_trainer_learning_rate(const struct bp_trainer *trainer) {
    return trainer->updates ? trainer->memory[BP_MEMORY_LAST] : rate_at(trainer, 0);
}

/* ---- the gradient ------------------------------------------------------------------------------------------------ */

/* The part of the trained weights that a thread updates. */
static void slice(const struct bp_trainer *trainer, int32_t index, size_t *from, size_t *n) {
    const size_t count = trainer->trained_count, threads = (size_t)trainer->options.threads;
    const size_t blocks = (count + SLICE - 1) / SLICE;
    *from = blocks * (size_t)index / threads * SLICE;
    const size_t to = blocks * ((size_t)index + 1) / threads * SLICE;
    *n = *from < count ? (to < count ? to : count) - *from : 0;
}

/* Shard 0's gradient += those of the others, in order. Shard 0 always holds one. */
static void reduce_slice(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    size_t from, n;
    slice(trainer, index, &from, &n);
    for (int32_t s = 1; s < trainer->options.threads; s++)
        if (trainer->shard[s].holds) bp_kernels()->scaled_add(n, 1, trainer->shard[s].gradient + from, trainer->shard[0].gradient + from);
}

/* g += scale (l1 sign(W) + 2 l2 W) on kernels. Returns what it adds to the loss. */
static double add_penalties(struct bp_trainer *trainer, double scale) {
    const double l1 = trainer->options.l1, l2 = trainer->options.l2;
    double penalty = 0;
    for (int32_t i = 0; i < trainer->tensors_count; i++) {
        const struct bp_tensor *tensor = trainer->tensors[i].tensor;
        const size_t n = (size_t)bp_shape_size(&tensor->shape);
        const bp_real *W = trainer->weights + tensor->offset;
        bp_real *g = trainer->shard[0].gradient + tensor->offset;
        if (!tensor->penalised) continue;
        if (l2 > 0) bp_kernels()->scaled_add(n, (bp_real)(2 * l2 * scale), W, g);
        if (l2 > 0) penalty += l2 * bp_kernels()->sum_squares(n, W);
        for (size_t k = 0; l1 > 0 && k < n; k++) {
            g[k] += (bp_real)(l1 * scale) * (bp_real)((W[k] > 0) - (W[k] < 0));
            penalty += l1 * fabs((double)W[k]);
        }
    }
    return penalty;
}

static void clip_values(struct bp_trainer *trainer, double factor) {
    const bp_real most = (bp_real)trainer->options.gradient_clip_value, scale = (bp_real)factor;
    bp_real *g = trainer->shard[0].gradient;
    for (size_t i = 0; i < trainer->trained_count; i++) {
        const bp_real one = g[i] * scale;
        g[i] = one > most ? most : one < -most ? -most : one; /* not a number stays so */
    }
}

/* ---- the update -------------------------------------------------------------------------------------------------- */

static void update_pace(struct bp_trainer *trainer, const struct bp_pace *pace, size_t from, size_t n, const bp_real *g) {
    struct bp_update update = {.values = trainer->options.optimizer_values,
                               .learning_rate = trainer->work.rate * pace->rate,
                               .decay = trainer->work.decay * pace->decay,
                               .step = (uint64_t)trainer->updates + 1,
                               .n = n,
                               .g = g,
                               .W = trainer->weights + from};
    for (int32_t i = 0; i < trainer->slots_count; i++) update.slots[i] = trainer->slots[i] + from;
    trainer->options.optimizer->update(&update);
}

/* g (n): the gradient of the weights from there on. */
static void update_part(struct bp_trainer *trainer, size_t from, size_t n, const bp_real *g) {
    const size_t to = from + n;
    for (int32_t i = 0; i < trainer->paces_count && from < to; i++) {
        const size_t end = trainer->paces[i].end < to ? trainer->paces[i].end : to;
        if (end <= from) continue;
        update_pace(trainer, &trainer->paces[i], from, end - from, g);
        g += end - from;
        from = end;
    }
}

/* The same in blocks that a copy of fits on the stack, to measure what it changes in each tensor. */
static void update_measured(struct bp_trainer *trainer, int32_t index, size_t from, size_t n) {
    bp_real before[SLICE];
    double *changes = trainer->shard[index].changes;
    memset(changes, 0, (size_t)trainer->tensors_count * sizeof *changes);
    for (int32_t i = 0; i < trainer->tensors_count; i++) {
        const struct bp_tensor *tensor = trainer->tensors[i].tensor;
        const size_t begin = tensor->offset, end = i + 1 < trainer->tensors_count ? trainer->tensors[i + 1].tensor->offset : trainer->trained_count;
        size_t at = begin > from ? begin : from;
        const size_t last = end < from + n ? end : from + n;
        for (size_t count; at < last; at += count) {
            count = last - at < SLICE ? last - at : SLICE;
            bp_real *W = trainer->weights + at;
            memcpy(before, W, count * sizeof *before);
            update_part(trainer, at, count, trainer->shard[0].gradient + at);
            for (size_t k = 0; k < count; k++) before[k] -= W[k];
            changes[i] += bp_kernels()->sum_squares(count, before);
        }
    }
}

static void update_slice(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    size_t from, n;
    slice(trainer, index, &from, &n);
    if (trainer->work.clip != 1) bp_kernels()->scale(n, (bp_real)trainer->work.clip, trainer->shard[0].gradient + from);
    if (trainer->work.measure) update_measured(trainer, index, from, n);
    else if (n) update_part(trainer, from, n, trainer->shard[0].gradient + from);
}

/* Both at once, in blocks that stay in cache: no thread reads or writes the gradients a second time. Nothing reads their sum afterwards. */
static void reduce_and_update_slice(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    bp_real sum[BLOCK];
    size_t from, n;
    if (trainer->options.threads == 1 || trainer->work.reduced) {
        update_slice(trainer, index);
        return;
    }
    slice(trainer, index, &from, &n);
    for (size_t count; n > 0; from += count, n -= count) {
        count = n < BLOCK ? n : BLOCK;
        memcpy(sum, trainer->shard[0].gradient + from, count * sizeof *sum);
        for (int32_t s = 1; s < trainer->options.threads; s++)
            if (trainer->shard[s].holds) bp_kernels()->scaled_add(count, 1, trainer->shard[s].gradient + from, sum);
        if (trainer->work.clip != 1) bp_kernels()->scale(count, (bp_real)trainer->work.clip, sum);
        update_part(trainer, from, count, sum);
    }
}

/* Scales the weights of each unit, a column of W (rows, units), down to the norm allowed. */
static void clip_kernel_norms(double most, size_t rows, size_t units, bp_real *W) {
    for (size_t j = 0; j < units; j++) {
        double sum = 0;
        for (size_t k = 0; k < rows; k++) sum += (double)W[k * units + j] * (double)W[k * units + j];
        const bp_real scale = (bp_real)(most / sqrt(sum));
        for (size_t k = 0; sum > most * most && k < rows; k++) W[k * units + j] *= scale;
    }
}

static void clip_weight_norms(struct bp_trainer *trainer) {
    const double most = trainer->options.max_norm;
    for (int32_t i = 0; i < trainer->tensors_count; i++) {
        const struct bp_tensor *tensor = trainer->tensors[i].tensor;
        const size_t parts = tensor->parts ? (size_t)tensor->parts : 1;
        const size_t units = (size_t)tensor->shape.dims[tensor->shape.rank - 1], rows = (size_t)bp_shape_size(&tensor->shape) / units / parts;
        for (size_t p = 0; tensor->penalised && p < parts; p++)
            clip_kernel_norms(most, rows, units, trainer->weights + tensor->offset + p * rows * units);
    }
}

static void average_weights(struct bp_trainer *trainer) {
    const double t = (double)trainer->updates + 1, early = (1 + t) / (10 + t), decay = trainer->options.ema < early ? trainer->options.ema : early;
    const bp_real keep = (bp_real)decay, fresh = (bp_real)(1 - decay), *W = trainer->weights;
    bp_real *restrict average = trainer->average;
    for (size_t i = 0; i < trainer->trained_count; i++) average[i] = keep * average[i] + fresh * W[i];
    memcpy(average + trainer->trained_count, W + trainer->trained_count, (trainer->weights_count - trainer->trained_count) * sizeof *average);
}

static void after_update(struct bp_trainer *trainer) {
    if (trainer->work.measure) bp_health_after(trainer);
    if (trainer->options.max_norm > 0) clip_weight_norms(trainer);
    if (trainer->average) average_weights(trainer);
}

bool bp_trainer_update(struct bp_trainer *trainer, double batches) {
    const struct bp_train_options *options = &trainer->options;
    const bool plain = !(options->l1 > 0) && !(options->l2 > 0) && !(options->gradient_clip_norm > 0) && !(options->gradient_clip_value > 0);
    trainer->work.clip = batches > 0 ? 1 / batches : 0;
    trainer->work.rate = trainer->memory[BP_MEMORY_LAST] = bp_trainer_next_rate(trainer);
    trainer->work.decay = bp_trainer_schedule(trainer, options->decay_schedule, options->decay_schedule_values);
    if (plain && !trainer->work.measure) {
        bp_shards_run(trainer->shards, reduce_and_update_slice, trainer);
        after_update(trainer);
        return true;
    }
    if (options->threads > 1 && !trainer->work.reduced) bp_shards_run(trainer->shards, reduce_slice, trainer);
    if (options->l1 > 0 || options->l2 > 0) add_penalties(trainer, batches);
    if (trainer->work.measure) bp_health_before(trainer);
    if (options->gradient_clip_value > 0) {
        clip_values(trainer, trainer->work.clip);
        trainer->work.clip = 1;
    }
    if (options->gradient_clip_norm > 0) {
        const double norm = trainer->work.clip * sqrt(bp_kernels()->sum_squares(trainer->trained_count, trainer->shard[0].gradient));
        if (!isfinite(norm)) return false;
        if (norm > options->gradient_clip_norm) trainer->work.clip *= options->gradient_clip_norm / norm;
    }
    bp_shards_run(trainer->shards, update_slice, trainer);
    after_update(trainer);
    return true;
}

static bool ask_search(struct bp_trainer *trainer, const bp_real *g, double loss) {
    trainer->memory[BP_MEMORY_LAST] = bp_trainer_next_rate(trainer);
    const struct bp_search search = {.values = trainer->options.optimizer_values,
                                     .learning_rate = trainer->memory[BP_MEMORY_LAST],
                                     .loss = loss,
                                     .n = trainer->trained_count,
                                     .g = g,
                                     .W = trainer->weights,
                                     .slots = trainer->slots,
                                     .memory = trainer->memory + BP_MEMORY_SEARCH};
    return trainer->options.optimizer->search(&search);
}

void bp_trainer_search_begin(struct bp_trainer *trainer) {
    ask_search(trainer, NULL, 0);
}

int bp_trainer_search(struct bp_trainer *trainer, double loss) {
    const double weight = trainer->accumulators[BP_SUM_WEIGHT];
    if (!bp_trainer_shares(trainer)) bp_shards_run(trainer->shards, reduce_slice, trainer); /* else it is, of all rows */
    if (isfinite(loss)) {
        if (!(weight > 0)) return -1;
        bp_kernels()->scale(trainer->trained_count, (bp_real)(1 / weight), trainer->shard[0].gradient);
        loss = loss / weight + add_penalties(trainer, 1);
        if (!isfinite(bp_kernels()->sum_squares(trainer->trained_count, trainer->shard[0].gradient))) loss = INFINITY;
    }
    if (!isfinite(loss) && trainer->updates == 0) return -1;
    if (!ask_search(trainer, trainer->shard[0].gradient, loss)) return 0;
    bp_health_before(trainer);
    if (trainer->average) average_weights(trainer);
    return 1;
}

/* ---- running statistics ------------------------------------------------------------------------------------------ */

void bp_trainer_sum_statistics(struct bp_trainer *trainer, const struct bp_tensor *tensor) {
    const size_t n = (size_t)bp_shape_size(&tensor->shape);
    bp_real *statistics = trainer->shard[0].gradient + tensor->offset;
    if (trainer->work.active == 0) memset(statistics, 0, n * sizeof *statistics);
    for (int32_t s = 1; s < trainer->work.active; s++) bp_kernels()->scaled_add(n, 1, trainer->shard[s].gradient + tensor->offset, statistics);
}

void bp_trainer_settle(struct bp_trainer *trainer) {
    const struct bp_network *net = trainer->network;
    const int64_t most = trainer->options.gradient_accumulation_steps > 1 ? trainer->options.gradient_accumulation_steps : 1;
    if (net->weights_count == net->trained_count) return;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        bp_real *W[BP_TENSORS_MAX] = {0}, *statistics[BP_TENSORS_MAX] = {0};
        if (!node->ops->update_statistics || node->frozen) continue;
        for (int32_t t = 0; t < node->tensors_count; t++) {
            const struct bp_tensor *tensor = &node->tensors[t];
            W[t] = trainer->weights + tensor->offset;
            statistics[t] = trainer->shard[0].gradient + tensor->offset;
            if (tensor->state && !bp_trainer_shares(trainer)) bp_trainer_sum_statistics(trainer, tensor);
        }
        node->ops->update_statistics(node, (uint64_t)(trainer->updates * most + trainer->work.nth), W, statistics);
    }
}
