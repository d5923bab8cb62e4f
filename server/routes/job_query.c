/* job_query.c - see job_query.h. Sections: what of a job; conditions; the order; cursors; fields. */
#include "server/routes/job_query.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/predict/metric_name.h"
#include "schema/text/datetime.h"
#include "schema/training/options.h"

#include <math.h>
#include <nettle/base64.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(struct request *r, struct job_query *q, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void refuse(struct request *r, struct job_query *q, const char *format, ...) {
    char text[900];
    va_list arguments;
    if (q->refused) return; /* the first one counts */
    q->refused = true;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    answer_problem(r, PROBLEM_invalid, "%s", text);
}

/* ---- what of a job ---- */

/* "optimizer.learning_rate" as $.options."optimizer"."learning_rate". */
static bool option_path(struct request *r, struct job_query *q, const char *text, struct store_subject *subject) {
    char first[80], meant[120];
    size_t at = (size_t)snprintf(subject->name, sizeof subject->name, "$.options");
    snprintf(first, sizeof first, "%.*s", (int)strcspn(text, "."), text);
    bool known = false;
    for (int i = 0; schema_options_names[i]; i++) known = known || strcmp(schema_options_names[i], first) == 0;
    if (!known) {
        refuse(r, q, "there is no option \"%.60s\"%s", first,
               schema_did_you_mean(schema_nearest_in(first, schema_options_names), meant, sizeof meant));
        return false;
    }
    while (*text && at < sizeof subject->name - 1) {
        const size_t size = strcspn(text, ".");
        if (size == 0 || memchr(text, '"', size)) break;
        at += (size_t)snprintf(subject->name + at, sizeof subject->name - at, ".\"%.*s\"", (int)size, text);
        text += size + (text[size] == '.' && text[size + 1]);
    }
    if (!*text && at < sizeof subject->name) return true;
    refuse(r, q, "\"%.80s\" is not the path of an option; expected one as optimizer.learning_rate", first);
    return false;
}

static bool take_name(struct store_subject *subject, enum store_subject_kind kind, const char *name) {
    subject->kind = kind;
    return *name && snprintf(subject->name, sizeof subject->name, "%s", name) < (int)sizeof subject->name;
}

/* created_at, val_accuracy, metrics.NAME, final.NAME, options.PATH, metadata.KEY. */
static bool subject_decode(struct request *r, struct job_query *q, const char *text, struct store_subject *subject) {
    static const struct {
        const char *prefix;
        enum store_subject_kind kind;
    } prefixes[] = {{"metrics.", STORE_JOB_METRIC},
                    {"final.", STORE_JOB_FINAL},
                    {"metadata.", STORE_JOB_METADATA},
                    {"options.", STORE_JOB_OPTION},
                    {"option.", STORE_JOB_OPTION}};
    char meant[120], near[80];
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t size = strlen(prefixes[i].prefix);
        if (strncmp(text, prefixes[i].prefix, size) != 0) continue;
        subject->kind = prefixes[i].kind;
        if (subject->kind == STORE_JOB_OPTION) return option_path(r, q, text + size, subject);
        if (take_name(subject, prefixes[i].kind, text + size)) return true;
        refuse(r, q, "\"%.80s\" needs a name of at most %d characters behind %s", text, STORE_SUBJECT_SIZE - 1, prefixes[i].prefix);
        return false;
    }
    for (int i = 0; store_job_fields[i]; i++)
        if (strcmp(text, store_job_fields[i]) == 0) return take_name(subject, STORE_JOB_FIELD, text);
    if (schema_metric_direction(text) != 0 && take_name(subject, STORE_JOB_METRIC, text)) return true;
    const char *nearest = schema_nearest_in(text, store_job_fields);
    if (!nearest) nearest = schema_metric_nearest(text, near, sizeof near);
    refuse(
        r, q,
        "a job has no \"%.80s\"%s; expected a metric as val_accuracy, or metrics.NAME, final.NAME, options.PATH, metadata.KEY, or one of created_at, "
        "started_at, finished_at, duration, training_seconds, epochs, parameters, priority, attempt, status, stop_reason, kind, model, "
        "model_version, "
        "dataset, id",
        text, schema_did_you_mean(nearest, meant, sizeof meant));
    return false;
}

