/* ingest.c - the life of an upload: columns and rows come in from a format, groups go out to the column file.
 * In this order: small things, columns, rows, open to close. What a cell becomes is in store.c, groups are in groups.c, types are
 * determined in infer.c.
 */
#include "engine/base/utf8.h"
#include "schema/ingest/guess.h"
#include "schema/ingest/sink.h"
#include "schema/text/datetime.h"
#include "schema/text/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 100000, CATEGORIES_MAX = 100000 };

/* ---- small things ---- */

const char *schema_ingest_short(const char *name, size_t size, char text[static 64]) {
    size_t n = size < 56 ? size : 56;
    while (n < size && n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80) n--;
    if (n) memcpy(text, name, n);
    memcpy(text + n, n < size ? "..." : "", n < size ? 4 : 1);
    return text;
}

void schema_ingest_pointer(char *pointer, size_t size, const char *part, size_t part_size) {
    size_t n = strlen(pointer);
    if (n + 1 < size) pointer[n++] = '/';
    for (size_t i = 0; i < part_size && n + 3 < size; i++) {
        bool escaped = part[i] == '~' || part[i] == '/';
        if (escaped) pointer[n++] = '~';
        pointer[n++] = !escaped ? part[i] : part[i] == '~' ? '0' : '1';
    }
    if (n == size) n--;
    pointer[bp_utf8_valid(pointer, n)] = '\0'; /* no half character at the cut */
}

int schema_ingest_no_memory(struct schema_problems *problems) {
    return schema_problem_no_memory(problems);
}

