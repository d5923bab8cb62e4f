/* selftest.c - matrix products against a plain C reference, at start-up. OpenBLAS 0.3.21 has chosen wrong kernels for CPUs newer
 * than itself; such a BLAS must be found out before it spoils a model. */
#include "engine/kernels/onednn.h"

#include <math.h>
#include <stdatomic.h>

enum { ROOM = 129 * 129 }; /* reals of the largest operand below */

struct operands {
    bp_real A[ROOM], B[ROOM], C[ROOM], expected[ROOM];
};

/* m, n, k: our own kernels, the BLAS's, and the edges of both. */
static const struct shape {
    bool transpose_a, transpose_b, add;
    int32_t m, n, k;
} shapes[] = {
    {false, false, false, 1, 7, 33},     {false, false, true, 1, 127, 31},  {false, true, false, 1, 33, 127}, {false, true, true, 1, 10, 7},
    {true, false, false, 1, 64, 65},     {false, false, false, 2, 3, 5},    {false, false, true, 3, 33, 17},  {true, false, false, 17, 31, 3},
    {true, false, true, 7, 10, 128},     {false, true, false, 16, 31, 33},  {false, true, true, 31, 1, 7},    {false, false, false, 33, 65, 31},
    {false, false, false, 65, 67, 66},   {false, false, true, 127, 17, 33}, {true, false, false, 34, 65, 31}, {true, false, true, 31, 65, 40},
    {false, true, false, 33, 37, 66},    {false, true, true, 70, 31, 35},   {true, true, false, 33, 71, 35},  {false, false, false, 16, 128, 129},
    {false, false, false, 15, 127, 127}, {false, true, false, 48, 96, 64},
};

static atomic_bool fault;

void bp_blas_selftest_fault(bool on) {
    atomic_store(&fault, on);
}

bool bp_selftest_faulty(void) {
    return atomic_load(&fault);
}

void bp_gemm_reference(const struct bp_gemm *call) {
    for (int32_t i = 0; i < call->m; i++)
        for (int32_t j = 0; j < call->n; j++) {
            bp_real *c = &call->C[(size_t)i * (size_t)call->ldc + (size_t)j];
            double sum = call->add ? (double)*c : 0;
            for (int32_t p = 0; p < call->k; p++) {
                size_t a = call->transpose_a ? (size_t)p * (size_t)call->lda + (size_t)i : (size_t)i * (size_t)call->lda + (size_t)p;
                size_t b = call->transpose_b ? (size_t)j * (size_t)call->ldb + (size_t)p : (size_t)p * (size_t)call->ldb + (size_t)j;
                sum += (double)call->A[a] * (double)call->B[b];
            }
            if (call->bias) sum += (double)call->bias[j];
            *c = (bp_real)(call->rectify && sum < 0 ? (double)call->slope * sum : sum);
        }
}

/* Numbers in [-1, 1) that need no generator: the multiples of the golden ratio, modulo 1. */
static void fill(bp_real *x, size_t n, uint32_t start) {
    for (size_t i = 0; i < n; i++) x[i] = (bp_real)((double)(int32_t)((start + (uint32_t)i) * 2654435769u) * 0x1p-31);
}

static int compare(const struct shape *shape, struct operands *room, const char *by, struct bp_error *error) {
    const size_t count = (size_t)shape->m * (size_t)shape->n;
    const double tolerance = (sizeof(bp_real) == sizeof(float) ? 1e-6 : 1e-14) * (4 + shape->k);
    if (bp_selftest_faulty()) room->C[count / 2] += (bp_real)0.01;
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)room->C[i] - (double)room->expected[i]) <= tolerance))
            return bp_error_set(error, "",
                                "the matrix product of (%d, %d)%s by (%d, %d)%s by %s is wrong on this CPU (%s, kernels %s): got %.9g, "
                                "expected %.9g; try the environment variable OPENBLAS_CORETYPE=Haswell, or Nehalem",
                                (int)shape->m, (int)shape->k, shape->transpose_a ? " transposed" : "", (int)shape->k, (int)shape->n,
                                shape->transpose_b ? " transposed" : "", by, bp_blas_name(), bp_kernels_name(), (double)room->C[i],
                                (double)room->expected[i]);
    return 0;
}

/* bp_gemm, and for products of some size the BLAS that it calls, which may be unused for small products. */
static int check(const struct shape *shape, struct operands *room, struct bp_error *error) {
    struct bp_gemm call = {.transpose_a = shape->transpose_a,
                           .transpose_b = shape->transpose_b,
                           .add = shape->add,
                           .m = shape->m,
                           .n = shape->n,
                           .k = shape->k,
                           .A = room->A,
                           .B = room->B,
                           .C = room->expected,
                           .lda = shape->transpose_a ? shape->m : shape->k,
                           .ldb = shape->transpose_b ? shape->k : shape->n,
                           .ldc = shape->n};
    const size_t count = (size_t)shape->m * (size_t)shape->n;
    fill(room->A, (size_t)shape->m * (size_t)shape->k, 1);
    fill(room->B, (size_t)shape->k * (size_t)shape->n, 7919);
    fill(room->expected, count, 104729);
    bp_gemm_reference(&call);
    call.C = room->C;
    fill(room->C, count, 104729);
    bp_gemm(&call);
    if (compare(shape, room, "the engine", error)) return -1;
    if (shape->m < 15) return 0;
    fill(room->C, count, 104729);
    bp_gemm_blas(&call);
    return compare(shape, room, "the BLAS", error);
}

int bp_blas_selftest(struct bp_error *error) {
    struct operands room;
    bp_engine_start();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (check(&shapes[i], &room, error)) return -1;
    return 0;
}
