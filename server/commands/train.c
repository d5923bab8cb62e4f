/* train.c - `backpropd train`: one training in this process, with a progress bar; the same engine and the same resolution as a job. */
#include "server/commands/commands.h"
#include "server/worker/advice.h"

#include "engine/kernels/kernels.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "server/clock.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"
#include "server/commands/train.h"
#include "server/worker/calibrate.h"
#include "server/worker/run.h"
#include "server/worker/test_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"data",        "target", "definition", "options",       "out",        "types", "epochs",
                                    "batch-size",  "seed",   "threads",    "learning-rate", "validation", "test",  "patience",
                                    "max-seconds", "task",   "effort",     "init-from",     "calibrate",  NULL};
static const char *const switches[] = {"quiet", NULL};

/* ---- what is to be done ------------------------------------------------------------------------------------------------------------ */

/* A flag's number into the options object, as if it stood there. */
static void put_number(json_t *object, const char *name, const char *text) {
    char *end;
    if (!text) return;
    double v = strtod(text, &end);
    json_object_set_new(object, name, *text && !*end ? schema_number_encode(v) : json_string(text));
}

json_t *train_request(const char **values) {
    json_t *object = json_object();
    if (values[OPTIONS]) {
        json_error_t where;
        char *text = local_text("train", values[OPTIONS]);
        json_t *given = text ? schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where) : NULL;
        if (text && !json_is_object(given))
            fprintf(stderr, "backpropd train: %s is not a JSON object: %s (line %d)\n", values[OPTIONS], given ? "something else" : where.text,
                    given ? 1 : where.line);
        free(text);
        json_decref(object);
        if (!json_is_object(given)) return json_decref(given), NULL;
        object = given;
    }
    put_number(object, "epochs", values[EPOCHS]);
    put_number(object, "batch_size", values[BATCH_SIZE]);
    put_number(object, "seed", values[SEED]);
    put_number(object, "threads", values[THREADS]);
    put_number(object, "max_seconds", values[MAX_SECONDS]);
    if (values[VALIDATION]) {
        json_t *validation = json_object();
        put_number(validation, "fraction", values[VALIDATION]);
        json_object_set_new(object, "validation", validation);
    }
    if (values[TEST]) {
        json_t *test = json_object();
        put_number(test, "fraction", values[TEST]);
        json_object_set_new(object, "test", test);
    }
    if (values[LEARNING_RATE]) {
        json_t *optimizer = json_object_get(object, "optimizer");
        if (!json_is_object(optimizer))
            json_object_set_new(object, "optimizer", json_pack("{s:s}", "type", optimizer ? json_string_value(optimizer) : "adam"));
        put_number(json_object_get(object, "optimizer"), "learning_rate", values[LEARNING_RATE]);
    }
    if (values[PATIENCE]) {
        json_t *stopping = json_object();
        put_number(stopping, "patience", values[PATIENCE]);
        json_object_set_new(object, "early_stopping", stopping);
    }
    if (values[EFFORT]) json_object_set_new(object, "effort", json_string(values[EFFORT]));
    json_object_set_new(object, "target", json_string(values[TARGET]));
    if (values[TASK]) json_object_set_new(object, "task", json_string(values[TASK]));
    const json_t *processes = json_object_get(object, "processes");
    if (!processes || (json_is_integer(processes) && json_integer_value(processes) == 1)) return object;
    fprintf(stderr, "backpropd train: this command trains in one process; leave \"processes\" out and use --threads, or submit a job to a server\n");
    json_decref(object);
    return NULL;
}

/* The definition in the file, or, without --definition, of the model that the training begins with. */
static struct schema_definition *definition_of(const char **values, const struct schema_model *from) {
    static const char *const others[] = {"name", NULL};
    struct schema_problems problems = {0};
    char *text = values[DEFINITION] ? local_text("train", values[DEFINITION]) : NULL;
    json_error_t where;
    json_t *json = text ? schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where) : NULL;
    if (text && !json) fprintf(stderr, "backpropd train: %s is not JSON: %s (line %d)\n", values[DEFINITION], where.text, where.line);
    if (!values[DEFINITION]) json = json_incref(json_object_get(from->document, "definition"));
    struct schema_definition *definition = json ? schema_definition_decode(json, "", others, &problems) : NULL;
    if (problems.total) local_problems("train", values[DEFINITION], &problems);
    json_decref(json);
    free(text);
    return definition;
}

