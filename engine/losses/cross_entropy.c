/* cross_entropy.c - -ln p of the true class, p the softmax of z (B, classes), computed from z in one stable kernel;
 * y (B, 1) class numbers. */
#include "kernels/kernels.h"
#include "loss.h"

static int check(const struct bp_shape *output, struct bp_error *error) {
    char text[64];
    if (output->rank != 1)
        return bp_error_set(
            error, "",
            "cross_entropy needs one output per class, a shape like (3), but the output has the shape %s; put a flatten layer before the last",
            bp_shape_text(output, text, sizeof text));
    if (output->dims[0] < 2)
        return bp_error_set(
            error, "",
            "softmax over a single unit is always 1: cross_entropy needs one unit per class, at least 2; for two classes and one unit "
            "use sigmoid with binary_cross_entropy");
    return 0;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const struct bp_softmax_loss loss = {.rows = (size_t)call->batch,
                                         .width = (size_t)call->width,
                                         .z = call->z,
                                         .y = call->y,
                                         .weights = call->weights,
                                         .scale = (bp_real)call->scale,
                                         .d_z = call->d_z};
    return bp_kernels()->softmax_loss(&loss);
}

extern const struct bp_loss_ops bp_loss_cross_entropy;
const struct bp_loss_ops bp_loss_cross_entropy = {
    .entry = {.name = "cross_entropy", .summary = "Cross-entropy of softmax, for two classes or more"},
    .target = BP_TARGET_CLASS,
    .head = "softmax",
    .check = check,
    .evaluate = evaluate,
};
