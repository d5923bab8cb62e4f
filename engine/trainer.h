/* trainer.h - private to train.c, train_new.c and train_state.c: what a trainer is made of. */
#ifndef BP_TRAINER_H
#define BP_TRAINER_H

#include "shards.h"
#include "train.h"

enum { BP_SUM_LOSS, BP_SUM_WEIGHT, BP_SUMS }; /* the first accumulators of an epoch; metric states follow */
enum { BP_TRAINING, BP_VALIDATION };

/* One number that an epoch reports. */
struct bp_series {
    int32_t metric; /* -1: the loss */
    int32_t part;   /* BP_TRAINING or BP_VALIDATION */
};

/* One shard of a mini-batch: its own workspace and gradient. */
struct bp_shard {
    struct bp_workspace *workspace;
    bp_real *gradient;        /* (weights_count); shard 0's becomes that of the mini-batch */
    bp_real *targets;         /* (capacity, target width) */
    bp_real *weights;         /* (capacity), NULL unless a source is weighted */
    bp_real *classes;         /* (capacity) for metrics, when the targets are one-hot values */
    const bp_real *y;         /* what the metrics compare with */
    struct bp_loss_call call; /* of the last pass */
    int32_t first, count;     /* its samples in the mini-batch under way */
    double loss;
};

/* The mini-batch under way. */
struct bp_work {
    const struct bp_source *source;
    const int64_t *rows; /* [n] */
    int32_t n, active;   /* samples, shards that got any */
    bool update;         /* training: gradients and dropout */
    double scale;        /* 1 / sum of sample weights */
    double clip;         /* factor on the gradient */
};

struct bp_trainer {
    const struct bp_network *network;
    struct bp_train_options options;
    struct bp_source train, validation;
    bool validates, diverged;
    int32_t validation_batch, target_width, points_width;
    size_t weights_count;
    struct bp_shards *shards;
    struct bp_shard *shard; /* [options.threads] */
    struct bp_work work;
    int64_t *order; /* [train.rows] of epoch order_epoch */
    int64_t order_epoch;
    int64_t *ascending; /* [validation_batch] row numbers of the validation batch */
    /* the state that is saved */
    int64_t epoch, position, updates, best_epoch, waited;
    double best_value;
    bool stopped;
    int32_t slots_count;
    int64_t accumulators_count;
    bp_real *weights, *best, *slots[BP_SLOTS_MAX];
    double *accumulators;
    /* the rest */
    int64_t validated; /* validation samples seen this epoch */
    int64_t validation_sums_count;
    double *validation_sums; /* like accumulators */
    int64_t metric_state[2]
                        [BP_METRICS_MAX]; /* offset of each metric's state in the accumulators of training, of validation; -1: not measured there */
    int32_t values_count, stop_index;
    bool stop_higher;
    struct bp_series series[2 * BP_METRICS_MAX + 2]; /* [values_count] */
    char (*names)[BP_NAME_MAX];                      /* [values_count] "loss", "val_loss", ... */
    double *values;                                  /* [values_count] of the last finished epoch */
};

/* Samples one shard holds at most. */
int32_t bp_trainer_capacity(const struct bp_train_options *options, bool validation);

#endif
