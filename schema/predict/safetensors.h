/* safetensors.h - the container of weights and checkpoints: 8 bytes of header length, a JSON header, raw little-endian tensors.
 * Format: https://github.com/huggingface/safetensors (its README). Nothing is executed on reading, every offset is checked.
 *
 * The metadata has a member "crc32": eight hexadecimal digits, the CRC-32 of the whole file with these digits counted as zeros. A reader that finds
 * it compares it. */
#ifndef SCHEMA_SAFETENSORS_H
#define SCHEMA_SAFETENSORS_H

#include "engine/base/base.h"
#include <jansson.h>

/* backpropd writes the first two. */
enum schema_dtype {
    SCHEMA_F32,
    SCHEMA_F64,
    SCHEMA_F16,
    SCHEMA_BF16,
    SCHEMA_I64,
    SCHEMA_I32,
    SCHEMA_I16,
    SCHEMA_I8,
    SCHEMA_U8,
    SCHEMA_BOOL,
    SCHEMA_DTYPES
};
extern const char *const schema_dtype_names[SCHEMA_DTYPES];

struct schema_tensor {
    char name[160];
    enum schema_dtype dtype;
    int32_t rank;
    int64_t dims[BP_RANK_MAX];
    const void *data; /* borrowed */
    size_t bytes;
};

/* Writes a file with these tensors, in their order, into fd, without a copy of it in memory: the header, padded so that the data is aligned to 64
 * bytes, followed by the tensors' bytes without gaps. metadata: an object of strings, to which "crc32" is added. *size is what it came to. Errors: no
 * memory, or what write() says. */
int schema_safetensors_write(int fd, const struct schema_tensor *tensors, int32_t count, const json_t *metadata, size_t *size,
                             struct bp_error *error);
/* The same without a checksum, for other programs. */
int schema_safetensors_write_plain(int fd, const struct schema_tensor *tensors, int32_t count, const json_t *metadata, size_t *size,
                                   struct bp_error *error);
/* Reads a file in memory: the tensors point into bytes. *tensors and *metadata are the caller's. Errors: no tensor file, truncated, damaged (its
 * checksum does not match), no memory. */
int schema_safetensors_read(const void *bytes, size_t size, struct schema_tensor **tensors, int32_t *count, json_t **metadata,
                            struct bp_error *error);
/* The tensor of that name, or NULL. */
const struct schema_tensor *schema_safetensors_find(const struct schema_tensor *tensors, int32_t count, const char *name);

/* Writes all bytes to fd. Error: what write() says. */
int schema_write_all(int fd, const void *bytes, size_t size, struct bp_error *error);

#endif
