/* measure.c - metrics of parts over rows and over resampled rows, and the comparison of two models by the same resamples. */
#include "engine/base/random.h"
#include "schema/evaluate/part.h"
#include "schema/quantile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

/* ---- a metric ----------------------------------------------------------------------------------------------------------------------------- */

static unsigned kind_of(const struct schema_part *part) {
    return part->kind == SCHEMA_PART_NUMBER   ? BP_METRIC_REGRESSION
           : part->kind == SCHEMA_PART_LABELS ? BP_METRIC_MULTILABEL
                                              : BP_METRIC_CLASSIFICATION;
}

int32_t schema_part_metrics(const struct schema_part *part, struct schema_part_metric metrics[static SCHEMA_PART_METRICS_MAX]) {
    int32_t count = 0;
    for (int32_t i = 0; i < bp_metrics.count && count < SCHEMA_PART_METRICS_MAX; i++) {
        const struct bp_metric_ops *ops = (const struct bp_metric_ops *)bp_metrics.entries[i];
        struct schema_part_metric *metric = &metrics[count];
        struct bp_value values[BP_VALUES_MAX];
        if (!(ops->kinds & kind_of(part)) || (ops->probabilities && part->task.scores)) continue;
        *metric = (struct schema_part_metric){.ops = ops};
        bp_values_preset(&ops->entry, values);
        for (int32_t k = 0; k < ops->entry.params_count; k++) metric->numbers[k] = values[k].number;
        int32_t own = -1; /* the model's parameters, if it has this metric */
        for (int32_t k = 0; k < part->task.metrics_count; k++)
            if (part->task.metrics[k] == ops) own = k;
        if (own >= 0) memcpy(metric->numbers, part->task.metric_numbers[own], sizeof metric->numbers);
        /* the best k of fewer classes are all of them */
        if (own < 0 && strcmp(ops->entry.name, "top_k_accuracy") == 0 && part->classes <= metric->numbers[0]) continue;
        count++;
    }
    return count;
}

/* The samples of rows that count, side by side, as a metric takes them. */
struct samples {
    int64_t n;
    bp_real *predictions, *y, *weights;
};

static void samples_free(struct samples *s) {
    free(s->predictions);
    free(s->y);
    free(s->weights);
}

/* A number as metrics compare it: in metric units. */
static bp_real compared(const struct schema_part *part, int64_t j, bp_real v, bool predicted) {
    return part->task.measured ? (bp_real)part->task.measured(part->task.measured_by, part->number + (int32_t)j, (double)v, predicted) : v;
}

static int samples_gather(const struct schema_parts *parts, const struct schema_part *part, const int32_t *times, struct samples *s) {
    const int64_t all = parts->n * part->per, width = part->width, y_width = schema_part_y_width(part);
    const bool number = part->kind == SCHEMA_PART_NUMBER;
    *s = (struct samples){.predictions = malloc(((size_t)(all * width) + 1) * sizeof(bp_real)),
                          .y = malloc(((size_t)(all * y_width) + 1) * sizeof(bp_real)),
                          .weights = malloc(((size_t)all + 1) * sizeof(bp_real))};
    if (!s->predictions || !s->y || !s->weights) {
        samples_free(s);
        return -1;
    }
    for (int64_t i = 0; i < all; i++) {
        const double weight = schema_part_weight(parts, part, i) * (times ? times[i / part->per] : 1);
        if (weight == 0) continue;
        for (int64_t j = 0; j < width; j++) {
            const bp_real p = part->predictions[i * width + j];
            s->predictions[s->n * width + j] = number ? compared(part, j, p, true) : p;
        }
        for (int64_t j = 0; j < y_width; j++) {
            const bp_real y = part->y[i * y_width + j];
            s->y[s->n * y_width + j] = number ? compared(part, j, y, false) : y;
        }
        s->weights[s->n++] = (bp_real)weight;
    }
    return 0;
}

