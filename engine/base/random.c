/* random.c - Philox 4x32-10 and what is drawn from it. Compiled without contraction to fused multiply-adds, and without
 * a function of libm but sqrt (which IEEE 754 rounds exactly), so its bits are the same on every machine. */
#include "engine/base/random.h"

#include <math.h>
#include <string.h>

void bp_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t block[4]) {
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    block[0] = c0;
    block[1] = c1;
    block[2] = c2;
    block[3] = c3;
}

struct bp_random bp_random_open(uint64_t seed, enum bp_stream purpose, uint32_t index) {
    struct bp_random random = {.seed = seed, .stream = (uint64_t)purpose << 32 | index};
    return random;
}

uint32_t bp_random_u32(struct bp_random *random) {
    if (!random->left) {
        bp_random_block(random->seed, random->stream, random->counter++, random->block);
        random->left = 4;
    }
    return random->block[4 - random->left--];
}

static uint64_t random_u64(struct bp_random *random) {
    uint64_t high = bp_random_u32(random);
    return high << 32 | bp_random_u32(random);
}

double bp_random_uniform(struct bp_random *random) {
    return (double)(random_u64(random) >> 11) * 0x1p-53;
}

/* ln x for normal x > 0: x = m 2^e with m in [sqrt 1/2, sqrt 2), ln m = 2 atanh((m - 1) / (m + 1)) by its series. */
static double logarithm(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1022;
    bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FE0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m < 0.70710678118654752) {
        m *= 2;
        exponent--;
    }
    double t = (m - 1) / (m + 1), s = t * t, sum = 0;
    for (int k = 23; k >= 1; k -= 2) sum = sum * s + 1.0 / k;
    return 2 * t * sum + exponent * 0.69314718055994531;
}

double bp_random_normal(struct bp_random *random) {
    for (;;) {
        double x = 2 * bp_random_uniform(random) - 1, y = 2 * bp_random_uniform(random) - 1;
        double s = x * x + y * y;
        if (s > 0 && s < 1) return x * sqrt(-2 * logarithm(s) / s);
    }
}

uint64_t bp_random_below(struct bp_random *random, uint64_t bound) {
    if (bound <= UINT32_MAX) {
        uint32_t n = (uint32_t)bound;
        uint64_t product = (uint64_t)bp_random_u32(random) * n;
        if ((uint32_t)product < n) {
            uint32_t least = (uint32_t)-n % n;
            while ((uint32_t)product < least) product = (uint64_t)bp_random_u32(random) * n;
        }
        return product >> 32;
    }
    uint64_t mask = bound - 1; /* rejection: the bound is huge, and rare */
    for (unsigned shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    for (;;) {
        uint64_t draw = random_u64(random) & mask;
        if (draw < bound) return draw;
    }
}

void bp_random_shuffle(struct bp_random *random, int64_t *order, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)bp_random_below(random, (uint64_t)i + 1), held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
}
