/* json_record.c - JSON values become cells, JSON objects become rows. The text has been checked (json_text.h). */
#include "schema/formats/json_record.h"

#include "schema/text/number_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- cells ---- */

/* Gives the ingest the value at p as a cell of that column; returns the byte after it, NULL when the upload cannot go on. */
const char *json_cell(struct json_reader *reader, const char *p, int32_t column, struct schema_problems *problems) {
    struct schema_ingest *ingest = reader->ingest;
    struct schema_cell cell = {.kind = CELL_MISSING, .column = column, .text = p};
    const char *after = p;
    switch (*p) {
    case '"':
        cell.kind = CELL_STRING;
        after = json_text_string(p, reader->end, &reader->text, &cell.text, &cell.size);
        if (!after) return schema_ingest_no_memory(problems), NULL;
        break;
    case '[':
    case '{':
        after = json_text_skip(p, reader->end);
        cell.kind = CELL_ARRAY, cell.size = (size_t)(after - p);
        if ((*p == '{' && !ingest->receiver) || cell.size > INGEST_RECORD_MAX)
            return schema_ingest_problem(ingest, column, p, cell.size, problems,
                                         *p == '{' ? "expected a number, a text, true, false, null, an array of numbers or a list of texts, got an "
                                                     "object; make each member a column"
                                                   : "the array has more than 16 MiB of text, the limit")
                       ? NULL
                       : after;
        break;
    case 't':
    case 'f':
        cell.kind = CELL_BOOLEAN, cell.size = *p == 't' ? 4 : 5;
        after = p + cell.size;
        break;
    case 'n': after = p + 4; break;
    default:
        after = schema_number_scan(p, reader->end, true, &cell.number);
        if (!after) return schema_ingest_problem(ingest, column, p, 1, problems, "expected a value"), NULL;
        if (ingest->numbers && ingest->numbers[column] && fabs(cell.number) < 9007199254740992.0) { /* beyond: digits may be lost */
            ingest->numbers[column][ingest->group_row] = cell.number;
            return after;
        }
        cell.kind = CELL_NUMBER, cell.size = (size_t)(after - p);
    }
    return schema_ingest_cell(ingest, &cell, problems) ? NULL : after;
}

/* ---- records ---- */

/* The column of a key, added when it is new; -1 stop, -2 leave the member out. */
static int32_t column_of(struct json_reader *reader, const char *key, size_t size, int32_t expected, struct schema_problems *problems) {
    struct schema_ingest *ingest = reader->ingest;
    if (expected < ingest->columns_count && ingest->columns[expected].name_size == size && memcmp(ingest->columns[expected].name, key, size) == 0)
        return expected;
    int32_t column = schema_dictionary_find(&ingest->names, key, size);
    if (column >= 0) return column;
    if (ingest->buffering) return schema_ingest_column(ingest, key, size, problems);
    if (ingest->receiver) return ingest->receiver->unknown(ingest->receiver->context, key, size), -2;
    char shown[64];
    int stop =
        schema_ingest_problem(ingest, -1, key, size, problems,
                              "the key \"%s\" first appears after the first megabyte of rows; give it in the first record too (null if missing)",
                              schema_ingest_short(key, size, shown));
    return stop ? -1 : -2;
}

/* True when the column already occurred in this record. */
static int doubled(struct json_reader *reader, int32_t column, int64_t record, struct schema_problems *problems) {
    if (column >= reader->stamps_room) {
        int32_t room = reader->ingest->columns_room;
        int64_t *grown = realloc(reader->stamps, (size_t)room * sizeof *grown);
        if (!grown) return schema_ingest_no_memory(problems);
        memset(grown + reader->stamps_room, 0, (size_t)(room - reader->stamps_room) * sizeof *grown);
        reader->stamps = grown, reader->stamps_room = room;
    }
    if (reader->stamps[column] == record + 1)
        return schema_ingest_problem(reader->ingest, column, NULL, 0, problems, "the key appears twice in this record"), -1;
    reader->stamps[column] = record + 1;
    return 0;
}

/* The members of the record at p ('{'); returns the byte after it. */
const char *json_record(struct json_reader *reader, const char *p, int64_t record, struct schema_problems *problems) {
    int32_t expected = 0;
    p = json_text_blanks(p + 1, reader->end);
    while (*p != '}') {
        const char *key;
        size_t size;
        p = json_text_string(p, reader->end, &reader->key, &key, &size);
        if (!p) return schema_ingest_no_memory(problems), NULL;
        int32_t column = column_of(reader, key, size, expected, problems);
        if (column == -1 || (column >= 0 && doubled(reader, column, record, problems))) return NULL;
        p = json_text_blanks(json_text_blanks(p, reader->end) + 1, reader->end); /* over the colon */
        p = column >= 0 ? json_cell(reader, p, column, problems) : json_text_skip(p, reader->end);
        if (!p) return NULL;
        if (column >= 0) expected = column + 1; /* a member that is left out changes nothing */
        p = json_text_next(p, reader->end);
    }
    return p + 1;
}

void json_reader_clear(struct json_reader *reader) {
    free(reader->key.bytes);
    free(reader->text.bytes);
    free(reader->stamps);
}
