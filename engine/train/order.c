/* order.c - in which order an epoch walks the training samples.
 *
 * Without windows all of them are shuffled. With windows of W samples, data that does not fit into memory is walked piece by piece: the samples, as
 * they lie, are cut into chunks of W / BP_WINDOW_CHUNKS, or CHUNK_LEAST when that is more; the chunks are shuffled, a shorter one at the end stays
 * there; so many of them make a window, whose samples are shuffled among each other. All of it is a pure function of (seed, epoch, W, batch_size,
 * rows): a checkpoint needs only the position. */
#include "engine/train/trainer.h"

#include <stdlib.h>

enum { CHUNK_LEAST = 8192 }; /* samples, if a window has that many: pieces of a column large enough to read efficiently */

/* A chunk is whole mini-batches, so that no mini-batch is in two windows. */
void bp_order_measure(const struct bp_train_options *options, int64_t rows, struct bp_order *order) {
    const int64_t batch = options->batch_size, share = (options->window + BP_WINDOW_CHUNKS - 1) / BP_WINDOW_CHUNKS;
    const int64_t least = share >= CHUNK_LEAST ? share : options->window < CHUNK_LEAST ? options->window : CHUNK_LEAST;
    *order = (struct bp_order){.chunk = rows, .window = rows, .whole = rows > 0};
    if (options->window <= 0) return;
    order->chunk = batch * bp_steps(least, batch);
    const int64_t chunks = options->window / order->chunk;
    order->window = order->chunk * (chunks < 1 ? 1 : chunks > BP_WINDOW_CHUNKS ? BP_WINDOW_CHUNKS : chunks);
    order->whole = rows / order->chunk;
}

size_t bp_order_bytes(const struct bp_train_options *options, int64_t rows) {
    struct bp_order order;
    bp_order_measure(options, rows, &order);
    const int64_t room = order.window < rows ? order.window : rows;
    return ((size_t)room + (options->window > 0 ? (size_t)order.whole : 0)) * sizeof(int64_t);
}

int bp_order_new(struct bp_trainer *trainer) {
    struct bp_order *order = &trainer->order;
    bp_order_measure(&trainer->options, trainer->train.rows, order);
    const int64_t room = order->window < trainer->train.rows ? order->window : trainer->train.rows;
    order->epoch = -1;
    order->samples = calloc((size_t)room, sizeof *order->samples);
    order->chunks = trainer->options.window > 0 ? calloc((size_t)order->whole + 1, sizeof *order->chunks) : NULL;
    return order->samples && (order->chunks || trainer->options.window <= 0) ? 0 : -1;
}

void bp_order_free(struct bp_trainer *trainer) {
    free(trainer->order.samples);
    free(trainer->order.chunks);
}

/* The samples of a window, in file order; none beyond the last. */
static struct bp_spans spans_of(const struct bp_trainer *trainer, int64_t window) {
    const struct bp_order *order = &trainer->order;
    struct bp_spans spans = {0};
    const int64_t each = order->window / order->chunk;
    for (int64_t i = window * each; i < (window + 1) * each && i * order->chunk < trainer->train.rows; i++) {
        const int64_t first = (i < order->whole ? order->chunks[i] : i) * order->chunk, left = trainer->train.rows - first;
        spans.span[spans.count++] = (struct bp_span){.first = first, .n = left < order->chunk ? left : order->chunk};
    }
    return spans;
}

static void order_window(struct bp_trainer *trainer, int64_t window) {
    struct bp_order *order = &trainer->order;
    const struct bp_spans spans = spans_of(trainer, window), next = spans_of(trainer, window + 1);
    struct bp_random random = bp_random_open(trainer->options.seed, BP_STREAM_SHUFFLE, (uint32_t)trainer->epoch);
    int64_t n = 0;
    for (int32_t s = 0; s < spans.count; s++)
        for (int64_t i = 0; i < spans.span[s].n; i++) order->samples[n++] = spans.span[s].first + i;
    random.counter = (uint64_t)(window + 1) << 40;
    bp_random_shuffle(&random, order->samples, n);
    if (trainer->train.expect) trainer->train.expect(trainer->train.expecting, &spans, &next);
}

const int64_t *bp_order_at(struct bp_trainer *trainer) {
    struct bp_order *order = &trainer->order;
    const int64_t window = trainer->position / order->window;
    if (order->epoch != trainer->epoch) {
        struct bp_random random = bp_random_open(trainer->options.seed, BP_STREAM_SHUFFLE, (uint32_t)trainer->epoch);
        int64_t *shuffled = order->chunks ? order->chunks : order->samples;
        const int64_t n = order->chunks ? order->whole : trainer->train.rows;
        for (int64_t i = 0; i < n; i++) shuffled[i] = i;
        bp_random_shuffle(&random, shuffled, n);
        order->epoch = trainer->epoch;
        order->at = order->chunks ? -1 : 0;
    }
    if (order->at != window) order_window(trainer, window);
    order->at = window;
    return order->samples + (trainer->position - window * order->window);
}

/* Validation reads in file order; as many samples at a time as a window spans. */
void bp_order_validate(struct bp_trainer *trainer) {
    const struct bp_source *source = &trainer->validation;
    const int64_t share = (int64_t)((double)trainer->order.window * (double)source->rows / (double)trainer->train.rows);
    const int64_t some = (share / trainer->validation_batch + 1) * trainer->validation_batch;
    if (!source->expect || trainer->options.window <= 0 || trainer->validated % some) return;
    struct bp_spans spans[2] = {{0}};
    for (int k = 0; k < 2; k++) {
        const int64_t first = trainer->validated + k * some, left = source->rows - first;
        if (left > 0) spans[k] = (struct bp_spans){.count = 1, .span = {{first, left < some ? left : some}}};
    }
    source->expect(source->expecting, &spans[0], &spans[1]);
}
