/* aliases.c - /v1/models/{model}/aliases: names for versions that can be moved, with their history. An alias has an entity tag, so that a change can
 * be made on condition that nobody has changed it in between (RFC 9110, 13.1). */
#include "server/routes/version_view.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "server/routes/missing.h"

#include <stdio.h>
#include <string.h>

enum { HISTORY_SHOWN = 20 };

static json_t *version_or_null(int64_t version) {
    return version ? json_integer(version) : json_null();
}

static json_t *text_or_null(const char *text) {
    return *text ? json_string(text) : json_null();
}

static json_t *alias_json(const struct store_alias *a) {
    return json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:s}", "object", "alias", "model", a->model, "name", a->name, "version",
                     (json_int_t)a->version, "previous_version", version_or_null(a->previous), "changed_at", time_json(a->changed_at), "changed_by",
                     text_or_null(a->actor.key_name), "job", text_or_null(a->job), "action", a->action);
}

static json_t *change_json(struct request *r, const void *item) {
    const struct store_alias *a = item;
    (void)r;
    return json_pack("{s:s, s:I, s:s, s:o, s:o, s:o, s:s, s:o, s:o}", "object", "alias_change", "id", (json_int_t)a->change, "name", a->name, "from",
                     version_or_null(a->previous), "to", version_or_null(a->version), "changed_at", time_json(a->changed_at), "action", a->action,
                     "changed_by", text_or_null(a->actor.key_name), "job", text_or_null(a->job));
}

/* {model}, which must not name a version, and {alias}. false: answered. */
static bool params_of(struct request *r, char name[STORE_NAME_SIZE], const char **alias) {
    char reference[STORE_NAME_SIZE];
    if (!request_model(r, r->params[0], name, reference)) return false;
    *alias = r->params[1];
    const bool number = (*alias)[strspn(*alias, "0123456789")] == '\0';
    if (!reference[0] && schema_name_valid(*alias) && !number && strcmp(*alias, STORE_LATEST) != 0) return true;
    if (reference[0])
        answer_problem(r, PROBLEM_not_found, "aliases belong to a model, not to a version: write /v1/models/%s/aliases/%.60s", name, *alias);
    else
        answer_problem(
            r, PROBLEM_invalid,
            "\"%.80s\" is not a valid name for an alias: lower-case letters, digits, \".\", \"_\", \"-\", starting with a letter or digit, at most "
            "63; neither a number nor latest",
            *alias);
    return false;
}

static void answer_failed(struct request *r, enum store_result result, const struct bp_error *error, const char *name, const char *alias) {
    struct store_model m = {0};
    struct bp_error missing = {0};
    enum store_result found = result == STORE_NOT_FOUND ? store_model_get(r->server->store, name, &m, &missing) : STORE_OK;
    store_model_free(&m);
    if (found == STORE_NOT_FOUND) answer_no_model(r, found, &missing, name);
    else answer_store(r, result, error, "alias %s of model \"%s\"", alias, name);
}

/* With its newest changes, for a reader. */
static void answer_alias(struct request *r, int status, const struct store_alias *a, bool with_history) {
    char tag[24], quoted[32];
    struct store_aliases history = {0};
    struct bp_error error = {0};
    snprintf(tag, sizeof tag, "%lld", (long long)a->change);
    answer_header(r, "Cache-Control", "no-cache");
    if (!with_history) {
        snprintf(quoted, sizeof quoted, "\"%s\"", tag);
        answer_header(r, "ETag", quoted);
        answer_json(r, status, alias_json(a));
        return;
    }
    if (answered_unchanged(r, tag)) return;
    enum store_result result = store_alias_history(r->server->store, a->model, a->name, a->change + 1, HISTORY_SHOWN, &history, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "alias %s of model \"%s\"", a->name, a->model);
        return;
    }
    json_t *json = alias_json(a), *list = json_array();
    for (int32_t i = 0; i < history.count; i++) json_array_append_new(list, change_json(r, &history.items[i]));
    json_object_set_new(json, "history", list);
    answer_json(r, status, json);
    store_aliases_free(&history);
}

