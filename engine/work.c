/* work.c - how much of a training oneDNN would do, to tell whether it repays its start. */
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
