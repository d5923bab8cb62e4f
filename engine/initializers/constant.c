/* constant.c - all the same value. */
#include "engine/initializers/initializer.h"

enum { VALUE, PARAMS };

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    (void)random;
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)tensor->initializer_numbers[VALUE];
}

static const struct bp_param params[PARAMS] = {
    [VALUE] = {.name = "value", .type = BP_PARAM_NUMBER, .help = "The value", .min = -1e6, .max = 1e6},
};

extern const struct bp_initializer_ops bp_initializer_constant;
const struct bp_initializer_ops bp_initializer_constant = {
    .entry = {.name = "constant", .summary = "All the same value", .params = params, .params_count = PARAMS},
    .fill = fill,
};
