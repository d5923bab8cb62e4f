/* csv.c - comma-separated values as RFC 4180 writes them and as people write them.
 *
 * How the file is written (separator, decimal mark, quote, header) is detected in its first 64 KiB, csv_dialect.c, unless the user gives it.
 * Fields may be in quotes, quotes inside doubled, newlines allowed; blanks around a field and around its quotes are not part of it. Lines end
 * in LF or CRLF. Blank lines are skipped. Line numbers are physical and count the newlines within quotes.
 *
 * Two steps per record: find its end (memchr when it has no quote, else the state machine `scan`, which continues over pieces of any
 * size), then split it, whole in memory. Only a record that straddles pieces is copied. */
#include "engine/base/utf8.h"
#include "schema/formats/csv_dialect.h"
#include "schema/text/number.h"
#include "schema/text/number_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The state of a scan within a record. A quote opens a field only at its start. */
enum scan_state { SCAN_START, SCAN_PLAIN, SCAN_QUOTED, SCAN_CLOSED /* after a quote within quotes: the end, or the first of two */ };

struct csv {
    char *held; /* the beginning of a record whose end has not arrived yet */
    size_t held_size, held_room;
    enum scan_state scan;
    int64_t line;                      /* of the next byte */
    int64_t record_line;               /* where the record began */
    int64_t first_line;                /* of the table */
    struct schema_csv_dialect dialect; /* complete once begun */
    char separator, quote;             /* of it */
    bool begun;                        /* after the sample */
    char *sample;                      /* the first bytes of the file, until begun */
    size_t sample_size;
    bool guessed_header;
    bool trailing; /* records end with a separator that starts no field */
    char *field;   /* a field with its doubled quotes undone */
    size_t field_room;
};

/* A field of a record, its quotes and blanks removed. */
struct field {
    const char *text;
    size_t size;
};

int csv_open_as(struct schema_ingest *ingest, void **state, const struct schema_csv_dialect *dialect, struct schema_problems *problems) {
    struct csv *csv = calloc(1, sizeof *csv);
    (void)ingest;
    if (!csv) return schema_ingest_no_memory(problems);
    csv->dialect = *dialect;
    csv->line = csv->record_line = 1;
    *state = csv;
    return 0;
}

static int csv_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    return csv_open_as(ingest, state, &ingest->options.csv, problems);
}

void csv_close(void *state) {
    struct csv *csv = state;
    free(csv->held);
    free(csv->field);
    free(csv->sample);
    free(csv);
}

/* ---- fields ---- */

static bool is_separator(const struct csv *csv, char c) {
    return c == csv->separator;
}
static bool is_blank(const struct csv *csv, char c) {
    return c == ' ' || (c == '\t' && csv->separator != '\t');
}

static int broken(const struct csv *csv, struct schema_problems *problems, const char *value, size_t size, const char *detail) {
    return schema_problem_cell(problems, csv->record_line, NULL, value, size, "%s", detail);
}

static int bad_text(const struct csv *csv, struct schema_problems *problems, const char *text, size_t size, size_t at) {
    if (text[at] == '\0') return broken(csv, problems, text, size, "unexpected NUL byte; expected a text file in UTF-8");
    char detail[200];
    snprintf(detail, sizeof detail,
             "byte 0x%02X is not valid UTF-8; save the file as UTF-8 (for example: iconv -f latin1 -t utf-8 old.csv > new.csv)",
             (unsigned)(unsigned char)text[at]);
    return broken(csv, problems, text, size, detail);
}

