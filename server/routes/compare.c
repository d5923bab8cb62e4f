/* compare.c - GET /v1/compare: jobs side by side. Sections: what is read of a job; differences; metrics; whether they were measured alike; answers.
 */
#include "server/routes/csv.h"
#include "server/routes/history.h"
#include "server/routes/job_view.h"

#include "schema/memory.h"
#include "schema/predict/metric_name.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS_MAX = 20, POINTS_PRESET = 200, POINTS_MAX = 2000, CSV_MAX = 16 << 20, WARNINGS_MAX = 40 };

struct compared {
    char ids[JOBS_MAX][STORE_ID_SIZE];
    int32_t count;
    json_t *jobs[JOBS_MAX];  /* as GET /v1/jobs/{id} */
    json_t *final[JOBS_MAX]; /* metrics of the last epoch, or null */
    json_t *best[JOBS_MAX];  /* of the version's epoch; of a job without a version those of its best epoch */
};

/* ---- what is read of a job ---- */

static json_t *metrics_at(struct store *store, const char *job, int64_t epoch) {
    char *data = NULL;
    struct bp_error ignored = {0};
    store_metrics_at(store, job, epoch, &data, &ignored);
    json_t *json = document_json(data);
    free(data);
    return json;
}

/* False: answered. */
static bool read_job(struct request *r, struct compared *c, int32_t i) {
    struct store_job job = {0};
    struct bp_error error = {0};
    const enum store_result result = store_job_get(r->server->store, c->ids[i], &job, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "job \"%.60s\"", c->ids[i]);
        return false;
    }
    if (job.kind != STORE_TRAIN) {
        answer_problem(r, PROBLEM_invalid, "job %s is of the kind %s; only jobs that train can be compared", job.id, store_kind_names[job.kind]);
        store_job_free(&job);
        return false;
    }
    c->jobs[i] = job_json(r->server, &job);
    c->final[i] = metrics_at(r->server->store, job.id, 0);
    const json_t *epoch = json_object_get(json_object_get(c->jobs[i], "best"), "epoch");
    if (job.status == STORE_SUCCEEDED || !epoch) c->best[i] = json_incref(json_object_get(c->jobs[i], "metrics"));
    else c->best[i] = metrics_at(r->server->store, job.id, json_integer_value(epoch));
    store_job_free(&job);
    return true;
}

static bool read_ids(struct request *r, struct compared *c) {
    const char *text = request_query(r, "jobs");
    size_t size = 0;
    for (; text && *text; text += size + (text[size] == ',')) {
        size = strcspn(text, ",");
        if (c->count == JOBS_MAX) {
            answer_problem(r, PROBLEM_invalid, "at most %d jobs can be compared", JOBS_MAX);
            return false;
        }
        char *id = c->ids[c->count++];
        snprintf(id, STORE_ID_SIZE, "%.*s", (int)(size < STORE_ID_SIZE ? size : STORE_ID_SIZE - 1), text);
        for (int32_t k = 0; k + 1 < c->count; k++)
            if (strcmp(c->ids[k], id) == 0) {
                answer_problem(r, PROBLEM_invalid, "jobs names %s twice", id);
                return false;
            }
    }
    if (c->count >= 2) return true;
    answer_problem(r, PROBLEM_invalid, "jobs must name from 2 to %d jobs separated by commas, as jobs=%s,job_b; got %d", JOBS_MAX,
                   c->count ? c->ids[0] : "job_a", (int)c->count);
    return false;
}

/* ---- differences ---- */

/* The leaves of a value under dotted names: {"optimizer":{"type":"adam"}} is optimizer.type. A list of objects is numbered, any other is a leaf. */
static void flatten(const char *name, const json_t *value, json_t *to) {
    char inner[600];
    const char *key;
    json_t *member;
    size_t i;
    const char *dot = *name ? "." : "";
    if (json_is_object(value) && json_object_size(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, member) {
            snprintf(inner, sizeof inner, "%.400s%s%.180s", name, dot, key);
            flatten(inner, member, to);
        }
    } else if (json_is_object(json_array_get(value, 0))) {
        json_array_foreach((json_t *)(uintptr_t)value, i, member) {
            snprintf(inner, sizeof inner, "%.400s%s%zu", name, dot, i);
            flatten(inner, member, to);
        }
    } else if (*name) {
        json_object_set(to, name, (json_t *)(uintptr_t)value);
    }
}

