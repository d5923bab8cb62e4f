/* drop.h - masks of layers that drop out parts of what they compute with: 0 with probability rate, else 1 / (1 - rate).
 *
 * A pure function of (seed, update, layer, position of the sample in the mini-batch, which), so that it does not depend on shards. */
#ifndef BP_LAYERS_DROP_H
#define BP_LAYERS_DROP_H

#include "engine/base/random.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/layer.h"

/* Draws mask (B, size), with the rate asked for at this moment of the training, and y = x mask, unless x is NULL. which: tells apart the masks of one
 * layer. */
static inline void bp_drop(const struct bp_node *node, const struct bp_pass *pass, double asked, uint32_t which, size_t size, bp_real *mask,
                           const bp_real *x, bp_real *y) {
    const double rate = bp_pass_rate(pass, asked);
    uint32_t block[4];
    bp_random_block(pass->seed, (uint64_t)BP_STREAM_DROPOUT << 32 | node->index, pass->step, block);
    struct bp_dropout_mask call = {
        .seed = (uint64_t)block[0] << 32 | block[1], .threshold = (uint32_t)(rate * 0x1p32), .value = (bp_real)(1 / (1 - rate)), .n = size};
    for (int32_t i = 0; i < pass->batch; i++) {
        call.stream = (uint64_t)which << 48 | (uint64_t)(pass->first + i);
        call.mask = mask + (size_t)i * size;
        if (x) call.x = x + (size_t)i * size, call.y = y + (size_t)i * size;
        bp_kernels()->dropout_mask(&call);
    }
}

static inline void bp_drop_mask(const struct bp_node *node, const struct bp_pass *pass, double asked, uint32_t which, size_t size, bp_real *mask) {
    bp_drop(node, pass, asked, which, size, mask, NULL, NULL);
}

#endif
