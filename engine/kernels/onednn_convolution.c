/* onednn_convolution.c - convolutions by oneDNN, channels last, in float32 or with operands rounded to bfloat16 and sums in float32. The weights are
 * reordered to the layout of the library before each run, or back from it. */
#include "engine/kernels/onednn.h"

#include <stdlib.h>
#include <string.h>

#ifdef BP_DOUBLE

bool bp_convolution_ready(const struct bp_convolution *call, int way) {
    (void)call, (void)way;
    return false;
}

void bp_convolution_run(const struct bp_convolution *call, int way) {
    (void)call, (void)way;
}

#else

enum { CONVOLUTION = 2 };
enum {
    WAY,
    BATCH,
    CHANNELS,
    FILTERS,
    GROUPS,
    BIAS,
    BFLOAT16,
    IN,
    OUT = IN + 2,
    SIZE = OUT + 2,
    STRIDE = SIZE + 2,
    DILATION = STRIDE + 2,
    BEFORE = DILATION + 2
};

static struct bp_dnnl_key key_of(const struct bp_convolution *call, int way) {
    struct bp_dnnl_key key;
    memset(&key, 0, sizeof key);
    key.kind = CONVOLUTION;
    key.numbers[WAY] = way;
    key.numbers[BATCH] = call->batch;
    key.numbers[CHANNELS] = call->channels;
    key.numbers[FILTERS] = call->filters;
    key.numbers[GROUPS] = call->groups;
    key.numbers[BIAS] = call->bias != NULL && way == BP_CONVOLUTION_FORWARD;
    key.numbers[BFLOAT16] = call->bfloat16;
    for (int k = 0; k < 2; k++) {
        key.numbers[IN + k] = call->in[k];
        key.numbers[OUT + k] = call->out[k];
        key.numbers[SIZE + k] = call->size[k];
        key.numbers[STRIDE + k] = call->stride[k];
        key.numbers[DILATION + k] = call->dilation[k];
        key.numbers[BEFORE + k] = call->before[k];
    }
    return key;
}

/* ---- descriptions ------------------------------------------------------------------------------------------------ */

struct descriptions {
    struct dnnl_md x, y, W, plain, bias; /* W as the library likes it, plain as ours */
    struct dnnl_op op;
};

/* x (B, H, W, C), as the library counts: B, C, H, W. */
static int describe_image(struct dnnl_md *md, const int32_t n[2], const int32_t size[2], int type) {
    const int64_t C = n[1], H = size[0], W = size[1];
    return bp_dnnl.memory_desc_init_by_strides(md, 4, (const int64_t[]){n[0], C, H, W}, type, (const int64_t[]){H * W * C, 1, W * C, C});
}

/* W (size..., C / groups, filters), as the library counts: groups, filters of one, channels of one, size. */
static int describe_weights(const int32_t *n, struct dnnl_md *md, int type, bool any) {
    const int64_t G = n[GROUPS], F = n[FILTERS], each = n[CHANNELS] / G;
    const int64_t dims[] = {G, F / G, each, n[SIZE], n[SIZE + 1]}, strides[] = {F / G, 1, F, n[SIZE + 1] * each * F, each * F};
    const int skip = G == 1; /* one group is no axis */
    if (any) return bp_dnnl.memory_desc_init_by_tag(md, 5 - skip, dims + skip, type, DNNL_ANY);
    return bp_dnnl.memory_desc_init_by_strides(md, 5 - skip, dims + skip, type, strides + skip);
}

