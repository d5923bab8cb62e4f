/* floor_gemm.c - the floor of training: only the three matrix products that a dense step cannot avoid (forward, dW, dX) through the
 * BLAS, nothing else. engine_bench.c is measured beside it, on the same machine at the same moment. One JSON line a workload; THREADS=n gives the
 * BLAS n threads, MEASURE_SECONDS is the time of each of the five measures (0.3), OPENBLAS_CORETYPE chooses the BLAS's kernels. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
extern void openblas_set_num_threads(int);
extern char *openblas_get_corename(void);
static double seconds = 0.3;
static clockid_t timer = CLOCK_PROCESS_CPUTIME_ID; /* as in engine_bench.c */
static double now(void) {
    struct timespec t;
    clock_gettime(timer, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
static int cmp(const void *a, const void *b) {
    double x = *(double *)a - *(double *)b;
    return (x > 0) - (x < 0);
}
static float *filled(size_t n) {
    float *p = malloc(n * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return p;
}
static void run(const char *name, const int *s, int layers, int batch) {
    float *a[8], *w[8], *d[8], *g[8];
    for (int l = 0; l <= layers; l++) {
        a[l] = filled((size_t)batch * s[l]);
        d[l] = filled((size_t)batch * s[l]);
    }
    for (int l = 0; l < layers; l++) {
        w[l] = filled((size_t)s[l] * s[l + 1]);
        g[l] = filled((size_t)s[l] * s[l + 1]);
    }
    double r[5];
    long k = 0;
    for (int rep = -1; rep < 5; rep++) {
        double t = now();
        for (long i = 0; rep < 0 ? now() - t < seconds : i < k; i++) {
            for (int l = 0; l < layers; l++)
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, batch, s[l + 1], s[l], 1, a[l], s[l], w[l], s[l], 0, a[l + 1], s[l + 1]);
            for (int l = layers - 1; l >= 0; l--) {
                cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, s[l + 1], s[l], batch, 1, d[l + 1], s[l + 1], a[l], s[l], 0, g[l], s[l]);
                if (l)
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, batch, s[l], s[l + 1], 1, d[l + 1], s[l + 1], w[l], s[l], 0, d[l], s[l]);
            }
            if (rep < 0) k = i + 1;
        }
        if (rep >= 0) r[rep] = (now() - t) / k;
    }
    qsort(r, 5, sizeof *r, cmp);
    printf("{\"peer\": \"gemm-only\", \"workload\": \"%s\", \"samples_per_s\": %.0f, \"us_per_step\": %.2f, \"core\": \"%s\"}\n", name, batch / r[2],
           r[2] * 1e6, openblas_get_corename());
    for (int l = 0; l <= layers; l++) {
        free(a[l]);
        free(d[l]);
    }
    for (int l = 0; l < layers; l++) {
        free(w[l]);
        free(g[l]);
    }
}
int main(void) {
    if (getenv("MEASURE_SECONDS")) seconds = strtod(getenv("MEASURE_SECONDS"), NULL);
    if (getenv("THREADS") && strtol(getenv("THREADS"), NULL, 10) > 1) timer = CLOCK_MONOTONIC;
    openblas_set_num_threads(getenv("THREADS") ? (int)strtol(getenv("THREADS"), NULL, 10) : 1);
    run("tiny", (int[]){4, 16, 3}, 2, 16);
    run("tab", (int[]){30, 64, 32, 2}, 3, 32);
    run("mnist", (int[]){784, 512, 256, 10}, 3, 128);
    run("wide", (int[]){1024, 2048, 2048, 1000}, 3, 256);
    return 0;
}
