/* space.c - see space.h. Sections: paths, axes, values, applying. */
#include "schema/sweep/space.h"

#include "engine/base/random.h"
#include "schema/json/values.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- paths ---- */

/* "model.layers.0.units" or "/model/layers/0/units" as a JSON Pointer. A dotted path has no escapes. */
static bool path_pointer(const char *path, char *pointer, size_t size) {
    if (*path == '/') return snprintf(pointer, size, "%s", path) < (int)size && path[strlen(path) - 1] != '/' && !strstr(path, "//");
    size_t at = 0;
    if (!*path || *path == '.' || path[strlen(path) - 1] == '.' || strstr(path, "..")) return false;
    pointer[at++] = '/';
    for (; *path && at < size - 2; path++) {
        if (*path == '~' || *path == '/') pointer[at++] = '~', pointer[at++] = *path == '~' ? '0' : '1';
        else pointer[at++] = *path == '.' ? '/' : *path;
    }
    pointer[at] = '\0';
    return !*path;
}

/* The next token of a pointer, unescaped; NULL: it has ended. */
static const char *next_token(const char *pointer, char token[SCHEMA_SPACE_PATH]) {
    size_t at = 0;
    if (*pointer != '/') return NULL;
    for (pointer++; *pointer && *pointer != '/' && at < SCHEMA_SPACE_PATH - 1; pointer++) {
        if (pointer[0] == '~' && (pointer[1] == '0' || pointer[1] == '1')) token[at++] = *++pointer == '0' ? '~' : '/';
        else token[at++] = *pointer;
    }
    token[at] = '\0';
    return pointer;
}

static bool leads_to(const char *from, const char *to) {
    const size_t size = strlen(from);
    return strncmp(from, to, size) == 0 && (to[size] == '/' || !to[size]);
}

int32_t schema_space_axis_at(const struct schema_space *space, const char *pointer) {
    for (int32_t i = 0; i < space->count; i++)
        if (leads_to(space->axes[i].pointer, pointer)) return i;
    return -1;
}

/* Members of a job that are the same in all trials of a sweep. */
static const char *const fixed[] = {"/dataset",  "/metadata",  "/priority", "/publish",     "/model/name", "/effort",
                                    "/ensemble", "/init_from", "/target",   "/max_seconds", NULL};

static void check_path(struct schema_space *space, struct schema_space_axis *axis, const char *place, struct schema_problems *problems) {
    if (!path_pointer(axis->name, axis->pointer, sizeof axis->pointer)) {
        axis->pointer[0] = '\0';
        schema_problem_add(problems, place, "\"%.80s\" is not a path into a job: write optimizer.learning_rate, or /optimizer/learning_rate",
                           axis->name);
        return;
    }
    for (const char *const *f = fixed; *f; f++)
        if (leads_to(*f, axis->pointer))
            schema_problem_add(problems, place, "%s is the same in all trials of a sweep and cannot be tried out", *f + 1);
    if (strcmp(axis->pointer, "/model") == 0)
        schema_problem_add(problems, place, "a sweep trains one model; vary a part of it, as model.layers.0.units");
    for (int32_t k = 0; k < space->count; k++)
        if (leads_to(space->axes[k].pointer, axis->pointer) || leads_to(axis->pointer, space->axes[k].pointer))
            schema_problem_add(problems, place, "\"%.80s\" and \"%.80s\" set the same part of the job", space->axes[k].name, axis->name);
}

/* ---- axes ---- */

static json_t *rounded(double value, int digits) {
    char text[40];
    snprintf(text, sizeof text, "%.*g", digits, value);
    return schema_number_encode(strtod(text, NULL));
}

static json_t *axis_number(const struct schema_space_axis *a, double value, int digits) {
    if (value < a->low) value = a->low;
    if (value > a->high) value = a->high;
    if (a->whole) return json_integer((json_int_t)llround(value));
    json_t *number = rounded(value, digits); /* rounding must not leave the range */
    if (json_number_value(number) >= a->low && json_number_value(number) <= a->high) return number;
    json_decref(number);
    return schema_number_encode(value);
}

