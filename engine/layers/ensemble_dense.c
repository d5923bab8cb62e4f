/* ensemble_dense.c - a dense layer of its own for each member of an ensemble: x (B, members, in), W (members, in, units), b (members, units),
 * a (B, members, units): a_m = f(x_m W_m + b_m). As the output layer it ends the ensemble (members.c). */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"
#include "engine/layers/linear.h"
#include "engine/layers/parametrization.h"

enum { UNITS, ACTIVATION, USE_BIAS, KERNEL_INITIALIZER, BIAS_INITIALIZER, PARAMETRIZATION, DATA_DEPENDENT, PARAMS };
enum { KERNEL, BIAS };

static int add_tensors(struct bp_node *node, int32_t width, int32_t units, struct bp_error *error) {
    if ((int64_t)width * units * node->members > INT32_MAX)
        return bp_error_set(error, "/units", "%d kernels of %d x %d have more than 2^31 - 1 numbers; use fewer units or a smaller input",
                            (int)node->members, (int)width, (int)units);
    struct bp_tensor *kernel = bp_node_tensor(node, "kernel", 3, (const int32_t[]){node->members, width, units});
    bp_parametrization_initialize(kernel, &node->values[KERNEL_INITIALIZER], &node->values[PARAMETRIZATION]);
    kernel->fan_in = width;
    kernel->fan_out = units;
    kernel->penalised = true;
    kernel->parts = node->members;
    if (node->values[USE_BIAS].number == 0) return 0;
    struct bp_tensor *bias = bp_node_tensor(node, "bias", 2, (const int32_t[]){node->members, units});
    bias->bias = true;
    bp_tensor_initialize(bias, &node->values[BIAS_INITIALIZER]);
    bias->fan_in = width;
    bias->fan_out = units;
    return 0;
}

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t units = (int32_t)node->values[UNITS].number;
    bp_node_activate(node, &node->values[ACTIVATION]);
    if (!node->members && in->rank >= 0)
        return bp_error_set(error, "",
                            "ensemble_dense has a kernel for each member, but its input has no members; put an ensemble layer before it, "
                            "or use dense");
    node->out = (struct bp_shape){.rank = 2, .dims = {node->members, units}};
    if (in->rank < 0) return 0;
    if (in->rank != 2)
        return bp_error_set(error, "", "ensemble_dense needs an input (members, numbers), but got %s", bp_shape_text(in, text, sizeof text));
    if (in->dims[1] > 0 && add_tensors(node, in->dims[1], units, error)) return -1;
    node->fits = node->values[DATA_DEPENDENT].number != 0;
    if (node->activation && node->activation->needs_z) node->memo = (size_t)bp_shape_size(&node->out);
    return 0;
}

/* Of one member: x and a lie `members` rows apart. */
struct sizes {
    int32_t rows, members, in, units;
    double factor; /* of the product: 1 but in the neural tangent parametrisation */
};

static struct sizes sizes_of(const struct bp_node *node, const struct bp_pass *pass) {
    return (struct sizes){.rows = pass->batch,
                          .members = node->members,
                          .in = node->in[0].dims[1],
                          .units = node->out.dims[1],
                          .factor = bp_parametrization_factor(&node->values[PARAMETRIZATION], node->in[0].dims[1])};
}

/* The copy of z for the backward pass: apart from a when the derivative needs it. */
static bp_real *z_of(const struct bp_node *node, const struct bp_pass *pass) {
    return node->memo && pass->memo && node->activation ? pass->memo : pass->a;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node, pass);
    const struct bp_activation_ops *f = node->activation;
    const bp_real *b = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL;
    const size_t rows = (size_t)s.rows, width = (size_t)s.members * (size_t)s.units;
    const bool plain = s.factor == 1;
    bp_real *z = z_of(node, pass); /* (B, members, units) */
    for (int32_t m = 0; m < s.members; m++)
        bp_gemm(&(const struct bp_gemm){.bfloat16 = pass->bfloat16,
                                        .alike = bp_linear_alike(pass, s.in, s.units),
                                        .rectify = plain && f && f->in_product,
                                        .slope = (bp_real)node->activation_numbers[0],
                                        .m = s.rows,
                                        .n = s.units,
                                        .k = s.in,
                                        .A = pass->x[0] + (size_t)m * (size_t)s.in,
                                        .lda = s.members * s.in,
                                        .B = pass->W[KERNEL] + (size_t)m * (size_t)s.in * (size_t)s.units,
                                        .ldb = s.units,
                                        .C = z + (size_t)m * (size_t)s.units,
                                        .ldc = s.members * s.units,
                                        .bias = plain && b ? b + (size_t)m * (size_t)s.units : NULL});
    if (!plain) bp_parametrization_finish((const size_t[]){rows, width, width}, s.factor, b, z);
    if (f && !(plain && f->in_product))
        bp_node_forward_activation(node, pass, (const size_t[]){(size_t)s.rows * (size_t)s.members, (size_t)s.units}, z, pass->a);
}

