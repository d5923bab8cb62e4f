/* types.h - the family of column types. A type is one file in types/, which defines a `const struct schema_type_ops schema_type_NAME`, and one row in
 * types.def. What differs between types is a field or a function here: code elsewhere asks for it and does not compare types.
 *
 * Functions may be NULL where their comment says so. */
#ifndef SCHEMA_TYPES_H
#define SCHEMA_TYPES_H

#include "engine/base/base.h"
#include <jansson.h>

enum schema_type {
#define SCHEMA_TYPE(NAME, name, number, precedence) SCHEMA_##NAME = number,
#include "schema/types.def"
#undef SCHEMA_TYPE
};
enum {
    SCHEMA_TYPES_COUNT = 0
#define SCHEMA_TYPE(NAME, name, number, precedence) +1
#include "schema/types.def"
#undef SCHEMA_TYPE
};

/* What the cells of a column are held as: in a row group, in the column file and for those who read them. */
enum schema_storage {
    SCHEMA_HELD_AS_NUMBER, /* double, NaN: missing */
    SCHEMA_HELD_AS_CODE,   /* index into the column's categories */
    SCHEMA_HELD_AS_TENSOR, /* numbers of one shape */
    SCHEMA_HELD_AS_BYTES   /* any number of bytes */
};

/* What a cell is in a row that a network reads: see struct schema_feature_value. */
enum schema_value_kind { SCHEMA_VALUE_MISSING, SCHEMA_VALUE_NUMBER, SCHEMA_VALUE_CATEGORY, SCHEMA_VALUE_TENSOR, SCHEMA_VALUE_TEXT };

/* What a column can be learned as. */
enum schema_target_kind {
    SCHEMA_TARGET_NONE,
    SCHEMA_TARGET_NUMBER,   /* a number, or a class when it is one of few integers */
    SCHEMA_TARGET_CLASS,    /* one of the column's categories */
    SCHEMA_TARGET_LABELS,   /* any number of the column's categories */
    SCHEMA_TARGET_POSITIONS /* a tensor of numbers, or of classes */
};

struct schema_dataset;
struct schema_column;
struct schema_preprocessing;
struct schema_feature;
struct schema_fit;
struct schema_feature_value;
struct schema_stretch;
struct schema_predictor;
struct schema_problems;
struct schema_scan;
struct schema_rows;
struct rows_column;
struct schema_cell;
struct schema_ingest;
struct ingest_column;
struct ingest_values;
struct ingest_spelling;
struct ingest_copy;

struct schema_type_ops {
    const char *name;    /* as in the contract: "numeric" */
    const char *summary; /* one line, a sentence without its full stop */
    enum schema_storage storage;

    /* ---- stored columns ---- */
    unsigned kinds;                         /* blocks of the column file that its cells may be in: bits, 1u << enum block_kind */
    bool has_shape;                         /* each cell is an array, of the column's shape */
    bool has_format;                        /* a column may have a format, which its texts are written in */
    bool counts_distinct;                   /* its numbers may be few, or integers: both are recorded with the column */
    bool codes_are_numbers;                 /* the code of a cell is also its number */
    bool is_of_empty;                       /* the type of a column without values, which can be read as one of any type */
    int32_t categories_min, categories_max; /* how many categories a column has; 0, 0: none */
    unsigned serves;                        /* a column can be read as one of these types too: bits, 1u << enum schema_type */
    /* The bit that the column file holds of a column of this type; NULL, both: none. */
    bool (*flag)(const struct schema_column *column);
    void (*set_flag)(struct schema_column *column, bool flag);
    /* Adds what GET /v1/datasets/{name} shows beside name, type, shape and missing: min, max, categories, ... */
    void (*describe)(const struct schema_column *column, json_t *object);
    /* A cell as JSON, for the preview of rows. */
    json_t *(*cell_json)(const struct schema_dataset *dataset, int32_t column, int64_t row);
    /* Writes the cell of the current row as CSV or JSON, see row_writer.h. False: the piece is full before its end, and the next call goes on. */
    bool (*write)(struct schema_rows *rows, const struct rows_column *column);
    /* The code of the category that a text given later names, -1: there is none. NULL: without categories that cells could name. */
    int32_t (*category)(const struct schema_column *column, const char *text, size_t size);

