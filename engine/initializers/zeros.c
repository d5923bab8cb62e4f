/* zeros.c - all 0. */
#include "engine/initializers/initializer.h"

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    (void)tensor, (void)random;
    for (size_t i = 0; i < n; i++) W[i] = 0;
}

extern const struct bp_initializer_ops bp_initializer_zeros;
const struct bp_initializer_ops bp_initializer_zeros = {
    .entry = {.name = "zeros", .summary = "All 0"},
    .fill = fill,
};
