/* process_evaluate.c - a job of the kind evaluate: a version on a dataset, perhaps beside another one. It computes in memory: what a break has cost
 * is computed again, with the same result. */
#include "server/worker/process.h"

#include "schema/evaluate/request.h"
#include "server/clock.h"
#include "server/jobs/wire.h"
#include "server/worker/heartbeat.h"

#include <string.h>

static bool stop(const void *context) {
    return process_commanded((void *)(uintptr_t)context);
}

static json_t *progress(const struct process *p, int64_t rows) {
    return json_pack("{s:I, s:I, s:I, s:f, s:n, s:n}", "rows", (json_int_t)rows, "rows_total", (json_int_t)p->dataset->rows, "failed_rows",
                     (json_int_t)0, "fraction", rows ? 1.0 : 0.0, "rows_per_second", "eta_seconds");
}

static int end_commanded(struct process *p) {
    const bool give_back = atomic_load(&p->command) == COMMAND_STOP;
    json_t *message = json_pack("{s:s, s:o}", "kind", give_back ? "yield" : "cancelled", "report", process_rows_report(p, NULL));
    process_say(message);
    json_decref(message);
    return 0;
}

/* The report with what it is of, as the answer of a request. */
static int finish(struct process *p, json_t *report) {
    const json_t *spec = json_object_get(p->order, "spec");
    json_t *json = json_deep_copy(json_object_get(spec, "head"));
    json_object_update(json, report);
    json_t *message =
        json_pack("{s:s, s:o, s:o}", "kind", "done", "evaluation", json, "report", process_rows_report(p, progress(p, p->dataset->rows)));
    process_say(message);
    json_decref(message);
    return 0;
}

static int evaluate(struct process *p, const struct schema_model *model, const struct schema_model *other) {
    static const char *const none[] = {NULL};
    struct schema_evaluate_request request;
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    heartbeat_phase(PULSE_EVALUATING);
    schema_evaluate_decode(json_object_get(json_object_get(p->order, "spec"), "evaluation"), none, p->dataset, &request, &problems);
    if (problems.total) {
        process_fail(p, "invalid", "%s", problems.items[0].detail);
        schema_problems_clear(&problems);
        return 1;
    }
    request.evaluation.lean = true;
    request.evaluation.model = model, request.evaluation.other = other;
    request.evaluation.stop = stop, request.evaluation.context = p;
    json_t *report = schema_evaluate(&request.evaluation, &error);
    if (process_commanded(p)) {
        json_decref(report);
        return end_commanded(p);
    }
    if (report && process_damaged(p, &error)) {
        json_decref(report);
        report = NULL;
    }
    if (!report) return process_fail_error(p, &error);
    const int status = finish(p, report);
    json_decref(report);
    return status;
}

int process_evaluate(struct process *p) {
    struct schema_model *model = NULL, *other = NULL;
    const bool compares = json_is_true(json_object_get(p->order, "compares"));
    if (process_confine(p) != 0 || process_open_dataset(p) != 0 || !(model = process_model(p, WIRE_INIT, "calibration")) ||
        (compares && !(other = process_model(p, WIRE_COMPARED, "compared_calibration"))))
        return 1;
    p->started = clock_seconds();
    if (process_listen(p) != 0) return 1;
    const int status = evaluate(p, model, other);
    schema_model_free(other);
    schema_model_free(model);
    return status;
}
