/* safetensors.c - writing and reading the container of tensors. */
#include "schema/predict/safetensors.h"
#include "schema/checksum.h"
#include "schema/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_MAX = 100 << 20, ALIGNMENT = 64, TENSORS_MAX = 100000 };
const char *const schema_dtype_names[SCHEMA_DTYPES] = {"F32", "F64", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"};
static const size_t dtype_sizes[SCHEMA_DTYPES] = {4, 8, 2, 2, 8, 4, 2, 1, 1, 1};

/* ---- the checksum -------------------------------------------------------------------------------------------------------- */

/* In the metadata, as it is written by JSON_COMPACT: no text inside the header can look the same, because its quotes would be escaped. */
static const char checksum_mark[] = "\"crc32\":\"";
enum { MARK = sizeof checksum_mark - 1, DIGITS = 8 };

/* The eight digits in the header, NULL: there are none. */
static char *digits_in(const void *header, size_t size) {
    char *mark = memmem(header, size, checksum_mark, MARK);
    return mark && (size_t)((const char *)header + size - mark) >= MARK + DIGITS ? mark + MARK : NULL;
}

/* CRC-32 (ISO 3309, as in zlib) of the whole file, its own digits counted as zeros. Continues from crc. */
static uint32_t checksum_of_header(const char *header, size_t size, const char *digits) {
    uint32_t crc = schema_crc32(0, header, (size_t)(digits - header));
    crc = schema_crc32(crc, "00000000", DIGITS);
    return schema_crc32(crc, digits + DIGITS, (size_t)(header + size - digits) - DIGITS);
}

static void put_checksum(char *header, size_t size, const struct schema_tensor *tensors, int32_t count) {
    char text[DIGITS + 1], *digits = digits_in(header, size);
    uint32_t crc = checksum_of_header(header, size, digits);
    for (int32_t i = 0; i < count; i++) crc = schema_crc32(crc, tensors[i].data, tensors[i].bytes);
    snprintf(text, sizeof text, "%08x", crc);
    memcpy(digits, text, DIGITS);
}

/* Files of earlier versions have none. */
static int check_checksum(const char *file, size_t size, size_t header_size, struct bp_error *error) {
    char text[DIGITS + 1];
    const char *digits = digits_in(file, header_size);
    if (!digits) return 0;
    const uint32_t crc = schema_crc32(checksum_of_header(file, header_size, digits), (const char *)file + header_size, size - header_size);
    snprintf(text, sizeof text, "%08x", crc);
    if (memcmp(text, digits, DIGITS) == 0) return 0;
    return bp_error_damaged(error, "the file is damaged: its checksum is %.8s, its header says %.8s; restore it from a backup", text, digits);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

/* metadata is taken. *header is the caller's. */
static int make_header(const struct schema_tensor *tensors, int32_t count, json_t *metadata, char **header, size_t *size, struct bp_error *error) {
    json_t *json = json_object(), *more = metadata;
    size_t offset = 0;
    json_object_set_new(json, "__metadata__", more);
    for (int32_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        for (int32_t k = 0; k < tensors[i].rank; k++) json_array_append_new(shape, json_integer(tensors[i].dims[k]));
        json_object_set_new(json, tensors[i].name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", schema_dtype_names[tensors[i].dtype], "shape", shape, "data_offsets",
                                      (json_int_t)offset, (json_int_t)(offset + tensors[i].bytes)));
        offset += tensors[i].bytes;
    }
    char *text = schema_json_dump(json, JSON_COMPACT);
    json_decref(json);
    size_t length = text ? strlen(text) : 0, padded = (8 + length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    char *out = text ? malloc(padded) : NULL;
    if (!out) {
        free(text);
        return bp_error_memory(error, "no memory for the header of a tensor file");
    }
    uint64_t stated = padded - 8;
    for (int i = 0; i < 8; i++) out[i] = (char)(stated >> (8 * i));
    memcpy(out + 8, text, length);
    memset(out + 8 + length, ' ', padded - 8 - length);
    free(text);
    *header = out;
    *size = padded;
    return 0;
}

int schema_write_all(int fd, const void *bytes, size_t size, struct bp_error *error) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return bp_error_io(error, "%s", n < 0 ? strerror(errno) : "nothing was taken");
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_file(int fd, const struct schema_tensor *tensors, int32_t count, char *header, size_t *size, struct bp_error *error) {
    int failed = schema_write_all(fd, header, *size, error);
    free(header);
    for (int32_t i = 0; i < count && !failed; i++) {
        failed = schema_write_all(fd, tensors[i].data, tensors[i].bytes, error);
        *size += tensors[i].bytes;
    }
    return failed;
}

int schema_safetensors_write(int fd, const struct schema_tensor *tensors, int32_t count, const json_t *metadata, size_t *size,
                             struct bp_error *error) {
    char *header = NULL;
    json_t *more = metadata ? json_copy((json_t *)(uintptr_t)metadata) : json_object();
    json_object_set_new(more, "crc32", json_string("00000000"));
    if (make_header(tensors, count, more, &header, size, error) != 0) return -1;
    put_checksum(header, *size, tensors, count);
    return write_file(fd, tensors, count, header, size, error);
}

int schema_safetensors_write_plain(int fd, const struct schema_tensor *tensors, int32_t count, const json_t *metadata, size_t *size,
                                   struct bp_error *error) {
    char *header = NULL;
    if (make_header(tensors, count, json_copy((json_t *)(uintptr_t)metadata), &header, size, error) != 0) return -1;
    return write_file(fd, tensors, count, header, size, error);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static int read_tensor(const char *name, const json_t *json, const char *data, size_t data_size, struct schema_tensor *out, struct bp_error *error) {
    const char *dtype = json_string_value(json_object_get(json, "dtype"));
    const json_t *shape = json_object_get(json, "shape"), *offsets = json_object_get(json, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0)), end = json_integer_value(json_array_get(offsets, 1));
    int32_t kind = 0;
    while (dtype && kind < SCHEMA_DTYPES && strcmp(dtype, schema_dtype_names[kind]) != 0) kind++;
    if (!dtype || kind == SCHEMA_DTYPES || strlen(name) >= sizeof out->name || json_array_size(shape) > BP_RANK_MAX || json_array_size(offsets) != 2)
        return bp_error_set(error, "", "tensor \"%.60s\" has an unsupported type, shape or offsets", name);
    uint64_t bytes = dtype_sizes[kind];
    for (size_t k = 0; k < json_array_size(shape); k++) {
        json_int_t dim = json_integer_value(json_array_get(shape, k));
        if (dim < 0 || (dim > 0 && bytes > data_size / (uint64_t)dim))
            return bp_error_set(error, "", "tensor \"%.60s\" is larger than its file", name);
        bytes *= (uint64_t)dim;
        out->dims[k] = dim;
    }
    if (begin < 0 || end < begin || (uint64_t)end > data_size || (uint64_t)(end - begin) != bytes)
        return bp_error_set(error, "", "tensor \"%.60s\" has offsets that do not fit its shape or the file", name);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->dtype = (enum schema_dtype)kind;
    out->rank = (int32_t)json_array_size(shape);
    out->data = data + begin;
    out->bytes = (size_t)bytes;
    return 0;
}

int schema_safetensors_read(const void *bytes, size_t size, struct schema_tensor **tensors, int32_t *count, json_t **metadata,
                            struct bp_error *error) {
    const unsigned char *b = bytes;
    uint64_t length = 0;
    if (size < 8) return bp_error_set(error, "", "this is not a tensor file: only %zu bytes", size);
    for (int i = 7; i >= 0; i--) length = length << 8 | b[i];
    if (length > HEADER_MAX || length > size - 8) return bp_error_set(error, "", "this is not a tensor file, or it is truncated");
    if (check_checksum(bytes, size, 8 + (size_t)length, error) != 0) return -1;
    json_error_t where;
    json_t *json = schema_json_load((const char *)b + 8, (size_t)length, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(json) || json_object_size(json) > TENSORS_MAX) {
        const bool no_memory = !json && json_error_code(&where) == json_error_out_of_memory;
        json_decref(json);
        return no_memory ? bp_error_memory(error, "out of memory while reading a tensor file")
                         : bp_error_set(error, "", "the header of this tensor file is damaged");
    }
    struct schema_tensor *out = calloc(json_object_size(json) + 1, sizeof *out);
    int32_t n = 0;
    int failed = out ? 0 : bp_error_memory(error, "out of memory");
    const char *name;
    json_t *item;
    *metadata = NULL;
    json_object_foreach(json, name, item) {
        if (failed) break;
        if (strcmp(name, "__metadata__") == 0) *metadata = json_incref(item);
        else failed = read_tensor(name, item, (const char *)b + 8 + length, size - 8 - (size_t)length, &out[n++], error);
    }
    json_decref(json);
    if (failed) {
        free(out);
        json_decref(*metadata);
        *metadata = NULL;
        return -1;
    }
    *tensors = out;
    *count = n;
    return 0;
}

const struct schema_tensor *schema_safetensors_find(const struct schema_tensor *tensors, int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0) return &tensors[i];
    return NULL;
}
