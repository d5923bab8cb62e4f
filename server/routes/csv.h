/* csv.h - tables as CSV (RFC 4180), for answers that are small. */
#ifndef SERVER_CSV_H
#define SERVER_CSV_H

#include "server/http/request.h"

/* Appends a cell: a text as it is, a number or another value as JSON, null as nothing. first: of its line. */
void csv_value(struct schema_text *text, const json_t *value, bool first);
void csv_text(struct schema_text *text, const char *cell, bool first);
void csv_line(struct schema_text *text); /* ends a line */
/* Whether Accept prefers text/csv to JSON. */
bool csv_wanted(const struct request *request);
/* Answers with the text, which it takes. */
void csv_answer(struct request *request, struct schema_text *text);

#endif
