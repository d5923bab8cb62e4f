/* coslog4.c - four waves from 0 to 1 and back, each about twice as long as the one before: (1 - cos(2 pi log2(1 + 15 t))) / 2 with t the share of the
 * training that is over (RealMLP: Holzmüller, Grinsztajn, Steinwart 2024, arXiv 2407.04491). */
#include "engine/schedules/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

enum { WARMUP, PARAMS };

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    (void)values;
    const double whole = at->epochs > 0 ? at->epochs : 1, t = at->epoch < whole ? at->epoch / whole : 1;
    return (1 - cos(2 * PI * log2(1 + 15 * t))) / 2;
}

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
};

extern const struct bp_schedule_ops bp_schedule_coslog4;
const struct bp_schedule_ops bp_schedule_coslog4 = {
    .entry = {.name = "coslog4",
              .summary = "Rises and falls four times, each time for about twice as long",
              .params = params,
              .params_count = PARAMS},
    .factor = factor,
};
