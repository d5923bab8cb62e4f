/* json.c - a dataset as one JSON object: {"name"?, "types"?, and one of "records", "columns", "x" + "y"}.
 *
 * The body is spooled until it is complete (spool.h) and mapped: keys are in any order and "columns" must be read across. Then three walks:
 * json_text_check over everything; the keys of the top; the rows, with one cursor per array that is read in parallel. What the walks have passed is
 * given back to the system. In this order: records, columns, x and y, the top, the body. */
#include "schema/formats/json_record.h"
#include "schema/formats/spool.h"
#include "schema/ingest/sink.h"
#include "schema/memory.h"
#include "schema/text/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RELEASE = 4 << 20, MEMBERS_KEPT = 16, TYPES_MAX = 16 << 20 };

enum shape { SHAPE_RECORDS, SHAPE_COLUMNS, SHAPE_XY, SHAPE_ARRAY /* the bare values of one column */ };
/* How one of x and y is laid out: numbers; rows of numbers; deeper, one tensor per row. */
enum nesting { NESTED_PLAIN, NESTED_ROWS, NESTED_TENSORS };

/* Reads one array, member by member. */
struct cursor {
    const char *p;        /* at a member, or at the closing bracket */
    const char *released; /* everything before has been released */
};

struct side {
    struct cursor cursor;
    enum nesting nesting;
    int32_t first, count; /* its columns */
    int64_t rows;
};

struct json {
    struct schema_ingest *ingest;
    struct spool spool;
    const char *start, *end;                              /* the whole text */
    const char *name, *types, *records, *columns, *x, *y; /* values of the top, NULL when absent */
    enum shape shape;
    struct side sides[2];    /* x, y */
    const struct side *side; /* the one being read */
    struct json_reader reader;
    const char *checked;               /* for release during the check */
    const char *members[MEMBERS_KEPT]; /* where the members of the top after the first begin, so that no value has to be stepped over */
    int members_count;
};

/* Gives the pages of [*from, p) back to the system when there are many. */
static void release(const struct json *json, const char **from, const char *p) {
    if (p - *from < RELEASE) return;
    spool_release(&json->spool, *from, p);
    *from = p;
}

static void append_index(char *pointer, size_t size, int64_t index) {
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, index);
    schema_ingest_pointer(pointer, size, text, (size_t)n);
}

/* Contract of schema_ingest.locate. */
static void locate(const struct schema_ingest *ingest, int32_t column, int64_t place, char *pointer, size_t size) {
    const struct json *json = ingest->state;
    const struct ingest_column *c = column >= 0 ? &ingest->columns[column] : NULL;
    if (json->shape == SHAPE_RECORDS) {
        schema_ingest_pointer(pointer, size, "records", 7);
        append_index(pointer, size, place);
        if (c) schema_ingest_pointer(pointer, size, c->name, c->name_size);
    } else if (json->shape == SHAPE_COLUMNS) {
        schema_ingest_pointer(pointer, size, "columns", 7);
        if (c) schema_ingest_pointer(pointer, size, c->name, c->name_size), append_index(pointer, size, place);
    } else if (json->shape == SHAPE_ARRAY) append_index(pointer, size, place);
    else {
        const struct side *side = c ? &json->sides[column >= json->sides[1].first] : json->side;
        schema_ingest_pointer(pointer, size, side == json->sides ? "x" : "y", 1);
        append_index(pointer, size, place);
        if (c && side->nesting == NESTED_ROWS) append_index(pointer, size, column - side->first);
    }
}

/* ---- records ---- */

static int walk_records(struct json *json, struct schema_problems *problems) {
    struct schema_ingest *ingest = json->ingest;
    const char *p = json->records, *released = p;
    if (*p != '[') return schema_problem_add(problems, "/records", "expected an array of objects, one per row");
    ingest->sparse = true;
    p = json_text_blanks(p + 1, json->end);
    if (*p == ']') return schema_problem_add(problems, "/records", "the data has no rows; at least one is needed");
    for (int64_t i = 0; *p != ']'; i++) {
        if (schema_ingest_row_begin(ingest, i, problems)) return -1;
        if (*p != '{')
            return schema_ingest_problem(ingest, -1, p, (size_t)(json_text_skip(p, json->end) - p), problems,
                                         "expected an object, such as {\"length\":39.1,\"island\":\"Biscoe\"}"),
                   -1;
        const char *from = p;
        p = json_record(&json->reader, p, i, problems);
        if (!p) return -1;
        if (p - from > INGEST_RECORD_MAX)
            return schema_ingest_problem(ingest, -1, NULL, 0, problems, "the record has more than 16 MiB of text, the limit"), -1;
        if (schema_ingest_row_end(ingest, problems)) return -1;
        p = json_text_next(p, json->end);
        release(json, &released, p);
    }
    return 0;
}

