/* rows.c - from column blocks to lines of text. Sections: rows, and naming columns. Cells are written by their types, with row_writer.h.
 *
 * A chunk of rows is read column by column into plain arrays, then written row by row. */
#include "schema/dataset/row_writer.h"
#include "schema/text/text.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_CELLS = 8192,     /* read at once, as a number of rows */
    CHUNK_ROWS = 1024,      /* at most */
    WINDOW_BYTES = 4 << 20, /* of the file: what is resident at most, and as much that is read ahead */
    AHEAD_COLUMNS = 64      /* with more columns the kernel's own reading ahead has to do */
};

/* ---- rows ---- */

/* Reads the column's cells of the chunk; those that are neither numbers nor codes are read one by one. */
static void load(struct schema_rows *r, const struct rows_column *c) {
    const int64_t n = r->chunk_end - r->chunk_first;
    if (c->numbers) schema_dataset_numbers(r->dataset, c->index, r->chunk_first, n, c->numbers);
    if (c->codes) schema_dataset_gather_codes(r->dataset, c->index, r->numbers, n, c->codes);
}

/* The previous window is released, the next one is prefetched. */
static void move_window(struct schema_rows *r) {
    schema_dataset_release(r->dataset);
    for (int32_t c = 0; c < r->columns_count && r->columns_count <= AHEAD_COLUMNS; c++)
        schema_dataset_advise(r->dataset, r->columns[c].index, r->row, 2 * r->window < r->end - r->row ? 2 * r->window : r->end - r->row, true);
    r->window_end = r->row + r->window;
}

static void next_chunk(struct schema_rows *r) {
    if (r->row >= r->window_end) move_window(r);
    r->chunk_first = r->row;
    r->chunk_end = r->end - r->row < r->chunk_rows ? r->end : r->row + r->chunk_rows;
    for (int64_t i = 0; i < r->chunk_end - r->chunk_first; i++) r->numbers[i] = r->chunk_first + i;
    for (int32_t c = 0; c < r->columns_count; c++) load(r, &r->columns[c]);
}

/* Continues a row; false: the piece is full before its end. */
static bool write_row(struct schema_rows *r) {
    const bool csv = r->format == SCHEMA_ROWS_CSV;
    for (; r->at < r->columns_count; r->at++) {
        const struct rows_column *c = &r->columns[r->at];
        if (r->element == 0) {
            if (r->at > 0) schema_piece_byte(&r->piece, ',');
            else if (!csv) schema_piece_byte(&r->piece, '{');
            if (!csv) schema_piece_add(&r->piece, c->key, c->key_size);
        }
        if (!c->write(r, c)) return false;
    }
    r->at = 0, r->row++;
    if (!csv) schema_piece_byte(&r->piece, '}');
    if (r->format == SCHEMA_ROWS_JSON && r->row < r->end) schema_piece_byte(&r->piece, ',');
    schema_piece_byte(&r->piece, '\n');
    return true;
}

static void begin(struct schema_rows *r) {
    r->begun = true;
    if (r->format == SCHEMA_ROWS_JSON) schema_piece_add(&r->piece, "{\"records\":[\n", 13);
    for (int32_t c = 0; c < r->columns_count && r->format == SCHEMA_ROWS_CSV; c++) {
        if (c) schema_piece_byte(&r->piece, ',');
        schema_piece_csv_text(&r->piece, r->columns[c].column->name, strlen(r->columns[c].column->name));
    }
    if (r->format == SCHEMA_ROWS_CSV) schema_piece_byte(&r->piece, '\n');
}

int schema_rows_next(struct schema_rows *r, const char **bytes, size_t *size) {
    struct schema_piece *p = &r->piece;
    p->size = 0;
    if (!r->begun) begin(r);
    while (r->row < r->end && p->size < SCHEMA_ROWS_PIECE && !p->failed) {
        if (r->row >= r->chunk_end) next_chunk(r);
        if (!write_row(r)) break;
    }
    if (r->row == r->end && !r->ended) {
        r->ended = true;
        if (r->format == SCHEMA_ROWS_JSON) schema_piece_add(p, "]}\n", 3);
        schema_dataset_release(r->dataset);
    }
    *bytes = p->bytes, *size = p->size;
    return p->failed ? -1 : 0;
}

int schema_rows_line(struct schema_rows *r, const char **bytes, size_t *size) {
    struct schema_piece *p = &r->piece;
    p->size = 0;
    if (r->row >= r->chunk_end) next_chunk(r);
    while (!write_row(r) && !p->failed) continue;
    *bytes = p->bytes, *size = p->size ? p->size - 1 : 0;
    return p->failed ? -1 : 0;
}

void schema_rows_seek(struct schema_rows *r, int64_t row) {
    r->row = r->chunk_first = r->chunk_end = row;
    r->at = 0, r->element = 0;
    if (row + r->window < r->window_end) r->window_end = row; /* backwards */
}

