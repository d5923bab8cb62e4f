/* embedding.c - a row of trained numbers for each index: x (B, ...) whole numbers 0..input_dim-1, E (input_dim, output_dim),
 * a (B, ..., output_dim). Anything else in x (-1, 0.5, input_dim) gives not a number, so that a wrong index stops a training
 * instead of learning nonsense. With mask_zero the index 0 is padding (of a sequence (B, T)). There is no gradient in x: it is stored as 0. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <math.h>
#include <string.h>

enum { INPUT_DIM, OUTPUT_DIM, EMBEDDINGS_INITIALIZER, MASK_ZERO, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t rows = (int32_t)node->values[INPUT_DIM].number, width = (int32_t)node->values[OUTPUT_DIM].number;
    if ((int64_t)rows * width > INT32_MAX)
        return bp_error_set(error, "/input_dim", "embeddings of %d x %d have more than 2^31 - 1 numbers; use a smaller output_dim", (int)rows,
                            (int)width);
    if (in->rank >= BP_RANK_MAX)
        return bp_error_set(error, "", "embedding adds an axis, and at most %d are allowed, but its input has the shape %s", BP_RANK_MAX,
                            bp_shape_text(in, text, sizeof text));
    struct bp_tensor *embeddings = bp_node_tensor(node, "embeddings", 2, (const int32_t[]){rows, width});
    bp_tensor_initialize(embeddings, &node->values[EMBEDDINGS_INITIALIZER]);
    embeddings->fan_in = rows;
    embeddings->fan_out = width;
    node->indices = rows;
    node->mask = node->values[MASK_ZERO].number != 0 ? BP_MASK_MAKE : BP_MASK_REFUSE;
    if (in->rank < 0) return 0;
    if (node->mask == BP_MASK_MAKE && in->rank != 1)
        return bp_error_set(error, "/mask_zero", "mask_zero is for a sequence of indices (steps), but the input has the shape %s",
                            bp_shape_text(in, text, sizeof text));
    node->out = *in;
    node->out.dims[node->out.rank++] = width;
    return 0;
}

/* The index x, -1 when it is invalid. */
static int64_t index_of(const struct bp_node *node, bp_real x) {
    const int64_t index = x >= 0 && x < (bp_real)node->indices ? (int64_t)x : -1;
    return (bp_real)index == x ? index : -1;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t width = (size_t)node->out.dims[node->out.rank - 1], n = (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]);
    for (size_t i = 0; pass->mask_out && i < n; i++) pass->mask_out[i] = pass->x[0][i] != 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t index = index_of(node, pass->x[0][i]);
        bp_real *a = pass->a + i * width; /* (output_dim) */
        if (index >= 0) memcpy(a, pass->W[0] + (size_t)index * width, width * sizeof *a);
        else
            for (size_t j = 0; j < width; j++) a[j] = (bp_real)NAN;
    }
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t width = (size_t)node->out.dims[node->out.rank - 1], n = (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]);
    bp_gradient_begin(pass->keep_W, (size_t)node->indices * width, pass->d_W[0]);
    for (size_t i = 0; i < n; i++) {
        const int64_t index = index_of(node, pass->x[0][i]);
        if (index >= 0) bp_kernels()->scaled_add(width, 1, pass->d_a + i * width, pass->d_W[0] + (size_t)index * width);
    }
    if (pass->d_x[0]) bp_gradient_begin(pass->keep_x[0], n, pass->d_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [INPUT_DIM] = {.name = "input_dim",
                   .type = BP_PARAM_INTEGER,
                   .help = "Number of indices; they range from 0 to one less",
                   .min = 1,
                   .max = 1 << 24,
                   .flags = BP_PARAM_REQUIRED},
    [OUTPUT_DIM] = {.name = "output_dim",
                    .type = BP_PARAM_INTEGER,
                    .help = "Size of the vector of an index",
                    .min = 1,
                    .max = 65536,
                    .flags = BP_PARAM_REQUIRED},
    [EMBEDDINGS_INITIALIZER] = {.name = "embeddings_initializer",
                                .type = BP_PARAM_ENTRY,
                                .help = "Initial values of the embeddings",
                                .family = &bp_initializers,
                                .preset_name = "auto"},
    [MASK_ZERO] = {.name = "mask_zero", .type = BP_PARAM_BOOLEAN, .help = "The index 0 is padding, which later layers mask"},
};

extern const struct bp_layer_ops bp_layer_embedding;
const struct bp_layer_ops bp_layer_embedding = {
    .entry = {.name = "embedding", .summary = "A trainable vector per index, such as a word", .params = params, .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
