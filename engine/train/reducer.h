/* reducer.h - sums over the processes that train one network together. The engine knows the contract only; who carries the numbers is the caller's.
 *
 * Every process makes the same calls with the same counts in the same order. A sum has the same bits in every process, and the same ones whenever as
 * many processes sum the same numbers. Calls cannot fail: a process that loses another ends. */
#ifndef BP_REDUCER_H
#define BP_REDUCER_H

#include "engine/base/base.h"

struct bp_reducer {
    void *context;
    int32_t rank, ranks; /* of this process, from 0; processes */
    /* buffer (count) of every process becomes their sum, in place; it may return before that, and the buffer is not to be touched until `finish`.
     * One call at a time, from any thread of the trainer. */
    void (*start)(void *context, bp_real *buffer, size_t count);
    /* The same of `numbers` (count), which may be none, and all that was started is done too. */
    void (*finish)(void *context, double *numbers, size_t count);
};

#endif
