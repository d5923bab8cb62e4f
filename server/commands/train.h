/* train.h - private to train*.c: what a training of one network and that of an ensemble share. */
#ifndef SERVER_COMMANDS_TRAIN_H
#define SERVER_COMMANDS_TRAIN_H

#include "engine/base/base.h"
#include "schema/predict/model_file.h"
#include "schema/resolve/training.h"
#include "server/worker/test_rows.h"

enum {
    DATA,
    TARGET,
    DEFINITION,
    OPTIONS,
    OUT,
    TYPES,
    EPOCHS,
    BATCH_SIZE,
    SEED,
    THREADS,
    LEARNING_RATE,
    VALIDATION,
    TEST,
    PATIENCE,
    MAX_SECONDS,
    TASK,
    EFFORT,
    INIT_FROM,
    CALIBRATE,
    QUIET,
    FLAGS_COUNT
};

/* The job object that flags and --options make. The caller's; NULL with a message. */
json_t *train_request(const char **values);
/* Rows, features, targets, and the warnings of the training, on stderr. */
void train_report_data(const struct schema_training *training, const struct schema_dataset *dataset);
/* What goes into a model file; optimizer: its state, or NULL. */
struct train_written {
    const struct schema_training *training;
    const json_t *document;
    const bp_real *weights;
    const struct schema_model_optimizer *optimizer;
    const json_t *calibration; /* or NULL */
};
/* What --calibrate asks for, the caller's; NULL: nothing. -1: a message was printed. */
int train_calibrate(const char **values, json_t **asked);
/* That there is none, and why. */
void train_not_calibrated(const json_t *calibration, const char *why);
/* Writes the model: a regular file is replaced only by a whole one. */
int train_write_with(const struct train_written *what, const char *path, size_t *size, struct bp_error *error);

/* What --test asks for: the evaluation on the rows held back, into `document`'s metrics as test_*. 0 without --test, too. */
int train_test(const struct test_rows *test, json_t *document, struct bp_error *error);

/* train_ensemble.c: no --definition. 0, or -1 with a message. */
int train_ensemble(const char **values, const struct schema_dataset *dataset);

#endif
