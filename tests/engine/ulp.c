/* ulp.c - `make ulp`: the largest error of exp, e^x - 1, tanh, sigmoid and erf over all 2^32 floats, for every table of kernels this CPU has, against
 * libm in double. Exit status 1 when one exceeds the bound that kernels.h states. Some minutes; `make test` runs a sample (test_vector.c). */
#include "tests/engine/ulp.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TABLES = 3, THREADS_MAX = 64 };

static const char *const names[TABLES] = {"base", "avx2", "avx512"};

/* A thread's share of the bit patterns, and what it found. */
struct share {
    pthread_t thread;
    uint64_t first, end;
    int function;
    double worst[TABLES];
    float at[TABLES];
};

static void *walk(void *argument) {
    struct share *share = argument;
    float x[ULP_BLOCK], y[ULP_BLOCK];
    double truth[ULP_BLOCK];
    for (uint64_t first = share->first; first < share->end; first += ULP_BLOCK) {
        ulp_inputs((uint32_t)first, 1, ULP_BLOCK, x);
        for (int i = 0; i < ULP_BLOCK; i++) truth[i] = ulp_functions[share->function].exact((double)x[i]);
        for (int t = 0; t < TABLES; t++) {
            const struct bp_kernels *kernels = bp_kernels_find(names[t]);
            if (!kernels) continue;
            ulp_apply(kernels, share->function, ULP_BLOCK, x, y);
            for (int i = 0; i < ULP_BLOCK; i++) {
                const double error = ulp_error(truth[i], y[i]);
                if (!(error > share->worst[t])) continue;
                share->worst[t] = error;
                share->at[t] = x[i];
            }
        }
    }
    return NULL;
}

/* Prints the worst of all shares; 1 when it exceeds the bound. */
static int report(const struct share *shares, int count, int table) {
    const struct share *worst = &shares[0];
    if (!bp_kernels_find(names[table])) return 0;
    for (int i = 1; i < count; i++)
        if (shares[i].worst[table] > worst->worst[table]) worst = &shares[i];
    printf("%-8s %-7s %.4f units in the last place, at %a (%.9g)\n", ulp_functions[worst->function].name, names[table], worst->worst[table],
           (double)worst->at[table], (double)worst->at[table]);
    fflush(stdout);
    return !(worst->worst[table] <= BP_ULP);
}

int main(void) {
    static struct share shares[THREADS_MAX];
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int failed = 0, count = 1; /* a power of two, so that every share is whole blocks */
    while (count * 2 <= cores && count * 2 <= THREADS_MAX) count *= 2;
    for (int f = 0; f < ULP_FUNCTIONS; f++) {
        for (int i = 0; i < count; i++) {
            const uint64_t each = (UINT64_C(1) << 32) / (uint64_t)count;
            shares[i] = (struct share){.first = each * (uint64_t)i, .end = each * (uint64_t)(i + 1), .function = f};
            if (pthread_create(&shares[i].thread, NULL, walk, &shares[i])) return 2;
        }
        for (int i = 0; i < count; i++) pthread_join(shares[i].thread, NULL);
        for (int t = 0; t < TABLES; t++) failed |= report(shares, count, t);
    }
    return failed;
}
