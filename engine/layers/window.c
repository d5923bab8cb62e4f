/* window.c - see window.h. */
#include "engine/layers/window.h"

#include <stdio.h>

const char *const bp_padding_choices[] = {"valid", "same", NULL}, *const bp_causal_padding_choices[] = {"valid", "same", "causal", NULL};

static const char *name_of(const struct bp_node *node, int32_t param) {
    return node->ops->entry.params[param].name;
}

int bp_window_read_axes(const struct bp_node *node, int32_t axes, int32_t param, int32_t *to, struct bp_error *error) {
    char pointer[64];
    const struct bp_value *value = &node->values[param];
    if (value->integers_count > 1 && value->integers_count != axes) {
        snprintf(pointer, sizeof pointer, "/%s", name_of(node, param));
        return bp_error_set(error, pointer, "%s has %d integers; %s takes %s", name_of(node, param), (int)value->integers_count,
                            node->ops->entry.name, axes == 1 ? "one, for the steps" : "one for both axes, or two: [height, width]");
    }
    for (int32_t k = 0; k < axes; k++) to[2 - axes + k] = value->integers[value->integers_count > 1 ? k : 0];
    return 0;
}

static int settle_axis(const struct bp_node *node, const struct bp_window_params *params, struct bp_window *w, int32_t k, struct bp_error *error) {
    char pointer[64], text[64];
    const struct bp_value *padding = &node->values[params->padding];
    const int64_t in = w->in[k], reach = (int64_t)w->dilation[k] * (w->size[k] - 1) + 1, stride = w->stride[k];
    const int kind = padding->integers_count == 0 ? (int)padding->number : BP_PADDING_VALID;
    const int64_t around = w->before[k]; /* given as a number */
    if (in <= 0) return 0;               /* not known: neither is out */
    if (kind != BP_PADDING_VALID) {
        const int64_t out = (in + stride - 1) / stride, lacking = (out - 1) * stride + reach - in;
        w->out[k] = (int32_t)out;
        w->before[k] = (int32_t)(kind == BP_PADDING_CAUSAL ? reach - 1 : lacking > 0 ? lacking / 2 : 0);
        return 0;
    }
    if (reach > in + 2 * around) {
        snprintf(pointer, sizeof pointer, "/%s", name_of(node, params->size));
        return bp_error_set(
            error, pointer,
            "a %s of %d%s does not fit into the input %s%s; use a smaller one, \"padding\":\"same\", or fewer layers that reduce the size",
            name_of(node, params->size), (int)w->size[k], w->dilation[k] > 1 ? " with its dilation" : "",
            bp_shape_text(&node->in[0], text, sizeof text), around ? " with its padding" : "");
    }
    w->out[k] = (int32_t)((in + 2 * around - reach) / stride + 1);
    return 0;
}

int bp_window_settle(const struct bp_node *node, const struct bp_window_params *params, struct bp_window *w, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t axes = params->axes;
    *w = (struct bp_window){.in = {1, 1}, .out = {axes == 1, 0}, .size = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    if (in->rank != axes + 1)
        return bp_error_set(error, "", "%s needs an input %s, but got %s%s", node->ops->entry.name,
                            axes == 1 ? "(steps, channels)" : "(height, width, channels)", bp_shape_text(in, text, sizeof text),
                            in->rank == axes ? "; add a reshape layer before it to add one channel as the last axis" : "");
    for (int32_t k = 0; k < axes; k++) w->in[2 - axes + k] = in->dims[k];
    w->channels = in->dims[axes];
    if (bp_window_read_axes(node, axes, params->size, w->size, error) || bp_window_read_axes(node, axes, params->strides, w->stride, error))
        return -1;
    if (params->dilation >= 0 && bp_window_read_axes(node, axes, params->dilation, w->dilation, error)) return -1;
    if (node->values[params->padding].integers_count > 0 && bp_window_read_axes(node, axes, params->padding, w->before, error)) return -1;
    for (int32_t k = 2 - axes; k < 2; k++) {
        if (w->stride[k] == 0) w->stride[k] = w->size[k];
        if (settle_axis(node, params, w, k, error)) return -1;
    }
    return 0;
}

void bp_window_shape(struct bp_node *node, const struct bp_window *w, int32_t channels) {
    const int32_t axes = node->in[0].rank - 1;
    node->out = (struct bp_shape){.rank = axes + 1};
    for (int32_t k = 0; k < axes; k++) node->out.dims[k] = w->out[2 - axes + k];
    node->out.dims[axes] = channels;
}

struct bp_place bp_window_place(const struct bp_window *w, int32_t position) {
    const int32_t cells = w->out[0] * w->out[1], cell = position % cells, down = cell / w->out[1], across = cell % w->out[1];
    return (struct bp_place){
        .image = position / cells, .row = down * w->stride[0] - w->before[0], .column = across * w->stride[1] - w->before[1], .out = {down, across}};
}

void bp_window_inside(const struct bp_window *w, int32_t column, int32_t *from, int32_t *until) {
    const int32_t step = w->dilation[1];
    *from = column < 0 ? (-column + step - 1) / step : 0;
    *until = column >= w->in[1] ? 0 : (w->in[1] - column + step - 1) / step;
    if (*until > w->size[1]) *until = w->size[1];
    if (*from > *until) *from = *until;
}
