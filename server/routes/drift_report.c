/* drift_report.c - live rows beside those of the training, as JSON and for /metrics. */
#include "server/routes/drift_view.h"

#include "schema/predict/reference.h"
#include "server/drift_private.h"
#include "server/http/request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODERATE 0.1
#define MAJOR    0.25

/* What an index of k bins means. With few rows it is large by chance: then only one far beyond that says something. By chance it is about chi-squared
 * with k - 1 degrees of freedom times (1/n + 1/m): a standard deviation of chance sqrt(2 / (k - 1)). */
static const char *status_of(double index, double chance, int32_t bins, int64_t rows) {
    if (rows == 0) return "no_rows";
    if (chance < MODERATE / 2) return index >= MAJOR ? "major" : index >= MODERATE ? "moderate" : "stable";
    return index >= MAJOR && index > chance * (1 + 4 * sqrt(2.0 / (bins > 1 ? bins - 1 : 1))) ? "major" : "too_few_rows";
}

/* The bins of all items of a reference; -1: it is damaged. */
static int32_t bins_of(const json_t *reference) {
    static const char *const lists[] = {"features", "outputs"};
    double counts[SCHEMA_BINS_MAX];
    int32_t bins = 0;
    for (int l = 0; l < 2; l++) {
        const json_t *item;
        size_t i;
        json_array_foreach((json_t *)json_object_get(reference, lists[l]), i, item) {
            const int32_t n = schema_reference_counts(item, counts);
            if (n < 1) return -1;
            bins += n;
        }
    }
    return bins;
}

static json_t *counts_json(const double *counts, int32_t n) {
    json_t *list = json_array();
    for (int32_t k = 0; k < n; k++) json_array_append_new(list, json_integer((json_int_t)counts[k]));
    return list;
}

/* One feature or output: item of the reference, its live counts. Returns how many bins it has. */
static int32_t compare(const json_t *item, const uint64_t *sums, bool feature, json_t **json) {
    double reference[SCHEMA_BINS_MAX], live[SCHEMA_BINS_MAX], chance;
    static const char *const described[] = {"edges", "categories", "labels"};
    const int32_t n = schema_reference_counts(item, reference);
    int64_t rows = 0;
    for (int32_t k = 0; k < n; k++) live[k] = (double)sums[k], rows += (int64_t)sums[k];
    const double index = schema_stability_index(reference, live, n, &chance);
    *json = json_pack("{s:O, s:o, s:o, s:s, s:I}", feature ? "feature" : "output", json_object_get(item, "name"), "stability_index",
                      rows ? json_real(index) : json_null(), "expected_by_chance", rows && isfinite(chance) ? json_real(chance) : json_null(),
                      "status", status_of(index, chance, n, rows), "rows", (json_int_t)rows);
    for (size_t i = 0; i < sizeof described / sizeof *described; i++) {
        json_t *bins = json_object_get(item, described[i]);
        if (bins) json_object_set(*json, described[i], bins);
    }
    json_object_set_new(*json, "reference", counts_json(reference, n));
    json_object_set_new(*json, "live", counts_json(live, n));
    return n;
}

static int largest_first(const void *a, const void *b) {
    const double x = json_number_value(json_object_get(*(json_t *const *)a, "stability_index")),
                 y = json_number_value(json_object_get(*(json_t *const *)b, "stability_index"));
    return (x < y) - (x > y);
}

/* The items of a list compared, the largest index first. Returns the bins gone through. */
static int32_t compare_all(const json_t *list, const uint64_t *sums, bool feature, json_t *into) {
    const size_t n = json_array_size(list);
    json_t **items = calloc(n + 1, sizeof *items);
    int32_t at = 0;
    for (size_t i = 0; items && i < n; i++) at += compare(json_array_get(list, i), sums + at, feature, &items[i]);
    if (items) qsort(items, n, sizeof *items, largest_first);
    for (size_t i = 0; items && i < n; i++) json_array_append_new(into, items[i]);
    free(items);
    return at;
}

static int64_t begin_of(enum drift_window window, int64_t now) {
    return window == DRIFT_HOUR  ? now / 3600 * 3600
           : window == DRIFT_DAY ? (now / 3600 - DRIFT_HOURS + 1) * 3600
                                 : (now / 86400 - DRIFT_DAYS + 1) * 86400;
}

