/* onednn.c - loads oneDNN when it is asked for and worth it, and keeps the primitives that it makes. The only dlopen of the program.
 *
 * What decides is the table below: the CPU's maker and features, and the number of multiplications; never timing. A process that does not call
 * bp_onednn_start never loads the library. A primitive is made by the first call of its shape in a thread and kept until the thread ends; from
 * then on nothing of ours is allocated (the library's own execute allocates and frees a little each time).
 * Order: the table, loading, the start, a thread's things, primitives. */
#include "engine/kernels/onednn.h"

#include <stdio.h>
#include <string.h>

#ifdef BP_DOUBLE

int bp_onednn_start(enum bp_onednn_mode mode, bool bfloat16, char *why, size_t size) {
    (void)mode, (void)bfloat16;
    snprintf(why, size, "it computes in float32 only");
    return -1;
}

bool bp_bfloat16_available(char *why, size_t size) {
    snprintf(why, size, "double precision has no bfloat16");
    return false;
}

bool bp_bfloat16_started(void) {
    return false;
}

int64_t bp_onednn_least(bool convolution, bool bfloat16) {
    (void)convolution, (void)bfloat16;
    return INT64_MAX;
}

void bp_bfloat16_force(bool force) {
    (void)force;
}

const char *bp_onednn_name(void) {
    return "";
}

bool bp_onednn_gemm(const struct bp_gemm *call) {
    (void)call;
    return false;
}

#else

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define NEVER INT64_MAX

/* Multiplications from which a product and a convolution go to the library: [0] in float32, [1] in bfloat16.
 * Intel with AVX-512, wide's step: OpenBLAS 146 GFLOP/s, the library 178, in bfloat16 with AMX 725-1215 (without AMX 112: not offered).
 * AMD with AVX-512 (Zen 4): our own products 98-116, the library's 98-117; on products whose operands outgrow the caches it is ahead (wide's step 116
 * against 128 ms), on mnist's it is not. Convolutions 86-107 against 105-127; bfloat16, which these CPUs have as vectors of twice the rate,
 * 164-250. */
struct row {
    int64_t product[2], convolution[2];
};
static const struct row intel = {{1 << 22, 1 << 20}, {1 << 20, 1 << 20}}, amd = {{1 << 27, 1 << 20}, {1 << 20, 1 << 20}};
static const struct row all = {{1 << 12, 1 << 12}, {1 << 12, 1 << 12}}; /* BP_ONEDNN_ON */

static atomic_bool forced;
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

static void *library;
static char name[96], failure[256]; /* why the last start came to nothing */

bool bp_bfloat16_available(char *why, size_t size) {
    const struct features f = features();
    const bool wanted = f.amx || (f.vectors && (row_of_cpu() == &amd || atomic_load(&forced)));
    if (!wanted) {
        snprintf(why, size, "this CPU computes products in bfloat16 %s: it takes AMX, or an AMD CPU with AVX512-BF16",
                 f.vectors ? "no faster than in float32" : "not at all");
        return false;
    }
    if (*failure) {
        snprintf(why, size, "without oneDNN, which computes them: %s", failure);
        return false;
    }
    if (library && bp_dnnl.get_effective_cpu_isa() < (f.amx ? DNNL_ISA_AMX : DNNL_ISA_AVX512_BF16)) {
        snprintf(why, size, "%s does not use the bfloat16 of this CPU", name);
        return false;
    }
    *why = 0;
    return true;
}

bool bp_onednn_takes(bool convolution, bool bfloat16, int64_t work) {
    const int64_t from = atomic_load_explicit(&least[convolution][bfloat16], memory_order_acquire);
    return from && work >= from;
}

