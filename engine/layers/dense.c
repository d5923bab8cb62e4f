/* dense.c - a = f(x W + b) along the last axis: x (B, ..., in), W (in, units), b (units), a (B, ..., units).
 * W has Keras's layout, so that batch 1 sums rows of W. rows = B times the sizes of the axes between. */
#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/layer.h"
#include "engine/layers/linear.h"
#include "engine/layers/parametrization.h"

enum { UNITS, ACTIVATION, USE_BIAS, KERNEL_INITIALIZER, BIAS_INITIALIZER, PARAMETRIZATION, DATA_DEPENDENT, PARAMS };
enum { KERNEL, BIAS };

static int plan(struct bp_node *node, struct bp_error *error) {
    const struct bp_shape *in = &node->in[0];
    const int32_t units = (int32_t)node->values[UNITS].number;
    bp_node_activate(node, &node->values[ACTIVATION]);
    node->out = *in;
    if (in->rank < 0) return 0;
    if (in->rank == 0) return bp_error_set(error, "", "dense needs an input of at least one axis, but got a single number ()");
    node->out.dims[in->rank - 1] = units;
    const int32_t width = in->dims[in->rank - 1];
    if (width <= 0) return 0;
    if ((int64_t)width * units > INT32_MAX)
        return bp_error_set(error, "/units", "a kernel of %d x %d has more than 2^31 - 1 numbers; use fewer units or a smaller input", (int)width,
                            (int)units);
    struct bp_tensor *kernel = bp_node_tensor(node, "kernel", 2, (const int32_t[]){width, units});
    bp_parametrization_initialize(kernel, &node->values[KERNEL_INITIALIZER], &node->values[PARAMETRIZATION]);
    kernel->fan_in = width;
    kernel->fan_out = units;
    kernel->penalised = true;
    kernel->product = BP_PRODUCT_MATRIX;
    node->positions = (int32_t)(bp_shape_size(&node->out) / units);
    if (node->values[USE_BIAS].number != 0) {
        struct bp_tensor *bias = bp_node_tensor(node, "bias", 1, (const int32_t[]){units});
        bias->bias = true;
        bp_tensor_initialize(bias, &node->values[BIAS_INITIALIZER]);
        bias->fan_in = width;
        bias->fan_out = units;
    }
    node->fits = node->values[DATA_DEPENDENT].number != 0;
    if (node->activation && node->activation->needs_z) node->memo = (size_t)bp_shape_size(&node->out);
    return 0;
}

static struct bp_linear product_of(const struct bp_node *node, const struct bp_pass *pass) {
    const int32_t in = node->in[0].dims[node->in[0].rank - 1], units = node->out.dims[node->out.rank - 1];
    struct bp_linear product = bp_linear_of(pass, pass->batch * node->positions, in, units);
    product.x = pass->x[0];
    product.W = pass->W[KERNEL];
    return product;
}

/* The copy of z for the backward pass: apart from a when the derivative needs it. */
static bp_real *z_of(const struct bp_node *node, const struct bp_pass *pass) {
    return node->memo && pass->memo && node->activation ? pass->memo : pass->a;
}

/* What the product is multiplied by: 1 but in the neural tangent parametrisation. */
static double factor_of(const struct bp_node *node, const struct bp_linear *product) {
    return bp_parametrization_factor(&node->values[PARAMETRIZATION], product->in);
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_linear product = product_of(node, pass);
    const struct bp_activation_ops *f = node->activation;
    const size_t size[2] = {(size_t)product.rows, (size_t)product.out};
    bp_real *z = z_of(node, pass); /* (B, ..., units) */
    const bp_real *b = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL;
    const double factor = factor_of(node, &product);
    if (factor == 1) {
        bp_linear_forward(&product, node, b, z);
    } else {
        bp_linear_forward(&product, NULL, NULL, z);
        bp_parametrization_finish((const size_t[]){size[0], size[1], size[1]}, factor, b, z);
    }
    if (f && (factor != 1 || !f->in_product)) bp_node_forward_activation(node, pass, size, z, pass->a);
}

/* dz = da f'(z); db = column sums of dz; dW = x^T dz; dx = dz W^T. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_linear product = product_of(node, pass);
    const struct bp_activation_ops *f = node->activation;
    const size_t size[2] = {(size_t)product.rows, (size_t)product.out};
    bp_real *d_z = pass->d_a; /* (B, ..., units) */
    if (f)
        bp_node_backward_activation(
            node, pass, size, &(const struct bp_activated){.z = f->needs_z ? z_of(node, pass) : NULL, .a = pass->a, .d_a = pass->d_a, .d_z = d_z});
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(size[0], size[1], d_z, pass->d_W[BIAS], pass->keep_W);
    if (factor_of(node, &product) != 1) bp_kernels()->scale(size[0] * size[1], (bp_real)factor_of(node, &product), d_z);
    bp_linear_weights(&product, pass->keep_W, d_z, pass->d_W[KERNEL]);
    if (pass->d_x[0]) bp_linear_input(&product, pass->keep_x[0], d_z, pass->d_x[0]);
}

static void fit(const struct bp_node *node, const struct bp_fit *with) {
    const int32_t in = node->in[0].dims[node->in[0].rank - 1];
    bp_data_dependent_fit(&(const struct bp_data_dependent){.rows = (size_t)with->rows * (size_t)node->positions,
                                                            .in = (size_t)in,
                                                            .units = (size_t)node->out.dims[node->out.rank - 1],
                                                            .x_stride = (size_t)in,
                                                            .factor = bp_parametrization_factor(&node->values[PARAMETRIZATION], in),
                                                            .x = with->x,
                                                            .W = with->W[KERNEL],
                                                            .b = bp_node_has(node, BIAS) ? with->W[BIAS] : NULL,
                                                            .scratch = with->scratch,
                                                            .random = with->random});
}

static const struct bp_param params[PARAMS] = {
    [UNITS] = {.name = "units", .type = BP_PARAM_INTEGER, .help = "Outputs", .min = 1, .max = 65536, .flags = BP_PARAM_REQUIRED},
    [ACTIVATION] = {.name = "activation",
                    .type = BP_PARAM_ENTRY,
                    .help = "Activation applied to the outputs",
                    .family = &bp_activations,
                    .preset_name = "linear"},
    [USE_BIAS] = {.name = "use_bias", .type = BP_PARAM_BOOLEAN, .help = "Add a trainable bias per output", .preset = 1},
    [KERNEL_INITIALIZER] = {.name = "kernel_initializer",
                            .type = BP_PARAM_ENTRY,
                            .help = "Initial values of the kernel",
                            .family = &bp_initializers,
                            .preset_name = "auto"},
    [BIAS_INITIALIZER] = {.name = "bias_initializer",
                          .type = BP_PARAM_ENTRY,
                          .help = "Initial values of the bias",
                          .family = &bp_initializers,
                          .preset_name = "zeros"},
    [PARAMETRIZATION] = BP_PARAM_PARAMETRIZATION,
    [DATA_DEPENDENT] = BP_PARAM_DATA_DEPENDENT,
};

extern const struct bp_layer_ops bp_layer_dense;
const struct bp_layer_ops bp_layer_dense = {
    .entry = {.name = "dense",
              .summary = "Every output is a weighted sum of all inputs along the last axis",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .fit = fit,
};
