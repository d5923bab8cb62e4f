/* checksum.c - see checksum.h. The method, its names and its constants are those of V. Gopal et al., "Fast CRC Computation for Generic Polynomials
 * Using PCLMULQDQ Instruction" (Intel, 2009), for reflected bits: 64 bytes are folded onto the next 64 by two products each of 16, the four
 * remainders onto one, and that is reduced by Barrett's method. */
#include "schema/checksum.h"

#include <zlib.h>

#if defined(__x86_64__)
#include <immintrin.h>

enum { FOLDED = 64, LANE = 16, AHEAD = 4096 /* bytes: the processor itself looks no further than to the end of a page */ };

#define FOLD __attribute__((target("pclmul,sse4.1")))

FOLD static __m128i load(const unsigned char *bytes) {
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* x times the two constants, half by half, and onto the next 16 bytes. */
FOLD static __m128i fold(__m128i x, __m128i constants, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(x, constants, 0x00), high = _mm_clmulepi64_si128(x, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* From 128 bits to 32. */
FOLD static uint32_t reduce(__m128i x, __m128i constants) {
    const __m128i mask = _mm_setr_epi32(~0, 0, ~0, 0), k5 = _mm_set_epi64x(0, 0x163CD6124), polynomial = _mm_set_epi64x(0x1F7011641, 0x1DB710641);
    x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, constants, 0x10));
    x = _mm_xor_si128(_mm_srli_si128(x, 4), _mm_clmulepi64_si128(_mm_and_si128(x, mask), k5, 0x00));
    const __m128i quotient = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(x, mask), polynomial, 0x10), mask);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, _mm_clmulepi64_si128(quotient, polynomial, 0x00)), 1);
}

/* size: at least FOLDED, a multiple of LANE. crc: inverted. */
FOLD static uint32_t folded(uint32_t crc, const unsigned char *bytes, size_t size) {
    const __m128i k1k2 = _mm_set_epi64x(0x1C6E41596, 0x154442BD4), k3k4 = _mm_set_epi64x(0x0CCAA009E, 0x1751997D0);
    __m128i x[FOLDED / LANE];
    for (size_t i = 0; i < FOLDED / LANE; i++) x[i] = load(bytes + i * LANE);
    x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)crc));
    for (bytes += FOLDED, size -= FOLDED; size >= FOLDED; bytes += FOLDED, size -= FOLDED) {
        __builtin_prefetch((const void *)((uintptr_t)bytes + AHEAD));
        for (size_t i = 0; i < FOLDED / LANE; i++) x[i] = fold(x[i], k1k2, load(bytes + i * LANE));
    }
    for (size_t i = 1; i < FOLDED / LANE; i++) x[0] = fold(x[0], k3k4, x[i]);
    for (; size >= LANE; bytes += LANE, size -= LANE) x[0] = fold(x[0], k3k4, load(bytes));
    return reduce(x[0], k3k4);
}

uint32_t schema_crc32(uint32_t crc, const void *bytes, size_t size) {
    const unsigned char *p = bytes;
    const size_t most = size - size % LANE;
    if (size >= FOLDED && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) {
        crc = ~folded(~crc, p, most);
        p += most, size -= most;
    }
    return size > 0 ? (uint32_t)crc32_z(crc, p, size) : crc;
}

#else

uint32_t schema_crc32(uint32_t crc, const void *bytes, size_t size) {
    return size > 0 ? (uint32_t)crc32_z(crc, bytes, size) : crc;
}

#endif
