/* top_k_accuracy.c - the share of samples whose class is among the k with the largest numbers; of equal ones the later class comes first, as in
 * scikit-learn. State: weight of those, of all. */
#include "engine/metrics/mean.h"

#include <math.h>

enum { K, PARAMS };

/* The number of classes with a higher score than the true one; all of them for an invalid class. */
static int32_t rank(const struct bp_metric_call *call, int32_t i) {
    const bp_real *p = call->predictions + (size_t)i * (size_t)call->width; /* (width) */
    const int32_t truth = (int32_t)call->y[i];
    int32_t before = 0;
    if (call->width == 1) return bp_metric_class(call, i) != truth;
    if (truth < 0 || truth >= call->width) return call->width;
    for (int32_t j = 0; j < call->width; j++) before += !(p[j] < p[truth]) && (p[j] != p[truth] || j > truth);
    return before;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        state[0] += rank(call, i) < call->numbers[K] ? weight : 0;
        state[1] += weight;
    }
}

static const struct bp_param params[PARAMS] = {
    [K] = {.name = "k", .type = BP_PARAM_INTEGER, .help = "Number of classes considered", .preset = 5, .min = 1, .max = 10000},
};

extern const struct bp_metric_ops bp_metric_top_k_accuracy;
const struct bp_metric_ops bp_metric_top_k_accuracy = {
    .entry = {.name = "top_k_accuracy",
              .summary = "Fraction of samples whose class is among the k most probable",
              .params = params,
              .params_count = PARAMS},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = bp_mean_state_size,
    .update = update,
    .result = bp_mean_result,
};
