/* train.h - the training loop: mini-batches, validation, metrics, early stopping, state that can be saved and restored.
 *
 * The caller drives it one mini-batch at a time, so cancelling, checkpoints and reports need no callbacks:
 *
 *     while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DONE && event != BP_TRAIN_DIVERGED)
 *         if (event == BP_TRAIN_EPOCH) report(trainer);
 *
 * Everything that decides the bits of the result is in struct bp_trainer_state: a run that is saved after any step and restored in
 * another process ends with the same weights as one that was never stopped. */
#ifndef BP_TRAIN_H
#define BP_TRAIN_H

#include "engine/metrics/metric.h"
#include "engine/network/network.h"
#include "engine/optimizers/optimizer.h"
#include "engine/schedules/schedule.h"
#include "engine/train/reducer.h"

enum { BP_METRICS_MAX = 16, BP_MEMORY = 64, BP_PROCESSES_MAX = 1024 };

/* Where a batch goes. Shapes: inputs[i] (n, input shape), targets[k] (n, target width of output k), weights (n). */
struct bp_batch {
    bp_real *inputs[BP_INPUTS_MAX];
    bp_real *targets[BP_OUTPUTS_MAX];
    bp_real *weights; /* NULL unless source->weighted */
    bp_real *counts;  /* (n) NULL unless source->counted */
};

/* Samples in file order. */
enum { BP_WINDOW_CHUNKS = 16 };
struct bp_span {
    int64_t first, n;
};
struct bp_spans {
    int32_t count;
    struct bp_span span[BP_WINDOW_CHUNKS];
};

/* A source of samples. fill writes samples rows[0..n) and is called by several threads at once: context is constant. expect, unless NULL, is called
 * in a training with windows with the samples that are read from now on, and those that follow; no fill runs then. */
struct bp_source {
    const void *context;
    int64_t rows;
    bool weighted;
    bool counted; /* weighted, and in metrics and the reported loss a sample counts something else than in what is minimised: fill writes that too */
    void (*fill)(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch);
    void *expecting;
    void (*expect)(void *expecting, const struct bp_spans *now, const struct bp_spans *next);
};

enum { BP_MEASURED_MAX = 1024 }; /* numbers of a task with `measured` */

/* What one output learns, in the order of the network's outputs. */
struct bp_task {
    int32_t classes;               /* classification: at least 2, regression: 0 */
    bool scores;                   /* classification: see metric.h */
    int32_t positions;             /* classification: positions of a sample with a class each, 0 is 1; those of the output */
    const double *class_weights;   /* classification by position: (classes) what a position of each counts in what is minimised; NULL: 1. The
                                      caller's */
    double unit, origin;           /* regression: see metric.h */
    const double *units, *origins; /* of each number of the target, instead; NULL: all alike. The caller's */
    /* Regression, optional: metrics compare measured(measured_by, j, v, predicted) instead of the j-th number v of the network, a prediction or the
     * truth, and unit and origin apply to that: for a target whose own unit is not v * unit + origin. At most BP_MEASURED_MAX numbers. */
    double (*measured)(const void *measured_by, int32_t j, double v, bool predicted);
    const void *measured_by;  /* the caller's */
    bool multilabel;          /* classification: each number of the target is a label, 0 or 1, and `classes` is 2 */
    const double *thresholds; /* classification: (targets) of the labels, or that of class 1 of two; NULL: 0.5. The caller's */
    int32_t targets; /* targets side by side, a number or a label each; 0 or 1: all numbers are one target. Of several, a metric is the mean of each
                        one's, which is reported too when there is name_of */
    const char *(*name_of)(const void *names, int32_t target); /* the name of each target; NULL: only the mean is reported */
    const void *names;                                         /* the caller's */
    int32_t metrics_count;
    const struct bp_metric_ops *metrics[BP_METRICS_MAX];
    double metric_numbers[BP_METRICS_MAX][BP_METRIC_NUMBERS_MAX]; /* the parameters of each */
};

