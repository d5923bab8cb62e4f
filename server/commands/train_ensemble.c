/* train_ensemble.c - `backpropd train` without --definition: the networks that a job without a model trains, side by side in this process. */
#include "server/commands/train.h"

#include "engine/kernels/kernels.h"
#include "schema/json/values.h"
#include "schema/resolve/auto.h"
#include "server/clock.h"
#include "server/commands/local_data.h"
#include "server/worker/calibrate.h"
#include "server/worker/ensemble.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct schema_ensemble *resolve(const char **values, const struct schema_dataset *dataset, const json_t *object, char why[static 300]) {
    struct schema_problems problems = {0};
    struct schema_training_request request;
    struct schema_ensemble *ensemble = NULL;
    struct bp_value effort;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct schema_auto job = {.object = object, .threads = cores > 64 ? 64 : cores < 1 ? 1 : (int32_t)cores};
    static const struct bp_param params[] = {
        {.name = "effort", .type = BP_PARAM_CHOICE, .choices = schema_efforts, .preset = SCHEMA_EFFORT_BALANCED, .help = "how much is trained"}};
    static const struct bp_entry entry = {.name = "train", .params = params, .params_count = 1};
    const struct schema_names options = {schema_options_names, NULL}, known = {schema_training_request_names, &options};
    (void)values;
    if (schema_values_decode(object, "", &entry, &known, &effort, &problems) == 0 &&
        schema_training_request_decode(object, "", &request, &problems) == 0) {
        job.effort = (enum schema_effort)effort.number;
        request.definition_pointer = "";
        ensemble = schema_auto_resolve(&job, dataset, &request, why, &problems);
    }
    if (problems.total) local_problems("train", NULL, &problems);
    return ensemble;
}

static void bar(struct ensemble *e, double started, bool final) {
    struct ensemble_progress progress;
    const bool terminal = isatty(STDERR_FILENO);
    const double elapsed = clock_seconds() - started;
    char text[31];
    ensemble_progress(e, &progress);
    for (int i = 0; i < 30; i++) text[i] = i < (int)(progress.fraction * 30 + 0.5) ? '#' : '.';
    text[30] = '\0';
    fprintf(stderr, "%s%d of %d networks [%s]", terminal ? "\r" : "", (int)ensemble_finished(e), (int)ensemble_plan(e)->members_count, text);
    if (final) fprintf(stderr, "  %lld epochs  %.2f s    ", (long long)progress.epochs, elapsed);
    else if (progress.fraction > 0) fprintf(stderr, "  ETA %.0f s ", ceil(elapsed * (1 - progress.fraction) / progress.fraction));
    if (!terminal || final) fprintf(stderr, "\n");
}

static int train(struct ensemble *e, bool quiet, struct bp_error *error) {
    const double started = clock_seconds(), pause = isatty(STDERR_FILENO) ? 0.1 : 1.0;
    double shown = started;
    if (ensemble_start(e, error) != 0) return -1;
    for (bool more = true; more;) {
        json_t *events;
        more = ensemble_wait(e, 50, &events);
        json_decref(events);
        if (quiet || !more || clock_seconds() < shown + pause) continue;
        shown = clock_seconds();
        bar(e, started, false);
    }
    ensemble_stop(e);
    if (ensemble_failed(e, error)) return -1;
    if (!quiet) bar(e, started, true);
    return 0;
}

