/* gelu.c - a = z Phi(z), Phi the normal distribution function (Hendrycks, Gimpel 2016): exactly by erf, or by their tanh approximation.
 * Works in blocks: the halves of the formula need a buffer besides z and a, which may be one. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

enum { BLOCK = 256 };
#define ROOT_HALF 0.70710678118654752440
#define DENSITY   0.39894228040143267794 /* 1 / sqrt(2 pi) */
#define ROOT_2_PI 0.79788456080286535588 /* sqrt(2 / pi) */
#define CUBIC     0.044715

/* t = erf(z / sqrt 2) or tanh(sqrt(2 / pi) (z + c z^3)): either way Phi = (1 + t) / 2. */
static void inner(bool approximate, size_t n, const bp_real *z, bp_real *t) {
    if (approximate) {
        for (size_t i = 0; i < n; i++) t[i] = (bp_real)ROOT_2_PI * (z[i] + (bp_real)CUBIC * z[i] * z[i] * z[i]);
        bp_kernels()->tanh(n, t, t);
    } else {
        for (size_t i = 0; i < n; i++) t[i] = (bp_real)ROOT_HALF * z[i];
        bp_kernels()->erf(n, t, t);
    }
}

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    bp_real t[BLOCK];
    const size_t total = rows * width;
    for (size_t from = 0; from < total; from += BLOCK) {
        const size_t n = total - from < BLOCK ? total - from : BLOCK;
        inner(numbers[0] != 0, n, z + from, t);
        for (size_t i = 0; i < n; i++) a[from + i] = z[from + i] * (bp_real)0.5 * (1 + t[i]);
    }
}

/* da/dz = Phi + z phi(z); by tanh: Phi + z (1 - t^2) / 2 * sqrt(2 / pi) (1 + 3 c z^2). */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)a;
    bp_real t[BLOCK], slope[BLOCK];
    const size_t total = rows * width;
    const bool approximate = numbers[0] != 0;
    for (size_t from = 0; from < total; from += BLOCK) {
        const size_t n = total - from < BLOCK ? total - from : BLOCK;
        const bp_real *zs = z + from;
        inner(approximate, n, zs, t);
        if (approximate) {
            for (size_t i = 0; i < n; i++)
                slope[i] = (bp_real)0.5 * (1 - t[i] * t[i]) * (bp_real)ROOT_2_PI * (1 + (bp_real)(3 * CUBIC) * zs[i] * zs[i]);
        } else {
            for (size_t i = 0; i < n; i++) slope[i] = (bp_real)-0.5 * zs[i] * zs[i];
            bp_kernels()->exp(n, slope, slope);
            for (size_t i = 0; i < n; i++) slope[i] *= (bp_real)DENSITY;
        }
        for (size_t i = 0; i < n; i++) d_z[from + i] = d_a[from + i] * ((bp_real)0.5 * (1 + t[i]) + zs[i] * slope[i]);
    }
}

static const struct bp_param params[] = {
    {.name = "approximate", .type = BP_PARAM_BOOLEAN, .help = "Use the approximation by tanh instead of the exact erf", .preset = 0},
};

extern const struct bp_activation_ops bp_activation_gelu;
const struct bp_activation_ops bp_activation_gelu = {
    .entry = {.name = "gelu", .summary = "Gaussian error linear unit: a = z Phi(z)", .params = params, .params_count = 1},
    .needs_z = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};
