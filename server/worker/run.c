/* run.c - setting a training up and keeping its best epoch. */
#include "server/worker/run.h"

#include "server/version.h"
#include "server/worker/prefetch.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What the trainer judges epochs by. */
static void choose_best_metric(struct run *run) {
    const char *name = run->options.stop_early ? run->options.stop_metric : run->validation_count > 0 ? "val_loss" : "loss";
    run->best_metric = name;
}

int run_validation_source(const struct schema_training *training, const struct schema_view *view, const int64_t *rows, int64_t n,
                          struct schema_source **source, struct bp_error *error) {
    struct schema_source_options options = {.view = view, .rows = rows, .n = n, .memory_max = SCHEMA_SOURCE_MEMORY};
    schema_training_one_hot(training, options.one_hot);
    return schema_source_new(&options, source, error);
}

static int open_source(struct run *run, bool training, struct schema_source **source, struct bp_error *error) {
    const struct schema_split *split = run->other && !training ? &run->held : &run->split;
    struct schema_source_options options = {.view = run->other && !training ? run->other_view : run->view,
                                            .rows = training ? split->train : split->validation,
                                            .n = training ? split->train_count : split->validation_count,
                                            .training = training,
                                            .memory_max = run->options.window > 0 ? 0 : SCHEMA_SOURCE_MEMORY};
    schema_training_one_hot(run->training, options.one_hot);
    return schema_source_new(&options, source, error);
}

enum bp_onednn_mode run_onednn_mode(void) {
    const char *asked = getenv("BACKPROPD_ONEDNN");
    if (asked && strcmp(asked, "off") == 0) return BP_ONEDNN_OFF;
    return asked && strcmp(asked, "on") == 0 ? BP_ONEDNN_ON : BP_ONEDNN_AUTO;
}

void run_start_onednn(struct schema_training *training, int64_t rows, bool alone, struct bp_error *error) {
    const enum bp_onednn_mode mode = run_onednn_mode();
    const struct bp_train_options options = schema_training_options(training);
    const bool automatic = training->options.precision == SCHEMA_PRECISION_AUTO;
    const int32_t shards = bp_train_shards(&options), shard = (options.batch_size + shards - 1) / shards;
    bool half = options.precision == BP_PRECISION_BFLOAT16;
    if (alone || mode == BP_ONEDNN_OFF) {
        if (half || automatic) bp_error_unsupported(error, "", "oneDNN is disabled, or kernels were given by name");
        return;
    }
    half = half || (automatic && bp_bfloat16_available(error));
    if (mode != BP_ONEDNN_ON && !half && !bp_onednn_repays(training->network, shard, (double)rows * options.epochs)) return;
    if (bp_onednn_start(mode, half, error) != 0) return;
    if (automatic && bp_bfloat16_started()) training->options.bfloat16 = true;
}

enum { RANGE_STEPS = 100 };
#define RANGE_LEAST 1e-6
#define RANGE_MOST  10.0

static int open_other(struct run *run, struct bp_error *error) {
    if (!(run->other_view = schema_view_new(run->training->preprocessing, run->other, true, error))) return -1;
    if (schema_training_held(run->training, run->other_view, &run->held, error) != 0) return -1;
    run->validation_count = run->held.validation_count;
    return 0;
}

int run_open(struct run *run, struct schema_training *training, const struct schema_dataset *dataset, const struct schema_dataset *other,
             struct bp_error *error) {
    return run_open_together(run, training, dataset, other, NULL, error);
}

