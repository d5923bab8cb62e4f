/* rows.c - from column blocks to lines of text. Sections: the growing piece, texts, cells, rows, and naming columns.
 *
 * A chunk of rows is read column by column into plain arrays, then written row by row. A type of column is known in two places: `load` (what is
 * read of it) and `write_cell`. */
#include "schema/dataset/rows.h"

#include "schema/text/datetime.h"
#include "schema/text/number_print.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE = 64 << 10,         /* bytes; a row more may be in it */
    CHUNK_CELLS = 8192,       /* read at once, as a number of rows */
    CHUNK_ROWS = 1024,        /* at most */
    WINDOW_BYTES = 4 << 20,   /* of the file: what is resident at most, and as much that is read ahead */
    AHEAD_COLUMNS = 64,       /* with more columns the kernel's own reading ahead has to do */
    PIECE_MAX = INT32_MAX / 2 /* of one row; uploads have no longer ones */
};

struct piece {
    char *bytes;
    size_t size, room;
    bool failed;
};

struct rows_column {
    int32_t index;
    const struct schema_column *column;
    char *key; /* "name": as JSON, with its colon */
    size_t key_size;
    double *numbers; /* NUMERIC: of the chunk */
    int32_t *codes;  /* CATEGORICAL, BOOLEAN: of the chunk */
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
    struct piece piece;
    bool begun, ended;
};

/* ---- the growing piece ---- */

/* Space for more bytes; NULL when out of memory. */
static char *space(struct piece *p, size_t more) {
    if (p->failed) return NULL;
    if (more <= p->room - p->size) return p->bytes + p->size;
    if (more > PIECE_MAX || p->size > PIECE_MAX) return p->failed = true, NULL;
    size_t room = p->room ? p->room : PIECE + (PIECE >> 2);
    while (room - p->size < more) room *= 2;
    char *bytes = realloc(p->bytes, room);
    if (!bytes) return p->failed = true, NULL;
    p->bytes = bytes, p->room = room;
    return bytes + p->size;
}

static void add(struct piece *p, const char *bytes, size_t size) {
    char *to = space(p, size);
    if (!to) return;
    memcpy(to, bytes, size);
    p->size += size;
}

static void add_byte(struct piece *p, char byte) {
    char *to = space(p, 1);
    if (to) *to = byte, p->size++;
}

static void add_number(struct piece *p, double number) {
    char *to = space(p, SCHEMA_NUMBER_PRINTED);
    if (to) p->size += schema_number_print(number, to);
}

static void add_float(struct piece *p, float number) {
    char *to = space(p, SCHEMA_NUMBER_PRINTED);
    if (to) p->size += schema_number_print_float(number, to);
}

/* ---- texts ---- */

/* What CSV has to quote, and the separators and quotes that readers guess from; blanks at the ends would be taken for padding. */
static bool needs_quotes(const char *text, size_t size) {
    if (size == 0 || text[0] == ' ' || text[size - 1] == ' ') return true;
    for (size_t i = 0; i < size; i++) switch (text[i]) {
        case ',':
        case '"':
        case '\n':
        case '\r':
        case '\t':
        case ';':
        case '|':
        case '\'': return true;
        default: break;
        }
    return false;
}

static void add_csv_text(struct piece *p, const char *text, size_t size) {
    if (!needs_quotes(text, size)) {
        add(p, text, size);
        return;
    }
    add_byte(p, '"');
    const char *from = text, *const end = text + size;
    for (const char *quote; (quote = memchr(from, '"', (size_t)(end - from))); from = quote + 1) {
        add(p, from, (size_t)(quote + 1 - from));
        add_byte(p, '"');
    }
    add(p, from, (size_t)(end - from));
    add_byte(p, '"');
}

static void add_json_text(struct piece *p, const char *text, size_t size) {
    static const char hex[] = "0123456789abcdef";
    add_byte(p, '"');
    const char *from = text;
    for (const char *c = text; c < text + size; c++) {
        const unsigned char byte = (unsigned char)*c;
        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        add(p, from, (size_t)(c - from));
        const char escape[] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, plain[] = {'\\', *c};
        if (byte < 0x20) add(p, escape, sizeof escape);
        else add(p, plain, sizeof plain);
        from = c + 1;
    }
    add(p, from, (size_t)(text + size - from));
    add_byte(p, '"');
}

/* ---- cells ---- */

static void add_text(struct schema_rows *r, const char *text, size_t size) {
    if (r->format == SCHEMA_ROWS_CSV) add_csv_text(&r->piece, text, size);
    else add_json_text(&r->piece, text, size);
}

