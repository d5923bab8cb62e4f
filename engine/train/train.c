/* train.c - one step of training: a mini-batch (or the few that share an update), cut into shards, forward, loss, backward, one update; at the end of
 * an epoch validation, metrics and early stopping. Nothing here allocates or takes a lock (shards.c sleeps on one when there are several threads).
 *
 *     position < rows ──train_batch──► STEP ... ──last──► validated < validation rows ──validate_batch──► STEP ... ──last──► finish_epoch ► EPOCH
 *
 * An optimizer that searches looks at the whole training set before each move: then an epoch is one step of it, and walks over the rows as often as
 * the step needs. Order: a shard's passes, the mini-batch, training, the epoch. The update itself is in update.c. */
#include "engine/train/trainer.h"

#include "engine/kernels/kernels.h"
#include "engine/network/workspace.h"

#include <math.h>
#include <string.h>

/* ---- one shard --------------------------------------------------------------------------------------------------- */

/* The samples of one of this process's shards. */
static void bounds(const struct bp_trainer *trainer, int32_t shard, int32_t *first, int32_t *count) {
    const struct bp_work *work = &trainer->work;
    const int64_t n = work->n, shards = work->shards, nth = bp_trainer_first_shard(trainer) + shard;
    *first = *count = 0;
    if (shard < work->active) {
        *first = (int32_t)(n * nth / shards);
        *count = (int32_t)(n * (nth + 1) / shards) - *first;
    }
}

static void fill_shard(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    struct bp_shard *shard = &trainer->shard[index];
    const struct bp_source *source = trainer->work.source;
    struct bp_batch batch = {.weights = source->weighted ? shard->weights : NULL, .counts = source->counted ? shard->counts : NULL};
    bounds(trainer, index, &shard->first, &shard->count);
    if (!shard->count) return;
    for (int32_t i = 0; i < trainer->network->inputs_count; i++) batch.inputs[i] = bp_workspace_input(shard->workspace, i);
    memcpy(batch.targets, shard->targets, sizeof batch.targets);
    source->fill(source->context, trainer->work.rows + shard->first, shard->count, &batch);
    if (trainer->work.lambda < 1) bp_mixing_fill(trainer, shard);
}

static struct bp_draw draw_of(const struct bp_trainer *trainer, const struct bp_shard *shard) {
    return (struct bp_draw){.seed = trainer->options.seed,
                            .step = (uint64_t)trainer->updates,
                            .first = trainer->work.before + shard->first,
                            .share = (double)shard->count / trainer->work.n,
                            .eased = trainer->work.eased};
}

static void prepare_calls(const struct bp_trainer *trainer, struct bp_shard *shard) {
    const struct bp_work *work = &trainer->work;
    for (int32_t k = 0; k < trainer->network->outputs_count; k++)
        shard->calls[k] = (struct bp_loss_call){.batch = shard->count,
                                                .y = shard->targets[k],
                                                .weights = work->source->weighted ? shard->weights : NULL,
                                                .counts = work->source->counted    ? shard->counts
                                                          : work->source->weighted ? shard->weights
                                                                                   : NULL,
                                                .class_weights = work->source == &trainer->train ? trainer->options.tasks[k].class_weights : NULL,
                                                .apart = trainer->apart && work->source == &trainer->train,
                                                .scale = work->scale,
                                                .row_share = work->row_share[k],
                                                .count_share = work->count_share[k]};
}

static void backward_shard(struct bp_trainer *trainer, struct bp_shard *shard) {
    if (!trainer->work.update) return;
    bp_loss_backward(trainer->network, trainer->work.weights, shard->workspace, shard->gradient, shard->holds, false);
    bp_reduce_left(trainer, shard);
    shard->holds = true;
}

static void pass_shard(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    struct bp_shard *shard = &trainer->shard[index];
    const struct bp_work *work = &trainer->work;
    if (!shard->count) return;
    const struct bp_draw draw = draw_of(trainer, shard);
    prepare_calls(trainer, shard);
    shard->loss = work->lambda < 1
                      ? bp_mixing_loss(trainer, shard, &draw)
                      : bp_loss_forward(trainer->network, work->weights, shard->workspace, work->update ? &draw : NULL, shard->calls, work->update);
    backward_shard(trainer, shard);
}

static void fill_and_pass_shard(void *context, int32_t index) {
    fill_shard(context, index);
    pass_shard(context, index);
}

