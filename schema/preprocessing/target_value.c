/* target_value.c - a target of numbers between its own unit and the network's: standardised after a transform, clamped to the training rows. The
 * power transforms are fitted here.
 *
 *   log        g = ln v                     sqrt   g = sqrt v
 *   log1p      g = ln(1 + v)
 *   box-cox    g = (v^lambda - 1) / lambda, ln v for lambda 0 (Box and Cox 1964)
 *   yeo-johnson    for v >= 0 box-cox of v + 1; else minus that of 1 - v with 2 - lambda (Yeo and Johnson 2000)
 *
 * All of them increase. lambda has the largest likelihood under a normal distribution of g. */
#include "schema/preprocessing/feature.h"

#include <float.h>
#include <math.h>
#include <string.h>

const char *const schema_transform_names[SCHEMA_TRANSFORMS + 1] = {"none", "log", "log1p", "sqrt", "yeo-johnson", "box-cox", NULL};

/* ---- transforms ---------------------------------------------------------------------------------------------------------- */

/* (x^lambda - 1) / lambda of e^log. */
static double power(double log, double lambda) {
    return lambda == 0 ? log : expm1(lambda * log) / lambda;
}

/* The logarithm of the x that gives g; infinite or NaN: no x does. */
static double log_of_power(double g, double lambda) {
    return lambda == 0 ? g : log1p(lambda * g) / lambda;
}

double schema_transform_apply(enum schema_target_transform transform, double lambda, double v) {
    switch (transform) {
    case SCHEMA_TRANSFORM_LOG: return v > 0 ? log(v) : (double)NAN;
    case SCHEMA_TRANSFORM_LOG1P: return v > -1 ? log1p(v) : (double)NAN;
    case SCHEMA_TRANSFORM_SQRT: return v >= 0 ? sqrt(v) : (double)NAN;
    case SCHEMA_TRANSFORM_BOX_COX: return v > 0 ? power(log(v), lambda) : (double)NAN;
    case SCHEMA_TRANSFORM_YEO_JOHNSON: return v < 0 ? -power(log1p(-v), 2 - lambda) : power(log1p(v), lambda);
    default: return v;
    }
}

double schema_transform_invert(enum schema_target_transform transform, double lambda, double g) {
    switch (transform) {
    case SCHEMA_TRANSFORM_LOG: return exp(g);
    case SCHEMA_TRANSFORM_LOG1P: return expm1(g);
    case SCHEMA_TRANSFORM_SQRT: return g > 0 ? g * g : 0;
    case SCHEMA_TRANSFORM_BOX_COX: return exp(log_of_power(g, lambda));
    case SCHEMA_TRANSFORM_YEO_JOHNSON: return g < 0 ? -expm1(log_of_power(-g, 2 - lambda)) : expm1(log_of_power(g, lambda));
    default: return g;
    }
}

/* What a value must be, for messages; NULL: anything. */
const char *schema_transform_domain(enum schema_target_transform transform) {
    switch (transform) {
    case SCHEMA_TRANSFORM_LOG:
    case SCHEMA_TRANSFORM_BOX_COX: return "above 0";
    case SCHEMA_TRANSFORM_LOG1P: return "above -1";
    case SCHEMA_TRANSFORM_SQRT: return "not below 0";
    default: return NULL;
    }
}

/* ---- lambda -------------------------------------------------------------------------------------------------------------- */

/* Log-likelihood per value, up to a constant. slope: the mean of d ln(dg/dv) / d lambda. */
static double likelihood(enum schema_target_transform transform, double lambda, const double *values, int64_t n, double slope) {
    struct schema_moments m = {0};
    double mean, std;
    for (int64_t i = 0; i < n; i++) schema_moments_add(&m, schema_transform_apply(transform, lambda, values[i]));
    schema_moments_result(&m, &mean, &std);
    const double spread = m.n > 0 ? (double)(m.m2 / (long double)m.n) : 0;
    return m.n == (double)n && spread > 0 && isfinite(spread) ? -log(spread) / 2 + (lambda - 1) * slope : (double)-INFINITY;
}

/* By golden section: the likelihood has one maximum. */
double schema_transform_fit(enum schema_target_transform transform, const double *values, int64_t n) {
    static const double golden = 0.6180339887498949;
    double low = -4, high = 4, slope = 0;
    if (!schema_transform_has_lambda(transform) || n < 2) return 1;
    for (int64_t i = 0; i < n; i++) {
        const double v = values[i];
        slope += (transform == SCHEMA_TRANSFORM_BOX_COX ? log(v) : copysign(log1p(fabs(v)), v)) / (double)n;
    }
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double at_a = likelihood(transform, a, values, n, slope), at_b = likelihood(transform, b, values, n, slope);
    if (!isfinite(at_a) && !isfinite(at_b)) return 1;
    while (high - low > 1e-6) {
        if (at_a >= at_b) {
            high = b, b = a, at_b = at_a, a = high - golden * (high - low);
            at_a = likelihood(transform, a, values, n, slope);
        } else {
            low = a, a = b, at_a = at_b, b = low + golden * (high - low);
            at_b = likelihood(transform, b, values, n, slope);
        }
    }
    return (low + high) / 2;
}

