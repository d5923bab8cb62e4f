/* ingest_support.h - loads an upload given as text, for the tests of formats and datasets. */
#ifndef TESTS_INGEST_SUPPORT_H
#define TESTS_INGEST_SUPPORT_H

#include "schema/ingest/ingest.h"

/* What became of an upload. */
struct loaded {
    int failed;
    struct schema_dataset *data; /* NULL when it failed */
    struct schema_problems problems;
    json_t *warnings;
    char *name;
    char *file; /* the bytes of the column file */
    size_t file_size;
};

/* Feeds text[0..size) in pieces; types as in the query, or NULL. */
struct loaded load_pieces(const char *content_type, const char *text, size_t size, size_t piece, const struct schema_ingest_options *options);
struct loaded load_csv(const char *text, const char *types);
struct loaded load_json(const char *text);
void loaded_clear(struct loaded *loaded);

/* All rows as compact JSON, one per line, 15 digits. The caller's. */
char *rows_text(const struct schema_dataset *data);
/* A column of the columns JSON, compact, 15 digits. The caller's. */
char *column_text(const struct schema_dataset *data, int32_t column);
/* The problems' JSON. The caller's. */
char *problems_text(const struct loaded *loaded);

/* A new nameless file in /tmp. */
int nameless_file(void);

/* The upload is accepted and these are its rows. */
#define CSV_ROWS(text, types, rows) check_rows(load_csv(text, types), rows, __LINE__)
#define JSON_ROWS(text, rows)       check_rows(load_json(text), rows, __LINE__)
/* The upload is refused and its problems are exactly these. */
#define CSV_REFUSED(text, types, problems) check_refused(load_csv(text, types), problems, __LINE__)
#define JSON_REFUSED(text, problems)       check_refused(load_json(text), problems, __LINE__)
void check_rows(struct loaded loaded, const char *rows, int line);
void check_refused(struct loaded loaded, const char *problems, int line);
/* The upload is accepted with exactly these warnings, a JSON array. */
void check_warnings(struct loaded loaded, const char *warnings, int line);

#endif
