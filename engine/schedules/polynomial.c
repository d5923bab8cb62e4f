/* polynomial.c - minimum + (1 - minimum) (1 - t / T)^power, t epochs of T = decay_epochs; then it stays (PyTorch's PolynomialLR, with minimum 0). */
#include "engine/schedules/schedule.h"

#include <math.h>

enum { WARMUP, POWER, DECAY_EPOCHS, MINIMUM, PARAMS };

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    const double asked = values[DECAY_EPOCHS].number, least = values[MINIMUM].number;
    const double whole = asked > 0 ? asked : at->epochs > 0 ? at->epochs : 1, left = at->epoch < whole ? 1 - at->epoch / whole : 0;
    return least + (1 - least) * pow(left, values[POWER].number);
}

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
    [POWER] =
        {.name = "power", .type = BP_PARAM_NUMBER, .help = "1 is a straight line", .preset = 1, .min = 0, .max = 100, .flags = BP_PARAM_MIN_OPEN},
    [DECAY_EPOCHS] = {.name = "decay_epochs",
                      .type = BP_PARAM_NUMBER,
                      .help = "Epochs until the final learning rate; 0: the whole training",
                      .min = 0,
                      .max = 1e6},
    [MINIMUM] = {.name = "minimum", .type = BP_PARAM_NUMBER, .help = "Final learning rate, as a fraction", .min = 0, .max = 1},
};

extern const struct bp_schedule_ops bp_schedule_polynomial;
const struct bp_schedule_ops bp_schedule_polynomial = {
    .entry = {.name = "polynomial",
              .summary = "Decreases along a power of the remaining fraction of the training",
              .params = params,
              .params_count = PARAMS},
    .factor = factor,
};
