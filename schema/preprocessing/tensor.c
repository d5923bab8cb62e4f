/* tensor.c - tensors: standardised by channel, which is the last axis (of a vector each number is a channel of its own), and what is
 * padding in them. */
#include "schema/preprocessing/feature.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, ROOM = 1 << 15 };

/* ---- fitting ------------------------------------------------------------------------------------------------------------- */

/* Adds n numbers of whole cells to the moments of their channels. */
static void add_cells(struct schema_moments *m, int32_t channels, const float *numbers, int64_t n) {
    double block[BLOCK];
    for (int32_t c = 0; c < channels; c++) {
        int64_t some = 0;
        for (int64_t k = c; k < n; k += channels) {
            block[some++] = isfinite(numbers[k]) ? (double)numbers[k] : (double)NAN;
            if (some == BLOCK) schema_moments_add_many(&m[c], block, some), some = 0;
        }
        schema_moments_add_many(&m[c], block, some);
    }
}

/* The steps of a cell that are padding lose their numbers. */
static void hide_padding(const struct schema_tensor_fit *how, int64_t row, int64_t size, float *cell) {
    const int64_t steps = how->shape.dims[0], width = size / steps;
    if (how->hidden) how->hidden(how->context, row, how->steps);
    for (int64_t s = 0; s < steps; s++) {
        bool padding = how->masked;
        for (int64_t k = s * width; k < (s + 1) * width && padding; k++) padding = cell[k] == (float)how->mask_value || isnan(cell[k]);
        for (int64_t k = s * width; k < (s + 1) * width && (padding || (how->hidden && how->steps[s])); k++) cell[k] = NAN;
    }
}

/* Whether steps are missing at the end. */
static bool cut_short(const float *cell, int64_t size, int64_t width) {
    bool missing = true, any = false;
    for (int64_t k = size - width; k < size; k++) missing = missing && isnan(cell[k]);
    for (int64_t k = 0; k < size - width && !any; k++) any = !isnan(cell[k]);
    return missing && any;
}

int schema_tensor_ragged(const struct schema_dataset *dataset, int32_t column) {
    const struct schema_column *c = &dataset->columns[column];
    const int64_t size = bp_shape_size(&c->shape);
    float *cell = c->bytes ? NULL : malloc((size_t)size * sizeof *cell); /* bytes are all there */
    bool ragged = false;
    if (!c->bytes && !cell) return -1;
    for (int64_t row = 0; cell && !ragged && row < dataset->rows; row++) {
        schema_dataset_tensor(dataset, column, row, cell);
        ragged = cut_short(cell, size, size / c->shape.dims[0]);
    }
    free(cell);
    return ragged;
}

static int set_channels(struct schema_tensor_fit *how, const struct schema_moments *m, struct bp_error *error) {
    for (int32_t c = 0; c < how->channels_count; c++) {
        struct schema_channel *channel = &how->channels[c];
        if (schema_moments_check(&m[c], how->pointer, how->name, error) != 0) return -1;
        schema_moments_result(&m[c], &channel->mean, &channel->std);
        channel->min = m[c].n > 0 ? m[c].min : 0;
        channel->max = m[c].n > 0 ? m[c].max : 0;
    }
    return 0;
}

