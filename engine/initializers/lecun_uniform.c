/* lecun_uniform.c - uniform with variance 1 / fan_in (LeCun, Bottou, Orr, Müller 1998), for selu. */
#include "engine/initializers/initializer.h"

#include <math.h>

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const double limit = sqrt(3 / tensor->fan_in);
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)(limit * (2 * bp_random_uniform(random) - 1));
}

extern const struct bp_initializer_ops bp_initializer_lecun_uniform;
const struct bp_initializer_ops bp_initializer_lecun_uniform = {
    .entry = {.name = "lecun_uniform", .summary = "Uniform with variance 1 / fan_in, for selu"},
    .fill = fill,
};
