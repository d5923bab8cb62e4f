/* row_columns.h - numbers of the rows of a text, by column, until their block runs: then each column is scaled, compared with the range of the
 * training rows and counted beside the reference at once, as the columns of a dataset are. Private to predict/.
 *
 * Only numbers that certainly are finite once they are scaled can wait: a row with another one is looked at when it is read (row_columns_hold). */
#ifndef SCHEMA_ROW_COLUMNS_H
#define SCHEMA_ROW_COLUMNS_H

#include "schema/predict/predictor.h"

struct schema_row_columns {
    struct schema_predictor *p;
    bool *held;        /* (features_count) its numbers wait here */
    int32_t *features; /* (count) those */
    int32_t count;
    double *numbers; /* (features_count, batch_max and some) one column after the other, in the order of `features`; NaN: missing */
    int64_t *rows;   /* (batch_max) the row in each slot, from 1 */
};

/* -1: no memory. */
int row_columns_open(struct schema_row_columns *columns, struct schema_predictor *predictor);
void row_columns_close(struct schema_row_columns *columns);
int64_t row_columns_memory(const struct schema_row_columns *columns);
/* Before the first row of a block: of the features whose numbers are read into an array (direct), those that can wait. none: no feature may. */
void row_columns_begin(struct schema_row_columns *columns, const bool *direct, bool none);
/* Holds the numbers (features_count) of the next row, which goes into the slot `filled`. False: one of them may not be usable. */
bool row_columns_hold(struct schema_row_columns *columns, const double *numbers, int64_t row);
/* The rows of the block are complete: their numbers go into the workspace and are counted. */
void row_columns_run(struct schema_row_columns *columns);

#endif
