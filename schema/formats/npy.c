/* npy.c - one array as numpy.save writes it. In C order it streams; in Fortran order (as pandas often has it) its rows lie scattered, so it is kept
 * until it is complete. */
#include "schema/formats/npy_header.h"
#include "schema/formats/spool.h"

#include <stdlib.h>
#include <string.h>

enum { RELEASE = 2 << 20 };

struct npy {
    char header[NPY_HEADER_MAX];
    size_t header_size; /* so far */
    bool begun;         /* after the header */
    struct array_stream stream;
    struct spool spool; /* Fortran order */
};

static int npy_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    struct npy *npy = calloc(1, sizeof *npy);
    (void)ingest;
    if (!npy) return schema_ingest_no_memory(problems);
    npy->spool.fd = -1;
    *state = npy;
    return 0;
}

static int begin(struct schema_ingest *ingest, struct npy *npy, struct schema_problems *problems) {
    npy->begun = true;
    if (array_stream_start(ingest, &npy->stream, problems)) return -1;
    return npy->stream.array.fortran ? spool_open(&npy->spool, ingest->fd, problems) : 0;
}

static int data(struct schema_ingest *ingest, struct npy *npy, const char *bytes, size_t size, struct schema_problems *problems) {
    return npy->stream.array.fortran ? spool_add(&npy->spool, bytes, size, problems) : array_stream_feed(ingest, &npy->stream, bytes, size, problems);
}

static int npy_feed(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems) {
    struct npy *npy = state;
    if (npy->begun) return data(ingest, npy, bytes, size, problems);
    const size_t before = npy->header_size, n = NPY_HEADER_MAX - before < size ? NPY_HEADER_MAX - before : size;
    memcpy(npy->header + before, bytes, n);
    npy->header_size += n;
    int64_t header = npy_header(npy->header, npy->header_size, "the array", &npy->stream.array, problems);
    if (header <= 0) return (int)header;
    if (begin(ingest, npy, problems)) return -1;
    const size_t used = (size_t)header - before;
    return used < size ? data(ingest, npy, bytes + used, size - used, problems) : 0;
}

/* The rows of an array in Fortran order, now that all of it is here. */
static int scattered(struct schema_ingest *ingest, struct npy *npy, struct schema_problems *problems) {
    struct array_stream *s = &npy->stream;
    const size_t row = array_row_bytes(&s->array);
    if (spool_map(&npy->spool, problems)) return -1;
    const size_t size = (size_t)(npy->spool.end - npy->spool.start);
    if (size < row * (size_t)s->array.dims[0] && ingest->options.part)
        return schema_problem_add(
            problems, NULL, "the array is in Fortran order, which cannot be inspected in part; send the whole file, or use numpy.ascontiguousarray");
    if (size != row * (size_t)s->array.dims[0])
        return schema_problem_add(problems, NULL, "the file is damaged: its header declares %zu bytes of values, it has %zu",
                                  row * (size_t)s->array.dims[0], size);
    if (!s->begun && array_stream_begin(ingest, s, (const unsigned char *)npy->spool.start, s->array.dims[0], problems)) return -1;
    for (size_t done = 0; s->rows < s->array.dims[0]; s->rows++, done += row) {
        array_gather(&s->array, (const unsigned char *)npy->spool.start, s->rows, s->held);
        if (schema_ingest_row_begin(ingest, s->rows, problems) || array_put(ingest, &s->array, s->held, problems) ||
            schema_ingest_row_end(ingest, problems))
            return -1;
        if (done > RELEASE) spool_release(&npy->spool, npy->spool.start, npy->spool.end), done = 0;
    }
    return 0;
}

static int npy_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems) {
    struct npy *npy = state;
    if (!npy->begun)
        return schema_problem_add(problems, NULL,
                                  npy->header_size ? "the file is truncated within its header" : "the file is empty; expected an array");
    return npy->stream.array.fortran ? scattered(ingest, npy, problems) : array_stream_finish(ingest, &npy->stream, problems);
}

static void npy_close(void *state) {
    struct npy *npy = state;
    spool_close(&npy->spool);
    array_stream_clear(&npy->stream);
    free(npy);
}

extern const struct schema_format_ops schema_format_npy;
const struct schema_format_ops schema_format_npy = {
    .entry = {.name = "npy", .summary = "An array of NumPy: one dimension is a column, two are columns, more are a tensor column"},
    .content_type = "application/x-npy",
    .open = npy_open,
    .feed = npy_feed,
    .finish = npy_finish,
    .close = npy_close,
};
