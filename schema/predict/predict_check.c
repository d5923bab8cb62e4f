/* predict_check.c - what a prediction must not pass over in silence: values that cannot be used, predictions that are not finite; and what is worth a
 * warning. */
#include "schema/predict/predictor.h"

#include "engine/kernels/kernels.h"
#include "schema/text/datetime.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- values that cannot be used ---------------------------------------------------------------------------------------------- */

static bool usable(float x, int32_t indices) {
    return indices ? x >= 0 && x < (float)indices && floorf(x) == x : isfinite(x);
}

/* Of a feature's numbers among a row's inputs the first that is not usable; false: all are. */
static bool first_unusable(const struct schema_predictor *p, int32_t i, float *const *inputs, int64_t *at) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    *at = 0;
    for (int32_t k = 0; k < f->places_count; k++) {
        const float *x = inputs[f->places[k].input] + f->places[k].offset;
        for (int32_t j = 0; j < f->places[k].width; j++, ++*at)
            if (!usable(x[j], p->indices[i])) return true;
    }
    return false;
}

int32_t schema_predictor_unusable(const struct schema_predictor *p, float *const *inputs, int64_t *at) {
    bool good = true;
    for (int32_t k = 0; k < p->preprocessing->inputs_count; k++)
        good = good && !p->indexed[k] && bp_kernels()->finite((size_t)p->input_sizes[k], inputs[k]);
    for (int32_t i = 0; !good && i < p->preprocessing->features_count; i++)
        if (first_unusable(p, i, inputs, at)) return i;
    return -1;
}

int32_t schema_predictor_unusable_of(const struct schema_predictor *p, const bool *held, float *const *inputs) {
    int64_t at;
    for (int32_t i = 0; i < p->preprocessing->features_count; i++)
        if (!held[i] && first_unusable(p, i, inputs, &at)) return i;
    return -1;
}

const char *schema_predictor_why(const struct schema_predictor *p, int32_t i, double value, char text[static 300]) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    if (p->indices[i])
        snprintf(text, 300, "column \"%.60s\" holds %.9g, but an embedding reads it and accepts integers from 0 to %d", f->name, value,
                 p->indices[i] - 1);
    else snprintf(text, 300, "column \"%.60s\" holds %.9g, which is too far from the training rows for float32; correct the value", f->name, value);
    return text;
}

void schema_predictor_refuse(const struct schema_predictor *p, int32_t i, const char *pointer, struct schema_problems *problems) {
    const struct schema_feature_value *cell = &p->cells[i];
    float *at[BP_INPUTS_MAX];
    char why[300];
    int64_t where = 0;
    for (int32_t k = 0; k < p->preprocessing->inputs_count; k++) at[k] = bp_workspace_input(p->workspace, k) + p->filled * p->input_sizes[k];
    schema_predictor_unusable(p, at, &where); /* the row is there still */
    const double value = cell->kind == SCHEMA_VALUE_TENSOR ? (double)cell->tensor[where] : cell->kind == SCHEMA_VALUE_NUMBER ? cell->number : 0;
    schema_problem_add(problems, pointer, "%s", schema_predictor_why(p, i, value, why));
}

const char *schema_predictor_refused(const struct schema_predictor *p, int32_t i, const char *value, size_t size, char text[static 400]) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    const struct schema_feature_value *cell = &p->cells[i];
    if (cell->kind == SCHEMA_VALUE_MISSING && f->options.missing == SCHEMA_MISSING_ERROR) {
        snprintf(text, 400, "column \"%.60s\" is missing, which this model refuses (its job has \"missing\":\"error\")", f->name);
        return text;
    }
    if (cell->kind != SCHEMA_VALUE_CATEGORY || cell->category >= 0 || f->options.unseen != SCHEMA_UNSEEN_ERROR) return NULL;
    snprintf(text, 400,
             "column \"%.60s\" holds \"%.*s\", which was not in the training rows, and this model refuses unknown categories (its job has "
             "\"unseen\":\"error\")",
             f->name, (int)(size < 60 ? size : 60), value);
    return text;
}