    /* ---- uploads (schema/ingest/sink.h) ---- */
    bool plain_numbers; /* formats may put numbers into the group themselves, without store */
    /* A text of the sample that is neither a number, true or false, nor missing: whether it is one of the type. NULL: nothing to count. */
    bool (*recognize)(const char *text, size_t size);
    /* Whether the type is inferred from the sample; asked by precedence. NULL: only by the user's word. */
    bool (*fits)(const struct schema_ingest *ingest, struct ingest_column *column, struct ingest_values *values);
    /* The type is known, from the sample, the user or the format: its format and shape. NULL: it has neither. */
    int (*complete)(struct schema_ingest *ingest, int32_t column, struct schema_problems *problems);
    /* A format that the user gives: adds a problem if it is not good. Needed with has_format. */
    int (*check_format)(const char *format, const char *pointer, struct schema_problems *problems);
    /* Why the column was inferred as this type, for people. False, NULL: the numbers of cells say it. */
    bool (*reason)(const struct ingest_column *column, char *text, size_t size);
    /* A cell into group_row, or a problem; -1: the upload cannot go on. */
    int (*store)(struct schema_ingest *ingest, struct ingest_column *column, const struct schema_cell *cell, struct schema_problems *problems);
    /* A format of the type that a cell which does not fit would fit (text: SCHEMA_NUMBER_FORMAT_TEXT bytes). NULL: never. */
    bool (*format_of)(const struct ingest_column *column, const struct ingest_spelling *alone, char *text);
    /* Rows from..rows of the group into the statistics; `first`: the number of row `from` in the dataset. */
    void (*count)(struct schema_ingest *ingest, struct ingest_column *column, uint64_t first, int64_t from, int64_t rows);
    /* How many categories, and the rows of each; the text of one. NULL, both: without categories. */
    int32_t (*categories)(struct ingest_column *column, int64_t **counts);
    char *(*category_text)(struct ingest_column *column, int32_t code);
    /* Further properties of the stored column. NULL: none. */
    void (*finish)(const struct ingest_column *column, struct schema_column *out);
    /* The code in an ingest's column of a category of a stored one, added when it is new; -1 with a problem. NULL: without categories. */
    int32_t (*join)(struct schema_ingest *ingest, int32_t column, const struct schema_column *from, int32_t code, struct schema_problems *problems);
    /* Stored cells into the group; -1: the disk is full. */
    int (*copy)(const struct ingest_copy *copy);
    /* Adds the type's warnings. NULL: none. */
    void (*review)(struct schema_ingest *ingest, const struct ingest_column *column);
    /* Whether all values are the same one. NULL: not looked at, or review says so. */
    bool (*constant)(const struct ingest_column *column);

    /* ---- features (schema/preprocessing/feature.h); fit NULL: never a feature ---- */
    enum schema_value_kind value;
    uint32_t options;                  /* the column options it has: bits of enum schema_column_option */
    uint32_t missing, scales, encodes; /* and their choices: bits of enum schema_missing, schema_scale, schema_encode */
    int missing_auto;                  /* enum schema_missing: what "auto" means where no training cell is missing; AUTO: not shown */
    bool moments;                      /* with the default options mean and deviation are all that is fitted, in one pass with other columns */
    bool unscaled;                     /* its numbers are 0 and 1 and stay that */
    bool quantity;                     /* numbers that can be weights, indices and targets */
    const char *not_feature;           /* fit NULL: why, for messages */
    /* options of the feature are set; name, type and format are there */
    int (*fit)(struct schema_preprocessing *p, struct schema_feature *feature, const struct schema_fit *fit, int32_t column, struct bp_error *error);
    int32_t (*width)(const struct schema_feature *feature); /* numbers in the inputs that columns share */
    /* Of these, the leading ones that are amounts: those of "numbers", when it and "categories" are two inputs. NULL: none. */
    int32_t (*numbers)(const struct schema_feature *feature);
    /* Whether it is an input with its own name, and its shape. NULL: never. */
    bool (*apart)(const struct schema_feature *feature, struct bp_shape *shape);
    /* One cell into the numbers of the network, `out` being where they start. */
    void (*transform)(const struct schema_preprocessing *p, const struct schema_feature *feature, const struct schema_feature_value *cell,
                      float *out);
    /* The cells of some rows of a dataset, through transform or faster. */
    void (*put)(const struct schema_stretch *rows, int32_t feature, float *scratch);
    /* Members of the model beside name and type; decode has read those of every type, and its error names the feature. */
    void (*encode)(const struct schema_feature *feature, json_t *json);
    int (*decode)(const json_t *json, struct schema_feature *feature);
    /* What an encode that numbers cells needs of the embedding that reads them, and what the numbers mean. 0: cells are numbers. NULL: always 0. */
    int32_t (*indices)(const struct schema_feature *feature, const char **meaning);
    /* Why a column is left out when a job does not name its features; text or NULL: it is used. NULL: always used. */
    const char *(*left_out)(const struct schema_dataset *dataset, const struct schema_column *column, char *text, size_t size);

    /* ---- predictions (schema/predict/predictor.h) ---- */
    /* A cell of a request, not null, into the predictor's cells: with every problem; and the fast reader, which gives up (false) on anything odd. */
    int (*read)(struct schema_predictor *p, int32_t feature, const json_t *json, const char *pointer, struct schema_problems *problems);
    bool (*scan)(struct schema_scan *scan, int32_t feature);
    /* A cell of rows that are read as they come, which may be missing: false when it is anything odd, which read() then decides. A text stays where
     * it is only until the next cell. NULL: always false. */
    bool (*take)(struct schema_predictor *p, int32_t feature, const struct schema_cell *cell);
    const char *replacement; /* of a missing cell, for warnings; NULL: by its options */
    /* A number of the column for messages; NULL: plain. text: SCHEMA_DATETIME_TEXT bytes. */
    void (*show)(double v, char *text);

    /* ---- targets and splits ---- */
    enum schema_target_kind target;
    const char *not_target; /* NONE: what to upload it as */
    const char *not_split;  /* why it cannot select validation rows, NULL: it can */
};

/* The entry of a type. */
const struct schema_type_ops *schema_type_of(enum schema_type type);
const char *schema_type_name(enum schema_type type);
bool schema_type_parse(const char *name, enum schema_type *type);
/* The types in the order of types.def; i below SCHEMA_TYPES_COUNT. */
enum schema_type schema_type_at(int32_t i);
/* The types in the order in which inference asks them. */
void schema_types_by_precedence(enum schema_type types[static SCHEMA_TYPES_COUNT]);

#endif
