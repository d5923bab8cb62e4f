/* row_block.h - rows that are predicted together, and how they are written: as CSV, JSON lines, or the predictions of a JSON document. Rows that
 * failed stand between the others with their reason, or apart. Private to predict/: what reads the rows is row_stream.c and batch.c.
 *
 * A block runs when the predictor has as many rows as it takes, as in a request of JSON: then predictions have the same bits. */
#ifndef SCHEMA_ROW_BLOCK_H
#define SCHEMA_ROW_BLOCK_H

#include "schema/predict/predictor.h"
#include "schema/predict/shares.h"
#include "schema/predict/stream.h"

struct block_row {
    int64_t row;                 /* from 1 */
    int32_t slot;                /* in the workspace, -1: it failed */
    size_t kept_end, reason_end; /* where its part of the texts ends */
};

/* A label as a cell of CSV. */
struct block_label {
    size_t at, size; /* in `labels` */
};

struct schema_block {
    struct schema_predictor *predictor;
    enum schema_rows_form form;
    bool numbers;  /* NPY, whose failed rows are written as in CSV: form is CSV then */
    int64_t total; /* NPY: rows in the array */
    bool apart;    /* failed rows go to their own text, and each row has its number */
    bool begun;    /* the header is written */
    bool whole;    /* the kept cells of the row came at once */
    bool all;      /* its rows are all there is in the workspace, one after the other */
    char **names;  /* of the columns that are kept; owned */
    int32_t names_count, names_room;
    int32_t columns;           /* of a prediction, in CSV or NPY */
    struct schema_text labels; /* CSV: of all targets that are classes, one after the other */
    struct block_label *label; /* (labels_count of all targets) */
    int32_t *label_first;      /* (targets_count) where the labels of a target begin in `label` */
    struct block_row *rows;
    int32_t count;
    struct schema_text kept, reasons; /* of all rows, one after the other */
    struct schema_text out, failures; /* what is written now */
    struct schema_shares shares;      /* of what is written */
    struct schema_text scratch;       /* cells of the row that is being read */
    size_t *cell_start, *cell_size;   /* (names_room) of its kept cells in scratch; size 0: missing */
    double *row_numbers;              /* NPY: (columns) of the row that is being written; owned */
    int64_t good, failed;             /* rows */
    bool broken;                      /* the writer has refused */
    struct schema_rows_writer writer; /* none: what is written is held */
};

/* -1 with problems: a form that cannot hold the predictions of this model, thresholds, no memory. */
int schema_block_open(struct schema_block *block, struct schema_predictor *predictor, const struct schema_rows_options *options,
                      struct schema_problems *problems);
void schema_block_close(struct schema_block *block);
/* Whether the answer has a column of that name. */
bool schema_block_has(const struct schema_block *block, const char *name, size_t size);
/* The names of the columns of a prediction, a new list; NULL: no memory. */
json_t *schema_block_columns(const struct schema_block *block);
/* A column that is kept: its index, -1: no memory. Before the first row. */
int32_t schema_block_keep(struct schema_block *block, const char *name, size_t size);

/* ---- a row: its kept cells, then good, or a reason and failed ---- */
void schema_block_row(struct schema_block *block);
/* A cell as a text (quoted as needed), or as JSON (a number, an array, true). */
void schema_block_cell_text(struct schema_block *block, int32_t kept, const char *text, size_t size);
void schema_block_cell_json(struct schema_block *block, int32_t kept, const char *json, size_t size);
/* A cell of CSV: a number where it reads like one. */
void schema_block_cell_csv(struct schema_block *block, int32_t kept, const char *text, size_t size);
/* The kept cells of the row at once, as the form has them: cells joined by commas, or members of an object. */
void schema_block_cells(struct schema_block *block, const char *bytes, size_t size);
/* It is in that slot of the workspace. */
void schema_block_good(struct schema_block *block, int64_t row, int32_t slot);
/* Instead of all of this: rows row..row+n-1 are in the slots from 0 on, and nothing of them is kept. False: this form needs them one by one. */
bool schema_block_all_good(struct schema_block *block, int64_t row, int32_t n);
/* Why it cannot be predicted; followed by failed. column and value may be NULL. */
struct block_fault {
    int64_t line; /* 0: not known */
    const char *column, *value, *detail;
    size_t value_size;
};
void schema_block_reason(struct schema_block *block, const struct block_fault *fault);
void schema_block_failed(struct schema_block *block, int64_t row);
/* Whether it has as many rows as it takes, or as much text. */
bool schema_block_full(const struct schema_block *block);
/* Predicts and writes what it has. -1 with the error: no memory, the writer has refused (no message). */
int schema_block_flush(struct schema_block *block, struct bp_error *error);
/* What another block of the same options has written, and has held because it has no writer, is written behind what this one has. */
void schema_block_take(struct schema_block *block, struct schema_block *other);
/* Gives the writer all that is written. -1 as for flush. */
int schema_block_write(struct schema_block *block, struct bp_error *error);
/* The end of the document. */
int schema_block_finish(struct schema_block *block, struct bp_error *error);
int64_t schema_block_memory(const struct schema_block *block);

#endif
