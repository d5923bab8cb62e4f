/* vector.c - the kernels: plain C that GCC and clang turn into vector code at -O3. Compiled once per instruction set, with
 * -DBP_KERNELS=<the table's symbol> -DBP_KERNELS_NAME="<its name>"; chosen between at run time by kernels.c.
 * Sums are kept in a fixed number of lanes and added in a fixed order: the same call gives the same bits.
 * Order: bias and rectifiers, cells of tables (vector_cells.h), matrix products (vector_gemm.h), embeddings of numbers (vector_pieces.h), dropout
 * (vector_random.h), convolutions (vector_slide.h), windows (vector_window.h), elementwise functions, softmax, rectifiers back, sums, bfloat16,
 * optimizers, the table.
 */
#include "engine/kernels/kernels.h"
#include "engine/kernels/vector_math.h"

#include <float.h>
#include <string.h>

enum { SUM_LANES = 16, ROW_BLOCK = 32 };

/* ---- bias and rectifiers ----------------------------------------------------------------------------------------- */

static void add_bias(size_t rows, size_t width, const bp_real *restrict b, bp_real *restrict a) {
    for (size_t i = 0; i < rows; i++, a += width)
        for (size_t j = 0; j < width; j++) a[j] += b[j];
}

static inline void rectify_row(size_t n, bp_real slope, const bp_real *z, bp_real *a) {
    if (slope == 0) /* 0 * -infinity is not a number: relu has a loop of its own */
        for (size_t j = 0; j < n; j++) a[j] = z[j] < 0 ? 0 : z[j];
    else
        for (size_t j = 0; j < n; j++) a[j] = z[j] < 0 ? slope * z[j] : z[j];
}

static void rectify(size_t rows, size_t width, bp_real slope, const bp_real *b, const bp_real *z, bp_real *a) {
    if (!b) {
        rectify_row(rows * width, slope, z, a);
        return;
    }
    if (z != a) memcpy(a, z, rows * width * sizeof *a);
    bp_real *restrict row = a;
    const bp_real *restrict bias = b;
    for (size_t i = 0; i < rows; i++, row += width) {
        if (slope == 0)
            for (size_t j = 0; j < width; j++) {
                const bp_real sum = row[j] + bias[j];
                row[j] = sum < 0 ? 0 : sum;
            }
        else
            for (size_t j = 0; j < width; j++) {
                const bp_real sum = row[j] + bias[j];
                row[j] = sum < 0 ? slope * sum : sum;
            }
    }
}

#include "engine/kernels/vector_cells.h"
#include "engine/kernels/vector_gemm.h" /* which adds the bias and rectifies */
#include "engine/kernels/vector_pieces.h"
#include "engine/kernels/vector_random.h"
#include "engine/kernels/vector_slide.h"
#include "engine/kernels/vector_window.h"

/* ---- elementwise functions --------------------------------------------------------------------------------------- */

#define ELEMENTWISE(function)                                                                                                                        \
    static void map_##function(size_t n, const bp_real *x, bp_real *y) {                                                                             \
        for (size_t i = 0; i < n; i++) y[i] = function##_one(x[i]);                                                                                  \
    }

ELEMENTWISE(exp)
ELEMENTWISE(expm1)
ELEMENTWISE(erf)
ELEMENTWISE(sigmoid)
ELEMENTWISE(tanh)

static void elu(size_t n, bp_real high, bp_real low, const bp_real *z, bp_real *a) {
    for (size_t i = 0; i < n; i++) {
        const bp_real x = z[i], below = low * expm1_one(x), above = high * x;
        a[i] = x < 0 ? below : above;
    }
}

static void elu_backward(size_t n, bp_real high, bp_real low, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    for (size_t i = 0; i < n; i++) {
        const bp_real y = a[i], slope = y > 0 ? high : y + low;
        d_z[i] = d_a[i] * slope;
    }
}

