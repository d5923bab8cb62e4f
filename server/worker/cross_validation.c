/* cross_validation.c - see cross_validation.h. */
#include "server/worker/cross_validation.h"

#include "server/worker/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void cross_validation_begin(struct cross_validation *cv, int32_t folds) {
    json_decref(cv->finished);
    *cv = (struct cross_validation){.folds = folds, .fold = folds ? 1 : 0, .finished = json_array()};
}

json_t *cross_validation_notes(const struct cross_validation *cv) {
    return json_pack("{s:i, s:O, s:I, s:I, s:I}", "fold", cv->fold, "finished", cv->finished, "epochs", (json_int_t)cv->epochs, "samples",
                     (json_int_t)cv->samples, "steps", (json_int_t)cv->steps);
}

int cross_validation_recall(struct cross_validation *cv, const json_t *notes) {
    const json_t *finished = json_object_get(notes, "finished");
    const int32_t fold = (int32_t)json_integer_value(json_object_get(notes, "fold"));
    const size_t before = fold == 0 ? (size_t)cv->folds : (size_t)fold - 1;
    if (!json_is_array(finished) || fold < 0 || fold > cv->folds || json_array_size(finished) != before) return -1;
    cv->fold = fold;
    json_decref(cv->finished);
    cv->finished = json_deep_copy(finished);
    cv->epochs = json_integer_value(json_object_get(notes, "epochs"));
    cv->samples = json_integer_value(json_object_get(notes, "samples"));
    cv->steps = json_integer_value(json_object_get(notes, "steps"));
    return 0;
}

void cross_validation_add(struct cross_validation *cv, json_t *entry) {
    json_array_append_new(cv->finished, entry);
}

void cross_validation_next(struct cross_validation *cv, int64_t samples, int64_t steps) {
    const json_t *last = json_array_get(cv->finished, json_array_size(cv->finished) - 1);
    cv->epochs += json_integer_value(json_object_get(last, "epochs"));
    cv->samples += samples;
    cv->steps += steps;
    cv->fold = cv->fold < cv->folds ? cv->fold + 1 : 0;
}

int32_t cross_validation_left(const struct cross_validation *cv) {
    return cv->fold ? cv->folds - cv->fold + 1 : 0;
}

int64_t cross_validation_last_epochs(const struct cross_validation *cv) {
    size_t i;
    json_t *entry;
    int64_t sum = 0;
    json_array_foreach(cv->finished, i, entry) sum += json_integer_value(json_object_get(entry, "epoch"));
    const int64_t mean = cv->folds ? (2 * sum + cv->folds) / (2 * cv->folds) : 0;
    return mean < 1 ? 1 : mean;
}

bool cross_validation_is_cut(const struct cross_validation *cv) {
    size_t i;
    json_t *entry;
    bool cut = false;
    json_array_foreach(cv->finished, i, entry) {
        const char *reason = json_string_value(json_object_get(entry, "stop_reason"));
        cut = cut || (reason && strcmp(reason, "max_seconds") == 0);
    }
    return cut;
}

/* Mean and sample standard deviation of a metric over the folds, in their order; NaN when it is undefined in one of them. */
static void over_folds(const struct cross_validation *cv, const char *name, double *mean, double *std) {
    const double n = (double)json_array_size(cv->finished);
    double sum = 0, squares = 0;
    size_t i;
    json_t *entry;
    bool defined = true;
    json_array_foreach(cv->finished, i, entry) {
        const json_t *value = json_object_get(json_object_get(entry, "metrics"), name);
        defined = defined && json_is_number(value);
        sum += json_number_value(value);
    }
    *mean = defined ? sum / n : (double)NAN;
    json_array_foreach(cv->finished, i, entry) {
        const double d = json_number_value(json_object_get(json_object_get(entry, "metrics"), name)) - *mean;
        squares += d * d;
    }
    *std = sqrt(squares / (n - 1));
}

json_t *cross_validation_json(const struct cross_validation *cv) {
    json_t *json = json_pack("{s:o, s:n, s:n}", "folds", json_deep_copy(cv->finished), "mean", "std");
    if (json_array_size(cv->finished) < (size_t)cv->folds) return json;
    json_t *means = json_object(), *stds = json_object(), *value;
    const char *name;
    json_object_foreach(json_object_get(json_array_get(cv->finished, 0), "metrics"), name, value) {
        double mean, std;
        if (strcmp(name, "learning_rate") == 0) continue; /* reported with the metrics, but not a metric */
        over_folds(cv, name, &mean, &std);
        json_object_set_new(means, name, run_number(mean));
        json_object_set_new(stds, name, run_number(std));
    }
    json_object_set_new(json, "mean", means);
    json_object_set_new(json, "std", stds);
    return json;
}

json_t *cross_validation_metrics(const struct cross_validation *cv) {
    json_t *all = cross_validation_json(cv), *metrics = json_object(), *value;
    const char *name;
    json_object_foreach(json_object_get(all, "mean"), name, value) {
        char longer[BP_NAME_MAX + 32];
        if (strncmp(name, "val_", 4) != 0) continue;
        snprintf(longer, sizeof longer, "cross_validated_%s", name + 4);
        json_object_set(metrics, longer, value);
    }
    json_decref(all);
    return metrics;
}
