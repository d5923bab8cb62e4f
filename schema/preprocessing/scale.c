/* scale.c - how numbers are scaled, what missing ones become, and that in the model. */
#include "schema/preprocessing/feature.h"

#include "engine/kernels/kernels.h"
#include "schema/quantile.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------------------ */

static double symmetric_log(double v) {
    return v < 0 ? -log1p(-v) : log1p(v);
}

/* v's place among the knots, 0 to 1: linear between them, in the middle of equal ones. */
static double place_of(const double *knots, double v) {
    int32_t below = 0, upto = 0; /* knots below v, and not above it */
    while (below < SCHEMA_KNOTS && knots[below] < v) below++;
    for (upto = below; upto < SCHEMA_KNOTS && knots[upto] == v;) upto++;
    if (upto > below) return (below + upto - 1) / 2.0 / (SCHEMA_KNOTS - 1);
    if (below == 0 || below == SCHEMA_KNOTS) return below ? 1 : 0;
    return (below - 1 + (v - knots[below - 1]) / (knots[below] - knots[below - 1])) / (SCHEMA_KNOTS - 1);
}

static double before_centring(const struct schema_feature *f, double v) {
    switch (f->options.scale) {
    case SCHEMA_SCALE_LOG: return symmetric_log(v);
    case SCHEMA_SCALE_QUANTILE: return f->knots ? place_of(f->knots, v) : v;
    default: return v;
    }
}

double schema_scale_clip(double z, double clip) {
    const double half = clip / 2, t = (fabs(z) - half) / half;
    if (!(clip > 0) || !(t > 0) || fabs(z) > (double)FLT_MAX) return z;
    return copysign(half + half * t / sqrt(1 + t * t), z);
}

double schema_scale_squash(double z, double clip) {
    const double t = z / clip;
    if (!(clip > 0) || fabs(z) > (double)FLT_MAX) return z;
    return fabs(t) > 1e8 ? copysign(clip, z) : z / sqrt(1 + t * t);
}

float schema_scale_float(double z) {
    return fabs(z) > (double)FLT_MAX ? (float)copysign((double)INFINITY, z) : (float)z;
}

bool schema_feature_far(const struct schema_feature *f, double v) {
    const double reach = f->constant ? 0 : (f->max - f->min) / 2;
    return isfinite(f->min) && isfinite(f->max) && (v < f->min - reach || v > f->max + reach);
}

bool schema_feature_outside(const struct schema_feature *f, double v) {
    return isfinite(f->min) && isfinite(f->max) && (v < f->min || v > f->max);
}

void schema_feature_unscaled(struct schema_feature *f) {
    f->mean = f->fill = f->clip = 0;
    f->std = 1;
    f->min = (double)-INFINITY; /* whatever its user takes */
    f->max = (double)INFINITY;
    f->constant = f->smooth = false;
    free(f->channels);
    f->channels = NULL;
    f->channels_count = 0;
}

double schema_scale_apply(const struct schema_feature *f, double v) {
    const double z = (before_centring(f, f->constant ? f->min : v) - f->mean) / f->std;
    return f->smooth ? schema_scale_squash(z, f->clip) : schema_scale_clip(z, f->clip);
}

static float scaled(const struct schema_feature *f, double v) {
    return schema_scale_float(schema_scale_apply(f, isnan(v) ? f->fill : v));
}

void schema_scale_many(const struct schema_feature *f, const double *v, int32_t n, float *out, int64_t stride) {
    enum { PIECE = 128 };
    const double half = f->clip > 0 ? f->clip / 2 : (double)FLT_MAX;
    const bool plain = f->options.scale == SCHEMA_SCALE_STANDARD && !f->constant;
    for (int32_t i = 0; i < n && f->indicator; i++) out[i * stride + 1] = isnan(v[i]) ? 1.0f : 0.0f;
    for (int32_t first = 0; first < n && plain; first += PIECE) {
        const int32_t some = n - first < PIECE ? n - first : PIECE;
        float z[PIECE], *to = out + first * stride;
        const struct bp_standard call = {(size_t)some, v + first, f->fill, f->mean, f->std, half, z};
        if (bp_kernels()->standardise(&call))
            for (int32_t i = 0; i < some; i++) to[i * stride] = z[i];
        else
            for (int32_t i = 0; i < some; i++) to[i * stride] = scaled(f, v[first + i]);
    }
    for (int32_t i = 0; i < n && !plain; i++) out[i * stride] = scaled(f, v[i]);
}