int run_open_together(struct run *run, struct schema_training *training, const struct schema_dataset *dataset, const struct schema_dataset *other,
                      const struct bp_reducer *reducer, struct bp_error *error) {
    memset(run, 0, sizeof *run);
    run->training = training;
    run->dataset = dataset;
    run->other = other;
    run->stop_reason = "";
    run->options = schema_training_options(training);
    run->options.reducer = reducer;
    run->options.processes = reducer ? reducer->ranks : 1;
    if (!(run->view = schema_view_new(training->preprocessing, dataset, true, error))) return -1;
    if (schema_training_split(training, run->view, &run->split, error) != 0 || open_source(run, true, &run->train, error) != 0) return -1;
    run->train_batches = schema_source_batches(run->train);
    run->validation_count = run->split.validation_count;
    if (other && open_other(run, error) != 0) return -1;
    if (run->validation_count > 0) {
        if (open_source(run, false, &run->validation, error) != 0) return -1;
        run->validation_batches = schema_source_batches(run->validation);
    }
    if (run->options.window > 0) {
        if (!(run->prefetch = prefetch_new(error))) return -1;
        prefetch_watch(run->prefetch, run->train, &run->train_batches);
        if (run->validation) prefetch_watch(run->prefetch, run->validation, &run->validation_batches);
        schema_dataset_release(dataset); /* what split and targets were read from */
        if (other) schema_dataset_release(other);
    }
    if (bp_trainer_new(training->network, &run->options, &run->train_batches, run->validation ? &run->validation_batches : NULL, &run->trainer,
                       error) != 0)
        return -1;
    choose_best_metric(run);
    return 0;
}

int run_begin_with(struct run *run, int fd, const json_t *asked, json_t **report, struct bp_error *error) {
    struct stat info;
    struct schema_init init;
    const bool keep = run->training->options.keep_optimizer_state != 0;
    void *bytes = fstat(fd, &info) == 0 && info.st_size > 0 ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED) return bp_error_io(error, "the model that the job begins with cannot be read: %s", strerror(errno));
    const int failed = schema_init_read(bytes, (size_t)info.st_size, run->training, json_object_get(asked, "anew"), keep, &init, error);
    if (!failed) bp_trainer_start(run->trainer, &init.start);
    if (!failed && report) *report = json_pack("{s:O, s:O, s:O}", "copied", init.copied, "new", init.fresh, "left_out", init.left_out);
    schema_init_free(&init);
    munmap(bytes, (size_t)info.st_size);
    return failed;
}

bool run_optimizer(const struct run *run, struct schema_model_optimizer *optimizer) {
    struct bp_trainer_state state;
    if (!run->training->options.keep_optimizer_state || !run->trainer) return false;
    bp_trainer_state(run->trainer, &state);
    *optimizer = (struct schema_model_optimizer){run->training->options.optimizer->entry.name, state.updates, state.slots_count, {0}};
    for (int32_t s = 0; s < state.slots_count; s++) optimizer->slots[s] = state.slots[s];
    return true;
}

void run_close(struct run *run) {
    bp_trainer_free(run->trainer);
    prefetch_free(run->prefetch);
    schema_source_free(run->train);
    schema_source_free(run->validation);
    schema_split_free(&run->split);
    schema_split_free(&run->held);
    schema_view_free(run->view);
    schema_view_free(run->other_view);
    json_decref(run->best_metrics);
    memset(run, 0, sizeof *run);
}

/* As reported: 9 digits, as float32 has. */
json_t *run_number(double value) {
    char text[40];
    if (!isfinite(value)) return json_null();
    snprintf(text, sizeof text, "%.9g", value);
    return json_real(strtod(text, NULL));
}

json_t *run_epoch(struct run *run, int64_t epoch, bool *improved) {
    json_t *metrics = json_object();
    for (int32_t i = 0; i < bp_trainer_metrics_count(run->trainer); i++) {
        const char *name = bp_trainer_metric_name(run->trainer, i);
        json_object_set_new(metrics, name, run_number(bp_trainer_metric_value(run->trainer, i)));
    }
    if (run->training->options.schedule || run->training->options.find_rate) /* it may differ from the requested one */
        json_object_set_new(metrics, "learning_rate", run_number((double)(float)bp_trainer_learning_rate(run->trainer)));
    run->best_epoch = bp_trainer_best(run->trainer, &run->best_value);
    *improved = run->best_epoch == epoch;
    if (*improved) {
        json_decref(run->best_metrics);
        run->best_metrics = json_incref(metrics);
    }
    return metrics;
}

static void add_number(json_t *json, const char *name, double value) {
    if (isfinite(value)) json_object_set_new(json, name, run_number((double)(float)value));
}

