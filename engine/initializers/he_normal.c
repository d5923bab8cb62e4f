/* he_normal.c - normal with variance 2 / fan_in (He, Zhang, Ren, Sun 2015). */
#include "engine/initializers/initializer.h"

#include <math.h>

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const double deviation = sqrt(2 / tensor->fan_in);
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)(deviation * bp_random_normal(random));
}

extern const struct bp_initializer_ops bp_initializer_he_normal;
const struct bp_initializer_ops bp_initializer_he_normal = {
    .entry = {.name = "he_normal", .summary = "Normal with variance 2 / fan_in, for rectifiers"},
    .fill = fill,
};