static double measure(const struct schema_part *part, const struct schema_part_metric *metric, const struct samples *s, double *state) {
    const struct bp_task *task = &part->task;
    struct bp_metric_call call = {.width = part->width,
                                  .classes = part->classes,
                                  .scores = task->scores,
                                  .threshold = part->threshold,
                                  .thresholds = part->kind == SCHEMA_PART_LABELS ? task->thresholds : NULL,
                                  .unit = task->units ? task->units[part->number] : task->unit,
                                  .origin = task->origins ? task->origins[part->number] : task->origin,
                                  .units = task->units && part->width > 1 ? task->units + part->number : NULL,
                                  .origins = task->origins && part->width > 1 ? task->origins + part->number : NULL,
                                  .numbers = metric->numbers,
                                  .samples = s->n};
    const int64_t y_width = schema_part_y_width(part);
    memset(state, 0, ((size_t)metric->ops->state_size(call.classes, call.width, s->n) + 1) * sizeof *state);
    for (int64_t first = 0; first < s->n; first += BLOCK) {
        call.batch = (int32_t)(s->n - first < BLOCK ? s->n - first : BLOCK);
        call.predictions = s->predictions + first * part->width;
        call.y = s->y + first * y_width;
        call.weights = s->weights + first;
        metric->ops->update(state, &call);
    }
    return s->n > 0 ? metric->ops->result(state, call.classes, call.width) : (double)NAN;
}

int schema_part_measure(const struct schema_parts *parts, const struct schema_part *part, const struct schema_part_metric *metrics, int32_t count,
                        const int32_t *times, double *values) {
    struct samples s;
    int64_t most = 0;
    if (samples_gather(parts, part, times, &s) != 0) return -1;
    for (int32_t i = 0; i < count; i++) {
        const int64_t size = metrics[i].ops->state_size(part->classes, part->width, s.n);
        if (size > most) most = size;
    }
    double *state = malloc(((size_t)most + 1) * sizeof *state);
    for (int32_t i = 0; state && i < count; i++) values[i] = measure(part, &metrics[i], &s, state);
    free(state);
    samples_free(&s);
    return state ? 0 : -1;
}

double schema_parts_loss(const struct schema_parts *parts, const int32_t *times) {
    double sum = 0, weight = 0;
    for (int64_t i = 0; i < parts->n; i++) {
        const double one = (parts->weights ? parts->weights[i] : 1) * (times ? times[i] : 1);
        if (one == 0) continue;
        sum += one * parts->losses[i];
        weight += one;
    }
    return sum / weight;
}

/* ---- all metrics of all parts -------------------------------------------------------------------------------------------------------------- */

/* The loss, then each part's metrics. */
struct table {
    int32_t count;
    struct schema_part_metric (*metrics)[SCHEMA_PART_METRICS_MAX]; /* [parts] */
    int32_t *counts;                                               /* [parts] */
};

static void table_close(struct table *table) {
    free(table->metrics);
    free(table->counts);
}

static int table_open(const struct schema_parts *parts, struct table *table) {
    *table = (struct table){.count = 1,
                            .metrics = malloc(((size_t)parts->count + 1) * sizeof *table->metrics),
                            .counts = malloc(((size_t)parts->count + 1) * sizeof *table->counts)};
    if (!table->metrics || !table->counts) {
        table_close(table);
        return -1;
    }
    for (int32_t i = 0; i < parts->count; i++) table->count += table->counts[i] = schema_part_metrics(&parts->parts[i], table->metrics[i]);
    return 0;
}

static int table_fill(const struct table *table, const struct schema_parts *parts, const int32_t *times, double *values) {
    *values++ = schema_parts_loss(parts, times);
    for (int32_t i = 0; i < parts->count; values += table->counts[i++])
        if (schema_part_measure(parts, &parts->parts[i], table->metrics[i], table->counts[i], times, values) != 0) return -1;
    return 0;
}

static const struct bp_metric_ops *table_at(const struct table *table, const struct schema_parts *parts, int32_t at,
                                            const struct schema_part **part) {
    for (int32_t i = 0; i < parts->count; at -= table->counts[i++])
        if (at < table->counts[i]) {
            *part = &parts->parts[i];
            return table->metrics[i][at].ops;
        }
    return NULL;
}

void schema_metric_name(const struct schema_parts *parts, const struct schema_part *part, const struct bp_metric_ops *ops, char *name, size_t size) {
    if (parts->count == 1) snprintf(name, size, "%s", ops->entry.name);
    else snprintf(name, size, "%s_%s", part->name, ops->entry.name);
}

