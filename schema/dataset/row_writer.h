/* row_writer.h - what the types need to write the cells of rows as text: the piece that grows, texts as CSV and as JSON, missing cells. Private to
 * schema/. */
#ifndef SCHEMA_DATASET_ROW_WRITER_H
#define SCHEMA_DATASET_ROW_WRITER_H

#include "schema/dataset/rows.h"
#include "schema/types.h"

#include <string.h>

enum { SCHEMA_ROWS_PIECE = 64 << 10 /* bytes; a row more may be in it */ };

struct schema_piece {
    char *bytes;
    size_t size, room;
    bool failed;
};

struct rows_column {
    int32_t index;
    const struct schema_column *column;
    bool (*write)(struct schema_rows *rows, const struct rows_column *column); /* that of its type */
    char *key;                                                                 /* "name": as JSON, with its colon */
    size_t key_size;
    struct schema_piece categories; /* few of them: their texts in the format of the rows, one after another */
    uint32_t *category_ends;        /* where each of them ends; NULL: they are written anew for each cell */
    double *numbers;                /* held as numbers: those of the chunk */
    int32_t *codes;                 /* held as codes: those of the chunk, -1 when missing */
    int64_t per_cell;
};

struct schema_rows {
    const struct schema_dataset *dataset;
    enum schema_rows_format format;
    struct rows_column *columns;
    int32_t columns_count;
    int64_t row, end;                       /* the next row, and the last but one */
    int64_t chunk_first, chunk_end;         /* rows of the arrays */
    int64_t chunk_rows, window, window_end; /* rows of a chunk, of a window; where the present one ends */
    int32_t at;                             /* the next column of the row */
    int64_t element;                        /* the next number of a tensor that is begun; 0: none */
    float *tensor;                          /* its numbers */
    int64_t *numbers;                       /* row numbers of a chunk, for codes */
    struct schema_piece piece;
    bool begun, ended;
};

/* Where the cell of the current row is in the arrays of the chunk. */
static inline int64_t schema_rows_place(const struct schema_rows *rows) {
    return rows->row - rows->chunk_first;
}

/* ---- the growing piece; without memory it is marked as failed ---- */

/* Space for more bytes, in a larger block; NULL when out of memory. */
char *schema_piece_grow(struct schema_piece *piece, size_t more);

static inline char *schema_piece_space(struct schema_piece *piece, size_t more) {
    return more <= piece->room - piece->size && !piece->failed ? piece->bytes + piece->size : schema_piece_grow(piece, more);
}

static inline void schema_piece_add(struct schema_piece *piece, const char *bytes, size_t size) {
    char *to = schema_piece_space(piece, size);
    if (!to) return;
    memcpy(to, bytes, size);
    piece->size += size;
}

static inline void schema_piece_byte(struct schema_piece *piece, char byte) {
    char *to = schema_piece_space(piece, 1);
    if (to) *to = byte, piece->size++;
}

void schema_piece_number(struct schema_piece *piece, double number);
void schema_piece_float(struct schema_piece *piece, float number);
/* With quotes where CSV needs them; always, as JSON does. */
void schema_piece_csv_text(struct schema_piece *piece, const char *text, size_t size);
void schema_piece_json_text(struct schema_piece *piece, const char *text, size_t size);

/* ---- cells in the format of the rows ---- */

void schema_rows_text(struct schema_rows *rows, const char *text, size_t size);
/* Prepares schema_rows_category; false: out of memory. */
bool schema_rows_print_categories(const struct schema_rows *rows, struct rows_column *column);
void schema_rows_category(struct schema_rows *rows, const struct rows_column *column, int32_t code);
void schema_rows_missing(struct schema_rows *rows);

#endif