static void add_category(struct schema_rows *r, const struct rows_column *c, int32_t code) {
    const char *text = c->column->categories[code].value;
    add_text(r, text, strlen(text));
}

static void add_datetime(struct schema_rows *r, const struct rows_column *c, double seconds) {
    char text[SCHEMA_DATETIME_TEXT];
    schema_datetime_text(seconds, c->column->days, text);
    add_text(r, text, strlen(text));
}

/* A row of a single empty cell would be a blank line, which readers skip. */
static void add_missing(struct schema_rows *r) {
    if (r->format != SCHEMA_ROWS_CSV) add(&r->piece, "null", 4);
    else if (r->columns_count == 1) add(&r->piece, "\"\"", 2);
}

/* How many arrays begin before element i, or end with element i - 1. */
static int32_t edges(const struct bp_shape *shape, int64_t i) {
    int64_t size = 1;
    int32_t n = 0;
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
        size *= shape->dims[d];
        if (i % size) break;
        n++;
    }
    return n;
}

/* Continues a tensor; true when it is complete, false when the piece is full before. */
static bool write_tensor(struct schema_rows *r, const struct rows_column *c) {
    const struct bp_shape *shape = &c->column->shape;
    if (r->element == 0) {
        int64_t missing = 0;
        schema_dataset_tensor(r->dataset, c->index, r->row, r->tensor);
        while (missing < c->per_cell && isnan(r->tensor[missing])) missing++;
        if (missing == c->per_cell) return add_missing(r), true;
        if (r->format == SCHEMA_ROWS_CSV) add_byte(&r->piece, '"');
    }
    for (; r->element < c->per_cell && r->piece.size < PIECE; r->element++) {
        if (r->element) add_byte(&r->piece, ',');
        for (int32_t i = edges(shape, r->element); i > 0; i--) add_byte(&r->piece, '[');
        const float number = r->tensor[r->element];
        if (isfinite(number)) add_float(&r->piece, number);
        else add(&r->piece, "null", 4);
        for (int32_t i = edges(shape, r->element + 1); i > 0; i--) add_byte(&r->piece, ']');
    }
    if (r->element < c->per_cell) return false;
    r->element = 0;
    if (r->format == SCHEMA_ROWS_CSV) add_byte(&r->piece, '"');
    return true;
}

/* In CSV a number of a column whose thousands are in groups by points is not to look like one of these: 2.345 becomes 2.3450. */
static void add_number_of(struct schema_rows *r, const struct schema_column *column, double number) {
    const size_t before = r->piece.size;
    add_number(&r->piece, number);
    if (!column->format || r->format != SCHEMA_ROWS_CSV || r->piece.failed || !strstr(column->format, "thousands_point")) return;
    const char *text = r->piece.bytes + before;
    const size_t size = r->piece.size - before, sign = *text == '-', point = strcspn(text, ".");
    if (size > 4 && point == size - 4 && point - sign <= 3) add_byte(&r->piece, '0');
}

/* A JSON list, in CSV with its quotes doubled. */
static void write_labels(struct schema_rows *r, const struct rows_column *c) {
    struct schema_label_walk walk;
    struct piece list = {0};
    if (!schema_dataset_labels(r->dataset, c->index, r->row, &walk)) {
        add_missing(r);
        return;
    }
    add_byte(&list, '[');
    for (int32_t code; (code = schema_label_next(&walk)) >= 0;) {
        const char *label = c->column->categories[code].value;
        if (list.size > 1) add_byte(&list, ',');
        add_json_text(&list, label, strlen(label));
    }
    add_byte(&list, ']');
    r->piece.failed = r->piece.failed || list.failed;
    if (r->format != SCHEMA_ROWS_CSV) add(&r->piece, list.bytes, list.size);
    else if (!list.failed) add_csv_text(&r->piece, list.bytes, list.size);
    free(list.bytes);
}

/* False: the piece is full and the cell not complete. */
static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    const int64_t i = r->row - r->chunk_first;
    switch (c->column->type) {
    case SCHEMA_NUMERIC:
        if (isfinite(c->numbers[i])) add_number_of(r, c->column, c->numbers[i]);
        else add_missing(r);
        break;
    case SCHEMA_CATEGORICAL:
        if (c->codes[i] >= 0) add_category(r, c, c->codes[i]);
        else add_missing(r);
        break;
    case SCHEMA_BOOLEAN:
        if (c->codes[i] < 0) add_missing(r);
        else if (r->format == SCHEMA_ROWS_CSV) add_category(r, c, c->codes[i]);
        else add(&r->piece, c->codes[i] ? "true" : "false", c->codes[i] ? 4 : 5);
        break;
    case SCHEMA_TENSOR: return write_tensor(r, c);
    case SCHEMA_DATETIME:
        if (isfinite(c->numbers[i])) add_datetime(r, c, c->numbers[i]);
        else add_missing(r);
        break;
    case SCHEMA_LABELS: write_labels(r, c); break;
    case SCHEMA_TEXT: {
        size_t size;
        const char *text = schema_dataset_text(r->dataset, c->index, r->row, &size);
        if (text) add_text(r, text, size);
        else add_missing(r);
        break;
    }
    }
    return true;
}

