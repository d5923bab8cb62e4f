/* blas.c - the one door to matrix products: bp_gemm sends each to our own kernels, to the BLAS, or to oneDNN (onednn_gemm.c).
 *
 * The choice depends on the shape, the table of kernels and the BLAS's own kernels, never on timing, so the same product has
 * the same bits each time. Batch 1 never goes to GEMM (ten times slower on AVX2 kernels). Small products stay at home, where no call, no
 * check and no packing of A is paid; with vectors of 16 lanes up to a few hundred rows and columns (Intel Emerald Rapids: 150-185 GFLOP/s against
 * 110-160 with the kernels for SkylakeX; beyond, 140-150 either way). So do all of them on a CPU with AVX-512 whose BLAS does not use it: OpenBLAS
 * 0.3.21 takes CPUs newer than itself for a Haswell or even a Prescott, and is then half as fast as vector_gemm.h, or worse (Zen 5: 115 against
 * 200-240 GFLOP/s); and on AMD's, where even its AVX-512 kernels are slower (Zen 4: 91-105 against 98-116). */
#include "engine/kernels/onednn.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);

enum {
    FEW_ROWS = 4,              /* up to here packing for the BLAS costs more than it gives */
    MEDIUM_WORK = 1 << 26,     /* multiplications of a product that stays at home with vectors of 16 lanes */
    SMALL_WORK = 64 * 64 * 64, /* ... of 8 lanes */
    TINY_WORK = 2048,          /* ... with shorter ones */
    NARROW = 16,               /* columns: 16 lanes beat the BLAS's wider tiles */
    FLAT = 16,
    LARGE = 65536 /* k below the one, C above the other: bound by memory, where the BLAS writes better than vectors of 8 lanes */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char name[160];
static bool home_is_faster; /* than the BLAS, whatever the size */

static void describe(void) {
    static const char *const cores[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    char config[112];
    snprintf(config, sizeof config, "%s", openblas_get_config());
    size_t used = strlen(config);
    while (used && config[used - 1] == ' ') config[--used] = 0;
    snprintf(name, sizeof name, "%s (%s)", config, openblas_get_corename());
    bool wide = false;
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++) wide = wide || !strcmp(cores[i], openblas_get_corename());
    home_is_faster = !wide;
#if defined(__x86_64__)
    __builtin_cpu_init();
    home_is_faster = home_is_faster || __builtin_cpu_is("amd");
#endif
}

const char *bp_blas_name(void) {
    static _Thread_local char both[sizeof name + 96];
    pthread_once(&once, describe);
    if (!*bp_onednn_name()) return name;
    snprintf(both, sizeof both, "%s, %s", name, bp_onednn_name());
    return both;
}

static bool stays_home(const struct bp_gemm *call) {
    const int64_t work = (int64_t)call->m * call->n * call->k;
    const int lanes = bp_kernels()->lanes;
    if (call->m <= FEW_ROWS || work <= TINY_WORK) return true;
    if (lanes < 8 || (lanes < 16 && call->k < FLAT && (int64_t)call->m * call->n > LARGE)) return false;
    if (lanes < 16) return work <= SMALL_WORK;
    if (work <= MEDIUM_WORK || call->k < FLAT || (call->n <= NARROW && call->k <= 1024)) return true;
    pthread_once(&once, describe);
    return home_is_faster;
}

void bp_gemm_blas(const struct bp_gemm *call) {
    const enum CBLAS_TRANSPOSE a = call->transpose_a ? CblasTrans : CblasNoTrans, b = call->transpose_b ? CblasTrans : CblasNoTrans;
    const bp_real beta = call->add ? 1 : 0;
#ifdef BP_DOUBLE
    cblas_dgemm(CblasRowMajor, a, b, call->m, call->n, call->k, 1, call->A, call->lda, call->B, call->ldb, beta, call->C, call->ldc);
#else
    cblas_sgemm(CblasRowMajor, a, b, call->m, call->n, call->k, 1, call->A, call->lda, call->B, call->ldb, beta, call->C, call->ldc);
#endif
    bp_kernels()->finish(call);
}

void bp_gemm(const struct bp_gemm *call) {
    if (call->alike) bp_kernels()->gemm(call);
    else if (call->m == 1) bp_kernels()->gemv(call);
    else if ((int64_t)call->m * call->n * call->k > TINY_WORK && bp_onednn_gemm(call)) return;
    else if (stays_home(call)) bp_kernels()->gemm(call);
    else bp_gemm_blas(call);
}
