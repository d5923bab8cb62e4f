/* orthogonal.c - a random orthogonal matrix times gain (Saxe, McClelland, Ganguli 2014): the tensor as a matrix (all axes but the last, the last),
 * whose columns, or rows when they are fewer, become orthonormal by Gram and Schmidt's method (modified) on normal draws. Sums are in double and in
 * a fixed order; a second round takes off what rounding left. Nothing is allocated: columns are done BLOCK at a time. */
#include "engine/initializers/initializer.h"

#include <math.h>

enum { GAIN, PARAMS };
enum { BLOCK = 64 };

/* `count` vectors of `length`: number e of vector k is W[k * next + e * stride]. */
struct vectors {
    bp_real *W;
    size_t count, length, next, stride;
};

static void normalise(const struct vectors *v, size_t k) {
    bp_real *x = v->W + k * v->next;
    double squares = 0;
    for (size_t e = 0; e < v->length; e++) squares += (double)x[e * v->stride] * (double)x[e * v->stride];
    const double scale = squares > 0 ? 1 / sqrt(squares) : 0;
    for (size_t e = 0; e < v->length; e++) x[e * v->stride] = (bp_real)((double)x[e * v->stride] * scale);
}

/* Takes row q, of length 1, out of row x. Eight sums side by side: the same on every machine, and quick. */
static void project_row(size_t n, const bp_real *q, bp_real *x) {
    double parts[8] = {0}, share = 0;
    size_t e = 0;
    for (; e + 8 <= n; e += 8)
        for (size_t i = 0; i < 8; i++) parts[i] += (double)q[e + i] * (double)x[e + i];
    for (; e < n; e++) share += (double)q[e] * (double)x[e];
    for (size_t i = 0; i < 8; i++) share += parts[i];
    for (e = 0; e < n; e++) x[e] = (bp_real)((double)x[e] - share * (double)q[e]);
}

/* Takes column j, of length 1, out of columns from..to-1. */
static void project_columns(const struct vectors *v, size_t j, size_t from, size_t to) {
    double share[BLOCK] = {0};
    for (size_t e = 0; e < v->length; e++) {
        const bp_real *row = v->W + e * v->stride; /* (columns) */
        for (size_t k = from; k < to; k++) share[k - from] += (double)row[j] * (double)row[k];
    }
    for (size_t e = 0; e < v->length; e++) {
        bp_real *row = v->W + e * v->stride;
        for (size_t k = from; k < to; k++) row[k] = (bp_real)((double)row[k] - share[k - from] * (double)row[j]);
    }
}

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const size_t columns = tensor->shape.rank > 0 ? (size_t)tensor->shape.dims[tensor->shape.rank - 1] : 1, rows = n / columns;
    const struct vectors v = columns <= rows ? (struct vectors){W, columns, rows, 1, columns} : (struct vectors){W, rows, columns, columns, 1};
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)bp_random_normal(random);
    for (int round = 0; round < 2; round++)
        for (size_t j = 0; j < v.count; j++) {
            normalise(&v, j);
            if (v.stride == 1)
                for (size_t k = j + 1; k < v.count; k++) project_row(v.length, W + j * v.next, W + k * v.next);
            else
                for (size_t from = j + 1; from < v.count; from += BLOCK)
                    project_columns(&v, j, from, v.count - from < BLOCK ? v.count : from + BLOCK);
        }
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)((double)W[i] * tensor->initializer_numbers[GAIN]);
}

static const struct bp_param params[PARAMS] = {
    [GAIN] = {.name = "gain",
              .type = BP_PARAM_NUMBER,
              .help = "Length of each row or column",
              .preset = 1,
              .min = 0,
              .max = 1e6,
              .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_initializer_ops bp_initializer_orthogonal;
const struct bp_initializer_ops bp_initializer_orthogonal = {
    .entry = {.name = "orthogonal",
              .summary = "A random orthogonal matrix times gain, for recurrent and deep networks",
              .params = params,
              .params_count = PARAMS},
    .fill = fill,
};
