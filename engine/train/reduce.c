/* reduce.c - a training over several processes: the sums that make them one. With N processes of T threads a mini-batch has N T shards, of which
 * process r computes those from r T on. Gradients are summed in buckets of neighbouring layers, the last ones first, each as soon as the backward
 * passes of this process have left it, so that sums are under way while the passes go on. Losses, signals and running statistics follow after the
 * passes; states of metrics once an epoch. All else is computed alike in every process.
 *
 * Order: buckets, the end of a mini-batch, metrics, the interface for callers. */
#include "engine/train/trainer.h"

#include "engine/kernels/kernels.h"
#include "engine/network/workspace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKET = 1 << 18 /* reals, from which on a bucket is full: small layers share one */ };

/* Tensors next to each other; its sum can start when the backward pass has left `node`. */
struct bucket {
    size_t from, to;
    int32_t node;
    int32_t arrived; /* shards that have left it */
};

struct bp_reduction {
    pthread_mutex_t mutex; /* of the counts below */
    int32_t count;
    struct bucket *buckets; /* [count] from the last layers to the first */
    int32_t expected;       /* shards of this process that have samples */
    int32_t next;           /* the first bucket that has not started */
    bool busy;              /* a thread starts buckets */
    double signal, signalled;
    double *room; /* (2, room_size) for states of metrics */
    int64_t room_size;
};

bool bp_trainer_shares(const struct bp_trainer *trainer) {
    return trainer->reduction != NULL;
}

static void finish(const struct bp_trainer *trainer, double *numbers, size_t count) {
    trainer->options.reducer->finish(trainer->options.reducer->context, numbers, count);
}

void bp_reduce_numbers(const struct bp_trainer *trainer, double *numbers, size_t count) {
    if (trainer->reduction) finish(trainer, numbers, count);
}

/* ---- buckets ----------------------------------------------------------------------------------------------------- */

static void list_buckets(struct bp_trainer *trainer) {
    struct bp_reduction *reduction = trainer->reduction;
    struct bucket *bucket = NULL;
    size_t to = trainer->trained_count;
    for (int32_t i = trainer->tensors_count; i-- > 0;) {
        const size_t from = trainer->tensors[i].tensor->offset;
        if (!bucket || bucket->to - bucket->from >= BUCKET) {
            bucket = &reduction->buckets[reduction->count++];
            *bucket = (struct bucket){.to = to};
        }
        bucket->from = to = from;
        bucket->node = trainer->tensors[i].node;
    }
}

/* The sum of this process's shards, in order, in the gradient of shard 0. */
static void sum_shards(struct bp_trainer *trainer, size_t from, size_t n) {
    bp_real *sum = trainer->shard[0].gradient + from;
    if (!trainer->shard[0].adds) memset(sum, 0, n * sizeof *sum);
    for (int32_t s = 1; s < trainer->options.threads; s++)
        if (trainer->shard[s].adds) bp_kernels()->scaled_add(n, 1, trainer->shard[s].gradient + from, sum);
}

static void start_bucket(struct bp_trainer *trainer, const struct bucket *bucket) {
    const struct bp_reducer *reducer = trainer->options.reducer;
    sum_shards(trainer, bucket->from, bucket->to - bucket->from);
    reducer->start(reducer->context, trainer->shard[0].gradient + bucket->from, bucket->to - bucket->from);
}

/* Starts the buckets that all shards have left, in order. The mutex is held, except while one is started. */
static void start_buckets(struct bp_trainer *trainer) {
    struct bp_reduction *reduction = trainer->reduction;
    if (reduction->busy) return; /* that thread looks again */
    reduction->busy = true;
    while (reduction->next < reduction->count && reduction->buckets[reduction->next].arrived == reduction->expected) {
        const struct bucket *bucket = &reduction->buckets[reduction->next++];
        pthread_mutex_unlock(&reduction->mutex);
        start_bucket(trainer, bucket);
        pthread_mutex_lock(&reduction->mutex);
    }
    reduction->busy = false;
}