/* With e = e^z and n = e (e + 2), tanh(ln(1 + e)) = n / (n + 2): one exponential. Beyond 20 that is 1 in either precision, so e is held there and
 * cannot overflow. */
static inline bp_real mish_exp(bp_real z) {
    return exp_one(z > 20 ? 20 : z);
}

static void mish(size_t n, const bp_real *z, bp_real *a) {
    for (size_t i = 0; i < n; i++) {
        const bp_real x = z[i], e = mish_exp(x), part = e * (e + 2);
        a[i] = x * (part / (part + 2));
    }
}

static void mish_backward(size_t n, const bp_real *z, const bp_real *d_a, bp_real *d_z) {
    for (size_t i = 0; i < n; i++) {
        const bp_real x = z[i], e = mish_exp(x), part = e * (e + 2), inverse = 1 / (part + 2);
        d_z[i] = d_a[i] * (part * inverse + x * (4 * e * inverse) * ((1 + e) * inverse));
    }
}

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

static bp_real row_max(size_t n, const bp_real *x) {
    bp_real top = x[0];
    size_t i = 1;
    if (n >= 2 * SUM_LANES) {
        bp_real lanes[SUM_LANES];
        memcpy(lanes, x, sizeof lanes);
        for (i = SUM_LANES; i + SUM_LANES <= n; i += SUM_LANES)
            for (size_t l = 0; l < SUM_LANES; l++) lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
        for (size_t l = 0; l < SUM_LANES; l++) top = lanes[l] > top ? lanes[l] : top;
    }
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

static bp_real row_sum(size_t n, const bp_real *x) {
    bp_real sum = 0;
    size_t i = 0;
    if (n >= 2 * SUM_LANES) {
        bp_real lanes[SUM_LANES] = {0};
        for (; i + SUM_LANES <= n; i += SUM_LANES)
            for (size_t l = 0; l < SUM_LANES; l++) lanes[l] += x[i + l];
        for (size_t l = 0; l < SUM_LANES; l++) sum += lanes[l];
    }
    for (; i < n; i++) sum += x[i];
    return sum;
}

static void softmax(size_t rows, size_t width, const bp_real *z, bp_real *a) {
    for (size_t i = 0; i < rows; i++) {
        const bp_real top = row_max(width, z + i * width);
        for (size_t j = i * width; j < (i + 1) * width; j++) a[j] = z[j] - top;
    }
    map_exp(rows * width, a, a);
    for (size_t i = 0; i < rows; i++) {
        const bp_real share = 1 / row_sum(width, a + i * width);
        for (size_t j = i * width; j < (i + 1) * width; j++) a[j] *= share;
    }
}

/* z[class] of a row, not a number when there is no such class: a wrong target must not go unnoticed. */
static bp_real picked(const bp_real *z, size_t width, bp_real y, size_t *label) {
    *label = 0;
    if (!(y >= 0 && y < (bp_real)width)) return (bp_real)NAN;
    *label = (size_t)y;
    return z[*label];
}

/* Per row: loss = ln(sum of e^(z - max)) - (z[y] - max), dz = weight scale (p - onehot y). Rows go in blocks, so that one call of exp and (for
 * equal weights) one logarithm, of the product of the rows' sums, serve many of them: the sums lie in 1..width, so
 * 32 of them stay far below the largest double. */
static double softmax_loss(const struct bp_softmax_loss *call) {
    const size_t width = call->width;
    double loss = 0;
    for (size_t first = 0; first < call->rows; first += ROW_BLOCK) {
        const size_t rows = call->rows - first < ROW_BLOCK ? call->rows - first : ROW_BLOCK;
        bp_real *z = call->z + first * width, truth[ROW_BLOCK];
        size_t classes[ROW_BLOCK];
        for (size_t i = 0; i < rows; i++) {
            const bp_real top = row_max(width, z + i * width);
            for (size_t j = i * width; j < (i + 1) * width; j++) z[j] -= top;
            truth[i] = picked(z + i * width, width, call->y[first + i], &classes[i]);
        }
        map_exp(rows * width, z, z);
        double product = 1;
        for (size_t i = 0; i < rows; i++) {
            bp_real *p = z + i * width;
            const bp_real sum = row_sum(width, p), share = 1 / sum;
            const bp_real weight = call->weights ? call->weights[first + i] : 1;
            for (size_t j = 0; j < width; j++) p[j] *= share;
            if (call->weights) {
                const double one = log((double)sum) - (double)truth[i];
                loss += (double)weight * one;
                if (call->counted) *call->counted += call->counts ? (double)call->counts[first + i] * one : one;
            } else {
                product *= (double)sum;
                loss -= (double)truth[i];
            }
            if (call->d_z) {
                bp_real *d_z = call->d_z + (first + i) * width;
                const bp_real factor = weight * call->scale;
                for (size_t j = 0; j < width; j++) d_z[j] = p[j] * factor;
                d_z[classes[i]] -= factor;
            }
        }
        if (!call->weights) loss += log(product);
    }
    if (call->counted && !call->weights) *call->counted += loss;
    return loss;
}

/* ---- rectifiers, back --------------------------------------------------------------------------------------------- */

/* d_a is read whether it is wanted or not: a conditional read would not vectorise without masks. */
static void rectify_backward(size_t n, bp_real slope, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    if (slope == 0)
        for (size_t i = 0; i < n; i++) {
            const bp_real d = d_a[i];
            d_z[i] = a[i] > 0 ? d : 0;
        }
    else
        for (size_t i = 0; i < n; i++) {
            const bp_real d = d_a[i];
            d_z[i] = a[i] > 0 ? d : slope * d;
        }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static void column_sums(size_t rows, size_t width, const bp_real *restrict d, bp_real *restrict sums, bool keep) {
    if (!keep) memset(sums, 0, width * sizeof *sums);
    size_t i = 0;
    for (; i + 4 <= rows; i += 4, d += 4 * width)
        for (size_t j = 0; j < width; j++) sums[j] += (d[j] + d[width + j]) + (d[2 * width + j] + d[3 * width + j]);
    for (; i < rows; i++, d += width)
        for (size_t j = 0; j < width; j++) sums[j] += d[j];
}

static void multiply(size_t n, const bp_real *x, const bp_real *mask, bp_real *y, bool keep) {
    if (keep)
        for (size_t i = 0; i < n; i++) y[i] += x[i] * mask[i];
    else
        for (size_t i = 0; i < n; i++) y[i] = x[i] * mask[i];
}

static void scaled_add(size_t n, bp_real scale, const bp_real *restrict x, bp_real *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] += scale * x[i];
}

static void scale_by(size_t n, bp_real scale, bp_real *x) {
    for (size_t i = 0; i < n; i++) x[i] *= scale;
}

static double sum_squares(size_t n, const bp_real *x) {
    double lanes[SUM_LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        for (size_t l = 0; l < SUM_LANES; l++) lanes[l] += (double)x[i + l] * (double)x[i + l];
    for (; i < n; i++) sum += (double)x[i] * (double)x[i];
    for (size_t l = 0; l < SUM_LANES; l++) sum += lanes[l];
    return sum;
}

/* x * 0 is 0 for a finite x, not a number for any other. */
static bool all_finite(size_t n, const bp_real *x) {
    bp_real lanes[SUM_LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        for (size_t l = 0; l < SUM_LANES; l++) lanes[l] += x[i + l] * 0;
    for (; i < n; i++) sum += x[i] * 0;
    for (size_t l = 0; l < SUM_LANES; l++) sum += lanes[l];
    return sum == 0;
}

/* ---- bfloat16 ----------------------------------------------------------------------------------------------------- */

/* The upper half of a float, rounded. */
static void to_bfloat16(size_t n, const bp_real *x, uint16_t *y) {
    for (size_t i = 0; i < n; i++) {
        const float one = (float)x[i];
        uint32_t word;
        memcpy(&word, &one, sizeof word);
        const uint32_t rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16, quiet = word >> 16 | 0x40u;
        y[i] = (uint16_t)((word & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
    }
}

/* ---- optimizers -------------------------------------------------------------------------------------------------- */

static void sgd(const struct bp_step *step) {
    const bp_real *restrict g = step->g;
    bp_real *restrict W = step->W, *restrict v = step->first;
    const bp_real rate = step->learning_rate, momentum = step->beta_1;
    if (!v)
        for (size_t i = 0; i < step->n; i++) W[i] -= rate * g[i];
    else if (step->nesterov)
        for (size_t i = 0; i < step->n; i++) {
            v[i] = momentum * v[i] + g[i];
            W[i] -= rate * (g[i] + momentum * v[i]);
        }
    else
        for (size_t i = 0; i < step->n; i++) {
            v[i] = momentum * v[i] + g[i];
            W[i] -= rate * v[i];
        }
}

#ifdef BP_DOUBLE
#define ROOT sqrt
#else
#define ROOT sqrtf
#endif

#if defined(__AVX512F__) && !defined(BP_DOUBLE)
struct adam_constants {
    __m512 rate, epsilon, shrink, fresh_1, fresh_2, half, three_halves, least;
};

/* Without square root and division, which take longer than all else: 1 / sqrt and 1 / x to 14 bits, and a Newton step each, to 2 units in the last
 * place. The means move by their distance from the new number, which is as exact while decays are at least 1/2. */
static inline __attribute__((always_inline)) void adam_lanes(const struct bp_step *step, const struct adam_constants *with, size_t i,
                                                             lanes_mask mask) {
    const __m512 g = (__m512)load_some(step->g + i, mask), W = (__m512)load_some(step->W + i, mask);
    __m512 m = (__m512)load_some(step->first + i, mask), v = (__m512)load_some(step->second + i, mask);
    m = _mm512_fmadd_ps(with->fresh_1, _mm512_sub_ps(g, m), m);
    v = _mm512_fmadd_ps(with->fresh_2, _mm512_fmsub_ps(g, g, v), v);
    const __m512 square = _mm512_max_ps(with->least, v), near = _mm512_rsqrt14_ps(square), guess = _mm512_mul_ps(square, near);
    const __m512 root = _mm512_fnmadd_ps(guess, _mm512_mul_ps(near, with->half), with->three_halves); /* of the guess, step->root included */
    const __m512 below = _mm512_fmadd_ps(guess, root, with->epsilon);
    const __m512 inverse = _mm512_rcp14_ps(below), quotient = _mm512_mul_ps(m, inverse);
    const __m512 exact = _mm512_fmadd_ps(_mm512_fnmadd_ps(below, quotient, m), inverse, quotient);
    store_some(step->first + i, (vector)m, mask);
    store_some(step->second + i, (vector)v, mask);
    store_some(step->W + i, (vector)_mm512_fmadd_ps(with->rate, exact, _mm512_mul_ps(with->shrink, W)), mask);
}

static void adam_fast(const struct bp_step *step) {
    const struct adam_constants with = {.rate = _mm512_set1_ps(-step->learning_rate),
                                        .epsilon = _mm512_set1_ps(step->epsilon),
                                        .shrink = _mm512_set1_ps(step->shrink),
                                        .fresh_1 = _mm512_set1_ps(step->fresh_1),
                                        .fresh_2 = _mm512_set1_ps(step->fresh_2),
                                        .half = _mm512_set1_ps(0.5f * step->root),
                                        .three_halves = _mm512_set1_ps(1.5f * step->root),
                                        .least =
                                            _mm512_set1_ps(FLT_MIN)}; /* 0 has no reciprocal; the larger of it and NaN is NaN, the second operand */
    size_t i = 0;
    for (; i + LANES <= step->n; i += LANES) adam_lanes(step, &with, i, mask_of(LANES));
    if (i < step->n) adam_lanes(step, &with, i, mask_of((int32_t)(step->n - i)));
}
#endif

/* All of a weight is read before any of it is written: arrays often begin at the same place of a page, and then a read waits for the writes before it
 * whose addresses end alike. */
static void adam(const struct bp_step *step) {
#if defined(__AVX512F__) && !defined(BP_DOUBLE)
    if (step->beta_1 >= 0.5f && step->beta_2 >= 0.5f) {
        adam_fast(step);
        return;
    }
#endif
    const bp_real *restrict g = step->g;
    bp_real *restrict W = step->W, *restrict m = step->first, *restrict v = step->second;
    const bp_real rate = step->learning_rate, root = step->root, epsilon = step->epsilon, shrink = step->shrink;
    const bp_real beta_1 = step->beta_1, beta_2 = step->beta_2, fresh_1 = step->fresh_1, fresh_2 = step->fresh_2;
    for (size_t i = 0; i < step->n; i++) {
        const bp_real mean = beta_1 * m[i] + fresh_1 * g[i], square = beta_2 * v[i] + fresh_2 * (g[i] * g[i]);
        const bp_real weight = shrink * W[i] - rate * mean / (ROOT(square) * root + epsilon);
        m[i] = mean;
        v[i] = square;
        W[i] = weight;
    }
}

static void rmsprop(const struct bp_step *step) {
    const bp_real *restrict g = step->g;
    bp_real *restrict W = step->W, *restrict momentum = step->first, *restrict v = step->second;
    const bp_real rate = step->learning_rate, epsilon = step->epsilon;
    const bp_real beta_1 = step->beta_1, rho = step->beta_2, fresh = step->fresh_2;
    if (momentum)
        for (size_t i = 0; i < step->n; i++) {
            v[i] = rho * v[i] + fresh * (g[i] * g[i]);
            momentum[i] = beta_1 * momentum[i] + g[i] / (ROOT(v[i]) + epsilon);
            W[i] -= rate * momentum[i];
        }
    else
        for (size_t i = 0; i < step->n; i++) {
            v[i] = rho * v[i] + fresh * (g[i] * g[i]);
            W[i] -= rate * (g[i] / (ROOT(v[i]) + epsilon));
        }
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

extern const struct bp_kernels BP_KERNELS;
const struct bp_kernels BP_KERNELS = {
    .name = BP_KERNELS_NAME,
    .lanes = LANES,
    .exp = map_exp,
    .expm1 = map_expm1,
    .erf = map_erf,
    .sigmoid = map_sigmoid,
    .tanh = map_tanh,
    .elu = elu,
    .elu_backward = elu_backward,
    .mish = mish,
    .mish_backward = mish_backward,
    .softmax = softmax,
    .softmax_loss = softmax_loss,
    .add_bias = add_bias,
    .rectify = rectify,
    .rectify_backward = rectify_backward,
    .column_sums = column_sums,
    .multiply = multiply,
    .scaled_add = scaled_add,
    .scale = scale_by,
    .gather = gather,
    .scatter = scatter,
    .slide = slide,
    .slide_back = slide_back,
    .any_filters = MASKED,
    .max_pool = max_pool,
    .max_pool_back = max_pool_back,
    .sum_squares = sum_squares,
    .finite = all_finite,
    .standardise = standardise,
    .outside = outside,
    .at_least = count_at_least,
    .nine = print_nine,
    .to_bfloat16 = to_bfloat16,
    .dropout_mask = dropout_mask,
    .pieces = pieces,
    .sgd = sgd,
    .adam = adam,
    .rmsprop = rmsprop,
    .gemm = gemm,
    .gemv = gemv,
    .finish = finish,
};
