/* onednn.h - private to blas.c, selftest.c and the onednn*.c: oneDNN 2.x, loaded at run time, as far as we use it.
 *
 * Its C interface passes descriptors as structures that only its own functions fill; we need room for them, not their members (sizes in 2.6:
 * memory 696 bytes, operation 5976). Enumerations are numbers that 2.x keeps. A primitive's scratchpad is not concurrent: every thread has its
 * own primitives, and gives them its own scratchpad. Order, in which each part calls only those before it: the library, a thread's things and
 * primitives, the choice, products, self-tests. */
#ifndef BP_KERNELS_ONEDNN_H
#define BP_KERNELS_ONEDNN_H

#include "engine/kernels/kernels.h"

/* ---- the library ------------------------------------------------------------------------------------------------- */

enum { DNNL_DIMS = 12, DNNL_ARGS = 6 };
enum { DNNL_F32 = 3, DNNL_BF16 = 2, DNNL_FORWARD = 64, DNNL_BACKWARD_DATA = 160, DNNL_BACKWARD_WEIGHTS = 192, DNNL_DIRECT = 1, DNNL_CPU = 1 };
enum {
    DNNL_ANY = 1 /* format tag */,
    DNNL_QUERY_WEIGHTS = 131,
    DNNL_QUERY_DIFF_WEIGHTS = 132,
    DNNL_QUERY_SCRATCHPAD = 136,
    DNNL_SCRATCHPAD_USER = 1
};
enum {
    DNNL_SRC = 1,
    DNNL_DST = 17,
    DNNL_WEIGHTS = 33,
    DNNL_BIAS = 41,
    DNNL_SCRATCHPAD = 80,
    DNNL_DIFF_SRC = 129,
    DNNL_DIFF_DST = 145,
    DNNL_DIFF_WEIGHTS = 161
};
enum { DNNL_ISA_AVX512_BF16 = 0xe7, DNNL_ISA_AMX = 0x3e7 };

struct dnnl_md {
    int64_t room[128];
};
struct dnnl_op {
    int64_t room[1024];
};
struct dnnl_arg {
    int arg;
    void *memory;
};
struct dnnl_version {
    int major, minor, patch;
};

/* X(result, name, parameters): each is dnnl_<name> in the library. All but a few return 0 for success. */
#define BP_DNNL_FUNCTIONS(X)                                                                                                                         \
    X(const struct dnnl_version *, version, (void))                                                                                                  \
    X(int, get_effective_cpu_isa, (void))                                                                                                            \
    X(int, engine_create, (void **engine, int kind, size_t index))                                                                                   \
    X(int, stream_create, (void **stream, void *engine, unsigned flags))                                                                             \
    X(int, stream_wait, (void *stream))                                                                                                              \
    X(int, stream_destroy, (void *stream))                                                                                                           \
    X(int, memory_desc_init_by_strides, (struct dnnl_md * md, int ndims, const int64_t *dims, int type, const int64_t *strides))                     \
    X(int, memory_desc_init_by_tag, (struct dnnl_md * md, int ndims, const int64_t *dims, int type, int tag))                                        \
    X(size_t, memory_desc_get_size, (const struct dnnl_md *md))                                                                                      \
    X(int, memory_create, (void **memory, const struct dnnl_md *md, void *engine, void *handle))                                                     \
    X(int, memory_set_data_handle, (void *memory, void *handle))                                                                                     \
    X(int, memory_destroy, (void *memory))                                                                                                           \
    X(int, primitive_attr_create, (void **attr))                                                                                                     \
    X(int, primitive_attr_destroy, (void *attr))                                                                                                     \
    X(int, primitive_attr_set_scratchpad_mode, (void *attr, int mode))                                                                               \
    X(int, primitive_attr_set_post_ops, (void *attr, const void *post_ops))                                                                          \
    X(int, post_ops_create, (void **post_ops))                                                                                                       \
    X(int, post_ops_append_sum, (void *post_ops, float scale))                                                                                       \
    X(int, post_ops_destroy, (void *post_ops))                                                                                                       \
    X(int, matmul_desc_init,                                                                                                                         \
      (struct dnnl_op * op, const struct dnnl_md *a, const struct dnnl_md *b, const struct dnnl_md *bias, const struct dnnl_md *c))                  \
    X(int, dilated_convolution_forward_desc_init,                                                                                                    \
      (struct dnnl_op * op, int prop, int algorithm, const struct dnnl_md *x, const struct dnnl_md *W, const struct dnnl_md *bias,                   \
       const struct dnnl_md *y, const int64_t *strides, const int64_t *dilates, const int64_t *before, const int64_t *after))                        \
    X(int, dilated_convolution_backward_data_desc_init,                                                                                              \
      (struct dnnl_op * op, int algorithm, const struct dnnl_md *d_x, const struct dnnl_md *W, const struct dnnl_md *d_y, const int64_t *strides,    \
       const int64_t *dilates, const int64_t *before, const int64_t *after))                                                                         \
    X(int, dilated_convolution_backward_weights_desc_init,                                                                                           \
      (struct dnnl_op * op, int algorithm, const struct dnnl_md *x, const struct dnnl_md *d_W, const struct dnnl_md *d_bias,                         \
       const struct dnnl_md *d_y, const int64_t *strides, const int64_t *dilates, const int64_t *before, const int64_t *after))                      \
    X(int, primitive_desc_create, (void **pd, const struct dnnl_op *op, const void *attr, void *engine, const void *hint))                           \
    X(int, primitive_desc_destroy, (void *pd))                                                                                                       \
    X(const struct dnnl_md *, primitive_desc_query_md, (const void *pd, int what, int index))                                                        \
    X(int, reorder_primitive_desc_create,                                                                                                            \
      (void **pd, const struct dnnl_md *from, void *from_engine, const struct dnnl_md *to, void *to_engine, const void *attr))                       \
    X(int, primitive_create, (void **primitive, const void *pd))                                                                                     \
    X(int, primitive_destroy, (void *primitive))                                                                                                     \
    X(int, primitive_execute, (const void *primitive, void *stream, int args_count, const struct dnnl_arg *args))

