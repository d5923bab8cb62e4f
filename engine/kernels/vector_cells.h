/* vector_cells.h - cells of tables before they are inputs of a network: numbers in double, NaN where a cell is missing. Nothing here depends on the
 * instruction set: no product is added to a sum. Only vector.c includes it. */
#ifndef BP_KERNELS_VECTOR_CELLS_H
#define BP_KERNELS_VECTOR_CELLS_H

#include "engine/kernels/kernels.h"

#include <math.h>

static bool standardise(const struct bp_standard *call) {
    const double fill = call->fill, mean = call->mean, std = call->std, most = call->most;
    const double *restrict v = call->v;
    double *restrict z = call->z;
    int64_t beyond = 0;
    for (size_t i = 0; i < call->n; i++) {
        z[i] = ((v[i] != v[i] ? fill : v[i]) - mean) / std;
        beyond |= fabs(z[i]) <= most ? 0 : -1;
    }
    return beyond == 0;
}

static bool any_outside(size_t n, const double *v, double least, double most) {
    int64_t outside = 0;
    for (size_t i = 0; i < n; i++) outside |= (v[i] < least ? -1 : 0) | (v[i] > most ? -1 : 0);
    return outside != 0;
}

#endif