/* By median and quartiles; where the quartiles are one value, by half the range. */
static void fit_robust(struct schema_feature *f, const double *sorted, int64_t n) {
    const double quartiles = schema_quantile(sorted, n, 0.75) - schema_quantile(sorted, n, 0.25), half = sorted[n - 1] / 2 - sorted[0] / 2;
    f->mean = schema_quantile(sorted, n, 0.5);
    f->std = quartiles > 0 && isfinite(quartiles) ? quartiles : half > 0 ? half : 1;
    f->smooth = f->clip > 0;
    if (f->options.missing == SCHEMA_MISSING_AUTO || f->options.missing == SCHEMA_MISSING_INDICATOR || f->options.missing == SCHEMA_MISSING_DROP)
        f->fill = f->mean;
}

/* Sorted values to centre and width. */
static int fit_scale(struct schema_feature *f, double *sorted, int64_t n) {
    struct schema_moments m = {0};
    if (f->options.scale == SCHEMA_SCALE_NONE || n == 0) return 0;
    if (f->options.scale == SCHEMA_SCALE_ROBUST) {
        fit_robust(f, sorted, n);
        return 0;
    }
    if (f->options.scale == SCHEMA_SCALE_MINMAX) {
        const double range = sorted[n - 1] - sorted[0];
        f->mean = sorted[0];
        f->std = range > 0 && isfinite(range) ? range : 1;
        return 0;
    }
    if (f->options.scale == SCHEMA_SCALE_QUANTILE) {
        if (!(f->knots = calloc(SCHEMA_KNOTS, sizeof *f->knots))) return -1;
        for (int32_t k = 0; k < SCHEMA_KNOTS; k++) f->knots[k] = schema_quantile(sorted, n, (double)k / (SCHEMA_KNOTS - 1));
    }
    for (int64_t i = 0; i < n; i++) sorted[i] = before_centring(f, sorted[i]);
    schema_moments_add_many(&m, sorted, n);
    schema_moments_result(&m, &f->mean, &f->std);
    return 0;
}

bool schema_scale_by_moments(const struct schema_feature *f) {
    return f->options.scale == SCHEMA_SCALE_STANDARD && f->options.missing != SCHEMA_MISSING_MEDIAN;
}

static double clip_of(const struct schema_feature *f) {
    const bool bounded = f->options.scale == SCHEMA_SCALE_QUANTILE || f->options.scale == SCHEMA_SCALE_NONE || schema_type_of(f->type)->unscaled;
    return bounded || f->options.clip < 0 ? 0 : f->options.clip > 0 ? f->options.clip : SCHEMA_CLIP;
}

int schema_scale_begin(struct schema_feature *f, const struct schema_moments *m, int64_t n, struct bp_error *error) {
    double spread;
    schema_moments_result(m, &f->fill, &spread);
    const bool missing = m->n < (double)n;
    f->indicator = missing && (f->options.missing == SCHEMA_MISSING_AUTO || f->options.missing == SCHEMA_MISSING_INDICATOR);
    f->min = m->n > 0 ? m->min : 0;
    f->max = m->n > 0 ? m->max : 0;
    f->constant = !schema_type_of(f->type)->unscaled && schema_moments_constant(m);
    f->constant = f->constant || f->min == f->max;
    f->clip = clip_of(f);
    if (f->options.scale == SCHEMA_SCALE_STANDARD) {
        f->mean = f->fill;
        f->std = spread;
    }
    if (schema_type_of(f->type)->unscaled) f->std = 1;
    if (f->options.missing == SCHEMA_MISSING_CONSTANT) f->fill = f->options.constant;
    if (f->options.scale == SCHEMA_SCALE_NONE && m->n > 0 && fmax(fabs(m->min), fabs(m->max)) > (double)FLT_MAX)
        return bp_error_set(
            error, "/features",
            "column \"%.60s\" ranges from %.6g to %.6g in the training rows, and its scale is \"none\", which exceeds float32; leave scale out",
            f->name, m->min, m->max);
    return schema_moments_check(m, "/features", f->name, error);
}

