/* root.h - private to the optimizers: the square root in the number type of the build. */
#ifndef BP_OPTIMIZERS_ROOT_H
#define BP_OPTIMIZERS_ROOT_H

#include "engine/base/base.h"

#include <math.h>

static inline bp_real bp_root(bp_real x) {
#ifdef BP_DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

#endif