json_t *run_health(const struct run *run) {
    json_t *list = json_array();
    for (int32_t i = 0; i < bp_trainer_health_count(run->trainer); i++) {
        const struct bp_health *h = bp_trainer_health(run->trainer, i);
        json_t *layer = json_pack("{s:s}", "layer", h->layer);
        add_number(layer, "weight_norm", h->weight_norm);
        add_number(layer, "gradient_norm", h->gradient_norm);
        add_number(layer, "update_norm", h->update_norm);
        add_number(layer, "ratio", h->ratio);
        add_number(layer, "mean", h->mean);
        add_number(layer, "spread", h->spread);
        add_number(layer, "dead", h->dead);
        add_number(layer, "saturated", h->saturated);
        json_array_append_new(list, layer);
    }
    return list;
}

json_t *run_find_rate(struct run *run, bool (*stop)(void *context), void *context) {
    double rates[RANGE_STEPS], losses[RANGE_STEPS];
    struct bp_range_test test = {
        .least = RANGE_LEAST, .most = RANGE_MOST, .steps = RANGE_STEPS, .rates = rates, .losses = losses, .stop = stop, .context = context};
    if (!run->training->options.find_rate) return NULL;
    const double found = bp_trainer_range_test(run->trainer, &test);
    json_t *curve = json_array();
    for (int32_t i = 0; i < test.count; i++)
        json_array_append_new(curve, json_pack("{s:o, s:o}", "learning_rate", run_number((double)(float)rates[i]), "loss", run_number(losses[i])));
    return json_pack("{s:o, s:o}", "learning_rate", run_number((double)(float)found), "curve", curve);
}

static const char cut_by_time[] = "max_seconds";

static const char cut_by_sweep[] = "sweep";

/* A training without limits keeps no weights of its best epoch: cut by its sweep, which waits for the end of an epoch, it has those of the last one.
 */
static bool is_cut(const struct run *run) {
    return run->stop_reason == cut_by_time || (run->stop_reason == cut_by_sweep && bp_trainer_best_weights(run->trainer));
}

void run_cut_by_time(struct run *run) {
    run->stop_reason = cut_by_time;
}

void run_cut(struct run *run) {
    run->stop_reason = cut_by_sweep;
}

bool run_is_cut(struct run *run, int64_t epochs, double seconds, double limit) {
    if (limit > 0 && epochs > 0 && seconds >= limit) run->stop_reason = cut_by_time;
    return run->stop_reason == cut_by_time;
}

bool run_keeps_best(const struct run *run) {
    return (run->options.stop_early || is_cut(run)) && run->best_metrics;
}

/* Cut in the middle of an epoch without a best one: the last that has ended. */
const bp_real *run_end(struct run *run, int64_t epochs, int64_t most) {
    int64_t epoch;
    if (is_cut(run)) {
        const bp_real *best = bp_trainer_best_weights(run->trainer), *good = bp_trainer_good(run->trainer, &epoch);
        if (best || good) return best ? best : good;
    } else if (run->options.stop_early && epochs < most && !run->stop_reason[0]) {
        run->stop_reason = "early_stopping";
    }
    return bp_trainer_result(run->trainer);
}

json_t *run_best_json(const struct run *run) {
    if (run->best_epoch == 0) return json_null();
    return json_pack("{s:I, s:s, s:o}", "epoch", (json_int_t)run->best_epoch, "metric", run->best_metric, "value", run_number(run->best_value));
}

json_t *run_document(const struct run *run, const json_t *last_metrics, int64_t epochs) {
    json_t *document = schema_training_encode(run->training);
    const bool best = run_keeps_best(run);
    json_object_set(document, "metrics", best ? run->best_metrics : (json_t *)last_metrics);
    json_object_set_new(document, "epoch", json_integer(best ? run->best_epoch : epochs));
    json_object_set_new(document, "epochs_trained", json_integer(epochs));
    if (run->stop_reason[0]) json_object_set_new(document, "stop_reason", json_string(run->stop_reason));
    json_object_set_new(document, "rows_trained", json_integer(run->split.train_count));
    json_object_set_new(document, "rows_validated", json_integer(run->validation_count));
    const double tested = bp_trainer_tested_rate(run->trainer);
    if (tested > 0) json_object_set_new(document, "learning_rate", run_number((double)(float)tested));
    if (run->training->options.keep_optimizer_state)
        json_object_set_new(document, "optimizer_state", json_string(run->training->options.optimizer->entry.name));
    json_object_set_new(document, "program", json_string("backpropd " BACKPROPD_VERSION));
    return document;
}
