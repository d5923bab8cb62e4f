/* c_layers.c - each layer of a network as calls of runtime.c99. A layer that only acts in training passes its input on. */
#include "schema/export/c_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a node is -------------------------------------------------------------------------------------------------------- */

static const struct bp_value *value_of(const struct bp_node *node, const char *name) {
    const struct bp_entry *entry = &node->ops->entry;
    int32_t i = 0;
    while (i < entry->params_count && strcmp(entry->params[i].name, name) != 0) i++;
    return i < entry->params_count ? &node->values[i] : NULL;
}

static double number_of(const struct bp_node *node, const char *name) {
    const struct bp_value *value = value_of(node, name);
    return value ? value->number : 0;
}

static int32_t position_of(const struct bp_node *node, const char *name) {
    const struct bp_value *value = value_of(node, name);
    return value ? (int32_t)(value - node->values) : -1;
}

static int64_t size_of(const struct bp_shape *shape) {
    return bp_shape_size(shape);
}

static int32_t last_of(const struct bp_shape *shape) {
    return shape->rank > 0 ? shape->dims[shape->rank - 1] : 1;
}

/* The expression of a tensor, "w3", or "NULL" when the node has none of that name. -1 with the error. */
static int tensor_of(struct c_writer *w, const struct bp_node *node, const char *name, char text[static 24]) {
    char what[160];
    snprintf(text, 24, "NULL");
    for (int32_t t = 0; t < node->tensors_count; t++) {
        const struct bp_tensor *tensor = &node->tensors[t];
        if (strcmp(tensor->name, name) != 0) continue;
        snprintf(what, sizeof what, "%.63s/%.63s", node->name, name);
        const int32_t number = c_floats(w, w->model->weights + tensor->offset, size_of(&tensor->shape), what);
        if (number < 0) return -1;
        snprintf(text, 24, "w%d", (int)number);
    }
    return 0;
}

static const char *input_of(const struct c_writer *w, const struct bp_node *node, int32_t i) {
    return w->values[node->inputs[i]];
}

/* Space for the node's numbers; they are called v and its number. */
static const char *begin(struct c_writer *w, const struct bp_node *node) {
    const int32_t number = (int32_t)(node - w->network->nodes);
    const int64_t at = c_room(w, size_of(&node->out));
    snprintf(w->values[number], sizeof *w->values, "v%d", (int)number);
    schema_text_format(&w->body, "    float *const v%d = work + %lld; /* ", (int)number, (long long)at);
    c_comment(&w->body, node->name);
    schema_text_string(&w->body, " */\n");
    return w->values[number];
}

static void pass_on(struct c_writer *w, const struct bp_node *node) {
    memcpy(w->values[node - w->network->nodes], w->values[node->inputs[0]], sizeof *w->values);
}

/* ---- activations ----------------------------------------------------------------------------------------------------------- */

int c_activation(struct c_writer *w, const struct bp_activation_ops *f, const double *numbers, int32_t slopes, const char *a, const int64_t size[2]) {
    const char *name = f ? f->entry.name : "linear";
    const long long rows = (long long)size[0], width = (long long)size[1];
    if (!f || f->identity) return 0;
    c_use(w, name);
    if (strcmp(name, "softmax") == 0 || strcmp(name, "log_softmax") == 0 || strcmp(name, "ordinal") == 0)
        schema_text_format(&w->body, "    %s(%s, %lld, %lld);\n", name, a, rows, width);
    else if (f->learned) schema_text_format(&w->body, "    prelu(%s, %lld, %lld, w%d);\n", a, rows, width, (int)slopes);
    else if (strcmp(name, "elu") == 0 || strcmp(name, "leaky_relu") == 0) {
        schema_text_format(&w->body, "    %s(%s, %lld, ", name, a, rows * width);
        c_float(&w->body, (float)numbers[0]);
        schema_text_string(&w->body, ");\n");
    } else if (strcmp(name, "gelu") == 0) schema_text_format(&w->body, "    gelu(%s, %lld, %d);\n", a, rows * width, numbers[0] != 0);
    else schema_text_format(&w->body, "    %s(%s, %lld);\n", strcmp(name, "tanh") == 0 ? "hyperbolic_tangent" : name, a, rows * width);
    return 0;
}

/* That of a node, on its output. */
static int activate(struct c_writer *w, const struct bp_node *node, const char *a) {
    const int64_t width = last_of(&node->out), size[2] = {size_of(&node->out) / width, width};
    int32_t slopes = -1;
    char text[24];
    if (node->slopes >= 0 && node->activation) {
        if (tensor_of(w, node, "alpha", text) != 0) return -1;
        slopes = (int32_t)strtol(text + 1, NULL, 10);
    }
    return c_activation(w, node->activation, node->activation_numbers, slopes, a, size);
}

static int activation(struct c_writer *w, const struct bp_node *node) {
    if (!node->activation || node->activation->identity) return pass_on(w, node), 0;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "copy");
    schema_text_format(&w->body, "    copy(%s, %lld, %s);\n", x, (long long)size_of(&node->out), a);
    return activate(w, node, a);
}