/* ---- conditions ---- */

static bool is_time(const char *name) {
    return strcmp(name, "created_at") == 0 || strcmp(name, "started_at") == 0 || strcmp(name, "finished_at") == 0;
}

/* The value of a condition: a number if it reads as one. Metadata are texts, times are milliseconds in the store. */
static bool value_decode(struct request *r, struct job_query *q, const char *text, struct store_condition *c) {
    char *end;
    double number = strtod(text, &end);
    const bool field = c->subject.kind == STORE_JOB_FIELD, numeric = *text && !*end && isfinite(number) && !strpbrk(text, "xX \t");
    struct store_value *v = &c->value;
    if (field && is_time(c->subject.name)) {
        if (!schema_datetime_parse(text, strlen(text), &number)) {
            refuse(r, q, "%s is compared with a time as 2026-01-31 or 2026-01-31T12:00:00Z, got \"%.40s\"", c->subject.name, text);
            return false;
        }
        v->kind = STORE_VALUE_NUMBER, v->number = number * 1000;
        return true;
    }
    if ((c->subject.kind == STORE_JOB_METRIC || c->subject.kind == STORE_JOB_FINAL) && !numeric) {
        refuse(r, q, "the metric %.80s is compared with a number, got \"%.40s\"", c->subject.name, text);
        return false;
    }
    const bool words =
        c->subject.kind == STORE_JOB_METADATA ||
        (field && (strcmp(c->subject.name, "model") == 0 || strcmp(c->subject.name, "dataset") == 0 || strcmp(c->subject.name, "id") == 0));
    if (numeric && !words) {
        v->kind = STORE_VALUE_NUMBER, v->number = number;
        return true;
    }
    v->kind = STORE_VALUE_TEXT;
    if (snprintf(v->text, sizeof v->text, "%s", text) < 200) return true;
    refuse(r, q, "a value of a condition has at most 199 bytes, got %zu", strlen(text));
    return false;
}

static struct store_condition *condition_new(struct request *r, struct job_query *q) {
    if (q->search.conditions_count < STORE_CONDITIONS_MAX) return &q->search.conditions[q->search.conditions_count++];
    refuse(r, q, "at most %d conditions (where, option.NAME, metadata.KEY) are allowed", STORE_CONDITIONS_MAX);
    return NULL;
}

/* "val_accuracy>=0.9" */
static void where_decode(struct request *r, struct job_query *q, const char *text) {
    static const struct {
        const char *sign;
        enum store_comparing compare;
    } signs[] = {{"<=", STORE_AT_MOST}, {">=", STORE_AT_LEAST}, {"!=", STORE_UNEQUAL}, {"<", STORE_LESS}, {">", STORE_GREATER}, {"=", STORE_EQUAL}};
    char name[STORE_SUBJECT_SIZE + 20];
    const size_t size = strcspn(text, "<>=!");
    struct store_condition *c = condition_new(r, q);
    if (!c) return;
    for (size_t i = 0; size > 0 && size < sizeof name && i < sizeof signs / sizeof *signs; i++) {
        const size_t width = strlen(signs[i].sign);
        if (strncmp(text + size, signs[i].sign, width) != 0) continue;
        snprintf(name, sizeof name, "%.*s", (int)size, text);
        c->compare = signs[i].compare;
        if (!subject_decode(r, q, name, &c->subject)) return;
        value_decode(r, q, text + size + width, c);
        return;
    }
    refuse(r, q, "where expects NAME, one of = != < <= > >=, and a value, as where=val_accuracy>=0.9; got \"%.80s\"", text);
}

struct walk {
    struct request *request;
    struct job_query *query;
};

static enum MHD_Result look(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    const struct walk *walk = context;
    (void)kind;
    if (strcmp(name, "where") == 0) {
        where_decode(walk->request, walk->query, value ? value : "");
    } else if (strncmp(name, "metadata.", 9) == 0 || strncmp(name, "option.", 7) == 0) {
        struct store_condition *c = condition_new(walk->request, walk->query);
        if (c && subject_decode(walk->request, walk->query, name, &c->subject)) value_decode(walk->request, walk->query, value ? value : "", c);
    }
    return walk->query->refused ? MHD_NO : MHD_YES;
}

