/* softplus.c - a = ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|), which does not overflow. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

#include <math.h>

enum { BLOCK = 256 };

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    for (size_t i = 0; i < rows * width; i++) {
        const double x = (double)z[i];
        a[i] = (bp_real)((x > 0 ? x : 0) + log1p(exp(-fabs(x))));
    }
}

/* da/dz = sigmoid(z): from z, because 1 - e^-a loses its digits where a is small. */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)a;
    bp_real s[BLOCK];
    const size_t total = rows * width;
    for (size_t from = 0; from < total; from += BLOCK) {
        const size_t n = total - from < BLOCK ? total - from : BLOCK;
        bp_kernels()->sigmoid(n, z + from, s);
        for (size_t i = 0; i < n; i++) d_z[from + i] = d_a[from + i] * s[i];
    }
}

extern const struct bp_activation_ops bp_activation_softplus;
const struct bp_activation_ops bp_activation_softplus = {
    .entry = {.name = "softplus", .summary = "A smooth rectifier: a = ln(1 + e^z)"},
    .needs_z = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};
