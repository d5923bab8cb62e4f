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
static void max_pool(const struct bp_max_pool *call) {
    const size_t C = call->channels;
    for (size_t p = 0; p < call->count; p++) {
        const bp_real *window = call->x + p * call->step;
        bp_real *a = call->a + p * C, *which = call->which ? call->which + p * C : NULL;
        size_t c = 0;
        for (; c + LANES <= C; c += LANES) {
            vector top = load(window + c), at = {0};
            for (int32_t i = 0, cell = 0; i < call->size[0]; i++)
                for (int32_t j = 0; j < call->size[1]; j++, cell++) {
                    const vector x = load(window + (size_t)i * call->row + (size_t)j * C + c);
                    const lanes_chosen wins = beats(x, top);
                    top = choose(wins, x, top);
                    at = choose(wins, everywhere((bp_real)cell), at);
                }
            store(a + c, top);
            if (which) store(which + c, at);
        }
        for (; c < C; c++) {
            bp_real top = window[c], at = 0;
            for (int32_t i = 0, cell = 0; i < call->size[0]; i++)
                for (int32_t j = 0; j < call->size[1]; j++, cell++) {
                    const bp_real x = window[(size_t)i * call->row + (size_t)j * C + c];
                    if (!(x > top || x != x)) continue;
                    top = x;
                    at = (bp_real)cell;
                }
            a[c] = top;
            if (which) which[c] = at;
        }
    }
}

/* d_a goes to the cell that was the largest; the others get 0, or stay when `add`. */
static void max_pool_back(const struct bp_max_pool *call) {
    const size_t C = call->channels;
    for (size_t p = 0; p < call->count; p++) {
        const bp_real *d_a = call->d_a + p * C, *which = call->which + p * C;
        for (int32_t i = 0, cell = 0; i < call->size[0]; i++)
            for (int32_t j = 0; j < call->size[1]; j++, cell++) {
                bp_real *d_x = call->d_x + p * call->step + (size_t)i * call->row + (size_t)j * C;
                size_t c = 0;
                for (; c + LANES <= C; c += LANES) {
                    const lanes_chosen here = equals(load(which + c), everywhere((bp_real)cell));
                    const vector d = choose(here, load(d_a + c), (vector){0});
                    store(d_x + c, call->add ? load(d_x + c) + d : d);
                }
                for (; c < C; c++) {
                    const bp_real d = which[c] == (bp_real)cell ? d_a[c] : 0;
                    d_x[c] = call->add ? d_x[c] + d : d;
                }
            }
    }
}

#endif
