/* session.c - /v1/session: who sends the request, signing in with a key, signing out. For browsers, whose cookie then takes the place of the key. */
#include "server/http/answer.h"
#include "server/http/http.h"

#include "schema/json/values.h"
#include "server/auth/auth.h"

#include <stdio.h>
#include <string.h>

enum { KEY_LENGTH_MAX = 4096 };

static void answer_session(struct request *r, int status, bool signed_in, int64_t expires_at) {
    const bool required = auth_is_required(r->server->auth);
    answer_header(r, "Cache-Control", "no-store");
    answer_json(r, status,
                json_pack("{s:s, s:b, s:b, s:s, s:s?, s:o}", "object", "session", "key_required", required, "signed_in", signed_in || !required,
                          "scope",
                          !required   ? "admin"
                          : signed_in ? scope_name(r->who.scope)
                                      : "none",
                          "name", r->who.name[0] ? r->who.name : NULL, "expires_at", expires_at ? time_json(expires_at) : json_null()));
}

/* Strict: no other site can use it. Secure when the server speaks TLS itself; a proxy that does may add it. */
static void set_cookie(struct request *r, const char *text, long seconds) {
    char cookie[300];
    snprintf(cookie, sizeof cookie, "%s=%s; Path=/; Max-Age=%ld; HttpOnly; SameSite=Strict%s", auth_session_cookie(r->server->auth), text, seconds,
             *r->server->settings.tls_cert ? "; Secure" : "");
    answer_header(r, "Set-Cookie", cookie);
}

static void get_session(struct request *r) {
    int64_t wait;
    const enum auth_result result = guard_identify(r, &wait);
    if (result != AUTH_OK) r->who = (struct identity){.scope = SCOPE_NONE};
    answer_session(r, 200, result == AUTH_OK, 0);
}

static void create_session(struct request *r) {
    static const char *const names[] = {"key", NULL};
    static const struct bp_entry entry = {.name = "a session"};
    struct schema_problems problems = {0};
    struct bp_value none[1];
    char header[KEY_LENGTH_MAX + 16], text[TICKET_TEXT_SIZE];
    int64_t wait;
    json_t *body = request_json(r);
    if (!body) return;
    const char *key = json_string_value(json_object_get(body, "key"));
    schema_values_decode(body, "", &entry, &(struct schema_names){.list = names}, none, &problems);
    if (!key || !*key || strlen(key) > KEY_LENGTH_MAX) schema_problem_add(&problems, "/key", "expected the key, a text like \"bpd_...\"");
    if (problems.total) {
        answer_problems(r, &problems);
    } else {
        snprintf(header, sizeof header, "Bearer %s", key);
        const enum auth_result result = auth_check(r->server->auth, header, &r->client, &r->who, &wait);
        r->denied = result == AUTH_WRONG || result == AUTH_EXPIRED;
        if (result != AUTH_OK) {
            guard_refuse_key(r, result, wait);
        } else if (auth_is_required(r->server->auth)) {
            const int64_t expires_at = auth_session(r->server->auth, &r->who, text);
            set_cookie(r, text, SESSION_SECONDS);
            answer_session(r, 201, true, expires_at);
        } else {
            answer_session(r, 201, true, 0);
        }
    }
    json_decref(body);
}

/* Nothing is stored of a session: the browser forgets it. */
static void delete_session(struct request *r) {
    set_cookie(r, "", 0);
    r->who = (struct identity){.scope = SCOPE_NONE};
    answer_session(r, 200, false, 0);
}

const struct route route_get_session = {
    .name = "get_session",
    .method = "GET",
    .path = "/v1/session",
    .scope = SCOPE_OPEN,
    .handle = get_session,
};
const struct route route_create_session = {
    .name = "create_session",
    .method = "POST",
    .path = "/v1/session",
    .scope = SCOPE_OPEN,
    .body = ROUTE_JSON,
    .flags = ROUTE_CHANGES_NOTHING,
    .handle = create_session,
};
const struct route route_delete_session = {
    .name = "delete_session",
    .method = "DELETE",
    .path = "/v1/session",
    .scope = SCOPE_OPEN,
    .flags = ROUTE_CHANGES_NOTHING,
    .handle = delete_session,
};
