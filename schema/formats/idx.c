/* idx.c - an array as MNIST's own files have it: 0, 0, the kind of its values, the number of dimensions, each dimension with 4 bytes, values, all
 * big-endian. Images of bytes (N, H, W) become a tensor column H, W, 1. */
#include "schema/formats/array.h"

#include <stdlib.h>
#include <string.h>

struct idx {
    unsigned char header[4 + 4 * 255];
    size_t header_size; /* so far */
    bool begun;         /* after the header */
    struct array_stream stream;
};

static int idx_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    (void)ingest;
    *state = calloc(1, sizeof(struct idx));
    return *state ? 0 : schema_ingest_no_memory(problems);
}

/* The whole header is in h. */
static int begin(struct schema_ingest *ingest, struct idx *idx, struct schema_problems *problems) {
    static const struct {
        unsigned char code;
        char kind;
        uint8_t bytes;
    } kinds[] = {{0x08, 'u', 1}, {0x09, 'i', 1}, {0x0B, 'i', 2}, {0x0C, 'i', 4}, {0x0D, 'f', 4}, {0x0E, 'f', 8}};
    struct array *a = &idx->stream.array;
    *a = (struct array){.kind = '?', .big = true, .rank = idx->header[3]};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].code == idx->header[2]) a->kind = kinds[i].kind, a->bytes = kinds[i].bytes;
    for (int32_t d = 0; d < a->rank && d < ARRAY_RANK_MAX; d++) {
        const unsigned char *p = idx->header + 4 + 4 * d;
        a->dims[d] = (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    }
    if (a->rank == 3 && a->kind == 'u') a->dims[a->rank++] = 1; /* one channel */
    idx->begun = true;
    return array_check(a, "the array", problems) ? -1 : array_stream_start(ingest, &idx->stream, problems);
}

static int idx_feed(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems) {
    struct idx *idx = state;
    while (!idx->begun && size > 0) {
        idx->header[idx->header_size++] = (unsigned char)*bytes++, size--;
        const size_t n = idx->header_size;
        if (n <= 2 && idx->header[n - 1] != 0)
            return schema_problem_add(problems, NULL, "this is not an IDX file: it does not begin with two zero bytes");
        if (n >= 4 && n == 4 + 4 * (size_t)idx->header[3] && begin(ingest, idx, problems)) return -1;
    }
    return size > 0 ? array_stream_feed(ingest, &idx->stream, bytes, size, problems) : 0;
}

static int idx_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems) {
    struct idx *idx = state;
    if (idx->begun) return array_stream_finish(ingest, &idx->stream, problems);
    return schema_problem_add(problems, NULL, idx->header_size ? "the file is truncated within its header" : "the file is empty; expected an array");
}

static void idx_close(void *state) {
    struct idx *idx = state;
    array_stream_clear(&idx->stream);
    free(idx);
}

extern const struct schema_format_ops schema_format_idx;
const struct schema_format_ops schema_format_idx = {
    .entry = {.name = "idx", .summary = "An array in the format of MNIST's files: labels are a column, images a tensor column"},
    .content_type = "application/x-idx",
    .open = idx_open,
    .feed = idx_feed,
    .finish = idx_finish,
    .close = idx_close,
};