/* ---- steps and positions ------------------------------------------------------------------------------------------- */

/* How many rows count is known once all shards have been forward: each counts once in its mini-batch, whatever its sequence and its shard. */
static void forward_shard(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    struct bp_shard *shard = &trainer->shard[index];
    if (!shard->count) return;
    const struct bp_draw draw = draw_of(trainer, shard);
    bp_workspace_forward(trainer->network, trainer->work.weights, shard->workspace, shard->count, trainer->work.update ? &draw : NULL);
    prepare_calls(trainer, shard);
    for (int32_t k = 0; k < trainer->network->outputs_count; k++)
        shard->rows[k] = shard->workspace->row_weights[k] ? bp_output_rows_weight(shard->workspace, k, &shard->calls[k], &shard->row_counts[k]) : 0;
}

static void loss_shard(void *context, int32_t index) {
    struct bp_trainer *trainer = context;
    struct bp_shard *shard = &trainer->shard[index];
    if (!shard->count) return;
    prepare_calls(trainer, shard);
    shard->loss = 0;
    for (int32_t k = 0; k < trainer->network->outputs_count; k++)
        shard->loss += bp_output_loss(shard->workspace, k, &shard->calls[k], trainer->work.update);
    backward_shard(trainer, shard);
}

/* The shards are filled. The rows of the only output weigh as they are, and *weight becomes what they count; those of several count together what the
 * samples of the mini-batch do. */
static void pass_by_rows(struct bp_trainer *trainer, bool whole, double *weight) {
    struct bp_work *work = &trainer->work;
    const double samples = *weight, counts = work->count;
    double sums[BP_OUTPUTS_MAX][2] = {{0}};
    bp_shards_run(trainer->shards, forward_shard, trainer);
    for (int32_t k = 0; k < trainer->network->outputs_count; k++)
        for (int32_t s = 0; s < work->active; s++) {
            sums[k][0] += trainer->shard[s].rows[k];
            sums[k][1] += trainer->shard[s].row_counts[k];
        }
    bp_reduce_numbers(trainer, *sums, 2 * (size_t)trainer->network->outputs_count);
    for (int32_t k = 0; k < trainer->network->outputs_count; k++) {
        const double rows = sums[k][0], row_counts = sums[k][1];
        work->row_share[k] = rows > 0 ? samples / rows : 0;
        work->count_share[k] = row_counts > 0 ? counts / row_counts : 0;
        if (trainer->network->outputs_count > 1) continue;
        work->row_share[k] = work->count_share[k] = 1;
        *weight = rows;
        work->count = row_counts;
        if (!whole) work->scale = rows > 0 ? 1 / rows : 0;
    }
    bp_shards_run(trainer->shards, loss_shard, trainer);
}

/* ---- the mini-batch ---------------------------------------------------------------------------------------------- */

/* What the metrics of an output compare with: its targets, or their classes when they are one-hot (B, width). */
static const bp_real *truth_of(const struct bp_trainer *trainer, struct bp_shard *shard, int32_t k) {
    const bool one_hot =
        trainer->options.tasks[k].classes && !trainer->options.tasks[k].multilabel && trainer->network->outputs[k].loss->target == BP_TARGET_VALUES;
    const struct bp_metric_call rows = {.batch = shard->count, .width = trainer->target_width[k], .predictions = shard->targets[k]};
    if (!one_hot) return shard->calls[k].y; /* of classes by position: with one for each */
    for (int32_t i = 0; i < shard->count; i++) shard->classes[i] = (bp_real)bp_metric_class(&rows, i);
    return shard->classes;
}

/* Steps that a mask made rows of their own, while each number of a sample has its own unit: one by one. */
static void update_by_step(const struct bp_metric_ops *metric, double *state, const struct bp_metric_call *all, int32_t samples) {
    const size_t width = (size_t)all->width, steps = (size_t)(all->batch / samples);
    struct bp_metric_call one = *all;
    one.batch = 1;
    for (size_t row = 0; row < (size_t)all->batch; row++) {
        one.predictions = all->predictions + row * width;
        one.y = all->y + row * width;
        one.weights = all->weights ? all->weights + row : NULL;
        one.units = all->units + row % steps * width;
        one.origins = all->origins + row % steps * width;
        metric->update(state, &one);
    }
}

