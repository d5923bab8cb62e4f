/* json_record.h - what the JSON formats share: reading a value as a cell and an object as a row. Private to formats/. */
#ifndef SCHEMA_JSON_RECORD_H
#define SCHEMA_JSON_RECORD_H

#include "schema/ingest/sink.h"
#include "schema/text/json_text.h"

/* Zero-initialise, set ingest and end; free with json_reader_clear. */
struct json_reader {
    struct schema_ingest *ingest;
    const char *end; /* of the checked text */
    struct json_text_buffer key, text;
    int64_t *stamps; /* per column: index + 1 of the record in which it last occurred */
    int32_t stamps_room;
};

/* Gives the ingest the value at p as a cell of that column; returns the byte after it, NULL when the upload cannot go on. */
const char *json_cell(struct json_reader *reader, const char *p, int32_t column, struct schema_problems *problems);
/* The members of the record at p ('{') as cells of the row that has begun, new keys as new columns; record counts from 0. Returns the byte after it,
 * NULL when the upload cannot go on. */
const char *json_record(struct json_reader *reader, const char *p, int64_t record, struct schema_problems *problems);
void json_reader_clear(struct json_reader *reader);

#endif