/* [{"name","differs","values"}] of a member of the jobs; with `same` those that do not differ too. A value that a job does not have is null. */
static json_t *differences(const struct compared *c, const char *member, bool same) {
    json_t *list = json_array(), *names = json_object(), *flat[JOBS_MAX], *ignored;
    const char *name;
    for (int32_t i = 0; i < c->count; i++) {
        flatten("", json_object_get(c->jobs[i], member), flat[i] = json_object());
        json_object_update_missing(names, flat[i]);
    }
    json_object_foreach(names, name, ignored) {
        json_t *values = json_array();
        bool differs = false;
        for (int32_t i = 0; i < c->count; i++) {
            json_t *value = json_object_get(flat[i], name);
            json_array_append(values, value ? value : json_null());
            differs = differs || !json_equal(json_array_get(values, 0), json_array_get(values, (size_t)i));
        }
        if (differs || same) json_array_append_new(list, json_pack("{s:s, s:b, s:O}", "name", name, "differs", differs, "values", values));
        json_decref(values);
    }
    for (int32_t i = 0; i < c->count; i++) json_decref(flat[i]);
    json_decref(names);
    return list;
}

/* ---- metrics ---- */

/* The jobs with the best value: several if they are equal. */
static json_t *best_jobs(const struct compared *c, const json_t *values, int direction) {
    json_t *ids = json_array();
    const json_t *best = NULL;
    for (size_t i = 0; direction && i < (size_t)c->count; i++) {
        const json_t *v = json_array_get(values, i);
        if (json_is_number(v) && (!best || direction * json_number_value(v) > direction * json_number_value(best))) best = v;
    }
    for (size_t i = 0; best && i < (size_t)c->count; i++) {
        const json_t *v = json_array_get(values, i);
        if (json_is_number(v) && json_number_value(v) >= json_number_value(best) && json_number_value(v) <= json_number_value(best))
            json_array_append_new(ids, json_string(c->ids[i]));
    }
    return ids;
}

static json_t *metric(const struct compared *c, const char *name) {
    json_t *final = json_array(), *best = json_array();
    const int direction = schema_metric_direction(name);
    for (int32_t i = 0; i < c->count; i++) {
        json_t *last = json_object_get(c->final[i], name), *kept = json_object_get(c->best[i], name);
        json_array_append(final, last ? last : json_null());
        json_array_append(best, kept ? kept : json_null());
    }
    json_t *ids = best_jobs(c, best, direction);
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", name, "direction",
                     direction ? json_string(direction > 0 ? "higher_is_better" : "lower_is_better") : json_null(), "final", final, "best", best,
                     "best_jobs", ids);
}

static json_t *metrics(const struct compared *c) {
    json_t *names = json_object(), *list = json_array(), *value;
    const char *name;
    for (int32_t i = 0; i < c->count; i++) {
        if (json_is_object(c->best[i])) json_object_update_missing(names, c->best[i]);
        if (json_is_object(c->final[i])) json_object_update_missing(names, c->final[i]);
    }
    static const char *const places[] = {"epoch", "fold", "fold_epoch", "layers"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) json_object_del(names, places[i]);
    json_object_foreach(names, name, value) if (!json_is_array(value) && !json_is_object(value)) json_array_append_new(list, metric(c, name));
    json_decref(names);
    return list;
}

/* By epoch, of all jobs; NULL: answered. */
static json_t *series(struct request *r, const struct compared *c, const char *name, size_t most) {
    json_t *all = json_array(), *names = json_pack("[s]", name);
    bool known = false;
    for (int32_t i = 0; i < c->count; i++) {
        struct history h = {0};
        struct bp_error error = {0};
        json_t *points = json_array();
        const enum store_result result = history_read(r->server->store, c->ids[i], &h, &error);
        bool *keep = calloc(h.count + 1, sizeof *keep);
        if (result != STORE_OK || !keep) answer_problem(r, PROBLEM_storage, "%s", keep ? error.message : "out of memory");
        if (keep && h.count > most) history_thin(&h, names, most, keep);
        else if (keep) memset(keep, 1, h.count);
        for (size_t k = 0; keep && k < h.count; k++) {
            json_t *value = json_object_get(h.points[k], name);
            known = known || value;
            if (keep[k] && value)
                json_array_append_new(points, json_pack("{s:O, s:O}", "epoch", json_object_get(h.points[k], "epoch"), "value", value));
        }
        free(keep);
        history_free(&h);
        json_array_append_new(all, json_pack("{s:s, s:o}", "job", c->ids[i], "points", points));
        if (r->status) break;
    }
    json_decref(names);
    if (!known && !r->status) answer_problem(r, PROBLEM_invalid, "none of these jobs has a metric \"%.80s\" by epoch", name);
    if (!r->status) return json_pack("{s:s, s:o}", "name", name, "jobs", all);
    json_decref(all);
    return NULL;
}