bool schema_transform_has_lambda(enum schema_target_transform transform) {
    return transform == SCHEMA_TRANSFORM_YEO_JOHNSON || transform == SCHEMA_TRANSFORM_BOX_COX;
}

/* ---- between the two units ----------------------------------------------------------------------------------------------- */

double schema_target_number(const struct schema_target *t, double value) {
    return ((t->transform ? schema_transform_apply(t->transform, t->lambda, value) : value) - t->mean) / t->std;
}

/* Where a power transform has no value for a prediction, it is beyond all that it can be: the end of the training rows on that side. */
static double invert(const struct schema_target *t, double g) {
    const double value = schema_transform_invert(t->transform, t->lambda, g);
    if (isfinite(value) || !schema_transform_has_lambda(t->transform)) return value;
    return g > schema_transform_apply(t->transform, t->lambda, t->low) ? t->high : t->low;
}

double schema_target_value(const struct schema_target *t, int64_t j, double y) {
    double value = y * schema_target_unit(t, j) + schema_target_origin(t, j);
    if (t->transform) value = invert(t, value);
    if (t->clamp && value < t->low) value = t->low;
    if (t->clamp && value > t->high) value = t->high;
    return value;
}

double schema_target_step(const struct schema_target *t, int64_t j, double y) {
    const double unit = schema_target_unit(t, j), step = fmax(fabs(y), 1.0 / 1024) / (1 << 24); /* the network computes y in float32 */
    if (!t->transform) return step * unit;
    const double value = invert(t, y * unit + t->mean), next = invert(t, (y + step) * unit + t->mean);
    return fmax(fabs(next - value), fabs(value) * (double)FLT_EPSILON / 2);
}

bool schema_target_curved(const struct schema_target *t) {
    return t->transform || t->clamp;
}

double schema_target_measured(const void *targets, int32_t j, double y, bool predicted) {
    const struct schema_target *t = &((const struct schema_target *)targets)[j];
    const double value = predicted ? schema_target_value(t, 0, y) : t->transform ? invert(t, y * t->std + t->mean) : y * t->std + t->mean;
    return (value - schema_target_metric_origin(t, 0)) / schema_target_metric_unit(t, 0);
}

double schema_target_metric_unit(const struct schema_target *t, int64_t j) {
    return t->transform ? t->value_std : schema_target_unit(t, j);
}

double schema_target_metric_origin(const struct schema_target *t, int64_t j) {
    return t->transform ? t->value_mean : schema_target_origin(t, j);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------- */

void schema_target_curve_encode(const struct schema_target *t, json_t *json) {
    if (!schema_target_curved(t)) return;
    if (t->transform) {
        json_object_set_new(json, "transform", json_string(schema_transform_names[t->transform]));
        json_object_set_new(json, "value_mean", json_real(t->value_mean));
        json_object_set_new(json, "value_std", json_real(t->value_std));
    }
    if (schema_transform_has_lambda(t->transform)) json_object_set_new(json, "lambda", json_real(t->lambda));
    if (t->clamp) json_object_set_new(json, "clamp", json_true());
    json_object_set_new(json, "range", json_pack("[f, f]", t->low, t->high));
}

int schema_target_curve_decode(const json_t *json, struct schema_target *t) {
    const char *name = json_string_value(json_object_get(json, "transform"));
    const json_t *range = json_object_get(json, "range");
    int transform = 0;
    while (name && transform < SCHEMA_TRANSFORMS && strcmp(schema_transform_names[transform], name) != 0) transform++;
    if (transform == SCHEMA_TRANSFORMS) return -1;
    t->transform = (enum schema_target_transform)transform;
    t->clamp = json_is_true(json_object_get(json, "clamp"));
    t->lambda = json_number_value(json_object_get(json, "lambda"));
    t->value_mean = json_number_value(json_object_get(json, "value_mean"));
    t->value_std = json_number_value(json_object_get(json, "value_std"));
    if (!schema_target_curved(t)) return 0;
    t->low = json_number_value(json_array_get(range, 0));
    t->high = json_number_value(json_array_get(range, 1));
    return json_array_size(range) == 2 && t->low <= t->high && (!t->transform || t->value_std > 0) ? 0 : -1;
}
