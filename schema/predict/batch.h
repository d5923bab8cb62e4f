/* batch.h - all rows of a dataset through a model, block by block: what a batch, and `backpropd predict` with a file that is no text of rows, does.
 * What comes out is as in stream.h; the rows are those of the dataset, and failed ones may go apart. A batch can be left between two blocks and gone
 * on with by another process, which writes the same bytes. */
#ifndef SCHEMA_PREDICT_BATCH_H
#define SCHEMA_PREDICT_BATCH_H

#include "schema/dataset/dataset.h"
#include "schema/predict/stream.h"

struct schema_batch;
/* Model, dataset and options are borrowed until close; options: without csv, encoding and the limits. NULL with problems (places: /format, /keep,
 * /thresholds): columns that the model needs and the dataset lacks, or has as another type, a form that cannot hold the predictions or what is kept.
 */
struct schema_batch *schema_batch_open(const struct schema_model *model, const struct schema_dataset *dataset,
                                       const struct schema_rows_options *options, struct schema_problems *problems);
void schema_batch_close(struct schema_batch *batch);

/* Where a batch is, between two blocks. */
struct schema_batch_place {
    int64_t row;          /* the next one, from 0 */
    int64_t good, failed; /* rows before it */
};
/* Goes on from there, what was written before being kept: before the first block. counts: of schema_batch_counts then, for the warnings; may be NULL.
 */
void schema_batch_resume(struct schema_batch *batch, const struct schema_batch_place *place, const json_t *counts);
/* The next block. -1 with the error: damaged data, no memory, or (without a message) the writer has refused. At the end of the dataset it does
 * nothing. */
int schema_batch_next(struct schema_batch *batch, struct bp_error *error);
/* Gives the writer what it has not had yet; at the end of the dataset also the end of the document. -1 as for next. */
int schema_batch_write(struct schema_batch *batch, struct bp_error *error);
void schema_batch_place(const struct schema_batch *batch, struct schema_batch_place *place);
/* The names of the columns of an array, a new list; NULL: the form is another one, or no memory. */
json_t *schema_batch_columns(const struct schema_batch *batch);
/* Rows of the dataset, and rows of a block. */
int64_t schema_batch_rows(const struct schema_batch *batch);
int32_t schema_batch_block(const struct schema_batch *batch);
json_t *schema_batch_counts(const struct schema_batch *batch);
void schema_batch_warnings(const struct schema_batch *batch, void (*say)(void *context, const char *warning), void *context);

/* ---- blocks side by side ----
 *
 * A lane is what one more thread needs. It predicts pieces of the dataset, begin and run, and holds what comes of them until the batch takes it,
 * which it does in the order of the rows: what is written is what schema_batch_next would have written. The batch and a lane are used by one thread
 * at a time each; a lane is not run while it is taken. Not for FORM_JSON. */

struct schema_batch_lane;
/* NULL with the error. The batch must outlive it. */
struct schema_batch_lane *schema_batch_lane_new(struct schema_batch *batch, struct bp_error *error);
void schema_batch_lane_free(struct schema_batch_lane *lane);
/* The next piece: n rows from `first` on. Both are multiples of the rows of a block, but for what is cut off at the end of the dataset. */
void schema_batch_lane_begin(struct schema_batch_lane *lane, int64_t first, int64_t n);
/* Predicts the piece until its end: 0; until some MB of text wait to be taken, or go_on(context), asked before each block, is false: 1. -1 with the
 * error. */
int schema_batch_lane_run(struct schema_batch_lane *lane, bool (*go_on)(void *context), void *context, struct bp_error *error);
/* Takes what the lane holds, which are the next rows of the batch; schema_batch_write is to have written what was taken before. */
void schema_batch_take(struct schema_batch *batch, struct schema_batch_lane *lane);

#endif
