/* part.h - private to schema/evaluate: the predictions of rows, taken apart by target. */
#ifndef SCHEMA_EVALUATE_PART_H
#define SCHEMA_EVALUATE_PART_H

#include "schema/evaluate/evaluate.h"

/* What is measured by itself: a class, a class for each position, a number, the numbers of a tensor, one of several labels; or all labels of an
 * output at once, for the metrics of these. */
enum schema_part_kind { SCHEMA_PART_CLASS, SCHEMA_PART_NUMBER, SCHEMA_PART_LABEL, SCHEMA_PART_LABELS };

struct schema_part {
    enum schema_part_kind kind;
    int32_t output, target; /* of the preprocessing */
    int32_t number;         /* which number of the output's task it is, for its unit */
    char name[200];         /* of the target or label */
    struct bp_task task;    /* of the output */
    int32_t classes, width; /* as in struct bp_metric_call */
    int32_t per;            /* samples of a row: its positions, else 1 */
    double threshold;
    bp_real *predictions; /* (n, per, width) */
    int32_t each;         /* of one number: outputs of the network for it, */
    bp_real *groups;      /* and they themselves, (n, each), if sets and intervals are wanted */
    bp_real *y;           /* (n, per), or (n, width) for numbers and labels */
    uint8_t *counts;      /* (n, per) whether the sample has a target */
};
struct schema_parts {
    int64_t n;        /* rows */
    int64_t skipped;  /* rows of the dataset that cannot be used */
    int64_t *rows;    /* (n) of the dataset */
    double *losses;   /* (n) the loss of each row */
    double *weights;  /* (n) sample weights, NULL: all 1 */
    double *uniforms; /* (n) schema_row_uniform of each row, if sets and intervals are wanted */
    int32_t count;
    struct schema_part *parts;
};

/* Predicts the rows of the dataset that have every target. */
int schema_parts_open(const struct schema_evaluation *evaluation, const struct schema_model *model, struct schema_parts *parts,
                      struct bp_error *error);
/* The same, and what has read and predicted them stays, so that they can be predicted again. NULL with the error, and nothing to close. */
struct schema_pass;
struct schema_pass *schema_pass_open(const struct schema_evaluation *evaluation, const struct schema_model *model, struct schema_parts *parts,
                                     struct bp_error *error);
/* Predicts them with the values of a feature permuted over the rows, by seed. */
int schema_pass_permute(struct schema_pass *pass, int32_t feature, uint64_t seed, struct schema_parts *parts, struct bp_error *error);
void schema_pass_close(struct schema_pass *pass);
void schema_parts_close(struct schema_parts *parts);
/* Keeps the rows that `rows` has too (ascending). */
void schema_parts_keep(struct schema_parts *parts, const int64_t *rows, int64_t n);
/* Samples of a row whose numbers are side by side: `width` of y. */
static inline int64_t schema_part_y_width(const struct schema_part *part) {
    return part->kind == SCHEMA_PART_NUMBER || part->kind == SCHEMA_PART_LABELS ? part->width : 1;
}
/* The target of a part. */
static inline const struct schema_target *schema_part_target(const struct schema_model *model, const struct schema_part *part) {
    return &model->training->preprocessing->targets[part->target];
}
/* The name of class c. */
const char *schema_part_class(const struct schema_model *model, const struct schema_part *part, int32_t c);
/* The probability or score of class c for sample i; of two classes by one number that of the other follows. */
double schema_part_score(const struct schema_part *part, int64_t i, int32_t c);
/* The class that is predicted for sample i. */
int32_t schema_part_predicted(const struct schema_part *part, int64_t i);
/* Number j of row i, or of its prediction, in the target's own unit. */
double schema_part_value(const struct schema_part *part, int64_t i, int64_t j, bool predicted);
/* What sample i counts: 0 without a target. */
double schema_part_weight(const struct schema_parts *parts, const struct schema_part *part, int64_t i);

