/* spelling.h - how the numbers and dates of a column are written, found out from the sample: marks of thousands, percent, currencies, forms of
 * dates; and whether they are numbers at all, or codes that a number would shorten. Private to schema/. */
#ifndef SCHEMA_INGEST_SPELLING_H
#define SCHEMA_INGEST_SPELLING_H

#include "schema/dataset/cell.h"
#include "schema/text/datetime.h"
#include "schema/text/number_format.h"

enum { INGEST_SHOWN = 64 };

/* Of the cells of the sample. */
struct ingest_spelling {
    int64_t written;                          /* texts that are numbers, but not plain ones */
    int64_t strings, percents;                /* plain numbers in JSON strings; numbers with a percent sign */
    int64_t fractions, zeros, digits, eights; /* numbers: with a fraction; codes by what they would lose; dates of eight digits */
    unsigned not_marks, ever_grouped;         /* bits of enum schema_number_marks: some number is not written so; some is grouped so */
    bool accounting, narrow, mixed;           /* mixed: several currencies */
    char currency[8];
    char shown[INGEST_SHOWN], code[INGEST_SHOWN], string[INGEST_SHOWN]; /* the first of written, of zeros and digits, of strings */
    struct schema_datetime_forms forms;                                 /* that all texts fit */
    int64_t resembling;                                                 /* texts that look like dates */
    char no_date[INGEST_SHOWN];                                         /* the first of these that is none in any form, and its place */
    int64_t no_date_place;
};

/* A plain number: its text, and whether it stood in a JSON string. */
void schema_spelling_number(struct ingest_spelling *s, const char *text, size_t size, bool string);
/* Another text that is neither missing nor true or false. */
void schema_spelling_text(struct ingest_spelling *s, const char *text, size_t size, int64_t place);

/* Whether all of `numbers` plain numbers and the written ones have one format; commas: a decimal comma counts as evidence by itself. */
bool schema_spelling_format(const struct ingest_spelling *s, int64_t numbers, bool commas, struct schema_number_format *format);
/* Whether the numbers are codes: zeros in front, or integers of more digits than a double holds, and no fraction among them. */
bool schema_spelling_codes(const struct ingest_spelling *s);

#endif