/* ---- products -------------------------------------------------------------------------------------------------------------- */

static double factor_of(const struct bp_node *node, int32_t in) {
    return number_of(node, "parametrization") != 0 ? 1 / sqrt((double)in) : 1;
}

static int dense(struct c_writer *w, const struct bp_node *node) {
    char K[24], b[24];
    const int32_t in = last_of(&node->in[0]), units = last_of(&node->out);
    if (tensor_of(w, node, "kernel", K) != 0 || tensor_of(w, node, "bias", b) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "dense");
    schema_text_format(&w->body, "    dense(%s, %lld, %d, %d, %s, %s, ", x, (long long)(size_of(&node->out) / units), (int)in, (int)units, K, b);
    c_float(&w->body, (float)factor_of(node, in));
    schema_text_format(&w->body, ", %s);\n", a);
    return activate(w, node, a);
}

static int ensemble_dense(struct c_writer *w, const struct bp_node *node) {
    char K[24], b[24];
    const int32_t in = node->in[0].dims[1], units = node->out.dims[1], members = node->out.dims[0];
    if (tensor_of(w, node, "kernel", K) != 0 || tensor_of(w, node, "bias", b) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    const bool biased = strcmp(b, "NULL") != 0;
    c_use(w, "dense");
    schema_text_format(&w->body, "    for (int m = 0; m < %d; m++) dense(%s + m * %d, 1, %d, %d, %s + (long)m * %lld, ", (int)members, x, (int)in,
                       (int)in, (int)units, K, (long long)in * units);
    if (biased) schema_text_format(&w->body, "%s + m * %d, ", b, (int)units);
    else schema_text_string(&w->body, "NULL, ");
    c_float(&w->body, (float)factor_of(node, in));
    schema_text_format(&w->body, ", %s + m * %d);\n", a, (int)units);
    return activate(w, node, a);
}

/* ---- windows --------------------------------------------------------------------------------------------------------------- */

static void write_window(struct c_writer *w, int32_t number, const struct bp_window *v) {
    schema_text_format(&w->body, "    static const struct window window_%d = {{%d, %d}, {%d, %d}, {%d, %d}, {%d, %d}, {%d, %d}, {%d, %d}, %d};\n",
                       (int)number, (int)v->in[0], (int)v->in[1], (int)v->out[0], (int)v->out[1], (int)v->size[0], (int)v->size[1], (int)v->stride[0],
                       (int)v->stride[1], (int)v->dilation[0], (int)v->dilation[1], (int)v->before[0], (int)v->before[1], (int)v->channels);
}

/* The window of a node; size: the name of its parameter. */
static int settle(struct c_writer *w, const struct bp_node *node, const char *size, struct bp_window *window) {
    const struct bp_window_params params = {.axes = node->in[0].rank - 1,
                                            .size = position_of(node, size),
                                            .strides = position_of(node, "strides"),
                                            .padding = position_of(node, "padding"),
                                            .dilation = position_of(node, "dilation_rate")};
    return bp_window_settle(node, &params, window, w->error);
}

static int convolution(struct c_writer *w, const struct bp_node *node) {
    struct bp_window window;
    char K[24], b[24];
    const int32_t number = (int32_t)(node - w->network->nodes);
    if (settle(w, node, "kernel_size", &window) != 0 || tensor_of(w, node, "kernel", K) != 0 || tensor_of(w, node, "bias", b) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "convolve");
    write_window(w, number, &window);
    schema_text_format(&w->body, "    convolve(%s, &window_%d, %d, %d, %s, %s, %s);\n", x, (int)number, (int)number_of(node, "groups"),
                       (int)last_of(&node->out), K, b, a);
    return activate(w, node, a);
}

static int depthwise(struct c_writer *w, const struct bp_node *node) {
    struct bp_window window;
    char K[24], b[24];
    const int32_t number = (int32_t)(node - w->network->nodes);
    if (settle(w, node, "kernel_size", &window) != 0 || tensor_of(w, node, "depthwise_kernel", K) != 0 || tensor_of(w, node, "bias", b) != 0)
        return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "depthwise");
    write_window(w, number, &window);
    schema_text_format(&w->body, "    depthwise(%s, &window_%d, %d, %s, %s, %s);\n", x, (int)number, (int)number_of(node, "depth_multiplier"), K, b,
                       a);
    return activate(w, node, a);
}