/* ---- coverage.c ---- */
/* What the sets or intervals of a target with this calibration cover of rows[0..n), by place in the parts; NULL: all. Temperatures are in the
 * predictions already. {"rows","coverage","coverage_low","coverage_high","mean_size" or "mean_width",...}; the interval of the coverage is Wilson's
 * (1927), of 95 %. NULL: no memory. */
struct schema_coverage_call {
    const struct schema_model *model;
    const struct schema_parts *parts;
    const struct schema_part *part;
    const struct schema_target_calibration *how;
    const double *quantiles; /* of its groups */
    const int64_t *rows;
    int64_t n;
};
json_t *schema_coverage_json(const struct schema_coverage_call *call);
/* {"log_loss","brier_score","expected_calibration_error"} of probabilities p (n, width), width 1: of the second of two classes, and the true classes.
 * Expected calibration error (Naeini, Cooper, Hauskrecht, AAAI 2015; Guo et al. 2017): the rows by the probability of their most probable class in 15
 * bins of equal width, (0, 1/15] and so on; the sum of |accuracy - mean probability| of the bins by their rows. The Brier score is that of
 * scikit-learn: of two classes the mean of (p - y)^2, of more that of the sum over the classes. */
json_t *schema_probability_scores(const float *p, const int32_t *truth, int64_t n, int32_t width);
/* The probabilities of all classes of row i, in p (classes). */
void schema_part_shares(const struct schema_part *part, int64_t i, float *p);

/* ---- measure.c ---- */
/* The metrics of a part, in the order of the registry. At most `most`; returns how many. */
struct schema_part_metric {
    const struct bp_metric_ops *ops;
    double numbers[BP_METRIC_NUMBERS_MAX];
};
enum { SCHEMA_PART_METRICS_MAX = 32 };
int32_t schema_part_metrics(const struct schema_part *part, struct schema_part_metric metrics[static SCHEMA_PART_METRICS_MAX]);
/* Their values over some rows: times (n) how often each counts, NULL: once. -1: no memory. */
int schema_part_measure(const struct schema_parts *parts, const struct schema_part *part, const struct schema_part_metric *metrics, int32_t count,
                        const int32_t *times, double *values);
/* A metric by its name among all of the parts, "loss" too; *higher: higher is better. -1 with the error: there is none of that name, or no memory. */
int schema_parts_metric(const struct schema_parts *parts, const char *name, double *value, bool *higher, struct bp_error *error);
/* The items of an array, taken, by that number of theirs, the largest first. NULL without memory; the caller's. */
json_t *schema_sorted_json(json_t *array, const char *number);
/* The mean loss of rows. */
double schema_parts_loss(const struct schema_parts *parts, const int32_t *times);
/* How often each row is in resample b. */
void schema_parts_draw(uint64_t seed, int32_t b, int64_t n, int32_t *times);
/* {"loss":{"value","low","high"},...}; with several targets each metric by the target's name. NULL: no memory or stopped. */
json_t *schema_metrics_json(const struct schema_evaluation *evaluation, const struct schema_parts *parts);
/* The comparison of two models on the same rows. */
json_t *schema_comparison_json(const struct schema_evaluation *evaluation, const struct schema_parts *parts, const struct schema_parts *other);
/* The name of a metric of a part among others. */
void schema_metric_name(const struct schema_parts *parts, const struct schema_part *part, const struct bp_metric_ops *ops, char *name, size_t size);

/* ---- classes.c, numbers.c, slices.c ---- */
/* Adds to target: confusion_matrix, classes, curves, calibration, thresholds. */
int schema_classes_json(const struct schema_evaluation *evaluation, const struct schema_parts *parts, const struct schema_part *part, json_t *target);
int schema_numbers_json(const struct schema_evaluation *evaluation, const struct schema_parts *parts, const struct schema_part *part, json_t *target);
json_t *schema_slices_json(const struct schema_evaluation *evaluation, const struct schema_parts *parts);

/* A finite number, else null. */
static inline json_t *schema_number_json(double v) {
    return v - v == 0 ? json_real(v) : json_null();
}

#endif