/* ---- columns ---- */

static int64_t members(const struct json *json, const char *array) {
    int64_t n = 0;
    for (const char *p = json_text_blanks(array + 1, json->end); *p != ']'; n++) p = json_text_next(json_text_skip(p, json->end), json->end);
    return n;
}

/* Names the columns and puts a cursor at the start of each; *cursors is the caller's. */
static int open_columns(struct json *json, struct cursor **cursors, struct schema_problems *problems) {
    struct schema_ingest *ingest = json->ingest;
    const char *p = json->columns;
    int32_t room = 0;
    int failed = 0;
    if (*p != '{')
        return schema_problem_add(problems, "/columns",
                                  "expected an object of arrays, such as {\"length\":[39.1,40.3],\"island\":[\"Biscoe\",\"Dream\"]}");
    for (p = json_text_blanks(p + 1, json->end); *p != '}'; p = json_text_next(json_text_skip(p, json->end), json->end)) {
        const char *key;
        size_t size;
        p = json_text_string(p, json->end, &json->reader.key, &key, &size);
        if (!p) return schema_ingest_no_memory(problems);
        int32_t column = schema_ingest_column(ingest, key, size, problems);
        p = json_text_blanks(json_text_blanks(p, json->end) + 1, json->end);
        if (column < 0) {
            failed = -1;
            if (problems->too_large || problems->code != BP_ERROR_INVALID || ingest->problems_found >= SCHEMA_PROBLEMS_MAX) break;
            continue;
        }
        if (*p != '[') {
            char pointer[512] = "/columns";
            schema_ingest_pointer(pointer, sizeof pointer, key, size);
            failed = schema_problem_add(problems, pointer, "expected an array with one value per row");
        }
        if (column >= room) {
            room = ingest->columns_room;
            struct cursor *grown = realloc(*cursors, (size_t)room * sizeof *grown);
            if (!grown) return schema_ingest_no_memory(problems);
            *cursors = grown;
        }
        (*cursors)[column] = (struct cursor){p, p};
    }
    return failed;
}

/* One array has ended at `row` and another has not. */
static int uneven(struct json *json, const struct cursor *cursors, int64_t row, struct schema_problems *problems) {
    const struct schema_ingest *ingest = json->ingest;
    int32_t ended = 0, longer = 0;
    while (ended < ingest->columns_count && *cursors[ended].p != ']') ended++;
    while (longer < ingest->columns_count && *cursors[longer].p == ']') longer++;
    int64_t more = row;
    for (const char *p = cursors[longer].p; *p != ']'; more++) p = json_text_next(json_text_skip(p, json->end), json->end);
    char pointer[512] = "/columns", shown[64];
    schema_ingest_pointer(pointer, sizeof pointer, ingest->columns[longer].name, ingest->columns[longer].name_size);
    return schema_problem_add(problems, pointer,
                              "the array has %" PRId64 " values, but \"%s\" has %" PRId64 "; all columns must have one value per row", more,
                              schema_ingest_short(ingest->columns[ended].name, ingest->columns[ended].name_size, shown), row);
}

static int read_columns(struct json *json, struct cursor *cursors, struct schema_problems *problems) {
    struct schema_ingest *ingest = json->ingest;
    int32_t count = ingest->columns_count;
    for (int32_t c = 0; c < count; c++) cursors[c].p = json_text_blanks(cursors[c].p + 1, json->end);
    for (int64_t row = 0;; row++) {
        int32_t ended = 0;
        for (int32_t c = 0; c < count; c++) ended += *cursors[c].p == ']';
        if (ended == count) return 0;
        if (ended) return uneven(json, cursors, row, problems);
        if (schema_ingest_row_begin(ingest, row, problems)) return -1;
        for (int32_t c = 0; c < count; c++) {
            const char *p = json_cell(&json->reader, cursors[c].p, c, problems);
            if (!p) return -1;
            cursors[c].p = json_text_next(p, json->end);
            release(json, &cursors[c].released, cursors[c].p);
        }
        if (schema_ingest_row_end(ingest, problems)) return -1;
    }
}

