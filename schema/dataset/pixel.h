/* pixel.h - whether a float32 is an integer 0..255, and which, without a branch or a comparison of floats: it runs over every pixel. Private to
 * schema/. */
#ifndef SCHEMA_PIXEL_H
#define SCHEMA_PIXEL_H

#include <stdint.h>
#include <string.h>

/* Added to 2^23, such a number stands in the lowest bits; what it says there must be the number again (and not -0), else bits of *other are set. */
static inline int32_t schema_pixel(float x, uint32_t *other) {
    const float raised = x + 8388608.0F;
    uint32_t low, bits, again;
    memcpy(&low, &raised, sizeof low);
    const int32_t byte = (int32_t)(low & 0xFF);
    const float whole = (float)byte;
    memcpy(&bits, &x, sizeof bits);
    memcpy(&again, &whole, sizeof again);
    *other |= bits ^ again;
    return byte;
}

#endif
