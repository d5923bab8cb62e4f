/* kernels.h - the inner loops of the engine and the door to matrix products.
 *
 * One table of loops per instruction set (base, avx2, avx512), compiled from the same plain C in vector.c; the best one this CPU has is
 * chosen once, by an explicit list, never by timing. Matrix products go through bp_gemm (blas.c), which knows when a
 * BLAS call would cost more than the work.
 * Dimensions: n numbers; (rows, width) row-major. Thread rules: everything here may be called from any thread at once. */
#ifndef BP_KERNELS_KERNELS_H
#define BP_KERNELS_KERNELS_H

#include "engine/base/base.h"

enum { BP_ULP = 2 /* largest error of exp, e^x - 1, tanh, sigmoid and erf, in units in the last place */ };

/* C (m, n) = f(A (m, k) B (k, n) + bias), or C += before f when add. Row-major; A is stored (k, m) when transpose_a, B (n, k) when transpose_b.
 * lda, ldb, ldc: reals from one stored row to the next. f is nothing, or with `rectify` slope z where z < 0. */
enum { BP_GEMM_ALIKE = 256 * 256 }; /* up to here our kernel costs at most a few per cent more than the BLAS */
struct bp_gemm {
    bool transpose_a, transpose_b, add, rectify;
    bool bfloat16; /* factors rounded to bfloat16, sums in float32, where the library below does it; else as usual */
    bool alike;    /* row i of C depends on row i of A alone, not on m: our own kernel, whatever the size. For k n up to BP_GEMM_ALIKE */
    int32_t m, n, k;
    const bp_real *A, *B;
    bp_real *C;
    int32_t lda, ldb, ldc;
    const bp_real *bias; /* (n), or NULL */
    bp_real slope;
};

/* Softmax and cross-entropy of (rows, width) pre-activations z, replaced by probabilities; see loss.h for the rest. */
struct bp_softmax_loss {
    size_t rows, width;
    bp_real *z;             /* (rows, width) */
    const bp_real *y;       /* (rows) class numbers */
    const bp_real *weights; /* (rows) or NULL */
    bp_real scale;
    bp_real *d_z;          /* (rows, width) or NULL */
    const bp_real *counts; /* (rows) or NULL */
    double *counted;       /* NULL, or what gains the sum by counts besides the one by weights, which are then given */
};

/* One update of n weights; each optimizer uses the members its formula names. */
struct bp_step {
    size_t n;
    const bp_real *g;
    bp_real *W, *first, *second; /* state: moments, momentum buffer (NULL when there is none) */
    bp_real learning_rate;       /* with Adam's correction of the first moment, lr / (1 - beta_1^t) */
    bp_real beta_1, beta_2;      /* decay of first and second; rmsprop: rho is beta_2; momentum: beta_1 */
    bp_real fresh_1, fresh_2;    /* 1 - beta_1, 1 - beta_2 */
    bp_real root;                /* Adam: 1 / sqrt(1 - beta_2^t) */
    bp_real epsilon;
    bp_real shrink; /* AdamW: 1 - lr weight_decay, else 1 */
    bool nesterov;
};

/* mask[i] = word i of the Philox stream from block `counter` on is below threshold ? 0 : value; y = x mask, unless x is NULL. */
struct bp_dropout_mask {
    uint64_t seed, stream, counter;
    uint32_t threshold;
    bp_real value;
    size_t n;
    bp_real *mask;
    const bp_real *x;
    bp_real *y; /* may be x */
};

/* The piecewise linear embedding of `features` numbers, as the layer of that name defines it: z = P_t + r K_t, with the bin t of each and r in it. */
struct bp_pieces {
    size_t features, bins, width;
    const bp_real *x;      /* (features) */
    const bp_real *edges;  /* (features, bins + 1) ascending */
    const bp_real *prefix; /* P (features, bins, width) */
    const bp_real *kernel; /* K (features, bins, width) */
    bp_real *places;       /* (features, 2) t and r; NULL: not wanted */
    bp_real *z;            /* (features, width) */
};

