/* rows.h - the rows of a dataset as text, piece by piece: CSV, JSON lines, JSON. What comes out can be uploaded again.
 *
 * Memory is bounded by a piece, some thousand cells and one row, or one cell where that is a tensor, however large the dataset; pages of the
 * mapping that have been written are released. */
#ifndef SCHEMA_DATASET_ROWS_H
#define SCHEMA_DATASET_ROWS_H

#include "schema/dataset/dataset.h"
#include "schema/json/problems.h"

enum schema_rows_format {
    SCHEMA_ROWS_CSV,    /* RFC 4180 with a header; lines end in LF; missing: empty; tensors: a JSON array in quotes */
    SCHEMA_ROWS_NDJSON, /* an object a line; missing: null */
    SCHEMA_ROWS_JSON    /* {"records":[...]} */
};

struct schema_rows_request {
    enum schema_rows_format format;
    const int32_t *columns; /* in this order; NULL: all as they are */
    int32_t columns_count;
    int64_t first, count; /* rows; positions beyond the last row are skipped */
};

/* The columns named in "a,b,\"with, comma\"": a list of distinct ones of the dataset. *columns is the caller's (free). */
int schema_dataset_columns_parse(const struct schema_dataset *dataset, const char *text, int32_t **columns, int32_t *count,
                                 struct schema_problems *problems);

struct schema_rows;
/* The dataset must outlive it and have no other user, because it releases pages. The result is the caller's; NULL when out of memory. */
struct schema_rows *schema_rows_new(const struct schema_dataset *dataset, const struct schema_rows_request *request);
/* The next piece of about 64 KB, borrowed until the next call; *size 0: that was all. -1: no memory. */
int schema_rows_next(struct schema_rows *rows, const char **bytes, size_t *size);
/* One row instead: CSV or an object, without the end of its line; no header. -1: no memory; there is to be a next row. */
int schema_rows_line(struct schema_rows *rows, const char **bytes, size_t *size);
/* Lines go on with that row. */
void schema_rows_seek(struct schema_rows *rows, int64_t row);
void schema_rows_free(struct schema_rows *rows);

#endif
