/* space.h - the space of a sweep: which values of a job are tried. Pure functions of the request: the parameters of trial i depend on the space, the
 * method, the seed and i alone, whatever the timing.
 *
 *     {"optimizer.learning_rate": {"log_range": [1e-4, 1e-1]}, "model.layers.0.units": {"choice": [16, 32]}, "batch_size": {"range": [16, 256],
 * "step": 16}}
 *
 * A path leads into the document of a job, by dots or as a JSON Pointer. A range between whole numbers has whole numbers, unless its step is none;
 * other values have 6 significant digits, so that what is shown is what is tried. */
#ifndef SCHEMA_SPACE_H
#define SCHEMA_SPACE_H

#include "schema/json/problems.h"

enum { SCHEMA_SPACE_MAX = 32, SCHEMA_SPACE_VALUES_MAX = 1000, SCHEMA_SPACE_PATH = 256 };

struct schema_space_axis {
    const char *name;                /* as in the request; borrowed from its JSON */
    char pointer[SCHEMA_SPACE_PATH]; /* the path as a JSON Pointer */
    json_t *values;                  /* a choice, or the steps or points of a range; NULL: any value between low and high */
    double low, high;
    bool whole, logarithmic;
};
struct schema_space {
    struct schema_space_axis axes[SCHEMA_SPACE_MAX];
    int32_t count;
    json_t *json;
};

/* Decodes the member "space" of a sweep. The space is cleared by schema_space_clear in any case. -1 with problems. */
int schema_space_decode(const json_t *json, const char *pointer, struct schema_space *space, struct schema_problems *problems);
void schema_space_clear(struct schema_space *space);
/* Points of the grid, counted without making them; INT64_MAX: more. -1 with problems: an axis has neither a choice nor steps or points. */
int64_t schema_space_grid(const struct schema_space *space, const char *pointer, struct schema_problems *problems);
/* The parameters of a trial, {"path": value}: point i of the grid, the last axis running fastest; or the i-th draw. The caller's. */
json_t *schema_space_point(const struct schema_space *space, int64_t i);
json_t *schema_space_draw(const struct schema_space *space, uint64_t seed, int64_t i);
/* The draw with one axis at its lowest or highest value, or first or last choice: to check a space by its corners. */
json_t *schema_space_edge(const struct schema_space *space, json_t *draw, int32_t axis, bool high);
/* Writes the parameters into the document of a job. What a path leads through is made: an object in place of nothing, {"type":"adam"} in place of
 * "adam" (and of a missing optimizer). -1 with problems: it leads through a number, or behind the end of a list. */
int schema_space_apply(const struct schema_space *space, const json_t *parameters, const char *pointer, json_t *job,
                       struct schema_problems *problems);
/* Where a problem of a job with such parameters belongs: the axis that its pointer leads to, or -1. */
int32_t schema_space_axis_at(const struct schema_space *space, const char *pointer);

#endif
