/* predict_lanes.c - see predict_lanes.h. Piece k of the dataset belongs to lane k % count, so the order in which pieces are taken is known. What a
 * lane holds is bounded: it waits until that is taken, in the middle of a piece too, and takes and goes on at once, for the batch only exchanges
 * texts.
 *
 *     WORKING --(the piece is done, or much is held)--> WAITING --(taken)--> WORKING
 *     WORKING --(an error)--> FAILED
 *     WORKING --(the last piece is taken, or the lanes end)--> the thread ends */
#include "server/worker/predict_lanes.h"

#include "engine/kernels/kernels.h"
#include "server/clock.h"
#include "server/worker/heartbeat.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { PIECE_BLOCKS = 16 };
enum lane_state { LANE_WORKING, LANE_WAITING, LANE_FAILED };

struct lane {
    struct predict_lanes *lanes;
    struct schema_batch_lane *work;
    pthread_t thread;
    enum lane_state state;
    bool started;
    bool piece_done; /* WAITING: with what waits */
    struct bp_error error;
};

struct predict_lanes {
    struct schema_batch *batch;
    pthread_mutex_t lock; /* guards the states, and the work of lanes that are not WORKING */
    pthread_cond_t changed;
    atomic_bool ending;
    int64_t rows, piece; /* of the dataset, of a piece */
    int64_t start;       /* the first row of all */
    int32_t count, turn; /* turn: the lane whose piece is taken now, or next */
    struct lane *lane;
};

/* ---- the threads ------------------------------------------------------------------------------------------------------------------------------ */

static bool go_on(void *context) {
    const struct predict_lanes *p = context;
    heartbeat_step();
    return !atomic_load_explicit(&p->ending, memory_order_relaxed);
}

/* What the lane holds has been taken: false: there is nothing more to do. Lock held. */
static bool wait_taken(struct lane *lane) {
    struct predict_lanes *p = lane->lanes;
    pthread_cond_broadcast(&p->changed);
    while (lane->state != LANE_WORKING && !p->ending) pthread_cond_wait(&p->changed, &p->lock);
    return !p->ending;
}

static void *work(void *context) {
    struct lane *lane = context;
    struct predict_lanes *p = lane->lanes;
    bp_flush_denormals();
    int64_t first = p->start + (lane - p->lane) * p->piece;
    bool going = first < p->rows;
    if (going) schema_batch_lane_begin(lane->work, first, p->piece);
    while (going) {
        const int status = schema_batch_lane_run(lane->work, go_on, p, &lane->error);
        pthread_mutex_lock(&p->lock);
        lane->state = status < 0 ? LANE_FAILED : LANE_WAITING;
        lane->piece_done = status == 0;
        going = wait_taken(lane);
        pthread_mutex_unlock(&p->lock);
        if (status != 0) continue;
        first += p->count * p->piece;
        going = going && first < p->rows;
        if (going) schema_batch_lane_begin(lane->work, first, p->piece);
    }
    return NULL;
}

/* ---- the caller ---------------------------------------------------------------------------------------------------------------------------------
 */

int predict_lanes_next(struct predict_lanes *p, int64_t wait_ms, struct bp_error *error) {
    struct lane *lane = &p->lane[p->turn];
    const struct timespec until = clock_after(wait_ms);
    int result = 0;
    pthread_mutex_lock(&p->lock);
    while (lane->state == LANE_WORKING && result == 0) result = pthread_cond_timedwait(&p->changed, &p->lock, &until);
    if (lane->state == LANE_WORKING) {
        result = 0;
    } else if (lane->state == LANE_FAILED) {
        *error = lane->error;
        result = -1;
    } else {
        schema_batch_take(p->batch, lane->work);
        if (lane->piece_done) p->turn = (p->turn + 1) % p->count;
        lane->state = LANE_WORKING;
        pthread_cond_broadcast(&p->changed);
        result = 1;
    }
    pthread_mutex_unlock(&p->lock);
    return result;
}

int64_t predict_lanes_piece(const struct schema_batch *batch) {
    return PIECE_BLOCKS * (int64_t)schema_batch_block(batch);
}

struct predict_lanes *predict_lanes_new(struct schema_batch *batch, int32_t threads, struct bp_error *error) {
    struct schema_batch_place place;
    struct predict_lanes *p = calloc(1, sizeof *p);
    if (!p || !(p->lane = calloc((size_t)threads, sizeof *p->lane))) {
        free(p);
        return bp_error_memory(error, "no memory for the threads of the batch"), NULL;
    }
    schema_batch_place(batch, &place);
    p->batch = batch, p->start = place.row, p->rows = schema_batch_rows(batch), p->piece = predict_lanes_piece(batch);
    pthread_mutex_init(&p->lock, NULL);
    clock_condition_init(&p->changed);
    p->count = threads;
    int failed = 0;
    for (int32_t i = 0; i < threads && !failed; i++) {
        p->lane[i].lanes = p;
        failed = !(p->lane[i].work = schema_batch_lane_new(batch, error));
    }
    for (int32_t i = 0; i < threads && !failed; i++) {
        failed = pthread_create(&p->lane[i].thread, NULL, work, &p->lane[i]);
        if (failed) bp_error_set(error, "", "cannot start the threads of the batch; the limit of threads or of memory is reached");
        p->lane[i].started = !failed;
    }
    if (!failed) return p;
    predict_lanes_free(p);
    return NULL;
}

void predict_lanes_free(struct predict_lanes *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (int32_t i = 0; i < p->count; i++) {
        if (p->lane[i].started) pthread_join(p->lane[i].thread, NULL);
        schema_batch_lane_free(p->lane[i].work);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p->lane);
    free(p);
}