/* ---- whether they were measured alike ---- */

/* What decides which rows validate: the same for two jobs with the same rows. A split by chance depends on the seed. */
static json_t *validation_of(const json_t *job) {
    const json_t *options = json_object_get(job, "options"), *validation = json_object_get(options, "validation");
    const bool chance = !json_object_get(validation, "column") && !json_object_get(validation, "time") && !json_object_get(validation, "dataset");
    const json_t *other = json_object_get(validation, "dataset");
    return json_pack("{s:O, s:O, s:O, s:O}", "dataset", other ? other : json_object_get(job, "dataset"), "target", json_object_get(job, "target"),
                     "validation", validation, "seed", chance ? json_object_get(options, "seed") : json_null());
}

static bool validates(const json_t *job) {
    const json_t *validation = json_object_get(json_object_get(job, "options"), "validation"), *fraction = json_object_get(validation, "fraction");
    return !fraction || json_number_value(fraction) > 0;
}

static void warn(json_t *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(json_t *warnings, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (json_array_size(warnings) < WARNINGS_MAX) json_array_append_new(warnings, json_string(text));
}

static void compare_rows(const struct compared *c, int32_t first, int32_t i, json_t *warnings) {
    static const char *const parts[] = {"dataset", "target", "validation", "seed"};
    json_t *a = validation_of(c->jobs[first]), *b = validation_of(c->jobs[i]);
    char what[100] = "";
    size_t at = 0;
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (!json_equal(json_object_get(a, parts[k]), json_object_get(b, parts[k])))
            at += (size_t)snprintf(what + at, sizeof what - at, "%s%s", at ? ", " : "", parts[k]);
    if (at)
        warn(warnings, "%s and %s were validated on different rows, their val_ metrics are not comparable: they differ in %s", c->ids[first],
             c->ids[i], what);
    json_decref(a);
    json_decref(b);
}

static json_t *warnings_of(const struct compared *c) {
    json_t *warnings = json_array();
    int32_t first = -1; /* that validates */
    for (int32_t i = 0; i < c->count; i++) {
        const char *status = json_string_value(json_object_get(c->jobs[i], "status"));
        const json_t *loss[2] = {json_object_get(json_object_get(c->jobs[0], "definition"), "loss"),
                                 json_object_get(json_object_get(c->jobs[i], "definition"), "loss")};
        if (!json_object_get(c->jobs[i], "finished_at") || json_is_null(json_object_get(c->jobs[i], "finished_at")))
            warn(warnings, "%s is %s: its numbers are those so far", c->ids[i], status);
        if (!json_equal(loss[0], loss[1]))
            warn(warnings, "%s and %s have different losses: loss and val_loss are not comparable", c->ids[0], c->ids[i]);
        if (!validates(c->jobs[i])) warn(warnings, "%s has no validation rows", c->ids[i]);
        else if (first < 0) first = i;
        else compare_rows(c, first, i, warnings);
    }
    return warnings;
}

/* ---- answers ---- */

static json_t *summary(const struct compared *c, int32_t i) {
    static const char *const members[] = {"id",          "status", "model",      "model_version",    "dataset",
                                          "target",      "task",   "parameters", "created_at",       "started_at",
                                          "finished_at", "best",   "metadata",   "training_seconds", "stop_reason"};
    json_t *job = json_object();
    for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
        json_t *value = json_object_get(c->jobs[i], members[k]);
        json_object_set(job, members[k], value ? value : json_null());
    }
    json_object_set(job, "epochs", json_object_get(json_object_get(c->jobs[i], "progress"), "epoch"));
    return job;
}

