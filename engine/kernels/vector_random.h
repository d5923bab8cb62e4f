/* vector_random.h - masks of dropout: the numbers of random.c (Philox 4x32-10; Salmon, Moraes, Dror, Shaw 2011), many blocks side by side. Only
 * vector.c includes it, after vector_gemm.h, whose masks it uses. Number i of a mask is word i % 4 of block i / 4, on every instruction set. */
#ifndef BP_KERNELS_VECTOR_RANDOM_H
#define BP_KERNELS_VECTOR_RANDOM_H

#include "engine/kernels/kernels.h"

#include <string.h>

enum { PHILOX_ROUNDS = 10, BLOCKS = 16 /* side by side */ };
#define PHILOX_M0 UINT32_C(0xD2511F53)
#define PHILOX_M1 UINT32_C(0xCD9E8D57)
#define PHILOX_W0 UINT32_C(0x9E3779B9)
#define PHILOX_W1 UINT32_C(0xBB67AE85)

/* y = x mask of numbers from..from+n-1, where it is wanted. */
static inline void drop_some(const struct bp_dropout_mask *call, size_t from, size_t n) {
    const bp_real *mask = call->mask + from;
    for (size_t i = 0; call->x && i < n; i++) call->y[from + i] = call->x[from + i] * mask[i];
}

#if defined(__AVX512F__) && !defined(BP_DOUBLE)
enum { GROUPS = 2, EACH = 8 /* blocks of a group: its words are in the lower halves of 8 lanes, the upper halves are ignored */ };
struct philox_lanes {
    __m512i x0, x1, x2, x3;
};

static inline __attribute__((always_inline)) void philox_round(struct philox_lanes *s, __m512i k0, __m512i k1) {
    enum { XOR3 = 0x96 };
    const __m512i p0 = _mm512_mul_epu32(s->x0, _mm512_set1_epi64(PHILOX_M0)), p1 = _mm512_mul_epu32(s->x2, _mm512_set1_epi64(PHILOX_M1));
    s->x0 = _mm512_ternarylogic_epi32(_mm512_shuffle_epi32(p1, _MM_PERM_DDBB), s->x1, k0, XOR3);
    s->x2 = _mm512_ternarylogic_epi32(_mm512_shuffle_epi32(p0, _MM_PERM_DDBB), s->x3, k1, XOR3);
    s->x1 = p1;
    s->x3 = p0;
}

/* The numbers of 16 blocks from `counter` on; two groups of them share the keys of a round. */
static inline __attribute__((always_inline)) void mask_lanes(const struct bp_dropout_mask *call, uint64_t counter, vector mask[2 * GROUPS]) {
    /* so that the low halves of pairs of lanes are blocks 0 to 3, the high halves 4 to 7 */
    const __m512i order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0), threshold = _mm512_set1_epi32((int)call->threshold);
    const __m512 value = _mm512_set1_ps(call->value);
    struct philox_lanes s[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        s[g].x0 = _mm512_add_epi64(order, _mm512_set1_epi64((long long)(counter + (uint64_t)(g * EACH))));
        s[g].x1 = _mm512_srli_epi64(s[g].x0, 32);
        s[g].x2 = _mm512_set1_epi64((long long)call->stream);
        s[g].x3 = _mm512_set1_epi64((long long)(call->stream >> 32));
    }
    uint32_t k0 = (uint32_t)call->seed, k1 = (uint32_t)(call->seed >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++, k0 += PHILOX_W0, k1 += PHILOX_W1)
        for (int g = 0; g < GROUPS; g++) philox_round(&s[g], _mm512_set1_epi32((int)k0), _mm512_set1_epi32((int)k1));
    for (int g = 0; g < GROUPS; g++) {
        const __m512i x01 = _mm512_mask_shuffle_epi32(s[g].x0, 0xAAAA, s[g].x1, _MM_PERM_CCAA);
        const __m512i x23 = _mm512_mask_shuffle_epi32(s[g].x2, 0xAAAA, s[g].x3, _MM_PERM_CCAA);
        const __m512i low = _mm512_unpacklo_epi64(x01, x23), high = _mm512_unpackhi_epi64(x01, x23);
        mask[2 * g] = (vector)_mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(low, threshold), value);
        mask[2 * g + 1] = (vector)_mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(high, threshold), value);
    }
}

static void dropout_mask(const struct bp_dropout_mask *call) {
    enum { NUMBERS = 2 * GROUPS * LANES };
    uint64_t counter = call->counter;
    size_t done = 0;
    vector mask[2 * GROUPS];
    for (; done + NUMBERS <= call->n; done += NUMBERS, counter += GROUPS * EACH) {
        mask_lanes(call, counter, mask);
        for (size_t i = 0; i < 2 * GROUPS; i++) store(call->mask + done + i * LANES, mask[i]);
        for (size_t i = 0; call->x && i < 2 * GROUPS; i++) store(call->y + done + i * LANES, load(call->x + done + i * LANES) * mask[i]);
    }
    if (done == call->n) return;
    mask_lanes(call, counter, mask);
    memcpy(call->mask + done, mask, (call->n - done) * sizeof(bp_real));
    drop_some(call, done, call->n - done);
}
#else
/* The mask of `BLOCKS` blocks, 4 BLOCKS numbers. */
static inline void mask_of_blocks(const struct bp_dropout_mask *call, uint64_t counter, bp_real *restrict mask) {
    uint32_t words[4][BLOCKS];
    for (size_t l = 0; l < BLOCKS; l++) {
        words[0][l] = (uint32_t)(counter + l);
        words[1][l] = (uint32_t)((counter + l) >> 32);
        words[2][l] = (uint32_t)call->stream;
        words[3][l] = (uint32_t)(call->stream >> 32);
    }
    uint32_t k0 = (uint32_t)call->seed, k1 = (uint32_t)(call->seed >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++, k0 += PHILOX_W0, k1 += PHILOX_W1)
        for (size_t l = 0; l < BLOCKS; l++) {
            const uint64_t p0 = (uint64_t)PHILOX_M0 * words[0][l], p1 = (uint64_t)PHILOX_M1 * words[2][l];
            words[0][l] = (uint32_t)(p1 >> 32) ^ words[1][l] ^ k0;
            words[2][l] = (uint32_t)(p0 >> 32) ^ words[3][l] ^ k1;
            words[1][l] = (uint32_t)p1;
            words[3][l] = (uint32_t)p0;
        }
    for (size_t l = 0; l < BLOCKS; l++)
        for (size_t w = 0; w < 4; w++) mask[4 * l + w] = words[w][l] < call->threshold ? 0 : call->value;
}

static void dropout_mask(const struct bp_dropout_mask *call) {
    enum { NUMBERS = 4 * BLOCKS };
    bp_real last[NUMBERS];
    size_t done = 0;
    uint64_t counter = call->counter;
    for (; done + NUMBERS <= call->n; done += NUMBERS, counter += BLOCKS) {
        mask_of_blocks(call, counter, call->mask + done);
        drop_some(call, done, NUMBERS);
    }
    if (done == call->n) return;
    mask_of_blocks(call, counter, last);
    memcpy(call->mask + done, last, (call->n - done) * sizeof *last);
    drop_some(call, done, call->n - done);
}
#endif

#endif