static void get(struct request *r) {
    char name[STORE_NAME_SIZE];
    const char *alias;
    struct store_alias a;
    struct bp_error error = {0};
    if (!params_of(r, name, &alias)) return;
    enum store_result result = store_alias_get(r->server->store, name, alias, &a, &error);
    if (result == STORE_OK) answer_alias(r, 200, &a, true);
    else answer_failed(r, result, &error, name, alias);
}

/* What If-Match and If-None-Match require of the change. false: answered. */
static bool conditions(struct request *r, struct store_alias_change *change) {
    const char *match = request_header(r, "If-Match"), *none = request_header(r, "If-None-Match");
    struct store_alias a;
    struct bp_error error = {0};
    char tag[24];
    if (none && strcmp(none, "*") != 0) {
        answer_problem(r, PROBLEM_invalid,
                       "a change takes If-None-Match: *, to create the alias only if it does not exist, or If-Match with an ETag");
        return false;
    }
    change->if_absent = none != NULL;
    if (!match) return true;
    enum store_result result = store_alias_get(r->server->store, change->model, change->name, &a, &error);
    if (result == STORE_OK) {
        snprintf(tag, sizeof tag, "%lld", (long long)a.change);
        change->if_change = header_has_tag(match, tag) ? a.change : INT64_MAX;
        return true;
    }
    if (result == STORE_NOT_FOUND)
        answer_problem(r, PROBLEM_precondition_failed, "there is no alias %s of model %s, which If-Match requires; leave it out to create the alias",
                       change->name, change->model);
    else answer_store(r, result, &error, "alias %s of model \"%s\"", change->name, change->model);
    return false;
}

/* {"version":3}, or a text that names one: an alias, "latest". 0: answered. */
static int64_t version_decode(struct request *r, const json_t *body, const char *name) {
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    const json_t *version = json_object_get(body, "version");
    const char *key, *reference = json_string_value(version);
    json_t *value;
    char got[80], place[300];
    int64_t number = 0;
    json_object_foreach((json_t *)body, key, value) if (strcmp(key, "version") != 0)
        schema_problem_add(&problems, schema_pointer("", key, place, sizeof place), "unknown member; expected {\"version\":3}");
    if (json_is_integer(version) && json_integer_value(version) > 0) number = json_integer_value(version);
    else if (!reference || !reference_valid(reference))
        schema_problem_add(&problems, version ? "/version" : "",
                           "expected the number of a version, like {\"version\":3}, \"latest\" or an alias; got %s",
                           schema_json_text(version ? version : body, got, sizeof got));
    if (problems.total) {
        answer_problems(r, &problems);
        return 0;
    }
    if (number) return number;
    enum store_result result = store_version_find(r->server->store, name, reference, &number, &error);
    if (result != STORE_OK) answer_failed(r, result, &error, name, r->params[1]);
    return result == STORE_OK ? number : 0;
}

static void put(struct request *r) {
    const struct store_actor actor = request_actor(r);
    char name[STORE_NAME_SIZE], location[200];
    struct store_alias_change change = {.model = name, .actor = &actor};
    struct store_alias a = {0};
    struct bp_error error = {0};
    bool created;
    json_t *body = request_json(r);
    if (!body) return;
    if (params_of(r, name, &change.name) && (change.version = version_decode(r, body, name)) && conditions(r, &change)) {
        enum store_result result = store_alias_set(r->server->store, &change, &a, &created, &error);
        if (result == STORE_OK && created) {
            snprintf(location, sizeof location, "/v1/models/%s/aliases/%s", name, change.name);
            answer_header(r, "Location", location);
        }
        if (result == STORE_OK) answer_alias(r, created ? 201 : 200, &a, false);
        else answer_failed(r, result, &error, name, change.name);
    }
    json_decref(body);
}