static bool column_new(struct schema_rows *r, struct rows_column *c, int32_t index) {
    struct schema_piece key = {0};
    c->index = index, c->column = &r->dataset->columns[index], c->per_cell = 1;
    for (int32_t d = 0; d < c->column->shape.rank; d++) c->per_cell *= c->column->shape.dims[d];
    schema_piece_json_text(&key, c->column->name, strlen(c->column->name));
    schema_piece_byte(&key, ':');
    c->key = key.bytes ? realloc(key.bytes, key.size) : NULL;
    c->key_size = key.size;
    const struct schema_type_ops *type = schema_type_of(c->column->type);
    const enum schema_storage storage = type->storage;
    c->write = type->write;
    const bool numbers = storage == SCHEMA_HELD_AS_NUMBER, codes = storage == SCHEMA_HELD_AS_CODE;
    if (numbers) c->numbers = malloc((size_t)r->chunk_rows * sizeof *c->numbers);
    if (codes) c->codes = malloc((size_t)r->chunk_rows * sizeof *c->codes);
    return c->key && !key.failed && (!numbers || c->numbers) && (!codes || (c->codes && schema_rows_print_categories(r, c)));
}

static bool columns_new(struct schema_rows *r, const int32_t *chosen) {
    int64_t largest = 1;
    r->columns = calloc((size_t)r->columns_count + 1, sizeof *r->columns);
    r->numbers = malloc((size_t)r->chunk_rows * sizeof *r->numbers);
    if (!r->columns || !r->numbers) return false;
    for (int32_t i = 0; i < r->columns_count; i++) {
        struct rows_column *c = &r->columns[i];
        if (!column_new(r, c, chosen ? chosen[i] : i)) return false;
        largest = c->per_cell > largest ? c->per_cell : largest;
    }
    r->tensor = malloc((size_t)largest * sizeof *r->tensor);
    return r->tensor != NULL;
}

struct schema_rows *schema_rows_new(const struct schema_dataset *dataset, const struct schema_rows_request *request) {
    struct schema_rows *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->dataset = dataset, r->format = request->format;
    r->row = request->first < 0 ? 0 : request->first > dataset->rows ? dataset->rows : request->first;
    r->end = request->count < dataset->rows - r->row ? r->row + (request->count > 0 ? request->count : 0) : dataset->rows;
    r->chunk_first = r->chunk_end = r->row;
    r->columns_count = request->columns ? request->columns_count : dataset->columns_count;
    r->chunk_rows = CHUNK_CELLS / (r->columns_count + 1);
    if (r->chunk_rows > CHUNK_ROWS) r->chunk_rows = CHUNK_ROWS;
    if (r->chunk_rows < 1) r->chunk_rows = 1;
    r->window = dataset->bytes > WINDOW_BYTES ? (int64_t)((double)dataset->rows * WINDOW_BYTES / (double)dataset->bytes) : dataset->rows;
    if (r->window < 1) r->window = 1;
    if (columns_new(r, request->columns)) return r;
    schema_rows_free(r);
    return NULL;
}

void schema_rows_free(struct schema_rows *r) {
    if (!r) return;
    for (int32_t i = 0; r->columns && i < r->columns_count; i++) {
        free(r->columns[i].key);
        free(r->columns[i].numbers);
        free(r->columns[i].codes);
        free(r->columns[i].categories.bytes);
        free(r->columns[i].category_ends);
    }
    free(r->columns);
    free(r->numbers);
    free(r->tensor);
    free(r->piece.bytes);
    free(r);
}

/* ---- naming columns ---- */

static const char *column_name(const void *dataset, int32_t i) {
    return ((const struct schema_dataset *)dataset)->columns[i].name;
}

/* The next name of the list, unquoted, into `name`, which has space for the whole list. */
static const char *take_name(const char *p, char *name) {
    const bool quoted = *p == '"';
    for (p += quoted; *p && (quoted || *p != ','); p++) {
        if (quoted && *p == '"' && *++p != '"') break;
        *name++ = *p;
    }
    *name = '\0';
    return p;
}

int schema_dataset_columns_parse(const struct schema_dataset *dataset, const char *text, int32_t **columns, int32_t *count,
                                 struct schema_problems *problems) {
    char *name = malloc(strlen(text) + 1), meant[96];
    bool *taken = calloc((size_t)dataset->columns_count + 1, sizeof *taken);
    int32_t *list = malloc(((size_t)dataset->columns_count + 1) * sizeof *list), n = 0;
    int failed = 0;
    if (!name || !taken || !list) failed = schema_problem_no_memory(problems);
    for (const char *p = text; !failed;) {
        p = take_name(p, name);
        const int32_t at = schema_dataset_find(dataset, name);
        if (*p && *p != ',') failed = schema_problem_add(problems, NULL, "columns: expected a comma after the quoted name \"%.60s\"", name);
        else if (at < 0) {
            const char *near = dataset->columns_count < 10000 ? schema_nearest(name, column_name, dataset, dataset->columns_count) : NULL;
            failed =
                schema_problem_add(problems, NULL, "columns: there is no column \"%.60s\"%s", name, schema_did_you_mean(near, meant, sizeof meant));
        } else if (taken[at]) failed = schema_problem_add(problems, NULL, "columns: \"%.60s\" is named twice", name);
        else taken[at] = true, list[n++] = at;
        if (!*p) break;
        p++;
    }
    free(name);
    free(taken);
    if (failed) free(list), list = NULL;
    *columns = list, *count = failed ? 0 : n;
    return failed;
}
