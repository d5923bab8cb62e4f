/* positional_encoding.c - a = x + P, x (B, steps, width): P[t][2i] = sin(t / m^(2i / width)), P[t][2i+1] = cos(t / m^(2i / width)), so that
 * attention can use the position of a step (Vaswani et al. 2017, m = 10000). P is computed once per call: each frequency turns by a
 * constant angle from step to step. */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <math.h>
#include <string.h>

enum { MAX_WAVELENGTH, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    node->out = node->in[0];
    if (node->out.rank < 0) return 0;
    if (node->out.rank != 2)
        return bp_error_set(error, "", "positional_encoding needs an input (steps, channels), but got %s",
                            bp_shape_text(&node->out, text, sizeof text));
    node->shared_scratch = (size_t)bp_shape_size(&node->out); /* P */
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t steps = (size_t)node->out.dims[0], width = (size_t)node->out.dims[1];
    bp_real *P = pass->shared_scratch; /* (steps, width) */
    for (size_t j = 0; j < width; j += 2) {
        const double angle = pow(node->values[MAX_WAVELENGTH].number, -(double)j / (double)width);
        const double turn_sin = sin(angle), turn_cos = cos(angle);
        double s = 0, c = 1;
        for (size_t t = 0; t < steps; t++) {
            P[t * width + j] = (bp_real)s;
            if (j + 1 < width) P[t * width + j + 1] = (bp_real)c;
            const double next = s * turn_cos + c * turn_sin;
            c = c * turn_cos - s * turn_sin;
            s = next;
        }
    }
    memcpy(pass->a, pass->x[0], (size_t)pass->batch * steps * width * sizeof *pass->a);
    for (int32_t i = 0; i < pass->batch; i++) bp_kernels()->scaled_add(steps * width, 1, P, pass->a + (size_t)i * steps * width);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_gradient_write(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->out), pass->d_a, pass->d_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [MAX_WAVELENGTH] = {.name = "max_wavelength",
                        .type = BP_PARAM_NUMBER,
                        .help = "The longest wavelength divided by 2 pi, in steps",
                        .preset = 10000,
                        .min = 1,
                        .max = 1e9},
};

extern const struct bp_layer_ops bp_layer_positional_encoding;
const struct bp_layer_ops bp_layer_positional_encoding = {
    .entry = {.name = "positional_encoding",
              .summary = "Adds sines and cosines that encode each step's position",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
