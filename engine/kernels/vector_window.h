/* vector_window.h - what is done with the cells under windows: brought into the rows of a matrix and back (im2col), and the
 * largest of them. Only vector.c includes it, after vector_gemm.h, whose vectors it uses. */
#ifndef BP_KERNELS_VECTOR_WINDOW_H
#define BP_KERNELS_VECTOR_WINDOW_H

#include "engine/kernels/kernels.h"

/* ---- into a matrix and back -------------------------------------------------------------------------------------- */

static inline void copy_line(size_t n, const bp_real *from, bp_real *to) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) store(to + i, load(from + i));
#if MASKED
    if (i < n) store_some(to + i, load_some(from + i, mask_of((int32_t)(n - i))), mask_of((int32_t)(n - i)));
#else
    for (; i < n; i++) to[i] = from[i];
#endif
}

static inline void add_line(size_t n, const bp_real *from, bp_real *to) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) store(to + i, load(to + i) + load(from + i));
#if MASKED
    const lanes_mask rest = mask_of((int32_t)(n - i));
    if (i < n) store_some(to + i, load_some(to + i, rest) + load_some(from + i, rest), rest);
#else
    for (; i < n; i++) to[i] += from[i];
#endif
}

/* The lines outside of the image are 0. */
static void gather(const struct bp_patches *call) {
    const size_t line = call->line, width = call->lines * line, from = call->from, until = call->until;
    for (size_t p = 0; p < call->count; p++) {
        const bp_real *image = call->image + p * call->step;
        bp_real *to = call->matrix + p * width;
        if (from > 0) memset(to, 0, from * line * sizeof *to);
        if (until < call->lines) memset(to + until * line, 0, (call->lines - until) * line * sizeof *to);
#if MASKED
        if (line <= LANES) { /* short lines: one mask for all */
            const lanes_mask mask = mask_of((int32_t)line);
            for (size_t k = from; k < until; k++, image += call->row) store_some(to + k * line, load_some(image, mask), mask);
            continue;
        }
#endif
        for (size_t k = from; k < until; k++, image += call->row) copy_line(line, image, to + k * line);
    }
}

static void scatter(const struct bp_patches *call) {
    for (size_t p = 0; p < call->count; p++) {
        bp_real *image = call->image + p * call->step;
        const bp_real *rows = call->matrix + p * call->lines * call->line;
        for (size_t k = call->from; k < call->until; k++, image += call->row) add_line(call->line, rows + k * call->line, image);
    }
}

/* ---- maximum ----------------------------------------------------------------------------------------------------- */

#if defined(__AVX512F__) && !defined(BP_DOUBLE)
typedef __mmask16 lanes_chosen;
static inline lanes_chosen beats(vector x, vector top) {
    return _mm512_cmp_ps_mask((__m512)x, (__m512)top, _CMP_GT_OQ) | _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
}
static inline lanes_chosen equals(vector x, vector y) {
    return _mm512_cmp_ps_mask((__m512)x, (__m512)y, _CMP_EQ_OQ);
}
static inline vector choose(lanes_chosen mask, vector yes, vector no) {
    return (vector)_mm512_mask_blend_ps(mask, (__m512)no, (__m512)yes);
}
#else
typedef bits lanes_chosen;
static inline lanes_chosen beats(vector x, vector top) {
    return (x > top) | (x != x);
}
static inline lanes_chosen equals(vector x, vector y) {
    return x == y;
}
/* The numbers of `yes` where the mask is set, of `no` elsewhere. */
static inline vector choose(lanes_chosen mask, vector yes, vector no) {
    return (vector)((mask & (bits)yes) | (~mask & (bits)no));
}
#endif

static inline vector everywhere(bp_real x) {
    return (vector){0} + x;
}

/* Channels beyond the last whole vector go one by one. Not a number wins, so that it is not swallowed; among equals the first. */
static inline ALWAYS_INLINE void max_pool_of(const struct bp_max_pool *call, int32_t high, int32_t wide) {
    const size_t C = call->channels, row = call->row, step = call->step;
    for (size_t p = 0; p < call->count; p++) {
        const bp_real *restrict window = call->x + p * step;
        bp_real *restrict a = call->a + p * C, *restrict which = call->which ? call->which + p * C : NULL;
        size_t c = 0;
        for (; c + LANES <= C; c += LANES) {
            vector top = load(window + c), at = {0};
            for (int32_t i = 0; i < high; i++)
                for (int32_t j = 0; j < wide; j++) {
                    const vector x = load(window + (size_t)i * row + (size_t)j * C + c);
                    const lanes_chosen wins = beats(x, top);
                    top = choose(wins, x, top);
                    at = choose(wins, everywhere((bp_real)(i * wide + j)), at);
                }
            store(a + c, top);
            if (which) store(which + c, at);
        }
        for (; c < C; c++) {
            bp_real top = window[c], at = 0;
            for (int32_t i = 0; i < high; i++)
                for (int32_t j = 0; j < wide; j++) {
                    const bp_real x = window[(size_t)i * row + (size_t)j * C + c];
                    if (!(x > top || x != x)) continue;
                    top = x;
                    at = (bp_real)(i * wide + j);
                }
            a[c] = top;
            if (which) which[c] = at;
        }
    }
}

/* d_a goes to the cell that was the largest; the others get 0, or stay when `add`. */
static inline ALWAYS_INLINE void max_pool_back_of(const struct bp_max_pool *call, int32_t high, int32_t wide, bool add) {
    const size_t C = call->channels, row = call->row, step = call->step;
    for (size_t p = 0; p < call->count; p++) {
        const bp_real *restrict d_a = call->d_a + p * C, *restrict which = call->which + p * C;
        bp_real *restrict window = call->d_x + p * step;
        size_t c = 0;
        for (; c + LANES <= C; c += LANES) {
            const vector d_top = load(d_a + c), at = load(which + c);
            for (int32_t i = 0; i < high; i++)
                for (int32_t j = 0; j < wide; j++) {
                    bp_real *d_x = window + (size_t)i * row + (size_t)j * C + c;
                    const vector d = choose(equals(at, everywhere((bp_real)(i * wide + j))), d_top, (vector){0});
                    store(d_x, add ? load(d_x) + d : d);
                }
        }
        for (; c < C; c++)
            for (int32_t i = 0; i < high; i++)
                for (int32_t j = 0; j < wide; j++) {
                    bp_real *d_x = window + (size_t)i * row + (size_t)j * C + c;
                    const bp_real d = which[c] == (bp_real)(i * wide + j) ? d_a[c] : 0;
                    *d_x = add ? *d_x + d : d;
                }
    }
}

static inline bool square(const struct bp_max_pool *call, int32_t size) {
    return call->size[0] == size && call->size[1] == size;
}

/* Windows of 2 x 2 and 3 x 3 cells, which are the usual ones, have loops of their own. */
static void max_pool(const struct bp_max_pool *call) {
    if (square(call, 2)) max_pool_of(call, 2, 2);
    else if (square(call, 3)) max_pool_of(call, 3, 3);
    else max_pool_of(call, call->size[0], call->size[1]);
}

static void max_pool_back(const struct bp_max_pool *call) {
    if (square(call, 2) && !call->add) max_pool_back_of(call, 2, 2, false);
    else max_pool_back_of(call, call->size[0], call->size[1], call->add);
}

#endif
