/* trainer.h - private to the train*.c files: what a trainer is made of. */
#ifndef BP_TRAINER_H
#define BP_TRAINER_H

#include "engine/train/shards.h"
#include "engine/train/train.h"

/* Of an epoch: what is minimised and its weight, the reported loss of each output; metric states follow. Last, with trainer->apart, the two that a
 * training reports: its loss by counts, and the counts. */
enum { BP_SUM_LOSS, BP_SUM_WEIGHT, BP_SUM_OUTPUTS, BP_SUMS = BP_SUM_OUTPUTS + BP_OUTPUTS_MAX };
enum { BP_REPORTED = 2 };
/* Sums over the activations of a layer, for its health. */
enum { BP_LOOK_SUM, BP_LOOK_SQUARES, BP_LOOK_COUNT, BP_LOOK_OUTSIDE, BP_LOOKS };
enum { BP_TRAINING, BP_VALIDATION };
/* What bp_trainer_state.memory holds. */
enum {
    BP_MEMORY_SCHEDULE = 0,
    BP_MEMORY_SEARCH = BP_MEMORY_SCHEDULE + BP_SCHEDULE_STATE,
    BP_MEMORY_RATE = BP_MEMORY_SEARCH + BP_SEARCH_MEMORY, /* that the range test found, 0: none */
    BP_MEMORY_LAST                                        /* of the last update: the schedule may have moved on since */
};

/* One number that an epoch reports. */
struct bp_series {
    int32_t output; /* -1: of all of them */
    int32_t metric; /* -1: the loss */
    int32_t target; /* of several side by side; -1: of all of them */
    int32_t part;   /* BP_TRAINING or BP_VALIDATION */
};

/* Mixing samples: a second batch, and space to evaluate the losses twice. */
struct bp_mixing {
    bp_real *inputs[BP_INPUTS_MAX]; /* (capacity, input) */
    bp_real *targets[BP_OUTPUTS_MAX];
    bp_real *weights, *counts;  /* (capacity) or NULL */
    bp_real *z[BP_OUTPUTS_MAX]; /* (capacity, width) of the output */
    bp_real *d[BP_OUTPUTS_MAX];
};

struct bp_trainer;

/* One shard of a mini-batch: its own workspace and gradient. */
struct bp_shard {
    struct bp_workspace *workspace;
    bp_real *gradient;                         /* (weights_count); shard 0's becomes that of the update */
    bool holds;                                /* the gradient is of the update under way */
    bp_real *targets[BP_OUTPUTS_MAX];          /* (capacity, target width) */
    bp_real *weights;                          /* (capacity), NULL unless a source is weighted */
    bp_real *counts;                           /* (capacity), NULL unless the training source counts */
    bp_real *classes;                          /* (capacity) for metrics, when targets are one-hot values */
    struct bp_loss_call calls[BP_OUTPUTS_MAX]; /* of the last pass */
    struct bp_mixing *mixing;                  /* NULL: none */
    double *changes;                           /* [tensors_count] squared norms of what the update changed, for the health */
    int32_t first, count;                      /* its samples in the mini-batch under way */
    struct bp_trainer *trainer;                /* for the watcher of the workspace, over several processes */
    int32_t bucket;                            /* the first of reduce.c's that its backward pass has not left */
    bool adds;                                 /* its gradient is part of the sum under way */
    double loss;
    double rows[BP_OUTPUTS_MAX], row_counts[BP_OUTPUTS_MAX]; /* what the rows of each output weigh, and count in metrics */
};

/* The mini-batch under way. */
struct bp_work {
    const struct bp_source *source;
    const int64_t *rows; /* [n] */
    int32_t n, active;   /* samples, shards of this process that got any */
    int32_t shards;      /* of all processes that got any */
    bool last;           /* of its update: over several processes the gradient is then summed */
    bool reduced;        /* shard 0 holds the gradient of all */
    int32_t nth;         /* mini-batches of the same update before it, */
    int64_t before;      /* and their samples */
    bool update;         /* training: gradients and dropout */
    bool measure;        /* the health of the layers is wanted */
    double scale;        /* 1 / sum of sample weights, or of those of the only output's rows */
    double count;        /* sum of what the samples count in metrics, or of those of the only output's rows */
    double row_share[BP_OUTPUTS_MAX], count_share[BP_OUTPUTS_MAX]; /* of each output: see struct bp_loss_call */
    double clip;                                                   /* factor on the gradient */
    double rate, decay;                                            /* learning rate of the update, factor on its weight decay */
    double eased;                                                  /* dropout rates are times 1 - eased */
    double lambda;                                                 /* mixup: share of the sample itself; 1: nothing is mixed */
    double reported[BP_OUTPUTS_MAX];                               /* loss of each output, of all shards */
    const bp_real *weights;
};

