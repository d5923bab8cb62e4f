/* test_rows.c - see test_rows.h. */
#include "server/worker/test_rows.h"

#include "schema/evaluate/evaluate.h"

#include <stdio.h>

enum { BOOTSTRAP = 1000, POINTS = 200 };
#define WORK_MAX 3e8 /* numbers that it goes through: about half a minute of one core */

/* As many resamples as take no longer than that. */
static int32_t resamples(const struct schema_evaluation *evaluation, int64_t rows) {
    struct schema_evaluation once = *evaluation;
    once.bootstrap = 0;
    const double work = (double)schema_evaluation_work(&once) * (double)rows / (double)(once.dataset->rows > 0 ? once.dataset->rows : 1);
    const double most = work > 0 ? WORK_MAX / work : BOOTSTRAP;
    return most >= BOOTSTRAP ? BOOTSTRAP : (int32_t)most;
}

static void add_metrics(const json_t *report, json_t *document) {
    json_t *metrics = json_object_get(document, "metrics"), *metric;
    const char *name;
    char key[200];
    if (!json_is_object(metrics)) json_object_set_new(document, "metrics", metrics = json_object());
    json_object_foreach(json_object_get(report, "metrics"), name, metric) {
        json_t *value = json_object_get(metric, "value");
        snprintf(key, sizeof key, "test_%.190s", name);
        json_object_set(metrics, key, value ? value : json_null());
    }
}

json_t *test_rows_evaluate(const struct test_rows *t, json_t *document, struct bp_error *error) {
    struct schema_split split = {0};
    json_t *report = NULL;
    struct schema_model model = {.training = (struct schema_training *)(uintptr_t)t->trained, .weights = (bp_real *)(uintptr_t)t->weights};
    if (t->calibration && !(model.calibration = schema_calibration_decode(t->calibration, t->trained, error))) return NULL;
    struct schema_view *view = schema_view_new(t->trained->preprocessing, t->dataset, true, error);
    if (view && schema_training_test(t->asked, view, &split, error) == 0) {
        struct schema_evaluation evaluation = {.model = &model,
                                               .dataset = t->dataset,
                                               .points = POINTS,
                                               .rows = split.validation,
                                               .rows_count = split.validation_count,
                                               .lean = true,
                                               .stop = t->stop,
                                               .context = t->context};
        evaluation.bootstrap = resamples(&evaluation, split.validation_count);
        report = schema_evaluate(&evaluation, error);
        if (report) add_metrics(report, document);
        if (report) json_object_set_new(report, "bootstrap", json_integer(evaluation.bootstrap));
        if (report) json_object_set_new(report, "seed", json_integer(0));
        if (report) json_object_set_new(report, "object", json_string("evaluation"));
    }
    schema_calibration_free(model.calibration);
    schema_split_free(&split);
    schema_view_free(view);
    return report;
}
