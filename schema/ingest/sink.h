/* sink.h - what a format sees of an ingest: it names columns, then gives cells row by row. Private to schema/.
 *
 *     column ...                              before the first row; while `buffering` also later, when `sparse`
 *     row_begin; cell ...; row_end            cells in any order, one per column; when `sparse` at most one: columns without are missing
 *
 * Cells of the first megabyte are buffered; then types are inferred, the buffered rows replayed, and further cells go directly into the
 * row group being filled. All functions return -1 when the upload cannot go on; a cell that does not fit is recorded and the upload continues, so
 * that all of them are counted; finish refuses it in the end. */
#ifndef SCHEMA_INGEST_SINK_H
#define SCHEMA_INGEST_SINK_H

#include "schema/dataset/cell.h"
#include "schema/dataset/cell_dictionary.h"
#include "schema/dataset/column_file.h"
#include "schema/dataset/statistics.h"
#include "schema/ingest/decode.h"
#include "schema/ingest/ingest.h"
#include "schema/ingest/spelling.h"
#include "schema/types.h"

enum {
    INGEST_ABSENTS = 3,                  /* texts that may mean a missing number in one column */
    INGEST_SAMPLE = 1 << 20,             /* bytes of cells from which types are inferred */
    INGEST_CELL_MAX = 1 << 20,           /* bytes of a cell's text */
    INGEST_RECORD_MAX = 16 << 20,        /* bytes of a record */
    INGEST_NAME_MAX = 1024,              /* bytes of a column's name */
    INGEST_DICTIONARIES_MAX = 256 << 20, /* bytes of all categories */
    INGEST_WARNINGS_MAX = 20,
    INGEST_ABSENT_NUMBERS = 20,   /* with more distinct numbers, other texts may mean a missing one */
    INGEST_DISTINCT_CELLS = 1000, /* with fewer cells, a column of distinct texts is categories */
    INGEST_IDENTIFIER_ROWS = 50,  /* with fewer rows, distinct values are chance */
    INGEST_LABELS_MAX = 10000,    /* of one cell */
    INGEST_LABELS_BYTES = 5 * INGEST_LABELS_MAX
};

/* Detects redundant columns, review.c. */
struct ingest_trace {
    bool begun, uneven;  /* uneven: the numbers do not count up by one */
    double offset, last; /* the first number; the last one */
    double sums[4];      /* of numbers weighted in two ways, and of the weights */
    uint64_t codes;
};

struct ingest_column {
    char *name;
    size_t name_size;
    enum schema_type type;
    const struct schema_column_type *given; /* as given by the user, or NULL */
    bool declared;                          /* by the format: type and cell_shape are known before the first row */
    /* the sample: how many cells are numbers, true/false, NA and the like, other text, arrays */
    int64_t sample_numbers, sample_booleans, sample_tokens, sample_texts, sample_arrays;
    int64_t sample_of[SCHEMA_TYPES_COUNT]; /* other texts that the type recognizes, until the first that it does not */
    int64_t sample_words;                  /* words of all other texts */
    int64_t sample_lists, sample_empty;    /* arrays of texts, and texts of CSV that are such lists; empty ones, which may be of anything */
    char odd[64];                          /* the first other text, shortened */
    struct ingest_spelling spelling;       /* of the sample */
    struct schema_dictionary absents;      /* NUMERIC: texts that mean a missing number here, found in the sample */
    int64_t absents_seen;
    /* the group being filled; which one depends on the type */
    double *numbers;
    uint32_t *codes;
    uint64_t *texts;
    float *tensors;
    uint8_t *absent;
    int64_t missing;
    struct schema_statistics statistics;
    struct ingest_trace trace;
    struct schema_dictionary dictionary; /* CATEGORICAL, LABELS */
    int64_t *counts;                     /* per category, per label */
    int32_t counts_room;
    const char *format;                           /* DATETIME, NUMERIC: how texts are written, or NULL */
    char format_found[SCHEMA_NUMBER_FORMAT_TEXT]; /* where it was found out */
    struct schema_number_format number_format;    /* NUMERIC: the same, parsed */
    int64_t lost;                                 /* NUMERIC: values whose digits or zeros a number does not keep */
    char first_lost[64];
    bool clock;         /* DATETIME: some value is not the start of a day */
    int64_t kept;       /* NA and the like kept as a category */
    char written[2][8]; /* BOOLEAN: false, true as they first appeared */
    int64_t boolean_counts[2];
    struct bp_shape cell_shape, shape; /* TENSOR: as cells arrive, as it is stored (H, W, C) */
    bool turned;                       /* cells arrive as (C, H, W) */
    int64_t gaps;                      /* TENSOR: cells in which some number is missing, padding apart */
    bool floats;                       /* TENSOR: an earlier version holds some that are no bytes */
    float *scratch;
};

