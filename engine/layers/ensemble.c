/* ensemble.c - starts an ensemble of members that share the layers behind it: member m multiplies the input by a trained vector r_m of its own, x (B,
 * F), r (members, F), a (B, members, F): a_m = r_m x (BatchEnsemble: Wen, Tran, Ba 2020; one adapter in front of a network: TabM-mini, Gorishniy,
 * Kotelnikov, Babenko 2025, arXiv 2410.24210). Layers along the last axis compute all members in one product. */
#include "engine/initializers/initializer.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

enum { MEMBERS, FACTORS, GROUP_SIZE, PARAMS };
enum { NORMAL, SIGNS, ONES };

static const char *const initial[] = {"normal", "signs", "ones", NULL};

/* One draw for each group of numbers of a member. The plan leaves the size of a group in fan_in, the choice in fan_out. */
static void fill_factors(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const size_t width = (size_t)tensor->shape.dims[1], group = (size_t)tensor->fan_in;
    const int kind = (int)tensor->fan_out;
    double draw = 1;
    for (size_t i = 0; i < n; i++) {
        if (i % width % group == 0 && kind == NORMAL) draw = bp_random_normal(random);
        if (i % width % group == 0 && kind == SIGNS) draw = bp_random_uniform(random) < 0.5 ? -1 : 1;
        W[i] = (bp_real)draw;
    }
}

static const struct bp_initializer_ops by_group = {.entry = {.name = "by_group"}, .fill = fill_factors};

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t members = (int32_t)node->values[MEMBERS].number;
    if (node->members)
        return bp_error_set(error, "", "its input already has %d members; use one ensemble layer, before the layers that its members share",
                            (int)node->members);
    node->members = members;
    node->out = (struct bp_shape){.rank = 2, .dims = {members, 0}};
    if (in->rank < 0) return 0;
    if (in->rank != 1)
        return bp_error_set(error, "", "ensemble needs an input of numbers side by side, a shape like (20), but got %s; put a flatten before it",
                            bp_shape_text(in, text, sizeof text));
    node->out.dims[1] = in->dims[0];
    if (in->dims[0] <= 0) return 0;
    struct bp_tensor *factors = bp_node_tensor(node, "factors", 2, node->out.dims);
    factors->initializer = &by_group;
    factors->fan_in = node->values[GROUP_SIZE].number;
    factors->fan_out = node->values[FACTORS].number;
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t members = (size_t)node->members, width = (size_t)node->in[0].dims[0];
    const bp_real *x = pass->x[0];
    bp_real *a = pass->a;
    for (int32_t i = 0; i < pass->batch; i++, x += width)
        for (size_t m = 0; m < members; m++, a += width) bp_kernels()->multiply(width, x, pass->W[0] + m * width, a, false);
}

/* d_r_m = sum of d_a_m x; d_x = sum of d_a_m r_m. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t members = (size_t)node->members, width = (size_t)node->in[0].dims[0];
    const bp_real *x = pass->x[0], *d_a = pass->d_a;
    for (int32_t i = 0; i < pass->batch; i++, x += width)
        for (size_t m = 0; m < members; m++, d_a += width) {
            bp_kernels()->multiply(width, x, d_a, pass->d_W[0] + m * width, pass->keep_W || i > 0);
            if (!pass->d_x[0]) continue;
            bp_kernels()->multiply(width, d_a, pass->W[0] + m * width, pass->d_x[0] + (size_t)i * width, pass->keep_x[0] || m > 0);
        }
}

static const struct bp_param params[PARAMS] = {
    [MEMBERS] = {.name = "members", .type = BP_PARAM_INTEGER, .help = "Members of the ensemble", .preset = 8, .min = 2, .max = 1024},
    [FACTORS] = {.name = "factors",
                 .type = BP_PARAM_CHOICE,
                 .help = "Initial factors of each member: standard normal, 1 or -1, or all 1",
                 .choices = initial},
    [GROUP_SIZE] = {.name = "group_size",
                    .type = BP_PARAM_INTEGER,
                    .help = "Adjacent inputs that start with the same factor: those of an embedded number, its output_dim",
                    .preset = 1,
                    .min = 1,
                    .max = 65536},
};

extern const struct bp_layer_ops bp_layer_ensemble;
const struct bp_layer_ops bp_layer_ensemble = {
    .entry = {.name = "ensemble",
              .summary = "Members that share the layers behind it: each multiplies the input by its own trained factors",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