/* The estimate: of rows that a network was not trained on. */
static void report_result(const json_t *document, int members) {
    const json_t *result = json_object_get(document, "cross_validation"), *families = json_object_get(result, "families");
    const char *name;
    json_t *value, *family;
    size_t i;
    json_array_foreach(families, i, family) {
        fprintf(stderr, "%s: weight %.2f", json_string_value(json_object_get(family, "name")), json_number_value(json_object_get(family, "weight")));
        json_object_foreach(json_object_get(family, "metrics"), name, value) fprintf(stderr, ", %s %.4g", name, json_number_value(value));
        fprintf(stderr, "\n");
    }
    fprintf(stderr, "estimate, by rows that were held out:");
    json_object_foreach(json_object_get(document, "metrics"), name, value) {
        const char *bare = strncmp(name, "cross_validated_", 16) == 0 ? name + 16 : name;
        const json_t *spread = json_object_get(json_object_get(result, "std"), bare);
        if (strncmp(name, "test_", 5) == 0) continue;
        fprintf(stderr, " %s %.4g", bare, json_number_value(value));
        if (json_is_number(spread)) fprintf(stderr, " (%.2g between folds)", json_number_value(spread));
    }
    fprintf(stderr, "\n");
    json_object_foreach(json_object_get(document, "metrics"), name, value) {
        if (strncmp(name, "test_", 5) == 0) fprintf(stderr, "%s %.4g\n", name, json_number_value(value));
    }
    if (json_object_get(document, "stop_reason"))
        fprintf(stderr, "stopped by max_seconds: %zu of %d networks are kept, each at its best epoch so far\n",
                json_array_size(json_object_get(result, "folds")), members);
}

static int save(struct ensemble *e, const struct schema_dataset *dataset, const json_t *asked, const char *path, struct bp_error *error) {
    char why[CALIBRATE_WHY] = "";
    struct schema_training *training;
    bp_real *weights;
    json_t *document;
    size_t size = 0;
    if (ensemble_join(e, &training, &weights, &document, error) != 0) return -1;
    json_t *reference = schema_reference_build(training, weights, dataset);
    if (reference) json_object_set_new(document, "reference", reference);
    json_t *calibration = asked ? ensemble_calibrate(e, training, asked, why) : NULL;
    if (asked) train_not_calibrated(calibration, why);
    const struct test_rows test = {
        .asked = ensemble_plan(e)->families[0].training, .trained = training, .weights = weights, .dataset = dataset, .calibration = calibration};
    int failed = train_test(&test, document, error);
    if (!failed) failed = train_write_with(&(struct train_written){training, document, weights, NULL, calibration}, path, &size, error);
    json_decref(calibration);
    if (failed) fprintf(stderr, "backpropd train: cannot write %s: %s\n", path, error->message);
    else {
        report_result(document, (int)ensemble_plan(e)->members_count);
        fprintf(stderr, "wrote %s (%zu bytes); predict with: backpropd predict --model %s --data FILE.csv\n", path, size, path);
    }
    error->message[0] = '\0';
    json_decref(document);
    free(weights);
    schema_training_free(training);
    return failed;
}

/* The spec, as a job process would get it. */
static json_t *spec_of(const struct schema_ensemble *ensemble) {
    json_t *spec = schema_training_encode(ensemble->families[0].training);
    json_object_set_new(spec, "ensemble", schema_ensemble_encode(ensemble));
    return spec;
}

int train_ensemble(const char **values, const struct schema_dataset *dataset) {
    struct bp_error error = {0};
    struct ensemble *e = NULL;
    char why[300];
    json_t *asked;
    if (train_calibrate(values, &asked) != 0) return -1;
    json_t *object = train_request(values);
    struct schema_ensemble *plan = object ? resolve(values, dataset, object, why) : NULL;
    json_decref(object);
    if (!plan) return json_decref(asked), -1;
    const struct schema_options *options = &plan->families[0].training->options;
    if (!values[QUIET]) {
        train_report_data(plan->families[0].training, dataset);
        fprintf(stderr, "%s; --definition trains a network of your own\nseed %llu, %d threads, kernels %s\n", why, (unsigned long long)options->seed,
                (int)options->threads, bp_kernels_name());
    }
    json_t *spec = spec_of(plan);
    const struct ensemble_options how = {.spec = spec, .dataset = dataset, .threads = options->threads, .max_seconds = options->max_seconds};
    int failed = ensemble_open(&how, &e, &error);
    if (!failed) failed = train(e, values[QUIET] != NULL, &error);
    if (!failed) failed = save(e, dataset, asked, values[OUT] ? values[OUT] : "model.bpd", &error);
    if (error.message[0]) fprintf(stderr, "backpropd train: %s\n", error.message);
    ensemble_close(e);
    json_decref(asked);
    json_decref(spec);
    schema_ensemble_free(plan);
    return failed;
}