static int describe(const int32_t *n, struct descriptions *d) {
    const int type = n[BFLOAT16] ? DNNL_BF16 : DNNL_F32, way = n[WAY];
    int64_t stride[2], dilation[2], before[2], after[2];
    for (int k = 0; k < 2; k++) {
        stride[k] = n[STRIDE + k];
        dilation[k] = n[DILATION + k] - 1;
        before[k] = n[BEFORE + k];
        after[k] = (int64_t)(n[OUT + k] - 1) * stride[k] + (int64_t)n[DILATION + k] * (n[SIZE + k] - 1) + 1 - n[IN + k] - before[k];
    }
    const int back = way == BP_CONVOLUTION_BACK_WEIGHTS;
    if (describe_image(&d->x, (const int32_t[]){n[BATCH], n[CHANNELS]}, n + IN, way == BP_CONVOLUTION_BACK_DATA ? DNNL_F32 : type) ||
        describe_image(&d->y, (const int32_t[]){n[BATCH], n[FILTERS]}, n + OUT, way == BP_CONVOLUTION_FORWARD ? DNNL_F32 : type) ||
        describe_weights(n, &d->W, back ? DNNL_F32 : type, true) || describe_weights(n, &d->plain, DNNL_F32, false) ||
        bp_dnnl.memory_desc_init_by_strides(&d->bias, 1, (const int64_t[]){n[FILTERS]}, DNNL_F32, (const int64_t[]){1}))
        return -1;
    if (way == BP_CONVOLUTION_FORWARD)
        return bp_dnnl.dilated_convolution_forward_desc_init(&d->op, DNNL_FORWARD, DNNL_DIRECT, &d->x, &d->W, n[BIAS] ? &d->bias : NULL, &d->y,
                                                             stride, dilation, before, after);
    if (way == BP_CONVOLUTION_BACK_DATA)
        return bp_dnnl.dilated_convolution_backward_data_desc_init(&d->op, DNNL_DIRECT, &d->x, &d->W, &d->y, stride, dilation, before, after);
    return bp_dnnl.dilated_convolution_backward_weights_desc_init(&d->op, DNNL_DIRECT, &d->x, &d->W, NULL, &d->y, stride, dilation, before, after);
}

