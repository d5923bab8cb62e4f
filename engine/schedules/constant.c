/* constant.c - a constant learning rate. */
#include "engine/schedules/schedule.h"

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    (void)values, (void)at;
    return 1;
}

static const struct bp_param params[] = {BP_SCHEDULE_WARMUP};

extern const struct bp_schedule_ops bp_schedule_constant;
const struct bp_schedule_ops bp_schedule_constant = {
    .entry = {.name = "constant", .summary = "Constant learning rate", .params = params, .params_count = 1},
    .factor = factor,
};