/* `count` adjacent windows, each of `lines` lines of `line` reals, and a matrix whose rows they are. Lines from..until-1 are within the image; the
 * others are 0. */
struct bp_patches {
    size_t count, lines, line;
    size_t from, until;
    size_t step, row; /* reals from one window to the next, and from one line to the next */
    bp_real *image;   /* the first number of line `from` of the first window; gather only reads it */
    bp_real *matrix;  /* (count, lines line) */
};

/* The windows of a convolution over rows x columns positions, all of whose cells are there: each of `lines` lines of `line` reals. */
struct bp_slide {
    int32_t rows, columns, filters;
    int32_t lines, line;
    size_t down, across, apart; /* reals of x from a position to the one below and to the next, and from a line of a window to the next */
    const bp_real *x;           /* under the first window */
    const bp_real *W, *bias;    /* (lines line, filters), and (filters) or NULL */
    bool add, rectify;          /* as in struct bp_gemm */
    bp_real slope;
    bp_real *y;         /* (rows, columns, filters) */
    const bp_real *d_y; /* as y */
    bp_real *d_W;       /* as W */
};

/* `count` adjacent windows within the image, of size[0] x size[1] cells of `channels` numbers. */
struct bp_max_pool {
    size_t count, channels;
    size_t step, row; /* reals from one window to the next, and from one row of the image to the next */
    int32_t size[2];
    const bp_real *x; /* cell (0, 0) of the first window */
    bp_real *a;       /* (count, channels) */
    bp_real *which;   /* (count, channels) the cell of each maximum, counted row by row; NULL: not wanted */
    const bp_real *d_a;
    bp_real *d_x; /* position of x in its gradient */
    bool add;     /* to d_x instead of storing */
};

/* z = (v - mean) / std of n cells of a table, divided in double; fill in the place of what is missing (NaN). */
struct bp_standard {
    size_t n;
    const double *v;
    double fill, mean, std, most; /* most: finite in float32 */
    float *z;                     /* (n) */
};

/* The nine significant digits of positive numbers: x is digits 10^(exponent - 8), rounded half to even, as printf("%.9g") prints it. Digits 0: x is
 * outside 1e-14..1e9, or so close to a tie that more than a double is needed. */
struct bp_nine {
    size_t n;
    const float *x;
    int32_t *digits, *exponents; /* (n) */
    uint64_t *first, *rest;      /* (n) the first digit; the others, one a byte, the second digit in the lowest */
};