static void add_new(json_t *values, json_t *value) {
    const size_t n = json_array_size(values);
    if (n == 0 || !json_equal(json_array_get(values, n - 1), value)) json_array_append(values, value);
    json_decref(value);
}

static void choice_decode(struct schema_space_axis *a, json_t *choice, const char *place, struct schema_problems *problems) {
    const size_t n = json_array_size(choice);
    if (n < 1 || n > SCHEMA_SPACE_VALUES_MAX) {
        schema_problem_add(problems, place, "choice must be a list of 1 to %d values", SCHEMA_SPACE_VALUES_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(choice, i), json_array_get(choice, k))) {
                schema_problem_add(problems, place, "choice has the same value at %zu and at %zu", k, i);
                return;
            }
    a->values = json_incref(choice);
}

/* The values at equal steps, or so many from low to high. */
static void list_values(struct schema_space_axis *a, double step, int64_t points) {
    a->values = json_array();
    const int64_t n = points ? points : (int64_t)floor((a->high - a->low) / step + 1e-9) + 1;
    for (int64_t k = 0; k < n; k++) {
        const double share = points > 1 ? (double)k / (double)(points - 1) : 0;
        const double value = !points          ? a->low + step * (double)k
                             : a->logarithmic ? a->low * pow(a->high / a->low, share)
                                              : a->low + (a->high - a->low) * share;
        add_new(a->values, axis_number(a, value, 12));
    }
}

static void steps_decode(struct schema_space_axis *a, const json_t *json, const char *place, struct schema_problems *problems) {
    const json_t *step = json_object_get(json, "step"), *points = json_object_get(json, "points");
    char got[80];
    if (step && (points || a->logarithmic))
        schema_problem_add(problems, place, points ? "give step or points, not both" : "a log_range has points, no step");
    else if (step && (!json_is_number(step) || !(json_number_value(step) > 0)))
        schema_problem_add(problems, place, "step must be a number above 0, got %s", schema_json_text(step, got, sizeof got));
    else if (step && (a->high - a->low) / json_number_value(step) >= SCHEMA_SPACE_VALUES_MAX)
        schema_problem_add(problems, place, "this step makes more than %d values", SCHEMA_SPACE_VALUES_MAX);
    else if (points && (!json_is_integer(points) || json_integer_value(points) < 2 || json_integer_value(points) > SCHEMA_SPACE_VALUES_MAX))
        schema_problem_add(problems, place, "points must be a whole number from 2 to %d, got %s", SCHEMA_SPACE_VALUES_MAX,
                           schema_json_text(points, got, sizeof got));
    else if (step || points) list_values(a, json_number_value(step), json_integer_value(points));
}

static void range_decode(struct schema_space_axis *a, const json_t *json, const json_t *range, const char *place, struct schema_problems *problems) {
    const json_t *low = json_array_get(range, 0), *high = json_array_get(range, 1);
    char got[80];
    a->low = json_number_value(low);
    a->high = json_number_value(high);
    a->whole = json_is_integer(low) && json_is_integer(high) && (!json_object_get(json, "step") || json_is_integer(json_object_get(json, "step")));
    if (json_array_size(range) != 2 || !json_is_number(low) || !json_is_number(high) || !(a->low < a->high) || fabs(a->low) > 1e15 ||
        fabs(a->high) > 1e15)
        schema_problem_add(problems, place, "a range is two numbers, the lower one first, as [0.0001, 0.1]; got %s",
                           schema_json_text(range, got, sizeof got));
    else if (a->logarithmic && !(a->low > 0))
        schema_problem_add(problems, place, "a log_range begins above 0, got %s", schema_json_text(range, got, sizeof got));
    else steps_decode(a, json, place, problems);
}