static int separable(struct c_writer *w, const struct bp_node *node) {
    struct bp_window window;
    char D[24], P[24], b[24];
    const int32_t number = (int32_t)(node - w->network->nodes), M = (int32_t)number_of(node, "depth_multiplier");
    if (settle(w, node, "kernel_size", &window) != 0 || tensor_of(w, node, "depthwise_kernel", D) != 0 ||
        tensor_of(w, node, "pointwise_kernel", P) != 0 || tensor_of(w, node, "bias", b) != 0)
        return -1;
    const int32_t wide = window.channels * M, filters = last_of(&node->out);
    const int64_t cells = (int64_t)window.out[0] * window.out[1], room = c_room(w, cells * wide);
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "depthwise");
    c_use(w, "dense");
    write_window(w, number, &window);
    schema_text_format(&w->body, "    depthwise(%s, &window_%d, %d, %s, NULL, work + %lld);\n", x, (int)number, (int)M, D, (long long)room);
    schema_text_format(&w->body, "    dense(work + %lld, %lld, %d, %d, %s, %s, 1.0f, %s);\n", (long long)room, (long long)cells, (int)wide,
                       (int)filters, P, b, a);
    return activate(w, node, a);
}

/* As engine/layers/transposed.c settles it: the window lies over the output, which is known. */
static void settle_transposed(const struct bp_node *node, struct bp_window *v) {
    const int32_t axes = node->in[0].rank - 1;
    const struct bp_value *padding = value_of(node, "padding"), *added = value_of(node, "output_padding");
    const bool same = padding->integers_count == 0 && (int)padding->number == BP_PADDING_SAME;
    *v = (struct bp_window){.in = {1, 1}, .out = {1, 1}, .size = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .channels = last_of(&node->out)};
    int32_t *const to[] = {v->size, v->stride, v->dilation, v->before};
    static const char *const names[] = {"kernel_size", "strides", "dilation_rate", "padding"};
    for (int32_t i = 0; i < 4; i++)
        for (int32_t k = 0; k < axes && value_of(node, names[i])->integers_count; k++) {
            const struct bp_value *value = value_of(node, names[i]);
            to[i][2 - axes + k] = value->integers[value->integers_count > 1 ? k : 0];
        }
    for (int32_t k = 2 - axes; k < 2; k++) {
        const int32_t reach = v->dilation[k] * (v->size[k] - 1) + 1;
        v->in[k] = node->out.dims[k - (2 - axes)];
        v->out[k] = node->in[0].dims[k - (2 - axes)];
        if (padding->integers_count) continue;
        const bool given = added->integers_count > 0 && added->integers[added->integers_count > 1 ? k - (2 - axes) : 0] >= 0;
        v->before[k] = !same ? 0 : given ? reach / 2 : reach > v->stride[k] ? (reach - v->stride[k]) / 2 : 0;
    }
}

static int transposed(struct c_writer *w, const struct bp_node *node) {
    struct bp_window window;
    char K[24], b[24];
    const int32_t number = (int32_t)(node - w->network->nodes);
    if (tensor_of(w, node, "kernel", K) != 0 || tensor_of(w, node, "bias", b) != 0) return -1;
    settle_transposed(node, &window);
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "transposed");
    write_window(w, number, &window);
    schema_text_format(&w->body, "    transposed(%s, &window_%d, %d, %s, %s, %s);\n", x, (int)number, (int)last_of(&node->in[0]), K, b, a);
    return activate(w, node, a);
}

static int pool(struct c_writer *w, const struct bp_node *node) {
    struct bp_window window;
    const int32_t number = (int32_t)(node - w->network->nodes);
    if (settle(w, node, "pool_size", &window) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "pool");
    write_window(w, number, &window);
    schema_text_format(&w->body, "    pool(%s, &window_%d, %d, %s);\n", x, (int)number, node->ops->entry.name[0] == 'm', a);
    return 0;
}

static int global_pool(struct c_writer *w, const struct bp_node *node) {
    const int32_t C = last_of(&node->out);
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "global_pool");
    schema_text_format(&w->body, "    global_pool(%s, %lld, %d, %d, %s);\n", x, (long long)(size_of(&node->in[0]) / C), (int)C,
                       strcmp(node->ops->entry.name, "global_max_pool") == 0, a);
    return 0;
}

/* Height and width of the small and of the large image, and where the small one begins. */
static int border(struct c_writer *w, const struct bp_node *node) {
    const bool crop = node->ops->entry.name[0] == 'c';
    const int32_t axes = node->out.rank - 1, C = node->out.dims[axes], *n = node->values[0].integers, count = node->values[0].integers_count;
    const struct bp_shape *small = crop ? &node->out : &node->in[0], *large = crop ? &node->in[0] : &node->out;
    int64_t before[2] = {0, 0};
    for (int32_t k = 2 - axes; k < 2; k++) {
        const int32_t axis = k - (2 - axes);
        before[k] = count == 2 * axes ? n[2 * axis] : count == 1 ? n[0] : n[axis];
    }
    const int64_t rows = axes == 2 ? small->dims[0] : 1, line = (int64_t)small->dims[axes - 1] * C, across = (int64_t)large->dims[axes - 1] * C;
    const int64_t first = before[0] * across + before[1] * C;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, crop ? "cut" : "place");
    if (crop)
        schema_text_format(&w->body, "    cut(%s + %lld, %lld, %lld, %lld, %s);\n", x, (long long)first, (long long)rows, (long long)line,
                           (long long)across, a);
    else {
        schema_text_format(&w->body, "    for (long i = 0; i < %lld; i++) %s[i] = 0;\n", (long long)size_of(&node->out), a);
        schema_text_format(&w->body, "    place(%s, %lld, %lld, %lld, %s + %lld);\n", x, (long long)rows, (long long)line, (long long)across, a,
                           (long long)first);
    }
    return 0;
}