int schema_tensor_fit(struct schema_tensor_fit *how, const struct schema_fit *fit, int32_t column, struct bp_error *error) {
    const int64_t size = bp_shape_size(&how->shape), width = size / how->shape.dims[0], cells = size < ROOM ? ROOM / size : 1;
    how->channels_count = how->global ? 1 : how->shape.dims[how->shape.rank - 1];
    float *room = malloc((size_t)(size * cells) * sizeof *room);
    struct schema_moments *m = calloc((size_t)how->channels_count, sizeof *m);
    free(how->channels);
    how->channels = calloc((size_t)how->channels_count, sizeof *how->channels);
    how->steps = how->hidden ? calloc((size_t)how->shape.dims[0], sizeof *how->steps) : NULL;
    const bool memory = room && m && how->channels && (how->steps || !how->hidden);
    for (int64_t first = 0; memory && first < fit->n; first += cells) {
        const int64_t some = fit->n - first < cells ? fit->n - first : cells;
        schema_fit_release(fit, first);
        for (int64_t i = 0; i < some; i++) {
            float *cell = room + i * size;
            schema_dataset_tensor(fit->dataset, column, fit->rows[first + i], cell);
            int64_t there = 0;
            for (int64_t k = 0; k < size; k++) there += !isnan(cell[k]);
            how->missing = how->missing || (there > 0 && there < size);
            how->cut = how->cut || cut_short(cell, size, width);
            if (how->masked || how->hidden) hide_padding(how, fit->rows[first + i], size, cell);
        }
        add_cells(m, how->channels_count, room, some * size);
    }
    if (memory && how->shape.rank == 1 && how->cut) { /* lists of different lengths are steps of one thing */
        for (int32_t c = 1; c < how->channels_count; c++) schema_moments_join(&m[0], &m[c]);
        how->channels_count = 1;
    }
    const int failed = memory ? set_channels(how, m, error) : bp_error_memory(error, "no memory for a tensor of %lld numbers", (long long)size);
    free(room);
    free(m);
    free(how->steps);
    how->steps = NULL;
    return failed;
}

int schema_feature_fit_tensor(struct schema_feature *f, const struct schema_fit *fit, int32_t column, struct bp_error *error) {
    struct schema_tensor_fit how = {.name = f->name,
                                    .pointer = "/features",
                                    .shape = fit->dataset->columns[column].shape,
                                    .global = f->options.scale == SCHEMA_SCALE_GLOBAL,
                                    .masked = f->masked,
                                    .mask_value = f->mask_value,
                                    .channels = f->channels};
    const int failed = schema_tensor_fit(&how, fit, column, error);
    f->shape = how.shape;
    f->padded = how.missing || f->masked;
    f->channels = how.channels;
    f->channels_count = how.channels_count;
    f->clip = f->options.clip > 0 ? f->options.clip : f->options.clip < 0 ? 0 : SCHEMA_CLIP;
    if (f->options.scale == SCHEMA_SCALE_NONE && !failed) schema_feature_unscaled(f);
    return failed;
}

/* ---- the transform --------------------------------------------------------------------------------------------------------- */

static float scale_number(const struct schema_feature *f, const struct schema_channel *channel, float v) {
    if (isnan(v) || channel->min == channel->max) return isnan(v) || !isinf(v) ? 0.0f : v; /* the mean; constant: nothing to go by */
    return schema_scale_float(schema_scale_clip(((double)v - channel->mean) / channel->std, f->clip));
}

static void scale_numbers(const struct schema_feature *f, const float *v, int64_t n, float *out) {
    if (f->channels_count == 0)
        for (int64_t k = 0; k < n; k++) out[k] = isnan(v[k]) ? 0.0f : v[k];
    else
        for (int64_t k = 0; k < n; k += f->channels_count)
            for (int32_t c = 0; c < f->channels_count; c++) out[k + c] = scale_number(f, &f->channels[c], v[k + c]);
}

/* By more than `reach` widths of the range. */
static bool beyond(const struct schema_feature *f, const float *v, double reach, int64_t *at) {
    const int64_t size = bp_shape_size(&f->shape);
    double low = INFINITY, high = -INFINITY;
    for (int32_t c = 0; c < f->channels_count; c++) {
        low = fmin(low, f->channels[c].min);
        high = fmax(high, f->channels[c].max);
    }
    if (f->channels_count == 0 || !isfinite(low) || !isfinite(high)) return false;
    for (*at = 0; *at < size; ++*at) {
        const struct schema_channel *channel = &f->channels[*at % f->channels_count];
        const bool constant = !(channel->max > channel->min);
        const double x = (double)v[*at], width = constant ? high - low : channel->max - channel->min;
        const double least = constant ? fmin(low, channel->min - reach * width) : channel->min - reach * width;
        const double most = constant ? fmax(high, channel->max + reach * width) : channel->max + reach * width;
        if (f->masked && x == (double)(float)f->mask_value) continue;
        if (x < least || x > most) return true;
    }
    return false;
}

