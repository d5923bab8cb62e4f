/* silu.c - a = z sigmoid(z), also called swish. Works in blocks, because z and a may be one. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

enum { BLOCK = 256 };

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_real s[BLOCK];
    const size_t total = rows * width;
    for (size_t from = 0; from < total; from += BLOCK) {
        const size_t n = total - from < BLOCK ? total - from : BLOCK;
        bp_kernels()->sigmoid(n, z + from, s);
        for (size_t i = 0; i < n; i++) a[from + i] = z[from + i] * s[i];
    }
}

/* da/dz = s (1 + z (1 - s)). */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)a;
    bp_real s[BLOCK];
    const size_t total = rows * width;
    for (size_t from = 0; from < total; from += BLOCK) {
        const size_t n = total - from < BLOCK ? total - from : BLOCK;
        bp_kernels()->sigmoid(n, z + from, s);
        for (size_t i = 0; i < n; i++) d_z[from + i] = d_a[from + i] * (s[i] * (1 + z[from + i] * (1 - s[i])));
    }
}

extern const struct bp_activation_ops bp_activation_silu;
const struct bp_activation_ops bp_activation_silu = {
    .entry = {.name = "silu", .summary = "Sigmoid linear unit, or swish: a = z sigmoid(z)"},
    .needs_z = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};