/* The different values of a column in the sample, as far as its type depends on them. */
struct ingest_values {
    struct schema_dictionary texts, numbers; /* numbers: no more than INGEST_ABSENT_NUMBERS + 1 */
    bool many;                               /* too many texts, or too long ones, to mean a missing number */
};

/* Rows first..first+n of a dataset's column, which go into the group of column `to`, from group_row on. */
struct ingest_copy {
    struct schema_ingest *ingest;
    int32_t to;
    const struct schema_dataset *from;
    int32_t column;
    const int32_t *codes; /* of the dataset's categories in column `to` */
    int64_t first, n;
    bool counted; /* the statistics have these rows already */
};

/* Who takes rows instead of a column file, as they are read. Functions return 0, or -1 with a problem when reading cannot go on. */
struct ingest_receiver {
    void *context;
    /* A column was added. It may set ingest->numbers[column] to a place for the numbers of that column. */
    int (*column)(void *context, int32_t column, struct schema_problems *problems);
    /* A key of JSON after the first record that is no column: its member is left out. */
    void (*unknown)(void *context, const char *key, size_t size);
    /* A row begins, which ends the one before. The last one ends when the data does. */
    int (*row)(void *context, int64_t place, struct schema_problems *problems);
    int (*cell)(void *context, const struct schema_cell *cell, struct schema_problems *problems);
    /* Something is wrong with the row (column -1) or a cell of it. value may be NULL. */
    void (*fault)(void *context, int32_t column, const char *value, size_t size, const char *detail);
    bool in_row; /* kept by the ingest: what is wrong is the fault of a row */
};

struct schema_ingest {
    struct ingest_receiver *receiver; /* NULL: a column file takes the rows */
    const struct schema_format_ops *format;
    void *state;
    struct schema_ingest_options options;
    struct schema_decoder *decoder; /* NULL: bytes are not encoded */
    int fd;
    struct column_file *file;
    struct ingest_column *columns;
    int32_t columns_count, columns_room;
    struct schema_dictionary names;
    bool buffering; /* types are not inferred yet */
    bool failed, finished;
    bool looked_at, data_looked_at; /* the first bytes were looked at for their encoding; the first decoded ones for what they are */
    char four[4], first[512];       /* these, until then */
    size_t four_size, first_size;
    bool sparse;            /* set by the format: rows may lack cells */
    int64_t problems_found; /* cells and rows that do not fit */
    struct schema_cells sample;
    int64_t sample_rows, rows, rows_per_group, group_row, rows_flushed;
    int32_t set_first, set_columns;   /* the columns that are being written: all, unless they are appended to an earlier version */
    int64_t group_known;              /* rows of the group that count already */
    uint64_t bytes;                   /* after finish: where the file ends */
    int64_t place;                    /* of the current row: its line, or its index */
    double **numbers;                 /* per column: the numbers of the group, NULL when it is not numeric or while buffering */
    struct column_values *values;     /* per column: the group as the column file takes it */
    float *weights;                   /* scratch: two per row of the group */
    double *dense;                    /* scratch: the numbers of one column that are there */
    size_t dictionaries_size;         /* bytes of all categories */
    size_t group_size;                /* bytes of the buffers of a group */
    char *name;                       /* from the body */
    struct schema_column_type *types; /* from the body */
    int32_t types_count;
    json_t *warnings;
    int64_t warnings_total;
    json_t *details;    /* what the format found out, or NULL */
    bool types_in_body; /* where the user can give types: in the body, or in the query */
    /* JSON: writes the pointer of a cell (column -1: of the row); NULL: problems name lines */
    void (*locate)(const struct schema_ingest *ingest, int32_t column, int64_t place, char *pointer, size_t size);
};