static void axis_decode(struct schema_space_axis *a, const json_t *json, const char *place, struct schema_problems *problems) {
    static const char *const known[] = {"choice", "range", "log_range", "step", "points", NULL};
    json_t *choice = json_object_get(json, "choice"), *range = json_object_get(json, "range"), *logarithmic = json_object_get(json, "log_range"),
           *ignored;
    const char *key;
    char got[80], meant[120];
    if (!json_is_object(json) || (choice != NULL) + (range != NULL) + (logarithmic != NULL) != 1) {
        schema_problem_add(problems, place, "expected {\"choice\":[...]}, {\"range\":[low,high]} or {\"log_range\":[low,high]}, got %s",
                           schema_json_text(json, got, sizeof got));
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, ignored) {
        bool found = false;
        for (const char *const *k = known; *k; k++) found = found || strcmp(*k, key) == 0;
        if (!found)
            schema_problem_add(problems, place, "unknown field \"%.60s\"%s", key,
                               schema_did_you_mean(schema_nearest_in(key, known), meant, sizeof meant));
    }
    a->logarithmic = logarithmic != NULL;
    if (!choice) range_decode(a, json, range ? range : logarithmic, place, problems);
    else if (json_object_size(json) == 1) choice_decode(a, choice, place, problems);
    else schema_problem_add(problems, place, "a choice has neither step nor points");
}

int schema_space_decode(const json_t *json, const char *pointer, struct schema_space *space, struct schema_problems *problems) {
    const int64_t before = problems->total;
    const char *key;
    json_t *value;
    char got[80], place[SCHEMA_SPACE_PATH + 80];
    memset(space, 0, sizeof *space);
    if (!json_is_object(json) || json_object_size(json) < 1 || json_object_size(json) > SCHEMA_SPACE_MAX) {
        schema_problem_add(problems, pointer,
                           "space must be an object of 1 to %d paths, as {\"optimizer.learning_rate\":{\"log_range\":[0.0001,0.1]}}; got %s",
                           SCHEMA_SPACE_MAX, schema_json_text(json, got, sizeof got));
        return -1;
    }
    space->json = json_incref((json_t *)(uintptr_t)json);
    json_object_foreach(space->json, key, value) {
        struct schema_space_axis *axis = &space->axes[space->count];
        axis->name = key;
        schema_pointer(pointer, key, place, sizeof place);
        check_path(space, axis, place, problems);
        axis_decode(axis, value, place, problems);
        space->count++;
    }
    return problems->total > before ? -1 : 0;
}

void schema_space_clear(struct schema_space *space) {
    for (int32_t i = 0; i < space->count; i++) json_decref(space->axes[i].values);
    json_decref(space->json);
    memset(space, 0, sizeof *space);
}

/* ---- values ---- */

int64_t schema_space_grid(const struct schema_space *space, const char *pointer, struct schema_problems *problems) {
    char place[SCHEMA_SPACE_PATH + 80];
    int64_t count = 1;
    for (int32_t i = 0; i < space->count; i++) {
        const struct schema_space_axis *a = &space->axes[i];
        if (!a->values) {
            schema_problem_add(problems, schema_pointer(pointer, a->name, place, sizeof place),
                               "a grid needs a choice, or a range with \"step\" or \"points\"");
            count = -1;
        }
        const int64_t n = (int64_t)json_array_size(a->values);
        if (count > 0) count = count > INT64_MAX / (n + 1) ? INT64_MAX : count == INT64_MAX ? count : count * n;
    }
    return count;
}

json_t *schema_space_point(const struct schema_space *space, int64_t i) {
    json_t *values[SCHEMA_SPACE_MAX], *point = json_object();
    for (int32_t k = space->count - 1; k >= 0; k--) {
        const int64_t n = (int64_t)json_array_size(space->axes[k].values);
        values[k] = json_array_get(space->axes[k].values, (size_t)(i % n));
        i /= n;
    }
    for (int32_t k = 0; k < space->count; k++) json_object_set(point, space->axes[k].name, values[k]);
    return point;
}

