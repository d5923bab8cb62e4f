/* parametrization.h - two ways for dense layers to begin and to be trained: the neural tangent parametrisation (Jacot, Gabriel, Hongler 2018), z = x
 * W / sqrt(in) + b with W standard normal, and initial values from training rows. Both are RealMLP's (Holzmüller, Grinsztajn, Steinwart 2024, arXiv
 * 2407.04491). Shapes: x (rows, in), W (in, units), b (units). */
#ifndef BP_LAYERS_PARAMETRIZATION_H
#define BP_LAYERS_PARAMETRIZATION_H

#include "engine/initializers/initializer.h"
#include "engine/layers/layer.h"

enum { BP_PARAMETRIZATION_STANDARD, BP_PARAMETRIZATION_NTK };
extern const char *const bp_parametrizations[];

#define BP_PARAM_PARAMETRIZATION                                                                                                                     \
    {                                                                                                                                                \
        .name = "parametrization", .type = BP_PARAM_CHOICE,                                                                                          \
        .help = "ntk: the kernel starts standard normal and its products are divided by the root of the number of inputs",                           \
        .choices = bp_parametrizations                                                                                                               \
    }
#define BP_PARAM_DATA_DEPENDENT                                                                                                                      \
    {                                                                                                                                                \
        .name = "data_dependent", .type = BP_PARAM_BOOLEAN,                                                                                          \
        .help = "Scale the initial kernel so that outputs have variance 1 on training rows, and place the zero of each unit among them"              \
    }

/* 1 / sqrt(in), or 1. */
double bp_parametrization_factor(const struct bp_value *asked, int32_t in);
/* For plan: as bp_tensor_initialize, but auto is standard normal in the neural tangent parametrisation. */
void bp_parametrization_initialize(struct bp_tensor *kernel, const struct bp_value *initializer, const struct bp_value *parametrization);
/* z (rows, units) = factor z + b; rows lie `stride` apart; b may be NULL. */
void bp_parametrization_finish(const size_t size[3], double factor, const bp_real *b, bp_real *z);

/* One kernel and its bias (NULL: none), set from rows of x that lie x_stride apart: W_j is divided by the deviation of factor x W_j; b_j becomes
 * minus factor W_j times a random point between five of the rows (Steinwart 2019). */
struct bp_data_dependent {
    size_t rows, in, units, x_stride;
    double factor;
    const bp_real *x;
    bp_real *W, *b;
    bp_real *scratch; /* (BP_FIT_SCRATCH) */
    struct bp_random *random;
};
void bp_data_dependent_fit(const struct bp_data_dependent *with);

#endif