/* A trained tensor and its offset. */
struct bp_place {
    int32_t node;
    const struct bp_tensor *tensor;
};

/* A run of trained tensors with the same factors, to the end of the reals `end`. */
struct bp_pace {
    size_t end;
    double rate, decay;
};

/* In which order an epoch walks the samples; without windows there is one of all. */
struct bp_order {
    int64_t chunk, window;     /* samples of each */
    int64_t whole;             /* chunks but a shorter last one */
    int64_t *samples, *chunks; /* [window] of window `at`; [whole] of the epoch, NULL without windows */
    int64_t epoch, at;         /* -1: none */
};

struct bp_trainer {
    const struct bp_network *network;
    struct bp_train_options options;
    struct bp_source train, validation;
    bool validates, diverged;
    bool apart; /* class weights: the reported loss is not the one that is minimised */
    int32_t validation_batch, target_width[BP_OUTPUTS_MAX], points_width[BP_OUTPUTS_MAX];
    size_t weights_count, trained_count;
    struct bp_shards *shards;
    struct bp_shard *shard;         /* [options.threads] */
    struct bp_reduction *reduction; /* NULL: one process */
    struct bp_work work;
    struct bp_order order;
    int64_t *ascending; /* [validation_batch] row numbers of the validation batch; of a mixed one */
    /* the state that is saved */
    int64_t epoch, position, updates, best_epoch, waited;
    double best_value;
    bool stopped;
    int32_t slots_count;
    int64_t accumulators_count;
    bp_real *weights, *best, *average, *slots[BP_SLOTS_MAX];
    bp_real *good;      /* NULL with early stopping, which has `best`: those of the last finished epoch; not saved */
    int64_t good_epoch; /* of `best` with early stopping, else of `good`; 0: none */
    double *accumulators;
    double memory[BP_MEMORY];
    /* the rest */
    bp_real *fit_x; /* room to fit layers from data, while the training has not begun: (fit_rows, input of a layer), then (fit_rows); or NULL */
    int32_t fit_rows;
    int64_t validated; /* validation samples processed in this epoch */
    int64_t validation_sums_count;
    double *validation_sums;                                 /* like accumulators */
    int64_t metric_state[2][BP_OUTPUTS_MAX][BP_METRICS_MAX]; /* offset of each metric's state among the sums of a part; -1: not measured there */
    int64_t metric_samples[2][BP_OUTPUTS_MAX];               /* the most that metrics of an output are shown in a part */
    int32_t values_count, stop_index;
    struct bp_series *series;   /* [values_count] */
    char (*names)[BP_NAME_MAX]; /* [values_count] "loss", "val_loss", ... */
    double *values;             /* [values_count] of the last finished epoch */
    int32_t tensors_count, health_count;
    struct bp_place *tensors; /* [tensors_count] the trained ones, by offset */
    int32_t paces_count;
    struct bp_pace *paces;    /* [paces_count] */
    struct bp_health *health; /* [health_count] of the layers that are not views */
    int32_t *health_nodes;
    double *looks; /* sums over the activations of a layer, then [widest layer] how many values of a unit are not 0 */
};

/* Samples one shard holds at most. */
int32_t bp_trainer_capacity(const struct bp_train_options *options, bool validation);
/* Lists the numbers that an epoch reports, and names them. */
void bp_trainer_list_series(struct bp_trainer *trainer);
int bp_trainer_check(const struct bp_network *network, const struct bp_train_options *options, const struct bp_source *train,
                     const struct bp_source *validation, struct bp_error *error);

/* update.c: the learning rate of the next update; the update from the shards' gradients, the mean of `batches` of them. False: the gradient is
 * not finite, and nothing was changed. */
