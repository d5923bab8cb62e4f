/* lecun_normal.c - normal with variance 1 / fan_in (LeCun, Bottou, Orr, Müller 1998), for selu. */
#include "engine/initializers/initializer.h"

#include <math.h>

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const double deviation = sqrt(1 / tensor->fan_in);
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)(deviation * bp_random_normal(random));
}

extern const struct bp_initializer_ops bp_initializer_lecun_normal;
const struct bp_initializer_ops bp_initializer_lecun_normal = {
    .entry = {.name = "lecun_normal", .summary = "Normal with variance 1 / fan_in, for selu"},
    .fill = fill,
};
