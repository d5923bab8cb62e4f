/* onednn.c - starts oneDNN when a process asks for it: loads it, has it checked, and lets the products that the table names go there. A process that
 * does not call bp_onednn_start never loads the library.
 *
 * Calls go one way: onednn.c -> onednn_selftest.c -> selftest.c -> blas.c -> onednn_gemm.c and onednn_convolution.c -> onednn_primitives.c ->
 * onednn_library.c; whether a product goes there is asked of onednn_choice.c, which calls nobody. */
#include "engine/kernels/onednn.h"

#ifdef BP_DOUBLE

int bp_onednn_start(enum bp_onednn_mode mode, bool bfloat16, struct bp_error *error) {
    (void)mode, (void)bfloat16;
    return bp_error_unsupported(error, "", "this build computes in float32 only");
}

bool bp_bfloat16_available(struct bp_error *error) {
    bp_error_unsupported(error, "", "double precision has no bfloat16");
    return false;
}

#else

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bp_error failure; /* of the last start */

bool bp_bfloat16_available(struct bp_error *error) {
    const int isa = bp_bfloat16_isa(error);
    if (isa < 0) return false;
    if (failure.message[0]) {
        bp_error_unsupported(error, "", "without oneDNN, which they need: %s", failure.message);
        return false;
    }
    if (!bp_dnnl_loaded() || bp_dnnl.get_effective_cpu_isa() >= isa) return true;
    bp_error_unsupported(error, "", "%s does not use the bfloat16 of this CPU", bp_dnnl_name());
    return false;
}

static int start(enum bp_onednn_mode mode, bool bfloat16, struct bp_error *error) {
    bp_onednn_settle(BP_ONEDNN_OFF, false);
    if (mode == BP_ONEDNN_OFF) return bp_error_unsupported(error, "", "it is disabled");
    if (mode == BP_ONEDNN_AUTO && !bp_onednn_cpu_known()) return bp_error_unsupported(error, "", "it was not measured to be faster on this CPU");
    if (bfloat16 && !bp_bfloat16_available(error)) return -1;
    if (bp_dnnl_load(error) || (bfloat16 && !bp_bfloat16_available(error))) return -1;
    bp_onednn_settle(BP_ONEDNN_ON, bfloat16);
    const int failed = bp_onednn_selftest(bfloat16, error);
    bp_onednn_settle(failed ? BP_ONEDNN_OFF : mode, bfloat16);
    return failed;
}

int bp_onednn_start(enum bp_onednn_mode mode, bool bfloat16, struct bp_error *error) {
    struct bp_error cause = {0};
    bp_engine_start();
    pthread_mutex_lock(&lock);
    failure = (struct bp_error){0};
    const int result = start(mode, bfloat16, &cause);
    if (result) failure = cause;
    pthread_mutex_unlock(&lock);
    if (result) bp_error_wrap(error, &cause, cause.pointer, "%s", cause.message);
    return result;
}

#endif