static int upsample(struct c_writer *w, const struct bp_node *node) {
    const int32_t axes = node->in[0].rank - 1, number = (int32_t)(node - w->network->nodes);
    int32_t size[2] = {1, 1}, factor[2] = {1, 1};
    for (int32_t k = 0; k < axes; k++) {
        size[2 - axes + k] = node->in[0].dims[k];
        factor[2 - axes + k] = node->out.dims[k] / node->in[0].dims[k];
    }
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "upsample");
    schema_text_format(&w->body, "    static const int size_%d[2] = {%d, %d}, factor_%d[2] = {%d, %d};\n", (int)number, (int)size[0], (int)size[1],
                       (int)number, (int)factor[0], (int)factor[1]);
    schema_text_format(&w->body, "    upsample(%s, size_%d, factor_%d, %d, %d, %s);\n", x, (int)number, (int)number, (int)last_of(&node->out),
                       number_of(node, "interpolation") != 0, a);
    return 0;
}

/* ---- norms ----------------------------------------------------------------------------------------------------------------- */

static int batch_norm(struct c_writer *w, const struct bp_node *node) {
    static const char *const names[4] = {"moving_mean", "moving_variance", "gamma", "beta"};
    char texts[4][24];
    const int32_t C = last_of(&node->out), number = (int32_t)(node - w->network->nodes);
    for (int i = 0; i < 4; i++)
        if (tensor_of(w, node, names[i], texts[i]) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "batch_norm");
    schema_text_format(&w->body, "    static const float *const statistics_%d[4] = {%s, %s, %s, %s};\n", (int)number, texts[0], texts[1], texts[2],
                       texts[3]);
    schema_text_format(&w->body, "    batch_norm(%s, %lld, %d, ", x, (long long)(size_of(&node->out) / C), (int)C);
    c_double(&w->body, (double)(float)number_of(node, "epsilon"));
    schema_text_format(&w->body, ", statistics_%d, %s);\n", (int)number, a);
    return 0;
}

