/* reduce_on_plateau.c - times factor after more than `patience` epochs without an improvement of the watched metric; PyTorch's ReduceLROnPlateau.
 * State: how often it was reduced, whether a value was seen, the best one, epochs without improvement, epochs of cooldown that are left. */
#include "engine/schedules/schedule.h"

#include <math.h>

enum { WARMUP, FACTOR, PATIENCE, THRESHOLD, THRESHOLD_MODE, COOLDOWN, MINIMUM, PARAMS };
enum { REDUCTIONS, SEEN, BEST, WAITED, COOLING };
enum { RELATIVE, ABSOLUTE };

static double factor(const struct bp_value *values, const struct bp_schedule_at *at) {
    const double share = bp_power(values[FACTOR].number, (uint64_t)at->state[REDUCTIONS]);
    return share > values[MINIMUM].number ? share : values[MINIMUM].number;
}

static bool improves(const struct bp_value *values, const double *state, double value, bool higher) {
    const double best = state[BEST], threshold = values[THRESHOLD].number;
    const double margin = values[THRESHOLD_MODE].number == RELATIVE ? threshold * fabs(best) : threshold;
    if (state[SEEN] == 0) return !isnan(value);
    return higher ? value > best + margin : value < best - margin; /* not a number never improves */
}

static void observe(const struct bp_value *values, double *state, double value, bool higher_is_better) {
    if (improves(values, state, value, higher_is_better)) {
        state[SEEN] = 1;
        state[BEST] = value;
        state[WAITED] = 0;
    } else {
        state[WAITED]++;
    }
    if (state[COOLING] > 0) {
        state[COOLING]--;
        state[WAITED] = 0;
    }
    if (state[WAITED] > values[PATIENCE].number) {
        state[REDUCTIONS]++;
        state[COOLING] = values[COOLDOWN].number;
        state[WAITED] = 0;
    }
}

static const char *const modes[] = {"rel", "abs", NULL};

static const struct bp_param params[PARAMS] = {
    [WARMUP] = BP_SCHEDULE_WARMUP,
    [FACTOR] =
        {.name = "factor", .type = BP_PARAM_NUMBER, .help = "Factor per reduction", .preset = 0.1, .min = 0, .max = 1, .flags = BP_PARAM_MAX_OPEN},
    [PATIENCE] =
        {.name = "patience", .type = BP_PARAM_INTEGER, .help = "Epochs without improvement before a reduction", .preset = 10, .min = 0, .max = 1e6},
    [THRESHOLD] = {.name = "threshold", .type = BP_PARAM_NUMBER, .help = "What counts as an improvement", .preset = 1e-4, .min = 0, .max = 1e9},
    [THRESHOLD_MODE] = {.name = "threshold_mode",
                        .type = BP_PARAM_CHOICE,
                        .help = "Whether threshold is a fraction of the best value or a difference",
                        .choices = modes},
    [COOLDOWN] = {.name = "cooldown", .type = BP_PARAM_INTEGER, .help = "Epochs after a reduction that do not count", .min = 0, .max = 1e6},
    [MINIMUM] = {.name = "minimum", .type = BP_PARAM_NUMBER, .help = "Minimum learning rate, as a fraction", .min = 0, .max = 1},
};

extern const struct bp_schedule_ops bp_schedule_reduce_on_plateau;
const struct bp_schedule_ops bp_schedule_reduce_on_plateau = {
    .entry = {.name = "reduce_on_plateau",
              .summary = "Decreases by a factor when the watched metric stops improving",
              .params = params,
              .params_count = PARAMS},
    .factor = factor,
    .observe = observe,
};
