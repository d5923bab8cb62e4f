/* onednn_gemm.c - matrix products by oneDNN, in float32 or with operands rounded to bfloat16 and sums in float32. */
#include "engine/kernels/onednn.h"

#ifdef BP_DOUBLE

bool bp_onednn_gemm(const struct bp_gemm *call) {
    (void)call;
    return false;
}

const char *bp_onednn_name(void) {
    return "";
}

#else

#include <string.h>

enum { GEMM = 1 };
enum { M, N, K, LDA, LDB, LDC, TRANSPOSE_A, TRANSPOSE_B, ADD, BFLOAT16 };

static struct bp_dnnl_key key_of(const struct bp_gemm *call) {
    struct bp_dnnl_key key;
    memset(&key, 0, sizeof key);
    key.kind = GEMM;
    key.numbers[M] = call->m;
    key.numbers[N] = call->n;
    key.numbers[K] = call->k;
    key.numbers[LDA] = call->lda;
    key.numbers[LDB] = call->ldb;
    key.numbers[LDC] = call->ldc;
    key.numbers[TRANSPOSE_A] = call->transpose_a;
    key.numbers[TRANSPOSE_B] = call->transpose_b;
    key.numbers[ADD] = call->add;
    key.numbers[BFLOAT16] = call->bfloat16;
    return key;
}

/* A matrix (rows, columns) as stored: with that row distance, or its transpose. */
static int describe(struct dnnl_md *md, const int64_t size[2], int type, int64_t ld, bool transposed) {
    return bp_dnnl.memory_desc_init_by_strides(md, 2, size, type, transposed ? (const int64_t[]){1, ld} : (const int64_t[]){ld, 1});
}

/* In bfloat16 the operands are copies without gaps between their rows. */
static int make(struct bp_dnnl_thread *thread, struct bp_dnnl_entry *entry) {
    const int32_t *n = entry->key.numbers, m = n[M], columns = n[N], k = n[K];
    const bool half = n[BFLOAT16], a = n[TRANSPOSE_A], b = n[TRANSPOSE_B];
    const int type = half ? DNNL_BF16 : DNNL_F32;
    struct dnnl_md A, B, C;
    struct dnnl_op op;
    void *attributes = bp_dnnl_attributes(n[ADD]), *pd = NULL;
    if (!attributes) return -1;
    const int failed = describe(&A, (const int64_t[]){m, k}, type, half ? (a ? m : k) : n[LDA], a) ||
                       describe(&B, (const int64_t[]){k, columns}, type, half ? (b ? k : columns) : n[LDB], b) ||
                       describe(&C, (const int64_t[]){m, columns}, DNNL_F32, n[LDC], false) || bp_dnnl.matmul_desc_init(&op, &A, &B, NULL, &C) ||
                       bp_dnnl.primitive_desc_create(&pd, &op, attributes, bp_dnnl.engine, NULL);
    bp_dnnl.primitive_attr_destroy(attributes);
    if (failed) return -1;
    if (bp_dnnl_add(&entry->run, DNNL_SRC, &A) || bp_dnnl_add(&entry->run, DNNL_WEIGHTS, &B) || bp_dnnl_add(&entry->run, DNNL_DST, &C)) {
        bp_dnnl.primitive_desc_destroy(pd);
        return -1;
    }
    if (bp_dnnl_finish(thread, &entry->run, pd)) return -1;
    if (!half) return 0;
    return bp_dnnl_grow(thread, BP_SHARED_A, (size_t)m * (size_t)k * 2) || bp_dnnl_grow(thread, BP_SHARED_B, (size_t)k * (size_t)columns * 2);
}

static void *rounded(const bp_real *x, int32_t ld, const int32_t size[2], void *to) {
    const size_t rows = (size_t)size[0], width = (size_t)size[1];
    if (ld == size[1]) bp_kernels()->to_bfloat16(rows * width, x, to);
    else
        for (size_t i = 0; i < rows; i++) bp_kernels()->to_bfloat16(width, x + i * (size_t)ld, (uint16_t *)to + i * width);
    return to;
}

bool bp_onednn_gemm(const struct bp_gemm *call) {
    if (!bp_onednn_takes(false, call->bfloat16, (int64_t)call->m * call->n * call->k)) return false;
    struct bp_dnnl_thread *thread = bp_dnnl_thread();
    const struct bp_dnnl_key key = key_of(call);
    struct bp_dnnl_entry *entry = thread ? bp_dnnl_entry(thread, &key, make) : NULL;
    if (!entry) return false;
    const bool a = call->transpose_a, b = call->transpose_b;
    void *A = (void *)(uintptr_t)call->A, *B = (void *)(uintptr_t)call->B; /* the library takes no const */
    if (call->bfloat16) {
        A = rounded(call->A, call->lda, (const int32_t[]){a ? call->k : call->m, a ? call->m : call->k}, thread->shared[BP_SHARED_A]);
        B = rounded(call->B, call->ldb, (const int32_t[]){b ? call->n : call->k, b ? call->k : call->n}, thread->shared[BP_SHARED_B]);
    }
    bp_dnnl_execute(thread, &entry->run, (void *const[]){A, B, call->C});
    bp_kernels()->finish(call);
    return true;
}

const char *bp_onednn_name(void) {
    return bp_onednn_started() ? bp_dnnl_name() : "";
}

#endif
