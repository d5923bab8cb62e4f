/* tickets.c - POST /v1/tickets: for event streams of clients that can send no header. */
#include "server/http/answer.h"
#include "server/http/http.h"

#include "schema/json/values.h"
#include "server/auth/ticket.h"

static void create_ticket(struct request *r) {
    static const char *const names[] = {"path", NULL};
    static const struct bp_entry entry = {.name = "a ticket"};
    struct schema_problems problems = {0};
    struct bp_value none[1];
    char text[TICKET_TEXT_SIZE];
    json_t *body = request_json(r);
    if (!body) return;
    const json_t *path = json_object_get(body, "path");
    schema_values_decode(body, "", &entry, &(struct schema_names){.list = names}, none, &problems);
    if (!json_is_string(path) || !http_takes_tickets(json_string_value(path)))
        schema_problem_add(&problems, "/path", "expected the path of an event stream, \"/v1/events\" or \"/v1/jobs/{id}/events\"");
    if (problems.total) {
        answer_problems(r, &problems);
    } else {
        const int64_t expires_at = auth_ticket(r->server->auth, &r->who, json_string_value(path), text);
        answer_header(r, "Cache-Control", "no-store");
        answer_json(r, 201,
                    json_pack("{s:s, s:s, s:s, s:o}", "object", "ticket", "ticket", text, "path", json_string_value(path), "expires_at",
                              time_json(expires_at)));
    }
    json_decref(body);
}

const struct route route_create_ticket = {
    .name = "create_ticket",
    .method = "POST",
    .path = "/v1/tickets",
    .scope = SCOPE_READ,
    .body = ROUTE_JSON,
    .flags = ROUTE_CHANGES_NOTHING,
    .handle = create_ticket,
};
