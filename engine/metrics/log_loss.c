/* log_loss.c - mean of -ln p, p the probability that was given to the true class, taken as at least 1e-15 (as in scikit-learn).
 * State: weighted sum, weight. */
#include "engine/metrics/mean.h"

#include <math.h>

#define SMALLEST 1e-15

static double probability(const struct bp_metric_call *call, int32_t i) {
    const bp_real *p = call->predictions + (size_t)i * (size_t)call->width; /* (width) */
    const int32_t label = (int32_t)call->y[i];
    if (call->width == 1) return label == 1 ? (double)p[0] : label == 0 ? 1 - (double)p[0] : (double)NAN;
    return label >= 0 && label < call->width ? (double)p[label] : (double)NAN;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i), p = probability(call, i);
        state[0] -= weight * log(p < SMALLEST ? SMALLEST : p);
        state[1] += weight;
    }
}

extern const struct bp_metric_ops bp_metric_log_loss;
const struct bp_metric_ops bp_metric_log_loss = {
    .entry = {.name = "log_loss", .summary = "Mean of -ln p of the true class: measures the quality of the probabilities"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .probabilities = true,
    .state_size = bp_mean_state_size,
    .update = update,
    .result = bp_mean_result,
};