/* The text between the quotes at *p, doubled ones undone; *p is left behind the closing one. */
static int quoted(struct csv *csv, const char **p, const char *end, struct field *field, struct schema_problems *problems) {
    const char *from = *p + 1, *close = memchr(from, csv->quote, (size_t)(end - from));
    *field = (struct field){from, close ? (size_t)(close - from) : 0};
    if (close && (close + 1 == end || close[1] != csv->quote)) {
        *p = close + 1;
        return 0;
    }
    if ((size_t)(end - from) > csv->field_room) {
        char *grown = realloc(csv->field, (size_t)(end - from));
        if (!grown) return schema_ingest_no_memory(problems);
        csv->field = grown, csv->field_room = (size_t)(end - from);
    }
    size_t n = 0;
    while (close) {
        memcpy(csv->field + n, from, (size_t)(close - from));
        n += (size_t)(close - from);
        if (close + 1 == end || close[1] != csv->quote) break;
        csv->field[n++] = csv->quote;
        from = close + 2;
        close = memchr(from, csv->quote, (size_t)(end - from));
    }
    if (!close) return broken(csv, problems, *p, (size_t)(end - *p), "unclosed quote");
    *field = (struct field){csv->field, n};
    *p = close + 1;
    return 0;
}

/* The field at *p; *p is left at the separator or the end. */
static int take_field(struct csv *csv, const char **p, const char *end, struct field *field, struct schema_problems *problems) {
    const char *s = *p, *start = s;
    while (s < end && is_blank(csv, *s)) s++;
    if (s < end && *s == csv->quote) {
        if (quoted(csv, &s, end, field, problems)) return -1;
        while (s < end && is_blank(csv, *s)) s++;
        if (s < end && !is_separator(csv, *s))
            return broken(csv, problems, start, (size_t)(end - start), "text after a closing quote; double a quote inside a quoted field");
        size_t bad = bp_utf8_valid(field->text, field->size);
        if (bad != field->size) return bad_text(csv, problems, field->text, field->size, bad);
        *p = s;
        return 0;
    }
    const char *after = memchr(s, csv->separator, (size_t)(end - s));
    if (!after) after = end;
    *p = after;
    while (after > s && is_blank(csv, after[-1])) after--;
    *field = (struct field){s, (size_t)(after - s)};
    size_t bad = bp_utf8_valid(s, field->size);
    if (bad != field->size) return bad_text(csv, problems, s, field->size, bad);
    if (field->size && memchr(s, '\r', field->size))
        return broken(csv, problems, s, field->size, "carriage return without a newline; lines must end in LF or CRLF");
    return 0;
}

/* ---- records ---- */

static int64_t count_fields(struct csv *csv, const char *p, const char *end) {
    struct schema_problems ignored = {0};
    struct field field;
    int64_t n = 0;
    for (;; p++) {
        n++;
        if (take_field(csv, &p, end, &field, &ignored)) break;
        if (p == end) break;
    }
    schema_problems_clear(&ignored);
    return n;
}

/* The names of the columns. */
static int header(struct schema_ingest *ingest, struct csv *csv, const char *text, size_t size, struct schema_problems *problems) {
    const char *p = text, *end = text + size;
    bool numbers = true;
    int failed = 0;
    for (;;) {
        struct field field;
        double number;
        if (take_field(csv, &p, end, &field, problems)) return -1;
        if (csv->trailing && p == end && field.size == 0) break;
        if (p == end && field.size == 0 && ingest->columns_count > 0) {
            schema_ingest_problem(ingest, -1, text, size, problems,
                                  "the header ends with a separator, so its last column has no name; remove the separator, or name the column");
            failed = -1;
            break;
        }
        if (schema_ingest_column(ingest, field.text, field.size, problems) < 0) {
            failed = -1;
            if (ingest->problems_found == 0 || ingest->problems_found >= SCHEMA_PROBLEMS_MAX) break;
        }
        numbers = numbers && schema_number_cell(field.text, field.size, &number);
        if (p == end) break;
        p++;
    }
    if (!failed && numbers && csv->guessed_header)
        schema_ingest_warn(ingest, "the first line is all numbers, and is used as the header; if it is data, send the file again with "
                                   "header=false");
    return failed;
}