/* ---- predictions that are not finite ----------------------------------------------------------------------------------------- */

/* Numbers y (n, width) of an output: also in the unit of every target of the output. The bits of absolute values are in their order. */
static bool output_finite(const struct schema_predictor *p, int32_t o, int32_t n, const float *y) {
    const struct schema_output *output = &p->preprocessing->outputs[o];
    const int64_t count = (int64_t)n * p->widths[o];
    int32_t bits = 0;
    float most;
    for (int64_t j = 0; j < count; j++) {
        int32_t one;
        memcpy(&one, &y[j], sizeof one);
        one &= INT32_MAX;
        bits = one > bits ? one : bits;
    }
    memcpy(&most, &bits, sizeof most);
    if (!isfinite(most)) return false;
    for (int32_t k = output->first; k < output->first + output->count; k++)
        for (int64_t j = 0; j < (p->preprocessing->targets[k].channels_count ? p->preprocessing->targets[k].channels_count : 1); j++)
            if (!isfinite((double)most * schema_target_unit(&p->preprocessing->targets[k], j) +
                          fabs(schema_target_origin(&p->preprocessing->targets[k], j))))
                return false;
    return true;
}

/* The feature with the largest number, if that is far from what a network usually gets. */
static int32_t find_suspect(const struct schema_predictor *p, int32_t row) {
    float *at[BP_INPUTS_MAX], most = 10;
    int32_t suspect = -1;
    for (int32_t k = 0; k < p->preprocessing->inputs_count; k++) at[k] = bp_workspace_input(p->workspace, k) + row * p->input_sizes[k];
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) {
        const struct schema_feature *f = &p->preprocessing->features[i];
        for (int32_t k = 0; k < f->places_count && !p->indices[i]; k++) {
            const float *x = at[f->places[k].input] + f->places[k].offset;
            for (int32_t j = 0; j < f->places[k].width; j++)
                if (fabsf(x[j]) > most) most = fabsf(x[j]), suspect = i;
        }
    }
    return suspect;
}

void schema_predictor_spoil(struct schema_predictor *p, int32_t row) {
    p->not_finite = p->rows - p->filled + row;
    p->suspect = find_suspect(p, row);
}

static bool outputs_finite(const struct schema_predictor *p, int32_t row, int32_t n) {
    bool good = true;
    for (int32_t o = 0; good && o < p->preprocessing->outputs_count; o++)
        good = output_finite(p, o, n, bp_workspace_output(p->workspace, o) + (int64_t)row * p->widths[o]);
    return good;
}

void schema_predictor_look(struct schema_predictor *p, int32_t n) {
    p->finite = outputs_finite(p, 0, n);
}

bool schema_predictor_finite(struct schema_predictor *p, int32_t row) {
    const bool good = p->finite || outputs_finite(p, row, 1);
    if (!good) schema_predictor_spoil(p, row);
    return good;
}

const char *schema_predictor_not_finite(const struct schema_predictor *p, char text[static 300]) {
    if (p->suspect < 0) snprintf(text, 300, "the prediction is not a finite number: the model may have diverged; train it again");
    else
        snprintf(text, 300, "the prediction is not a finite number; the value in column \"%.60s\" is the one farthest from the training rows",
                 p->preprocessing->features[p->suspect].name);
    return text;
}

/* ---- warnings ---------------------------------------------------------------------------------------------------------------- */

static void count_value(struct predictor_range *range, double v, int64_t row) {
    if (range->count < PREDICTOR_SHOWN) range->values[range->count] = v, range->rows[range->count] = row;
    range->count++;
}

void schema_predictor_count_number(struct schema_predictor *p, int32_t i, double v, int64_t row) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    if (p->indices[i] || !schema_feature_outside(f, v)) return;
    count_value(schema_feature_far(f, v) ? &p->far[i] : &p->outside[i], v, row);
}

/* Its number at `at` is outside the range; another one may be far outside. */
static void count_tensor(struct schema_predictor *p, int32_t i, const float *v, int64_t at, int64_t row) {
    int64_t farther;
    const bool far = schema_tensor_far(&p->preprocessing->features[i], v, &farther);
    count_value(far ? &p->far[i] : &p->outside[i], (double)v[far ? farther : at], row);
}

