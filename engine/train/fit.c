/* fit.c - what layers set from data before the first step (`fit` in layer.h): the training rows that the first epoch begins with run through the
 * network as in inference, up to each such layer in turn, with the weights that the layers before it have got. The rows follow from the seed
 * alone. The trainer allocates the memory, and releases it once the training has begun. */
#include "engine/train/trainer.h"

#include "engine/base/random.h"
#include "engine/network/workspace.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 10000, REALS_MAX = 1 << 22 };

/* Of what the layers that fit read, the most numbers a sample; 0: no layer does. */
static size_t widest(const struct bp_network *net) {
    size_t most = 0;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const size_t size = net->nodes[i].fits ? (size_t)bp_shape_size(&net->nodes[i].in[0]) : 0;
        if (size > most) most = size;
    }
    return most;
}

/* No more rows than a window, so that data larger than memory stays where it is. */
static int32_t rows_of(const struct bp_train_options *options, int64_t rows, size_t width) {
    struct bp_order order;
    bp_order_measure(options, rows, &order);
    int64_t most = (int64_t)(REALS_MAX / width) + 1;
    if (most > ROWS_MAX) most = ROWS_MAX;
    if (most > order.window) most = order.window;
    return (int32_t)(most < rows ? most : rows);
}

/* Reals for that many rows: x, scratch. */
static size_t reals_of(int32_t rows, size_t width) {
    return bp_reals_round((size_t)rows * width) + (rows > BP_FIT_SCRATCH ? (size_t)rows : BP_FIT_SCRATCH);
}

size_t bp_fitting_bytes(const struct bp_network *network, const struct bp_train_options *options, int64_t rows) {
    const size_t width = widest(network);
    if (width == 0 || rows < 1) return 0;
    return reals_of(rows_of(options, rows, width), width) * sizeof(bp_real);
}

int bp_fitting_new(struct bp_trainer *trainer, struct bp_error *error) {
    const size_t width = widest(trainer->network);
    if (width == 0) return 0;
    trainer->fit_rows = rows_of(&trainer->options, trainer->train.rows, width);
    trainer->fit_x = bp_reals_new(reals_of(trainer->fit_rows, width));
    return trainer->fit_x ? 0 : bp_error_memory(error, "no memory to fit layers on %d rows", (int)trainer->fit_rows);
}

void bp_fitting_drop(struct bp_trainer *trainer) {
    free(trainer->fit_x);
    trainer->fit_x = NULL;
}

/* The first input of the node for all rows. */
static void gather(struct bp_trainer *trainer, const int64_t *rows, int32_t at) {
    const struct bp_node *node = &trainer->network->nodes[at];
    const struct bp_source *source = &trainer->train;
    struct bp_shard *shard = &trainer->shard[0];
    const size_t width = (size_t)bp_shape_size(&node->in[0]);
    const int32_t most = bp_workspace_batch_max(shard->workspace);
    struct bp_batch batch = {.weights = source->weighted ? shard->weights : NULL, .counts = source->counted ? shard->counts : NULL};
    for (int32_t i = 0; i < trainer->network->inputs_count; i++) batch.inputs[i] = bp_workspace_input(shard->workspace, i);
    memcpy(batch.targets, shard->targets, sizeof batch.targets);
    for (int32_t first = 0; first < trainer->fit_rows; first += most) {
        const int32_t n = trainer->fit_rows - first < most ? trainer->fit_rows - first : most;
        source->fill(source->context, rows + first, n, &batch);
        bp_workspace_forward_to(trainer->weights, shard->workspace, n, at);
        memcpy(trainer->fit_x + (size_t)first * width, shard->workspace->a[node->inputs[0]], (size_t)n * width * sizeof(bp_real));
    }
}

void bp_fitting_run(struct bp_trainer *trainer) {
    bp_fitting_run_but(trainer, NULL);
}

void bp_fitting_run_but(struct bp_trainer *trainer, const bool *taken) {
    const struct bp_network *net = trainer->network;
    if (!trainer->fit_x) return;
    const int64_t *rows = bp_order_at(trainer);
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        if (!node->fits || (taken && taken[i])) continue;
        gather(trainer, rows, i);
        struct bp_random random = bp_random_open(trainer->options.seed, BP_STREAM_INITIALIZE, node->index * BP_TENSORS_MAX);
        random.counter = UINT64_C(1) << 40; /* far from what the first tensor was drawn from */
        struct bp_fit fit = {.rows = trainer->fit_rows,
                             .x = trainer->fit_x,
                             .random = &random,
                             .scratch = trainer->fit_x + bp_reals_round((size_t)trainer->fit_rows * widest(net))};
        for (int32_t t = 0; t < node->tensors_count; t++) fit.W[t] = trainer->weights + node->tensors[t].offset;
        node->ops->fit(node, &fit);
    }
    if (trainer->average) memcpy(trainer->average, trainer->weights, trainer->weights_count * sizeof *trainer->weights);
    bp_fitting_drop(trainer);
}
