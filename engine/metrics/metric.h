/* metric.h - the contract of a metric: one file in metrics/, one line in metrics.def. Streaming, in double, exact over
 * all samples it has seen. */
#ifndef BP_METRIC_H
#define BP_METRIC_H

#include "engine/base/registry.h"

#include <math.h>

/* MULTILABEL: of all labels of a sample at once. A metric of classification is measured for each of several labels, as two classes. */
enum bp_metric_kind { BP_METRIC_CLASSIFICATION = 1, BP_METRIC_REGRESSION = 2, BP_METRIC_MULTILABEL = 4 };

struct bp_metric_call {
    int32_t batch, width;     /* predictions (B, width): probabilities of the classes, of class 1 when width is 1, or values */
    int32_t classes;          /* classification: number of classes, at least 2; else 0 */
    bool scores;              /* classification: predictions are scores, any numbers, with 0 between the classes when width is 1 */
    double threshold;         /* two classes, probabilities: class 1 is predicted from that on; 0: the more probable class */
    const double *thresholds; /* MULTILABEL: (width) of each label; NULL: 0.5 */
    const bp_real *predictions;
    const bp_real *y;              /* (B, 1) class numbers, or (B, width) values; MULTILABEL: (B, width) 0 or 1 */
    const bp_real *weights;        /* (B) or NULL */
    double unit, origin;           /* regression: a value v of the network means v * unit + origin in the target's own unit */
    const double *units, *origins; /* (width) of each number of a row, instead; NULL: all alike */
    const double *numbers;         /* its own parameters */
    int64_t samples;               /* what state_size got */
};

enum { BP_METRIC_NUMBERS_MAX = 4 };

struct bp_metric_ops {
    struct bp_entry entry; /* at most BP_METRIC_NUMBERS_MAX parameters, all numbers */
    unsigned kinds;        /* bp_metric_kind, or'ed */
    bool higher_is_better;
    bool probabilities; /* classification: it has no meaning for scores */
    /* It needs all samples at once: measured over the validation rows only, over the training rows only when there are no others. */
    bool whole;
    /* Doubles of state for that many classes and outputs; state is zeroed by the caller. samples: the most that it will be shown. Regression: the
     * state of `width` numbers is that of one number, `width` times one behind the other, so that the result of each can be asked for by itself. */
    int64_t (*state_size)(int32_t classes, int32_t width, int64_t samples);
    void (*update)(double *state, const struct bp_metric_call *call);
    /* Adds to state what another has seen of other samples, as if it had seen them after its own; sizes as state_size has them. NULL: the sums of
     * their numbers are that, of a number that is not a sum it is not. Before `result` only. */
    void (*merge)(double *state, const double *other, int32_t classes, int32_t width, int64_t samples);
    /* NaN when undefined. Called once, after the last update: it may leave state in another order. */
    double (*result)(double *state, int32_t classes, int32_t width);
};

/* What a number of the network is in the target's own unit: its j-th, or the difference of two. */
static inline double bp_metric_value(const struct bp_metric_call *call, int32_t j, double v) {
    return call->units ? v * call->units[j] + call->origins[j] : v * call->unit + call->origin;
}
static inline double bp_metric_unit(const struct bp_metric_call *call, int32_t j) {
    return call->units ? call->units[j] : call->unit;
}

/* The mean over `width` numbers whose states are a weighted sum and its weight; NaN without weight. */
static inline double bp_metric_mean(const double *state, int32_t width) {
    double sum = 0, weight = 0;
    for (int32_t j = 0; j < width; j++) {
        sum += state[2 * j];
        weight += state[2 * j + 1];
    }
    return weight > 0 ? sum / weight : (double)NAN;
}

/* The class that an output p (width) stands for: the largest probability or score, the first of equal ones; with a width of 1 whether p >= 0.5, or a
 * score >= 0. threshold: that of the second of two classes, 0: none. The one rule of metrics and predictions. */
int32_t bp_class_of(const bp_real *p, int32_t width, bool scores, double threshold);
/* That class for sample i of a call. */
int32_t bp_metric_class(const struct bp_metric_call *call, int32_t i);
/* MULTILABEL: how many labels of sample i are predicted wrongly. */
int32_t bp_metric_wrong_labels(const struct bp_metric_call *call, int32_t i);

#endif