/* layer_norm and rms_norm by rows of the last axis; group_norm by groups of channels. */
static int norm(struct c_writer *w, const struct bp_node *node) {
    char gamma[24], beta[24];
    const char *name = node->ops->entry.name;
    const bool by_groups = strcmp(name, "group_norm") == 0;
    const int32_t C = last_of(&node->out), asked = (int32_t)number_of(node, "groups"), groups = asked < 0 ? C : asked;
    const int64_t rows = size_of(&node->out) / C;
    if (tensor_of(w, node, "gamma", gamma) != 0 || tensor_of(w, node, "beta", beta) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    const int32_t each = by_groups ? C / groups : C;
    char of_gamma[48], of_beta[48];
    snprintf(of_gamma, sizeof of_gamma, by_groups && gamma[0] == 'w' ? "%s + i" : "%s", gamma);
    snprintf(of_beta, sizeof of_beta, by_groups && beta[0] == 'w' ? "%s + i" : "%s", beta);
    c_use(w, "normalize");
    schema_text_format(&w->body, "    for (long i = 0; i < %lld; i += %d) normalize(%s + i, %lld, %d, %d, %d, ",
                       by_groups ? (long long)C : (long long)(rows * C), (int)each, x, by_groups ? (long long)rows : 1LL, (int)each, (int)C,
                       strcmp(name, "rms_norm") != 0);
    c_double(&w->body, number_of(node, "epsilon"));
    schema_text_format(&w->body, ", %s, %s, %s + i);\n", of_gamma, of_beta, a);
    return 0;
}

/* ---- several inputs -------------------------------------------------------------------------------------------------------- */

/* a (dims of the output's rank) gathered from the expression x, which is in another shape, aligned at the last axis: sizes of 1 repeat. */
static void gather(struct c_writer *w, const struct bp_shape *out, const struct bp_shape *in, const char *x, const char *a, int32_t number,
                   int32_t i) {
    int64_t step[4] = {0, 0, 0, 0}, inner = 1;
    int32_t dims[4] = {1, 1, 1, 1};
    for (int32_t k = out->rank - 1, at = in->rank - 1; k >= 0; k--, at--) {
        const int32_t to = 4 - out->rank + k, n = at >= 0 ? in->dims[at] : 1;
        dims[to] = out->dims[k];
        step[to] = n > 1 ? inner : 0;
        inner *= n;
    }
    c_use(w, "gather");
    schema_text_format(&w->body,
                       "    static const int dims_%d_%d[4] = {%d, %d, %d, %d};\n    static const long step_%d_%d[4] = {%lld, %lld, %lld, %lld};\n",
                       (int)number, (int)i, (int)dims[0], (int)dims[1], (int)dims[2], (int)dims[3], (int)number, (int)i, (long long)step[0],
                       (long long)step[1], (long long)step[2], (long long)step[3]);
    schema_text_format(&w->body, "    gather(%s, dims_%d_%d, step_%d_%d, %s);\n", x, (int)number, (int)i, (int)number, (int)i, a);
}

/* The operand i in the shape of the output: the input itself, or its numbers repeated in the working memory. */
static void operand(struct c_writer *w, const struct bp_node *node, int32_t i, char text[static 48]) {
    const int32_t number = (int32_t)(node - w->network->nodes);
    snprintf(text, 48, "%s", input_of(w, node, i));
    if (size_of(&node->in[i]) == size_of(&node->out)) return;
    snprintf(text, 48, "(work + %lld)", (long long)c_room(w, size_of(&node->out)));
    gather(w, &node->out, &node->in[i], input_of(w, node, i), text, number, i);
}

static int merge(struct c_writer *w, const struct bp_node *node) {
    const char *name = node->ops->entry.name;
    const long long n = (long long)size_of(&node->out);
    char x[48];
    const bool sum = strcmp(name, "add") == 0 || strcmp(name, "average") == 0 || strcmp(name, "subtract") == 0;
    const bool product = strcmp(name, "multiply") == 0;
    const char *a = begin(w, node);
    c_use(w, "copy");
    c_use(w, sum ? "add" : product ? "multiply" : "extreme");
    for (int32_t i = 0; i < node->inputs_count; i++) {
        operand(w, node, i, x);
        if (i == 0) schema_text_format(&w->body, "    copy(%s, %lld, %s);\n", x, n, a);
        else if (sum) schema_text_format(&w->body, "    add(%s, %lld, %s, %s);\n", x, n, name[0] == 's' ? "-1.0f" : "1.0f", a);
        else if (product) schema_text_format(&w->body, "    multiply(%s, %lld, %s);\n", x, n, a);
        else schema_text_format(&w->body, "    extreme(%s, %lld, %d, %s);\n", x, n, strcmp(name, "minimum") == 0, a);
    }
    if (strcmp(name, "average") != 0) return 0;
    c_use(w, "scale");
    schema_text_format(&w->body, "    scale(%s, %lld, ", a, n);
    c_float(&w->body, 1 / (float)node->inputs_count);
    schema_text_string(&w->body, ");\n");
    return 0;
}

static int weighted_average(struct c_writer *w, const struct bp_node *node) {
    const long long n = (long long)size_of(&node->out);
    const float *shares = w->model->weights + node->tensors[0].offset;
    char x[48];
    const char *a = begin(w, node);
    c_use(w, "copy");
    c_use(w, "scale");
    c_use(w, "add");
    for (int32_t i = 0; i < node->inputs_count; i++) {
        operand(w, node, i, x);
        if (i == 0) schema_text_format(&w->body, "    copy(%s, %lld, %s);\n    scale(%s, %lld, ", x, n, a, a, n);
        else schema_text_format(&w->body, "    add(%s, %lld, ", x, n);
        c_float(&w->body, shares[i]);
        if (i == 0) schema_text_string(&w->body, ");\n");
        else schema_text_format(&w->body, ", %s);\n", a);
    }
    return 0;
}

static int concatenate(struct c_writer *w, const struct bp_node *node) {
    const int32_t rank = node->out.rank, asked = (int32_t)number_of(node, "axis"), axis = asked < 0 ? rank + asked : asked - 1;
    int64_t outer = 1, inner = 1, at = 0;
    for (int32_t k = 0; k < axis; k++) outer *= node->out.dims[k];
    for (int32_t k = axis + 1; k < rank; k++) inner *= node->out.dims[k];
    const char *a = begin(w, node);
    c_use(w, "place");
    for (int32_t i = 0; i < node->inputs_count; at += node->in[i++].dims[axis] * inner)
        schema_text_format(&w->body, "    place(%s, %lld, %lld, %lld, %s + %lld);\n", input_of(w, node, i), (long long)outer,
                           (long long)(node->in[i].dims[axis] * inner), (long long)(node->out.dims[axis] * inner), a, (long long)at);
    return 0;
}

/* ---- axes ------------------------------------------------------------------------------------------------------------------ */

static int permute(struct c_writer *w, const struct bp_node *node) {
    const int32_t number = (int32_t)(node - w->network->nodes), rank = node->out.rank, *order = value_of(node, "dims")->integers;
    int64_t step[4] = {0, 0, 0, 0};
    int32_t dims[4] = {1, 1, 1, 1};
    for (int32_t k = 0; k < rank; k++) {
        dims[4 - rank + k] = node->out.dims[k];
        step[4 - rank + k] = 1;
        for (int32_t j = order[k]; j < rank; j++) step[4 - rank + k] *= node->in[0].dims[j];
    }
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "gather");
    schema_text_format(&w->body,
                       "    static const int dims_%d[4] = {%d, %d, %d, %d};\n    static const long step_%d[4] = {%lld, %lld, %lld, %lld};\n",
                       (int)number, (int)dims[0], (int)dims[1], (int)dims[2], (int)dims[3], (int)number, (long long)step[0], (long long)step[1],
                       (long long)step[2], (long long)step[3]);
    schema_text_format(&w->body, "    gather(%s, dims_%d, step_%d, %s);\n", x, (int)number, (int)number, a);
    return 0;
}