/* What the options say of a model to begin with; taken out of the object, for they are no training options. */
static struct schema_init_request init_request(json_t *object, const struct schema_model *from, struct schema_problems *problems) {
    json_t *frozen = json_object_get(object, "frozen"), *keep = json_object_get(object, "keep_preprocessing");
    if (keep && !json_is_boolean(keep)) schema_problem_add(problems, "/keep_preprocessing", "keep_preprocessing must be true or false");
    const struct schema_init_request asked = {.frozen = json_incref(frozen), .fits_anew = json_is_false(keep) || !from};
    json_object_del(object, "frozen");
    json_object_del(object, "keep_preprocessing");
    return asked;
}

static struct schema_training *resolve(const char **values, const struct schema_dataset *dataset, const struct schema_model *from) {
    const char *const *others = schema_training_request_names;
    struct schema_problems problems = {0};
    struct schema_options options;
    struct schema_training_request request;
    struct schema_training *training = NULL;
    struct schema_preprocessing *kept = NULL;
    json_t *object = train_request(values), *features = NULL;
    if (!object) return NULL;
    const struct schema_init_request asked = init_request(object, from, &problems);
    struct schema_definition *definition = definition_of(values, from);
    if (definition && schema_options_decode(object, "", others, &options, &problems) == 0 &&
        schema_training_request_decode(object, "", &request, &problems) == 0 && schema_init_freeze(definition, asked.frozen, &problems) == 0 &&
        (!from || schema_init_prepare(from->document, &asked, &request, &features, &kept, &problems) == 0)) {
        request.definition_pointer = "";
        if (options.folds) schema_problem_add(&problems, "/validation/folds", "a cross-validation needs `backpropd serve`; use a fraction here");
        else training = schema_training_resolve(definition, &options, dataset, &request, &problems);
        if (!options.folds) definition = NULL;
    }
    schema_definition_free(definition);
    schema_preprocessing_free(kept);
    if (problems.total) local_problems("train", NULL, &problems);
    json_decref((json_t *)(uintptr_t)asked.frozen);
    json_decref(features);
    json_decref(object);
    return training;
}

void train_report_data(const struct schema_training *t, const struct schema_dataset *dataset) {
    const struct schema_preprocessing *p = t->preprocessing;
    fprintf(stderr, "%lld rows, %d features -> ", (long long)dataset->rows, p->features_count);
    for (int32_t k = 0; k < p->targets_count; k++) {
        fprintf(stderr, "%s%s \"%s\"", k ? ", " : "",
                p->targets[k].multilabel       ? "labels of"
                : p->targets[k].classification ? "classes of"
                                               : "numbers of",
                p->targets[k].name);
        if (p->targets[k].classification) fprintf(stderr, " (%d)", p->targets[k].labels_count);
    }
    fprintf(stderr, "\n");
    for (size_t i = 0; i < json_array_size(t->warnings); i++) fprintf(stderr, "note: %s\n", json_string_value(json_array_get(t->warnings, i)));
}

static void report_plan(const struct schema_training *t, const struct schema_dataset *dataset) {
    train_report_data(t, dataset);
    fprintf(stderr, "network: %d inputs", t->preprocessing->width);
    for (int32_t i = t->network->inputs_count; i < t->network->nodes_count; i++) {
        char shape[64];
        const struct bp_node *node = &t->network->nodes[i];
        fprintf(stderr, " -> %s%s", node->ops->entry.name, bp_shape_text(&node->out, shape, sizeof shape));
    }
    fprintf(stderr, ", %lld parameters, loss %s\n", (long long)t->network->parameters, t->network->outputs[0].loss->entry.name);
    fprintf(stderr, "seed %llu, %s, batch %d, at most %d epochs, kernels %s\n", (unsigned long long)t->options.seed, t->options.optimizer->entry.name,
            t->options.batch_size, t->options.epochs, bp_kernels_name());
}

