/* exponential.c - gamma^epoch, PyTorch's ExponentialLR, but at every update: the epoch is a fraction. */
#include "engine/schedules/schedule.h"

#include <math.h>

enum { WARMUP, GAMMA, PARAMS };

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    return pow(values[GAMMA].number, at->epoch);
}

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
    [GAMMA] = {.name = "gamma", .type = BP_PARAM_NUMBER, .help = "Factor per epoch", .preset = 0.95, .min = 0, .max = 1, .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_schedule_ops bp_schedule_exponential;
const struct bp_schedule_ops bp_schedule_exponential = {
    .entry = {.name = "exponential", .summary = "Decreases by a constant factor per epoch", .params = params, .params_count = PARAMS},
    .factor = factor,
};
