/* csv_dialect.h - how a text file of rows is written: separator, decimal mark, quote, whether the first line names the columns. Private to formats/.
 */
#ifndef SCHEMA_CSV_DIALECT_H
#define SCHEMA_CSV_DIALECT_H

#include "schema/ingest/sink.h"

enum { CSV_SAMPLE = 64 << 10 /* bytes from which it is found out */ };

/* Fills what is 0 in *dialect from the first bytes of a file (without a byte order mark); whole: there are no others. given: column types, whose
 * names indicate a header. */
void csv_dialect_find(struct schema_csv_dialect *dialect, const char *text, size_t size, bool whole, const struct schema_ingest_options *given);
/* What stands before the table and says something of it: a byte order mark, a line "sep=;" of Excel, which sets the separator, lines of comments,
 * which begin with #. Returns where the table begins; *comments: how many lines of them. */
const char *csv_preamble(const char *text, const char *end, struct schema_csv_dialect *dialect, int *comments);
/* Whether all records end with a separator. */
bool csv_dialect_trailing(const struct schema_csv_dialect *dialect, const char *text, size_t size, bool whole);
/* Reads a number with a decimal comma, its thousands perhaps in groups by points: "1.234,56". */
bool csv_comma_number(const char *text, size_t size, double *number);
/* {"separator":";","decimal":",","quote":"\"","header":true} */
json_t *csv_dialect_json(const struct schema_csv_dialect *dialect);
/* The opening of csv and tsv; *dialect has what is known before. */
int csv_open_as(struct schema_ingest *ingest, void **state, const struct schema_csv_dialect *dialect, struct schema_problems *problems);
int csv_feed(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems);
int csv_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems);
void csv_close(void *state);

#endif
