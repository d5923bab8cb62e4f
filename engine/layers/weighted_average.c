/* weighted_average.c - a = w_0 x_0 + w_1 x_1 + ..., broadcast to one shape (B, ...), w (inputs) trained, 1 / inputs at first: what joins the networks
 * of an ensemble. Inputs that are predictions already, such as probabilities, stay what they are at the output: no loss applies its head to their
 * average.
 */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/merge.h"

enum { OF, PARAMS };
enum { OF_VALUES, OF_PREDICTIONS };
static const char *const kinds[] = {"values", "predictions", NULL};

static int plan(struct bp_node *node, struct bp_error *error) {
    if (bp_merge_shape(node, &node->out, error)) return -1;
    node->scratch = (size_t)bp_shape_size(&node->out);
    const struct bp_value share = {.entry = bp_family_find(&bp_initializers, "constant"), .entry_numbers = {1.0 / node->inputs_count}};
    struct bp_tensor *weights = bp_node_tensor(node, "weights", 1, (const int32_t[]){node->inputs_count});
    bp_tensor_initialize(weights, &share);
    weights->fan_in = weights->fan_out = node->inputs_count;
    node->predictions = (int)node->values[OF].number == OF_PREDICTIONS;
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = bp_merge_size(node, pass);
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const bp_real *x = bp_merge_operand(node, pass, i, pass->scratch), w = pass->W[0][i];
        if (i) bp_kernels()->scaled_add(n, w, x, pass->a);
        for (size_t k = 0; !i && k < n; k++) pass->a[k] = w * x[k];
    }
}

/* d_w_i = the sum of d_a x_i; d_x_i = w_i d_a. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = bp_merge_size(node, pass);
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const bp_real *x = bp_merge_operand(node, pass, i, pass->scratch), w = pass->W[0][i];
        double sum = 0;
        for (size_t k = 0; k < n; k++) sum += (double)pass->d_a[k] * (double)x[k];
        bp_gradient_put(pass->keep_W, (bp_real)sum, &pass->d_W[0][i]);
        if (!pass->d_x[i]) continue;
        for (size_t k = 0; k < n; k++) pass->scratch[k] = w * pass->d_a[k];
        bp_merge_gradient(node, pass, i, pass->scratch);
    }
}

static const struct bp_param params[PARAMS] = {
    [OF] = {.name = "of",
            .type = BP_PARAM_CHOICE,
            .help = "what the inputs are: values, or predictions of networks that were trained separately, whose average is a prediction too",
            .choices = kinds},
};

extern const struct bp_layer_ops bp_layer_weighted_average;
const struct bp_layer_ops bp_layer_weighted_average = {
    .entry = {.name = "weighted_average",
              .summary = "The sum of its inputs, each times a trained weight, equal at first",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