static json_t *draw(const struct schema_space_axis *a, struct bp_random *random) {
    if (a->values) return json_incref(json_array_get(a->values, bp_random_below(random, json_array_size(a->values))));
    const double u = bp_random_uniform(random);
    if (a->whole) { /* each whole number has the part of the axis up to the next one */
        const double end = a->high + 1;
        return axis_number(a, floor(a->logarithmic ? exp(log(a->low) + u * (log(end) - log(a->low))) : a->low + u * (end - a->low)), 17);
    }
    return axis_number(a, a->logarithmic ? exp(log(a->low) + u * (log(a->high) - log(a->low))) : a->low + u * (a->high - a->low), 6);
}

json_t *schema_space_draw(const struct schema_space *space, uint64_t seed, int64_t i) {
    struct bp_random random = bp_random_open(seed, BP_STREAM_SWEEP, (uint32_t)i);
    json_t *point = json_object();
    for (int32_t k = 0; k < space->count; k++) json_object_set_new(point, space->axes[k].name, draw(&space->axes[k], &random));
    return point;
}

json_t *schema_space_edge(const struct schema_space *space, json_t *point, int32_t axis, bool high) {
    const struct schema_space_axis *a = &space->axes[axis];
    const size_t n = json_array_size(a->values);
    json_object_set_new(point, a->name,
                        a->values ? json_incref(json_array_get(a->values, high ? n - 1 : 0)) : axis_number(a, high ? a->high : a->low, 17));
    return point;
}

/* ---- applying ---- */

/* What is at this token of a container, made into a container if it is none; NULL: that cannot be. */
static json_t *enter(json_t *at, const char *token, bool optimizer) {
    char *end;
    json_t *inner;
    if (json_is_array(at)) {
        const unsigned long i = strtoul(token, &end, 10);
        inner = *token >= '0' && *token <= '9' && !*end ? json_array_get(at, i) : NULL;
        if (!json_is_string(inner)) return inner;
        json_array_set_new(at, i, json_pack("{s:O}", "type", inner));
        return json_array_get(at, i);
    }
    if (!json_is_object(at)) return NULL;
    inner = json_object_get(at, token);
    if (json_is_object(inner) || json_is_array(inner)) return inner;
    if (inner && !json_is_string(inner) && !json_is_null(inner)) return NULL;
    json_t *made = json_is_string(inner) ? json_pack("{s:O}", "type", inner) : optimizer ? json_pack("{s:s}", "type", "adam") : json_object();
    json_object_set_new(at, token, made);
    return made;
}

static bool set_at(json_t *job, const char *pointer, json_t *value) {
    char token[SCHEMA_SPACE_PATH];
    json_t *at = job;
    const char *rest = next_token(pointer, token);
    while (rest && *rest) {
        at = enter(at, token, at == job && strcmp(token, "optimizer") == 0);
        if (!at) return false;
        rest = next_token(rest, token);
    }
    if (json_is_object(at)) return json_object_set(at, token, value) == 0;
    char *end;
    const unsigned long i = strtoul(token, &end, 10);
    return json_is_array(at) && *token >= '0' && *token <= '9' && !*end && i < json_array_size(at) && json_array_set(at, i, value) == 0;
}

int schema_space_apply(const struct schema_space *space, const json_t *parameters, const char *pointer, json_t *job,
                       struct schema_problems *problems) {
    char place[SCHEMA_SPACE_PATH + 80];
    int failed = 0;
    for (int32_t i = 0; i < space->count; i++) {
        const struct schema_space_axis *a = &space->axes[i];
        json_t *value = json_deep_copy(json_object_get(parameters, a->name)); /* two trials must not share what a later axis changes */
        if (value && !set_at(job, a->pointer, value)) {
            schema_problem_add(problems, schema_pointer(pointer, a->name, place, sizeof place),
                               "the job has no place \"%.80s\": the path leads through a value that is no object, or behind the end of a list",
                               a->name);
            failed = -1;
        }
        json_decref(value);
    }
    return failed;
}
