/* predict_lanes.h - threads that predict pieces of a dataset side by side, each with a lane of the batch (schema/predict/batch.h). The caller's
 * thread takes what they have done in the order of the rows and writes it, while they go on. */
#ifndef SERVER_PREDICT_LANES_H
#define SERVER_PREDICT_LANES_H

#include "schema/predict/batch.h"

struct predict_lanes;
/* Rows of a piece: fewer are no work for several threads. */
int64_t predict_lanes_piece(const struct schema_batch *batch);
/* Starts so many threads, at the place of the batch, whose rows they predict to the end. NULL with the error. The batch must outlive it. */
struct predict_lanes *predict_lanes_new(struct schema_batch *batch, int32_t threads, struct bp_error *error);
/* Waits up to so many ms for the next rows. 1: the batch has taken some, and they are to be written before the next call; 0: not yet; -1 with the
 * error of the first rows that could not be predicted. */
int predict_lanes_next(struct predict_lanes *lanes, int64_t wait_ms, struct bp_error *error);
/* Ends the threads after the blocks that they are at. */
void predict_lanes_free(struct predict_lanes *lanes);

#endif