/* A header that is not there: c0, c1, ... */
static int make_names(struct schema_ingest *ingest, struct csv *csv, const char *text, size_t size, struct schema_problems *problems) {
    int64_t count = count_fields(csv, text, text + size) - csv->trailing;
    for (int64_t i = 0; i < count; i++) {
        char name[24];
        int n = snprintf(name, sizeof name, "c%lld", (long long)i);
        if (schema_ingest_column(ingest, name, (size_t)n, problems) < 0) return -1;
    }
    if (csv->guessed_header)
        schema_ingest_warn(ingest,
                           "the first line looks like data, so the columns are named c0, c1, ...; if it is a header, send the file again with "
                           "header=true");
    return 0;
}

static int ragged(struct schema_ingest *ingest, struct csv *csv, const char *text, const char *end, struct schema_problems *problems) {
    if (*text == '#')
        return schema_ingest_problem(ingest, -1, text, (size_t)(end - text), problems,
                                     "the line begins with #; if it is a comment, remove it: comments are allowed only before the table");
    return schema_ingest_problem(
        ingest, -1, text, (size_t)(end - text), problems, "the line has %lld cells, the %s %d columns; put text with a separator in double quotes",
        (long long)count_fields(csv, text, end), csv->dialect.header == SCHEMA_CSV_HEADER ? "header names" : "first has", ingest->columns_count);
}

/* A number that keeps all of its text: not 00501, and not more digits than a double holds. */
static inline bool is_kept(const char *p, const char *after, double number) {
    return (after - p <= 15 || (number < 9007199254740992.0 && number > -9007199254740992.0)) &&
           (*p != '0' || after - p == 1 || !schema_number_digit(p[1]));
}

/* Nothing follows the last separator. */
static bool ends_there(const struct csv *csv, const char *p, const char *end) {
    if (!csv->trailing) return false;
    for (p++; p < end; p++)
        if (!is_blank(csv, *p)) return false;
    return true;
}

/* Splits a record into cells. Numbers of numeric columns go straight into the group. */
static int record(struct schema_ingest *ingest, struct csv *csv, const char *text, size_t size, struct schema_problems *problems) {
    const char *p = text, *end = text + size;
    const char separator = csv->separator;
    const int32_t count = ingest->columns_count;
    const bool comma = csv->dialect.decimal == ',';
    if (schema_ingest_row_begin(ingest, csv->record_line, problems)) return -1;
    for (int32_t c = 0; c < count; c++) {
        double number;
        double *numbers = ingest->numbers && !comma ? ingest->numbers[c] : NULL;
        const char *after = numbers ? schema_number_scan(p, end, false, &number) : NULL;
        if (after && (after == end || *after == separator) && number - number == 0 && is_kept(p, after, number)) {
            numbers[ingest->group_row] = number;
            p = after;
        } else {
            struct field field;
            if (take_field(csv, &p, end, &field, problems)) return schema_ingest_row_lost(ingest, problems);
            struct schema_cell cell = {.kind = CELL_TEXT, .column = c, .text = field.text, .size = field.size};
            if (comma && csv_comma_number(field.text, field.size, &cell.number)) cell.kind = CELL_NUMBER; /* its text stays as it was written */
            if (schema_ingest_cell(ingest, &cell, problems)) return -1;
        }
        if (p == end ? c + 1 < count : c + 1 == count && !ends_there(csv, p, end)) return ragged(ingest, csv, text, end, problems);
        p++;
    }
    return schema_ingest_row_end(ingest, problems);
}

/* A whole record, without its newline. */
static int take_record(struct schema_ingest *ingest, struct csv *csv, const char *text, size_t size, struct schema_problems *problems) {
    if (size > 0 && text[size - 1] == '\r') size--;
    size_t blank = 0;
    while (blank < size && (text[blank] == ' ' || text[blank] == '\t')) blank++;
    if (blank == size) return 0;
    if (size > INGEST_RECORD_MAX)
        return broken(csv, problems, text, size, "the record is longer than 16 MiB, the limit; check for an unclosed quote");
    if (ingest->columns_count > 0) return record(ingest, csv, text, size, problems);
    ingest->place = csv->record_line;
    if ((unsigned char)*text >= 0xFE)
        return broken(csv, problems, NULL, 0, "the file seems to be in UTF-16; save it as UTF-8"); /* its byte order mark */
    if (csv->dialect.header == SCHEMA_CSV_HEADER) return header(ingest, csv, text, size, problems);
    if (make_names(ingest, csv, text, size, problems)) return -1;
    return record(ingest, csv, text, size, problems);
}

