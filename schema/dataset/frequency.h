/* frequency.h - sorting by frequency. Private to schema/. */
#ifndef SCHEMA_FREQUENCY_H
#define SCHEMA_FREQUENCY_H

#include <stddef.h>
#include <stdint.h>

/* The places 0..n-1 of n counts, which lie `stride` bytes apart, the greatest count first, among equals the one that comes first. The caller's; NULL
 * without memory. */
int32_t *schema_by_frequency(const int64_t *counts, size_t stride, int32_t n);

#endif
