/* glorot_normal.c - normal with variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010). */
#include "engine/initializers/initializer.h"

#include <math.h>

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const double deviation = sqrt(2 / (tensor->fan_in + tensor->fan_out));
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)(deviation * bp_random_normal(random));
}

extern const struct bp_initializer_ops bp_initializer_glorot_normal;
const struct bp_initializer_ops bp_initializer_glorot_normal = {
    .entry = {.name = "glorot_normal", .summary = "Normal with variance 2 / (fan_in + fan_out)"},
    .fill = fill,
};