/* Numbers of the expression x, a sample of `in`, with one axis moved to the end or the front: (others, k) or (k, others), in the working memory. */
static int64_t move_axis(struct c_writer *w, const struct bp_shape *in, const char *x, int32_t axis, bool front, const char *label) {
    int64_t step[4] = {0, 0, 0, 0}, own[4] = {1, 1, 1, 1};
    int32_t dims[4] = {1, 1, 1, 1}, order[4], count = 0;
    const int64_t at = c_room(w, size_of(in));
    for (int32_t k = in->rank - 1, inner = 1; k >= 0; inner *= in->dims[k--]) own[k] = inner;
    if (front) order[count++] = axis;
    for (int32_t k = 0; k < in->rank; k++)
        if (k != axis) order[count++] = k;
    if (!front) order[count++] = axis;
    for (int32_t k = 0; k < count; k++) {
        dims[4 - count + k] = in->dims[order[k]];
        step[4 - count + k] = own[order[k]];
    }
    c_use(w, "gather");
    schema_text_format(&w->body,
                       "    static const int dims_%s[4] = {%d, %d, %d, %d};\n    static const long step_%s[4] = {%lld, %lld, %lld, %lld};\n", label,
                       (int)dims[0], (int)dims[1], (int)dims[2], (int)dims[3], label, (long long)step[0], (long long)step[1], (long long)step[2],
                       (long long)step[3]);
    schema_text_format(&w->body, "    gather(%s, dims_%s, step_%s, work + %lld);\n", x, label, label, (long long)at);
    return at;
}

static int dot(struct c_writer *w, const struct bp_node *node) {
    const struct bp_value *axes = value_of(node, "axes");
    const int32_t number = (int32_t)(node - w->network->nodes);
    const bool unit = number_of(node, "normalize") != 0;
    int32_t axis[2];
    char label[40], x[40];
    int64_t at[2];
    for (int32_t i = 0; i < 2; i++) {
        const int32_t asked = axes->integers[axes->integers_count > 1 ? i : 0];
        axis[i] = asked < 0 ? node->in[i].rank + asked : asked - 1;
    }
    const int32_t K = node->in[0].dims[axis[0]];
    const long long R = (long long)size_of(&node->in[0]) / K, S = (long long)size_of(&node->in[1]) / K;
    c_use(w, "dense");
    if (unit) c_use(w, "unit_rows");
    for (int32_t i = 0; i < 2; i++) {
        snprintf(label, sizeof label, "%d_%d", (int)number, (int)i);
        at[i] = move_axis(w, &node->in[i], input_of(w, node, i), axis[i], i == 1 && !unit, label);
        if (unit) schema_text_format(&w->body, "    unit_rows(work + %lld, %lld, %d);\n", (long long)at[i], i ? S : R, (int)K);
    }
    if (unit) {
        const struct bp_shape rows = {.rank = 2, .dims = {(int32_t)S, K}};
        snprintf(label, sizeof label, "%d_2", (int)number);
        snprintf(x, sizeof x, "work + %lld", (long long)at[1]);
        at[1] = move_axis(w, &rows, x, 1, true, label);
    }
    const char *a = begin(w, node);
    schema_text_format(&w->body, "    dense(work + %lld, %lld, %d, %lld, work + %lld, NULL, 1.0f, %s);\n", (long long)at[0], R, (int)K, S,
                       (long long)at[1], a);
    return 0;
}

static int repeat_vector(struct c_writer *w, const struct bp_node *node) {
    const int32_t F = last_of(&node->out);
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "copy");
    schema_text_format(&w->body, "    for (long i = 0; i < %lld; i += %d) copy(%s, %d, %s + i);\n", (long long)size_of(&node->out), (int)F, x, (int)F,
                       a);
    return 0;
}

/* Factors for the last numbers of the input. */
static int scale(struct c_writer *w, const struct bp_node *node) {
    char F[24];
    if (tensor_of(w, node, "factors", F) != 0) return -1;
    const int64_t n = size_of(&node->tensors[0].shape);
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "multiply_rows");
    schema_text_format(&w->body, "    multiply_rows(%s, %lld, %lld, %s, %s);\n", x, (long long)(size_of(&node->out) / n), (long long)n, F, a);
    return 0;
}

static int ensemble(struct c_writer *w, const struct bp_node *node) {
    char F[24];
    if (tensor_of(w, node, "factors", F) != 0) return -1;
    const int32_t width = node->in[0].dims[0];
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "multiply_rows");
    schema_text_format(&w->body, "    for (int m = 0; m < %d; m++) multiply_rows(%s, 1, %d, %s + m * %d, %s + m * %d);\n", (int)node->out.dims[0], x,
                       (int)width, F, (int)width, a, (int)width);
    return 0;
}

