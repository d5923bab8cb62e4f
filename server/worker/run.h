/* run.h - one training set up from its parts: what the job process and `backpropd train` share. */
#ifndef SERVER_RUN_H
#define SERVER_RUN_H

#include "engine/kernels/kernels.h"
#include "schema/predict/init_from.h"
#include "schema/predict/model_file.h"
#include "schema/resolve/training.h"

struct run {
    struct schema_training *training;     /* borrowed */
    const struct schema_dataset *dataset; /* borrowed */
    const struct schema_dataset *other;   /* that validates, or NULL; borrowed */
    struct schema_view *view, *other_view;
    struct schema_split split, held; /* held: of the other dataset */
    int64_t validation_count;        /* rows that validate */
    struct schema_source *train, *validation;
    struct bp_source train_batches, validation_batches;
    struct prefetch *prefetch; /* NULL without windows */
    struct bp_train_options options;
    struct bp_trainer *trainer;
    /* the best epoch so far, as the trainer judges it */
    const char *best_metric;
    int64_t best_epoch; /* 0: none */
    double best_value;
    json_t *best_metrics;    /* metrics of that epoch */
    const char *stop_reason; /* what ended the training before its last epoch: "early_stopping", "max_seconds", "sweep"; "": nothing has */
};

/* BACKPROPD_ONEDNN, off or on, for tests; otherwise auto. */
enum bp_onednn_mode run_onednn_mode(void);
/* Before run_open: starts oneDNN for a training that repays it, or computes in bfloat16 (precision "auto" becomes that where it can be had). Decided
 * by the training, its data, the CPU and run_onednn_mode alone, so that a resumed run has the same kernels; `alone`: not at all. error: what kept
 * it from starting where it was wanted; not set else. */
void run_start_onednn(struct schema_training *training, int64_t rows, bool alone, struct bp_error *error);
/* other: the dataset that validates, NULL for rows of the job's own. reducer: of the processes that train together, NULL: one; borrowed. */
int run_open_together(struct run *run, struct schema_training *training, const struct schema_dataset *dataset, const struct schema_dataset *other,
                      const struct bp_reducer *reducer, struct bp_error *error);
int run_open(struct run *run, struct schema_training *training, const struct schema_dataset *dataset, const struct schema_dataset *other,
             struct bp_error *error);
/* After run_open, before a checkpoint is restored: begins with the weights of a model file, as spec["init"] says. The file is mapped from fd.
 * *report (or NULL): {"copied","new","left_out"}, the caller's. */
int run_begin_with(struct run *run, int fd, const json_t *init, json_t **report, struct bp_error *error);
void run_close(struct run *run);

/* Rows of a dataset as validation rows of that training. The view and the rows are borrowed until schema_source_free. */
int run_validation_source(const struct schema_training *training, const struct schema_view *view, const int64_t *rows, int64_t n,
                          struct schema_source **source, struct bp_error *error);

/* A number as reported: 9 digits, as float32 has; null unless finite. The caller's. */
json_t *run_number(double value);
/* The state of the optimizer for the model file, if the training keeps it. Borrowed from the trainer. */
bool run_optimizer(const struct run *run, struct schema_model_optimizer *optimizer);
/* After BP_TRAIN_EPOCH: the epoch's metrics with 9 digits, NaN as null: {"loss":0.5,"val_loss":...}. Updates best; *improved says so. The caller's.
 */
json_t *run_epoch(struct run *run, int64_t epoch, bool *improved);
/* A training that is cut short: the time of max_seconds is over, and an epoch has ended. `seconds` have been spent. */
bool run_is_cut(struct run *run, int64_t epochs, double seconds, double limit);
/* That was decided elsewhere. */
void run_cut_by_time(struct run *run);
/* It is cut short by its sweep, after an epoch. */
void run_cut(struct run *run);
/* How the training has ended, after BP_TRAIN_DONE, with so many epochs of at most `most`: sets stop_reason, and gives the weights to keep. Borrowed.
 */
const bp_real *run_end(struct run *run, int64_t epochs, int64_t most);
/* Whether the best epoch is kept, not the last one. */
bool run_keeps_best(const struct run *run);
/* {"epoch","metric","value"} or null. The caller's. */
json_t *run_best_json(const struct run *run);
/* The document of the trained model: training, metrics, best, epochs. metrics: those of the last epoch. The caller's. */
json_t *run_document(const struct run *run, const json_t *last_metrics, int64_t epochs);
/* The health of the layers after an epoch, measured on its last mini-batch: [{"layer","weight_norm","gradient_norm","update_norm","ratio","mean",
 * "spread","dead","saturated"}]; what does not apply is left out. The caller's. */
json_t *run_health(const struct run *run);
/* With "learning_rate":"auto": the range test, before the first step. {"learning_rate","curve":[{"learning_rate","loss"}]}, learning_rate null when
 * no loss was finite; NULL when it is not requested. stop: checked between its steps. The caller's. */
json_t *run_find_rate(struct run *run, bool (*stop)(void *context), void *context);

#endif
