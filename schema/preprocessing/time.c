/* time.c - encoding of dates and times for a network: see enum schema_time_part. */
#include "schema/preprocessing/feature.h"
#include "schema/text/datetime.h"

#include <math.h>

static bool has(const struct schema_feature *f, enum schema_time_part part) {
    return f->options.parts >> part & 1;
}

int schema_times_fit(struct schema_feature *f, double *values, int64_t n, struct bp_error *error) {
    bool clock = false;
    for (int64_t i = 0; i < n && !clock; i++) clock = !isnan(values[i]) && fmod(values[i], 86400) != 0;
    if (!f->options.parts)
        f->options.parts = 1u << SCHEMA_PART_TIME | 1u << SCHEMA_PART_YEAR | 1u << SCHEMA_PART_WEEK | (clock ? 1u << SCHEMA_PART_DAY : 0);
    return schema_scale_fit(f, values, n, error);
}

_Static_assert(2 * SCHEMA_PARTS <= SCHEMA_MIXED_MAX, "the numbers of a time fit");

int32_t schema_time_width(const struct schema_feature *f) {
    int32_t width = has(f, SCHEMA_PART_TIME) + f->indicator;
    for (int part = SCHEMA_PART_YEAR; part < SCHEMA_PARTS; part++) width += 2 * has(f, (enum schema_time_part)part);
    return width;
}

void schema_time_apply(const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    const bool missing = cell->kind != SCHEMA_VALUE_NUMBER;
    const double v = missing ? f->fill : cell->number;
    if (has(f, SCHEMA_PART_TIME)) *out++ = (float)schema_scale_apply(f, v);
    for (int part = SCHEMA_PART_YEAR; part < SCHEMA_PARTS; part++) {
        if (!has(f, (enum schema_time_part)part)) continue;
        const double angle = 2 * 3.14159265358979323846 * schema_datetime_place(v, (enum schema_time_part)part);
        *out++ = missing ? 0.0f : (float)sin(angle); /* in the middle: no place of the cycle */
        *out++ = missing ? 0.0f : (float)cos(angle);
    }
    if (f->indicator) *out = missing ? 1.0f : 0.0f;
}
