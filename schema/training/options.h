/* options.h - the training options of a job, as members of POST /v1/jobs. */
#ifndef SCHEMA_OPTIONS_H
#define SCHEMA_OPTIONS_H

#include "engine/optimizers/optimizer.h"
#include "engine/train/train.h"
#include "schema/json/problems.h"

/* Which rows are held back: a share by seed, of classes a share of each; whole groups of rows with the same value in a column, by seed; the last by a
 * column of times; those that a column selects; none if another dataset validates. */
enum schema_validation {
    SCHEMA_VALIDATION_RANDOM,
    SCHEMA_VALIDATION_GROUP,
    SCHEMA_VALIDATION_TIME,
    SCHEMA_VALIDATION_COLUMN,
    SCHEMA_VALIDATION_DATASET
};
enum { SCHEMA_FOLDS_MAX = 20 };

/* AUTO: bfloat16 where the job's process can, else float32. */
enum schema_precision { SCHEMA_PRECISION_FLOAT32 = BP_PRECISION_FLOAT32, SCHEMA_PRECISION_BFLOAT16 = BP_PRECISION_BFLOAT16, SCHEMA_PRECISION_AUTO };

struct schema_options {
    int32_t epochs, batch_size, threads, checkpoint_every_epochs;
    int32_t processes; /* that train together, each with so many threads */
    bool checkpoint_every_given, batch_size_given, threads_given, epochs_given;
    int64_t window_rows; /* shuffled together: train.h; 0: all */
    uint64_t seed;
    bool seed_given;
    bool validation_fraction_given;
    double validation_fraction; /* of folds: 1 / folds; 0 with another dataset */
    int32_t folds;              /* of a cross-validation, RANDOM or by GROUP; 0: none */
    enum schema_validation validation;
    char validation_column[256]; /* of GROUP, TIME and COLUMN */
    char validation_dataset[96]; /* of DATASET: name@version */
    /* Rows that nothing of the job sees but the evaluation at its end: held back before the others are split, in the same ways but DATASET. */
    double test_fraction; /* 0: none, unless by COLUMN */
    enum schema_validation test;
    char test_column[256];
    const struct bp_optimizer_ops *optimizer;
    struct bp_value optimizer_values[BP_VALUES_MAX];
    int32_t precision;                      /* enum schema_precision */
    bool bfloat16;                          /* AUTO has become it in this process */
    bool find_rate;                         /* the learning rate is "auto": a range test finds it */
    const struct bp_schedule_ops *schedule; /* NULL: constant */
    struct bp_value schedule_values[BP_VALUES_MAX];
    const struct bp_schedule_ops *dropout_schedule, *decay_schedule; /* likewise */
    struct bp_value dropout_schedule_values[BP_VALUES_MAX], decay_schedule_values[BP_VALUES_MAX];
    double l1, l2, max_norm, gradient_clip_norm, gradient_clip_value, ema, mixup;
    int32_t gradient_accumulation_steps, keep_optimizer_state;
    double max_seconds; /* 0: no limit */
    bool stop_early;
    bool stop_default;             /* the request says nothing of it: a job with validation rows stops early, see schema_options_settle */
    char stop_metric[BP_NAME_MAX]; /* "": val_loss, or loss without validation */
    int32_t stop_patience;
    double stop_min_delta;
};

/* The members that schema_options_decode takes, NULL-terminated: any other decoder of the same object must accept them. */
extern const char *const schema_options_names[];
/* For the catalog: the options that are one value (options.def), and those of validation and early_stopping. */
extern const struct bp_family schema_options_family;

/* Decodes them from a job request; members named in `others` are the caller's. A seed that is not given is left 0 with seed_given false. */
int schema_options_decode(const json_t *object, const char *pointer, const char *const *others, struct schema_options *options,
                          struct schema_problems *problems);
/* What the request left open, once it is known whether any row validates: then the job stops early, after SCHEMA_PATIENCE epochs without improvement
 * (more if the schedule waits as long), unless it says otherwise; and one that stops early has SCHEMA_EPOCHS_MOST epochs at most, unless it says. */
enum { SCHEMA_PATIENCE = 20, SCHEMA_EPOCHS_MOST = 200 };
void schema_options_settle(struct schema_options *options, bool validates);
/* Whether rows are held back for a test. */
bool schema_options_test(const struct schema_options *options);
/* Whether there are rows to validate with. */
bool schema_options_validate(const struct schema_options *options);
/* Everything explicit; decoding it again gives the same. */
json_t *schema_options_encode(const struct schema_options *options);
/* Adds the options that an earlier version of the program did not have, with their defaults, to what it encoded. */
void schema_options_complete(json_t *encoded);

#endif
