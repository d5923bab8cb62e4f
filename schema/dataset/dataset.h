/* dataset.h - a dataset version as it is stored on disk: a memory-mapped column file up to where this version ends; what is there never changes.
 * Reading only; ingest.h writes.
 *
 * Once opened it is constant: any number of threads and processes may read it at once. Numbers are read as double, exactly
 * as they were given; nothing is scaled here. */
#ifndef SCHEMA_DATASET_H
#define SCHEMA_DATASET_H

#include "schema/types.h"

/* Whether its cells are numbers: those of a datetime are seconds since 1970-01-01 in UTC. */
bool schema_type_is_number(enum schema_type type);
/* Whether a column of the type `stored` is read where `requested` is the type: few rows may make categories of what many make texts of, and seconds
 * are times. */
bool schema_type_serves(enum schema_type stored, enum schema_type requested);

enum { SCHEMA_DISTINCT_MAX = 20 };

struct schema_category {
    char *value; /* UTF-8, as written at its first appearance */
    int64_t count;
};

struct schema_column {
    char *name;
    enum schema_type type;
    struct bp_shape shape; /* TENSOR: of one cell; else rank 0 */
    bool bytes;            /* TENSOR: held as u8 (all values are integers 0..255), else as f32 */
    bool days;             /* DATETIME: every value is the start of a day */
    const char
        *format; /* how its texts are written. DATETIME: as strptime() takes it, NULL: see datetime.h. NUMERIC: see number_format.h, NULL: plain */
    int64_t missing;
    double min, max, mean, std;           /* NUMERIC, DATETIME and TENSOR, over what is not missing; TEXT: words in a cell; LABELS: labels in a cell;
                                             std of the population; NaN when nothing is there */
    bool integral;                        /* NUMERIC: every value is an integer */
    int32_t distinct_count;               /* NUMERIC: number of distinct values, SCHEMA_DISTINCT_MAX + 1 when there are more */
    double distinct[SCHEMA_DISTINCT_MAX]; /* ascending; valid when distinct_count <= SCHEMA_DISTINCT_MAX */
    int32_t categories_count;             /* CATEGORICAL, LABELS: dictionary in order of appearance. BOOLEAN: always 2, false then true, as written */
    struct schema_category *categories;
};

struct schema_dataset {
    int64_t rows, bytes; /* bytes: of the file up to the end of this version, which may share them with others */
    int32_t columns_count;
    struct schema_column *columns;
    struct schema_dataset_map *map; /* private */
};

/* The same of a column; one that has no values, and so was taken as numeric, serves as anything. */
bool schema_column_serves(const struct schema_column *column, int64_t rows, enum schema_type requested);

/* Maps the first `bytes` (0: all) of the column file behind fd (which may be closed afterwards), where a version ends, and checks its header, sizes
 * and checksums of everything but the row groups' contents. The result is the caller's. Errors: not a column file, damaged, cut short, a newer
 * format. */
int schema_dataset_open(int fd, int64_t bytes, struct schema_dataset **dataset, struct bp_error *error);
void schema_dataset_free(struct schema_dataset *dataset);
/* The contents of a row group are checked when something of it is read for the first time; the cells of a damaged one read as missing. -1 with an
 * error: such a group was read. To be asked after reading, before a result is used. NULL: 0. */
int schema_dataset_intact(const struct schema_dataset *dataset, struct bp_error *error);
/* Checks all row groups. */
int schema_dataset_verify(const struct schema_dataset *dataset, struct bp_error *error);

/* Index of the column of that name, -1 when there is none. */
int32_t schema_dataset_find(const struct schema_dataset *dataset, const char *name);
/* NUMERIC, DATETIME: the number; BOOLEAN: 0 or 1; NaN when missing. */
double schema_dataset_number(const struct schema_dataset *dataset, int32_t column, int64_t row);
/* The same for rows first..first+n, faster. */
void schema_dataset_numbers(const struct schema_dataset *dataset, int32_t column, int64_t first, int64_t n, double *out);
/* The same in the file itself, if they lie there one after the other and none is missing; else in out, which has room for them. */
const double *schema_dataset_numbers_at(const struct schema_dataset *dataset, int32_t column, int64_t first, int64_t n, double *out);
/* These will be read soon. */
void schema_dataset_prefetch(const struct schema_dataset *dataset, int32_t column, int64_t first, int64_t n);
/* The same for rows[0..n), in any order; fastest when neighbours are close together. */
void schema_dataset_gather(const struct schema_dataset *dataset, int32_t column, const int64_t *rows, int64_t n, double *out);
/* For data larger than memory: rows first..first+n of a column will be read soon, or not for a while: then their pages leave this process. Nothing
 * changes but what is resident. */
void schema_dataset_advise(const struct schema_dataset *dataset, int32_t column, int64_t first, int64_t n, bool needed);
/* No page of the dataset is needed for now. */
void schema_dataset_release(const struct schema_dataset *dataset);
/* CATEGORICAL or BOOLEAN: index into categories, -1 when missing. */
int32_t schema_dataset_code(const struct schema_dataset *dataset, int32_t column, int64_t row);
/* The same for rows[0..n), in any order. */
void schema_dataset_gather_codes(const struct schema_dataset *dataset, int32_t column, const int64_t *rows, int64_t n, int32_t *out);
/* TEXT: the cell's bytes, UTF-8 without NUL, in the mapping; NULL when missing. */
const char *schema_dataset_text(const struct schema_dataset *dataset, int32_t column, int64_t row, size_t *size);
/* LABELS: the labels of a cell, as indices into categories, in the order in which they were given. False: the list is missing. */
struct schema_label_walk {
    const unsigned char *at, *end;
    int32_t count; /* of the dictionary */
};
bool schema_dataset_labels(const struct schema_dataset *dataset, int32_t column, int64_t row, struct schema_label_walk *walk);
/* The next one, -1: there is none. */
int32_t schema_label_next(struct schema_label_walk *walk);
/* TENSOR: writes the cell's numbers; all NaN when missing. */
void schema_dataset_tensor(const struct schema_dataset *dataset, int32_t column, int64_t row, float *out);

/* The `columns` array of GET /v1/datasets/{name}: [{name,type,shape,missing,min,max,mean,std,categories:[{value,count}]}]; shape only for tensors,
 * min..std only for numbers and tensors, categories (the 100 most frequent, with "categories_count") only for categorical and boolean. */
json_t *schema_dataset_columns_json(const struct schema_dataset *dataset);
/* A row for the preview: an object by column name; missing cells are null; floats with at most 17 digits; tensors nested arrays. */
json_t *schema_dataset_row_json(const struct schema_dataset *dataset, int64_t row);
/* The same of some columns; NULL: the first ones. */
json_t *schema_dataset_cells_json(const struct schema_dataset *dataset, int64_t row, const int32_t *columns, int32_t count);

/* CATEGORICAL or BOOLEAN: the code of a value given later (in a prediction), compared by its key (booleans: true/false in any case); -1 when unseen.
 */
int32_t schema_dataset_category(const struct schema_column *column, const char *text, size_t size);
/* For types: the category that has the same key, such as that of 1 and 1.0. */
int32_t schema_column_category(const struct schema_column *column, const char *text, size_t size);

#endif