static void name_of(const struct table *table, const struct schema_parts *parts, int32_t at, char name[static 300]) {
    const struct schema_part *part = NULL;
    if (at == 0) {
        snprintf(name, 300, "loss");
        return;
    }
    const struct bp_metric_ops *ops = table_at(table, parts, at - 1, &part);
    schema_metric_name(parts, part, ops, name, 300);
}

int schema_parts_metric(const struct schema_parts *parts, const char *name, double *value, bool *higher, struct bp_error *error) {
    *higher = false;
    if (strcmp(name, "loss") == 0) {
        *value = schema_parts_loss(parts, NULL);
        return 0;
    }
    for (int32_t k = 0; k < parts->count; k++) {
        struct schema_part_metric metrics[SCHEMA_PART_METRICS_MAX];
        const int32_t count = schema_part_metrics(&parts->parts[k], metrics);
        for (int32_t i = 0; i < count; i++) {
            char full[300];
            schema_metric_name(parts, &parts->parts[k], metrics[i].ops, full, sizeof full);
            if (strcmp(full, name) != 0) continue;
            *higher = metrics[i].ops->higher_is_better;
            if (schema_part_measure(parts, &parts->parts[k], &metrics[i], 1, NULL, value) == 0) return 0;
            return bp_error_memory(error, "no memory to evaluate %lld rows", (long long)parts->n);
        }
    }
    return bp_error_set(error, "/metric", "the model has no metric \"%.60s\"", name);
}

/* ---- resamples -------------------------------------------------------------------------------------------------------------------------------- */

void schema_parts_draw(uint64_t seed, int32_t b, int64_t n, int32_t *times) {
    struct bp_random random = bp_random_open(seed, BP_STREAM_BOOTSTRAP, (uint32_t)b);
    memset(times, 0, (size_t)n * sizeof *times);
    for (int64_t i = 0; i < n; i++) times[bp_random_below(&random, (uint64_t)n)]++;
}

/* values: (resamples, count), of `parts`, or their differences from those of `other`. -1: stopped or no memory. */
static int resample(const struct schema_evaluation *e, const struct table *table, const struct schema_parts *parts, const struct schema_parts *other,
                    double *values) {
    int32_t *times = malloc(((size_t)parts->n + 1) * sizeof *times);
    double *theirs = malloc((size_t)table->count * sizeof *theirs);
    int failed = times && theirs ? 0 : -1;
    for (int32_t b = 0; b < e->bootstrap && !failed; b++) {
        double *row = values + (int64_t)b * table->count;
        if (e->stop && e->stop(e->context)) failed = -1;
        schema_parts_draw(e->seed, b, parts->n, times);
        if (!failed) failed = table_fill(table, parts, times, row);
        if (!failed && other) failed = table_fill(table, other, times, theirs);
        for (int32_t i = 0; other && !failed && i < table->count; i++) row[i] -= theirs[i];
    }
    free(times);
    free(theirs);
    return failed;
}

/* The resamples of one metric that are defined, ascending. Returns how many. */
static int64_t column(const double *values, int32_t resamples, int32_t count, int32_t at, double *out) {
    int64_t n = 0;
    for (int32_t b = 0; b < resamples; b++)
        if (!isnan(values[(int64_t)b * count + at])) out[n++] = values[(int64_t)b * count + at];
    qsort(out, (size_t)n, sizeof *out, schema_compare_numbers);
    return n;
}

static void add_interval(json_t *json, const double *sorted, int64_t n) {
    json_object_set_new(json, "low", n > 0 ? schema_number_json(schema_quantile(sorted, n, 0.025)) : json_null());
    json_object_set_new(json, "high", n > 0 ? schema_number_json(schema_quantile(sorted, n, 0.975)) : json_null());
}

json_t *schema_metrics_json(const struct schema_evaluation *e, const struct schema_parts *parts) {
    struct table table;
    if (table_open(parts, &table) != 0) return NULL;
    const int32_t count = table.count;
    double *values = malloc((size_t)count * sizeof *values), *resamples = malloc(((size_t)count * (size_t)e->bootstrap + 1) * sizeof *resamples);
    double *sorted = malloc(((size_t)e->bootstrap + 1) * sizeof *sorted);
    json_t *json = NULL;
    if (values && resamples && sorted && table_fill(&table, parts, NULL, values) == 0 && resample(e, &table, parts, NULL, resamples) == 0) {
        json = json_object();
        for (int32_t i = 0; i < count; i++) {
            char name[300];
            json_t *metric = json_pack("{s:o}", "value", schema_number_json(values[i]));
            if (e->bootstrap) add_interval(metric, sorted, column(resamples, e->bootstrap, count, i, sorted));
            name_of(&table, parts, i, name);
            json_object_set_new(json, name, metric);
        }
    }
    free(values);
    free(resamples);
    free(sorted);
    table_close(&table);
    return json;
}

