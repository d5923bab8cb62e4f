/* optimizer.c - what several optimizers have in common. */
#include "engine/optimizers/optimizer.h"

#include <stddef.h>

const char *const bp_decay_choices[] = {"all", "kernels", NULL};
