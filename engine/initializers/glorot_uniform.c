/* glorot_uniform.c - uniform with variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010). */
#include "engine/initializers/initializer.h"

#include <math.h>

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const double limit = sqrt(6 / (tensor->fan_in + tensor->fan_out));
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)(limit * (2 * bp_random_uniform(random) - 1));
}

extern const struct bp_initializer_ops bp_initializer_glorot_uniform;
const struct bp_initializer_ops bp_initializer_glorot_uniform = {
    .entry = {.name = "glorot_uniform", .summary = "Uniform with variance 2 / (fan_in + fan_out)"},
    .fill = fill,
};