/* ---- embeddings -------------------------------------------------------------------------------------------------------------- */

static int embedding(struct c_writer *w, const struct bp_node *node) {
    char E[24];
    if (tensor_of(w, node, "embeddings", E) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "embed");
    schema_text_format(&w->body, "    if (embed(%s, %lld, %d, %d, %s, %s) != 0) return -1;\n", x, (long long)size_of(&node->in[0]),
                       (int)node->indices, (int)last_of(&node->out), E, a);
    return 0;
}

static int position_embedding(struct c_writer *w, const struct bp_node *node) {
    char E[24];
    const long long n = (long long)size_of(&node->out);
    if (tensor_of(w, node, "embeddings", E) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "copy");
    c_use(w, "add");
    schema_text_format(&w->body, "    copy(%s, %lld, %s);\n    add(%s, %lld, 1.0f, %s);\n", x, n, a, E, n, a);
    return 0;
}

static int positional_encoding(struct c_writer *w, const struct bp_node *node) {
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "positions");
    schema_text_format(&w->body, "    positions(%s, %d, %d, ", x, (int)node->out.dims[0], (int)node->out.dims[1]);
    c_double(&w->body, node->values[0].number);
    schema_text_format(&w->body, ", %s);\n", a);
    return 0;
}

static int periodic(struct c_writer *w, const struct bp_node *node) {
    char c[24], K[24], b[24];
    if (tensor_of(w, node, "coefficients", c) != 0 || tensor_of(w, node, "kernel", K) != 0 || tensor_of(w, node, "bias", b) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "periodic");
    schema_text_format(&w->body, "    periodic(%s, %d, %d, %d, %s, %s, %s, %s);\n", x, (int)node->in[0].dims[0], (int)node->tensors[0].shape.dims[1],
                       (int)number_of(node, "output_dim"), c, K, b, a);
    return activate(w, node, a);
}

static int piecewise(struct c_writer *w, const struct bp_node *node) {
    char e[24], K[24], b[24];
    if (tensor_of(w, node, "edges", e) != 0 || tensor_of(w, node, "kernel", K) != 0 || tensor_of(w, node, "bias", b) != 0) return -1;
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, "piecewise");
    schema_text_format(&w->body, "    piecewise(%s, %d, %d, %d, %s, %s, %s, %s);\n", x, (int)node->in[0].dims[0], (int)number_of(node, "bins"),
                       (int)number_of(node, "output_dim"), e, K, b, a);
    return activate(w, node, a);
}

/* ---- sequences --------------------------------------------------------------------------------------------------------------- */

static int recurrent(struct c_writer *w, const struct bp_node *node) {
    static const char *const names[2][3] = {{"kernel", "recurrent_kernel", "bias"},
                                            {"backward_kernel", "backward_recurrent_kernel", "backward_bias"}};
    const char *type = node->ops->entry.name;
    const int32_t H = (int32_t)number_of(node, "units"),
                  gates = type[0] == 'l'   ? 4
                          : type[0] == 'g' ? 3
                                           : 1,
                  walks = number_of(node, "bidirectional") != 0 ? 2 : 1, number = (int32_t)(node - w->network->nodes);
    const int64_t room = c_room(w, 2 * (int64_t)gates * H + 2 * H);
    char W[3][24];
    const char *x = input_of(w, node, 0), *a = begin(w, node);
    c_use(w, type);
    schema_text_format(&w->body, "    static const int sizes_%d[3] = {%d, %d, %d};\n", (int)number, (int)node->in[0].dims[0],
                       (int)node->in[0].dims[1], (int)H);
    for (int32_t walk = 0; walk < walks; walk++) {
        for (int i = 0; i < 3; i++)
            if (tensor_of(w, node, names[walk][i], W[i]) != 0) return -1;
        schema_text_format(&w->body, "    static const float *const tensors_%d_%d[3] = {%s, %s, %s};\n", (int)number, (int)walk, W[0], W[1], W[2]);
        schema_text_format(&w->body, "    %s(%s, sizes_%d, %d, %d, %d, tensors_%d_%d, work + %lld, %s + %d);\n", type, x, (int)number, (int)walk,
                           number_of(node, "return_sequences") != 0, (int)last_of(&node->out), (int)number, (int)walk, (long long)room, a,
                           walk ? (int)H : 0);
    }
    return 0;
}

