/* vector_pieces.h - numbers of a table as piecewise linear embeddings (engine/layers/piecewise_linear_embedding.c). Only vector.c includes it, after
 * vector_gemm.h. Bins, and places in them, do not depend on the instruction set. */
#ifndef BP_KERNELS_VECTOR_PIECES_H
#define BP_KERNELS_VECTOR_PIECES_H

#include "engine/kernels/kernels.h"

/* The bin of x: how many of the edges 1..bins-1 are not above it; those that repeat the last edge are none. */
static inline ALWAYS_INLINE size_t bin_of(const bp_real *edges, size_t bins, bp_real x) {
    const bp_real top = edges[bins];
    size_t j = 1, t = 0;
#if defined(__AVX512F__) && !defined(BP_DOUBLE)
    for (; j < bins; j += LANES) {
        const lanes_mask some = (lanes_mask)(bins - j < LANES ? (1u << (bins - j)) - 1 : 0xFFFF);
        const __m512 e = (__m512)load_some(edges + j, some);
        const __mmask16 below = _mm512_mask_cmp_ps_mask(some, _mm512_set1_ps(x), e, _CMP_GE_OQ);
        t += (size_t)__builtin_popcount(_mm512_mask_cmp_ps_mask(below, e, _mm512_set1_ps(top), _CMP_LT_OQ));
    }
#else
    int32_t count = 0;
    for (; j < bins; j++) count += (x >= edges[j]) & (edges[j] < top);
    t = (size_t)count;
#endif
    return t;
}

static inline ALWAYS_INLINE void pieces_of_width(const struct bp_pieces *call, size_t width) {
    const bp_real *edges = call->edges, far = (bp_real)call->bins;
    bp_real *restrict z = call->z;
    for (size_t f = 0; f < call->features; f++, edges += call->bins + 1, z += width) {
        const bp_real x = call->x[f];
        const size_t t = bin_of(edges, call->bins, x), at = (f * call->bins + t) * width;
        const bp_real size = edges[t + 1] - edges[t], part = size > 0 ? (x - edges[t]) / size : x - x;
        const bp_real r = part < -far ? -far : part > far + 1 ? far + 1 : part;
        for (size_t d = 0; d < width; d++) z[d] = call->prefix[at + d] + r * call->kernel[at + d];
        if (!call->places) continue;
        call->places[2 * f] = (bp_real)t;
        call->places[2 * f + 1] = r;
    }
}

static void pieces(const struct bp_pieces *call) {
    if (call->width == 4) pieces_of_width(call, 4);
    else if (call->width == 8) pieces_of_width(call, 8);
    else pieces_of_width(call, call->width);
}

#endif
