/* state.c - what a trainer shows: the state that a checkpoint holds, its metrics, its result. */
#include "engine/train/trainer.h"

#include <math.h>
#include <string.h>

void bp_trainer_state(struct bp_trainer *trainer, struct bp_trainer_state *state) {
    bp_fitting_run(trainer); /* weights that are restored are not fitted */
    /* A search saves nothing of the current pass over the data: the pass is repeated. */
    const bool again = bp_trainer_whole(trainer) && trainer->position < trainer->train.rows;
    *state = (struct bp_trainer_state){
        .epoch = trainer->epoch,
        .position = again ? 0 : trainer->position,
        .updates = trainer->updates,
        .best_epoch = trainer->best_epoch,
        .best_value = trainer->best_value,
        .waited = trainer->waited,
        .stopped = trainer->stopped,
        .slots_count = trainer->slots_count,
        .accumulators_count = trainer->accumulators_count,
        .weights_count = trainer->weights_count,
        .trained_count = trainer->trained_count,
        .weights = trainer->weights,
        .best = trainer->best,
        .average = trainer->average,
        .accumulators = trainer->accumulators,
    };
    memcpy(state->slots, trainer->slots, sizeof state->slots);
    memcpy(state->memory, trainer->memory, sizeof state->memory);
}

static int check_state(const struct bp_trainer *trainer, const struct bp_trainer_state *state, struct bp_error *error) {
    if (state->weights_count != trainer->weights_count || state->trained_count != trainer->trained_count)
        return bp_error_set(error, "", "the saved state has %zu weights, this network %zu: it is from another definition", state->weights_count,
                            trainer->weights_count);
    if (state->slots_count != trainer->slots_count)
        return bp_error_set(error, "", "the saved state has %d optimizer buffers, this optimizer needs %d", (int)state->slots_count,
                            (int)trainer->slots_count);
    if (state->accumulators_count != trainer->accumulators_count)
        return bp_error_set(error, "", "the saved state has %lld accumulators, these metrics need %lld", (long long)state->accumulators_count,
                            (long long)trainer->accumulators_count);
    if (state->epoch < 0 || state->updates < 0 || state->position < 0 || state->position > trainer->train.rows)
        return bp_error_set(error, "", "the saved state is at row %lld of epoch %lld, but there are %lld rows", (long long)state->position,
                            (long long)state->epoch, (long long)trainer->train.rows);
    bool lacking =
        !state->weights || !state->accumulators || (trainer->best && state->best_epoch && !state->best) || (trainer->average && !state->average);
    for (int32_t i = 0; i < trainer->slots_count; i++) lacking = lacking || !state->slots[i];
    return lacking ? bp_error_set(error, "", "the saved state lacks a buffer") : 0;
}

int bp_trainer_restore(struct bp_trainer *trainer, const struct bp_trainer_state *state, struct bp_error *error) {
    const size_t bytes = trainer->weights_count * sizeof *trainer->weights;
    if (check_state(trainer, state, error)) return -1;
    trainer->epoch = state->epoch;
    trainer->position = state->position;
    trainer->updates = state->updates;
    trainer->best_epoch = state->best_epoch;
    trainer->best_value = state->best_value;
    trainer->waited = state->waited;
    trainer->stopped = state->stopped;
    memcpy(trainer->weights, state->weights, bytes);
    if (trainer->best && state->best) memcpy(trainer->best, state->best, bytes);
    if (trainer->average) memcpy(trainer->average, state->average, bytes);
    trainer->good_epoch = trainer->options.stop_early ? state->best_epoch : state->epoch;
    if (trainer->good) memcpy(trainer->good, trainer->average ? state->average : state->weights, bytes);
    for (int32_t i = 0; i < trainer->slots_count; i++) memcpy(trainer->slots[i], state->slots[i], trainer->trained_count * sizeof(bp_real));
    memcpy(trainer->memory, state->memory, sizeof trainer->memory);
    memcpy(trainer->accumulators, state->accumulators, (size_t)trainer->accumulators_count * sizeof *trainer->accumulators);
    if (state->position == 0) memset(trainer->accumulators, 0, (size_t)trainer->accumulators_count * sizeof *trainer->accumulators);
    bp_reduce_forget(trainer);
    for (int32_t s = 0; s < trainer->options.threads; s++) trainer->shard[s].holds = false;
    memset(trainer->validation_sums, 0, (size_t)trainer->validation_sums_count * sizeof *trainer->validation_sums);
    for (int32_t i = 0; i < trainer->values_count; i++) trainer->values[i] = (double)NAN;
    bp_health_clear(trainer);
    trainer->validated = 0;
    bp_fitting_drop(trainer);
    trainer->order.epoch = -1;
    trainer->diverged = false;
    return 0;
}

void bp_trainer_start(struct bp_trainer *trainer, const struct bp_trainer_start *start) {
    const struct bp_network *net = trainer->network;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        for (int32_t t = 0; start->taken[i] && t < net->nodes[i].tensors_count; t++) {
            const struct bp_tensor *tensor = &net->nodes[i].tensors[t];
            memcpy(trainer->weights + tensor->offset, start->weights + tensor->offset, (size_t)bp_shape_size(&tensor->shape) * sizeof(bp_real));
        }
    for (int32_t i = 0; i < trainer->slots_count && start->updates > 0; i++)
        if (start->slots[i]) memcpy(trainer->slots[i], start->slots[i], trainer->trained_count * sizeof(bp_real));
    trainer->updates = start->updates;
    bp_fitting_run_but(trainer, start->taken);
    if (trainer->average) memcpy(trainer->average, trainer->weights, trainer->weights_count * sizeof *trainer->weights);
}

int32_t bp_trainer_metrics_count(const struct bp_trainer *trainer) {
    return trainer->values_count;
}

const char *bp_trainer_metric_name(const struct bp_trainer *trainer, int32_t i) {
    return trainer->names[i];
}

double bp_trainer_metric_value(const struct bp_trainer *trainer, int32_t i) {
    return trainer->values[i];
}

bool bp_trainer_metric_higher(const struct bp_trainer *trainer, int32_t i) {
    const struct bp_series *series = &trainer->series[i];
    return series->metric >= 0 && trainer->options.tasks[series->output].metrics[series->metric]->higher_is_better;
}

int32_t bp_trainer_health_count(const struct bp_trainer *trainer) {
    return trainer->health_count;
}

const struct bp_health *bp_trainer_health(const struct bp_trainer *trainer, int32_t i) {
    return &trainer->health[i];
}

void bp_trainer_restore_health(struct bp_trainer *trainer, int32_t i, const struct bp_health *health) {
    if (i < 0 || i >= trainer->health_count) return;
    const char *layer = trainer->health[i].layer;
    trainer->health[i] = *health;
    trainer->health[i].layer = layer;
}

int64_t bp_trainer_best(const struct bp_trainer *trainer, double *value) {
    *value = trainer->best_value;
    return trainer->best_epoch;
}

const bp_real *bp_trainer_good(const struct bp_trainer *trainer, int64_t *epoch) {
    *epoch = trainer->good_epoch;
    return trainer->good_epoch ? trainer->options.stop_early ? trainer->best : trainer->good : NULL;
}

const bp_real *bp_trainer_best_weights(const struct bp_trainer *trainer) {
    return trainer->best_epoch ? trainer->best : NULL;
}

const bp_real *bp_trainer_result(const struct bp_trainer *trainer) {
    return trainer->options.stop_early && trainer->best_epoch ? trainer->best : trainer->average ? trainer->average : trainer->weights;
}
