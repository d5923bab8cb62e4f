/* parametrization.c - see parametrization.h. */
#include "engine/layers/parametrization.h"

#include "engine/kernels/kernels.h"

#include <math.h>

enum { COLUMNS = 16, ROWS = BP_FIT_SCRATCH / COLUMNS, POINTS = 5 };

const char *const bp_parametrizations[] = {"standard", "ntk", NULL};

static void fill_normal(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    (void)tensor;
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)bp_random_normal(random);
}

static const struct bp_initializer_ops standard_normal = {.entry = {.name = "standard_normal"}, .fill = fill_normal};

double bp_parametrization_factor(const struct bp_value *asked, int32_t in) {
    return asked->number == BP_PARAMETRIZATION_NTK ? 1 / sqrt(in) : 1;
}

void bp_parametrization_initialize(struct bp_tensor *kernel, const struct bp_value *initializer, const struct bp_value *parametrization) {
    bp_tensor_initialize(kernel, initializer);
    if (parametrization->number == BP_PARAMETRIZATION_NTK && bp_initializer_is_auto(initializer->entry)) kernel->initializer = &standard_normal;
}

void bp_parametrization_finish(const size_t size[3], double factor, const bp_real *b, bp_real *z) {
    const bp_real s = (bp_real)factor;
    for (size_t i = 0; i < size[0]; i++, z += size[2])
        for (size_t j = 0; j < size[1]; j++) z[j] = b ? s * z[j] + b[j] : s * z[j];
}

/* Deviations of x W for `n` columns of W from the first on; not scaled. */
static void deviations(const struct bp_data_dependent *d, size_t first, size_t n, double *deviation) {
    double sums[COLUMNS] = {0}, squares[COLUMNS] = {0};
    for (size_t row = 0; row < d->rows; row += ROWS) {
        const size_t rows = d->rows - row < ROWS ? d->rows - row : ROWS;
        bp_gemm(&(const struct bp_gemm){.m = (int32_t)rows,
                                        .n = (int32_t)n,
                                        .k = (int32_t)d->in,
                                        .A = d->x + row * d->x_stride,
                                        .lda = (int32_t)d->x_stride,
                                        .B = d->W + first,
                                        .ldb = (int32_t)d->units,
                                        .C = d->scratch,
                                        .ldc = (int32_t)n});
        for (size_t i = 0; i < rows * n; i++) {
            const double z = (double)d->scratch[i];
            sums[i % n] += z;
            squares[i % n] += z * z;
        }
    }
    for (size_t j = 0; j < n; j++) {
        const double mean = sums[j] / (double)d->rows, variance = squares[j] / (double)d->rows - mean * mean;
        deviation[j] = sqrt(variance > 1e-12 * squares[j] ? variance : 0); /* below that rounding is left */
    }
}

/* x w_j at a point between rows that are drawn, with weights that are drawn. */
static double between(const struct bp_data_dependent *d, size_t j) {
    double sum = 0, weights = 0;
    for (int k = 0; k < POINTS; k++) {
        const bp_real *x = d->x + (size_t)bp_random_below(d->random, d->rows) * d->x_stride; /* (in) */
        const double weight = bp_random_uniform(d->random);
        double product = 0;
        for (size_t i = 0; i < d->in; i++) product += (double)x[i] * (double)d->W[i * d->units + j];
        sum += weight * product;
        weights += weight;
    }
    return weights > 0 ? sum / weights : 0;
}

void bp_data_dependent_fit(const struct bp_data_dependent *with) {
    double deviation[COLUMNS];
    for (size_t first = 0; first < with->units; first += COLUMNS) {
        const size_t n = with->units - first < COLUMNS ? with->units - first : COLUMNS;
        deviations(with, first, n, deviation);
        for (size_t j = 0; j < n; j++) {
            const double divisor = deviation[j] * with->factor;
            for (size_t i = 0; divisor > 0 && i < with->in; i++) {
                bp_real *W = &with->W[i * with->units + first + j];
                *W = (bp_real)((double)*W / divisor);
            }
        }
    }
    for (size_t j = 0; with->b && j < with->units; j++) with->b[j] = (bp_real)(-with->factor * between(with, j));
}
