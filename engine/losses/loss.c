/* loss.c - queries that apply to any loss: how wide its targets and its point predictions are. */
#include "engine/losses/loss.h"

#include "engine/activations/activation.h"

int32_t bp_loss_outputs_per_target(const struct bp_loss_ops *loss, const struct bp_value *values) {
    return loss->outputs_per_target ? loss->outputs_per_target(values) : 1;
}

int32_t bp_loss_point(const struct bp_loss_ops *loss, const struct bp_value *values) {
    return loss->point ? loss->point(values) : 0;
}

int32_t bp_loss_points_width(const struct bp_loss_ops *loss, const struct bp_value *values, int32_t width) {
    return width / bp_loss_outputs_per_target(loss, values);
}

int32_t bp_loss_positions(const struct bp_loss_ops *loss, const struct bp_shape *output) {
    return loss && loss->target == BP_TARGET_CLASS && output->rank > 1 ? (int32_t)bp_shape_size(output) / output->dims[output->rank - 1] : 1;
}

int32_t bp_loss_target_width(const struct bp_loss_ops *loss, const struct bp_value *values, const struct bp_shape *output) {
    return loss->target == BP_TARGET_CLASS ? bp_loss_positions(loss, output) : bp_loss_points_width(loss, values, (int32_t)bp_shape_size(output));
}

int32_t bp_loss_keep_points(const struct bp_loss_ops *loss, const struct bp_value *values, const struct bp_loss_call *call) {
    const int32_t outputs = bp_loss_outputs_per_target(loss, values), width = call->width / outputs;
    const size_t n = (size_t)call->batch * (size_t)width, point = (size_t)bp_loss_point(loss, values);
    for (size_t i = 0; outputs > 1 && i < n; i++) call->z[i] = call->z[i * (size_t)outputs + point]; /* each is read before it is overwritten */
    return width;
}

int bp_loss_check_classes(const struct bp_loss_ops *loss, const struct bp_shape *output, struct bp_error *error) {
    char text[64];
    if (output->rank < 1)
        return bp_error_set(error, "", "%s needs one output per class, a shape like (3), but the output has the shape %s", loss->entry.name,
                            bp_shape_text(output, text, sizeof text));
    if (output->dims[output->rank - 1] < 2)
        return bp_error_set(error, "",
                            "%s over a single unit is always 1: %s needs one unit per class, at least 2; for two classes and one unit "
                            "use sigmoid with binary_cross_entropy",
                            loss->head->entry.name, loss->entry.name);
    return 0;
}

int bp_loss_check(const struct bp_loss_ops *loss, const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    char text[64];
    const int32_t outputs = bp_loss_outputs_per_target(loss, values);
    if (outputs > 1 && (output->rank < 1 || output->dims[output->rank - 1] % outputs))
        return bp_error_set(error, "",
                            "%s with these parameters needs %d outputs for each target number, but the output has the shape %s; use %d units",
                            loss->entry.name, (int)outputs, bp_shape_text(output, text, sizeof text), (int)outputs);
    return loss->check ? loss->check(values, output, error) : 0;
}
