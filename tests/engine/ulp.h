/* ulp.h - what test_vector.c (a sample) and ulp.c (all 2^32 floats) share: the error of the kernels' functions of one number against libm in double.
 */
#ifndef TESTS_ENGINE_ULP_H
#define TESTS_ENGINE_ULP_H

#include "engine/kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { ULP_FUNCTIONS = 5, ULP_BLOCK = 4096 };

static inline double ulp_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static const struct ulp_function {
    const char *name;
    double (*exact)(double);
} ulp_functions[ULP_FUNCTIONS] = {{"exp", exp}, {"expm1", expm1}, {"tanh", tanh}, {"sigmoid", ulp_sigmoid}, {"erf", erf}};

static inline void ulp_apply(const struct bp_kernels *kernels, int function, size_t n, const float *x, float *y) {
    void (*const maps[ULP_FUNCTIONS])(size_t, const bp_real *, bp_real *) = {kernels->exp, kernels->expm1, kernels->tanh, kernels->sigmoid,
                                                                             kernels->erf};
    maps[function](n, x, y);
}

/* Error of y in units in the last place of the float nearest to truth; infinity where y is not what it must be. */
static inline double ulp_error(double truth, float y) {
    int exponent;
    if (isnan(truth)) return isnan(y) ? 0 : (double)INFINITY;
    if (isinf((float)truth)) return (double)y == (double)(float)truth ? 0 : (double)INFINITY;
    if (isnan(y)) return (double)INFINITY;
    if (y == 0 && fabs(truth) < (double)FLT_MIN) return 0; /* flushed */
    frexp(truth, &exponent);
    return fabs((double)y - truth) / ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

/* count floats with the bit patterns first, first + step, ...; at most ULP_BLOCK. */
static inline void ulp_inputs(uint32_t first, uint32_t step, size_t count, float *x) {
    for (size_t i = 0; i < count; i++, first += step) memcpy(&x[i], &first, sizeof *x);
}

#endif