/* ---- rows ---- */

/* Reads the column's cells of the chunk. */
static void load(struct schema_rows *r, const struct rows_column *c) {
    const int64_t n = r->chunk_end - r->chunk_first;
    switch (c->column->type) {
    case SCHEMA_NUMERIC:
    case SCHEMA_DATETIME: schema_dataset_numbers(r->dataset, c->index, r->chunk_first, n, c->numbers); break;
    case SCHEMA_CATEGORICAL:
    case SCHEMA_BOOLEAN: schema_dataset_gather_codes(r->dataset, c->index, r->numbers, n, c->codes); break;
    case SCHEMA_TENSOR:
    case SCHEMA_LABELS:
    case SCHEMA_TEXT: break; /* cell by cell */
    }
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
            if (r->at > 0) add_byte(&r->piece, ',');
            else if (!csv) add_byte(&r->piece, '{');
            if (!csv) add(&r->piece, c->key, c->key_size);
        }
        if (!write_cell(r, c)) return false;
    }
    r->at = 0, r->row++;
    if (!csv) add_byte(&r->piece, '}');
    if (r->format == SCHEMA_ROWS_JSON && r->row < r->end) add_byte(&r->piece, ',');
    add_byte(&r->piece, '\n');
    return true;
}

static void begin(struct schema_rows *r) {
    r->begun = true;
    if (r->format == SCHEMA_ROWS_JSON) add(&r->piece, "{\"records\":[\n", 13);
    for (int32_t c = 0; c < r->columns_count && r->format == SCHEMA_ROWS_CSV; c++) {
        if (c) add_byte(&r->piece, ',');
        add_csv_text(&r->piece, r->columns[c].column->name, strlen(r->columns[c].column->name));
    }
    if (r->format == SCHEMA_ROWS_CSV) add_byte(&r->piece, '\n');
}

int schema_rows_next(struct schema_rows *r, const char **bytes, size_t *size) {
    struct piece *p = &r->piece;
    p->size = 0;
    if (!r->begun) begin(r);
    while (r->row < r->end && p->size < PIECE && !p->failed) {
        if (r->row >= r->chunk_end) next_chunk(r);
        if (!write_row(r)) break;
    }
    if (r->row == r->end && !r->ended) {
        r->ended = true;
        if (r->format == SCHEMA_ROWS_JSON) add(p, "]}\n", 3);
        schema_dataset_release(r->dataset);
    }
    *bytes = p->bytes, *size = p->size;
    return p->failed ? -1 : 0;
}

static bool column_new(struct schema_rows *r, struct rows_column *c, int32_t index) {
    struct piece key = {0};
    c->index = index, c->column = &r->dataset->columns[index], c->per_cell = 1;
    for (int32_t d = 0; d < c->column->shape.rank; d++) c->per_cell *= c->column->shape.dims[d];
    add_json_text(&key, c->column->name, strlen(c->column->name));
    add_byte(&key, ':');
    c->key = key.bytes ? realloc(key.bytes, key.size) : NULL;
    c->key_size = key.size;
    if (schema_type_is_number(c->column->type)) c->numbers = malloc((size_t)r->chunk_rows * sizeof *c->numbers);
    if (c->column->type == SCHEMA_CATEGORICAL || c->column->type == SCHEMA_BOOLEAN) c->codes = malloc((size_t)r->chunk_rows * sizeof *c->codes);
    return c->key && !key.failed;
}

static bool columns_new(struct schema_rows *r, const int32_t *chosen) {
    int64_t largest = 1;
    r->columns = calloc((size_t)r->columns_count + 1, sizeof *r->columns);
    r->numbers = malloc((size_t)r->chunk_rows * sizeof *r->numbers);
    if (!r->columns || !r->numbers) return false;
    for (int32_t i = 0; i < r->columns_count; i++) {
        struct rows_column *c = &r->columns[i];
        if (!column_new(r, c, chosen ? chosen[i] : i)) return false;
        if (c->column->type == SCHEMA_TENSOR) largest = c->per_cell > largest ? c->per_cell : largest;
        else if (c->column->type != SCHEMA_TEXT && c->column->type != SCHEMA_LABELS && !c->numbers && !c->codes) return false;
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