/* ---- for formats ---- */

/* Adds a column; returns its index, or -1 after adding a problem (empty, too long, not UTF-8, doubled, too many). */
int32_t schema_ingest_column(struct schema_ingest *ingest, const char *name, size_t size, struct schema_problems *problems);
/* The same for a format that knows the type: NUMERIC, BOOLEAN, or TENSOR with its shape (else NULL). */
int32_t schema_ingest_declare(struct schema_ingest *ingest, const char *name, size_t size, enum schema_type type, const struct bp_shape *shape,
                              struct schema_problems *problems);
/* All columns are declared: rows go straight into groups. end: 0, or where in the file this version begins, whose sets are then to be begun too. */
int schema_ingest_start(struct schema_ingest *ingest, uint64_t end, struct schema_problems *problems);
/* Begins the next set, of so many columns, with groups that lie in the file already; the rows of the set before are flushed. rows_per_group 0: as
 * fits. */
int schema_ingest_set(struct schema_ingest *ingest, int32_t columns, int64_t rows_per_group, const struct column_file_group *groups,
                      int64_t groups_count, struct schema_problems *problems);
/* Opens the file and begins its only set. */
int schema_ingest_open_groups(struct schema_ingest *ingest, struct schema_problems *problems);
/* Frees a column's buffers for a group; its statistics stay. */
void schema_ingest_free_group(struct ingest_column *column);
int schema_ingest_write_footer(struct schema_ingest *ingest, struct schema_problems *problems);
/* Writes the group unchanged. */
int schema_ingest_flush(struct schema_ingest *ingest, struct schema_problems *problems);
int schema_ingest_row_begin(struct schema_ingest *ingest, int64_t place, struct schema_problems *problems);
int schema_ingest_cell(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems);
int schema_ingest_row_end(struct schema_ingest *ingest, struct schema_problems *problems);
/* Notes a problem of the current row or cell (column -1: the row). Returns 0: the upload continues, and the first SCHEMA_PROBLEMS_MAX are reported.
 */
int schema_ingest_problem(struct schema_ingest *ingest, int32_t column, const char *value, size_t size, struct schema_problems *problems,
                          const char *format, ...) __attribute__((format(printf, 6, 7)));
void schema_ingest_warn(struct schema_ingest *ingest, const char *format, ...) __attribute__((format(printf, 2, 3)));
int schema_ingest_no_memory(struct schema_problems *problems);
/* A row could not be read to its end, and the problems that were added say why: for a receiver that is the fault of the row, and reading goes on (0);
 * otherwise -1. */
int schema_ingest_row_lost(struct schema_ingest *ingest, struct schema_problems *problems);
/* An ingest whose rows go to a receiver. names: columns that JSON records may have, known before the first. */
int schema_ingest_receive(const struct schema_format_ops *format, const struct schema_ingest_options *options, struct ingest_receiver *receiver,
                          const char *const *names, int32_t names_count, struct schema_ingest **ingest, struct schema_problems *problems);

/* ---- between the files of ingest ---- */

/* Settles every column's type from the sample and the user's word. */
int schema_ingest_infer(struct schema_ingest *ingest, struct schema_problems *problems);
/* How to set another type: types=age:categorical in the query of CSV, a member of the body in JSON. */
void schema_ingest_override(const struct schema_ingest *ingest, const struct ingest_column *column, const char *type, char *text, size_t size);
/* Puts a cell into the group being filled. */
int schema_ingest_store(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems);
/* The code of a category (CATEGORICAL), from 0, added when it is new; -1 with a problem. */
int32_t schema_ingest_category(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems);
/* The same of a label (LABELS), which is compared byte by byte. */
int32_t schema_ingest_label(struct schema_ingest *ingest, int32_t column, const char *text, size_t size, struct schema_problems *problems);
/* labels.c: whether a text is a list of texts, "" 0: no, 1: yes, 2: an empty one; puts a cell of labels into the group; appends a code to the
 * bytes of a cell, of which there are `size`, and returns how many there are then. */