static void read_values(const void *context, const int64_t *places, int64_t n, double *out) {
    for (int64_t i = 0; i < n; i++) out[i] = ((const double *)context)[places[i]];
}

int schema_scale_fit(struct schema_feature *f, double *values, int64_t n, struct bp_error *error) {
    int64_t there = 0;
    struct schema_moments m = {0};
    schema_moments_add_many(&m, values, n);
    schema_moments_trim(&m, &(struct schema_numbers){read_values, values, n});
    if (schema_scale_begin(f, &m, n, error) != 0) return -1;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i])) values[there++] = values[i];
    if (f->options.scale != SCHEMA_SCALE_STANDARD || f->options.missing == SCHEMA_MISSING_MEDIAN)
        qsort(values, (size_t)there, sizeof *values, schema_compare_numbers);
    if (f->options.missing == SCHEMA_MISSING_MEDIAN && there > 0) f->fill = schema_quantile(values, there, 0.5);
    if (f->options.scale != SCHEMA_SCALE_STANDARD && fit_scale(f, values, there) != 0) return bp_error_memory(error, "out of memory");
    return 0;
}

/* ---- in the model -------------------------------------------------------------------------------------------------------- */

void schema_scale_encode(const struct schema_feature *f, json_t *json) {
    if (f->format) json_object_set_new(json, "format", json_string(f->format));
    schema_option_put(f, SCHEMA_OPTION_scale, json);
    schema_channels_encode(&(struct schema_channel){f->mean, f->std, f->min, f->max}, 1, json);
    if (f->clip > 0) json_object_set_new(json, "clip", json_real(f->clip));
    if (f->smooth) json_object_set_new(json, "clip_form", json_string("smooth"));
    const bool median = f->options.scale == SCHEMA_SCALE_ROBUST && f->fill == f->mean; /* which is the median then */
    schema_missing_put(f, median ? f->indicator ? "median_and_indicator" : "median" : f->indicator ? "mean_and_indicator" : "mean", json);
    if (f->fill != f->mean) json_object_set_new(json, "fill", json_real(f->fill));
    if (!f->knots) return;
    json_t *knots = json_array();
    for (int32_t k = 0; k < SCHEMA_KNOTS; k++) json_array_append_new(knots, json_real(f->knots[k]));
    json_object_set_new(json, "knots", knots);
}

int schema_scale_decode(const json_t *json, struct schema_feature *f) {
    const char *missing = json_string_value(json_object_get(json, "missing"));
    const json_t *fill = json_object_get(json, "fill"), *knots = json_object_get(json, "knots");
    if (!json_is_number(json_object_get(json, "std")) || (f->constant && !isfinite(f->min))) return -1;
    f->indicator = missing && (strcmp(missing, "mean_and_indicator") == 0 || strcmp(missing, "median_and_indicator") == 0);
    f->smooth = json_object_get(json, "clip_form") != NULL;
    f->fill = json_is_number(fill) ? json_number_value(fill) : f->mean;
    if (f->options.missing == SCHEMA_MISSING_CONSTANT) f->options.constant = f->fill;
    if (f->options.scale != SCHEMA_SCALE_QUANTILE) return 0;
    if (json_array_size(knots) != SCHEMA_KNOTS || !(f->knots = calloc(SCHEMA_KNOTS, sizeof *f->knots))) return -1;
    for (size_t k = 0; k < SCHEMA_KNOTS; k++) {
        f->knots[k] = json_number_value(json_array_get(knots, k));
        if (k && !(f->knots[k] >= f->knots[k - 1])) return -1;
    }
    return 0;
}