/* ---- counts beside the reference ----------------------------------------------------------------------------------------- */

int schema_predictor_observe(struct schema_predictor *p) {
    if (!p->model->reference || p->live) return 0;
    p->live = calloc((size_t)p->model->reference->bins + 1, sizeof *p->live);
    return p->live ? 0 : -1;
}

const uint64_t *schema_predictor_observed(const struct schema_predictor *p, int64_t *rows) {
    *rows = p->counted;
    return p->live;
}

static void count_live(struct schema_predictor *p, const bool *held) {
    const struct schema_reference *r = p->model->reference;
    for (int32_t i = 0; i < r->features_count; i++) {
        if (held && held[i]) continue;
        const struct schema_bins *bins = &r->features[i];
        const struct schema_feature_value *cell = &p->cells[i];
        if (!bins->count) continue;
        const bool missing = cell->kind == SCHEMA_VALUE_MISSING;
        p->live[bins->category_bin ? schema_bins_category(bins, cell->category, missing)
                                   : schema_bins_number(bins, missing ? (double)NAN : cell->number)]++;
    }
}

void schema_predictor_count_outputs(struct schema_predictor *p, int32_t row) {
    const struct schema_reference *r = p->model->reference;
    for (int32_t k = 0; k < r->outputs_count; k++) {
        const struct schema_bins *bins = &r->outputs[k];
        if (!bins->count) continue;
        const struct schema_predicted predicted = schema_predict_target(p, row, k);
        p->live[predicted.label >= 0 ? bins->at + predicted.label : schema_bins_number(bins, predicted.value)]++;
    }
}

void schema_predictor_count(struct schema_predictor *p, const bool *held) {
    const int64_t row = p->row_at ? p->row_at : p->counted + 1;
    int64_t at;
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) {
        if (held && held[i]) continue;
        const struct schema_feature_value *cell = &p->cells[i];
        if (cell->kind == SCHEMA_VALUE_MISSING) p->missing[i]++;
        if (cell->kind == SCHEMA_VALUE_TENSOR && cell->holes) p->holes[i]++;
        if (cell->kind == SCHEMA_VALUE_NUMBER) schema_predictor_count_number(p, i, cell->number, row);
        else if (cell->kind == SCHEMA_VALUE_TENSOR && !p->indices[i] && schema_tensor_outside(&p->preprocessing->features[i], cell->tensor, &at))
            count_tensor(p, i, cell->tensor, at, row);
    }
    if (p->live) count_live(p, held);
    p->counted++;
}

static void take_range(struct predictor_range *range, struct predictor_range *other) {
    for (int64_t k = 0; k < PREDICTOR_SHOWN && k < other->count && range->count + k < PREDICTOR_SHOWN; k++)
        range->values[range->count + k] = other->values[k], range->rows[range->count + k] = other->rows[k];
    range->count += other->count;
    other->count = 0;
}

void schema_predictor_take(struct schema_predictor *p, struct schema_predictor *other) {
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) {
        if (p->unseen[i] == 0 && other->unseen[i] > 0) memcpy(p->unseen_first[i], other->unseen_first[i], sizeof *p->unseen_first);
        p->missing[i] += other->missing[i], p->unseen[i] += other->unseen[i], p->holes[i] += other->holes[i];
        other->missing[i] = other->unseen[i] = other->holes[i] = 0;
        take_range(&p->far[i], &other->far[i]);
        take_range(&p->outside[i], &other->outside[i]);
    }
}

static json_t *range_json(const struct predictor_range *range) {
    json_t *json = json_pack("[I]", (json_int_t)range->count);
    for (int k = 0; k < PREDICTOR_SHOWN && k < range->count; k++)
        json_array_append_new(
            json, json_pack("[o, I]", isfinite(range->values[k]) ? json_real(range->values[k]) : json_null(), (json_int_t)range->rows[k]));
    return json;
}

