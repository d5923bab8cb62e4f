/* ones.c - all 1. */
#include "engine/initializers/initializer.h"

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    (void)tensor, (void)random;
    for (size_t i = 0; i < n; i++) W[i] = 1;
}

extern const struct bp_initializer_ops bp_initializer_ones;
const struct bp_initializer_ops bp_initializer_ones = {
    .entry = {.name = "ones", .summary = "All 1"},
    .fill = fill,
};
