/* schedule.h - the contract of a schedule of the learning rate: one file in schedules/, one line in schedules.def.
 *
 * A schedule gives the factor on the optimizer's learning_rate at a moment of the training: a pure function of the moment, and of what `observe`
 * has written for the schedule that reads results. Every schedule starts with an optional warm-up: its first parameter. */
#ifndef BP_SCHEDULE_H
#define BP_SCHEDULE_H

#include "engine/base/registry.h"

enum { BP_SCHEDULE_STATE = 8 };

/* The update about to be made. */
struct bp_schedule_at {
    int64_t step;            /* updates made before it */
    int64_t steps_per_epoch; /* at least 1 */
    double epochs;           /* of the whole training */
    double epoch;            /* step / steps_per_epoch */
    const double *state;     /* (BP_SCHEDULE_STATE), zeros before the first epoch has ended; saved in checkpoints */
};

struct bp_schedule_ops {
    struct bp_entry entry; /* its first parameter is warmup_epochs */
    /* The factor at a moment counted from the end of the warm-up: for bp_schedule_factor alone to call. */
    double (*factor)(const struct bp_value *values, const struct bp_schedule_at *at);
    /* Optional: called at the end of each epoch with the value of the watched metric. */
    void (*observe)(const struct bp_value *values, double *state, double value, bool higher_is_better);
};

/* The factor on the learning rate. In a warm-up of w updates, that of update t = 0, 1, ... is (t + 1) / w of the schedule's first; then the
 * schedule begins, with what is left of the training before it. */
double bp_schedule_factor(const struct bp_schedule_ops *schedule, const struct bp_value *values, const struct bp_schedule_at *at);

/* The first row of every schedule's table of parameters. */
#define BP_SCHEDULE_WARMUP                                                                                                                           \
    { .name = "warmup_epochs", .type = BP_PARAM_NUMBER, .help = "Epochs of linear warm-up", .min = 0, .max = 1e6 }

#endif
