/* cosine.c - 1 - cos of the angle between z and y, the numbers of a sample: z y / (|z| |y|); z, y (B, width). 0 when they point the same way, 2
 * when the opposite (Keras leaves the 1 out). A vector shorter than 1e-8 counts as that long (PyTorch's epsilon). */
#include "engine/losses/loss.h"

#include <math.h>

#define SHORTEST 1e-8

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const bp_real *z = call->z + i * width, *y = call->y + i * width; /* (width) */
        const double weight = bp_sample_weight(call->weights, i), factor = weight * call->scale;
        double zz = 0, yy = 0, zy = 0;
        for (size_t j = 0; j < width; j++) {
            zz += (double)z[j] * (double)z[j];
            yy += (double)y[j] * (double)y[j];
            zy += (double)z[j] * (double)y[j];
        }
        const double length = sqrt(zz) < SHORTEST ? SHORTEST : sqrt(zz), other = sqrt(yy) < SHORTEST ? SHORTEST : sqrt(yy);
        const double cosine = zy / (length * other), turning = length > SHORTEST ? cosine / (length * length) : 0;
        for (size_t j = 0; call->d_z && j < width; j++)
            call->d_z[i * width + j] = (bp_real)(-factor * ((double)y[j] / (length * other) - turning * (double)z[j]));
        loss += weight * (1 - cosine);
        bp_loss_count(call, i, 1 - cosine);
    }
    return loss;
}

extern const struct bp_loss_ops bp_loss_cosine;
const struct bp_loss_ops bp_loss_cosine = {
    .entry = {.name = "cosine", .summary = "1 minus the cosine of the angle between output and target: independent of their lengths"},
    .target = BP_TARGET_VALUES,
    .evaluate = evaluate,
};
