/* vector_math.h - exp, e^x - 1, tanh, sigmoid and erf of one number, without branches, tables or calls, so that loops over them
 * vectorise. Only vector.c includes it, once per instruction set. kernels.h gives the bound on their error; in double they are libm's.
 * The polynomials of exp and tanh are those of Cephes (S. Moshier); that of erf was fitted for this file. */
#ifndef BP_KERNELS_VECTOR_MATH_H
#define BP_KERNELS_VECTOR_MATH_H

#include "engine/base/base.h"

#include <math.h>
#include <string.h>

#ifdef BP_DOUBLE

static inline double exp_one(double x) {
    return exp(x);
}
static inline double expm1_one(double x) {
    return expm1(x);
}
static inline double tanh_one(double x) {
    return tanh(x);
}
static inline double erf_one(double x) {
    return erf(x);
}

#else

static inline float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* x = n ln 2 + r, n = round(x / ln 2), |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds, and leaves n in the low bits. 2^n is the product of two halves, so
 * that overflow gives infinity and underflow is gradual. */
struct exp_parts {
    float r, tail; /* e^r = 1 + r + tail */
    float low, high;
    float low_less; /* low - 1 / high */
};

static inline struct exp_parts exp_parts(float x) {
    const float magic = 12582912.0f;
    float c = x > 89.0f ? 89.0f : x;
    c = c < -105.0f ? -105.0f : c;
    float shifted = c * 1.44269504f + magic, n = shifted - magic;
    float r = c - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    int32_t power = (int32_t)(to_bits(shifted) - to_bits(magic));
    int32_t half = power >> 1, other = power - half;
    float low = from_bits((uint32_t)(half + 127) << 23), high = from_bits((uint32_t)(other + 127) << 23);
    return (struct exp_parts){.r = r, .tail = p * (r * r), .low = low, .high = high, .low_less = low - from_bits((uint32_t)(127 - other) << 23)};
}

/* e^x = 2^n e^r. */
static inline float exp_one(float x) {
    const struct exp_parts e = exp_parts(x);
    const float near = 1.0f + e.r, lost = e.r - (near - 1.0f); /* what the sum rounds away */
    return (near + (e.tail + lost)) * e.low * e.high;
}

/* e^x - 1 = 2^n (e^r - 1) + 2^n - 1: exact near 0, where n is 0. */
static inline float expm1_one(float x) {
    const struct exp_parts e = exp_parts(x);
    return ((e.r + e.tail) * e.low + e.low_less) * e.high;
}

/* An odd polynomial near zero, 1 - 2 / (e^2|x| + 1) elsewhere. */
static inline float tanh_one(float x) {
    float magnitude = fabsf(x), s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    p = p * s * x + x;
    float far = 1.0f - 2.0f / (exp_one(2.0f * magnitude) + 1.0f);
    far = x < 0.0f ? -far : far;
    return magnitude < 0.625f ? p : far;
}

/* x + x P(x^2) near zero, 1 - e^(x Q(x)) elsewhere; beyond 4 it is 1 in float32. */
static inline float erf_one(float x) {
    float magnitude = fabsf(x), t = magnitude > 4.0f ? 4.0f : magnitude, s = x * x;
    float p = -5.881639663e-4f;
    p = p * s + 4.971958697e-3f;
    p = p * s - 2.675241977e-2f;
    p = p * s + 1.128143743e-1f;
    p = p * s - 3.761245906e-1f;
    p = p * s + 1.283791512e-1f;
    p = p * x + x;
    float q = -1.143337836e-5f;
    q = q * t + 3.244317486e-4f;
    q = q * t - 3.647448728e-3f;
    q = q * t + 2.376918681e-2f;
    q = q * t - 1.062412262e-1f;
    q = q * t - 6.351509690e-1f;
    q = q * t - 1.128648043f;
    float far = 1.0f - exp_one(q * t);
    far = x < 0.0f ? -far : far;
    return magnitude < 0.9375f ? p : far;
}

#endif

/* e / (1 + e) with e = e^-|x|, which cannot overflow, where x is negative; 1 / (1 + e) elsewhere. What 1 + e rounds away is put right: the derivative
 * of the quotient q in it is q / (1 + e). */
static inline bp_real sigmoid_one(bp_real x) {
    const bp_real magnitude = x < 0 ? -x : x, e = exp_one(-magnitude);
    const bp_real sum = 1 + e, lost = e - (sum - 1), q = (x < 0 ? e : 1) / sum;
    return q - q * (x < 0 ? 1 - q : q) * lost;
}

#endif