/* Labels side by side, each a task of two classes: the column of one after the other, some rows at a time. */
static void update_by_label(const struct bp_metric_ops *metric, double *state, const struct bp_metric_call *all, int32_t labels) {
    enum { SOME = 256 };
    const int64_t each = metric->state_size(all->classes, 1, all->samples);
    bp_real p[SOME], y[SOME];
    struct bp_metric_call one = *all;
    one.width = 1;
    one.predictions = p;
    one.y = y;
    for (int32_t j = 0; j < labels; j++)
        for (int32_t first = 0; first < all->batch; first += SOME) {
            one.batch = all->batch - first < SOME ? all->batch - first : SOME;
            one.weights = all->weights ? all->weights + first : NULL;
            one.threshold = all->thresholds ? all->thresholds[j] : 0;
            for (int32_t i = 0; i < one.batch; i++) {
                const size_t at = (size_t)(first + i) * (size_t)labels + (size_t)j;
                p[i] = all->predictions[at];
                y[i] = all->y[at];
            }
            metric->update(state + each * j, &one);
        }
}

/* Numbers as the task measures them, some rows at a time. */
static void update_measured(const struct bp_metric_ops *metric, double *state, const struct bp_metric_call *all, const struct bp_task *task) {
    enum { SOME = BP_MEASURED_MAX };
    bp_real p[SOME], y[SOME];
    struct bp_metric_call part = *all;
    const int32_t rows = SOME / all->width;
    part.predictions = p;
    part.y = y;
    for (int32_t first = 0; first < all->batch; first += rows) {
        part.batch = all->batch - first < rows ? all->batch - first : rows;
        part.weights = all->weights ? all->weights + first : NULL;
        for (int32_t i = 0; i < part.batch * all->width; i++) {
            const size_t at = (size_t)first * (size_t)all->width + (size_t)i;
            p[i] = (bp_real)task->measured(task->measured_by, i % all->width, (double)all->predictions[at], true);
            y[i] = (bp_real)task->measured(task->measured_by, i % all->width, (double)all->y[at], false);
        }
        metric->update(state, &part);
    }
}

static void update_metrics(const struct bp_trainer *trainer, struct bp_shard *shard, int32_t k, int32_t part) {
    const struct bp_task *task = &trainer->options.tasks[k];
    const struct bp_output *output = &trainer->network->outputs[k];
    const struct bp_loss_call *loss = &shard->calls[k];
    double *sums = part == BP_VALIDATION ? trainer->validation_sums : trainer->accumulators;
    if (!task->metrics_count) return;
    struct bp_metric_call call = {.batch = loss->batch,
                                  .width = bp_loss_keep_points(output->loss, output->values, loss),
                                  .classes = task->classes,
                                  .scores = task->scores,
                                  .threshold = task->thresholds && !task->multilabel ? task->thresholds[0] : 0,
                                  .thresholds = task->multilabel ? task->thresholds : NULL,
                                  .predictions = loss->z,
                                  .y = truth_of(trainer, shard, k),
                                  .weights = loss->counts,
                                  .samples = trainer->metric_samples[part][k],
                                  .unit = task->unit,
                                  .origin = task->origin,
                                  .units = task->units,
                                  .origins = task->origins};
    for (int32_t m = 0; m < task->metrics_count; m++) {
        const int64_t state = trainer->metric_state[part][k][m];
        call.numbers = task->metric_numbers[m];
        if (state < 0) continue;
        if (task->multilabel && !(task->metrics[m]->kinds & BP_METRIC_MULTILABEL))
            update_by_label(task->metrics[m], sums + state, &call, task->targets);
        else if (task->measured) update_measured(task->metrics[m], sums + state, &call, task);
        else if (task->units && call.batch > shard->count) update_by_step(task->metrics[m], sums + state, &call, shard->count);
        else task->metrics[m]->update(sums + state, &call);
    }
}

/* What the samples weigh, and what they count. The source is weighted; the shards are filled. */
static void weigh_samples(struct bp_trainer *trainer, double *weight) {
    struct bp_work *work = &trainer->work;
    double sums[2] = {0};
    for (int32_t s = 0; s < work->active; s++)
        for (int32_t i = 0; i < trainer->shard[s].count; i++) {
            sums[0] += (double)trainer->shard[s].weights[i];
            if (work->source->counted) sums[1] += (double)trainer->shard[s].counts[i];
        }
    bp_reduce_numbers(trainer, sums, 2);
    *weight = sums[0];
    work->count = work->source->counted ? sums[1] : sums[0];
}