static void statuses_decode(struct request *r, struct job_query *q, const char *text) {
    char name[41];
    do {
        enum store_status status;
        const size_t size = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)(size < 40 ? size : 40), text);
        if (size < sizeof name && store_status_parse(name, &status)) q->search.statuses |= 1u << status;
        else refuse(r, q, "unknown status \"%s\"; statuses: queued running pausing paused cancelling cancelled succeeded failed", name);
        text += size;
    } while (*text++ == ',');
}

/* "penguins" or "penguins@2" */
static void dataset_decode(struct request *r, struct job_query *q, const char *text) {
    const size_t size = strcspn(text, "@");
    char *end = NULL;
    if (size < STORE_NAME_SIZE) {
        snprintf(q->dataset, sizeof q->dataset, "%.*s", (int)size, text);
        if (text[size]) q->filter.dataset_version = strtoll(text + size + 1, &end, 10);
        q->filter.dataset = q->dataset;
        if (schema_name_valid(q->dataset) && (!end || (text[size + 1] >= '1' && text[size + 1] <= '9' && !*end))) return;
    }
    refuse(r, q, "dataset must be the name of a dataset, or name@n for its version n, got \"%.80s\"", text);
}

static void time_decode(struct request *r, struct job_query *q, const char *name, int64_t *ms) {
    const char *text = request_query(r, name);
    double seconds;
    if (!text) return;
    if (schema_datetime_parse(text, strlen(text), &seconds) && seconds > 0) *ms = (int64_t)(seconds * 1000);
    else refuse(r, q, "%s must be a time as 2026-01-31 or 2026-01-31T12:00:00Z, got \"%.40s\"", name, text);
}

/* ---- the order ---- */

static void sort_decode(struct request *r, struct job_query *q, const char *text) {
    struct store_search *search = &q->search;
    char key[STORE_SUBJECT_SIZE + 20];
    if (snprintf(q->sort, sizeof q->sort, "%s", text) >= (int)sizeof q->sort) {
        refuse(r, q, "sort has at most %zu bytes, got %zu", sizeof q->sort - 1, strlen(text));
        return;
    }
    do {
        const bool descending = *text == '-';
        text += descending;
        const size_t size = strcspn(text, ",");
        if (search->sort_count == STORE_SORT_MAX || size == 0 || size >= sizeof key) {
            refuse(r, q, "sort expects up to %d names separated by commas, each with - in front for a descending order, as -val_accuracy,created_at",
                   STORE_SORT_MAX);
            return;
        }
        struct store_sort *sort = &search->sort[search->sort_count++];
        snprintf(key, sizeof key, "%.*s", (int)size, text);
        sort->descending = descending;
        if (!subject_decode(r, q, key, &sort->subject)) return;
        text += size;
    } while (*text++ == ',');
}

/* ---- cursors: {"sort","values","id"} in base64url ---- */

enum { CURSOR_MAX = 6000 };

char *job_query_cursor(const struct job_query *q) {
    json_t *values = json_array();
    for (int32_t i = 0; i < q->search.sort_count; i++) {
        const struct store_value *v = &q->search.last.values[i];
        json_array_append_new(values, v->kind == STORE_VALUE_NONE   ? json_null()
                                      : v->kind == STORE_VALUE_TEXT ? json_string(v->text)
                                                                    : json_real(v->number));
    }
    json_t *json = json_pack("{s:s, s:o, s:s}", "sort", q->sort, "values", values, "id", q->search.last.id);
    char *text = schema_json_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(17)), *cursor = NULL;
    const size_t size = text ? strlen(text) : 0;
    struct base64_encode_ctx context;
    if (text && (cursor = malloc(BASE64_ENCODE_LENGTH(size) + BASE64_ENCODE_FINAL_LENGTH + 1))) {
        base64url_encode_init(&context);
        size_t end = base64_encode_update(&context, cursor, size, (const uint8_t *)text);
        end += base64_encode_final(&context, cursor + end);
        while (end > 0 && cursor[end - 1] == '=') end--;
        cursor[end] = '\0';
    }
    free(text);
    json_decref(json);
    return cursor;
}