/* The backward pass of a shard has left all nodes from `node` on. */
static void leave(struct bp_trainer *trainer, struct bp_shard *shard, int32_t node) {
    struct bp_reduction *reduction = trainer->reduction;
    if (!trainer->work.last || shard->bucket >= reduction->count || reduction->buckets[shard->bucket].node < node) return;
    pthread_mutex_lock(&reduction->mutex);
    while (shard->bucket < reduction->count && reduction->buckets[shard->bucket].node >= node) reduction->buckets[shard->bucket++].arrived++;
    start_buckets(trainer);
    pthread_mutex_unlock(&reduction->mutex);
}

/* As the watcher of a workspace, called before the backward pass of a node. */
static void watch(void *context, int32_t node) {
    struct bp_shard *shard = context;
    leave(shard->trainer, shard, node + 1);
}

void bp_reduce_left(struct bp_trainer *trainer, struct bp_shard *shard) {
    if (trainer->reduction) leave(trainer, shard, 0);
}

void bp_reduce_begin(struct bp_trainer *trainer) {
    struct bp_reduction *reduction = trainer->reduction;
    const struct bp_work *work = &trainer->work;
    if (!reduction || !work->last) return;
    for (int32_t s = 0; s < trainer->options.threads; s++) {
        struct bp_shard *shard = &trainer->shard[s];
        shard->bucket = 0;
        shard->adds = shard->holds || s < work->active;
    }
    for (int32_t i = 0; i < reduction->count; i++) reduction->buckets[i].arrived = 0;
    reduction->expected = work->active;
    reduction->next = 0;
}

/* ---- the end of a mini-batch ------------------------------------------------------------------------------------- */

static void start_statistics(struct bp_trainer *trainer) {
    const struct bp_network *net = trainer->network;
    const struct bp_reducer *reducer = trainer->options.reducer;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        if (!node->ops->update_statistics || node->frozen) continue;
        for (int32_t t = 0; t < node->tensors_count; t++) {
            const struct bp_tensor *tensor = &node->tensors[t];
            const size_t n = (size_t)bp_shape_size(&tensor->shape);
            if (!tensor->state) continue;
            bp_trainer_sum_statistics(trainer, tensor);
            reducer->start(reducer->context, trainer->shard[0].gradient + tensor->offset, n);
        }
    }
}

double bp_reduce_end(struct bp_trainer *trainer, double loss) {
    struct bp_reduction *reduction = trainer->reduction;
    const int32_t outputs = trainer->network->outputs_count;
    enum { LOSS, SIGNAL, REPORTED };
    double numbers[REPORTED + BP_OUTPUTS_MAX] = {[LOSS] = loss};
    for (int32_t k = 0; k < outputs; k++) {
        for (int32_t s = 0; s < trainer->work.active; s++) numbers[REPORTED + k] += trainer->shard[s].calls[k].reported;
        trainer->work.reported[k] = numbers[REPORTED + k];
    }
    if (!reduction) return loss;
    numbers[SIGNAL] = reduction->signal;
    reduction->signal = 0;
    if (trainer->work.last) {
        pthread_mutex_lock(&reduction->mutex);
        start_buckets(trainer); /* of a process without samples */
        pthread_mutex_unlock(&reduction->mutex);
    }
    if (trainer->work.update) start_statistics(trainer);
    finish(trainer, numbers, (size_t)(REPORTED + outputs));
    reduction->signalled += numbers[SIGNAL];
    memcpy(trainer->work.reported, numbers + REPORTED, (size_t)outputs * sizeof *numbers);
    trainer->work.reduced = trainer->work.last;
    return numbers[LOSS];
}

/* ---- metrics ----------------------------------------------------------------------------------------------------- */

/* The state of one metric of every process, put together in the order of their ranks. */
struct state {
    const struct bp_metric_ops *metric;
    double *numbers;
    int32_t classes, width;
    int64_t samples, size;
};

static void merge_state(const struct bp_trainer *trainer, const struct state *state) {
    const struct bp_reducer *reducer = trainer->options.reducer;
    const size_t size = (size_t)state->size;
    double *total = trainer->reduction->room, *one = total + trainer->reduction->room_size;
    if (!state->metric->merge) {
        finish(trainer, state->numbers, size);
        return;
    }
    for (int32_t r = 0; r < reducer->ranks; r++) {
        double *here = r ? one : total;
        if (r == reducer->rank) memcpy(here, state->numbers, size * sizeof *here);
        else memset(here, 0, size * sizeof *here);
        finish(trainer, here, size);
        if (r) state->metric->merge(total, one, state->classes, state->width, state->samples);
    }
    memcpy(state->numbers, total, size * sizeof *total);
}

