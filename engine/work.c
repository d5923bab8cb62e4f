/* work.c - how much of a training oneDNN would do, to tell whether it repays its start, and what its copies in bfloat16 take. */
#include "network.h"

#include "kernels/kernels.h"

/* A start and the first calls of a dozen shapes take about as long as this many multiplications by other means, ten times over. */
#define REPAID 2e10

/* Positions at which a layer uses its kernel, in one sample: the cells of its output but for the last axis; the steps of a sequence. */
static int64_t positions_of(const struct bp_node *node) {
    const struct bp_shape *in = &node->in[0], *out = &node->out;
    const int64_t cells = out->rank > 0 ? bp_shape_size(out) / out->dims[out->rank - 1] : 1;
    return in->rank == 2 && out->rank == 1 ? in->dims[0] : cells;
}

bool bp_onednn_repays(const struct bp_network *network, int32_t batch, double samples) {
    double work = 0; /* of one sample, forward */
    for (int32_t i = 0; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        for (int32_t t = 0; node->ops && t < node->tensors_count; t++) {
            const struct bp_shape *kernel = &node->tensors[t].shape;
            const double one = (double)bp_shape_size(kernel) * (double)positions_of(node);
            if (kernel->rank >= 2 && one * batch >= (double)bp_onednn_least(kernel->rank > 2, false)) work += one;
        }
    }
    return 3 * work * samples >= REPAID;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Forward, a kernel W is multiplied with what a layer reads, x; backward, y's gradient with W and with x. All products take turns in two buffers, one
 * for each factor; a convolution puts x and y there, and keeps a copy of W in the library's order for each of its three ways, one of them in float32.
 */
int64_t bp_bfloat16_bytes(const struct bp_network *network, int32_t batch) {
    enum { HALF = 2 };
    int64_t first = 0, second = 0, own = 0;
    for (int32_t i = 0; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        for (int32_t t = 0; node->ops && t < node->tensors_count; t++) {
            const struct bp_shape *kernel = &node->tensors[t].shape;
            const bool convolution = kernel->rank > 2;
            if (kernel->rank < 2) continue;
            const int64_t W = bp_shape_size(kernel), positions = positions_of(node);
            const int64_t x = batch * bp_shape_size(&node->in[0]), y = batch * positions * kernel->dims[kernel->rank - 1];
            if (W * positions * batch < bp_onednn_least(convolution, true)) continue;
            first = larger(first, convolution ? x : larger(x, y));
            second = larger(second, convolution ? y : larger(W, y));
            own += convolution ? (2 * HALF + (int64_t)sizeof(float)) * W : 0;
        }
    }
    return HALF * (first + second) + own;
}