struct bp_dnnl {
#define BP_DNNL_MEMBER(result, name, parameters) result(*name) parameters;
    BP_DNNL_FUNCTIONS(BP_DNNL_MEMBER)
#undef BP_DNNL_MEMBER
    void (*omp_set_num_threads)(int count); /* of the library's OpenMP; NULL when it was built without */
    void *engine;
};

/* In onednn_library.c. Constant once bp_dnnl_load has returned 0. */
extern struct bp_dnnl bp_dnnl;
/* Loads it, at the first call that succeeds. -1 with an error: it is not there, or not as we know it. */
int bp_dnnl_load(struct bp_error *error);
bool bp_dnnl_loaded(void);
/* "oneDNN 2.6.3 (isa 0xe7)", once loaded. */
const char *bp_dnnl_name(void);

/* ---- a thread's things, in onednn_primitives.c ------------------------------------------------------------------- */

/* What names a primitive; zeroed first, since its bytes are compared. */
struct bp_dnnl_key {
    int32_t kind, numbers[24];
};

/* A primitive with the memories that it works on, whose addresses are set before each run. */
struct bp_dnnl_run {
    void *primitive;
    int args_count;
    struct dnnl_arg args[DNNL_ARGS];
};

enum { BP_DNNL_SHARED = 4 }; /* buffers that all primitives of a thread share: the scratchpad, and operands in bfloat16 */
enum { BP_SHARED_SCRATCHPAD, BP_SHARED_A, BP_SHARED_B };

/* One cached primitive. `own` is a separate buffer (weights in the library's layout), `reorder` fills or reads it. */
struct bp_dnnl_entry {
    struct bp_dnnl_key key;
    bool usable; /* false: the library cannot do it, which is remembered too */
    struct bp_dnnl_run run, reorder;
    void *own;
};

struct bp_dnnl_thread {
    void *stream;
    struct bp_dnnl_entry *entries; /* [ENTRIES_MAX], open addressing */
    int32_t count;
    void *shared[BP_DNNL_SHARED];
    size_t shared_bytes[BP_DNNL_SHARED];
};

/* The calling thread's things, made at its first call; NULL: no memory, or not started. */
struct bp_dnnl_thread *bp_dnnl_thread(void);
/* The entry of that key, created by `make` at the first call (-1: not possible). NULL: the caller computes without the library. */
struct bp_dnnl_entry *bp_dnnl_entry(struct bp_dnnl_thread *thread, const struct bp_dnnl_key *key,
                                    int (*make)(struct bp_dnnl_thread *thread, struct bp_dnnl_entry *entry));

/* ---- primitives -------------------------------------------------------------------------------------------------- */

/* Makes shared buffer `which` at least that large. -1: no memory. */
int bp_dnnl_grow(struct bp_dnnl_thread *thread, int which, size_t bytes);
/* The argument `arg` of the run: a memory of that shape, with no address yet. -1: no memory. */
int bp_dnnl_add(struct bp_dnnl_run *run, int arg, const struct dnnl_md *md);
/* The primitive of pd, with its scratchpad as the last argument when it has one; adds it to the run and destroys pd. -1: it cannot be. */
int bp_dnnl_finish(struct bp_dnnl_thread *thread, struct bp_dnnl_run *run, void *pd);
/* Runs it with those addresses, one for each argument added. */
void bp_dnnl_execute(struct bp_dnnl_thread *thread, struct bp_dnnl_run *run, void *const *addresses);
/* Attributes with a scratchpad that the caller brings, adding to the result when `add`. NULL: no memory. */
void *bp_dnnl_attributes(bool add);

/* ---- the choice, in onednn_choice.c ------------------------------------------------------------------------------ */

/* Whether the table has a row for this CPU. */
bool bp_onednn_cpu_known(void);
/* The instruction set (dnnl_cpu_isa_t) that computes in bfloat16 on this CPU, -1 with an error: none, or none that is faster. */
int bp_bfloat16_isa(struct bp_error *error);
/* From now on what goes to the library is what the table says for this CPU (AUTO), nearly all (ON), or nothing (OFF). */
void bp_onednn_settle(enum bp_onednn_mode mode, bool bfloat16);
/* Whether anything goes there. */
bool bp_onednn_started(void);

/* ---- products and self-tests ------------------------------------------------------------------------------------- */

/* The product by the library. False: it was not done (not started, not for it by the table, or the library cannot). */
bool bp_onednn_gemm(const struct bp_gemm *call);
/* Whether bp_blas_selftest_fault was called. */
bool bp_selftest_faulty(void);

#endif