struct bp_kernels {
    const char *name;
    int lanes; /* reals in one of its vectors */
    /* y[i] = f(x[i]); y may be x. In float32 every result is within 2 units in the last place of the true value (BP_ULP; measured over all 2^32
     * inputs and all tables by `make ulp`: exp 0.81, expm1 1.57, tanh 1.35, sigmoid 1.97, erf 1.61), except that one below the least normal number
     * may be 0; not a number gives not a number. In double they are libm's. */
    void (*exp)(size_t n, const bp_real *x, bp_real *y);
    void (*expm1)(size_t n, const bp_real *x, bp_real *y);
    void (*erf)(size_t n, const bp_real *x, bp_real *y);
    void (*sigmoid)(size_t n, const bp_real *x, bp_real *y);
    void (*tanh)(size_t n, const bp_real *x, bp_real *y);
    /* a = high z, or low (e^z - 1) where z < 0; a may be z. d_z = d_a high where a > 0, d_a (a + low) elsewhere; d_z may be d_a. */
    void (*elu)(size_t n, bp_real high, bp_real low, const bp_real *z, bp_real *a);
    void (*elu_backward)(size_t n, bp_real high, bp_real low, const bp_real *a, const bp_real *d_a, bp_real *d_z);
    /* a = z tanh(ln(1 + e^z)), and d_z = d_a times its derivative; in place as above. */
    void (*mish)(size_t n, const bp_real *z, bp_real *a);
    void (*mish_backward)(size_t n, const bp_real *z, const bp_real *d_a, bp_real *d_z);
    void (*softmax)(size_t rows, size_t width, const bp_real *z, bp_real *a);
    /* Returns the loss sum, in double. */
    double (*softmax_loss)(const struct bp_softmax_loss *call);
    void (*add_bias)(size_t rows, size_t width, const bp_real *b, bp_real *a); /* a[i][j] += b[j] */
    /* a = z + b where positive (or not a number), slope (z + b) elsewhere; b may be NULL, a may be z. */
    void (*rectify)(size_t rows, size_t width, bp_real slope, const bp_real *b, const bp_real *z, bp_real *a);
    /* d_z = d_a where a > 0, slope d_a elsewhere; d_z may be d_a. */
    void (*rectify_backward)(size_t n, bp_real slope, const bp_real *a, const bp_real *d_a, bp_real *d_z);
    void (*column_sums)(size_t rows, size_t width, const bp_real *d, bp_real *sums, bool keep); /* sums[j] (+)= sum over i of d[i][j] */
    void (*multiply)(size_t n, const bp_real *x, const bp_real *mask, bp_real *y, bool keep);   /* y (+)= x mask */
    void (*scaled_add)(size_t n, bp_real scale, const bp_real *x, bp_real *y);                  /* y += scale x */
    void (*scale)(size_t n, bp_real scale, bp_real *x);
    void (*gather)(const struct bp_patches *call);   /* matrix = image */
    void (*scatter)(const struct bp_patches *call);  /* image += matrix */
    void (*slide)(const struct bp_slide *call);      /* y = f(x * W + bias) */
    void (*slide_back)(const struct bp_slide *call); /* d_W += x^T d_y */
    bool any_filters;                                /* for them; false: whole vectors only */
    void (*max_pool)(const struct bp_max_pool *call);
    void (*max_pool_back)(const struct bp_max_pool *call);
    double (*sum_squares)(size_t n, const bp_real *x);
    bool (*finite)(size_t n, const bp_real *x);
    bool (*standardise)(const struct bp_standard *call); /* true: no |z| is above most; else z is not to be used */
    void (*nine)(const struct bp_nine *call);
    uint64_t (*outside)(size_t n, const double *v, double least, double most); /* which of at most 64 numbers are, the first in bit 0; NaN is not */
    size_t (*at_least)(size_t n, const double *v, double least);               /* how many are; NaN is not */
    void (*to_bfloat16)(size_t n, const bp_real *x, uint16_t *y);              /* to the nearest, ties to even; not a number stays so */
    void (*dropout_mask)(const struct bp_dropout_mask *call);
    void (*pieces)(const struct bp_pieces *call);
    void (*sgd)(const struct bp_step *step);
    void (*adam)(const struct bp_step *step);
    void (*rmsprop)(const struct bp_step *step);
    void (*gemm)(const struct bp_gemm *call);   /* for small shapes, and m of a few rows */
    void (*gemv)(const struct bp_gemm *call);   /* m is 1 */
    void (*finish)(const struct bp_gemm *call); /* bias and f alone, on what is in C */
};

/* Selects kernels and sets the BLAS to one thread. Called by every user; further calls do nothing. */
void bp_engine_start(void);
/* The table in use. */
const struct bp_kernels *bp_kernels(void);
/* The table of that name when this CPU can run it, else NULL: "base", "avx2", "avx512". */
const struct bp_kernels *bp_kernels_find(const char *name);
/* Uses that table from now on (NULL: the best). To be called before work starts. -1: unknown, or not for this CPU. */
int bp_kernels_force(const char *name);
/* "avx512" */
const char *bp_kernels_name(void);
/* "OpenBLAS 0.3.21 ... (Haswell)", and after a comma oneDNN once it is started: all that bits depend on besides the table. */
const char *bp_blas_name(void);