/* ---- a comparison ------------------------------------------------------------------------------------------------------------------------------ */

/* McNemar's exact test (1947): the probability of a split at least as uneven as b : c of b + c fair throws. */
static double mcnemar(int64_t b, int64_t c) {
    const int64_t n = b + c, few = b < c ? b : c;
    double sum = 0;
    for (int64_t i = 0; i <= few; i++) sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) - (double)n * log(2));
    return sum * 2 < 1 ? sum * 2 : 1;
}

static json_t *mcnemar_json(const struct schema_parts *parts, int32_t k, const struct schema_parts *other) {
    const struct schema_part *a = &parts->parts[k], *z = &other->parts[k];
    int64_t counts[2][2] = {{0, 0}, {0, 0}}; /* [this is right][the other is right] */
    for (int64_t i = 0; i < parts->n * a->per; i++) {
        if (!a->counts[i]) continue;
        const int32_t y = (int32_t)a->y[i];
        counts[schema_part_predicted(a, i) == y][schema_part_predicted(z, i) == y]++;
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "target", a->name, "both_right", (json_int_t)counts[1][1], "only_this_right",
                     (json_int_t)counts[1][0], "only_other_right", (json_int_t)counts[0][1], "both_wrong", (json_int_t)counts[0][0], "p_value",
                     mcnemar(counts[1][0], counts[0][1]));
}

/* Twice the share of resamples on the other side of 0, each side counted with one more (Davison, Hinkley 1997, 4.2). */
static double p_value(const double *sorted, int64_t n) {
    int64_t below = 1, above = 1;
    for (int64_t i = 0; i < n; i++) {
        below += sorted[i] <= 0;
        above += sorted[i] >= 0;
    }
    const double p = 2.0 * (double)(below < above ? below : above) / (double)(n + 1);
    return p < 1 ? p : 1;
}

json_t *schema_comparison_json(const struct schema_evaluation *e, const struct schema_parts *parts, const struct schema_parts *other) {
    struct table table;
    if (table_open(parts, &table) != 0) return NULL;
    const int32_t count = table.count;
    double *mine = malloc((size_t)count * sizeof *mine), *theirs = malloc((size_t)count * sizeof *theirs);
    double *resamples = malloc(((size_t)count * (size_t)e->bootstrap + 1) * sizeof *resamples);
    double *sorted = malloc(((size_t)e->bootstrap + 1) * sizeof *sorted);
    json_t *json = NULL;
    if (mine && theirs && resamples && sorted && table_fill(&table, parts, NULL, mine) == 0 && table_fill(&table, other, NULL, theirs) == 0 &&
        resample(e, &table, parts, other, resamples) == 0) {
        json_t *metrics = json_object(), *tests = json_array();
        for (int32_t i = 0; i < count; i++) {
            char name[300];
            json_t *metric = json_pack("{s:o, s:o, s:o}", "value", schema_number_json(mine[i]), "other", schema_number_json(theirs[i]), "difference",
                                       schema_number_json(mine[i] - theirs[i]));
            if (e->bootstrap) {
                const int64_t n = column(resamples, e->bootstrap, count, i, sorted);
                add_interval(metric, sorted, n);
                json_object_set_new(metric, "p_value", n > 0 ? json_real(p_value(sorted, n)) : json_null());
            }
            name_of(&table, parts, i, name);
            json_object_set_new(metrics, name, metric);
        }
        for (int32_t k = 0; k < parts->count; k++)
            if (parts->parts[k].kind == SCHEMA_PART_CLASS || parts->parts[k].kind == SCHEMA_PART_LABEL)
                json_array_append_new(tests, mcnemar_json(parts, k, other));
        json = json_pack("{s:I, s:o, s:o}", "rows", (json_int_t)parts->n, "metrics", metrics, "mcnemar", tests);
    }
    free(mine);
    free(theirs);
    free(resamples);
    free(sorted);
    table_close(&table);
    return json;
}