enum ingest_list { INGEST_NO_LIST, INGEST_LIST, INGEST_EMPTY_LIST };
enum ingest_list schema_ingest_list(const char *text, size_t size);
int schema_ingest_store_labels(struct schema_ingest *ingest, struct ingest_column *column, const struct schema_cell *cell,
                               struct schema_problems *problems);
size_t schema_ingest_label_put(unsigned char *bytes, size_t size, int32_t code);
/* n rows have been put into the group at once, from group_row on. */
int schema_ingest_rows_end(struct schema_ingest *ingest, int64_t n, struct schema_problems *problems);
/* Why a column has its type, for people. */
void schema_ingest_reason(const struct schema_ingest *ingest, int32_t column, char *text, size_t size);
/* The weights of rows row..row+rows: 2 rows of them. */
void schema_ingest_draw(uint64_t row, int64_t rows, float *weights);
/* The group's rows from..rows go into the trace of a numeric column; of one of codes, the first of them being row `row` of the dataset. */
void schema_ingest_trace_numbers(struct ingest_column *column, int64_t from, int64_t rows, const float *weights);
void schema_ingest_trace_codes(struct ingest_column *column, uint64_t row, int64_t from, int64_t rows);
/* The type was inferred, or declared by a format that saw codes. */
bool schema_ingest_guessed(const struct ingest_column *column);
/* Warns: column NAME WHAT; PURPOSE, send it with the type. */
void schema_ingest_advise(struct schema_ingest *ingest, const struct ingest_column *column, const char *type, const char *purpose, const char *what);
/* Numbers that are kept as texts because they are codes. False: they are not. */
bool schema_ingest_review_codes(struct schema_ingest *ingest, const struct ingest_column *column);
/* Categories that are dates. False: they are not. */
bool schema_ingest_review_dates(struct schema_ingest *ingest, const struct ingest_column *column);
/* The warnings that can only be determined at the end. */
void schema_ingest_review(struct schema_ingest *ingest);
/* name cut to a readable length between characters; text holds at least 64 bytes. */
const char *schema_ingest_short(const char *name, size_t size, char text[static 64]);
/* Appends /part to a JSON pointer, escaped, truncated if it does not fit. */
void schema_ingest_pointer(char *pointer, size_t size, const char *part, size_t part_size);

/* ---- for types/: what several types share ---- */

/* infer.c: what the sample shows. Texts of many words; texts that may be sentences and not classes; numbers of which the digits matter and not the
 * value; numbers, but for a few cells. */
bool schema_ingest_is_prose(const struct ingest_column *column);
bool schema_ingest_may_be_text(const struct ingest_column *column);
bool schema_ingest_are_codes(const struct ingest_column *column);
bool schema_ingest_may_be_numbers(const struct ingest_column *column);
/* The reason of a column of codes; false: it is none. */
bool schema_ingest_reason_codes(const struct ingest_column *column, char *text, size_t size);
/* store.c: a cell does not fit; expected: "a number". */
int schema_ingest_misfit(struct schema_ingest *ingest, const struct schema_cell *cell, const char *expected, struct schema_problems *problems);
/* groups.c: `count` of columns of numbers, of codes and of bytes; their bytes' statistics are added as they are stored. */
void schema_ingest_count_numbers(struct schema_ingest *ingest, struct ingest_column *column, uint64_t first, int64_t from, int64_t rows);
void schema_ingest_count_codes(struct schema_ingest *ingest, struct ingest_column *column, uint64_t first, int64_t from, int64_t rows);
void schema_ingest_count_bytes(struct schema_ingest *ingest, struct ingest_column *column, uint64_t first, int64_t from, int64_t rows);
/* `categories` and `category_text` of columns with a dictionary. */
int32_t schema_ingest_categories(struct ingest_column *column, int64_t **counts);
char *schema_ingest_category_text(struct ingest_column *column, int32_t code);
/* join.c: `copy` of columns of numbers and of codes. */
int schema_ingest_copy_numbers(const struct ingest_copy *copy);
int schema_ingest_copy_codes(const struct ingest_copy *copy);
/* review.c: `constant` of columns with the minimum and maximum of their numbers. */
bool schema_ingest_constant(const struct ingest_column *column);

#endif