/* The backward primitives want to see the forward one's description. */
static void *forward_hint(const int32_t *n) {
    int32_t numbers[24];
    struct descriptions d;
    void *hint = NULL;
    memcpy(numbers, n, sizeof numbers);
    numbers[WAY] = BP_CONVOLUTION_FORWARD;
    if (describe(numbers, &d) || bp_dnnl.primitive_desc_create(&hint, &d.op, NULL, bp_dnnl.engine, NULL)) return NULL;
    return hint;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* The buffer of the weights in the library's order, and what brings them there, or back. */
static int make_reorder(struct bp_dnnl_thread *thread, struct bp_dnnl_entry *entry, const struct descriptions *d, const struct dnnl_md *liked) {
    const bool back = entry->key.numbers[WAY] == BP_CONVOLUTION_BACK_WEIGHTS;
    const struct dnnl_md *from = back ? liked : &d->plain, *to = back ? &d->plain : liked;
    const size_t bytes = (bp_dnnl.memory_desc_get_size(liked) + BP_ALIGNMENT - 1) / BP_ALIGNMENT * BP_ALIGNMENT;
    void *attributes = bp_dnnl_attributes(false), *pd = NULL;
    if (!attributes) return -1;
    const int failed = bp_dnnl.reorder_primitive_desc_create(&pd, from, bp_dnnl.engine, to, bp_dnnl.engine, attributes);
    bp_dnnl.primitive_attr_destroy(attributes);
    if (failed) return -1;
    entry->own = aligned_alloc(BP_ALIGNMENT, bytes);
    if (!entry->own || bp_dnnl_add(&entry->reorder, DNNL_SRC, from) || bp_dnnl_add(&entry->reorder, DNNL_DST, to)) {
        bp_dnnl.primitive_desc_destroy(pd);
        return -1;
    }
    return bp_dnnl_finish(thread, &entry->reorder, pd);
}

/* Arguments in the order x, y, W, bias, whatever they are called on the way. */
static int add_arguments(struct bp_dnnl_entry *entry, const struct descriptions *d, const struct dnnl_md *liked) {
    static const int names[3][3] = {[BP_CONVOLUTION_FORWARD] = {DNNL_SRC, DNNL_DST, DNNL_WEIGHTS},
                                    [BP_CONVOLUTION_BACK_DATA] = {DNNL_DIFF_SRC, DNNL_DIFF_DST, DNNL_WEIGHTS},
                                    [BP_CONVOLUTION_BACK_WEIGHTS] = {DNNL_SRC, DNNL_DIFF_DST, DNNL_DIFF_WEIGHTS}};
    const int *name = names[entry->key.numbers[WAY]];
    return bp_dnnl_add(&entry->run, name[0], &d->x) || bp_dnnl_add(&entry->run, name[1], &d->y) || bp_dnnl_add(&entry->run, name[2], liked) ||
                   (entry->key.numbers[BIAS] && bp_dnnl_add(&entry->run, DNNL_BIAS, &d->bias))
               ? -1
               : 0;
}

static int make_half(struct bp_dnnl_thread *thread, const int32_t *n) {
    const size_t batch = (size_t)n[BATCH], x = batch * (size_t)n[IN] * (size_t)n[IN + 1] * (size_t)n[CHANNELS];
    const size_t y = batch * (size_t)n[OUT] * (size_t)n[OUT + 1] * (size_t)n[FILTERS];
    return bp_dnnl_grow(thread, BP_SHARED_A, 2 * x) || bp_dnnl_grow(thread, BP_SHARED_B, 2 * y) ? -1 : 0;
}

static int make(struct bp_dnnl_thread *thread, struct bp_dnnl_entry *entry) {
    const int32_t *n = entry->key.numbers;
    struct descriptions d;
    void *hint = n[WAY] == BP_CONVOLUTION_FORWARD ? NULL : forward_hint(n), *attributes = bp_dnnl_attributes(false), *pd = NULL;
    int failed = !attributes || (n[WAY] != BP_CONVOLUTION_FORWARD && !hint) || describe(n, &d) ||
                 bp_dnnl.primitive_desc_create(&pd, &d.op, attributes, bp_dnnl.engine, hint);
    if (attributes) bp_dnnl.primitive_attr_destroy(attributes);
    if (hint) bp_dnnl.primitive_desc_destroy(hint);
    if (failed) return -1;
    const struct dnnl_md *liked =
        bp_dnnl.primitive_desc_query_md(pd, n[WAY] == BP_CONVOLUTION_BACK_WEIGHTS ? DNNL_QUERY_DIFF_WEIGHTS : DNNL_QUERY_WEIGHTS, 0);
    if (!liked || make_reorder(thread, entry, &d, liked) || add_arguments(entry, &d, liked) || (n[BFLOAT16] && make_half(thread, n))) {
        bp_dnnl.primitive_desc_destroy(pd);
        return -1;
    }
    return bp_dnnl_finish(thread, &entry->run, pd);
}

/* ---- dispatch ---------------------------------------------------------------------------------------------------- */

static struct bp_dnnl_entry *find(struct bp_dnnl_thread *thread, const struct bp_convolution *call, int way) {
    const struct bp_dnnl_key key = key_of(call, way);
    return bp_dnnl_entry(thread, &key, make);
}

bool bp_convolution_ready(const struct bp_convolution *call, int way) {
    const int64_t cells = (int64_t)call->batch * call->out[0] * call->out[1];
    const int64_t work = cells * call->filters * call->size[0] * call->size[1] * (call->channels / call->groups);
    if (!bp_onednn_takes(true, call->bfloat16, work)) return false;
    struct bp_dnnl_thread *thread = bp_dnnl_thread();
    return thread && find(thread, call, way);
}

void bp_convolution_run(const struct bp_convolution *call, int way) {
    struct bp_dnnl_thread *thread = bp_dnnl_thread();
    struct bp_dnnl_entry *entry = find(thread, call, way);
    const size_t x_size = (size_t)call->batch * (size_t)call->in[0] * (size_t)call->in[1] * (size_t)call->channels;
    const size_t y_size = (size_t)call->batch * (size_t)call->out[0] * (size_t)call->out[1] * (size_t)call->filters;
    void *x = way == BP_CONVOLUTION_BACK_DATA ? (void *)call->d_x : (void *)(uintptr_t)call->x; /* the library takes no const */
    void *y = way == BP_CONVOLUTION_FORWARD ? (void *)call->y : (void *)(uintptr_t)call->d_y, *bias = (void *)(uintptr_t)call->bias;
    if (call->bfloat16 && way != BP_CONVOLUTION_BACK_DATA) {
        bp_kernels()->to_bfloat16(x_size, x, thread->shared[BP_SHARED_A]);
        x = thread->shared[BP_SHARED_A];
    }
    if (call->bfloat16 && way != BP_CONVOLUTION_FORWARD) {
        bp_kernels()->to_bfloat16(y_size, y, thread->shared[BP_SHARED_B]);
        y = thread->shared[BP_SHARED_B];
    }
    if (way != BP_CONVOLUTION_BACK_WEIGHTS) bp_dnnl_execute(thread, &entry->reorder, (void *const[]){(void *)(uintptr_t)call->W, entry->own});
    bp_dnnl_execute(thread, &entry->run, (void *const[]){x, y, entry->own, bias});
    if (way == BP_CONVOLUTION_BACK_WEIGHTS) bp_dnnl_execute(thread, &entry->reorder, (void *const[]){entry->own, call->d_W});
}

#endif
