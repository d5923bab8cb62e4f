/* random.h - counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy
 * as 1, 2, 3", 2011). A draw is a pure function of (seed, stream, counter): nothing is carried along, so a resumed run, or one cut into
 * other shards, draws the same numbers on every machine. */
#ifndef BP_RANDOM_H
#define BP_RANDOM_H

#include "engine/base/base.h"

/* What a stream of numbers is for; the upper half of the stream word. */
enum bp_stream {
    BP_STREAM_INITIALIZE = 1,
    BP_STREAM_SHUFFLE,
    BP_STREAM_DROPOUT,
    BP_STREAM_SPLIT,
    BP_STREAM_USER,
    BP_STREAM_MIXUP,
    BP_STREAM_FOLD,
    BP_STREAM_BOOTSTRAP,
    BP_STREAM_SWEEP
};

/* A generator that walks one stream. */
struct bp_random {
    uint64_t seed, stream, counter;
    uint32_t block[4];
    int32_t left;
};

/* The four 32-bit words at (seed, stream, counter). */
void bp_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t block[4]);
struct bp_random bp_random_open(uint64_t seed, enum bp_stream purpose, uint32_t index);
uint32_t bp_random_u32(struct bp_random *random);
/* Uniform in [0, 1), 53 bits. */
double bp_random_uniform(struct bp_random *random);
/* Standard normal, by Marsaglia's polar method with a logarithm of our own, so that its bits do not depend on libm. */
double bp_random_normal(struct bp_random *random);
/* Uniform in [0, bound), without bias (Lemire 2019). bound > 0. */
uint64_t bp_random_below(struct bp_random *random, uint64_t bound);
/* order[0..n) becomes a permutation of what it held (Fisher-Yates). */
void bp_random_shuffle(struct bp_random *random, int64_t *order, int64_t n);

#endif
