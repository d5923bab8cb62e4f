/* onednn_choice.c - which products and convolutions go to oneDNN: by the table below, the maker and the features of the CPU, and the number of
 * multiplications; never by timing. Knows nothing of the library itself. */
#include "engine/kernels/onednn.h"

#ifdef BP_DOUBLE

bool bp_bfloat16_started(void) {
    return false;
}

int64_t bp_onednn_least(bool convolution, bool bfloat16) {
    (void)convolution, (void)bfloat16;
    return INT64_MAX;
}

bool bp_onednn_takes(bool convolution, bool bfloat16, int64_t work) {
    (void)convolution, (void)bfloat16, (void)work;
    return false;
}

void bp_bfloat16_force(bool force) {
    (void)force;
}

#else

#include <stdatomic.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define NEVER INT64_MAX

/* Multiplications from which a product and a convolution go to the library: [0] in float32, [1] in bfloat16.
 * Intel with AVX-512, wide's step: OpenBLAS 146 GFLOP/s, the library 178, in bfloat16 with AMX 725-1215 (without AMX 112: not offered).
 * Convolutions there: 64 to 128 channels take 0.78 to 0.89 of our own time; with fewer the library is between 0.88 and 1.02, and a convolution with
 * its pooling, which we do for some samples at a time (network/pass.c), 1.12.
 * AMD with AVX-512 (Zen 4): our own products 98-116, the library's 98-117; on products whose operands outgrow the caches it is ahead (wide's step 116
 * against 128 ms), on mnist's it is not. Convolutions 86-107 against 105-127; bfloat16, which these CPUs have as vectors of twice the rate,
 * 164-250. */
struct row {
    int64_t product[2], convolution[2];
};
static const struct row intel = {{1 << 22, 1 << 20}, {1 << 27, 1 << 20}}, amd = {{1 << 27, 1 << 20}, {1 << 20, 1 << 20}};
static const struct row all = {{1 << 12, 1 << 12}, {1 << 12, 1 << 12}}; /* BP_ONEDNN_ON */

static atomic_bool forced;          /* bp_bfloat16_force */
static _Atomic int64_t least[2][2]; /* [convolution][bfloat16], 0: not started */

/* NULL: a CPU that the table does not know. */
static const struct row *row_of_cpu(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!bp_kernels_find("avx512")) return NULL;
    if (__builtin_cpu_is("intel")) return &intel;
    if (__builtin_cpu_is("amd")) return &amd;
#endif
    return NULL;
}

int64_t bp_onednn_least(bool convolution, bool bfloat16) {
    const struct row *row = row_of_cpu();
    if (!row) return NEVER;
    return convolution ? row->convolution[bfloat16] : row->product[bfloat16];
}

bool bp_onednn_cpu_known(void) {
    return row_of_cpu() != NULL;
}

/* ---- bfloat16 ---------------------------------------------------------------------------------------------------- */

struct features {
    bool amx, vectors; /* bfloat16 in tiles, in AVX-512 */
};

static struct features features(void) {
    struct features f = {false, false};
#if defined(__x86_64__)
    unsigned a, b, c, d;
    if (!bp_kernels_find("avx512")) return f;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) f.vectors = a >> 5 & 1;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1)) {
        unsigned low, high;
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        f.amx = (low >> 17 & 3) == 3; /* the kernel saves the tiles */
    }
#endif
    return f;
}

void bp_bfloat16_force(bool force) {
    atomic_store(&forced, force);
}

int bp_bfloat16_isa(struct bp_error *error) {
    const struct features f = features();
    if (f.amx) return DNNL_ISA_AMX;
    if (f.vectors && (row_of_cpu() == &amd || atomic_load(&forced))) return DNNL_ISA_AVX512_BF16;
    return bp_error_unsupported(error, "", "products in bfloat16 need AMX, or an AMD CPU with AVX512-BF16; on this CPU they are %s",
                                f.vectors ? "no faster than in float32" : "not supported");
}

/* ---- what goes to the library ------------------------------------------------------------------------------------ */

bool bp_onednn_takes(bool convolution, bool bfloat16, int64_t work) {
    const int64_t from = atomic_load_explicit(&least[convolution][bfloat16], memory_order_acquire);
    return from && work >= from;
}

static void choose(const struct row *row, bool bfloat16) {
    for (int half = 0; half < 2; half++) {
        const bool on = row && (!half || bfloat16);
        atomic_store_explicit(&least[0][half], on ? row->product[half] : 0, memory_order_release);
        atomic_store_explicit(&least[1][half], on ? row->convolution[half] : 0, memory_order_release);
    }
}

void bp_onednn_settle(enum bp_onednn_mode mode, bool bfloat16) {
    choose(mode == BP_ONEDNN_OFF ? NULL : mode == BP_ONEDNN_ON ? &all : row_of_cpu(), bfloat16);
}

bool bp_onednn_started(void) {
    return atomic_load(&least[1][0]) != 0;
}

bool bp_bfloat16_started(void) {
    return atomic_load(&least[0][1]) != 0;
}

#endif