static int walk_columns(struct json *json, struct schema_problems *problems) {
    struct cursor *cursors = NULL;
    json->shape = SHAPE_COLUMNS;
    json->ingest->sparse = true; /* a cell refused leaves its place blank */
    int failed = open_columns(json, &cursors, problems);
    if (!failed && !cursors) failed = schema_problem_add(problems, "/columns", "the data has no columns");
    if (!failed) failed = read_columns(json, cursors, problems);
    free(cursors);
    return failed;
}

/* The bare array of values for one column that is added to a dataset. */
static int walk_array(struct json *json, const char *array, struct schema_problems *problems) {
    const char *name = json->ingest->options.column;
    struct cursor cursor = {array, array};
    json->shape = SHAPE_ARRAY;
    json->ingest->sparse = true;
    if (*array != '[') return schema_problem_add(problems, "", "expected an array with one value per row of the dataset");
    return schema_ingest_column(json->ingest, name, strlen(name), problems) < 0 ? -1 : read_columns(json, &cursor, problems);
}

/* ---- x and y ---- */

static bool given_shaped(const struct schema_column_type *types, int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++)
        if (strcmp(types[i].name, name) == 0) return schema_type_of(types[i].type)->has_shape;
    return false;
}

/* Looks at the first row of x or y and adds its columns. */
static int open_side(struct json *json, struct side *side, const char *array, const char *name, struct schema_problems *problems) {
    struct schema_ingest *ingest = json->ingest;
    const char *pointer = *name == 'x' ? "/x" : "/y";
    if (*array != '[') return schema_problem_add(problems, pointer, "expected an array with one member per row");
    const char *first = json_text_blanks(array + 1, json->end), *inner = json_text_blanks(first + 1, json->end);
    side->cursor = (struct cursor){first, first};
    side->first = ingest->columns_count;
    if (*first == ']') return schema_problem_add(problems, pointer, "the data has no rows; at least one is needed");
    bool tensor = given_shaped(ingest->options.types, ingest->options.types_count, name) || given_shaped(ingest->types, ingest->types_count, name);
    side->nesting = *first != '[' ? NESTED_PLAIN : tensor || *inner == '[' ? NESTED_TENSORS : NESTED_ROWS;
    if (side->nesting == NESTED_TENSORS && *name == 'y' && !tensor)
        return schema_problem_add(problems, pointer, "expected a list of values or of rows; for deeper arrays use \"types\":{\"y\":\"tensor\"}");
    side->count = 1;
    if (side->nesting == NESTED_ROWS) {
        int64_t count = members(json, first);
        if (count == 0) return schema_problem_add(problems, pointer, "the first row is empty");
        side->count = count > INT32_MAX ? INT32_MAX : (int32_t)count;
    }
    for (int32_t i = 0; i < side->count; i++) {
        char column[16];
        int n = side->nesting == NESTED_ROWS || (*name == 'x' && side->nesting == NESTED_PLAIN) ? snprintf(column, sizeof column, "%s%d", name, i)
                                                                                                : snprintf(column, sizeof column, "%s", name);
        if (schema_ingest_column(ingest, column, (size_t)n, problems) < 0) return -1;
    }
    return 0;
}

static int uneven_row(const struct json *json, const struct side *side, const char *row, struct schema_problems *problems) {
    const size_t size = (size_t)(json_text_skip(row, json->end) - row);
    if (*row != '[') return schema_ingest_problem(json->ingest, -1, row, size, problems, "expected a row of %d values, like the first", side->count);
    return schema_ingest_problem(json->ingest, -1, row, size, problems, "the row has %" PRId64 " values, the first has %d", members(json, row),
                                 side->count);
}