/* visit(trainer, state) for each state that metrics of a part have. */
static void each_state(const struct bp_trainer *trainer, int32_t part, void (*visit)(const struct bp_trainer *trainer, const struct state *state)) {
    double *sums = part == BP_VALIDATION ? trainer->validation_sums : trainer->accumulators;
    for (int32_t k = 0; k < trainer->network->outputs_count; k++) {
        const struct bp_task *task = &trainer->options.tasks[k];
        for (int32_t m = 0; m < task->metrics_count; m++) {
            const bool labels = task->multilabel && !(task->metrics[m]->kinds & BP_METRIC_MULTILABEL);
            const int64_t at = trainer->metric_state[part][k][m];
            if (at < 0) continue;
            struct state state = {
                task->metrics[m], sums + at, task->classes, labels ? 1 : trainer->points_width[k], trainer->metric_samples[part][k], 0};
            state.size = state.metric->state_size(state.classes, state.width, state.samples);
            for (int32_t j = 0; j < (labels ? task->targets : 1); j++, state.numbers += state.size) visit(trainer, &state);
        }
    }
}

static void clear_state(const struct bp_trainer *trainer, const struct state *state) {
    (void)trainer;
    memset(state->numbers, 0, (size_t)state->size * sizeof *state->numbers);
}

static void measure_state(const struct bp_trainer *trainer, const struct state *state) {
    struct bp_reduction *reduction = trainer->reduction;
    if (state->metric->merge && state->size > reduction->room_size) reduction->room_size = state->size;
}

void bp_reduce_metrics(struct bp_trainer *trainer, int32_t part) {
    if (trainer->reduction) each_state(trainer, part, merge_state);
}

void bp_reduce_forget(struct bp_trainer *trainer) {
    if (trainer->reduction && trainer->options.reducer->rank > 0) each_state(trainer, BP_TRAINING, clear_state);
}

/* ---- the interface for callers ----------------------------------------------------------------------------------- */

int bp_reduce_new(struct bp_trainer *trainer, struct bp_error *error) {
    if (!trainer->options.reducer) return 0;
    struct bp_reduction *made = trainer->reduction = calloc(1, sizeof *made);
    if (!made) return bp_error_memory(error, "no memory for a trainer");
    pthread_mutex_init(&made->mutex, NULL);
    made->buckets = calloc((size_t)trainer->tensors_count, sizeof *made->buckets);
    each_state(trainer, BP_TRAINING, measure_state);
    if (trainer->validates) each_state(trainer, BP_VALIDATION, measure_state);
    made->room = calloc(2 * (size_t)made->room_size + 1, sizeof *made->room);
    if (!made->buckets || !made->room) return bp_error_memory(error, "no memory to train over %d processes", (int)trainer->options.processes);
    list_buckets(trainer);
    for (int32_t s = 0; s < trainer->options.threads; s++) {
        struct bp_shard *shard = &trainer->shard[s];
        shard->trainer = trainer;
        shard->workspace->watch = watch;
        shard->workspace->watcher = shard;
    }
    return 0;
}

void bp_reduce_free(struct bp_trainer *trainer) {
    struct bp_reduction *reduction = trainer->reduction;
    if (!reduction) return;
    pthread_mutex_destroy(&reduction->mutex);
    free(reduction->buckets);
    free(reduction->room);
    free(reduction);
}

void bp_reduce_step(struct bp_trainer *trainer) {
    if (trainer->reduction) trainer->reduction->signalled = 0;
}

void bp_trainer_signal(struct bp_trainer *trainer, double number) {
    if (trainer->reduction) trainer->reduction->signal = number;
}

double bp_trainer_signalled(const struct bp_trainer *trainer) {
    return trainer->reduction ? trainer->reduction->signalled : 0;
}

void bp_trainer_gather(struct bp_trainer *trainer) {
    bp_reduce_metrics(trainer, BP_TRAINING);
    bp_reduce_forget(trainer);
}