static json_t *window_json(struct drift *d, struct counted *c, enum drift_window window, const json_t *reference, int32_t bins) {
    const int64_t now = drift_now();
    uint64_t *sums = calloc((size_t)bins + 1, sizeof *sums);
    json_t *features = json_array(), *outputs = json_array();
    int64_t rows = 0;
    if (c && sums) {
        pthread_mutex_lock(&d->lock);
        if (c->bins == bins) rows = drift_counts_sum(c->counts, window, now, sums);
        pthread_mutex_unlock(&d->lock);
    }
    if (sums)
        compare_all(json_object_get(reference, "outputs"), sums + compare_all(json_object_get(reference, "features"), sums, true, features), false,
                    outputs);
    free(sums);
    const json_t *worst = NULL, *item;
    size_t i;
    json_array_foreach(features, i, item) {
        const char *status = json_string_value(json_object_get(item, "status"));
        if (!worst && strcmp(status, "no_rows") != 0) worst = item;
    }
    return json_pack("{s:s, s:o, s:o, s:I, s:O?, s:O?, s:o, s:o}", "window", drift_window_names[window], "from",
                     time_json(begin_of(window, now) * 1000), "to", time_json(now * 1000), "rows", (json_int_t)rows, "status",
                     worst ? json_object_get(worst, "status") : NULL, "worst_feature", worst ? json_object_get(worst, "feature") : NULL, "features",
                     features, "outputs", outputs);
}

/* The counters of a version, with what the store has. */
static struct counted *counted_of(struct drift *d, const char *model, int64_t version, int32_t bins) {
    struct counted *c = drift_take(d, model, version, bins);
    if (c) drift_recall(d, c);
    return c;
}

json_t *drift_report(struct drift *d, const char *model, int64_t version, const json_t *document) {
    const json_t *reference = json_object_get(document, "reference");
    const int32_t bins = json_is_object(reference) ? bins_of(reference) : -1;
    json_t *windows = json_array(), *json = json_pack("{s:o, s:o}", "reference_rows",
                                                      bins < 0 ? json_null() : json_incref(json_object_get(reference, "rows")), "windows", windows);
    if (bins < 0 || !d) {
        json_object_set_new(
            json, "message",
            json_string(!d ? "the server does not count what is predicted: the setting drift is false"
                           : "this version has no reference: it was trained before there were any, or comes from another program. Train it "
                             "again to compare its predictions with its training rows"));
        return json;
    }
    struct counted *c = counted_of(d, model, version, bins);
    for (int w = 0; w < DRIFT_WINDOWS; w++) json_array_append_new(windows, window_json(d, c, (enum drift_window)w, reference, bins));
    drift_give(d, c);
    json_object_set_new(json, "message", json_null());
    return json;
}

json_t *drift_summary(struct drift *d, const char *model, int64_t version, const json_t *document) {
    const json_t *reference = json_object_get(document, "reference");
    const int32_t bins = json_is_object(reference) ? bins_of(reference) : -1;
    if (bins < 0 || !d) return json_null();
    struct counted *c = counted_of(d, model, version, bins);
    json_t *window = window_json(d, c, DRIFT_DAY, reference, bins), *json = json_null();
    drift_give(d, c);
    const json_t *worst = json_array_get(json_object_get(window, "features"), 0);
    if (worst && json_integer_value(json_object_get(window, "rows")) > 0)
        json = json_pack("{s:I, s:s, s:O, s:O, s:{s:O, s:O}}", "version", (json_int_t)version, "window", drift_window_names[DRIFT_DAY], "rows",
                         json_object_get(window, "rows"), "status", json_object_get(worst, "status"), "worst", "feature",
                         json_object_get(worst, "feature"), "stability_index", json_object_get(worst, "stability_index"));
    json_decref(window);
    return json;
}

/* The reference of a version's document, read once. NULL: it has none. */
static json_t *reference_of(struct drift *d, struct counted *c) {
    struct store_version v = {0};
    struct bp_error ignored = {0};
    pthread_mutex_lock(&d->lock);
    json_t *reference = json_incref(c->reference);
    pthread_mutex_unlock(&d->lock);
    if (reference || store_version_get(d->store, c->model, c->version, &v, &ignored) != STORE_OK) return reference;
    json_t *document = document_json(v.document);
    store_version_free(&v);
    reference = json_incref(json_object_get(document, "reference"));
    json_decref(document);
    pthread_mutex_lock(&d->lock);
    if (!c->reference) c->reference = json_incref(reference);
    pthread_mutex_unlock(&d->lock);
    return reference;
}

int drift_indices(struct drift *d, const char *model, int64_t version, struct drift_index *indices, int most) {
    struct counted *c = counted_of(d, model, version, 0);
    json_t *reference = c ? reference_of(d, c) : NULL, *item;
    int count = 0;
    size_t i;
    if (reference && bins_of(reference) == c->bins) {
        json_t *window = window_json(d, c, DRIFT_DAY, reference, c->bins);
        json_array_foreach(json_object_get(window, "features"), i, item) {
            if (count == most || !json_is_number(json_object_get(item, "stability_index"))) break;
            snprintf(indices[count].feature, sizeof indices->feature, "%s", json_string_value(json_object_get(item, "feature")));
            indices[count++].index = json_number_value(json_object_get(item, "stability_index"));
        }
        json_decref(window);
    }
    json_decref(reference);
    drift_give(d, c);
    return count;
}
