/* step.c - times gamma after every step_size epochs, PyTorch's StepLR. */
#include "engine/schedules/schedule.h"

enum { WARMUP, STEP_SIZE, GAMMA, PARAMS };

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    const int64_t epoch = at->step / at->steps_per_epoch;
    return bp_power(values[GAMMA].number, (uint64_t)(epoch / (int64_t)values[STEP_SIZE].number));
}

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
    [STEP_SIZE] = {.name = "step_size", .type = BP_PARAM_INTEGER, .help = "Epochs between two steps", .preset = 10, .min = 1, .max = 1e6},
    [GAMMA] = {.name = "gamma", .type = BP_PARAM_NUMBER, .help = "Factor per step", .preset = 0.1, .min = 0, .max = 1},
};

extern const struct bp_schedule_ops bp_schedule_step;
const struct bp_schedule_ops bp_schedule_step = {
    .entry = {.name = "step", .summary = "Decreases by a factor every step_size epochs", .params = params, .params_count = PARAMS},
    .factor = factor,
};
