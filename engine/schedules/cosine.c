/* cosine.c - half a cosine from 1 down to minimum, over the whole training, or again and again with restarts (SGDR: Loshchilov, Hutter 2017),
 * each period period_factor times as long as the one before. With t epochs into a period of T: minimum + (1 - minimum) (1 + cos(pi t / T)) / 2. */
#include "engine/schedules/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

enum { WARMUP, PERIOD, PERIOD_FACTOR, MINIMUM, PARAMS };

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    const double longer = values[PERIOD_FACTOR].number, least = values[MINIMUM].number;
    double t = at->epoch, period = values[PERIOD].number;
    if (!(period > 0)) {
        period = at->epochs > 0 ? at->epochs : 1;
        t = t < period ? t : period;
    } else if (longer == 1) {
        t = fmod(t, period);
    } else {
        for (; t >= period; period *= longer) t -= period;
    }
    return least + (1 - least) * (1 + cos(PI * (t / period))) / 2;
}

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
    [PERIOD] = {.name = "period_epochs",
                .type = BP_PARAM_NUMBER,
                .help = "Epochs until the first restart; 0: the whole training, no restart",
                .min = 0,
                .max = 1e6},
    [PERIOD_FACTOR] = {.name = "period_factor",
                       .type = BP_PARAM_NUMBER,
                       .help = "Ratio of the length of each period to the previous one",
                       .preset = 1,
                       .min = 1,
                       .max = 100},
    [MINIMUM] = {.name = "minimum", .type = BP_PARAM_NUMBER, .help = "Final learning rate, as a fraction", .min = 0, .max = 1},
};

extern const struct bp_schedule_ops bp_schedule_cosine;
const struct bp_schedule_ops bp_schedule_cosine = {
    .entry = {.name = "cosine", .summary = "Decreases along half a cosine, once or with restarts", .params = params, .params_count = PARAMS},
    .factor = factor,
};
