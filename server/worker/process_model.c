/* process_model.c - what jobs that train nothing share: the model, the dataset, reports without a training. */
#include "server/worker/process.h"

#include "server/clock.h"
#include "server/jobs/wire.h"
#include "server/worker/heartbeat.h"
#include "server/worker/test_rows.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct schema_model *process_model(struct process *p, int fd, const char *calibration) {
    struct stat info;
    struct bp_error error = {0};
    struct schema_model *model = NULL;
    void *bytes = fstat(fd, &info) == 0 && info.st_size > 0 ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED) bp_error_io(&error, "cannot read the model: %s", strerror(errno));
    else model = schema_model_read(bytes, (size_t)info.st_size, &error);
    if (bytes != MAP_FAILED) munmap(bytes, (size_t)info.st_size);
    close(fd);
    if (model && schema_model_calibrate(model, json_object_get(json_object_get(p->order, "spec"), calibration), &error) != 0) {
        schema_model_free(model);
        model = NULL;
    }
    if (!model) process_fail_rows(p, &error);
    return model;
}

int process_open_dataset(struct process *p) {
    struct bp_error error = {0};
    heartbeat_phase(PULSE_LOADING);
    if (schema_dataset_open(WIRE_DATASET, json_integer_value(json_object_get(p->order, "bytes")), &p->dataset, &error) != 0)
        return process_fail_rows(p, &error);
    close(WIRE_DATASET);
    return 0;
}

json_t *process_rows_report(struct process *p, json_t *progress) {
    json_t *report = json_pack("{s:o, s:I, s:I, s:o}", "events", p->events, "resumed_from_epoch", (json_int_t)p->resumed_from, "training_ms",
                               (json_int_t)(1000 * process_seconds(p)), "trained", json_object());
    if (progress) json_object_set_new(report, "progress", progress);
    if (p->warned) json_object_set(report, "warnings", p->warnings);
    p->warned = false;
    p->events = json_array();
    p->resumed_from = -1;
    p->reported_ms = clock_ms();
    return report;
}

int process_fail_rows(struct process *p, const struct bp_error *error) {
    process_fail_error(p, error);
    return -1;
}

static bool stop(const void *context) {
    return process_commanded((void *)(uintptr_t)context);
}

int process_test(struct process *p, const bp_real *weights, json_t *document, json_t **report) {
    const struct test_rows test = {.asked = p->training,
                                   .trained = p->fit,
                                   .weights = weights,
                                   .dataset = p->dataset,
                                   .calibration = p->calibration,
                                   .stop = stop,
                                   .context = p};
    const json_t *dataset = json_object_get(p->order, "dataset");
    struct bp_error error = {0};
    *report = NULL;
    if (!schema_options_test(&p->training->options)) return 0;
    const enum pulse_phase phase = heartbeat_phase(PULSE_EVALUATING);
    *report = test_rows_evaluate(&test, document, &error);
    heartbeat_phase(phase);
    if (!*report && process_commanded(p)) return 0;
    if (!*report) return process_fail_error(p, &error), -1;
    json_object_set_new(*report, "dataset",
                        json_sprintf("%s@%lld", json_string_value(json_object_get(dataset, "name")),
                                     (long long)json_integer_value(json_object_get(dataset, "version"))));
    return 0;
}