static int attention(struct c_writer *w, const struct bp_node *node) {
    static const char *const kernels[4] = {"query_kernel", "key_kernel", "value_kernel", "output_kernel"}, *const biases[4] = {
                                                                                                               "query_bias", "key_bias", "value_bias",
                                                                                                               "output_bias"};
    const int32_t number = (int32_t)(node - w->network->nodes), T = node->in[0].dims[0], D = node->in[0].dims[1];
    const int32_t value = node->inputs_count > 1 ? 1 : 0, key = node->inputs_count > 2 ? 2 : value, S = node->in[value].dims[0];
    const int32_t heads = (int32_t)number_of(node, "num_heads"), P = node->tensors[0].shape.dims[1], inputs[3] = {0, key, value};
    int64_t parts[4];
    char K[24], b[24];
    for (int i = 0; i < 4; i++) parts[i] = c_room(w, (int64_t)(i == 0 || i == 3 ? T : S) * P);
    const int64_t room = c_room(w, S);
    const char *a = begin(w, node);
    c_use(w, "dense");
    c_use(w, "attend");
    for (int i = 0; i < 3; i++) {
        if (tensor_of(w, node, kernels[i], K) != 0 || tensor_of(w, node, biases[i], b) != 0) return -1;
        schema_text_format(&w->body, "    dense(%s, %d, %d, %d, %s, %s, 1.0f, work + %lld);\n", input_of(w, node, inputs[i]), (int)(i ? S : T),
                           (int)node->in[inputs[i]].dims[1], (int)P, K, b, (long long)parts[i]);
    }
    schema_text_format(&w->body, "    static const int sizes_%d[4] = {%d, %d, %d, %d};\n", (int)number, (int)T, (int)S, (int)heads, (int)(P / heads));
    schema_text_format(&w->body, "    attend(work + %lld, work + %lld, work + %lld, sizes_%d, %d, work + %lld, work + %lld);\n", (long long)parts[0],
                       (long long)parts[1], (long long)parts[2], (int)number, number_of(node, "use_causal_mask") != 0, (long long)room,
                       (long long)parts[3]);
    if (tensor_of(w, node, kernels[3], K) != 0 || tensor_of(w, node, biases[3], b) != 0) return -1;
    schema_text_format(&w->body, "    dense(work + %lld, %d, %d, %d, %s, %s, 1.0f, %s);\n", (long long)parts[3], (int)T, (int)P, (int)D, K, b, a);
    return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------------------- */

static int identity(struct c_writer *w, const struct bp_node *node) {
    pass_on(w, node);
    return 0;
}

static const struct {
    const char *type;
    int (*write)(struct c_writer *w, const struct bp_node *node);
} layers[] = {
    {"activation", activation},
    {"add", merge},
    {"average", merge},
    {"average_pool1d", pool},
    {"average_pool2d", pool},
    {"batch_norm", batch_norm},
    {"concatenate", concatenate},
    {"conv1d", convolution},
    {"conv1d_transpose", transposed},
    {"conv2d", convolution},
    {"conv2d_transpose", transposed},
    {"cropping1d", border},
    {"cropping2d", border},
    {"dense", dense},
    {"depthwise_conv1d", depthwise},
    {"depthwise_conv2d", depthwise},
    {"dot", dot},
    {"dropout", identity},
    {"embedding", embedding},
    {"ensemble", ensemble},
    {"ensemble_dense", ensemble_dense},
    {"flatten", identity},
    {"gaussian_noise", identity},
    {"global_average_pool", global_pool},
    {"global_max_pool", global_pool},
    {"group_norm", norm},
    {"gru", recurrent},
    {"layer_norm", norm},
    {"lstm", recurrent},
    {"max_pool1d", pool},
    {"max_pool2d", pool},
    {"maximum", merge},
    {"minimum", merge},
    {"multi_head_attention", attention},
    {"multiply", merge},
    {"periodic_embedding", periodic},
    {"permute", permute},
    {"piecewise_linear_embedding", piecewise},
    {"position_embedding", position_embedding},
    {"positional_encoding", positional_encoding},
    {"random_flip", identity},
    {"random_rotation", identity},
    {"random_translation", identity},
    {"repeat_vector", repeat_vector},
    {"reshape", identity},
    {"rms_norm", norm},
    {"rnn", recurrent},
    {"scale", scale},
    {"separable_conv1d", separable},
    {"separable_conv2d", separable},
    {"spatial_dropout", identity},
    {"subtract", merge},
    {"upsampling1d", upsample},
    {"upsampling2d", upsample},
    {"weighted_average", weighted_average},
    {"zero_padding1d", border},
    {"zero_padding2d", border},
};

int c_layer(struct c_writer *w, int32_t number) {
    const struct bp_node *node = &w->network->nodes[number];
    const char *type = node->ops->entry.name;
    size_t i = 0;
    while (i < sizeof layers / sizeof *layers && strcmp(layers[i].type, type) != 0) i++;
    if (node->mask_of >= 0 || node->mask == BP_MASK_MAKE)
        return c_refuse(
            w,
            "layer \"%.63s\" (%s) reads or makes a mask of padded sequences, which the C source does not have; predict with `backpropd predict` "
            "or the server",
            node->name, type);
    if (i == sizeof layers / sizeof *layers)
        return c_refuse(w, "layer \"%.63s\" (%s) has no form in C; predict with `backpropd predict` or the server, or train without it", node->name,
                        type);
    return layers[i].write(w, node);
}