/* The JSON of a cursor, NULL: it is none. */
static json_t *cursor_json(const char *text) {
    char padded[CURSOR_MAX + 4];
    uint8_t bytes[BASE64_DECODE_LENGTH(sizeof padded)];
    size_t size = strlen(text), count = sizeof bytes;
    struct base64_decode_ctx context;
    if (size > CURSOR_MAX) return NULL;
    memcpy(padded, text, size);
    while (size % 4) padded[size++] = '=';
    base64url_decode_init(&context);
    if (!base64_decode_update(&context, &count, bytes, size, padded) || !base64_decode_final(&context)) return NULL;
    return schema_json_load((const char *)bytes, count, 0, NULL);
}

static void after_decode(struct request *r, struct job_query *q) {
    const char *text = q->filter.after;
    json_t *json = cursor_json(text);
    const json_t *values = json_object_get(json, "values");
    const char *sort = json_string_value(json_object_get(json, "sort")), *id = json_string_value(json_object_get(json, "id"));
    struct store_search *search = &q->search;
    if (!sort || !id || strlen(id) >= sizeof search->after.id)
        refuse(r, q, "with sort, after must be the next_cursor of the page before, got \"%.60s\"", text);
    else if (strcmp(sort, q->sort) != 0)
        refuse(r, q, "after is the next_cursor of a list with sort=%.100s, this one has sort=%.100s; begin again without after", sort, q->sort);
    else if (json_array_size(values) != (size_t)search->sort_count)
        refuse(r, q, "after is not a next_cursor of this server; begin again without after");
    for (int32_t i = 0; !q->refused && i < search->sort_count; i++) {
        const json_t *value = json_array_get(values, (size_t)i);
        struct store_value *v = &search->after.values[i];
        v->kind = json_is_number(value) ? STORE_VALUE_NUMBER : json_is_string(value) ? STORE_VALUE_TEXT : STORE_VALUE_NONE;
        v->number = json_number_value(value);
        if (json_is_string(value)) snprintf(v->text, sizeof v->text, "%s", json_string_value(value));
    }
    if (!q->refused) snprintf(search->after.id, sizeof search->after.id, "%s", id);
    search->has_after = true;
    json_decref(json);
}

/* ---- fields ---- */

static const char *const members[] = {"id",
                                      "kind",
                                      "status",
                                      "model",
                                      "dataset",
                                      "target",
                                      "task",
                                      "features",
                                      "options",
                                      "created_at",
                                      "started_at",
                                      "finished_at",
                                      "priority",
                                      "queue_position",
                                      "retry_at",
                                      "attempt",
                                      "attempts_max",
                                      "progress",
                                      "resumed_from_epoch",
                                      "metrics",
                                      "best",
                                      "cross_validation",
                                      "training_seconds",
                                      "stopped_early",
                                      "sweep",
                                      "stop_reason",
                                      "model_version",
                                      "publish",
                                      "publication",
                                      "error",
                                      "warnings",
                                      "metadata",
                                      "requires",
                                      "worker",
                                      "init",
                                      "definition",
                                      "ensemble",
                                      "layers",
                                      "parameters",
                                      "trainable_parameters",
                                      "columns",
                                      "thresholds",
                                      "loss_unit",
                                      "calibrate",
                                      "compared_with",
                                      "coverage",
                                      "evaluation",
                                      "format",
                                      "keep",
                                      "resumed_from_row",
                                      "strict",
                                      NULL};

