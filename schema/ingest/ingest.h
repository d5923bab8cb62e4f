/* ingest.h - uploads become column files: a format decodes bytes as they arrive, types are inferred from the first megabyte, rows go to disk with
 * bounded memory.
 *
 *     ingest = open(format, options, fd)      fd: a new file under a temporary name
 *     feed(ingest, piece, n) ...              as pieces of the body arrive, of any size
 *     finish(ingest)                          writes dictionaries, statistics, checksums; fsyncs
 *     close(ingest)                           always; the caller renames or unlinks the file
 *
 * Every function that can fail adds to `problems` and returns -1; after that only close is allowed. A problem of a row names
 * line, column, value and what to do; for cells the upload is read on, the first SCHEMA_PROBLEMS_MAX are stored and all are
 * counted; one is enough where the structure is broken (an open quote, JSON syntax). */
#ifndef SCHEMA_INGEST_H
#define SCHEMA_INGEST_H

#include "engine/base/registry.h"
#include "schema/dataset/dataset.h"
#include "schema/json/problems.h"

struct schema_ingest;

/* The type a user gives a column. */
struct schema_column_type {
    char *name;
    enum schema_type type;
    struct bp_shape shape; /* TENSOR: may be given; rank 0: as the data is */
    bool hwc;              /* "layout": "hwc" (the default) */
    char *format;          /* DATETIME: as strptime() takes it; NUMERIC: number_format.h; or NULL */
};

/* How CSV is written. 0: to be found out. */
enum { SCHEMA_CSV_HEADER = 1, SCHEMA_CSV_NO_HEADER = 2, SCHEMA_CSV_NO_QUOTE = '\n' /* never the start of a field */ };
struct schema_csv_dialect {
    char separator; /* , ; tab | */
    char decimal;   /* . , */
    char quote;     /* " ' or SCHEMA_CSV_NO_QUOTE */
    char header;    /* SCHEMA_CSV_HEADER: the first line names the columns; SCHEMA_CSV_NO_HEADER: they are called c0, c1, ... */
};

struct schema_ingest_options {
    const struct schema_column_type *types; /* borrowed until close */
    int32_t types_count;
    struct schema_csv_dialect csv;
    const char *column;     /* name of an array\'s column or columns, NULL: x; borrowed until close */
    const char *encoding;   /* a known Content-Encoding, or NULL; borrowed until open returns */
    int64_t decoded_max;    /* bytes after decoding; 0: no limit */
    bool part;              /* the bytes may end anywhere: a record that is cut is left out */
    bool types_stand;       /* the types are those of a dataset that gets more rows: a misfit is not to be cured by another type */
    bool one_column;        /* an array, also one of JSON, becomes one column, whatever its dimensions */
    bool types_may_lack;    /* a type for a column that the data does not have is passed over, not refused */
    int64_t rows_max;       /* 0: no limit */
    int32_t columns_max;    /* 0: 100,000 */
    int32_t categories_max; /* distinct values of one categorical column; 0: 100,000 */
};

/* The bytes of an upload may be of another kind than the Content-Type says: gzip and zstd are recognised without their header, other known kinds are
 * refused with what to do. NULL as the format: it is found out by the first bytes. */
/* A data format: one file in formats/, one line in formats.def. */
struct schema_format_ops {
    struct bp_entry entry;    /* name: "csv", "json" */
    const char *content_type; /* "text/csv", without parameters */
    const char *also;         /* another name of it, or NULL */
    int (*open)(struct schema_ingest *ingest, void **state, struct schema_problems *problems);
    int (*feed)(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems);
    int (*finish)(struct schema_ingest *ingest, void *state, struct schema_problems *problems);
    void (*close)(void *state);
};

extern const struct bp_family schema_formats;
/* The format for a Content-Type (parameters such as "; charset=utf-8" are ignored), or NULL. */
const struct schema_format_ops *schema_format_for(const char *content_type);
/* "text/csv, application/json or ..." for messages, truncated if it does not fit; returns text. */
const char *schema_format_list(char *text, size_t size);

/* Content-Encodings: gzip, zstd, identity (also NULL and ""). */
bool schema_encoding_known(const char *encoding);
bool schema_encoding_identity(const char *encoding);

int schema_ingest_open(const struct schema_format_ops *format, const struct schema_ingest_options *options, int fd, struct schema_ingest **ingest,
                       struct schema_problems *problems);
int schema_ingest_feed(struct schema_ingest *ingest, const void *bytes, size_t size, struct schema_problems *problems);
int schema_ingest_finish(struct schema_ingest *ingest, struct schema_problems *problems);
void schema_ingest_close(struct schema_ingest *ingest);

/* About how many bytes of memory it takes now. */
int64_t schema_ingest_memory(const struct schema_ingest *ingest);
/* After finish: where the file ends, and so how long this version is. */
int64_t schema_ingest_bytes(const struct schema_ingest *ingest);
/* After finish. The "name" of a JSON upload, NULL when it had none or the format has no place for one. Borrowed. */
const char *schema_ingest_name(const struct schema_ingest *ingest);
/* After finish: what the user should know (types guessed with doubt, empty columns, ...), a JSON array of at most 20 strings. The caller's. */
json_t *schema_ingest_warnings(const struct schema_ingest *ingest);
/* After finish: what the format found out, to be shown with the dataset: {"csv":{...}}; {} when there is nothing. The caller's. */
json_t *schema_ingest_details(const struct schema_ingest *ingest);

/* The CSV options of the query; NULL: none. */
int schema_csv_dialect_parse(const char *separator, const char *decimal, const char *quote, const char *header, struct schema_csv_dialect *dialect,
                             struct schema_problems *problems);

/* Parses "col:categorical,col2:numeric,col3:datetime:%d/%m/%Y" (a column name with a comma or colon in double quotes) or the JSON object `types`;
 * adds problems with the pointer or parameter at fault. *types is the caller's (schema_column_types_free). */
int schema_column_types_parse(const char *text, struct schema_column_type **types, int32_t *count, struct schema_problems *problems);
int schema_column_types_decode(json_t *object, const char *pointer, struct schema_column_type **types, int32_t *count,
                               struct schema_problems *problems);
void schema_column_types_free(struct schema_column_type *types, int32_t count);

#endif