static void range_read(const json_t *json, struct predictor_range *range) {
    *range = (struct predictor_range){.count = json_integer_value(json_array_get(json, 0))};
    for (size_t k = 0; k < PREDICTOR_SHOWN; k++) {
        const json_t *one = json_array_get(json, k + 1), *value = json_array_get(one, 0);
        range->values[k] = json_is_number(value) ? json_number_value(value) : (double)INFINITY;
        range->rows[k] = json_integer_value(json_array_get(one, 1));
    }
}

json_t *schema_predictor_counts(const struct schema_predictor *p) {
    json_t *json = json_object(), *ignored = json_array();
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) {
        if (!p->missing[i] && !p->unseen[i] && !p->holes[i] && !p->far[i].count && !p->outside[i].count) continue;
        json_object_set_new(json, p->preprocessing->features[i].name,
                            json_pack("[I, I, I, o, o, s]", (json_int_t)p->missing[i], (json_int_t)p->unseen[i], (json_int_t)p->holes[i],
                                      range_json(&p->far[i]), range_json(&p->outside[i]), p->unseen[i] ? p->unseen_first[i] : ""));
    }
    for (int32_t i = 0; i < p->ignored_count; i++) json_array_append_new(ignored, json_string(p->ignored[i]));
    return json_pack("{s:I, s:o, s:o}", "counted", (json_int_t)p->counted, "features", json, "ignored", ignored);
}

void schema_predictor_recount(struct schema_predictor *p, const json_t *counts) {
    const json_t *features = json_object_get(counts, "features"), *ignored = json_object_get(counts, "ignored");
    p->counted = json_integer_value(json_object_get(counts, "counted"));
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) {
        const json_t *one = json_object_get(features, p->preprocessing->features[i].name);
        const char *first = json_string_value(json_array_get(one, 5));
        if (!json_is_array(one) || !first) continue;
        p->missing[i] = json_integer_value(json_array_get(one, 0));
        p->unseen[i] = json_integer_value(json_array_get(one, 1));
        p->holes[i] = json_integer_value(json_array_get(one, 2));
        range_read(json_array_get(one, 3), &p->far[i]);
        range_read(json_array_get(one, 4), &p->outside[i]);
        snprintf(p->unseen_first[i], sizeof p->unseen_first[i], "%s", first);
    }
    for (size_t i = 0; i < json_array_size(ignored); i++) {
        const char *name = json_string_value(json_array_get(ignored, i));
        if (name) schema_predictor_ignored(p, name, strlen(name));
    }
}

/* What replaces missing values. */
static const char *replacement_of(const struct schema_predictor *p, int32_t i) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    const struct schema_type_ops *type = schema_type_of(f->type);
    const bool raw = type->value == SCHEMA_VALUE_NUMBER || type->value == SCHEMA_VALUE_TENSOR;
    if (p->indices[i] && raw) return "the index 0 is used";
    if (type->replacement) return type->replacement;
    if (f->indicator) return "the missing-value indicator is used";
    if (f->options.missing == SCHEMA_MISSING_MEDIAN) return "the median is used";
    if (f->options.missing == SCHEMA_MISSING_CONSTANT) return "the constant of the job is used";
    return "the mean is used";
}

/* A value of a number or a time. */
static const char *shown(const struct schema_feature *f, double v, char text[static SCHEMA_DATETIME_TEXT]) {
    if (schema_type_of(f->type)->show) schema_type_of(f->type)->show(v, text);
    else snprintf(text, SCHEMA_DATETIME_TEXT, "%.9g", v);
    return text;
}

/* "row 2: 10.5, row 7: 11, ..." */
static void list_values(const struct schema_feature *f, const struct predictor_range *range, char text[static 200]) {
    size_t n = 0;
    text[0] = '\0';
    for (int64_t k = 0; k < range->count && k < PREDICTOR_SHOWN; k++) {
        char value[SCHEMA_DATETIME_TEXT];
        n += (size_t)snprintf(text + n, 200 - n, "%srow %lld: %s", k ? ", " : "", (long long)range->rows[k], shown(f, range->values[k], value));
    }
    if (range->count > PREDICTOR_SHOWN) snprintf(text + n, 200 - n, ", ...");
}

