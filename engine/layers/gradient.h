/* gradient.h - how `backward` writes a gradient: the first writer stores it, each later one adds to it (keep_x and keep_W of struct bp_pass). */
#ifndef BP_LAYERS_GRADIENT_H
#define BP_LAYERS_GRADIENT_H

#include "engine/base/base.h"
#include "engine/kernels/kernels.h"

#include <string.h>

/* One number. */
static inline void bp_gradient_put(bool keep, bp_real d, bp_real *to) {
    *to = keep ? *to + d : d;
}

/* n numbers at once; nothing when `to` is NULL: nobody wants it. */
static inline void bp_gradient_write(bool keep, size_t n, const bp_real *d, bp_real *to) {
    if (!to) return;
    if (keep) bp_kernels()->scaled_add(n, 1, d, to);
    else memcpy(to, d, n * sizeof *to);
}

/* Before a gradient of n numbers is gathered by adding to it. */
static inline void bp_gradient_begin(bool keep, size_t n, bp_real *to) {
    if (!keep) memset(to, 0, n * sizeof *to);
}

#endif
