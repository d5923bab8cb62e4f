/* mish.c - a = z tanh(ln(1 + e^z)) (Misra 2019). With e = e^z and n = e (e + 2), tanh(ln(1 + e)) = n / (n + 2): one exponential.
 * Beyond 20 that is 1 in either precision, so e is held there and cannot overflow. Works in blocks, because z and a may be one. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

enum { BLOCK = 256 };

static void exponential(size_t n, const bp_real *z, bp_real *e) {
    for (size_t i = 0; i < n; i++) e[i] = z[i] > 20 ? 20 : z[i];
    bp_kernels()->exp(n, e, e);
}

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_real e[BLOCK];
    const size_t total = rows * width;
    for (size_t from = 0; from < total; from += BLOCK) {
        const size_t count = total - from < BLOCK ? total - from : BLOCK;
        exponential(count, z + from, e);
        for (size_t i = 0; i < count; i++) {
            const bp_real n = e[i] * (e[i] + 2);
            a[from + i] = z[from + i] * (n / (n + 2));
        }
    }
}

/* da/dz = n / (n + 2) + z 4 e (1 + e) / (n + 2)^2. */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)a;
    bp_real e[BLOCK];
    const size_t total = rows * width;
    for (size_t from = 0; from < total; from += BLOCK) {
        const size_t count = total - from < BLOCK ? total - from : BLOCK;
        exponential(count, z + from, e);
        for (size_t i = 0; i < count; i++) {
            const bp_real n = e[i] * (e[i] + 2), inverse = 1 / (n + 2);
            d_z[from + i] = d_a[from + i] * (n * inverse + z[from + i] * (4 * e[i] * inverse) * ((1 + e[i]) * inverse));
        }
    }
}

extern const struct bp_activation_ops bp_activation_mish;
const struct bp_activation_ops bp_activation_mish = {
    .entry = {.name = "mish", .summary = "A smooth rectifier: a = z tanh(softplus(z))"},
    .needs_z = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};
