/* request.c - see request.h. */
#include "schema/evaluate/request.h"

#include "schema/json/values.h"

#include <stdio.h>

enum { BOOTSTRAP, POINTS, ROWS, SEED, PARAMS };
static const struct bp_param params[PARAMS] = {
    [BOOTSTRAP] = {.name = "bootstrap",
                   .type = BP_PARAM_INTEGER,
                   .preset = 1000,
                   .max = SCHEMA_EVALUATE_BOOTSTRAP_MAX,
                   .help = "resamples for the 95 % intervals, 0: none"},
    [POINTS] = {.name = "max_points", .type = BP_PARAM_INTEGER, .preset = 200, .min = 2, .max = SCHEMA_EVALUATE_POINTS_MAX, .help = "of a curve"},
    [ROWS] = {.name = "rows", .type = BP_PARAM_INTEGER, .min = 0, .max = 1e15, .help = "at most so many rows, evenly spread; 0: all"},
    [SEED] = {.name = "seed", .type = BP_PARAM_INTEGER, .min = 0, .max = 9007199254740992.0, .help = "of the resamples"},
};
static const struct bp_entry entry = {.name = "an evaluation", .params = params, .params_count = PARAMS};

static void find_slices(const json_t *given, const struct schema_dataset *dataset, struct schema_evaluate_request *r,
                        struct schema_problems *problems) {
    json_t *name;
    size_t i;
    if (!given || json_is_null(given) || !dataset) return;
    if (!json_is_array(given) || json_array_size(given) > SCHEMA_EVALUATE_SLICES_MAX) {
        schema_problem_add(problems, "/slices", "slices is an array of at most %d names of columns", SCHEMA_EVALUATE_SLICES_MAX);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)given, i, name) {
        char place[40];
        snprintf(place, sizeof place, "/slices/%zu", i);
        const int32_t column = json_is_string(name) ? schema_dataset_find(dataset, json_string_value(name)) : -1;
        const int storage = column < 0 ? SCHEMA_HELD_AS_BYTES : schema_type_of(dataset->columns[column].type)->storage;
        if (column < 0) schema_problem_add(problems, place, "there is no column of that name in the dataset");
        else if (storage != SCHEMA_HELD_AS_CODE && storage != SCHEMA_HELD_AS_NUMBER)
            schema_problem_add(problems, place, "rows are grouped by categories, booleans, numbers and times, not by a column of the type %s",
                               schema_type_of(dataset->columns[column].type)->name);
        else r->slices[r->evaluation.slices_count++] = column;
    }
}

void schema_evaluate_decode(const json_t *json, const char *const *others, const struct schema_dataset *dataset, struct schema_evaluate_request *r,
                            struct schema_problems *problems) {
    static const char *const own_names[] = {"positive_class", "slices", NULL};
    const struct schema_names own = {own_names, NULL}, known = {others, &own};
    const json_t *positive = json_object_get(json, "positive_class");
    struct bp_value values[PARAMS];
    *r = (struct schema_evaluate_request){0};
    schema_values_decode(json, "", &entry, &known, values, problems);
    if (positive && !json_is_string(positive) && !json_is_null(positive))
        schema_problem_add(problems, "/positive_class", "positive_class is the label of a class, as text");
    r->evaluation = (struct schema_evaluation){.dataset = dataset,
                                               .bootstrap = (int32_t)values[BOOTSTRAP].number,
                                               .seed = (uint64_t)values[SEED].number,
                                               .rows_max = (int64_t)values[ROWS].number,
                                               .points = (int32_t)values[POINTS].number,
                                               .positive_class = json_string_value(positive),
                                               .slices = r->slices};
    find_slices(json_object_get(json, "slices"), dataset, r, problems);
}

json_t *schema_evaluate_encode(const json_t *json) {
    static const char *const names[] = {"bootstrap", "max_points", "positive_class", "rows", "seed", "slices"};
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_object_get(json, names[i])) json_object_set(out, names[i], json_object_get(json, names[i]));
    return out;
}

json_t *schema_evaluate_resolved(const struct schema_evaluate_request *r) {
    const struct schema_evaluation *e = &r->evaluation;
    json_t *slices = json_array();
    for (int32_t i = 0; i < e->slices_count; i++) json_array_append_new(slices, json_string(e->dataset->columns[r->slices[i]].name));
    return json_pack("{s:I, s:I, s:s?, s:I, s:I, s:o}", "bootstrap", (json_int_t)e->bootstrap, "max_points", (json_int_t)e->points, "positive_class",
                     e->positive_class, "rows", (json_int_t)e->rows_max, "seed", (json_int_t)e->seed, "slices", slices);
}
