/* job_log.c - GET /v1/jobs/{id}/log: the attempts of a job, how each has ended, and what its process has written to standard error. */
#include "server/routes/job_view.h"

#include "server/http/answer.h"
#include "server/jobs/supervisor.h"

#include <stdlib.h>
#include <string.h>

/* Standard error of the attempts: STORE_ATTEMPTS_KEPT times 48 KB, and what is around it. */
enum { TEXT_MAX = 4 << 20 };

static json_t *known(int64_t number) {
    return number >= 0 ? json_integer(number) : json_null();
}

static json_t *seconds(int64_t ms) {
    return ms >= 0 ? json_real((double)ms / 1000) : json_null();
}

static json_t *lines_of(const char *log) {
    json_t *lines = json_array();
    while (*log) {
        const size_t n = strcspn(log, "\n");
        json_array_append_new(lines, json_stringn(log, n));
        log += n + (log[n] == '\n');
    }
    return lines;
}

static json_t *attempt_json(const struct store_attempt *a) {
    return json_pack("{s:I, s:o, s:o, s:s?, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "attempt", (json_int_t)a->attempt, "started_at",
                     time_json(a->started_at), "ended_at", time_json(a->ended_at), "reason", a->reason[0] ? a->reason : NULL, "message", a->message,
                     "exit_code", known(a->exit_code), "signal", known(a->signal), "peak_memory_bytes", known(a->peak_memory), "user_seconds",
                     seconds(a->user_ms), "system_seconds", seconds(a->system_ms), "lines", lines_of(a->log), "truncated", a->log_cut);
}

static void write_attempt(struct schema_text *text, const struct store_attempt *a) {
    char begun[32], ended[32];
    store_time_text(a->started_at, begun);
    store_time_text(a->ended_at, ended);
    schema_text_format(text, "attempt %lld, %s to %s: %s", (long long)a->attempt, begun, a->ended_at ? ended : "now",
                       a->reason[0] ? a->reason : "running");
    if (a->message) schema_text_format(text, ": %s", a->message);
    if (!a->message && a->exit_code > 0) schema_text_format(text, "; exit code %lld", (long long)a->exit_code);
    if (!a->message && a->signal >= 0) schema_text_format(text, "; signal %lld", (long long)a->signal);
    if (a->peak_memory >= 0) schema_text_format(text, "; peak memory %.1f MB", (double)a->peak_memory / 1e6);
    if (a->user_ms >= 0 && a->system_ms >= 0)
        schema_text_format(text, "; CPU %.2f s user, %.2f s system", (double)a->user_ms / 1000, (double)a->system_ms / 1000);
    schema_text_string(text, a->log_cut ? "\n  ... earlier lines are not kept\n" : "\n");
    for (const char *line = a->log; *line;) {
        const size_t n = strcspn(line, "\n");
        schema_text_string(text, "  ");
        schema_text_add(text, line, n);
        schema_text_string(text, "\n");
        line += n + (line[n] == '\n');
    }
}

/* The oldest first, as logs are read. */
static void answer_text(struct request *r, const struct store_attempts *attempts) {
    struct schema_text text = {.limit = TEXT_MAX};
    schema_text_string(&text, "");
    for (int32_t i = attempts->count - 1; i >= 0; i--) write_attempt(&text, &attempts->items[i]);
    if (attempts->count == 0) schema_text_string(&text, "the job has not started yet\n");
    if (!text.failed) {
        answer_bytes(r, 200, "text/plain; charset=utf-8", text.bytes, text.size);
        return;
    }
    free(text.bytes);
    answer_problem(r, PROBLEM_overloaded, "out of memory");
}

static bool wants_text(const struct request *r) {
    static const char *const plain[] = {"text/plain", "text/*", NULL}, *const json[] = {"application/json", "application/*", "*/*", NULL};
    const char *accept = request_header(r, "Accept");
    return request_weight(accept, plain) > request_weight(accept, json);
}

static void get_log(struct request *r) {
    struct store_job job = {0};
    struct store_attempts attempts = {0};
    struct bp_error error = {0};
    enum store_result result = store_job_get(r->server->store, r->params[0], &job, &error);
    store_job_free(&job);
    if (result == STORE_OK) result = store_attempt_list(r->server->store, r->params[0], STORE_ATTEMPTS_KEPT, &attempts, &error);
    for (int32_t i = 0; i < attempts.count; i++) { /* of a process that runs, or has just ended, the store has no lines */
        struct store_attempt *a = &attempts.items[i];
        char *log = a->exit_code < 0 && a->signal < 0 ? supervisor_log(r->server->supervisor, a->job, a->attempt, &a->log_cut) : NULL;
        if (!log) continue;
        free(a->log);
        a->log = log;
    }
    if (result != STORE_OK) answer_store(r, result, &error, "job \"%.60s\"", r->params[0]);
    else if (wants_text(r)) answer_text(r, &attempts);
    else {
        json_t *list = json_array();
        for (int32_t i = 0; i < attempts.count; i++) json_array_append_new(list, attempt_json(&attempts.items[i]));
        answer_json(r, 200, json_pack("{s:s, s:s, s:o}", "object", "log", "job", r->params[0], "attempts", list));
    }
    store_attempts_free(&attempts);
}

const struct route route_get_log = {
    .name = "get_log",
    .method = "GET",
    .path = "/v1/jobs/{id}/log",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get_log,
};
