/* test_rows.h - the evaluation of a trained model on the rows of its test, which nothing of the training has seen. */
#ifndef SERVER_TEST_ROWS_H
#define SERVER_TEST_ROWS_H

#include "schema/dataset/dataset.h"
#include "schema/resolve/training.h"

struct test_rows {
    const struct schema_training *asked;   /* whose options hold rows back */
    const struct schema_training *trained; /* what was trained: the same, or the joined network of an ensemble */
    const bp_real *weights;
    const struct schema_dataset *dataset;
    const json_t *calibration;         /* of the version, or NULL */
    bool (*stop)(const void *context); /* or NULL */
    const void *context;
};
/* The report, as an evaluation gives it (the caller's), and its metrics as test_loss, test_accuracy, ... in document["metrics"]. NULL with the error;
 * a stop is an error, too. */
json_t *test_rows_evaluate(const struct test_rows *test, json_t *document, struct bp_error *error);

#endif