struct bp_train_options {
    int32_t epochs, batch_size, threads;
    int32_t processes;                /* that train together, each with so many threads; 0 is 1 */
    const struct bp_reducer *reducer; /* of them; NULL: only one process. The caller's */
    int64_t window;                   /* samples that are shuffled together, more or less, see order.c; 0: all */
    enum bp_precision
        precision; /* BFLOAT16 is an error unless bp_onednn_start has started it; weights, optimizer, loss and validation stay float32 */
    uint64_t seed;
    const struct bp_optimizer_ops *optimizer;
    struct bp_value optimizer_values[BP_VALUES_MAX];
    const struct bp_schedule_ops *schedule; /* NULL: constant learning rate */
    struct bp_value schedule_values[BP_VALUES_MAX];
    const struct bp_schedule_ops *dropout_schedule, *decay_schedule; /* of dropout rates and of weight decay; NULL: constant */
    struct bp_value dropout_schedule_values[BP_VALUES_MAX], decay_schedule_values[BP_VALUES_MAX];
    double l1, l2;                       /* add l1 * sum of |W|, l2 * sum of W^2 of the kernels to the loss (Keras's l1, l2); reported losses are
                                            without it */
    double max_norm;                     /* 0: none; else each unit's weights in a kernel are scaled down to this L2 norm after an update */
    double gradient_clip_norm;           /* 0: no clipping; else the gradient is scaled down to this L2 norm */
    double gradient_clip_value;          /* 0: no clipping; else each number of it is held within +- this */
    int32_t gradient_accumulation_steps; /* mini-batches that make an update, of the mean gradient of their samples; 0 means 1 */
    double ema;                          /* 0: none; else the decay of a moving average of the weights, which is what is validated and kept:
                                            with t updates made min(ema, (1 + t) / (10 + t)) */
    double mixup;                        /* 0: none; else alpha of Beta(alpha, alpha): mini-batches are mixed with themselves, in another order */
    bool measures;  /* nothing is trained: weights are restored at the end of the rows, and validated. Then an output may average predictions */
    bool keep_best; /* the weights of the best epoch are kept also without early stopping: for bp_trainer_best_weights */
    bool stop_early;
    char stop_metric[BP_NAME_MAX]; /* one of the names that bp_trainer_metric_name gives */
    int32_t stop_patience;
    double stop_min_delta;
    struct bp_task tasks[BP_OUTPUTS_MAX];
};

enum bp_train_event {
    BP_TRAIN_STEP,    /* a mini-batch was trained or validated */
    BP_TRAIN_EPOCH,   /* ... and it was the last of its epoch: metrics are ready */
    BP_TRAIN_DONE,    /* nothing is left to do: all epochs trained or stopped early */
    BP_TRAIN_DIVERGED /* the loss is not finite; the state is that after the last finite step and is not to be used */
};

/* What a checkpoint must hold. Buffers are borrowed from the trainer on saving, and the caller's on restoring. */
struct bp_trainer_state {
    int64_t epoch;      /* finished epochs */
    int64_t position;   /* samples of the current epoch already trained on */
    int64_t updates;    /* optimizer steps so far */
    int64_t best_epoch; /* 0: none yet */
    double best_value;
    int64_t waited; /* epochs without improvement */
    bool stopped;   /* early stopping has ended the run */
    int32_t slots_count;
    int64_t accumulators_count;
    size_t weights_count, trained_count;
    bp_real *weights;             /* (weights_count) */
    bp_real *best;                /* (weights_count), NULL unless stop_early or keep_best */
    bp_real *average;             /* (weights_count), NULL unless ema */
    bp_real *slots[BP_SLOTS_MAX]; /* (trained_count) each */
    double *accumulators;         /* (accumulators_count) of the epoch under way: loss, weight, metric states */
    double memory[BP_MEMORY];     /* of the schedule, of an optimizer that searches, of the range test */
};

struct bp_trainer;

/* Whether the options suit the network: the checks of bp_trainer_new, without data. */
int bp_train_check(const struct bp_network *network, const struct bp_train_options *options, struct bp_error *error);
/* Memory for the names of all metrics of such a training; the names that they have, at most `most`. Returns how many. */
int32_t bp_train_metrics_most(const struct bp_network *network, const struct bp_train_options *options);
int32_t bp_train_metric_names(const struct bp_network *network, const struct bp_train_options *options, bool validation, char (*names)[BP_NAME_MAX],
                              int32_t most);

/* The network must be complete and have a loss. Validation reads max(batch_size, 64) samples a step. train and validation are borrowed until
 * bp_trainer_free; validation may be NULL. Errors: a metric that does not exist or suit, no rows, no memory. */
int bp_trainer_new(const struct bp_network *network, const struct bp_train_options *options, const struct bp_source *train,
                   const struct bp_source *validation, struct bp_trainer **trainer, struct bp_error *error);
void bp_trainer_free(struct bp_trainer *trainer);

/* What a training begins with instead of its initial weights. */
struct bp_trainer_start {
    const bp_real *weights;             /* (weights_count) */
    const bool *taken;                  /* (nodes_count) the layers that take theirs; the others keep their initial ones, and alone are fitted */
    const bp_real *slots[BP_SLOTS_MAX]; /* (trained_count) each, of an optimizer of the same kind; NULL: a new optimizer */
    int64_t updates;                    /* that made them, 0: none */
};
/* Once, before the first step and before a state is saved or restored. All is copied. */
void bp_trainer_start(struct bp_trainer *trainer, const struct bp_trainer_start *start);

enum bp_train_event bp_trainer_step(struct bp_trainer *trainer);

/* Over several processes each makes the same calls. What they do together depends on nothing but the sums that they share: a decision that only one
 * of them can make, by its clock or by a command, reaches the others as a signal. The sum of what the processes have signalled before a step is known
 * to all after it, and 0 if the step trained and validated nothing. With one process there is none. */
