/* calibrate.h - fits what calibration.h describes, on rows that a version was not trained on, and measures it on rows that it was not fitted on.
 *
 * The rows are put in an order by seed. The first floor(holdout n) of them are held out; the others fit. Of these, the first quarter fits the
 * temperature if there are sets or intervals too, the others the scores: a temperature that has seen the rows of the scores would break the guarantee
 * of calibration.h, though not by much. Held out is the proof: log loss, Brier score and expected calibration error before and after, and what the
 * sets or intervals cover. With `refit` the calibration is then fitted once more, in the same way on all rows.
 *
 * The temperature is the one with the least log loss, -mean ln p_y (Guo et al. 2017); it is convex in 1/T, so bisection of its derivative
 * E_p[ln p] - ln p_y finds it. */
#ifndef SCHEMA_CALIBRATE_H
#define SCHEMA_CALIBRATE_H

#include "schema/predict/model_file.h"

enum { SCHEMA_TEMPERATURE_ROWS_MIN = 20, SCHEMA_TEMPERATURE_ROWS_USUAL = 50 }; /* asked for, or by default */

/* As a request says it. */
struct schema_calibrate_options {
    bool temperature, conformal;
    bool temperature_given, holdout_given; /* otherwise too few rows are no error: there is no temperature, or nothing is held out, with a warning */
    enum schema_conformal method; /* NONE: lac for classes; for numbers cqr, normalized or absolute, the first that the network has outputs for */
    double coverage;
    bool class_conditional, randomized, allow_empty;
    double holdout; /* share of the rows, 0: no proof */
    bool refit;
    uint64_t seed;
    int64_t rows_max; /* at most so many rows, evenly spread; 0: all */
};
/* {"temperature","conformal","holdout","refit","seed","rows"} of an object; members named in `others` (NULL-terminated) are the caller's. -1 with
 * problems. */
int schema_calibrate_decode(const json_t *object, const char *pointer, const char *const *others, struct schema_calibrate_options *options,
                            struct schema_problems *problems);

/* Predictions of one target that were made by networks that were not trained on the rows: predictions (n, width) of a class, (n) of a number of the
 * network, y (n) likewise. */
struct schema_held_predictions {
    int64_t n;
    int32_t width;
    float *predictions, *y;
};
struct schema_calibrating {
    const struct schema_model *model; /* its own calibration: thresholds stay, and the temperature if none is fitted */
    const struct schema_dataset *dataset;
    const int64_t *only; /* only these of its rows, ascending; NULL: all */
    int64_t only_count;
    const struct schema_held_predictions *held; /* instead of a dataset: sets are not randomized then; or NULL */
    struct schema_calibrate_options options;
    bool lean;                         /* as of an evaluation */
    bool (*stop)(const void *context); /* NULL: never */
    const void *context;
};
/* The document of the calibration (schema_calibration_encode) with "fitted": {"rows","skipped_rows","holdout","refit","seed","targets":[{"target",
 * "rows","held_out":{"rows","before":{"log_loss","brier_score","expected_calibration_error"},"after":{...},"coverage",...}}],"warnings"}. The
 * caller's. NULL with the error, at a place of the request where it has one: too few rows, a method that a target does not have, no target that can
 * be calibrated, no memory. */
json_t *schema_calibrate(const struct schema_calibrating *calibrating, struct bp_error *error);

/* A change by hand, {"temperature","thresholds","conformal"} as in the contract, of the document `before` (NULL: none) of a version of that training.
 * The new document, the caller's; NULL with problems. */
json_t *schema_calibration_change(const json_t *before, const struct schema_training *training, const json_t *body, struct schema_problems *problems);

/* Of probabilities p (n, width), width 1: of the second of two classes, and the true classes. *edge: no temperature within the bounds has the least
 * log loss, and it is 1. NaN: no memory. */
double schema_temperature_fit(const float *p, const int32_t *truth, int64_t n, int32_t width, bool *edge);
#endif