static void settle(const struct row *row, bool bfloat16) {
    for (int half = 0; half < 2; half++) {
        const bool on = row && (!half || bfloat16);
        atomic_store_explicit(&least[0][half], on ? row->product[half] : 0, memory_order_release);
        atomic_store_explicit(&least[1][half], on ? row->convolution[half] : 0, memory_order_release);
    }
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

struct bp_dnnl bp_dnnl;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;

static void thread_free(void *things);

/* ISO C has no conversion from void * to a function: POSIX asks for this. */
static bool find(void *from, const char *symbol, void *to) {
    void *address = dlsym(from, symbol);
    memcpy(to, &address, sizeof address);
    return address != NULL;
}

static int load(char *why, size_t size) {
    static const char *const soname = "libdnnl.so.2";
    if (library) return 0;
    void *opened = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!opened) {
        snprintf(why, size, "%s could not be loaded; the Debian package libdnnl2 has it", soname);
        return -1;
    }
#define LOAD(result, symbol, parameters)                                                                                                             \
    if (!find(opened, "dnnl_" #symbol, &bp_dnnl.symbol)) {                                                                                           \
        snprintf(why, size, "%s has no function dnnl_" #symbol, soname);                                                                             \
        goto fail;                                                                                                                                   \
    }
    BP_DNNL_FUNCTIONS(LOAD)
#undef LOAD
    find(opened, "omp_set_num_threads", &bp_dnnl.omp_set_num_threads);
    const struct dnnl_version *version = bp_dnnl.version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d (isa %#x)", version->major, version->minor, version->patch,
             (unsigned)bp_dnnl.get_effective_cpu_isa());
    if (version->major != 2 || version->minor < 6) {
        snprintf(why, size, "%s is not the version 2.6 or later of 2 that this program knows", name);
        goto fail;
    }
    if (bp_dnnl.engine_create(&bp_dnnl.engine, DNNL_CPU, 0) || pthread_key_create(&key, thread_free)) {
        snprintf(why, size, "%s gives no engine", name);
        goto fail;
    }
    library = opened;
    return 0;
fail:
    dlclose(opened);
    return -1;
}

/* ---- the start --------------------------------------------------------------------------------------------------- */

static int start(enum bp_onednn_mode mode, bool bfloat16, char *why, size_t size) {
    const struct row *row = mode == BP_ONEDNN_ON ? &all : row_of_cpu();
    struct bp_error error = {{0}, {0}};
    settle(NULL, false);
    if (mode == BP_ONEDNN_OFF) {
        snprintf(why, size, "it is switched off");
        return -1;
    }
    if (!row) {
        snprintf(why, size, "this CPU is not one that it was measured on to be faster");
        return -1;
    }
    if (bfloat16 && !bp_bfloat16_available(why, size)) return -1;
    if (load(why, size) || (bfloat16 && !bp_bfloat16_available(why, size))) return -1;
    settle(&all, bfloat16);
    const int failed = bp_onednn_selftest(bfloat16, &error);
    settle(failed ? NULL : row, bfloat16);
    if (failed) snprintf(why, size, "%s", error.message);
    return failed;
}

int bp_onednn_start(enum bp_onednn_mode mode, bool bfloat16, char *why, size_t size) {
    bp_engine_start();
    pthread_mutex_lock(&lock);
    *why = *failure = 0;
    const int result = start(mode, bfloat16, why, size);
    if (result) snprintf(failure, sizeof failure, "%.*s", (int)sizeof failure - 1, why);
    pthread_mutex_unlock(&lock);
    return result;
}

bool bp_bfloat16_started(void) {
    return atomic_load(&least[0][1]) != 0;
}

const char *bp_onednn_name(void) {
    return atomic_load(&least[1][0]) ? name : "";
}

/* ---- a thread's things ------------------------------------------------------------------------------------------- */

enum { ENTRIES_MAX = 512 };

static void run_free(struct bp_dnnl_run *run) {
    for (int i = 0; i < run->args_count; i++) bp_dnnl.memory_destroy(run->args[i].memory);
    if (run->primitive) bp_dnnl.primitive_destroy(run->primitive);
    *run = (struct bp_dnnl_run){0};
}

static void thread_free(void *things) {
    struct bp_dnnl_thread *thread = things;
    for (int32_t i = 0; thread->entries && i < ENTRIES_MAX; i++) {
        run_free(&thread->entries[i].run);
        run_free(&thread->entries[i].reorder);
        free(thread->entries[i].own);
    }
    for (int i = 0; i < BP_DNNL_SHARED; i++) free(thread->shared[i]);
    if (thread->stream) bp_dnnl.stream_destroy(thread->stream);
    free(thread->entries);
    free(thread);
}

struct bp_dnnl_thread *bp_dnnl_thread(void) {
    struct bp_dnnl_thread *thread = pthread_getspecific(key);
    if (thread) return thread;
    if (bp_dnnl.omp_set_num_threads) bp_dnnl.omp_set_num_threads(1); /* of this thread's own teams: a shard is one thread */
    thread = calloc(1, sizeof *thread);
    if (!thread) return NULL;
    thread->entries = calloc(ENTRIES_MAX, sizeof *thread->entries);
    if (!thread->entries || bp_dnnl.stream_create(&thread->stream, bp_dnnl.engine, 1) || pthread_setspecific(key, thread)) {
        thread_free(thread);
        return NULL;
    }
    return thread;
}

static size_t hash(const struct bp_dnnl_key *of) {
    uint32_t h = (uint32_t)of->kind;
    for (int i = 0; i < 24; i++) h = (h ^ (uint32_t)of->numbers[i]) * 2654435761u;
    return h >> 16;
}

struct bp_dnnl_entry *bp_dnnl_entry(struct bp_dnnl_thread *thread, const struct bp_dnnl_key *of,
                                    int (*make)(struct bp_dnnl_thread *thread, struct bp_dnnl_entry *entry)) {
    size_t at = hash(of) % ENTRIES_MAX;
    struct bp_dnnl_entry *entry = &thread->entries[at];
    for (; entry->key.kind; at = (at + 1) % ENTRIES_MAX, entry = &thread->entries[at])
        if (!memcmp(&entry->key, of, sizeof *of)) return entry->usable ? entry : NULL;
    if (thread->count >= ENTRIES_MAX * 3 / 4) return NULL; /* more shapes than a training has */
    thread->count++;
    entry->key = *of;
    entry->usable = make(thread, entry) == 0;
    if (entry->usable) return entry;
    run_free(&entry->run);
    run_free(&entry->reorder);
    free(entry->own);
    entry->own = NULL;
    return NULL;
}

/* ---- primitives -------------------------------------------------------------------------------------------------- */

int bp_dnnl_grow(struct bp_dnnl_thread *thread, int which, size_t bytes) {
    if (bytes <= thread->shared_bytes[which]) return 0;
    void *grown = aligned_alloc(BP_ALIGNMENT, (bytes + BP_ALIGNMENT - 1) / BP_ALIGNMENT * BP_ALIGNMENT);
    if (!grown) return -1;
    free(thread->shared[which]);
    thread->shared[which] = grown;
    thread->shared_bytes[which] = bytes;
    return 0;
}

int bp_dnnl_add(struct bp_dnnl_run *run, int arg, const struct dnnl_md *md) {
    void *memory = NULL;
    if (bp_dnnl.memory_create(&memory, md, bp_dnnl.engine, NULL)) return -1;
    run->args[run->args_count++] = (struct dnnl_arg){arg, memory};
    return 0;
}

int bp_dnnl_finish(struct bp_dnnl_thread *thread, struct bp_dnnl_run *run, void *pd) {
    const struct dnnl_md *scratchpad = bp_dnnl.primitive_desc_query_md(pd, DNNL_QUERY_SCRATCHPAD, 0);
    const size_t bytes = scratchpad ? bp_dnnl.memory_desc_get_size(scratchpad) : 0;
    int failed = bytes && (bp_dnnl_add(run, DNNL_SCRATCHPAD, scratchpad) || bp_dnnl_grow(thread, BP_SHARED_SCRATCHPAD, bytes));
    failed = failed || bp_dnnl.primitive_create(&run->primitive, pd);
    bp_dnnl.primitive_desc_destroy(pd);
    return failed ? -1 : 0;
}

void bp_dnnl_execute(struct bp_dnnl_thread *thread, struct bp_dnnl_run *run, void *const *addresses) {
    for (int i = 0; i < run->args_count; i++)
        bp_dnnl.memory_set_data_handle(run->args[i].memory,
                                       run->args[i].arg == DNNL_SCRATCHPAD ? thread->shared[BP_SHARED_SCRATCHPAD] : addresses[i]);
    bp_dnnl.primitive_execute(run->primitive, thread->stream, run->args_count, run->args);
    bp_dnnl.stream_wait(thread->stream);
}

void *bp_dnnl_attributes(bool add) {
    void *attributes = NULL, *post_ops = NULL;
    if (bp_dnnl.primitive_attr_create(&attributes)) return NULL;
    int failed = bp_dnnl.primitive_attr_set_scratchpad_mode(attributes, DNNL_SCRATCHPAD_USER);
    if (add) {
        failed = failed || bp_dnnl.post_ops_create(&post_ops) || bp_dnnl.post_ops_append_sum(post_ops, 1) ||
                 bp_dnnl.primitive_attr_set_post_ops(attributes, post_ops);
        if (post_ops) bp_dnnl.post_ops_destroy(post_ops);
    }
    if (!failed) return attributes;
    bp_dnnl.primitive_attr_destroy(attributes);
    return NULL;
}

#endif
