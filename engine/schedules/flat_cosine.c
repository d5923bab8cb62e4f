/* flat_cosine.c - 1 for a share of the training, then half a cosine down to minimum: minimum + (1 - minimum) (1 + cos(pi u)) / 2, u from 0 to 1 over
 * the rest (of dropout and weight decay in RealMLP: Holzmüller, Grinsztajn, Steinwart 2024, arXiv 2407.04491). */
#include "engine/schedules/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

enum { WARMUP, FLAT, MINIMUM, PARAMS };

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    const double flat = values[FLAT].number, least = values[MINIMUM].number;
    const double whole = at->epochs > 0 ? at->epochs : 1, t = at->epoch < whole ? at->epoch / whole : 1;
    const double u = t > flat ? (t - flat) / (1 - flat) : 0;
    return least + (1 - least) * (1 + cos(PI * u)) / 2;
}

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
    [FLAT] = {.name = "flat",
              .type = BP_PARAM_NUMBER,
              .help = "Share of the training before the decrease",
              .preset = 0.5,
              .min = 0,
              .max = 1,
              .flags = BP_PARAM_MAX_OPEN},
    [MINIMUM] = {.name = "minimum", .type = BP_PARAM_NUMBER, .help = "Final value, as a fraction", .min = 0, .max = 1},
};

extern const struct bp_schedule_ops bp_schedule_flat_cosine;
const struct bp_schedule_ops bp_schedule_flat_cosine = {
    .entry = {.name = "flat_cosine", .summary = "Stays, then decreases along half a cosine", .params = params, .params_count = PARAMS},
    .factor = factor,
};
