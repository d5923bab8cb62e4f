/* kernels.c - chooses the table of kernels for this CPU, once, by an explicit list. (target_clones would do it too, but
 * crashes under ThreadSanitizer, and a test could not force it.) */
#include "engine/kernels/kernels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

extern const struct bp_kernels bp_kernels_base;
#if defined(__x86_64__) && !defined(BP_DOUBLE)
extern const struct bp_kernels bp_kernels_avx2, bp_kernels_avx512;
#endif
extern void openblas_set_num_threads(int count);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct bp_kernels *_Atomic chosen;

const struct bp_kernels *bp_kernels_find(const char *name) {
#if defined(__x86_64__) && !defined(BP_DOUBLE)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512bw");
    if (!strcmp(name, bp_kernels_avx512.name)) return avx512 ? &bp_kernels_avx512 : NULL;
    if (!strcmp(name, bp_kernels_avx2.name)) return avx2 ? &bp_kernels_avx2 : NULL;
#endif
    return strcmp(name, bp_kernels_base.name) ? NULL : &bp_kernels_base;
}

static const struct bp_kernels *best(void) {
    static const char *const names[] = {"avx512", "avx2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct bp_kernels *found = bp_kernels_find(names[i]);
        if (found) return found;
    }
    return &bp_kernels_base;
}

static void start(void) {
    openblas_set_num_threads(1);
    if (!atomic_load_explicit(&chosen, memory_order_acquire)) atomic_store_explicit(&chosen, best(), memory_order_release);
}

void bp_engine_start(void) {
    pthread_once(&once, start);
}

const struct bp_kernels *bp_kernels(void) {
    const struct bp_kernels *kernels = atomic_load_explicit(&chosen, memory_order_acquire);
    if (__builtin_expect(!kernels, 0)) {
        bp_engine_start();
        kernels = atomic_load_explicit(&chosen, memory_order_acquire);
    }
    return kernels;
}

int bp_kernels_force(const char *name) {
    const struct bp_kernels *kernels = name ? bp_kernels_find(name) : best();
    if (!kernels) return -1;
    bp_engine_start();
    atomic_store_explicit(&chosen, kernels, memory_order_release);
    return 0;
}

const char *bp_kernels_name(void) {
    return bp_kernels()->name;
}
