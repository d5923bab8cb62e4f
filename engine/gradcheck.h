/* gradcheck.h - a network's gradients against central finite differences. Computed in double: lives in libengine_f64.a only. */
#ifndef BP_GRADCHECK_H
#define BP_GRADCHECK_H

#include "engine/base/base.h"

struct bp_graph;

/* The comparison of one tensor: a weight tensor ("dense_1/kernel") or an input ("features"). */
struct bp_gradcheck_tensor {
    char name[2 * BP_NAME_MAX];
    int64_t checked;          /* entries compared */
    int64_t skipped;          /* entries left out: a kink is within the step */
    double error;             /* largest |analytic - numeric|, divided by the largest |entry| of either */
    double analytic, numeric; /* the worst entry */
    double largest;           /* largest |entry| */
};

struct bp_gradcheck_report {
    int32_t count;
    struct bp_gradcheck_tensor *tensors; /* the caller frees it */
    double error;                        /* the worst of all */
};

/* Random inputs and targets by seed; classes: number of classes of the target when the loss wants a class (else ignored).
 * entries_max entries per tensor are compared (0: all). The graph needs shapes for all its inputs and a loss. */
int bp64_gradcheck(const struct bp_graph *graph, int32_t batch, uint64_t seed, int64_t entries_max, struct bp_gradcheck_report *report,
                   struct bp_error *error);

#endif