/* Runs the mini-batch in trainer->work. Returns the loss sum and the sum of the weights of samples, or of the only output's rows. */
static double run_batch(struct bp_trainer *trainer, double *weight) {
    struct bp_work *work = &trainer->work;
    const bool whole = work->update && (bp_trainer_whole(trainer) || trainer->options.gradient_accumulation_steps > 1);
    const int32_t all = bp_train_shards(&trainer->options), threads = trainer->options.threads;
    work->shards = work->n < all ? work->n : all;
    const int32_t here = work->shards - bp_trainer_first_shard(trainer);
    work->active = here < 0 ? 0 : here < threads ? here : threads;
    bp_reduce_begin(trainer);
    bool by_rows = false; /* mixed samples have the rows of two: each shard shares them by itself */
    for (int32_t k = 0; work->lambda == 1 && k < trainer->network->outputs_count; k++)
        by_rows = by_rows || trainer->shard[0].workspace->row_weights[k];
    *weight = work->count = work->n;
    work->scale = whole ? 1 : 1.0 / work->n; /* the gradient of all rows of an update is divided by their weight once it is known */
    if (work->source->weighted) {
        bp_shards_run(trainer->shards, fill_shard, trainer);
        weigh_samples(trainer, weight);
        if (!whole) work->scale = *weight > 0 ? 1 / *weight : 0;
    }
    if (by_rows) {
        if (!work->source->weighted) bp_shards_run(trainer->shards, fill_shard, trainer);
        pass_by_rows(trainer, whole, weight);
    } else if (work->source->weighted) {
        bp_shards_run(trainer->shards, pass_shard, trainer);
    } else {
        bp_shards_run(trainer->shards, fill_and_pass_shard, trainer);
    }
    double loss = 0;
    for (int32_t s = 0; s < work->active; s++) loss += trainer->shard[s].loss;
    return bp_reduce_end(trainer, loss);
}