/* The row of one side, which is at side->cursor.p. */
static int take_side(struct json *json, struct side *side, struct schema_problems *problems) {
    const char *p = side->cursor.p;
    json->side = side;
    if (side->nesting == NESTED_ROWS) {
        const char *row = p;
        int32_t count = 0;
        if (*p == '[') {
            for (p = json_text_blanks(p + 1, json->end); *p != ']' && count < side->count; count++) {
                p = json_cell(&json->reader, p, side->first + count, problems);
                if (!p) return -1;
                p = json_text_next(p, json->end);
            }
        }
        if (*row == '[' && *p == ']' && count == side->count) p++;
        else if (uneven_row(json, side, row, problems)) return -1;
        else p = json_text_skip(row, json->end);
    } else p = json_cell(&json->reader, p, side->first, problems);
    if (!p) return -1;
    side->cursor.p = json_text_next(p, json->end);
    side->rows++;
    release(json, &side->cursor.released, side->cursor.p);
    return 0;
}

static int walk_xy(struct json *json, struct schema_problems *problems) {
    struct schema_ingest *ingest = json->ingest;
    struct side *x = &json->sides[0], *y = &json->sides[1];
    json->shape = SHAPE_XY;
    ingest->sparse = true;
    y->first = INT32_MAX; /* until y is opened, all columns are of x */
    json->side = x;
    if (open_side(json, x, json->x, "x", problems)) return -1;
    if (open_side(json, y, json->y, "y", problems)) return -1;
    while (*x->cursor.p != ']' && *y->cursor.p != ']') {
        if (schema_ingest_row_begin(ingest, x->rows, problems) || take_side(json, x, problems) || take_side(json, y, problems) ||
            schema_ingest_row_end(ingest, problems))
            return -1;
    }
    if (*x->cursor.p == *y->cursor.p) return 0;
    int64_t rows[2] = {members(json, json->x), members(json, json->y)};
    return schema_problem_add(problems, "/y", "y has %" PRId64 " rows, x has %" PRId64 "; they must have the same rows", rows[1], rows[0]);
}

/* ---- the top ---- */

/* The place to put the value of a key of the top; NULL for an unknown key. */
static const char **member_of(struct json *json, const char *key, size_t size) {
    const struct {
        const char *key;
        const char **value;
    } keys[] = {{"name", &json->name},       {"types", &json->types}, {"records", &json->records},
                {"columns", &json->columns}, {"x", &json->x},         {"y", &json->y}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].key) == size && memcmp(keys[i].key, key, size) == 0) return keys[i].value;
    return NULL;
}

static int unknown_key(const char *key, size_t size, struct schema_problems *problems) {
    static const char *const known[] = {"columns", "name", "records", "types", "x", "y", NULL};
    char pointer[512] = "", shown[64], meant[96];
    schema_ingest_pointer(pointer, sizeof pointer, key, size);
    schema_ingest_short(key, size, shown);
    const char *near = schema_nearest_in(shown, known);
    return schema_problem_add(problems, pointer, "unknown field \"%s\"%s%s A dataset has name, types, and records, columns or x and y", shown,
                              schema_did_you_mean(near, meant, sizeof meant), near ? "" : ".");
}

static int read_top(struct json *json, const char *p, struct schema_problems *problems) {
    int failed = 0, member = 0;
    for (p = json_text_blanks(p + 1, json->end); *p != '}';) {
        const char *key;
        size_t size;
        p = json_text_string(p, json->end, &json->reader.key, &key, &size);
        if (!p) return schema_ingest_no_memory(problems);
        p = json_text_blanks(json_text_blanks(p, json->end) + 1, json->end);
        const char **place = member_of(json, key, size);
        if (!place) failed = unknown_key(key, size, problems);
        else if (*place) {
            char pointer[64] = "";
            schema_ingest_pointer(pointer, sizeof pointer, key, size);
            failed = schema_problem_add(problems, pointer, "the key appears twice");
        } else *place = p;
        if (member < json->members_count) p = json_text_blanks(json->members[member++], json->end);
        else if (json->members_count < MEMBERS_KEPT) break; /* that was the last one */
        else p = json_text_next(json_text_skip(p, json->end), json->end);
    }
    return failed;
}

static int read_name(struct json *json, struct schema_problems *problems) {
    if (*json->name != '"') return schema_problem_add(problems, "/name", "expected a text");
    const char *text;
    size_t size;
    if (!json_text_string(json->name, json->end, &json->reader.key, &text, &size)) return schema_ingest_no_memory(problems);
    json->ingest->name = strndup(text, size);
    return json->ingest->name ? 0 : schema_ingest_no_memory(problems);
}