void bp_trainer_signal(struct bp_trainer *trainer, double number);
double bp_trainer_signalled(const struct bp_trainer *trainer);
/* Before bp_trainer_state, in all processes: the state of the process of rank 0 is then that of the whole training. With one process it is already.
 */
void bp_trainer_gather(struct bp_trainer *trainer);

/* The state to save. During validation it is that of the end of the epoch's training, so validation starts over on resuming. */
void bp_trainer_state(struct bp_trainer *trainer, struct bp_trainer_state *state);
/* Copies a saved state in. Error: its counts do not match this trainer's. */
int bp_trainer_restore(struct bp_trainer *trainer, const struct bp_trainer_state *state, struct bp_error *error);

/* The metrics of the last finished epoch: "loss", "val_loss", "accuracy", "val_accuracy", ... and with several outputs "loss", "val_loss",
 * "<output>_loss", "val_<output>_loss", "<output>_accuracy", ...; with several targets side by side "mae", the mean of "<target>_mae", ... NaN when
 * undefined. Of a metric that needs the whole
 * there is only "val_...", or only the other when nothing is validated. */
int32_t bp_trainer_metrics_count(const struct bp_trainer *trainer);
const char *bp_trainer_metric_name(const struct bp_trainer *trainer, int32_t i);
double bp_trainer_metric_value(const struct bp_trainer *trainer, int32_t i);
bool bp_trainer_metric_higher(const struct bp_trainer *trainer, int32_t i); /* higher is better */
/* The learning rate of the last update (of the first, before it). */
double bp_trainer_learning_rate(const struct bp_trainer *trainer);

/* How a layer does, measured on the last mini-batch of the last epoch. */
struct bp_health {
    const char *layer;         /* its name */
    double weight_norm;        /* L2, of all its trained tensors; NaN here and below where it has none */
    double gradient_norm;      /* before clipping, penalties included */
    double update_norm, ratio; /* of what the update changed; divided by weight_norm. NaN for optimizers that search */
    double mean, spread;       /* of its activations: mean and standard deviation */
    double dead;               /* share of its units that were 0 for every sample; NaN unless the activation is of relu's kind */
    double saturated;          /* share of its activations within 1% of a bound of the activation; NaN when it has none */
};
int32_t bp_trainer_health_count(const struct bp_trainer *trainer);
const struct bp_health *bp_trainer_health(const struct bp_trainer *trainer, int32_t i);
/* After bp_trainer_restore, which forgets it: that of layer i as it was when the state was saved, in the middle of an epoch. The name stays. */
void bp_trainer_restore_health(struct bp_trainer *trainer, int32_t i, const struct bp_health *health);

/* Processes that train together, and the shards of a mini-batch over all of them. */
static inline int32_t bp_train_processes(const struct bp_train_options *options) {
    return options->processes > 1 ? options->processes : 1;
}
static inline int32_t bp_train_shards(const struct bp_train_options *options) {
    return options->threads * bp_train_processes(options);
}

/* Steps that so many rows take in mini-batches of that size, of which the last may be smaller. */
static inline int64_t bp_steps(int64_t rows, int64_t batch_size) {
    return (rows + batch_size - 1) / batch_size;
}

/* A range test before the first step (Smith 2017): trains `steps` mini-batches with a learning rate growing geometrically from `least` to `most` and
 * puts everything back. rates, losses: (steps) the curve, losses smoothed; *count: how much of it was made before the loss ran away. Returns the rate
 * to use, a tenth of the one where the loss was least, and uses it from now on; NaN when no step had a finite loss. */
struct bp_range_test {
    double least, most;
    int32_t steps, count;
    double *rates, *losses;
    bool (*stop)(void *context); /* called before each step; NULL: never */
    void *context;
};
/* What it has found, in this run or in the one that was restored; 0: it was not made. */
double bp_trainer_tested_rate(const struct bp_trainer *trainer);
double bp_trainer_range_test(struct bp_trainer *trainer, struct bp_range_test *test);

/* The best epoch so far by what early stopping watches, else by val_loss, else by loss; 0: none yet, none was finite. */
int64_t bp_trainer_best(const struct bp_trainer *trainer, double *value);
/* The weights to fall back to when training diverges: of the best epoch with early stopping, else of the last finished one. NULL: there is none. */
const bp_real *bp_trainer_good(const struct bp_trainer *trainer, int64_t *epoch);
/* The weights of the best epoch (bp_trainer_best), with early stopping or keep_best; NULL: there is none. Borrowed. */
const bp_real *bp_trainer_best_weights(const struct bp_trainer *trainer);
/* The weights a version keeps: the best when early stopping is on and has seen an epoch, else the current ones (their moving average with ema).
 * Borrowed. */
const bp_real *bp_trainer_result(const struct bp_trainer *trainer);
/* Bytes that such a trainer allocates for that many rows of training and of validation (0: none). */
size_t bp_trainer_bytes(const struct bp_network *network, const struct bp_train_options *options, int64_t rows, int64_t validation_rows);

#endif
