/* one_cycle.c - up from 1 / div_factor to 1, then down to 1 / (div_factor final_div_factor), both along half a cosine (Smith, Topin 2018), at the
 * updates where PyTorch's OneCycleLR has them: the peak at pct_start total - 1, the end at total - 1. The learning rate is that of the peak. */
#include "engine/schedules/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

enum { WARMUP, PCT_START, DIV_FACTOR, FINAL_DIV_FACTOR, PARAMS };

/* From one to the other, share 0 to 1 of the way. */
static double along(double from, double to, double share) {
    return to + (from - to) / 2 * (1 + cos(PI * share));
}

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    const double first = 1 / values[DIV_FACTOR].number, last = first / values[FINAL_DIV_FACTOR].number;
    const double total = round(at->epochs * (double)at->steps_per_epoch), end = total > 1 ? total - 1 : 1;
    const double peak = fmax(values[PCT_START].number * total - 1, 0), step = fmin((double)at->step, end);
    if (step <= peak) return peak > 0 ? along(first, 1, step / peak) : 1;
    return along(1, last, (step - peak) / (end - peak));
}

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
    [PCT_START] = {.name = "pct_start",
                   .type = BP_PARAM_NUMBER,
                   .help = "Fraction of the training before the peak",
                   .preset = 0.3,
                   .min = 0,
                   .max = 1,
                   .flags = BP_PARAM_MIN_OPEN | BP_PARAM_MAX_OPEN},
    [DIV_FACTOR] =
        {.name = "div_factor", .type = BP_PARAM_NUMBER, .help = "Ratio of the peak to the initial learning rate", .preset = 25, .min = 1, .max = 1e9},
    [FINAL_DIV_FACTOR] = {.name = "final_div_factor",
                          .type = BP_PARAM_NUMBER,
                          .help = "Ratio of the initial to the final learning rate",
                          .preset = 1e4,
                          .min = 1,
                          .max = 1e9},
};

extern const struct bp_schedule_ops bp_schedule_one_cycle;
const struct bp_schedule_ops bp_schedule_one_cycle = {
    .entry = {.name = "one_cycle",
              .summary = "Rises to the learning rate, then falls far below the initial value: one cycle per training",
              .params = params,
              .params_count = PARAMS},
    .factor = factor,
};
