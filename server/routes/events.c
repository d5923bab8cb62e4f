/* events.c - GET /v1/jobs/{id}/events and /v1/events, as a list or a stream; GET .../checkpoints. */
#include "server/routes/event_view.h"

#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/http/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *event_json(const struct store_event *e) {
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)e->id);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:s?, s:o}", "object", "event", "id", id, "job", e->job, "type", e->type, "created_at",
                     time_json(e->created_at), "attempt", (json_int_t)e->attempt, "level", e->level, "message", e->message, "data",
                     document_json(e->data));
}

const struct page_views event_views = {.event = event_json, .change = change_json};

static bool wants_stream(const struct request *r) {
    const char *accept = request_header(r, "Accept");
    return accept && strstr(accept, "text/event-stream");
}

/* Where a stream starts: Last-Event-ID, else `after` (a new EventSource can send no header), else the preset. false: answered. */
static bool last_event(struct request *r, int64_t preset, int64_t *after) {
    const char *text = request_header(r, "Last-Event-ID"), *name = "Last-Event-ID";
    char *end;
    *after = preset;
    if (!text || !*text) text = request_query(r, "after"), name = "after";
    if (!text || !*text) return true;
    *after = strtoll(text, &end, 10);
    if (!*end && *after >= 0) return true;
    answer_problem(r, PROBLEM_invalid, "%s must be the id of an event, or 0, got \"%.40s\"", name, text);
    return false;
}

static json_t *listed(struct request *r, const void *item) {
    (void)r;
    return event_json(item);
}

static const char *event_id(const void *item, char text[24]) {
    const struct store_event *e = item;
    snprintf(text, 24, "%lld", (long long)e->id);
    return text;
}

static void list_of(struct request *r, const char *job) {
    int32_t limit;
    const char *after, *type = request_query(r, "type");
    char *end = NULL;
    struct store_events found = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &limit, &after)) return;
    int64_t from = after ? strtoll(after, &end, 10) : 0;
    if (end && (*end || from < 0)) {
        answer_problem(r, PROBLEM_invalid, "after must be the id of an event, got \"%.40s\"", after);
        return;
    }
    if (type && strcmp(type, "status") != 0 && strcmp(type, "metrics") != 0 && strcmp(type, "checkpoint") != 0 && strcmp(type, "log") != 0 &&
        strcmp(type, "end") != 0) {
        answer_problem(r, PROBLEM_invalid, "unknown type of event \"%.40s\"; types: status metrics checkpoint log end", type);
        return;
    }
    enum store_result result = store_event_list(r->server->store, job, type, from, limit, &found, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "events");
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .render = listed, .id = event_id});
    store_events_free(&found);
}

/* false: answered with 404. */
static bool job_exists(struct request *r) {
    struct store_job job = {0};
    struct bp_error error = {0};
    enum store_result result = store_job_get(r->server->store, r->params[0], &job, &error);
    store_job_free(&job);
    if (result != STORE_OK) answer_store(r, result, &error, "job \"%.60s\"", r->params[0]);
    return result == STORE_OK;
}

/* Everything of an ended job has been sent. */
static bool is_over(const struct request *r, int64_t after) {
    struct store_job job = {0};
    struct store_events more = {0};
    struct bp_error error = {0};
    const bool ended = store_job_get(r->server->store, r->params[0], &job, &error) == STORE_OK && store_status_final(job.status);
    const bool sent = ended && store_event_list(r->server->store, r->params[0], NULL, after, 1, &more, &error) == STORE_OK && more.count == 0;
    store_events_free(&more);
    store_job_free(&job);
    return sent;
}

static void stream_of(struct request *r, const char *job, int64_t after) {
    if (strcmp(r->method, "HEAD") == 0) answer_bytes(r, 200, "text/event-stream", NULL, 0);
    else hub_stream(http_hub(r->server->http), r, job, after);
}

/* 204 is the only response that stops a browser's EventSource from reconnecting (HTML, "server-sent events"). */
static void job_events(struct request *r) {
    int64_t after;
    if (!job_exists(r)) return;
    if (!wants_stream(r)) list_of(r, r->params[0]);
    else if (!last_event(r, 0, &after)) return;
    else if (after > 0 && is_over(r, after)) answer_bytes(r, 204, NULL, NULL, 0);
    else stream_of(r, r->params[0], after);
}

static void all_events(struct request *r) {
    int64_t after, newest = 0;
    struct bp_error error = {0};
    if (!wants_stream(r)) {
        list_of(r, NULL);
        return;
    }
    store_event_last(r->server->store, &newest, &error);
    if (last_event(r, newest, &after)) stream_of(r, NULL, after);
}

static json_t *listed_checkpoint(struct request *r, const void *item) {
    const struct store_checkpoint *c = item;
    (void)r;
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:o}", "object", "checkpoint", "id", c->id, "job", c->job, "attempt",
                     (json_int_t)c->attempt, "epoch", (json_int_t)c->epoch, "step", (json_int_t)c->step, "bytes", (json_int_t)c->bytes, "best",
                     c->best, "created_at", time_json(c->created_at));
}

static const char *checkpoint_id(const void *item, char text[24]) {
    const struct store_checkpoint *c = item;
    (void)text;
    return c->id;
}

static void checkpoints(struct request *r) {
    struct store_checkpoints found = {0};
    struct bp_error error = {0};
    if (!job_exists(r)) return;
    enum store_result result = store_checkpoint_list(r->server->store, r->params[0], &found, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "checkpoints");
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = false, .render = listed_checkpoint, .id = checkpoint_id});
    store_checkpoints_free(&found);
}

const struct route route_list_job_events = {
    .name = "list_job_events",
    .method = "GET",
    .path = "/v1/jobs/{id}/events",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW | ROUTE_TICKET,
    .query = "limit,after,type,ticket",
    .handle = job_events,
};
const struct route route_list_events = {
    .name = "list_events",
    .method = "GET",
    .path = "/v1/events",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW | ROUTE_TICKET,
    .query = "limit,after,type,ticket",
    .handle = all_events,
};
const struct route route_list_checkpoints = {
    .name = "list_checkpoints",
    .method = "GET",
    .path = "/v1/jobs/{id}/checkpoints",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = checkpoints,
};
