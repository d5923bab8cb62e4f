/* array.h - a dense array as rows: what NPY, NPZ and IDX share once they have read their headers. Private to formats/.
 *
 * The first dimension is the rows. One dimension is a column (of booleans a boolean one), two are columns name0, name1, ..., more are a tensor
 * column. */
#ifndef SCHEMA_ARRAY_H
#define SCHEMA_ARRAY_H

#include "schema/ingest/sink.h"

enum { ARRAY_RANK_MAX = BP_RANK_MAX + 1 };

struct array {
    char kind;     /* b, i, u, f, as NumPy calls them */
    uint8_t bytes; /* of one value: 1, 2, 4, 8 */
    bool big;      /* endian */
    bool fortran;  /* the first index runs fastest */
    int32_t rank;
    int64_t dims[ARRAY_RANK_MAX];
    /* set by array_check */
    int64_t per_row;
    /* set by array_declare */
    bool tensor;
    int32_t first, columns; /* its columns in the ingest */
};

/* Whether these values can be held at all and all sizes are sane; what: "the array", "member \"x\"". Sets per_row. */
int array_check(struct array *array, const char *what, struct schema_problems *problems);
size_t array_row_bytes(const struct array *array);
/* Names the columns; the caller starts the ingest when all arrays have theirs. The first `rows` rows of values decide whether integers of 8 bytes are
 * numbers, or codes of more digits than a number holds. */
int array_declare(struct schema_ingest *ingest, struct array *array, const char *name, const unsigned char *values, int64_t rows,
                  struct schema_problems *problems);
/* The row that has begun takes the values at `row`, array_row_bytes of them in C order. */
int array_put(struct schema_ingest *ingest, const struct array *array, const unsigned char *row, struct schema_problems *problems);
/* Collects row i of an array in Fortran order that starts at `start`, as array_put wants it. */
void array_gather(const struct array *array, const unsigned char *start, int64_t i, unsigned char *row);

/* ---- one array that arrives in C order ---- */

struct array_stream {
    struct array array;
    unsigned char *held; /* the beginning of a row whose end has not arrived yet */
    size_t held_size;
    unsigned char *sample; /* the first rows, until they have decided what the columns are */
    size_t sample_size;
    bool begun;
    int64_t rows; /* done */
};

/* stream->array is set and checked. */
int array_stream_start(struct schema_ingest *ingest, struct array_stream *stream, struct schema_problems *problems);
/* Where array_stream_start has left that open: declares the columns by the first rows. */
int array_stream_begin(struct schema_ingest *ingest, struct array_stream *stream, const unsigned char *values, int64_t rows,
                       struct schema_problems *problems);
int array_stream_feed(struct schema_ingest *ingest, struct array_stream *stream, const char *bytes, size_t size, struct schema_problems *problems);
int array_stream_finish(struct schema_ingest *ingest, struct array_stream *stream, struct schema_problems *problems);
void array_stream_clear(struct array_stream *stream);

#endif