/* The only interface to matrix products. Same bits for the same shape on every call. */
void bp_gemm(const struct bp_gemm *call);
/* The BLAS itself, whatever the shape: for the self-test. */
void bp_gemm_blas(const struct bp_gemm *call);
/* The plain C reference: no blocking, sums in double. Tests and the self-test compare with it. */
void bp_gemm_reference(const struct bp_gemm *call);

/* GEMM and GEMV on some twenty odd shapes against the reference, in under 2 ms: a BLAS that chose wrong kernels for this CPU is found out
 * before it spoils a model. -1 and an error that names the shape on a mismatch. */
int bp_blas_selftest(struct bp_error *error);
/* Makes the next self-tests fail, to test what the program does then. */
void bp_blas_selftest_fault(bool fault);

/* ---- oneDNN, a second door behind this one -------------------------------------------------------------------------
 *
 * Loaded at run time (Debian package libdnnl2), by a process that requests it: for networks that repay its start (about 20 ms and 12 MB). Once
 * started, bp_gemm and the convolutions below use it according to the table in onednn_choice.c, by CPU and size; where it is not there or a
 * self-test fails, everything runs without it. Results of the same shape have the same bits in every run. */
enum bp_onednn_mode {
    BP_ONEDNN_OFF,  /* not at all, from now on */
    BP_ONEDNN_AUTO, /* where it is faster according to the table */
    BP_ONEDNN_ON    /* for all it can do, however small, on any CPU: for tests */
};

/* Called before work starts; bfloat16: also for calls that request it. -1 with an error: it is not used. */
int bp_onednn_start(enum bp_onednn_mode mode, bool bfloat16, struct bp_error *error);
/* Multiplications from which it would take a product or a convolution on this CPU, by the table; INT64_MAX: none. */
int64_t bp_onednn_least(bool convolution, bool bfloat16);
/* Whether it is started and takes a product or convolution of that many multiplications. */
bool bp_onednn_takes(bool convolution, bool bfloat16, int64_t work);
/* "oneDNN 2.6.3 (isa 0xe7)"; "" unless started. */
const char *bp_onednn_name(void);
/* Products of bfloat16 numbers are offered where they are faster by far: with AMX, and on AMD's CPUs with AVX512-BF16. False with an error: not
 * here. Once bp_onednn_start was called its outcome counts too. Loads nothing itself. */
bool bp_bfloat16_available(struct bp_error *error);
/* Whether bp_onednn_start has started them. */
bool bp_bfloat16_started(void);
/* Offers them on every CPU that has them at all: for tests. */
void bp_bfloat16_force(bool force);
/* For bp_onednn_start: products and convolutions against plain C. */
int bp_onednn_selftest(bool bfloat16, struct bp_error *error);

/* y = x * W + bias and its ways back, channels last: x (batch, in..., channels), W (size..., channels / groups, filters), y (batch, out...,
 * filters). Pairs are height, width. All is stored, nothing added. */
enum { BP_CONVOLUTION_FORWARD, BP_CONVOLUTION_BACK_DATA, BP_CONVOLUTION_BACK_WEIGHTS };
struct bp_convolution {
    int32_t batch, channels, filters, groups;
    int32_t in[2], out[2], size[2], stride[2], dilation[2], before[2];
    bool bfloat16;
    const bp_real *x, *W, *bias, *d_y; /* bias (filters) or NULL */
    bp_real *y, *d_x, *d_W;
};
/* Whether oneDNN will do it that way. False: the caller has to, with products. */
bool bp_convolution_ready(const struct bp_convolution *call, int way);
/* After bp_convolution_ready returned true, in the same thread. */
void bp_convolution_run(const struct bp_convolution *call, int way);

#endif
