/* cell.h - one cell of an upload before its column has a type, and a buffer of such cells. Private to schema/. */
#ifndef SCHEMA_CELL_H
#define SCHEMA_CELL_H

#include "engine/base/base.h"

enum schema_cell_kind {
    CELL_MISSING, /* null, an absent key */
    CELL_TEXT,    /* text of unknown type: a cell of CSV */
    CELL_STRING,  /* JSON string: a JSON string is not a number unless the user sets the type */
    CELL_NUMBER,  /* JSON number: text as written, and its value */
    CELL_BOOLEAN, /* JSON true or false: text */
    CELL_ARRAY,   /* JSON array: its text */
    CELL_ROW      /* not a cell: the end of a row; number is its place */
};

struct schema_cell {
    enum schema_cell_kind kind;
    int32_t column;
    const char *text;
    size_t size;
    double number;
};

/* ---- parsing one text ---- */

/* NULL, NA, N/A, NaN in any case, `?`, or nothing. */
bool schema_cell_is_missing(const char *text, size_t size);
/* 1 true, 0 false (in any case), -1 neither. */
int schema_cell_boolean(const char *text, size_t size);
/* Words between blanks. */
int64_t schema_cell_words(const char *text, size_t size);
/* ---- arrays ---- */

/* Reads a JSON array of numbers (null: a missing one, NaN), nested evenly, from text[0..size). Writes the first `room` numbers to out (may be NULL),
 * sets shape and the count of numbers. Returns NULL, or what is wrong with it ("its rows differ in length"). */
const char *schema_cell_array(const char *text, size_t size, float *out, int64_t room, struct bp_shape *shape, int64_t *count);

/* Reads `count` numbers from base64 (RFC 4648; blanks are passed over): so many bytes are u8, four times as many little-endian f32; an f32 that is
 * not a number is missing. Returns NULL, or what is wrong with it. */
const char *schema_cell_base64(const char *text, size_t size, int64_t count, float *out);

/* ---- buffer ---- */

struct schema_cells {
    char *bytes;
    size_t size, room;
    int64_t input; /* bytes of cells put in, as the user sent them */
};

/* Stores a copy; -1 when out of memory. */
int schema_cells_put(struct schema_cells *cells, const struct schema_cell *cell);
/* Walks the cells: start with *at = 0; false at the end. text is borrowed from the buffer. */
bool schema_cells_next(const struct schema_cells *cells, size_t *at, struct schema_cell *cell);
void schema_cells_clear(struct schema_cells *cells);

#endif
