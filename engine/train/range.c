/* range.c - the range test that finds a learning rate (L. N. Smith 2017): mini-batches trained with a rate growing geometrically; the loss
 * first falls, then runs away; a tenth of the rate at its lowest is a good one to begin with. Everything is put back afterwards: the test is a pure
 * function of the training, so a run that was broken before its first checkpoint finds the same rate again. */
#include "engine/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SMOOTH  0.9 /* of the moving average of the losses */
#define RUNAWAY 4.0 /* times the lowest loss: the test ends */

/* What is put back. */
struct kept {
    struct bp_trainer_state state;
    bp_real *reals;
    double *accumulators;
};

static bool keep(struct bp_trainer *trainer, struct kept *kept) {
    const size_t W = trainer->weights_count, slot = trainer->trained_count;
    bp_trainer_state(trainer, &kept->state);
    bp_real *at = kept->reals = bp_reals_new(3 * W + (size_t)trainer->slots_count * slot);
    kept->accumulators = calloc((size_t)trainer->accumulators_count, sizeof *kept->accumulators);
    if (!kept->reals || !kept->accumulators) return false;
    memcpy(kept->accumulators, trainer->accumulators, (size_t)trainer->accumulators_count * sizeof *kept->accumulators);
    kept->state.accumulators = kept->accumulators;
    kept->state.weights = memcpy(at, trainer->weights, W * sizeof *at);
    if (trainer->best) kept->state.best = memcpy(at + W, trainer->best, W * sizeof *at);
    if (trainer->average) kept->state.average = memcpy(at + 2 * W, trainer->average, W * sizeof *at);
    at += 3 * W;
    for (int32_t i = 0; i < trainer->slots_count; i++, at += slot) kept->state.slots[i] = memcpy(at, trainer->slots[i], slot * sizeof *at);
    return true;
}

/* One update at that rate. Returns its loss, or infinity. The test stays within the first epoch, and does not validate. */
static double train_at(struct bp_trainer *trainer, double rate) {
    if (trainer->position >= trainer->train.rows) {
        trainer->position = 0;
        memset(trainer->accumulators, 0, (size_t)trainer->accumulators_count * sizeof *trainer->accumulators);
    }
    const double before = trainer->accumulators[BP_SUM_LOSS], weight = trainer->accumulators[BP_SUM_WEIGHT];
    trainer->memory[BP_MEMORY_RATE] = rate;
    if (bp_trainer_step(trainer) == BP_TRAIN_DIVERGED) return INFINITY;
    return (trainer->accumulators[BP_SUM_LOSS] - before) / (trainer->accumulators[BP_SUM_WEIGHT] - weight);
}

double bp_trainer_tested_rate(const struct bp_trainer *trainer) {
    return trainer->memory[BP_MEMORY_RATE];
}

double bp_trainer_range_test(struct bp_trainer *trainer, struct bp_range_test *test) {
    struct kept kept = {0};
    double smooth = 0, lowest = INFINITY, rate = (double)NAN, found = (double)NAN;
    const struct bp_schedule_ops *schedule = trainer->options.schedule;
    const bool validates = trainer->validates;
    test->count = 0;
    if (trainer->options.optimizer->search || !keep(trainer, &kept)) goto done;
    trainer->options.schedule = NULL;
    trainer->validates = true; /* it would be the next: so no epoch ends */
    for (int32_t i = 0; i < test->steps && !(test->stop && test->stop(test->context)); i++) {
        rate = test->least * pow(test->most / test->least, (double)i / (test->steps > 1 ? test->steps - 1 : 1));
        const double loss = train_at(trainer, rate);
        if (!isfinite(loss)) break;
        smooth = SMOOTH * smooth + (1 - SMOOTH) * loss;
        const double fair = smooth / (1 - pow(SMOOTH, i + 1));
        test->rates[i] = rate;
        test->losses[i] = fair;
        test->count = i + 1;
        if (fair < lowest) {
            lowest = fair;
            found = rate / 10;
        }
        if (fair > RUNAWAY * lowest) break;
    }
    trainer->options.schedule = schedule;
    trainer->validates = validates;
    bp_trainer_restore(trainer, &kept.state, NULL);
    if (found > 0) trainer->memory[BP_MEMORY_RATE] = found;
done:
    free(kept.reals);
    free(kept.accumulators);
    return found;
}