static bool known_in(const char *name, const char *const *names) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static void field_check(struct request *r, struct job_query *q, const char *field) {
    char first[80], second[80], meant[120];
    const size_t size = strcspn(field, ".");
    snprintf(first, sizeof first, "%.*s", (int)size, field);
    if (!known_in(first, members)) {
        refuse(r, q, "a job has no field \"%.70s\"%s", field, schema_did_you_mean(schema_nearest_in(first, members), meant, sizeof meant));
    } else if (strcmp(first, "options") == 0 && field[size]) {
        snprintf(second, sizeof second, "%.*s", (int)strcspn(field + size + 1, "."), field + size + 1);
        if (!known_in(second, schema_options_names))
            refuse(r, q, "a job has no option \"%.70s\"%s", second,
                   schema_did_you_mean(schema_nearest_in(second, schema_options_names), meant, sizeof meant));
    }
}

static void fields_check(struct request *r, struct job_query *q) {
    const char *text = q->fields;
    int count = 0;
    do {
        char field[STORE_SUBJECT_SIZE];
        const size_t size = strcspn(text, ",");
        snprintf(field, sizeof field, "%.*s", (int)(size < sizeof field ? size : sizeof field - 1), text);
        if (size == 0 || size >= sizeof field || ++count > 64) {
            refuse(r, q, "fields expects up to 64 names separated by commas, as id,status,metrics.val_accuracy,options.optimizer.learning_rate");
            return;
        }
        field_check(r, q, field);
        text += size;
    } while (*text++ == ',');
}

/* Puts the member of `from` at this path into `to`. Names may have dots in them: the shortest that there is counts, and at the end the rest. */
static void pick(const json_t *from, const char *path, json_t *to) {
    char key[STORE_SUBJECT_SIZE];
    const size_t whole = strlen(path);
    for (size_t size = strcspn(path, "."); size < whole; size += 1 + strcspn(path + size + 1, ".")) {
        snprintf(key, sizeof key, "%.*s", (int)size, path);
        const json_t *inner = json_object_get(from, key);
        if (!json_is_object(inner)) continue;
        json_t *place = json_object_get(to, key);
        if (!json_is_object(place)) json_object_set_new(to, key, place = json_object());
        pick(inner, path + size + 1, place);
        return;
    }
    json_t *value = json_object_get(from, path);
    if (value) {
        json_object_set(to, path, value);
        return;
    }
    const size_t size = strcspn(path, ".");
    snprintf(key, sizeof key, "%.*s", (int)size, path);
    if (!json_object_get(to, key)) json_object_set_new(to, key, json_null());
}

json_t *job_query_pick(const char *fields, json_t *job) {
    json_t *picked = json_object();
    while (*fields) {
        char field[STORE_SUBJECT_SIZE];
        const size_t size = strcspn(fields, ",");
        snprintf(field, sizeof field, "%.*s", (int)size, fields);
        pick(job, field, picked);
        fields += size + (fields[size] == ',');
    }
    json_decref(job);
    return picked;
}

/* ---- all of it ---- */

bool job_query_decode(struct request *r, struct job_query *q) {
    memset(q, 0, sizeof *q);
    q->filter.search = &q->search;
    if (!request_paging(r, &q->filter.limit, &q->filter.after)) return false;
    struct walk walk = {r, q};
    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, look, &walk);
    const char *status = request_query(r, "status"), *dataset = request_query(r, "dataset"), *sort = request_query(r, "sort");
    const char *kind = request_query(r, "kind");
    q->filter.model = request_query(r, "model");
    q->fields = request_query(r, "fields");
    if (kind && store_kind_parse(kind, &q->kind)) q->filter.kind = &q->kind;
    else if (kind) refuse(r, q, "unknown kind \"%.40s\"; kinds: train predict evaluate", kind);
    if (!q->refused && status) statuses_decode(r, q, status);
    if (!q->refused && dataset) dataset_decode(r, q, dataset);
    time_decode(r, q, "created_since", &q->search.created_since);
    time_decode(r, q, "created_until", &q->search.created_until);
    if (!q->refused && sort) sort_decode(r, q, sort);
    if (!q->refused && q->fields) fields_check(r, q);
    if (!q->refused && sort && q->filter.after) after_decode(r, q);
    else if (!q->refused && q->filter.after && !store_id_end("job", q->filter.after))
        refuse(r, q, "without sort, after must be the id of a job, got \"%.60s\"; a next_cursor is for the same sort", q->filter.after);
    return !q->refused;
}
