/* gaussian_noise.c - in training a = x + stddev n, n standard normal; else a = x.
 * The noise is a pure function of (seed, update, layer, position of the sample in the mini-batch), as the masks of dropout.c. */
#include "engine/layers/layer.h"

#include "engine/base/random.h"
#include "engine/layers/gradient.h"

#include <string.h>

enum { STDDEV, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    (void)error;
    node->out = node->in[0];
    node->draws = true;
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t size = (size_t)bp_shape_size(&node->out);
    const double stddev = node->values[STDDEV].number;
    memcpy(pass->a, pass->x[0], (size_t)pass->batch * size * sizeof *pass->a);
    if (!pass->training || stddev == 0) return;
    uint32_t key[4];
    bp_random_block(pass->seed, (uint64_t)BP_STREAM_DROPOUT << 32 | node->index, pass->step, key);
    for (int32_t i = 0; i < pass->batch; i++) {
        struct bp_random random = {.seed = (uint64_t)key[0] << 32 | key[1], .stream = (uint64_t)(pass->first + i)};
        bp_real *a = pass->a + (size_t)i * size;
        for (size_t k = 0; k < size; k++) a[k] += (bp_real)(stddev * bp_random_normal(&random));
    }
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_gradient_write(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->out), pass->d_a, pass->d_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [STDDEV] =
        {.name = "stddev", .type = BP_PARAM_NUMBER, .help = "Standard deviation of the noise", .min = 0, .max = 1e6, .flags = BP_PARAM_REQUIRED},
};

extern const struct bp_layer_ops bp_layer_gaussian_noise;
const struct bp_layer_ops bp_layer_gaussian_noise = {
    .entry = {.name = "gaussian_noise",
              .summary = "Adds normal noise to its input in training, to reduce overfitting",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
