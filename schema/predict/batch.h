/* batch.h - all rows of a dataset through a model, block by block: what a batch, and `backpropd predict` with a file that is no text of rows, does.
 * What comes out is as in stream.h; the rows are those of the dataset, and failed ones may go apart. A batch can be left between two blocks and gone
 * on with by another process, which writes the same bytes. */
#ifndef SCHEMA_PREDICT_BATCH_H
#define SCHEMA_PREDICT_BATCH_H

#include "schema/dataset/dataset.h"
#include "schema/predict/stream.h"

struct schema_batch;
/* Model, dataset and options are borrowed until close; options: without csv, encoding and the limits. NULL with problems (places: /format, /keep,
 * /thresholds): columns that the model needs and the dataset lacks, or has as another type, a form that cannot hold the predictions. */
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
json_t *schema_batch_counts(const struct schema_batch *batch);
void schema_batch_warnings(const struct schema_batch *batch, void (*say)(void *context, const char *warning), void *context);

#endif