/* ---- pieces ---- */

/* Continues to the end of the current record: returns the byte of its newline, or NULL when it is not in this piece. Counts lines within quotes. */
static const char *scan(struct csv *csv, const char *p, const char *end) {
    for (; p < end; p++) {
        char c = *p;
        if (csv->scan == SCAN_QUOTED) {
            p = memchr(p, csv->quote, (size_t)(end - p));
            if (!p) return NULL;
            csv->scan = SCAN_CLOSED;
        } else if (c == '\n') return p;
        else if (c == csv->quote && (csv->scan == SCAN_START || csv->scan == SCAN_CLOSED)) csv->scan = SCAN_QUOTED;
        else if (is_separator(csv, c)) csv->scan = SCAN_START;
        else if (csv->scan == SCAN_START && !is_blank(csv, c)) csv->scan = SCAN_PLAIN;
        else if (csv->scan == SCAN_CLOSED) csv->scan = SCAN_PLAIN;
    }
    return NULL;
}

static int64_t newlines(const char *p, const char *end) {
    int64_t n = 0;
    while ((p = memchr(p, '\n', (size_t)(end - p)))) n++, p++;
    return n;
}

/* Buffers bytes of an incomplete record. */
static int hold(struct csv *csv, const char *bytes, size_t size, struct schema_problems *problems) {
    if (csv->held_size + size > INGEST_RECORD_MAX + 2)
        return broken(csv, problems, csv->held, csv->held_size, "the record is longer than 16 MiB, the limit; check for an unclosed quote");
    if (csv->held_size + size >= csv->held_room) {
        size_t room = csv->held_room * 2 > csv->held_size + size ? csv->held_room * 2 : csv->held_size + size + 4096;
        char *grown = realloc(csv->held, room);
        if (!grown) return schema_ingest_no_memory(problems);
        csv->held = grown, csv->held_room = room;
    }
    memcpy(csv->held + csv->held_size, bytes, size);
    csv->held_size += size;
    return 0;
}

/* The end of the record that starts at p, nothing of it being held: mostly there is no quote in it. */
static const char *record_end(struct csv *csv, const char *p, const char *end) {
    csv->scan = SCAN_START;
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    if (newline && !memchr(p, csv->quote, (size_t)(newline - p))) return newline;
    return scan(csv, p, end);
}

static int consume(struct schema_ingest *ingest, struct csv *csv, const char *p, const char *end, struct schema_problems *problems) {
    while (p < end) {
        bool whole = csv->held_size == 0;
        const char *newline = whole ? record_end(csv, p, end) : scan(csv, p, end);
        if (!newline) return hold(csv, p, (size_t)(end - p), problems);
        const char *text = p;
        size_t length = (size_t)(newline - p);
        if (!whole) {
            if (hold(csv, p, length, problems)) return -1;
            text = csv->held, length = csv->held_size;
        }
        if (take_record(ingest, csv, text, length, problems)) return -1;
        csv->line += newlines(text, text + length) + 1;
        csv->record_line = csv->line;
        csv->held_size = 0;
        csv->scan = SCAN_START;
        p = newline + 1;
    }
    return 0;
}

/* The sample is complete: finds out how the file is written, and reads it. */
static int begin(struct schema_ingest *ingest, struct csv *csv, bool whole, struct schema_problems *problems) {
    const char *start = csv->sample ? csv->sample : "", *end = start + csv->sample_size;
    int comments;
    const char *text = csv_preamble(start, end, &csv->dialect, &comments);
    csv->line = csv->record_line = csv->first_line = 1 + newlines(start, text);
    csv->begun = true;
    csv->guessed_header = !csv->dialect.header;
    if (comments) schema_ingest_warn(ingest, "the first %d lines begin with # and are skipped as comments", comments);
    csv_dialect_find(&csv->dialect, text, (size_t)(end - text), whole, &ingest->options);
    csv->separator = csv->dialect.separator, csv->quote = csv->dialect.quote;
    csv->trailing = csv_dialect_trailing(&csv->dialect, text, (size_t)(end - text), whole);
    if (csv->trailing) schema_ingest_warn(ingest, "every line ends with a separator; the empty last column is ignored");
    ingest->details = json_pack("{s:o}", "csv", csv_dialect_json(&csv->dialect));
    return consume(ingest, csv, text, end, problems);
}

