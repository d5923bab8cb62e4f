/* compare.h - a trained network against the version that is served, on the rows that validate the training: for publish "if_better".
 *
 * The served version predicts the same rows with its own preprocessing, and is measured by the code that has validated the training. A loss is
 * compared in the unit of the new version; where there is no common unit, or the rows, targets or losses differ, nothing is compared and the reason
 * says so. */
#ifndef SERVER_COMPARE_H
#define SERVER_COMPARE_H

#include "schema/predict/model_file.h"

struct compare {
    const struct schema_training *training; /* of the new version, as the job has it */
    const struct schema_dataset *dataset;   /* that has the rows */
    const int64_t *rows;                    /* (n), ascending */
    int64_t n;
    const char *name; /* of that dataset, and its version */
    int64_t version;
    bool of_folds;               /* all rows validate, each in a fold */
    const char *metric;          /* "val_loss" */
    double value;                /* of the new version */
    int32_t batch_size;          /* rows predicted together */
    void (*step)(void);          /* called after each mini-batch */
    bool (*stop)(void *context); /* whether to give up */
    void *context;
};
/* {"metric","higher_is_better","value","served_value","rows","seen_by_served","reason","better"}; without "better" if they cannot be compared. The
 * caller's. */
json_t *compare_with_served(const struct compare *compare, const struct schema_model *served, int64_t served_version);
/* The same for two that cannot be compared. */
json_t *compare_refused(const char *metric, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