static void account(struct bp_trainer *trainer, int32_t part, double loss, double weight) {
    double *sums = part == BP_VALIDATION ? trainer->validation_sums : trainer->accumulators;
    sums[BP_SUM_LOSS] += loss;
    sums[BP_SUM_WEIGHT] += weight;
    for (int32_t k = 0; k < trainer->network->outputs_count; k++) sums[BP_SUM_OUTPUTS + k] += trainer->work.reported[k];
    for (int32_t s = 0; s < trainer->work.active; s++)
        for (int32_t k = 0; k < trainer->network->outputs_count; k++) update_metrics(trainer, &trainer->shard[s], k, part);
    if (!trainer->apart || part == BP_VALIDATION) return;
    double *reported = sums + trainer->accumulators_count - BP_REPORTED;
    for (int32_t k = 0; k < trainer->network->outputs_count; k++) reported[0] += trainer->network->outputs[k].weight * trainer->work.reported[k];
    reported[1] += trainer->work.count;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static enum bp_train_event finish_epoch(struct bp_trainer *trainer);

static enum bp_train_event diverge(struct bp_trainer *trainer) {
    trainer->diverged = true;
    return BP_TRAIN_DIVERGED;
}

/* The next mini-batch, the `nth` of its update of so many at most: its gradient is added to what the shards hold. *weight: of its samples. False: its
 * loss is not finite. */
static bool walk_batch(struct bp_trainer *trainer, int32_t nth, int32_t most, double *weight) {
    const int64_t left = trainer->train.rows - trainer->position;
    const int32_t n = left < trainer->options.batch_size ? (int32_t)left : trainer->options.batch_size;
    trainer->work = (struct bp_work){.source = &trainer->train,
                                     .rows = bp_order_at(trainer),
                                     .n = n,
                                     .nth = nth,
                                     .last = n == left || (nth + 1 == most && !bp_trainer_whole(trainer)),
                                     .before = (int64_t)nth * trainer->options.batch_size,
                                     .update = true,
                                     .lambda = 1,
                                     .weights = trainer->weights};
    trainer->work.eased = 1 - bp_trainer_schedule(trainer, trainer->options.dropout_schedule, trainer->options.dropout_schedule_values);
    if (trainer->options.mixup > 0 && n > 1) trainer->work.lambda = bp_mixing_draw(trainer);
    const double loss = run_batch(trainer, weight);
    if (!isfinite(loss)) return false;
    if (n == left) bp_health_look(trainer);
    account(trainer, BP_TRAINING, loss, *weight);
    trainer->position += n;
    bp_trainer_settle(trainer);
    return true;
}

static void release_gradients(struct bp_trainer *trainer) {
    for (int32_t s = 0; s < trainer->options.threads; s++) trainer->shard[s].holds = false;
}

/* All rows have been trained on. */
static enum bp_train_event end_training(struct bp_trainer *trainer) {
    if (!bp_kernels()->finite(trainer->weights_count, trainer->weights)) /* the last update may have spoilt them */
        return diverge(trainer);
    return trainer->validates ? BP_TRAIN_STEP : finish_epoch(trainer);
}

/* One mini-batch of a search; after the last of the rows the search moves, and the rows are walked again unless it is content. */
static enum bp_train_event search_batch(struct bp_trainer *trainer) {
    double weight;
    if (trainer->position == 0) {
        release_gradients(trainer);
        bp_trainer_search_begin(trainer);
    }
    if (!walk_batch(trainer, 0, 1, &weight)) {
        if (trainer->updates == 0) return diverge(trainer);
        trainer->accumulators[BP_SUM_LOSS] = INFINITY; /* a trial step that was too long: the search returns from it */
        trainer->position = trainer->train.rows;
    }
    if (trainer->position < trainer->train.rows) return BP_TRAIN_STEP;
    const int found = bp_trainer_search(trainer, trainer->accumulators[BP_SUM_LOSS]);
    trainer->updates++;
    if (found < 0) return diverge(trainer);
    if (found > 0) return end_training(trainer);
    trainer->position = 0;
    memset(trainer->accumulators, 0, (size_t)trainer->accumulators_count * sizeof *trainer->accumulators);
    return BP_TRAIN_STEP;
}

/* One mini-batch of an update by all rows. */
static enum bp_train_event whole_batch(struct bp_trainer *trainer) {
    double weight;
    if (trainer->position == 0) release_gradients(trainer);
    if (!walk_batch(trainer, 0, 1, &weight)) return diverge(trainer);
    if (trainer->position < trainer->train.rows) return BP_TRAIN_STEP;
    trainer->work.measure = true;
    if (!bp_trainer_update(trainer, trainer->accumulators[BP_SUM_WEIGHT])) return diverge(trainer);
    trainer->updates++;
    return end_training(trainer);
}

static enum bp_train_event train_batch(struct bp_trainer *trainer) {
    const int32_t most = trainer->options.gradient_accumulation_steps > 1 ? trainer->options.gradient_accumulation_steps : 1;
    int32_t batches = 0;
    double weight, sum = 0;
    if (trainer->options.optimizer->search) return search_batch(trainer);
    if (trainer->options.optimizer->whole) return whole_batch(trainer);
    for (; batches < most && trainer->position < trainer->train.rows; batches++, sum += weight)
        if (!walk_batch(trainer, batches, most, &weight)) return diverge(trainer);
    trainer->work.measure = trainer->position == trainer->train.rows;
    if (!bp_trainer_update(trainer, most > 1 ? sum : 1)) return diverge(trainer);
    release_gradients(trainer);
    trainer->updates++;
    return trainer->position < trainer->train.rows ? BP_TRAIN_STEP : end_training(trainer);
}

/* ---- the epoch --------------------------------------------------------------------------------------------------- */

/* Which epoch is the best, for all who ask: early stopping, the job, the version. A value that is not finite never is. Early stopping keeps its
 * weights and counts epochs without improvement; an undefined value is none of them, or training would stop by what was never measured. */
static void judge_epoch(struct bp_trainer *trainer) {
    const struct bp_train_options *options = &trainer->options;
    const double value = trainer->values[trainer->stop_index], best = trainer->best_value, delta = options->stop_early ? options->stop_min_delta : 0;
    const bool higher = bp_trainer_metric_higher(trainer, trainer->stop_index), first = trainer->best_epoch == 0;
    const bool better = isfinite(value) && (first || (higher ? value > best + delta : value < best - delta));
    if (better) {
        trainer->best_epoch = trainer->epoch;
        trainer->best_value = value;
        trainer->waited = 0;
    } else if (options->stop_early && !isnan(value) && ++trainer->waited >= options->stop_patience) {
        trainer->stopped = true;
    }
    const bp_real *now = trainer->average ? trainer->average : trainer->weights;
    if (better && trainer->best) memcpy(trainer->best, now, trainer->weights_count * sizeof *now);
    if (!options->stop_early) memcpy(trainer->good, now, trainer->weights_count * sizeof *now);
    if (better || !options->stop_early) trainer->good_epoch = trainer->epoch;
}

static double value_of(const struct bp_trainer *trainer, const struct bp_series *series) {
    double *sums = series->part == BP_VALIDATION ? trainer->validation_sums : trainer->accumulators;
    if (series->metric < 0) {
        const bool apart = trainer->apart && series->part == BP_TRAINING;
        const double *all = apart ? sums + trainer->accumulators_count - BP_REPORTED : sums + BP_SUM_LOSS; /* loss, weight */
        const double loss = series->output < 0 ? all[0] : sums[BP_SUM_OUTPUTS + series->output];
        return all[1] > 0 ? loss / all[1] : (double)NAN;
    }
    const struct bp_task *task = &trainer->options.tasks[series->output];
    const struct bp_metric_ops *metric = task->metrics[series->metric];
    double *state = sums + trainer->metric_state[series->part][series->output][series->metric], sum = 0;
    if (task->targets < 2 || metric->kinds & BP_METRIC_MULTILABEL) return metric->result(state, task->classes, trainer->points_width[series->output]);
    const int64_t each = metric->state_size(task->classes, 1, trainer->metric_samples[series->part][series->output]);
    int32_t defined = 0;
    if (series->target >= 0) return metric->result(state + each * series->target, task->classes, 1);
    for (int32_t j = 0; j < task->targets; j++) {
        const double value = metric->result(state + each * j, task->classes, 1);
        if (task->classes && isnan(value)) continue; /* a label that no row has */
        sum += value;
        defined++;
    }
    return defined > 0 ? sum / defined : (double)NAN;
}

static enum bp_train_event finish_epoch(struct bp_trainer *trainer) {
    const struct bp_train_options *options = &trainer->options;
    bp_reduce_metrics(trainer, BP_TRAINING);
    if (trainer->validates) bp_reduce_metrics(trainer, BP_VALIDATION);
    for (int32_t i = 0; i < trainer->values_count; i++) trainer->values[i] = value_of(trainer, &trainer->series[i]);
    trainer->epoch++;
    trainer->position = 0;
    trainer->validated = 0;
    memset(trainer->accumulators, 0, (size_t)trainer->accumulators_count * sizeof *trainer->accumulators);
    memset(trainer->validation_sums, 0, (size_t)trainer->validation_sums_count * sizeof *trainer->validation_sums);
    judge_epoch(trainer);
    if (options->schedule && options->schedule->observe)
        options->schedule->observe(options->schedule_values, trainer->memory + BP_MEMORY_SCHEDULE, trainer->values[trainer->stop_index],
                                   bp_trainer_metric_higher(trainer, trainer->stop_index));
    return BP_TRAIN_EPOCH;
}

static enum bp_train_event validate_batch(struct bp_trainer *trainer) {
    const int64_t left = trainer->validation.rows - trainer->validated;
    const int32_t n = left < trainer->validation_batch ? (int32_t)left : trainer->validation_batch;
    double weight;
    bp_order_validate(trainer);
    for (int32_t i = 0; i < n; i++) trainer->ascending[i] = trainer->validated + i;
    trainer->work = (struct bp_work){.source = &trainer->validation,
                                     .rows = trainer->ascending,
                                     .n = n,
                                     .lambda = 1,
                                     .weights = trainer->average ? trainer->average : trainer->weights};
    const double loss = run_batch(trainer, &weight);
    if (!isfinite(loss)) return diverge(trainer);
    account(trainer, BP_VALIDATION, loss, weight);
    trainer->validated += n;
    return trainer->validated < trainer->validation.rows ? BP_TRAIN_STEP : finish_epoch(trainer);
}

enum bp_train_event bp_trainer_step(struct bp_trainer *trainer) {
    if (trainer->diverged) return BP_TRAIN_DIVERGED;
    if (trainer->stopped || trainer->epoch >= trainer->options.epochs) return BP_TRAIN_DONE;
    bp_flush_denormals();
    bp_reduce_step(trainer);
    bp_fitting_run(trainer);
    return trainer->position < trainer->train.rows ? train_batch(trainer) : validate_batch(trainer);
}