int csv_feed(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems) {
    struct csv *csv = state;
    if (!csv->begun) {
        if (!csv->sample && !(csv->sample = malloc(CSV_SAMPLE))) return schema_ingest_no_memory(problems);
        size_t n = CSV_SAMPLE - csv->sample_size < size ? CSV_SAMPLE - csv->sample_size : size;
        memcpy(csv->sample + csv->sample_size, bytes, n);
        csv->sample_size += n, bytes += n, size -= n;
        if (csv->sample_size < CSV_SAMPLE) return 0;
        if (begin(ingest, csv, false, problems)) return -1;
        free(csv->sample);
        csv->sample = NULL;
    }
    return consume(ingest, csv, bytes, bytes + size, problems);
}

/* A table needs a line of names and a row. */
static int one_line(struct csv *csv, struct schema_problems *problems, const char *text, size_t size) {
    return schema_problem_cell(problems, csv->first_line, NULL, text, size,
                               "the data is a single line, %lld cells long: expected a line of column names and at least one row. curl -d removes "
                               "line ends, --data-binary @file.csv keeps them; to send a row without names, use header=false",
                               (long long)count_fields(csv, text, text + size));
}

int csv_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems) {
    struct csv *csv = state;
    if (!csv->begun && begin(ingest, csv, true, problems)) return -1;
    if (ingest->options.part && ingest->rows > 0) csv->held_size = 0; /* perhaps cut */
    if (csv->scan == SCAN_QUOTED && csv->held_size)
        return broken(csv, problems, csv->held, csv->held_size, "a quote in this record is not closed before the end of the file");
    const bool named = csv->guessed_header || csv->dialect.header == SCHEMA_CSV_HEADER;
    const bool utf16 = csv->held_size && (unsigned char)*csv->held >= 0xFE;
    const char *carriage = csv->held_size ? memchr(csv->held, '\r', csv->held_size - 1) : NULL; /* lines that end in CR alone */
    if (csv->held_size && csv->record_line == csv->first_line && named && !carriage && !utf16 && !ingest->options.part)
        return one_line(csv, problems, csv->held, csv->held_size);
    if (csv->held_size && take_record(ingest, csv, csv->held, csv->held_size, problems)) return -1;
    if (ingest->columns_count == 0)
        return schema_problem_add(problems, NULL, "the file is empty; expected a line of column names and at least one row");
    if (ingest->rows == 1 && ingest->problems_found == 0 && csv->guessed_header && csv->dialect.header == SCHEMA_CSV_NO_HEADER &&
        !ingest->options.part && csv->begun && ingest->buffering)
        return schema_problem_add(problems, NULL,
                                  "the data is a single line of %d cells: expected a line of column names and at least one row. curl -d removes line "
                                  "ends, --data-binary @file.csv keeps them; to send a row without names, use header=false",
                                  ingest->columns_count);
    if (ingest->rows == 0 && ingest->problems_found == 0)
        return schema_problem_add(problems, NULL, "the file has a line of column names and no rows; at least one is needed");
    return 0;
}

extern const struct schema_format_ops schema_format_csv;
const struct schema_format_ops schema_format_csv = {
    .entry = {.name = "csv", .summary = "Comma-separated values; other separators, decimal commas, quotes and a missing header line are recognised"},
    .content_type = "text/csv",
    .open = csv_open,
    .feed = csv_feed,
    .finish = csv_finish,
    .close = csv_close,
};
