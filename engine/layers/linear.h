/* linear.h - y = f(x W + b) over rows of x, and its two gradients: the three matrix products of every layer with a kernel.
 *
 * x (rows, in), W (in, out), b (out), y (rows, out). Rows may lie further apart than they are long: of x by x_stride, of W and y by stride. */
#ifndef BP_LAYERS_LINEAR_H
#define BP_LAYERS_LINEAR_H

#include "engine/kernels/kernels.h"
#include "engine/layers/layer.h"

struct bp_linear {
    int32_t rows, in, out, x_stride, stride;
    bool bfloat16;
    bool alike; /* a row of y has the same bits whatever the other rows are */
    const bp_real *x, *W;
};

/* Whether a product of the pass computes its rows alike in every batch (struct bp_gemm). */
static inline bool bp_linear_alike(const struct bp_pass *pass, int32_t in, int32_t out) {
    return pass->predicting && (int64_t)in * out <= BP_GEMM_ALIKE;
}

/* Rows that lie one after the other, as a pass computes them. */
static inline struct bp_linear bp_linear_of(const struct bp_pass *pass, int32_t rows, int32_t in, int32_t out) {
    return (struct bp_linear){
        .rows = rows, .in = in, .out = out, .x_stride = in, .stride = out, .bfloat16 = pass->bfloat16, .alike = bp_linear_alike(pass, in, out)};
}

/* y = f(x W + b); b may be NULL. f is that of the node when a product can apply it (in_product), else none; node NULL: none. */
static inline void bp_linear_forward(const struct bp_linear *l, const struct bp_node *node, const bp_real *b, bp_real *y) {
    bp_gemm(&(const struct bp_gemm){.bfloat16 = l->bfloat16,
                                    .alike = l->alike,
                                    .rectify = node && node->activation && node->activation->in_product,
                                    .slope = node ? (bp_real)node->activation_numbers[0] : 0,
                                    .m = l->rows,
                                    .n = l->out,
                                    .k = l->in,
                                    .A = l->x,
                                    .lda = l->x_stride,
                                    .B = l->W,
                                    .ldb = l->stride,
                                    .C = y,
                                    .ldc = l->stride,
                                    .bias = b});
}

/* d_W = x^T d_y; `keep`: added to what is there. */
static inline void bp_linear_weights(const struct bp_linear *l, bool keep, const bp_real *d_y, bp_real *d_W) {
    bp_gemm(&(const struct bp_gemm){.transpose_a = true,
                                    .bfloat16 = l->bfloat16,
                                    .add = keep,
                                    .m = l->in,
                                    .n = l->out,
                                    .k = l->rows,
                                    .A = l->x,
                                    .lda = l->x_stride,
                                    .B = d_y,
                                    .ldb = l->stride,
                                    .C = d_W,
                                    .ldc = l->stride});
}

/* d_x = d_y W^T; `keep`: added to what is there. */
static inline void bp_linear_input(const struct bp_linear *l, bool keep, const bp_real *d_y, bp_real *d_x) {
    bp_gemm(&(const struct bp_gemm){.transpose_b = true,
                                    .bfloat16 = l->bfloat16,
                                    .add = keep,
                                    .m = l->rows,
                                    .n = l->in,
                                    .k = l->out,
                                    .A = d_y,
                                    .lda = l->stride,
                                    .B = l->W,
                                    .ldb = l->stride,
                                    .C = d_x,
                                    .ldc = l->x_stride});
}

#endif