static void backward_member(const struct bp_pass *pass, const struct sizes *s, int32_t m) {
    const size_t kernel = (size_t)m * (size_t)s->in * (size_t)s->units;
    const bp_real *d_z = pass->d_a + (size_t)m * (size_t)s->units;
    bp_gemm(&(const struct bp_gemm){.transpose_a = true,
                                    .bfloat16 = pass->bfloat16,
                                    .add = pass->keep_W,
                                    .m = s->in,
                                    .n = s->units,
                                    .k = s->rows,
                                    .A = pass->x[0] + (size_t)m * (size_t)s->in,
                                    .lda = s->members * s->in,
                                    .B = d_z,
                                    .ldb = s->members * s->units,
                                    .C = pass->d_W[KERNEL] + kernel,
                                    .ldc = s->units});
    if (!pass->d_x[0]) return;
    bp_gemm(&(const struct bp_gemm){.transpose_b = true,
                                    .bfloat16 = pass->bfloat16,
                                    .add = pass->keep_x[0],
                                    .m = s->rows,
                                    .n = s->in,
                                    .k = s->units,
                                    .A = d_z,
                                    .lda = s->members * s->units,
                                    .B = pass->W[KERNEL] + kernel,
                                    .ldb = s->units,
                                    .C = pass->d_x[0] + (size_t)m * (size_t)s->in,
                                    .ldc = s->members * s->in});
}

/* For each member, as in dense: dz = da f'(z); db = column sums of dz; dW = x^T dz; dx = dz W^T. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node, pass);
    const struct bp_activation_ops *f = node->activation;
    bp_real *d_z = pass->d_a; /* (B, members, units) */
    if (f)
        bp_node_backward_activation(
            node, pass, (const size_t[]){(size_t)s.rows * (size_t)s.members, (size_t)s.units},
            &(const struct bp_activated){.z = f->needs_z ? z_of(node, pass) : NULL, .a = pass->a, .d_a = pass->d_a, .d_z = d_z});
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums((size_t)s.rows, (size_t)s.members * (size_t)s.units, d_z, pass->d_W[BIAS], pass->keep_W);
    if (s.factor != 1) bp_kernels()->scale((size_t)s.rows * (size_t)s.members * (size_t)s.units, (bp_real)s.factor, d_z);
    for (int32_t m = 0; m < s.members; m++) backward_member(pass, &s, m);
}

static void fit(const struct bp_node *node, const struct bp_fit *with) {
    const size_t members = (size_t)node->members, in = (size_t)node->in[0].dims[1], units = (size_t)node->out.dims[1];
    for (size_t m = 0; m < members; m++)
        bp_data_dependent_fit(
            &(const struct bp_data_dependent){.rows = (size_t)with->rows,
                                              .in = in,
                                              .units = units,
                                              .x_stride = members * in,
                                              .factor = bp_parametrization_factor(&node->values[PARAMETRIZATION], node->in[0].dims[1]),
                                              .x = with->x + m * in,
                                              .W = with->W[KERNEL] + m * in * units,
                                              .b = bp_node_has(node, BIAS) ? with->W[BIAS] + m * units : NULL,
                                              .scratch = with->scratch,
                                              .random = with->random});
}

static const struct bp_param params[PARAMS] = {
    [UNITS] = {.name = "units", .type = BP_PARAM_INTEGER, .help = "Outputs of each member", .min = 1, .max = 65536, .flags = BP_PARAM_REQUIRED},
    [ACTIVATION] = {.name = "activation",
                    .type = BP_PARAM_ENTRY,
                    .help = "Activation applied to the outputs",
                    .family = &bp_activations,
                    .preset_name = "linear"},
    [USE_BIAS] = {.name = "use_bias", .type = BP_PARAM_BOOLEAN, .help = "Add a trainable bias per output", .preset = 1},
    [KERNEL_INITIALIZER] = {.name = "kernel_initializer",
                            .type = BP_PARAM_ENTRY,
                            .help = "Initial values of the kernels",
                            .family = &bp_initializers,
                            .preset_name = "auto"},
    [BIAS_INITIALIZER] = {.name = "bias_initializer",
                          .type = BP_PARAM_ENTRY,
                          .help = "Initial values of the biases",
                          .family = &bp_initializers,
                          .preset_name = "zeros"},
    [PARAMETRIZATION] = BP_PARAM_PARAMETRIZATION,
    [DATA_DEPENDENT] = BP_PARAM_DATA_DEPENDENT,
};

extern const struct bp_layer_ops bp_layer_ensemble_dense;
const struct bp_layer_ops bp_layer_ensemble_dense = {
    .entry = {.name = "ensemble_dense",
              .summary = "A dense layer of its own for each member of an ensemble",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .fit = fit,
};