static void range_warning(const struct schema_predictor *p, int32_t i, bool far, char *text, size_t size) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    const struct predictor_range *range = far ? &p->far[i] : &p->outside[i];
    char low[SCHEMA_DATETIME_TEXT], high[SCHEMA_DATETIME_TEXT], values[200];
    double min = f->min, max = f->max;
    for (int32_t c = 0; c < f->channels_count; c++) {
        min = c && min < f->channels[c].min ? min : f->channels[c].min;
        max = c && max > f->channels[c].max ? max : f->channels[c].max;
    }
    shown(f, min, low);
    shown(f, max, high);
    list_values(f, range, values);
    if (f->constant)
        snprintf(text, size, "column \"%.60s\" was always %s in the training rows and has no influence: %lld of %lld values differ (%s)", f->name,
                 low, (long long)range->count, (long long)p->counted, values);
    else
        snprintf(text, size, "column \"%.60s\": %lld of %lld values are %soutside the range of the training rows, %s to %s (%s)%s", f->name,
                 (long long)range->count, (long long)p->counted, far ? "far " : "", low, high, values,
                 far ? "; do not rely on predictions for them" : "");
}

static bool never_missing(const struct schema_predictor *p, int32_t i) {
    const struct schema_reference *r = p->model->reference;
    return r && r->features[i].count && r->none_missing[i];
}

enum { MISSING, HOLES, UNSEEN, FAR, OUTSIDE, KINDS };

/* The warning of a feature of that kind; false: it has none. */
static bool warning_of(const struct schema_predictor *p, int32_t i, int kind, char *text, size_t size) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    const int64_t counts[KINDS] = {
        [MISSING] = p->missing[i], [HOLES] = p->holes[i], [UNSEEN] = p->unseen[i], [FAR] = p->far[i].count, [OUTSIDE] = p->outside[i].count};
    const long long n = (long long)counts[kind], rows = (long long)p->counted;
    if (n == 0) return false;
    if (kind == FAR || kind == OUTSIDE) range_warning(p, i, kind == FAR, text, size);
    else if (kind != UNSEEN)
        snprintf(text, size, "column \"%.60s\": %lld of %lld %s: %s%s", f->name, n, rows,
                 kind == MISSING ? "values missing" : "tensors have missing numbers", replacement_of(p, i),
                 kind == MISSING && never_missing(p, i) ? "; none was missing in the training rows" : "");
    else if (f->constant)
        snprintf(text, size,
                 "column \"%.60s\" was always \"%.60s\" in the training rows and has no influence: %lld of %lld values differ (the first: \"%s\")",
                 f->name, f->categories[0], n, rows, p->unseen_first[i]);
    else
        snprintf(text, size,
                 "column \"%.60s\": %lld of %lld values were not in the training rows (the first: \"%s\"): they are treated as an unknown category",
                 f->name, n, rows, p->unseen_first[i]);
    return true;
}

void schema_predict_warnings(const struct schema_predictor *p, void (*say)(void *context, const char *warning), void *context) {
    enum { MOST = 20 };
    char text[600];
    int32_t count = 0;
    for (int32_t i = 0; i < p->preprocessing->features_count; i++)
        for (int kind = 0; kind < KINDS && count < MOST; kind++)
            if (warning_of(p, i, kind, text, sizeof text)) say(context, text), count++;
    for (int32_t i = 0; i < p->ignored_count && count < MOST; i++, count++) {
        snprintf(text, sizeof text, "column \"%s\" is not a feature of this model and was ignored", p->ignored[i]);
        say(context, text);
    }
}

static void write_warning(void *context, const char *warning) {
    struct schema_text *out = context;
    if (out->failed) return;
    if (schema_text_last(out) != '[') schema_text_add(out, ",", 1);
    schema_text_json_string(out, warning);
}

void schema_predictor_warnings(struct schema_predictor *p) {
    schema_text_string(p->out, ",\"warnings\":[");
    schema_predict_warnings(p, write_warning, p->out);
    schema_text_add(p->out, "]", 1);
}