/* ---- progress -------------------------------------------------------------------------------------------------------------------------- */

static void bar(const struct run *run, int64_t epoch, const json_t *metrics, double started, bool final) {
    int64_t epochs = run->options.epochs;
    double fraction = (double)epoch / (double)epochs, elapsed = clock_seconds() - started,
           left = fraction > 0 ? elapsed * (1 - fraction) / fraction : 0;
    bool terminal = isatty(STDERR_FILENO);
    char text[31];
    for (int i = 0; i < 30; i++) text[i] = i < (int)(fraction * 30 + 0.5) ? '#' : '.';
    text[30] = '\0';
    const json_t *validation = json_object_get(metrics, "val_loss");
    fprintf(stderr, "%sepoch %lld/%lld [%s] loss %.4f", terminal ? "\r" : "", (long long)epoch, (long long)epochs, text,
            json_number_value(json_object_get(metrics, "loss")));
    if (validation) fprintf(stderr, "  val_loss %.4f", json_number_value(validation));
    if (!final) fprintf(stderr, "  ETA %.0f s ", ceil(left));
    else fprintf(stderr, "  %.2f s    ", elapsed);
    if (!terminal || final) fprintf(stderr, "\n");
}

static void note(void *context, const char *text) {
    (void)context;
    fprintf(stderr, "%snote: %s\n", isatty(STDERR_FILENO) ? "\r" : "", text);
}

/* 0 when trained; reports what ended it. *epochs: trained ones; *metrics: the last epoch's, the caller's. */
static int train(struct run *run, bool quiet, int64_t *epochs, json_t **metrics) {
    struct advice advice = {0};
    json_t *found = run_find_rate(run, NULL, NULL);
    if (found && !quiet)
        fprintf(stderr, "learning rate %.3g, selected by a range test of %zu steps\n", bp_trainer_learning_rate(run->trainer),
                json_array_size(json_object_get(found, "curve")));
    json_decref(found);
    double started = clock_seconds(), shown = 0, pause = isatty(STDERR_FILENO) ? 0.1 : 1.0;
    for (;;) {
        if (run_is_cut(run, *epochs, clock_seconds() - started, run->training->options.max_seconds)) break;
        enum bp_train_event event = bp_trainer_step(run->trainer);
        if (event == BP_TRAIN_DONE) break;
        if (event == BP_TRAIN_DIVERGED) {
            fprintf(stderr,
                    "\nbackpropd train: the loss is not finite in epoch %lld; try a smaller --learning-rate, or check the data for extreme values\n",
                    (long long)*epochs + 1);
            return -1;
        }
        if (event != BP_TRAIN_EPOCH) continue;
        bool improved;
        json_decref(*metrics);
        *metrics = run_epoch(run, ++*epochs, &improved);
        if (!quiet) advice_epoch(&advice, run, *epochs, note, NULL);
        if (quiet || (clock_seconds() < shown + pause && 1 < *epochs)) continue;
        shown = clock_seconds();
        bar(run, *epochs, *metrics, started, false);
    }
    if (!quiet && *metrics) bar(run, *epochs, *metrics, started, true);
    run_end(run, *epochs, run->options.epochs);
    if (!quiet && strcmp(run->stop_reason, "max_seconds") == 0)
        fprintf(stderr, "stopped by max_seconds after epoch %lld of %lld; the weights of epoch %lld are stored, the best by %s\n", (long long)*epochs,
                (long long)run->options.epochs, (long long)(run_keeps_best(run) ? run->best_epoch : *epochs), run->best_metric);
    else if (!quiet && run->stop_reason[0])
        fprintf(stderr, "stopped early: %s has not improved for %d epochs; the weights of epoch %lld are stored\n", run->best_metric,
                run->options.stop_patience, (long long)run->best_epoch);
    return 0;
}

