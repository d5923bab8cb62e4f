/* vector_pool.h - the largest number under a window, and the way back, for windows that lie within the image. Only vector.c includes it, after
 * vector_gemm.h, whose vectors it uses. Channels beyond the last whole vector go one by one. */
#ifndef BP_KERNELS_VECTOR_POOL_H
#define BP_KERNELS_VECTOR_POOL_H

#include "kernels/kernels.h"

/* The numbers of `yes` where the mask is set, of `no` elsewhere. */
static inline vector choose(bits mask, vector yes, vector no) {
    return (vector)((mask & (bits)yes) | (~mask & (bits)no));
}

static inline vector everywhere(bp_real x) {
    return (vector){0} + x;
}

/* Not a number wins, so that it is not swallowed; among equals the first. */
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
                    const bits wins = (x > top) | (x != x);
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
                    const bits here = load(which + c) == everywhere((bp_real)cell);
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