static int read_types(struct json *json, struct schema_problems *problems) {
    size_t size = (size_t)(json_text_skip(json->types, json->end) - json->types);
    if (size > TYPES_MAX) return schema_problem_add(problems, "/types", "more than 16 MiB of types");
    json_error_t error;
    json_t *types = schema_json_load(json->types, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!types) return schema_problem_add(problems, "/types", "%s", error.text);
    int failed = schema_column_types_decode(types, "/types", &json->ingest->types, &json->ingest->types_count, problems);
    json_decref(types);
    return failed;
}

static int walk(struct json *json, struct schema_problems *problems) {
    int given = (json->records != NULL) + (json->columns != NULL) + (json->x || json->y);
    if (given != 1)
        return schema_problem_add(problems, "",
                                  given ? "give only one of records, columns, or x and y"
                                        : "no rows: give records (objects), columns (arrays by name), or x and y");
    if (json->records) return walk_records(json, problems);
    if (json->columns) return walk_columns(json, problems);
    if (!json->x || !json->y)
        return schema_problem_add(problems, json->x ? "/y" : "/x",
                                  "x and y are both required; %s is missing (to send rows without y, use records or columns)", json->x ? "y" : "x");
    return walk_xy(json, problems);
}

/* ---- the body ---- */

static int syntax_problem(const struct json *json, const struct json_text_fault *fault, struct schema_problems *problems) {
    int64_t line = 1, column = 1;
    for (const char *p = json->start; p < fault->at; p++) {
        column += ((unsigned char)*p & 0xC0) != 0x80;
        if (*p == '\n') line++, column = 1;
    }
    const char *at = fault->at;
    size_t size = (size_t)(json->end - at);
    return schema_problem_cell(problems, line, NULL, size ? at : NULL, size < 20 ? size : 20,
                               "not valid JSON at line %" PRId64 ", column %" PRId64 ": %s", line, column, fault->what);
}

static void checked(void *context, const char *p, int depth) {
    struct json *json = context;
    if (depth == 1 && json->members_count < MEMBERS_KEPT) json->members[json->members_count++] = p;
    release(json, &json->checked, p);
}

static int decode(struct json *json, struct schema_problems *problems) {
    struct json_text_fault fault = {NULL, NULL};
    if (json->end - json->start >= 3 && memcmp(json->start, "\xEF\xBB\xBF", 3) == 0) json->start += 3; /* a byte order mark */
    json->checked = json->start, json->reader.end = json->end;
    struct json_text_progress progress = {checked, json};
    const char *top = json_text_blanks(json->start, json->end);
    const char *after = json_text_check(top, json->end, &progress, &fault);
    if (!after) return syntax_problem(json, &fault, problems);
    after = json_text_blanks(after, json->end);
    if (after < json->end) return syntax_problem(json, &(struct json_text_fault){after, "bytes follow the end of the JSON value"}, problems);
    if (json->ingest->options.one_column) return walk_array(json, top, problems);
    if (*top != '{') return schema_problem_add(problems, "", "expected an object with records, columns, or x and y");
    int failed = read_top(json, top, problems);
    if (json->name && read_name(json, problems)) failed = -1;
    if (json->types && read_types(json, problems)) failed = -1;
    return failed ? -1 : walk(json, problems);
}

static int json_feed(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems) {
    struct json *json = state;
    (void)ingest;
    return spool_add(&json->spool, bytes, size, problems);
}

static int json_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems) {
    struct json *json = state;
    (void)ingest;
    if (spool_map(&json->spool, problems)) return -1;
    json->start = json->spool.start, json->end = json->spool.end;
    return decode(json, problems);
}

static void json_close(void *state) {
    struct json *json = state;
    spool_close(&json->spool);
    json_reader_clear(&json->reader);
    free(json);
}

static int json_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    struct json *json = calloc(1, sizeof *json);
    if (!json) return schema_ingest_no_memory(problems);
    json->ingest = json->reader.ingest = ingest;
    if (spool_open(&json->spool, ingest->fd, problems)) {
        free(json);
        return -1;
    }
    ingest->locate = locate;
    ingest->types_in_body = true;
    *state = json;
    return 0;
}

extern const struct schema_format_ops schema_format_json;
const struct schema_format_ops schema_format_json = {
    .entry = {.name = "json", .summary = "A JSON object with records, columns, or x and y"},
    .content_type = "application/json",
    .open = json_open,
    .feed = json_feed,
    .finish = json_finish,
    .close = json_close,
};
