/* changes.c - GET /v1/changes: what was changed of models, versions, aliases, notes and calibrations, in order, as a list or a stream. A follower
 * resumes after the last change that it knows; where that cannot be, it gets 410, and reads the state of everything again. */
#include "server/follow/follower.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/http/hub.h"
#include "server/routes/event_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *change_json(const struct store_change *c) {
    char id[STORE_CURSOR_SIZE];
    store_cursor_text(c->id, c->mark, id);
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:o}", "object", "change", "id", id, "changed_at", time_json(c->at), "type", c->type,
                     "action", c->action, "model", c->model[0] ? json_string(c->model) : json_null(), "version",
                     c->version ? json_integer(c->version) : json_null(), "name", c->name[0] ? json_string(c->name) : json_null());
}

/* The place to go on from; 0 and STORE_OK without one. false: answered. */
static bool place(struct request *r, const char *text, const char *name, int64_t *after) {
    char mark[STORE_MARK_SIZE];
    struct bp_error error = {0};
    *after = 0;
    if (!text || !*text) return true;
    if (!store_cursor_parse(text, after, mark)) {
        answer_problem(r, PROBLEM_invalid, "%s must be the id of a change, like 12-9f3a01bc, got \"%.40s\"", name, text);
        return false;
    }
    const enum store_result result = store_change_check(r->server->store, *after, mark, &error);
    if (result == STORE_OK) return true;
    if (result == STORE_NOT_FOUND)
        answer_problem(r, PROBLEM_gap,
                       "the change %.40s is not known: it is older than the 10000 that are kept, or this server was restored from a backup; list the "
                       "models and their versions again, and go on from the newest change",
                       text);
    else answer_store(r, result, &error, "changes");
    return false;
}

static void answer_page(struct request *r, struct store_changes *found, const struct store_change *newest) {
    char id[STORE_CURSOR_SIZE], first[STORE_CURSOR_SIZE] = "", last[STORE_CURSOR_SIZE] = "";
    json_t *data = json_array(), *servers = json_array();
    for (int32_t i = 0; i < found->count; i++) {
        const struct store_change *c = &found->items[i];
        if (i == 0) store_cursor_text(c->id, c->mark, first);
        store_cursor_text(c->id, c->mark, last);
        json_array_append_new(data, change_json(c));
    }
    json_array_append_new(servers, json_string(r->server->instance));
    follower_upstream(r->server->follower, servers);
    store_cursor_text(newest->id, newest->mark, id);
    json_t *json = list_json(data, found->count ? first : NULL, found->count ? last : NULL, found->has_more);
    json_object_set_new(json, "newest", json_string(id));
    json_object_set_new(json, "format", json_integer(COPY_FORMAT));
    json_object_set_new(json, "servers", servers);
    answer_header(r, "Cache-Control", "no-cache");
    answer_json(r, 200, json);
}

static void list(struct request *r) {
    int32_t limit;
    int64_t after;
    const char *text;
    struct store_changes found = {0};
    struct store_change newest = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &limit, &text) || !place(r, text, "after", &after)) return;
    enum store_result result = store_change_list(r->server->store, after, limit, &found, &error);
    if (result == STORE_OK) result = store_change_newest(r->server->store, &newest, &error); /* last: it is not older than what is listed */
    if (result == STORE_OK) answer_page(r, &found, &newest);
    else answer_store(r, result, &error, "changes");
    store_changes_free(&found);
}

/* From Last-Event-ID, else `after`, else what comes from now on. */
static void stream(struct request *r) {
    const char *header = request_header(r, "Last-Event-ID"), *query = request_query(r, "after");
    const bool named = header && *header;
    struct store_change newest = {0};
    struct bp_error error = {0};
    int64_t after;
    if (!place(r, named ? header : query, named ? "Last-Event-ID" : "after", &after)) return;
    const enum store_result result = after ? STORE_OK : store_change_newest(r->server->store, &newest, &error);
    if (result != STORE_OK) answer_store(r, result, &error, "changes");
    else if (strcmp(r->method, "HEAD") == 0) answer_bytes(r, 200, "text/event-stream", NULL, 0);
    else hub_stream(http_hub(r->server->http), r, STORE_CHANGES, after ? after : newest.id);
}

static void changes(struct request *r) {
    const char *accept = request_header(r, "Accept");
    if (accept && strstr(accept, "text/event-stream")) stream(r);
    else list(r);
}

const struct route route_list_changes = {
    .name = "list_changes",
    .method = "GET",
    .path = "/v1/changes",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW | ROUTE_TICKET,
    .query = "limit,after,ticket",
    .handle = changes,
};