static void rollback(struct request *r) {
    const struct store_actor actor = request_actor(r);
    char name[STORE_NAME_SIZE];
    struct store_alias_change change = {.model = name, .actor = &actor};
    struct store_alias a = {0};
    struct bp_error error = {0};
    if (!params_of(r, name, &change.name) || !conditions(r, &change)) return;
    enum store_result result = store_alias_rollback(r->server->store, &change, &a, &error);
    if (result == STORE_OK) answer_alias(r, 200, &a, false);
    else answer_failed(r, result, &error, name, change.name);
}

static void delete_alias(struct request *r) {
    const struct store_actor actor = request_actor(r);
    char name[STORE_NAME_SIZE];
    struct store_alias_change change = {.model = name, .actor = &actor};
    struct bp_error error = {0};
    if (!params_of(r, name, &change.name) || !conditions(r, &change)) return;
    enum store_result result = store_alias_delete(r->server->store, &change, &error);
    if (result == STORE_OK) answer_bytes(r, 204, NULL, NULL, 0);
    else answer_failed(r, result, &error, name, change.name);
}

/* ---- lists ------------------------------------------------------------------------------------------------------------------------- */

static json_t *listed(struct request *r, const void *item) {
    (void)r;
    return alias_json(item);
}

static const char *name_at(const void *item, char text[24]) {
    const struct store_alias *a = item;
    (void)text;
    return a->name;
}

static void list(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    int32_t limit;
    const char *after;
    struct store_aliases found = {0};
    struct store_model m = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &limit, &after) || !request_name(r, r->params[0], name, &version)) return;
    enum store_result result = store_model_get(r->server->store, name, &m, &error);
    store_model_free(&m);
    if (result == STORE_OK) result = store_alias_list(r->server->store, name, after, limit, &found, &error);
    if (result != STORE_OK) {
        answer_no_model(r, result, &error, name);
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .render = listed, .id = name_at});
    store_aliases_free(&found);
}

static const char *change_at(const void *item, char text[24]) {
    const struct store_alias *a = item;
    snprintf(text, 24, "%lld", (long long)a->change);
    return text;
}

static void history(struct request *r) {
    char name[STORE_NAME_SIZE];
    const char *alias, *after;
    int64_t from;
    int32_t limit;
    struct store_aliases found = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &limit, &after) || !params_of(r, name, &alias) || !request_after_version(r, after, &from)) return;
    enum store_result result = store_alias_history(r->server->store, name, alias, from, limit, &found, &error);
    if (result != STORE_OK) {
        answer_failed(r, result, &error, name, alias);
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .render = change_json, .id = change_at});
    store_aliases_free(&found);
}

const struct route route_list_aliases = {
    .name = "list_aliases",
    .method = "GET",
    .path = "/v1/models/{model}/aliases",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "limit,after",
    .handle = list,
};
const struct route route_get_alias = {
    .name = "get_alias",
    .method = "GET",
    .path = "/v1/models/{model}/aliases/{alias}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_set_alias = {
    .name = "set_alias",
    .method = "PUT",
    .path = "/v1/models/{model}/aliases/{alias}",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW,
    .handle = put,
};
const struct route route_delete_alias = {
    .name = "delete_alias",
    .method = "DELETE",
    .path = "/v1/models/{model}/aliases/{alias}",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = delete_alias,
};
const struct route route_alias_history = {
    .name = "alias_history",
    .method = "GET",
    .path = "/v1/models/{model}/aliases/{alias}/history",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "limit,after",
    .handle = history,
};
const struct route route_roll_back_alias = {
    .name = "roll_back_alias",
    .method = "POST",
    .path = "/v1/models/{model}/aliases/{alias}/rollback",
    .scope = SCOPE_TRAIN,
    .flags = ROUTE_SLOW,
    .handle = rollback,
};
