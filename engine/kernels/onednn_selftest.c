/* onednn_selftest.c - what oneDNN computes against plain C, before it is used: products of every transposition, one of them added to what is there,
 * and a convolution in each direction, grouped and not. */
#include "engine/kernels/onednn.h"

#ifndef BP_DOUBLE

#include <math.h>
#include <string.h>

enum { ROOM = 8192 };

struct operands {
    bp_real a[ROOM], b[ROOM], c[ROOM], expected[ROOM];
};

/* Numbers in [-1, 1): the multiples of the golden ratio, modulo 1. */
static void fill(bp_real *x, size_t n, uint32_t start) {
    for (size_t i = 0; i < n; i++) x[i] = (bp_real)((double)(int32_t)((start + (uint32_t)i) * 2654435769u) * 0x1p-31);
}

/* Products of numbers below 1, `terms` of them: bfloat16 keeps 8 bits of each factor. */
static int compare(struct operands *room, size_t n, int terms, bool bfloat16, const char *what, struct bp_error *error) {
    const double tolerance = bfloat16 ? 0.01 * sqrt((double)terms) + 0.01 : 1e-6 * (4 + terms);
    if (bp_selftest_faulty()) room->c[n / 2] += 10;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)room->c[i] - (double)room->expected[i]) <= tolerance))
            return bp_error_set(error, "", "oneDNN computes a %s%s wrongly on this CPU: got %.9g, expected %.9g", what,
                                bfloat16 ? " in bfloat16" : "", (double)room->c[i], (double)room->expected[i]);
    return 0;
}

static int try_product(struct operands *room, unsigned flags, bool bfloat16, struct bp_error *error) {
    enum { M = 33, N = 70, K = 66 };
    const bool a = flags & 1, b = flags & 2;
    struct bp_gemm call = {.transpose_a = a,
                           .transpose_b = b,
                           .add = flags & 4,
                           .bfloat16 = bfloat16,
                           .m = M,
                           .n = N,
                           .k = K,
                           .A = room->a,
                           .B = room->b,
                           .C = room->c,
                           .lda = a ? M : K,
                           .ldb = b ? K : N,
                           .ldc = N};
    fill(room->a, ROOM, 1);
    fill(room->b, ROOM, 7);
    fill(room->c, M * N, 5);
    memcpy(room->expected, room->c, sizeof room->c);
    if (!bp_onednn_gemm(&call)) return bp_error_set(error, "", "oneDNN cannot create a matrix product%s", bfloat16 ? " in bfloat16" : "");
    call.C = room->expected;
    bp_gemm_reference(&call);
    return compare(room, M * N, K, bfloat16, "matrix product", error);
}

/* The sum that all three directions are, walked once: y += x W, d_x += d_y W, or d_W += x d_y. */
static void convolve_reference(const struct bp_convolution *call, int way) {
    const int32_t each = call->channels / call->groups, filters = call->filters / call->groups;
    for (int32_t i = 0; i < call->batch * call->out[0] * call->out[1]; i++)
        for (int32_t tap = 0; tap < call->size[0] * call->size[1]; tap++) {
            const int32_t image = i / (call->out[0] * call->out[1]), cell = i % (call->out[0] * call->out[1]);
            const int32_t row = cell / call->out[1] * call->stride[0] - call->before[0] + tap / call->size[1] * call->dilation[0];
            const int32_t column = cell % call->out[1] * call->stride[1] - call->before[1] + tap % call->size[1] * call->dilation[1];
            if (row < 0 || row >= call->in[0] || column < 0 || column >= call->in[1]) continue;
            for (int32_t f = 0; f < call->filters; f++)
                for (int32_t c = 0; c < each; c++) {
                    const int32_t x = ((image * call->in[0] + row) * call->in[1] + column) * call->channels + f / filters * each + c;
                    const int32_t W = (tap * each + c) * call->filters + f, y = i * call->filters + f;
                    if (way == BP_CONVOLUTION_FORWARD) call->y[y] += call->x[x] * call->W[W];
                    else if (way == BP_CONVOLUTION_BACK_DATA) call->d_x[x] += call->d_y[y] * call->W[W];
                    else call->d_W[W] += call->x[x] * call->d_y[y];
                }
        }
}

static int try_convolution(struct operands *room, int way, int32_t groups, bool bfloat16, struct bp_error *error) {
    struct bp_convolution call = {.batch = 2,
                                  .channels = 16,
                                  .filters = 32,
                                  .groups = groups,
                                  .in = {9, 8},
                                  .out = {5, 8},
                                  .size = {3, 3},
                                  .stride = {2, 1},
                                  .dilation = {1, 1},
                                  .before = {1, 1},
                                  .bfloat16 = bfloat16};
    const size_t sizes[3] = {[BP_CONVOLUTION_FORWARD] = 2 * 5 * 8 * 32,
                             [BP_CONVOLUTION_BACK_DATA] = 2 * 9 * 8 * 16,
                             [BP_CONVOLUTION_BACK_WEIGHTS] = (size_t)(3 * 3 * 16 * 32 / groups)};
    const int terms[3] = {9 * 16, 9 * 32, 2 * 5 * 8};
    fill(room->a, ROOM, 1);
    fill(room->b, ROOM, 7);
    memset(room->c, 0, sizeof room->c);
    memset(room->expected, 0, sizeof room->expected);
    call.x = way == BP_CONVOLUTION_BACK_DATA ? NULL : room->a;
    call.W = room->b;
    call.d_y = way == BP_CONVOLUTION_BACK_DATA ? room->a : room->b;
    call.y = call.d_x = call.d_W = room->expected;
    convolve_reference(&call, way);
    call.y = call.d_x = call.d_W = room->c;
    if (!bp_convolution_ready(&call, way)) return bp_error_set(error, "", "oneDNN cannot create a convolution%s", bfloat16 ? " in bfloat16" : "");
    bp_convolution_run(&call, way);
    return compare(room, sizes[way], terms[way], bfloat16, "convolution", error);
}

int bp_onednn_selftest(bool bfloat16, struct bp_error *error) {
    struct operands room;
    for (int half = 0; half <= bfloat16; half++) {
        for (unsigned flags = 0; flags < 5; flags++)
            if (try_product(&room, flags, half, error)) return -1;
        for (int way = 0; way < 3; way++)
            for (int32_t groups = 1; groups <= 2; groups++)
                if (try_convolution(&room, way, groups, half, error)) return -1;
    }
    return 0;
}

#endif