double bp_trainer_next_rate(const struct bp_trainer *trainer);
/* The factor of a schedule at the next update; 1 without one. */
double bp_trainer_schedule(const struct bp_trainer *trainer, const struct bp_schedule_ops *schedule, const struct bp_value *values);
bool bp_trainer_update(struct bp_trainer *trainer, double batches);
/* Whether an update takes the whole training set. */
static inline bool bp_trainer_whole(const struct bp_trainer *trainer) {
    return trainer->options.optimizer->search || trainer->options.optimizer->whole;
}
/* The shards of all processes before those of this one. */
static inline int32_t bp_trainer_first_shard(const struct bp_trainer *trainer) {
    return trainer->options.reducer ? trainer->options.reducer->rank * trainer->options.threads : 0;
}
/* An optimizer that searches: an epoch begins; and a step of it. 1: the epoch has found its weights; 0: another pass is needed; -1: not finite. */
void bp_trainer_search_begin(struct bp_trainer *trainer);
int bp_trainer_search(struct bp_trainer *trainer, double loss);
/* Running statistics after a mini-batch. */
void bp_trainer_settle(struct bp_trainer *trainer);
/* What the shards of this process have measured of one of them becomes that of shard 0. */
void bp_trainer_sum_statistics(struct bp_trainer *trainer, const struct bp_tensor *tensor);

/* order.c: sizes alone; bytes; the samples from trainer->position on, at least to the end of the mini-batch; before a batch of validation. */
void bp_order_measure(const struct bp_train_options *options, int64_t rows, struct bp_order *order);
size_t bp_order_bytes(const struct bp_train_options *options, int64_t rows);
int bp_order_new(struct bp_trainer *trainer);
void bp_order_free(struct bp_trainer *trainer);
const int64_t *bp_order_at(struct bp_trainer *trainer);
void bp_order_validate(struct bp_trainer *trainer);

/* fit.c: memory for it, in bytes, made, and released; before the first step, unless weights were restored. */
size_t bp_fitting_bytes(const struct bp_network *network, const struct bp_train_options *options, int64_t rows);
int bp_fitting_new(struct bp_trainer *trainer, struct bp_error *error);
void bp_fitting_drop(struct bp_trainer *trainer);
void bp_fitting_run(struct bp_trainer *trainer);
/* The same for the layers that are not taken, (nodes_count). */
void bp_fitting_run_but(struct bp_trainer *trainer, const bool *taken);

/* reduce.c. With one process all of them are nothing, but for the losses. */
int bp_reduce_new(struct bp_trainer *trainer, struct bp_error *error);
void bp_reduce_free(struct bp_trainer *trainer);
/* Whether there are several processes. */
bool bp_trainer_shares(const struct bp_trainer *trainer);
/* A step begins; a mini-batch, in trainer->work; the backward pass of a shard has ended; all shards have: the losses of the outputs go into the work,
 * and that of this process's shards becomes that of all. */
void bp_reduce_step(struct bp_trainer *trainer);
void bp_reduce_begin(struct bp_trainer *trainer);
void bp_reduce_left(struct bp_trainer *trainer, struct bp_shard *shard);
double bp_reduce_end(struct bp_trainer *trainer, double loss);
/* numbers (count) become their sum over the processes. */
void bp_reduce_numbers(const struct bp_trainer *trainer, double *numbers, size_t count);
/* The metrics of that part become those of all processes, in all of them; those of training stay in rank 0 alone. */
void bp_reduce_metrics(struct bp_trainer *trainer, int32_t part);
void bp_reduce_forget(struct bp_trainer *trainer);

/* mix.c */
int bp_mixing_new(const struct bp_trainer *trainer, int32_t capacity, struct bp_mixing **mixing, struct bp_error *error);
void bp_mixing_free(struct bp_mixing *mixing);
/* The weight of each sample of this mini-batch in its mixture. */
double bp_mixing_draw(const struct bp_trainer *trainer);
/* Mixes a second batch, of the same rows in another order, into the workspace's inputs. */
void bp_mixing_fill(struct bp_trainer *trainer, struct bp_shard *shard);
/* The losses of a mixed batch: lambda of the samples' own targets, the rest of the others'. As bp_loss_forward. */
double bp_mixing_loss(struct bp_trainer *trainer, struct bp_shard *shard, const struct bp_draw *draw);

/* health.c */
int bp_health_new(struct bp_trainer *trainer, struct bp_error *error);
/* Nothing is measured yet. */
void bp_health_clear(struct bp_trainer *trainer);
/* What the shards' workspaces say, before the metrics make points of the outputs; what weights and gradient say, before the update; and what the
 * update changed, after it. */
void bp_health_look(struct bp_trainer *trainer);
void bp_health_before(struct bp_trainer *trainer);
void bp_health_after(struct bp_trainer *trainer);

#endif
