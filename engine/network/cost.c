/* cost.c - the multiplications of a network; the share of a training that oneDNN would compute, to decide whether it repays its start, and the memory
 * of its bfloat16 copies. */
#include "engine/network/network.h"

#include "engine/kernels/kernels.h"

/* A start and the first calls of a dozen shapes take about as long as this many multiplications by other means, ten times over. */
#define REPAID 2e10

/* The product of a layer's kernel W with what it reads, forward; numbers of x and y of one sample. */
struct product {
    bool convolution;
    int64_t W, positions, x, y;
};

/* Whether the node's t-th tensor is such a kernel. */
static bool product_of(const struct bp_node *node, int32_t t, struct product *p) {
    const struct bp_tensor *tensor = &node->tensors[t];
    const struct bp_shape *kernel = &tensor->shape;
    if (tensor->product == BP_PRODUCT_NONE) return false;
    p->convolution = tensor->product == BP_PRODUCT_CONVOLUTION;
    p->W = bp_shape_size(kernel);
    p->positions = node->positions;
    p->x = bp_shape_size(&node->in[0]);
    p->y = p->positions * kernel->dims[kernel->rank - 1];
    return true;
}

double bp_network_products(const struct bp_network *network) {
    double work = 0;
    struct product p;
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++)
        for (int32_t t = 0; t < network->nodes[i].tensors_count; t++)
            if (product_of(&network->nodes[i], t, &p)) work += (double)p.W * (double)p.positions;
    return work;
}

bool bp_onednn_repays(const struct bp_network *network, int32_t batch, double samples) {
    double work = 0; /* of one sample, forward */
    struct product p;
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++)
        for (int32_t t = 0; t < network->nodes[i].tensors_count; t++) {
            if (!product_of(&network->nodes[i], t, &p)) continue;
            const double one = (double)p.W * (double)p.positions;
            if (one * batch >= (double)bp_onednn_least(p.convolution, false)) work += one;
        }
    return 3 * work * samples >= REPAID;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Backward, y's gradient is multiplied with W and with x. All products take turns in two buffers, one for each factor; a convolution puts x and y
 * there, and keeps a copy of W in the library's order for each of its three ways, one of them in float32. */
int64_t bp_bfloat16_bytes(const struct bp_network *network, int32_t batch) {
    enum { HALF = 2 };
    int64_t first = 0, second = 0, own = 0;
    struct product p;
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++)
        for (int32_t t = 0; t < network->nodes[i].tensors_count; t++) {
            if (!product_of(&network->nodes[i], t, &p) || p.W * p.positions * batch < bp_onednn_least(p.convolution, true)) continue;
            first = larger(first, batch * (p.convolution ? p.x : larger(p.x, p.y)));
            second = larger(second, p.convolution ? batch * p.y : larger(p.W, batch * p.y));
            own += p.convolution ? (2 * HALF + (int64_t)sizeof(float)) * p.W : 0;
        }
    return HALF * (first + second) + own;
}
