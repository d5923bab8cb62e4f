/* log_softmax.c - a_j = z_j - ln(sum over k of e^z_k), along the last axis; e^a adds up to 1. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

#include <math.h>

enum { BLOCK = 256 };

/* Sum of e^(x - top), in blocks: x is not changed. */
static double exponentials(size_t n, const bp_real *x, bp_real top) {
    bp_real e[BLOCK];
    double sum = 0;
    for (size_t from = 0; from < n; from += BLOCK) {
        const size_t count = n - from < BLOCK ? n - from : BLOCK;
        for (size_t i = 0; i < count; i++) e[i] = x[from + i] - top;
        bp_kernels()->exp(count, e, e);
        for (size_t i = 0; i < count; i++) sum += (double)e[i];
    }
    return sum;
}

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    for (size_t i = 0; i < rows; i++, z += width, a += width) {
        bp_real top = z[0];
        for (size_t j = 1; j < width; j++) top = z[j] > top ? z[j] : top;
        const bp_real log_sum = (bp_real)log(exponentials(width, z, top));
        for (size_t j = 0; j < width; j++) a[j] = z[j] - top - log_sum;
    }
}

/* d_z_j = d_a_j - e^a_j (sum over k of d_a_k). */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    bp_real p[BLOCK];
    for (size_t i = 0; i < rows; i++, a += width, d_a += width, d_z += width) {
        bp_real sum = 0;
        for (size_t j = 0; j < width; j++) sum += d_a[j];
        for (size_t from = 0; from < width; from += BLOCK) {
            const size_t count = width - from < BLOCK ? width - from : BLOCK;
            bp_kernels()->exp(count, a + from, p);
            for (size_t j = 0; j < count; j++) d_z[from + j] = d_a[from + j] - p[j] * sum;
        }
    }
}

extern const struct bp_activation_ops bp_activation_log_softmax;
const struct bp_activation_ops bp_activation_log_softmax = {
    .entry = {.name = "log_softmax", .summary = "Logarithms of probabilities that sum to 1 along the last axis"},
    .bounds = {.has_high = true},
    .probabilities = BP_PROBABILITIES_LOG,
    .forward = forward,
    .backward = backward,
};