bool schema_tensor_outside(const struct schema_feature *f, const float *v, int64_t *at) {
    return beyond(f, v, 0, at);
}

bool schema_tensor_far(const struct schema_feature *f, const float *v, int64_t *at) {
    return beyond(f, v, 0.5, at);
}

/* A masking layer compares with mask_value what it gets. Padding becomes that value, whatever the scaling, and a step that is there never does: its
 * first number moves by the least that there is. */
static void mark_padding(const struct schema_feature *f, const float *v, int64_t size, float *out) {
    const int64_t steps = f->shape.dims[0], width = size / steps;
    const float mask = (float)f->mask_value;
    for (int64_t s = 0; s < steps; s++, out += width) {
        bool padding = true, same = true;
        for (int64_t k = 0; k < width; k++) {
            padding = padding && (!v || isnan(v[s * width + k]) || v[s * width + k] == mask);
            same = same && out[k] == mask;
        }
        for (int64_t k = 0; padding && k < width; k++) out[k] = mask;
        if (!padding && same) out[0] = mask == 0 ? FLT_MIN : nextafterf(mask, INFINITY);
    }
}

void schema_tensor_apply(const struct schema_feature *f, const float *v, float *out) {
    const int64_t size = bp_shape_size(&f->shape);
    if (v) scale_numbers(f, v, size, out);
    else memset(out, 0, (size_t)size * sizeof *out);
    if (f->masked) mark_padding(f, v, size, out);
}

/* ---- JSON: a number for one channel, a list for several ---------------------------------------------------------------------- */

static const char *const members[] = {"mean", "std", "min", "max"};

static double *member_of(struct schema_channel *channel, int m) {
    return m == 0 ? &channel->mean : m == 1 ? &channel->std : m == 2 ? &channel->min : &channel->max;
}

void schema_channels_encode(struct schema_channel *channels, int32_t count, json_t *json) {
    for (int m = 0; m < 4; m++) {
        json_t *list = json_array();
        for (int32_t c = 0; c < count; c++) json_array_append_new(list, json_real(*member_of(&channels[c], m)));
        if (count == 0) json_array_append_new(list, json_real(m == 1 ? 1 : 0));
        if (count > 1) json_object_set(json, members[m], list);
        else if (m < 2 || (count == 1 && isfinite(*member_of(channels, m)))) json_object_set(json, members[m], json_array_get(list, 0));
        json_decref(list);
    }
}

/* Models of before have a mean and a deviation only: then nothing is known to be constant. */
int schema_channels_decode(const json_t *json, const struct bp_shape *shape, struct schema_channel **channels, int32_t *count) {
    const json_t *mean = json_object_get(json, "mean");
    const size_t n = json_is_array(mean) ? json_array_size(mean) : 1;
    if (n != 1 && n != (size_t)shape->dims[shape->rank - 1]) return -1;
    if (!(*channels = calloc(n, sizeof **channels))) return -1;
    *count = (int32_t)n;
    for (size_t c = 0; c < n; c++) {
        struct schema_channel *channel = &(*channels)[c];
        for (int m = 0; m < 4; m++) {
            const json_t *value = json_object_get(json, members[m]), *item = json_is_array(value) ? json_array_get(value, c) : value;
            *member_of(channel, m) = item ? json_number_value(item) : m == 2 ? -INFINITY : INFINITY;
            if (json_is_array(value) && json_array_size(value) != n) return -1;
        }
        if (!isfinite(channel->mean) || !isfinite(channel->std) || channel->std <= 0 || isnan(channel->min) || isnan(channel->max)) return -1;
    }
    return 0;
}
