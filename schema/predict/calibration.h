/* calibration.h - what a version has apart from its weights: a temperature, thresholds, and the scores of a conformal prediction.
 *
 * Temperature (Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017): the probabilities p of a class become
 * p^(1/T) / sum p^(1/T), which is softmax(z / T) of the network's numbers z; a single probability likewise, beside 1 - p. The order of classes stays.
 *
 * Conformal prediction, split (Vovk, Gammerman, Shafer 2005; Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 2018): of n rows that the version was
 * not trained on, each gets a score s(x, y), large where the truth does not conform to the prediction. With q the ceil((n + 1) coverage)-th smallest
 * of them, the answer for a new row is every y with s(x, y) <= q. If the rows are exchangeable, it has the true y with a probability of at least
 * `coverage`, and of at most coverage + 1 / (n + 1) without ties, whatever the network is. Scores:
 *
 *   lac         1 - p_y (Sadinle, Lei, Wasserman, JASA 2019): the smallest sets
 *   aps         the probabilities of all classes that are at least as probable as y, added up (Romano, Sesia, Candes, NeurIPS 2020); randomized: that
 *               of y itself times u, uniform in [0, 1). u is a hash of the row's inputs, so that a row has the same set in every request
 *   absolute    |y - f|
 *   normalized  |y - f| / d, with d the deviation that the network predicts, or the distance of its outer quantiles
 *   cqr         max(low - y, y - high), of the lowest and the highest quantile that the network predicts (Romano, Patterson, Candes, NeurIPS 2019)
 *
 * Those of numbers are of the network's numbers: of a target with a transform, the ends of an interval are transformed back, which keeps what is
 * covered, for transforms are monotone. class_conditional: scores by true class, a q for each (Vovk 2012): then every class is covered by itself. */
#ifndef SCHEMA_CALIBRATION_H
#define SCHEMA_CALIBRATION_H

#include "schema/json/problems.h"
#include "schema/resolve/training.h"

enum schema_conformal {
    SCHEMA_CONFORMAL_NONE,
    SCHEMA_CONFORMAL_ABSOLUTE,
    SCHEMA_CONFORMAL_APS,
    SCHEMA_CONFORMAL_CQR,
    SCHEMA_CONFORMAL_LAC,
    SCHEMA_CONFORMAL_NORMALIZED,
    SCHEMA_CONFORMALS
};
extern const char *const schema_conformal_names[SCHEMA_CONFORMALS + 1]; /* NULL-terminated */
static inline bool schema_conformal_is_set(enum schema_conformal method) {
    return method == SCHEMA_CONFORMAL_LAC || method == SCHEMA_CONFORMAL_APS;
}

enum { SCHEMA_SCORES_MAX = 10000 };
#define SCHEMA_TEMPERATURE_MIN 0.05
#define SCHEMA_TEMPERATURE_MAX 20.0

/* The scores of n rows, ascending; of more than SCHEMA_SCORES_MAX so many of them, kept[i] the ceil((i + 1) n / kept_count)-th. */
struct schema_scores {
    int64_t n;
    int32_t kept_count;
    double *kept;
};
struct schema_target_calibration {
    double temperature; /* 1: as the network says */
    enum schema_conformal method;
    double coverage;      /* in requests that do not ask for another */
    bool randomized;      /* APS */
    bool allow_empty;     /* sets may have no class; otherwise they have the most probable one */
    int32_t groups_count; /* of scores: 1, or one for each class */
    struct schema_scores *groups;
    int32_t quantiles_at; /* of its groups in the quantiles */
};
struct schema_calibration {
    int32_t targets_count;
    struct schema_target_calibration *targets; /* of the preprocessing's targets */
    double *thresholds;                        /* as those of the preprocessing, instead of them; NULL: none */
    int32_t quantiles_count;
    double *quantiles; /* (quantiles_count) q of each group at the target's own coverage; infinite: every class is in the set */
    int64_t labels_max;
};

/* Nothing is calibrated: temperatures 1, no scores. NULL without memory. */
struct schema_calibration *schema_calibration_new(const struct schema_training *training);
void schema_calibration_free(struct schema_calibration *calibration);
size_t schema_calibration_bytes(const struct schema_calibration *calibration);
/* {"targets":{name:{"temperature","conformal":{...,"scores"}}},"thresholds","threshold_values"}, and back: NULL with the error when a member does not
 * fit the training. Members beside these are not read. */
json_t *schema_calibration_encode(const struct schema_calibration *calibration, const struct schema_preprocessing *preprocessing);
struct schema_calibration *schema_calibration_decode(const json_t *json, const struct schema_training *training, struct bp_error *error);
/* A copy for people: without the scores, but with their quantile. */
json_t *schema_calibration_show(const json_t *document);
/* Fills the quantiles again from the scores. -1: no memory. */
int schema_calibration_complete(struct schema_calibration *calibration, const struct schema_preprocessing *preprocessing);

/* Whether a target has probabilities of classes of its own, one class a row; whether it is one number. */
bool schema_target_has_classes(const struct schema_training *training, int32_t target);
bool schema_target_is_number(const struct schema_training *training, int32_t target);
int32_t schema_target_output(const struct schema_preprocessing *preprocessing, int32_t target);

/* The least n for which a coverage has a quantile: ceil((n + 1) coverage) <= n. */
int64_t schema_coverage_rows(double coverage);
/* q of the scores at that coverage; infinite: too few rows. */
double schema_scores_quantile(const struct schema_scores *scores, double coverage);
/* Sorts scores[0..n), keeps at most SCHEMA_SCORES_MAX of them in a copy. -1: no memory. */
int schema_scores_keep(struct schema_scores *kept, double *scores, int64_t n);

/* ---- a row ---- */
/* p (width): probabilities as the network says, or one of the second of two classes, by the temperature. */
void schema_temperature_apply(double temperature, float *p, int32_t width);
/* Every output of n rows in the workspace. */
struct bp_workspace;
void schema_calibration_apply(const struct schema_calibration *calibration, const struct schema_training *training,
                              const struct bp_workspace *workspace, int32_t n);
/* u of row `row` of the workspace: 53 bits of a hash of its inputs. */
double schema_row_uniform(const struct schema_training *training, struct bp_workspace *workspace, int32_t row);
/* Orders the classes by p (classes), the most probable first, of equal ones the first. */
void schema_classes_order(const float *p, int32_t classes, int32_t *order);
/* The scores of all classes, in that order: scores[i] is that of order[i]. */
void schema_class_scores(const struct schema_target_calibration *how, const float *p, int32_t classes, double u, const int32_t *order,
                         double *scores);
/* The classes whose score is at most the quantile of their group: in `order`, the first *count of them. order and scores: (classes). */
struct schema_set_call {
    const struct schema_target_calibration *how;
    const double *quantiles; /* of the target's groups */
    const float *p;          /* (classes) */
    int32_t classes;
    double u;
    int32_t *order;
    double *scores;
};
int32_t schema_set_make(const struct schema_set_call *call);
/* What the score of a number is made of, from the group y of the network's numbers: f, or low and high, and d. False: the loss has none of it. */
struct schema_band {
    double low, high, unit;
};
bool schema_band_of(const struct schema_target_calibration *how, const struct bp_output *output, const float *y, struct schema_band *band);
double schema_number_score(const struct schema_band *band, double y);
/* The ends of the interval, in the unit of the target; infinite: it has no end there. */
void schema_interval_make(const struct schema_target *target, const struct schema_band *band, double quantile, double *low, double *high);

#endif
