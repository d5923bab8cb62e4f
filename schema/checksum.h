/* checksum.h - CRC-32 as zlib computes it (polynomial 0xEDB88320), ten times as fast where the processor multiplies without carries. */
#ifndef SCHEMA_CHECKSUM_H
#define SCHEMA_CHECKSUM_H

#include "engine/base/base.h"

/* Goes on from crc, which is 0 at the start. bytes may be NULL when there are none. Any thread. */
uint32_t schema_crc32(uint32_t crc, const void *bytes, size_t size);

#endif
