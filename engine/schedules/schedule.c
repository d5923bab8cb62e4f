/* schedule.c - the warm-up that all schedules share. */
#include "engine/schedules/schedule.h"

#include <math.h>

enum { WARMUP };

double bp_schedule_factor(const struct bp_schedule_ops *schedule, const struct bp_value *values, const struct bp_schedule_at *at) {
    const double steps_per_epoch = (double)at->steps_per_epoch;
    const int64_t warmup = llround(values[WARMUP].number * steps_per_epoch);
    struct bp_schedule_at after = *at;
    after.step = at->step > warmup ? at->step - warmup : 0;
    after.epoch = (double)after.step / steps_per_epoch;
    after.epochs = at->epochs - (double)warmup / steps_per_epoch;
    const double factor = schedule->factor(values, &after);
    return at->step < warmup ? factor * (double)(at->step + 1) / (double)warmup : factor;
}