int schema_ingest_problem(struct schema_ingest *ingest, int32_t column, const char *value, size_t size, struct schema_problems *problems,
                          const char *format, ...) {
    if (ingest->receiver && ingest->receiver->in_row) {
        char text[600];
        va_list list;
        va_start(list, format);
        vsnprintf(text, sizeof text, format, list);
        va_end(list);
        ingest->receiver->fault(ingest->receiver->context, column, value, size, text);
        return 0;
    }
    if (ingest->problems_found++ >= SCHEMA_PROBLEMS_MAX) { /* counted, but not reported */
        problems->total++;
        return 0;
    }
    char detail[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    int32_t before = problems->count;
    const char *name = column >= 0 ? ingest->columns[column].name : NULL;
    schema_problem_cell(problems, ingest->locate ? 0 : ingest->place, name, value, size, "%s", detail);
    if (ingest->locate && problems->count > before) {
        char pointer[512] = "";
        ingest->locate(ingest, column, ingest->place, pointer, sizeof pointer);
        problems->items[before].pointer = strdup(pointer);
    }
    return 0;
}

void schema_ingest_warn(struct schema_ingest *ingest, const char *format, ...) {
    if (ingest->warnings_total++ >= INGEST_WARNINGS_MAX) return;
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(ingest->warnings, json_string(text));
}

/* ---- columns ---- */

/* A problem of the header: by line, or with the pointer of the column. */
static int column_problem(struct schema_ingest *ingest, const char *name, size_t size, struct schema_problems *problems, const char *what) {
    char shown[64];
    schema_ingest_problem(ingest, -1, name, size, problems, "column %d%s%s%s %s", ingest->columns_count + 1, size ? " \"" : "",
                          size ? schema_ingest_short(name, size, shown) : "", size ? "\"" : "", what);
    return -1;
}

int32_t schema_ingest_column(struct schema_ingest *ingest, const char *name, size_t size, struct schema_problems *problems) {
    if (size == 0) return column_problem(ingest, "", 0, problems, "has no name; every column needs one (from pandas: to_csv(..., index=False))");
    if (size > INGEST_NAME_MAX) return column_problem(ingest, name, size, problems, "has a name of more than 1024 bytes");
    if (bp_utf8_valid(name, size) != size)
        return column_problem(ingest, name, size, problems, "has a name that is not valid UTF-8; save the data as UTF-8");
    int32_t max = ingest->options.columns_max > 0 ? ingest->options.columns_max : COLUMNS_MAX;
    if (ingest->columns_count >= max) {
        problems->too_large = true;
        return schema_problem_add(problems, NULL, "there are more than %d columns, the limit; leave some out", max);
    }
    if (schema_dictionary_find(&ingest->names, name, size) >= 0)
        return column_problem(ingest, name, size, problems, "repeats the name of an earlier column; names must be distinct");
    if (ingest->columns_count == ingest->columns_room) {
        int32_t room = ingest->columns_room ? ingest->columns_room * 2 : 16;
        struct ingest_column *grown = realloc(ingest->columns, (size_t)room * sizeof *grown);
        if (!grown) return schema_ingest_no_memory(problems);
        ingest->columns = grown, ingest->columns_room = room;
    }
    struct ingest_column *c = &ingest->columns[ingest->columns_count];
    memset(c, 0, sizeof *c);
    c->name = strndup(name, size), c->name_size = size;
    c->spelling.forms = (struct schema_datetime_forms){UINT32_MAX, UINT32_MAX};
    if (!c->name || schema_dictionary_add(&ingest->names, name, size, name, size) < 0) {
        free(c->name);
        return schema_ingest_no_memory(problems);
    }
    ingest->columns_count++;
    if (ingest->receiver && ingest->receiver->column(ingest->receiver->context, ingest->columns_count - 1, problems)) return -1;
    return ingest->columns_count - 1;
}

int32_t schema_ingest_declare(struct schema_ingest *ingest, const char *name, size_t size, enum schema_type type, const struct bp_shape *shape,
                              struct schema_problems *problems) {
    int32_t column = schema_ingest_column(ingest, name, size, problems);
    if (column < 0) return -1;
    struct ingest_column *c = &ingest->columns[column];
    c->declared = true, c->type = type;
    if (shape) c->cell_shape = *shape;
    return column;
}

static void column_clear(struct ingest_column *c) {
    schema_ingest_free_group(c);
    free(c->name);
    free(c->counts);
    schema_dictionary_clear(&c->dictionary);
    schema_dictionary_clear(&c->absents);
}

/* ---- rows ---- */

/* By default, a row is missing in every column. */
static void blank_row(struct schema_ingest *ingest) {
    int64_t row = ingest->group_row;
    for (int32_t i = 0; i < ingest->columns_count; i++) {
        struct ingest_column *c = &ingest->columns[i];
        if (c->numbers) c->numbers[row] = NAN;
        else if (c->codes) c->codes[row] = 0;
        else if (c->texts) c->texts[row] = 0;
        else c->absent[row] = 1;
    }
}

static int too_many_rows(const struct schema_ingest *ingest, struct schema_problems *problems) {
    problems->too_large = true;
    return schema_problem_add(problems, NULL, "there are more than %lld rows, the limit; send fewer", (long long)ingest->options.rows_max);
}

int schema_ingest_row_lost(struct schema_ingest *ingest, struct schema_problems *problems) {
    const struct ingest_receiver *receiver = ingest->receiver;
    if (!receiver || !receiver->in_row || problems->total == 0 || problems->code != BP_ERROR_INVALID) return -1;
    const struct schema_problem *last = &problems->items[problems->count - 1];
    receiver->fault(receiver->context, -1, last->value, last->value ? strlen(last->value) : 0, last->detail);
    schema_problems_clear(problems);
    return 0;
}

/* Rows are counted as they begin: a row that is lost does not end. */
static int receive_row(struct schema_ingest *ingest, int64_t place, struct schema_problems *problems) {
    if (ingest->options.rows_max > 0 && ingest->rows >= ingest->options.rows_max) {
        ingest->receiver->in_row = false;
        return too_many_rows(ingest, problems);
    }
    if (ingest->rows++ > 0) ingest->buffering = false; /* the first record has named its columns */
    ingest->receiver->in_row = true;
    return ingest->receiver->row(ingest->receiver->context, place, problems);
}

int schema_ingest_row_begin(struct schema_ingest *ingest, int64_t place, struct schema_problems *problems) {
    ingest->place = place;
    if (ingest->receiver) return receive_row(ingest, place, problems);
    if (!ingest->buffering) {
        if (ingest->sparse) blank_row(ingest);
        return 0;
    }
    struct schema_cell row = {.kind = CELL_ROW, .text = "", .number = (double)place};
    return schema_cells_put(&ingest->sample, &row) ? schema_ingest_no_memory(problems) : 0;
}

static void sample_number(struct ingest_column *c, const struct schema_cell *cell, bool string) {
    c->sample_numbers++;
    schema_spelling_number(&c->spelling, cell->text, cell->size, string);
}

static void sample_boolean(struct ingest_column *c, const struct schema_cell *cell) {
    if (c->sample_booleans++ + c->sample_texts == 0) schema_ingest_short(cell->text, cell->size, c->odd);
}

static void sample_cell(struct ingest_column *c, const struct schema_cell *cell, int64_t place) {
    double number;
    bool text = false;
    switch (cell->kind) {
    case CELL_NUMBER: sample_number(c, cell, false); break;
    case CELL_BOOLEAN: sample_boolean(c, cell); break;
    case CELL_ARRAY: {
        const enum ingest_list list = schema_ingest_list(cell->text, cell->size);
        c->sample_arrays++;
        c->sample_lists += list == INGEST_LIST;
        c->sample_empty += list == INGEST_EMPTY_LIST;
        if (c->cell_shape.rank == 0) {
            int64_t count;
            if (schema_cell_array(cell->text, cell->size, NULL, 0, &c->cell_shape, &count)) c->cell_shape.rank = 0;
        }
        break;
    }
    case CELL_TEXT:
    case CELL_STRING:
        if (cell->size == 0) break;
        if (schema_cell_is_missing(cell->text, cell->size)) c->sample_tokens++;
        else if (schema_number_cell(cell->text, cell->size, &number)) sample_number(c, cell, cell->kind == CELL_STRING);
        else if (cell->kind == CELL_TEXT && schema_cell_boolean(cell->text, cell->size) >= 0) sample_boolean(c, cell);
        else text = true;
        break;
    default: break;
    }
    if (!text) return;
    if (cell->kind == CELL_TEXT && cell->text[0] == '[') {
        const enum ingest_list list = schema_ingest_list(cell->text, cell->size);
        c->sample_lists += list == INGEST_LIST;
        c->sample_empty += list == INGEST_EMPTY_LIST;
    }
    for (int i = 0; i < SCHEMA_TYPES_COUNT; i++) {
        const struct schema_type_ops *ops = schema_type_of((enum schema_type)i);
        if (ops->recognize && c->sample_texts == c->sample_of[i] && ops->recognize(cell->text, cell->size)) c->sample_of[i]++;
    }
    schema_spelling_text(&c->spelling, cell->text, cell->size, place);
    c->sample_words += schema_cell_words(cell->text, cell->size);
    if (c->sample_texts++ + c->sample_booleans == 0) schema_ingest_short(cell->text, cell->size, c->odd);
}

int schema_ingest_cell(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems) {
    if (ingest->receiver) return ingest->receiver->cell(ingest->receiver->context, cell, problems);
    if (cell->kind != CELL_ARRAY && cell->size > INGEST_CELL_MAX)
        return schema_ingest_problem(ingest, cell->column, cell->text, cell->size, problems, "the cell has %zu bytes; the limit is 1 MiB",
                                     cell->size),
               -1;
    if (!ingest->buffering) return schema_ingest_store(ingest, cell, problems);
    sample_cell(&ingest->columns[cell->column], cell, ingest->place);
    return schema_cells_put(&ingest->sample, cell) ? schema_ingest_no_memory(problems) : 0;
}

static int finish_row(struct schema_ingest *ingest, struct schema_problems *problems) {
    ingest->rows++;
    return ++ingest->group_row == ingest->rows_per_group ? schema_ingest_flush(ingest, problems) : 0;
}

/* Determines the types and plays the sample again, this time into groups. */
static int replay_sample(struct schema_ingest *ingest, struct schema_problems *problems) {
    if (schema_ingest_infer(ingest, problems)) return -1;
    if (schema_ingest_open_groups(ingest, problems)) return -1;
    ingest->buffering = false;
    ingest->sample_rows = ingest->rows, ingest->rows = 0;
    struct schema_cell cell;
    bool open = false;
    for (size_t at = 0; schema_cells_next(&ingest->sample, &at, &cell);) {
        if (cell.kind == CELL_ROW) {
            if (open && finish_row(ingest, problems)) return -1;
            open = true;
            if (schema_ingest_row_begin(ingest, (int64_t)cell.number, problems)) return -1;
        } else if (schema_ingest_store(ingest, &cell, problems)) return -1;
    }
    if (open && finish_row(ingest, problems)) return -1;
    schema_cells_clear(&ingest->sample);
    return 0;
}

int schema_ingest_rows_end(struct schema_ingest *ingest, int64_t n, struct schema_problems *problems) {
    if (ingest->options.rows_max > 0 && ingest->rows + n > ingest->options.rows_max) return too_many_rows(ingest, problems);
    ingest->rows += n, ingest->group_row += n;
    return ingest->group_row == ingest->rows_per_group ? schema_ingest_flush(ingest, problems) : 0;
}

int schema_ingest_row_end(struct schema_ingest *ingest, struct schema_problems *problems) {
    if (ingest->receiver) return 0;
    if (ingest->options.rows_max > 0 && ingest->rows >= ingest->options.rows_max) return too_many_rows(ingest, problems);
    if (!ingest->buffering) return finish_row(ingest, problems);
    ingest->rows++;
    return ingest->sample.input >= INGEST_SAMPLE ? replay_sample(ingest, problems) : 0;
}

/* ---- open to close ---- */

int schema_ingest_open(const struct schema_format_ops *format, const struct schema_ingest_options *options, int fd, struct schema_ingest **ingest,
                       struct schema_problems *problems) {
    struct schema_ingest *i = calloc(1, sizeof *i);
    if (!i) return schema_ingest_no_memory(problems);
    i->format = format, i->fd = fd, i->buffering = true;
    if (options) i->options = *options;
    if (i->options.categories_max <= 0) i->options.categories_max = CATEGORIES_MAX;
    i->warnings = json_array();
    bool encoded = !schema_encoding_identity(i->options.encoding);
    if (!i->warnings || (encoded && schema_decoder_open(i->options.encoding, i->options.decoded_max, "upload_max", &i->decoder, problems)) ||
        (format && format->open(i, &i->state, problems))) {
        if (!i->warnings) schema_ingest_no_memory(problems);
        schema_ingest_close(i);
        return -1;
    }
    *ingest = i;
    return 0;
}

int schema_ingest_receive(const struct schema_format_ops *format, const struct schema_ingest_options *options, struct ingest_receiver *receiver,
                          const char *const *names, int32_t names_count, struct schema_ingest **out, struct schema_problems *problems) {
    struct schema_ingest *ingest = NULL;
    if (schema_ingest_open(format, options, -1, &ingest, problems)) return -1;
    *out = ingest; /* column() may ask for it */
    ingest->receiver = receiver;
    for (int32_t i = 0; i < names_count && ingest->sparse; i++)
        if (schema_ingest_column(ingest, names[i], strlen(names[i]), problems) < 0) {
            schema_ingest_close(ingest);
            *out = NULL;
            return -1;
        }
    return 0;
}

/* Detects the type of the decoded data from its first bytes; refuses a type other than the declared format. */
static int look_at_data(struct schema_ingest *ingest, const char *bytes, size_t size, struct schema_problems *problems) {
    const char *refusal = schema_guess_refusal(bytes, size), *other;
    ingest->data_looked_at = true;
    const bool npz = ingest->format && ingest->format->content_type && strcmp(ingest->format->content_type, "application/x-npz") == 0;
    if (refusal && !npz) /* whose reader reports errors of an archive */
        return schema_problem_add(problems, NULL, "%s", refusal);
    if (!ingest->format) {
        ingest->format = schema_format_for(schema_guess_kind(bytes, size));
        return ingest->format->open(ingest, &ingest->state, problems);
    }
    if (ingest->options.part || !ingest->format->content_type) return 0;
    other = schema_guess_other(ingest->format->content_type, bytes, size);
    if (!other) return 0;
    return schema_problem_add(problems, NULL, "the data is sent as %s, but looks like %s; send it with -H 'Content-Type: %s'",
                              ingest->format->content_type, other, other);
}

static int end_first(struct schema_ingest *ingest, struct schema_problems *problems) {
    if (look_at_data(ingest, ingest->first, ingest->first_size, problems)) return -1;
    return ingest->first_size ? ingest->format->feed(ingest, ingest->state, ingest->first, ingest->first_size, problems) : 0;
}

/* Buffers the first decoded bytes until their type is known. */
static int feed_decoded(void *context, const char *bytes, size_t size, struct schema_problems *problems) {
    struct schema_ingest *ingest = context;
    if (!ingest->data_looked_at) {
        const size_t n = sizeof ingest->first - ingest->first_size < size ? sizeof ingest->first - ingest->first_size : size;
        memcpy(ingest->first + ingest->first_size, bytes, n);
        ingest->first_size += n, bytes += n, size -= n;
        if (ingest->first_size < sizeof ingest->first) return 0;
        if (end_first(ingest, problems)) return -1;
    }
    return size ? ingest->format->feed(ingest, ingest->state, bytes, size, problems) : 0;
}

/* gzip and zstd cannot be anything else: they need no header. */
static int look_at_encoding(struct schema_ingest *ingest, struct schema_problems *problems) {
    const char *encoding = schema_guess_encoding(ingest->four, sizeof ingest->four);
    ingest->looked_at = true;
    if (!encoding || ingest->decoder) return 0;
    return schema_decoder_open(encoding, ingest->options.decoded_max, "upload_max", &ingest->decoder, problems);
}

static int feed_bytes(struct schema_ingest *ingest, const char *bytes, size_t size, struct schema_problems *problems) {
    return ingest->decoder ? schema_decoder_feed(ingest->decoder, bytes, size, feed_decoded, ingest, problems)
                           : feed_decoded(ingest, bytes, size, problems);
}

int schema_ingest_feed(struct schema_ingest *ingest, const void *bytes, size_t size, struct schema_problems *problems) {
    if (ingest->failed || ingest->finished) return -1;
    if (size == 0) return 0;
    if (!ingest->looked_at) { /* four bytes are enough */
        const size_t n = sizeof ingest->four - ingest->four_size < size ? sizeof ingest->four - ingest->four_size : size;
        memcpy(ingest->four + ingest->four_size, bytes, n);
        ingest->four_size += n, bytes = (const char *)bytes + n, size -= n;
        if (ingest->four_size < sizeof ingest->four) return 0;
        ingest->failed = look_at_encoding(ingest, problems) || feed_bytes(ingest, ingest->four, sizeof ingest->four, problems);
        if (ingest->failed || size == 0) return ingest->failed ? -1 : 0;
    }
    ingest->failed = feed_bytes(ingest, bytes, size, problems) != 0;
    return ingest->failed ? -1 : 0;
}

static int finish_format(struct schema_ingest *ingest, struct schema_problems *problems) {
    if (ingest->format->finish(ingest, ingest->state, problems)) return -1;
    if (ingest->receiver) return problems->total ? -1 : 0;
    if (ingest->rows == 0 && ingest->problems_found) return -1;
    if (ingest->rows == 0 || ingest->columns_count == 0)
        return schema_problem_add(problems, NULL, ingest->columns_count ? "the data has no rows; at least one is needed" : "the data has no columns");
    if (ingest->buffering && replay_sample(ingest, problems)) return -1;
    if (schema_ingest_flush(ingest, problems) || ingest->problems_found) return -1;
    if (schema_ingest_write_footer(ingest, problems)) return -1;
    schema_ingest_review(ingest);
    return 0;
}

static int complete(struct schema_ingest *ingest, struct schema_problems *problems) {
    if (ingest->format && !ingest->format->feed) return finish_format(ingest, problems); /* a join, which reads no bytes */
    if (!ingest->looked_at && ingest->four_size) {                                       /* fewer than four bytes */
        ingest->looked_at = true;
        if (feed_bytes(ingest, ingest->four, ingest->four_size, problems)) return -1;
    }
    if (ingest->decoder && schema_decoder_finish(ingest->decoder, problems)) return -1;
    if (!ingest->data_looked_at && end_first(ingest, problems)) return -1;
    return finish_format(ingest, problems);
}

int schema_ingest_finish(struct schema_ingest *ingest, struct schema_problems *problems) {
    if (ingest->failed || ingest->finished) return -1;
    ingest->failed = complete(ingest, problems) != 0;
    ingest->finished = !ingest->failed;
    return ingest->failed ? -1 : 0;
}

void schema_ingest_close(struct schema_ingest *ingest) {
    if (!ingest) return;
    if (ingest->state) ingest->format->close(ingest->state);
    schema_decoder_close(ingest->decoder);
    for (int32_t i = 0; i < ingest->columns_count; i++) column_clear(&ingest->columns[i]);
    free(ingest->columns);
    free(ingest->numbers);
    free(ingest->values);
    free(ingest->dense);
    free(ingest->weights);
    free(ingest->name);
    schema_column_types_free(ingest->types, ingest->types_count);
    schema_dictionary_clear(&ingest->names);
    schema_cells_clear(&ingest->sample);
    column_file_free(ingest->file);
    json_decref(ingest->warnings);
    json_decref(ingest->details);
    free(ingest);
}

int64_t schema_ingest_memory(const struct schema_ingest *ingest) {
    const size_t columns = (size_t)ingest->columns_room * sizeof *ingest->columns;
    return (int64_t)(columns + ingest->sample.room + 2 * ingest->dictionaries_size + ingest->group_size);
}

int64_t schema_ingest_bytes(const struct schema_ingest *ingest) {
    return (int64_t)ingest->bytes;
}

const char *schema_ingest_name(const struct schema_ingest *ingest) {
    return ingest->name;
}

json_t *schema_ingest_details(const struct schema_ingest *ingest) {
    return ingest->details ? json_deep_copy(ingest->details) : json_object();
}

json_t *schema_ingest_warnings(const struct schema_ingest *ingest) {
    json_t *list = json_copy(ingest->warnings);
    if (!list || ingest->warnings_total <= INGEST_WARNINGS_MAX) return list;
    char more[64];
    snprintf(more, sizeof more, "and %lld more warnings", (long long)(ingest->warnings_total - INGEST_WARNINGS_MAX + 1));
    json_array_set_new(list, INGEST_WARNINGS_MAX - 1, json_string(more));
    return list;
}
