/* slices.c - where a model fails: loss and metrics of the rows that share a category, a quarter of the range of a number, or a missing value. */
#include "schema/evaluate/part.h"
#include "schema/quantile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CATEGORIES_MAX = 20, QUARTERS = 4, MISSING = -1 };

/* Which slice each row belongs to. */
struct slicing {
    int32_t *slice; /* (n) 0 and up, MISSING */
    int32_t count;
    double edges[QUARTERS + 1]; /* of numbers */
    int32_t codes[CATEGORIES_MAX + 1];
    bool others; /* the last one: all further categories */
};

static int slice_numbers(const struct schema_evaluation *e, const struct schema_parts *parts, int32_t column, struct slicing *s) {
    double *values = malloc(((size_t)parts->n + 1) * sizeof *values), *sorted = malloc(((size_t)parts->n + 1) * sizeof *sorted);
    int64_t n = 0;
    if (!values || !sorted) {
        free(values);
        free(sorted);
        return -1;
    }
    schema_dataset_gather(e->dataset, column, parts->rows, parts->n, values);
    for (int64_t i = 0; i < parts->n; i++)
        if (!isnan(values[i])) sorted[n++] = values[i];
    qsort(sorted, (size_t)n, sizeof *sorted, schema_compare_numbers);
    for (int q = 0; n > 0 && q <= QUARTERS; q++) { /* equal edges make one slice fewer */
        const double edge = sorted[q == QUARTERS ? n - 1 : q * n / QUARTERS];
        if (q == 0 || edge > s->edges[s->count]) s->edges[q == 0 ? 0 : ++s->count] = edge;
    }
    if (n > 0 && s->count == 0) s->edges[s->count = 1] = s->edges[0];
    for (int64_t i = 0; i < parts->n; i++) {
        s->slice[i] = isnan(values[i]) ? MISSING : 0;
        while (s->slice[i] >= 0 && s->slice[i] + 1 < s->count && values[i] >= s->edges[s->slice[i] + 1]) s->slice[i]++;
    }
    free(values);
    free(sorted);
    return 0;
}

static int slice_categories(const struct schema_evaluation *e, const struct schema_parts *parts, int32_t column, struct slicing *s) {
    const int32_t categories = e->dataset->columns[column].categories_count;
    int64_t *counts = calloc((size_t)categories + 1, sizeof *counts);
    int32_t *slice_of = malloc(((size_t)categories + 1) * sizeof *slice_of);
    if (!counts || !slice_of) {
        free(counts);
        free(slice_of);
        return -1;
    }
    schema_dataset_gather_codes(e->dataset, column, parts->rows, parts->n, s->slice);
    for (int64_t i = 0; i < parts->n; i++)
        if (s->slice[i] >= 0) counts[s->slice[i]]++;
    for (int32_t c = 0; c < categories; c++) slice_of[c] = -1;
    while (s->count < CATEGORIES_MAX) { /* the most frequent ones */
        int32_t best = -1;
        for (int32_t c = 0; c < categories; c++)
            if (slice_of[c] < 0 && counts[c] > 0 && (best < 0 || counts[c] > counts[best])) best = c;
        if (best < 0) break;
        s->codes[s->count] = best;
        slice_of[best] = s->count++;
    }
    for (int64_t i = 0; i < parts->n; i++) {
        if (s->slice[i] < 0) s->slice[i] = MISSING;
        else if (slice_of[s->slice[i]] >= 0) s->slice[i] = slice_of[s->slice[i]];
        else s->slice[i] = s->count, s->others = true;
    }
    s->count += s->others;
    free(counts);
    free(slice_of);
    return 0;
}

static json_t *describe(const struct schema_evaluation *e, int32_t column, const struct slicing *s, int32_t slice) {
    const struct schema_column *c = &e->dataset->columns[column];
    json_t *json = json_pack("{s:s}", "column", c->name);
    if (slice == MISSING) json_object_set_new(json, "missing", json_true());
    else if (schema_type_of(c->type)->storage != SCHEMA_HELD_AS_CODE)
        json_object_set_new(json, "range", json_pack("[f, f]", s->edges[slice], s->edges[slice + 1]));
    else if (s->others && slice == s->count - 1) json_object_set_new(json, "others", json_true());
    else json_object_set_new(json, "value", json_string(c->categories[s->codes[slice]].value));
    return json;
}

/* The mean loss of the slice's rows and its standard error, and the metrics. */
static int measure(const struct schema_parts *parts, const int32_t *times, int64_t rows, json_t *json) {
    const double loss = schema_parts_loss(parts, times), whole = schema_parts_loss(parts, NULL);
    double squares = 0;
    json_t *metrics = json_object();
    for (int64_t i = 0; i < parts->n; i++)
        if (times[i]) squares += (parts->losses[i] - loss) * (parts->losses[i] - loss);
    json_object_set_new(json, "rows", json_integer(rows));
    json_object_set_new(json, "loss", schema_number_json(loss));
    json_object_set_new(json, "loss_difference", schema_number_json(loss - whole));
    json_object_set_new(json, "loss_standard_error", rows > 1 ? schema_number_json(sqrt(squares / (double)(rows - 1) / (double)rows)) : json_null());
    json_object_set_new(json, "metrics", metrics);
    for (int32_t k = 0; k < parts->count; k++) {
        struct schema_part_metric all[SCHEMA_PART_METRICS_MAX];
        double values[SCHEMA_PART_METRICS_MAX];
        const int32_t count = schema_part_metrics(&parts->parts[k], all);
        if (schema_part_measure(parts, &parts->parts[k], all, count, times, values) != 0) return -1;
        for (int32_t i = 0; i < count; i++) {
            char name[300];
            schema_metric_name(parts, &parts->parts[k], all[i].ops, name, sizeof name);
            json_object_set_new(metrics, name, schema_number_json(values[i]));
        }
    }
    return 0;
}

static int add_column(const struct schema_evaluation *e, const struct schema_parts *parts, int32_t column, json_t *slices) {
    struct slicing s = {.slice = malloc(((size_t)parts->n + 1) * sizeof *s.slice)};
    int32_t *times = malloc(((size_t)parts->n + 1) * sizeof *times);
    int failed = s.slice && times ? 0 : -1;
    const bool codes = schema_type_of(e->dataset->columns[column].type)->storage == SCHEMA_HELD_AS_CODE;
    if (!failed) failed = codes ? slice_categories(e, parts, column, &s) : slice_numbers(e, parts, column, &s);
    for (int32_t slice = MISSING; slice < s.count && !failed; slice++) {
        int64_t rows = 0;
        for (int64_t i = 0; i < parts->n; i++) rows += times[i] = s.slice[i] == slice;
        if (rows == 0) continue;
        json_t *json = describe(e, column, &s, slice);
        failed = measure(parts, times, rows, json);
        json_array_append_new(slices, json);
    }
    free(s.slice);
    free(times);
    return failed;
}

json_t *schema_slices_json(const struct schema_evaluation *e, const struct schema_parts *parts) {
    json_t *slices = json_array();
    for (int32_t i = 0; i < e->slices_count; i++) {
        if ((!e->stop || !e->stop(e->context)) && add_column(e, parts, e->slices[i], slices) == 0) continue;
        json_decref(slices);
        return NULL;
    }
    return schema_sorted_json(slices, "loss");
}
