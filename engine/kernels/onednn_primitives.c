/* onednn_primitives.c - the primitives of oneDNN that a thread has made, and how they are made and run.
 *
 * A primitive is created by the first call of its shape in a thread and cached until the thread ends; from then on nothing of ours is allocated (the
 * library's own execute allocates and frees a little each time). Order: a thread's things, primitives. */
#include "engine/kernels/onednn.h"

#ifndef BP_DOUBLE

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- a thread's things ------------------------------------------------------------------------------------------- */

enum { ENTRIES_MAX = 512 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool keyed;

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

static void make_key(void) {
    keyed = pthread_key_create(&key, thread_free) == 0;
}

struct bp_dnnl_thread *bp_dnnl_thread(void) {
    pthread_once(&once, make_key);
    struct bp_dnnl_thread *thread = keyed ? pthread_getspecific(key) : NULL;
    if (thread || !keyed) return thread;
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
