/* adam_family.h - private to adam.c, adamw.c and nadam.c: the parameters and the step that they share. */
#ifndef BP_ADAM_FAMILY_H
#define BP_ADAM_FAMILY_H

#include "engine/optimizers/optimizer.h"

enum { ADAM_LEARNING_RATE, ADAM_BETA_1, ADAM_BETA_2, ADAM_EPSILON, ADAM_MOMENTS, ADAM_AMSGRAD = ADAM_MOMENTS, ADAM_PARAMS };

/* Rows of a table of parameters: what all have that keep two moments, with their default learning rate; and those of adam and adamw. */
#define ADAM_MOMENTS_PARAMS(rate)                                                                                                                    \
    [ADAM_LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Learning rate", .preset = (rate), .min = 0, .max = 1e6},      \
    [ADAM_BETA_1] = {.name = "beta_1",                                                                                                               \
                     .type = BP_PARAM_NUMBER,                                                                                                        \
                     .help = "Decay of the mean of the gradient",                                                                                    \
                     .preset = 0.9,                                                                                                                  \
                     .min = 0,                                                                                                                       \
                     .max = 1,                                                                                                                       \
                     .flags = BP_PARAM_MAX_OPEN},                                                                                                    \
    [ADAM_BETA_2] = {.name = "beta_2",                                                                                                               \
                     .type = BP_PARAM_NUMBER,                                                                                                        \
                     .help = "Decay of the mean of its square",                                                                                      \
                     .preset = 0.999,                                                                                                                \
                     .min = 0,                                                                                                                       \
                     .max = 1,                                                                                                                       \
                     .flags = BP_PARAM_MAX_OPEN},                                                                                                    \
    [ADAM_EPSILON] = {.name = "epsilon",                                                                                                             \
                      .type = BP_PARAM_NUMBER,                                                                                                       \
                      .help = "Added to the divisor for stability (PyTorch's default; Keras has 1e-7)",                                              \
                      .preset = 1e-8,                                                                                                                \
                      .min = 0,                                                                                                                      \
                      .max = 1,                                                                                                                      \
                      .flags = BP_PARAM_MIN_OPEN}

#define ADAM_FAMILY_PARAMS                                                                                                                           \
    ADAM_MOMENTS_PARAMS(0.001), [ADAM_AMSGRAD] = {.name = "amsgrad",                                                                                 \
                                                  .type = BP_PARAM_BOOLEAN,                                                                          \
                                                  .help = "Divide by the largest mean of the square so far (Reddi et al. 2018)"}

/* Two moments of the gradient; with amsgrad the largest of the second. */
int32_t bp_adam_slots(const struct bp_value *values);
/* m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2; W = shrink W - lr m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon). */
void bp_adam_update(const struct bp_update *update, double shrink);

#endif
