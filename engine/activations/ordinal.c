/* ordinal.c - probabilities of classes that have an order, along the last axis, from a score z_0 and cut points that the other numbers make:
 * g_k = z_0 - z_1 - softplus(z_2) - ... - softplus(z_k) for k from 1 on, p(class >= k) = sigmoid(g_k), a_k = p(class >= k) - p(class >= k + 1). The
 * g_k fall, so that no a_k is negative. For the loss `ordinal`. */
#include "engine/activations/activation.h"

#include <math.h>

static double softplus(double z) {
    return (z > 0 ? z : 0) + log1p(exp(-fabs(z)));
}

static double sigmoid(double z) {
    const double e = exp(-fabs(z));
    return (z > 0 ? 1 : e) / (1 + e);
}

/* sigmoid(g) - sigmoid(g - step) = sigmoid(g) sigmoid(step - g) (1 - e^-step), which does not cancel. */
static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    for (size_t i = 0; i < rows; i++, z += width, a += width) {
        double g = width > 1 ? (double)z[0] - (double)z[1] : (double)z[0];
        a[0] = width > 1 ? (bp_real)sigmoid(-g) : 1 + 0 * z[0];
        for (size_t k = 1; k < width; k++) {
            const double step = k + 1 < width ? softplus((double)z[k + 1]) : 0, share = sigmoid(g);
            a[k] = (bp_real)(k + 1 < width ? share * sigmoid(step - g) * -expm1(-step) : share);
            g -= step;
        }
    }
}

/* d_g_k = sigmoid'(g_k) (d_a_k - d_a_k-1); z_0 is in all g_k, z_j in those from j on. */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)a;
    for (size_t i = 0; i < rows; i++, z += width, d_a += width, d_z += width) {
        double g = width > 1 ? (double)z[0] - (double)z[1] : 0, sum = 0;
        for (size_t k = 2; k < width; k++) g -= softplus((double)z[k]);
        for (size_t k = width - 1; k > 0; k--) { /* from the last, so that d_z may be d_a */
            const double s = sigmoid(g);
            sum += s * sigmoid(-g) * ((double)d_a[k] - (double)d_a[k - 1]);
            d_z[k] = (bp_real)(k > 1 ? -sum * sigmoid((double)z[k]) : -sum);
            if (k > 1) g += softplus((double)z[k]);
        }
        d_z[0] = (bp_real)sum;
    }
}

extern const struct bp_activation_ops bp_activation_ordinal;
const struct bp_activation_ops bp_activation_ordinal = {
    .entry = {.name = "ordinal", .summary = "Probabilities of classes that have an order, from a score and rising cut points"},
    .needs_z = true,
    .bounds = {.has_low = true, .has_high = true, .high = 1},
    .probabilities = BP_PROBABILITIES_SHARED,
    .forward = forward,
    .backward = backward,
};
