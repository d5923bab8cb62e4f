/* batch_lane.h - rows of a dataset, block by block, into the texts of one lane: what a thread of a batch has. Private to batch*.c. */
#ifndef SCHEMA_BATCH_LANE_H
#define SCHEMA_BATCH_LANE_H

#include "schema/dataset/rows.h"
#include "schema/predict/batch.h"
#include "schema/predict/row_block.h"

struct schema_batch_lane {
    const struct schema_dataset *dataset;
    const struct schema_rows_options *options;
    const struct schema_view *view; /* constant, of the batch */
    const int32_t *keep;            /* (keep_count) columns that are kept, of the batch */
    int32_t keep_count;
    struct schema_predictor *p;
    struct schema_block block;
    struct schema_rows *kept; /* NULL: nothing is kept, or no row was read yet */
    int64_t row, end;         /* the next row; where the piece ends */
    int64_t begun;            /* the first row that the batch has not taken */
};

/* The next n rows, at most as many as the predictor takes at once, into the texts. -1 with the error, or without: the writer has refused. */
int batch_lane_block(struct schema_batch_lane *lane, int32_t n, struct bp_error *error);
/* The batch's own lane, what the others share with it; counts another one. */
const struct schema_batch_lane *batch_own_lane(struct schema_batch *batch);

#endif
