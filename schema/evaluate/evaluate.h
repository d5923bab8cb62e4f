/* evaluate.h - how good a trained model is on rows of a dataset whose targets are known: loss and metrics with bootstrap intervals, what is confused
 * with what, curves, residuals, slices, and a comparison with another model on the same rows.
 *
 * Every target, label of several, or output of positions is a part of its own (struct schema_part): its predictions are kept in memory, 4 bytes for
 * each number. Metrics are those of the engine, so they equal those of a training; intervals are percentiles over resampled rows (Efron 1979). */
#ifndef SCHEMA_EVALUATE_H
#define SCHEMA_EVALUATE_H

#include "schema/predict/model_file.h"

enum { SCHEMA_EVALUATE_BOOTSTRAP_MAX = 10000, SCHEMA_EVALUATE_POINTS_MAX = 10000, SCHEMA_EVALUATE_SLICES_MAX = 50 };

struct schema_evaluation {
    const struct schema_model *model;
    const struct schema_model *other; /* compared with it on the rows that both can use; NULL: none. It must have the same targets */
    const struct schema_dataset *dataset;
    int32_t bootstrap;          /* resamples for the 95 % intervals, 0: no intervals */
    uint64_t seed;              /* of the resamples: the same seed gives the same intervals */
    int32_t points;             /* of a curve, at most; at least 2 */
    const char *positive_class; /* for the table of thresholds; NULL: the second of two classes */
    const int32_t *slices;      /* columns of the dataset by which rows are grouped */
    int32_t slices_count;
    int64_t rows_max;    /* at most so many rows, evenly spread; 0: all */
    const int64_t *rows; /* of the dataset, ascending, each with its targets: those alone; NULL: all */
    int64_t rows_count;
    bool raw;                          /* as the network predicts, without the calibration of the model */
    bool sets;                         /* also keep what sets and intervals need; so it is when the model has them */
    bool lean;                         /* the data may be larger than memory: each row is read once and released, nothing is kept for a second pass */
    bool no_losses;                    /* the loss of each row is not wanted: it takes a forward pass of its own */
    bool (*stop)(const void *context); /* asked from time to time; NULL: never */
    const void *context;
};

/* Numbers that are held in memory and computed, for a decision before the work: rows x width, and rows x (1 + resamples). */
int64_t schema_evaluation_work(const struct schema_evaluation *evaluation);
/* {"rows","skipped_rows","metrics","targets","slices","comparison","warnings"}. The caller's. NULL with the error: no row can be used, a positive
 * class that does not exist, other targets in the other model, stopped, no memory. */
json_t *schema_evaluate(const struct schema_evaluation *evaluation, struct bp_error *error);

#endif