/* Before anything is trained: can the model be written there? */
static int check_out(const char *path) {
    char folder[4096];
    struct stat info;
    const char *slash = strrchr(path, '/');
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return fprintf(stderr, "backpropd train: --out %s is a folder; expected the name of a file\n", path), -1;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) return 0; /* a pipe, a device */
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    const char *where = folder[0] ? folder : "/";
    if (stat(where, &info) != 0 || !S_ISDIR(info.st_mode))
        return fprintf(stderr, "backpropd train: --out %s: there is no folder %s; create it first\n", path, where), -1;
    if (access(where, W_OK | X_OK) != 0)
        return fprintf(stderr, "backpropd train: --out %s: the folder %s cannot be written: %s\n", path, where, strerror(errno)), -1;
    return 0;
}

int train_write_with(const struct train_written *what, const char *path, size_t *size, struct bp_error *error) {
    char temporary[4200];
    struct stat info;
    const bool direct = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
    snprintf(temporary, sizeof temporary, direct ? "%s" : "%s.%ld.tmp", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    const struct schema_model_parts parts = {what->document, what->calibration, what->optimizer};
    int failed =
        fd < 0 ? bp_error_io(error, "%s", strerror(errno)) : schema_model_write_parts(fd, what->training, &parts, what->weights, size, error);
    if (fd >= 0 && close(fd) != 0 && !failed) failed = bp_error_io(error, "%s", strerror(errno));
    if (!failed && !direct && rename(temporary, path) != 0) failed = bp_error_io(error, "%s", strerror(errno));
    if (failed && fd >= 0 && !direct) unlink(temporary);
    return failed;
}

int train_test(const struct test_rows *test, json_t *document, struct bp_error *error) {
    if (!schema_options_test(&test->asked->options)) return 0;
    json_t *report = test_rows_evaluate(test, document, error);
    if (!report) return -1;
    fprintf(stderr, "test, by %lld rows that nothing of the training has seen\n", (long long)json_integer_value(json_object_get(report, "rows")));
    json_decref(report);
    return 0;
}

int train_calibrate(const char **values, json_t **asked) {
    char *end;
    *asked = NULL;
    if (!values[CALIBRATE]) return 0;
    const double coverage = strtod(values[CALIBRATE], &end);
    if (*values[CALIBRATE] && !*end && coverage > 0 && coverage < 1) {
        *asked = json_pack("{s:{s:f}}", "conformal", "coverage", coverage);
        return 0;
    }
    fprintf(stderr, "backpropd train: --calibrate is the coverage of sets and intervals, between 0 and 1, such as 0.9, got \"%s\"\n",
            values[CALIBRATE]);
    return -1;
}

void train_not_calibrated(const json_t *calibration, const char *why) {
    if (!calibration) fprintf(stderr, "backpropd train: warning: the model is not calibrated: %s\n", why);
}

static int save(struct run *run, const json_t *metrics, int64_t epochs, const json_t *asked, const char *path) {
    struct bp_error error = {0};
    char why[CALIBRATE_WHY] = "";
    size_t size = 0;
    json_t *document = run_document(run, metrics, epochs);
    const char *name;
    json_t *value;
    struct schema_model_optimizer optimizer;
    const bp_real *weights = run_end(run, epochs, run->options.epochs);
    json_t *reference = schema_reference_build(run->training, weights, run->dataset);
    if (reference) json_object_set_new(document, "reference", reference);
    json_t *calibration = asked ? run_calibrate(run, weights, asked, why) : NULL;
    if (asked) train_not_calibrated(calibration, why);
    const struct train_written what = {run->training, document, weights, run_optimizer(run, &optimizer) ? &optimizer : NULL, calibration};
    const struct test_rows test = {
        .asked = run->training, .trained = run->training, .weights = weights, .dataset = run->dataset, .calibration = calibration};
    int failed = train_test(&test, document, &error);
    if (!failed) failed = train_write_with(&what, path, &size, &error);
    if (failed) fprintf(stderr, "backpropd train: cannot write %s: %s\n", path, error.message);
    else {
        fprintf(stderr, "epoch %lld kept:", (long long)json_integer_value(json_object_get(document, "epoch")));
        json_object_foreach(json_object_get(document, "metrics"), name, value) fprintf(stderr, " %s %.4g", name, json_number_value(value));
        fprintf(stderr, "\nwrote %s (%zu bytes); predict with: backpropd predict --model %s --data FILE.csv\n", path, size, path);
    }
    json_decref(calibration);
    json_decref(document);
    return failed;
}

/* The model that --init-from names. -1: it cannot be read. */
static int open_from(const char **values, int *fd, struct schema_model **from) {
    struct bp_error error = {0};
    size_t size = 0;
    *fd = -1;
    *from = NULL;
    if (!values[INIT_FROM]) return 0;
    char *bytes = models_read("train", values[INIT_FROM], &size);
    *from = bytes ? schema_model_read(bytes, size, &error) : NULL;
    if (bytes && !*from) fprintf(stderr, "backpropd train: %s: %s\n", values[INIT_FROM], error.message);
    free(bytes);
    if (*from) *fd = open(values[INIT_FROM], O_RDONLY | O_CLOEXEC);
    return *fd >= 0 ? 0 : -1;
}

static void print_layers(const char *what, const json_t *layers) {
    json_t *name;
    size_t i;
    if (json_array_size(layers) == 0) return;
    fprintf(stderr, "%s:", what);
    json_array_foreach(layers, i, name) fprintf(stderr, " %s", json_string_value(name));
    fprintf(stderr, "\n");
}

/* Begins with its weights, and reports which layers do. */
static int begin_with(struct run *run, int fd, const struct schema_model *from, struct bp_error *error) {
    json_t *init = json_pack("{s:o}", "anew", schema_init_anew(from->document, run->training)), *report = NULL;
    const int failed = run_begin_with(run, fd, init, &report, error);
    print_layers("copied", json_object_get(report, "copied"));
    print_layers("new", json_object_get(report, "new"));
    print_layers("left out", json_object_get(report, "left_out"));
    json_decref(report);
    json_decref(init);
    return failed;
}

/* --definition, or the network of --init-from: that network alone. */
static int train_network(const char **values, const struct schema_dataset *dataset) {
    struct schema_model *from;
    int fd;
    struct run run = {0};
    json_t *metrics = NULL;
    struct bp_error error = {0};
    int64_t epochs = 0;
    json_t *asked;
    int failed = open_from(values, &fd, &from);
    if (!failed) failed = train_calibrate(values, &asked);
    else asked = NULL;
    struct schema_training *training = failed ? NULL : resolve(values, dataset, from);
    if (!training) failed = -1;
    if (!failed) {
        if (!values[QUIET]) report_plan(training, dataset);
        struct bp_error without = {0};
        run_start_onednn(training, dataset->rows, false, &without);
        failed = run_open(&run, training, dataset, NULL, &error);
        if (!failed && from) failed = begin_with(&run, fd, from, &error);
        if (failed) fprintf(stderr, "backpropd train: %s\n", error.message);
    }
    if (!failed) failed = train(&run, values[QUIET] != NULL, &epochs, &metrics);
    if (!failed) failed = save(&run, metrics, epochs, asked, values[OUT] ? values[OUT] : "model.bpd");
    json_decref(asked);
    json_decref(metrics);
    run_close(&run);
    schema_training_free(training);
    schema_model_free(from);
    if (fd >= 0) close(fd);
    return failed;
}

int command_train(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    struct schema_problems problems = {0};
    struct schema_column_type *types = NULL;
    int32_t types_count = 0;
    if (local_flags("train", argc, argv, names, switches, values) != 0) return 2;
    if (!values[DATA] || !values[TARGET]) {
        fprintf(stderr, "backpropd train: --data FILE.csv and --target COLUMN are required; see `backpropd help train`\n");
        return 2;
    }
    if (values[TYPES] && schema_column_types_parse(values[TYPES], &types, &types_count, &problems) != 0) {
        local_problems("train", "--types", &problems);
        return 2;
    }
    if (check_out(values[OUT] ? values[OUT] : "model.bpd") != 0) return 2;
    bp_engine_start();
    bp_flush_denormals();
    struct schema_dataset *dataset = local_dataset("train", values[DATA], types, types_count, false);
    const int failed = !dataset ? -1 : values[DEFINITION] || values[INIT_FROM] ? train_network(values, dataset) : train_ensemble(values, dataset);
    schema_dataset_free(dataset);
    schema_column_types_free(types, types_count);
    return failed ? 1 : 0;
}
