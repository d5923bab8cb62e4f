/* mix.c - mixup (Zhang, Cisse, Dauphin, Lopez-Paz 2018): a mini-batch x, y is mixed with itself in another order, x', y':
 *   x = lambda x + (1 - lambda) x';  loss = lambda L(y) + (1 - lambda) L(y'),  lambda from Beta(alpha, alpha), one a mini-batch.
 * The other order is the mini-batch turned by some places: rows are shuffled already. Both draws are pure functions of (seed, update, mini-batch of
 * it). */
#include "engine/train/trainer.h"

#include "engine/kernels/kernels.h"
#include "engine/network/workspace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void bp_mixing_free(struct bp_mixing *mixing) {
    if (!mixing) return;
    for (int32_t i = 0; i < BP_INPUTS_MAX; i++) free(mixing->inputs[i]);
    for (int32_t k = 0; k < BP_OUTPUTS_MAX; k++) {
        free(mixing->targets[k]);
        free(mixing->z[k]);
        free(mixing->d[k]);
    }
    free(mixing->weights);
    free(mixing->counts);
    free(mixing);
}

int bp_mixing_new(const struct bp_trainer *trainer, int32_t capacity, struct bp_mixing **mixing, struct bp_error *error) {
    const struct bp_network *net = trainer->network;
    const size_t rows = (size_t)capacity;
    struct bp_mixing *made = *mixing = calloc(1, sizeof *made);
    bool lacking = !made;
    for (int32_t i = 0; made && i < net->inputs_count; i++)
        lacking = !(made->inputs[i] = bp_reals_new(rows * (size_t)bp_shape_size(&net->nodes[i].out))) || lacking;
    for (int32_t k = 0; made && k < net->outputs_count; k++) {
        const size_t width = rows * (size_t)bp_shape_size(&net->nodes[net->outputs[k].node].out);
        lacking = !(made->targets[k] = bp_reals_new(rows * (size_t)trainer->target_width[k])) || lacking;
        lacking = !(made->z[k] = bp_reals_new(width)) || !(made->d[k] = bp_reals_new(width)) || lacking;
    }
    if (made && trainer->train.weighted) lacking = !(made->weights = bp_reals_new(rows)) || lacking;
    if (made && trainer->train.counted) lacking = !(made->counts = bp_reals_new(rows)) || lacking;
    return lacking ? bp_error_memory(error, "no memory to mix mini-batches of %d samples", (int)capacity) : 0;
}

/* Gamma(alpha): Marsaglia and Tsang 2000; for alpha < 1 by Gamma(alpha + 1) u^(1 / alpha). */
static double draw_gamma(struct bp_random *random, double alpha) {
    const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = bp_random_normal(random), v = 1 + c * x, cube = v * v * v, u = bp_random_uniform(random);
        if (v <= 0 || !(log(u) < 0.5 * x * x + d - d * cube + d * log(cube))) continue;
        return alpha < 1 ? d * cube * pow(bp_random_uniform(random), 1 / alpha) : d * cube;
    }
}

/* Each mini-batch of an update has a part of the update's numbers to itself. */
static struct bp_random open_random(const struct bp_trainer *trainer) {
    struct bp_random random = bp_random_open(trainer->options.seed, BP_STREAM_MIXUP, (uint32_t)trainer->updates);
    random.counter = (uint64_t)trainer->work.nth << 40;
    return random;
}

double bp_mixing_draw(const struct bp_trainer *trainer) {
    struct bp_random random = open_random(trainer);
    const double a = draw_gamma(&random, trainer->options.mixup), b = draw_gamma(&random, trainer->options.mixup);
    return a + b > 0 ? a / (a + b) : 1;
}

/* By how many places the mini-batch is turned: 1 to n - 1. */
static int32_t turn_of(const struct bp_trainer *trainer) {
    struct bp_random random = open_random(trainer);
    random.counter += UINT64_C(1) << 39; /* far from what the share was drawn from */
    return 1 + (int32_t)bp_random_below(&random, (uint64_t)trainer->work.n - 1);
}

void bp_mixing_fill(struct bp_trainer *trainer, struct bp_shard *shard) {
    const struct bp_work *work = &trainer->work;
    const struct bp_source *source = work->source;
    const struct bp_network *net = trainer->network;
    struct bp_mixing *mixing = shard->mixing;
    struct bp_batch batch = {0};
    const int32_t turn = turn_of(trainer), begin = (shard->first + turn) % work->n;
    const int32_t before_end = work->n - begin < shard->count ? work->n - begin : shard->count;
    for (int32_t part = 0; part < 2; part++) { /* up to the end of the mini-batch, and from its beginning */
        const int32_t from = part ? 0 : begin, n = part ? shard->count - before_end : before_end, at = part ? before_end : 0;
        if (n <= 0) continue;
        for (int32_t i = 0; i < net->inputs_count; i++) batch.inputs[i] = mixing->inputs[i] + (int64_t)at * bp_shape_size(&net->nodes[i].out);
        for (int32_t k = 0; k < net->outputs_count; k++) batch.targets[k] = mixing->targets[k] + (size_t)at * (size_t)trainer->target_width[k];
        if (source->weighted) batch.weights = mixing->weights + at;
        if (source->counted) batch.counts = mixing->counts + at;
        source->fill(source->context, work->rows + from, n, &batch);
    }
    const bp_real own = (bp_real)work->lambda, other = (bp_real)(1 - work->lambda);
    for (int32_t i = 0; i < net->inputs_count; i++) {
        const size_t n = (size_t)shard->count * (size_t)bp_shape_size(&net->nodes[i].out);
        bp_real *x = bp_workspace_input(shard->workspace, i);
        bp_kernels()->scale(n, own, x);
        bp_kernels()->scaled_add(n, other, mixing->inputs[i], x);
    }
}

double bp_mixing_loss(struct bp_trainer *trainer, struct bp_shard *shard, const struct bp_draw *draw) {
    const struct bp_network *net = trainer->network;
    const struct bp_work *work = &trainer->work;
    struct bp_mixing *mixing = shard->mixing;
    double loss = 0;
    bp_workspace_forward(net, work->weights, shard->workspace, shard->count, draw);
    for (int32_t k = 0; k < net->outputs_count; k++) {
        const int32_t node = net->outputs[k].node;
        const size_t n = (size_t)shard->count * (size_t)bp_shape_size(&net->nodes[node].out);
        struct bp_loss_call *call = &shard->calls[k], other = *call;
        other.y = mixing->targets[k];
        if (work->source->weighted) other.weights = other.counts = mixing->weights;
        if (work->source->counted) other.counts = mixing->counts;
        memcpy(mixing->z[k], shard->workspace->a[node], n * sizeof(bp_real));
        call->scale *= work->lambda;
        other.scale *= 1 - work->lambda;
        other.z = mixing->z[k];
        other.d_z = mixing->d[k];
        /* The own targets last: the weights of an output's steps, which metrics look at, are then theirs. */
        loss += (1 - work->lambda) * bp_output_loss(shard->workspace, k, &other, true);
        loss += work->lambda * bp_output_loss(shard->workspace, k, call, true);
        call->loss = work->lambda * call->loss + (1 - work->lambda) * other.loss;
        call->reported = work->lambda * call->reported + (1 - work->lambda) * other.reported;
        bp_kernels()->scaled_add(n, 1, mixing->d[k], call->d_z);
    }
    return loss;
}