static void csv_row(struct schema_text *text, const char *section, const char *name, const json_t *values) {
    csv_text(text, section, true);
    csv_text(text, name, false);
    for (size_t i = 0; i < json_array_size(values); i++) csv_value(text, json_array_get(values, i), false);
    csv_line(text);
}

static void csv_rows(struct schema_text *text, const char *section, const json_t *list, const char *values) {
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) csv_row(text, section, json_string_value(json_object_get(one, "name")), json_object_get(one, values));
}

/* A column for each job: section,name,job_a,job_b. */
static void answer_csv(struct request *r, const json_t *comparison) {
    struct schema_text text = {.limit = CSV_MAX};
    const json_t *jobs = json_object_get(comparison, "jobs"), *job;
    static const char *const shown[] = {"status", "model", "model_version", "dataset", "parameters", "epochs", "training_seconds", "stop_reason"};
    size_t i;
    csv_text(&text, "section", true);
    csv_text(&text, "name", false);
    json_array_foreach(jobs, i, job) csv_value(&text, json_object_get(job, "id"), false);
    csv_line(&text);
    for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
        json_t *values = json_array();
        json_array_foreach(jobs, i, job) {
            const json_t *value = json_object_get(job, shown[k]), *version = json_object_get(value, "version");
            json_array_append_new(
                values, version ? json_sprintf("%s@%lld", json_string_value(json_object_get(value, "name")), (long long)json_integer_value(version))
                                : json_incref((json_t *)(uintptr_t)value));
        }
        csv_row(&text, "job", shown[k], values);
        json_decref(values);
    }
    csv_rows(&text, "option", json_object_get(comparison, "options"), "values");
    csv_rows(&text, "definition", json_object_get(comparison, "definition"), "values");
    csv_rows(&text, "best", json_object_get(comparison, "metrics"), "best");
    csv_rows(&text, "final", json_object_get(comparison, "metrics"), "final");
    csv_answer(r, &text);
}

static void answer(struct request *r, const struct compared *c, size_t points) {
    const char *name = request_query(r, "series"), *same = request_query(r, "same");
    json_t *by_epoch = name ? series(r, c, name, points) : json_null(), *jobs = json_array();
    if (by_epoch) {
        for (int32_t i = 0; i < c->count; i++) json_array_append_new(jobs, summary(c, i));
        const bool all = same && strcmp(same, "true") == 0;
        json_t *json =
            json_pack("{s:s, s:O, s:o, s:o, s:o, s:O, s:o}", "object", "comparison", "jobs", jobs, "options", differences(c, "options", all),
                      "definition", differences(c, "definition", all), "metrics", metrics(c), "series", by_epoch, "warnings", warnings_of(c));
        if (csv_wanted(r)) {
            answer_csv(r, json);
            json_decref(json);
        } else {
            answer_header(r, "Vary", "Accept");
            answer_json(r, 200, json);
        }
    }
    json_decref(jobs);
    json_decref(by_epoch);
}

static void compare(struct request *r) {
    struct compared *c = calloc(1, sizeof *c);
    const char *text = request_query(r, "max_points"), *same = request_query(r, "same");
    char *end = NULL;
    const long points = text ? strtol(text, &end, 10) : POINTS_PRESET;
    if (!c) answer_problem(r, PROBLEM_overloaded, "out of memory");
    else if (text && (!*text || *end || points < 2 || points > POINTS_MAX))
        answer_problem(r, PROBLEM_invalid, "max_points must be a whole number from 2 to %d, got \"%.40s\"", POINTS_MAX, text);
    else if (same && strcmp(same, "true") != 0 && strcmp(same, "false") != 0)
        answer_problem(r, PROBLEM_invalid, "same must be true or false, got \"%.40s\"", same);
    else if (read_ids(r, c)) {
        bool read = true;
        for (int32_t i = 0; read && i < c->count; i++) read = read_job(r, c, i);
        if (read) answer(r, c, (size_t)points);
    }
    for (int32_t i = 0; c && i < c->count; i++) {
        json_decref(c->jobs[i]);
        json_decref(c->final[i]);
        json_decref(c->best[i]);
    }
    free(c);
}

const struct route route_compare_jobs = {
    .name = "compare_jobs",
    .method = "GET",
    .path = "/v1/compare",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "jobs,series,max_points,same",
    .handle = compare,
};
