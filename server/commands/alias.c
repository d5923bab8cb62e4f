/* alias.c - `backpropd alias`: which versions the aliases of a model name, on a server or in a data folder that no server is using. */
#include "server/commands/commands.h"

#include "schema/memory.h"
#include "schema/text/text.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL, NAME, VERSION, URL, DATA_DIR, KEY_FILE, CA_FILE, DELETE, ROLLBACK, FLAGS_COUNT };
static const char *const names[] = {"model", "name", "version", "url", "data-dir", "api-key-file", "ca-file", NULL};
static const char *const switches[] = {"delete", "rollback", NULL};

enum { SHOWN = 1000 };

static void print_alias(const char *name, int64_t version, const char *action, const char *at, const char *who) {
    printf("%-24s %6lld  %-8s  %s  %s\n", name, (long long)version, action, at, who);
}

static const char *text_of(const json_t *object, const char *member) {
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

/* An alias, a change of one, or a list of either. */
static void print_json(const json_t *json) {
    const json_t *data = json_object_get(json, "data"), *one;
    size_t i;
    if (data) {
        json_array_foreach(data, i, one) print_json(one);
        return;
    }
    const json_t *version = json_object_get(json, strcmp(text_of(json, "object"), "alias") == 0 ? "version" : "to");
    const char *who = text_of(json, "changed_by");
    print_alias(text_of(json, "name"), (long long)json_integer_value(version), text_of(json, "action"), text_of(json, "changed_at"),
                *who ? who : text_of(json, "job"));
}

/* ---- a server ------------------------------------------------------------------------------------------------------------------------- */

static int on_server(const char **v) {
    char path[300], body[120];
    struct client client = {0};
    struct client_response response = {0};
    struct client_request request = {.method = "GET", .path = path, .content_type = "application/json"};
    if (!v[NAME]) snprintf(path, sizeof path, "/v1/models/%.70s/aliases?limit=%d", v[MODEL], SHOWN);
    else
        snprintf(path, sizeof path, "/v1/models/%.70s/aliases/%.70s%s", v[MODEL], v[NAME],
                 v[ROLLBACK]               ? "/rollback"
                 : v[VERSION] || v[DELETE] ? ""
                                           : "/history?limit=20");
    if (v[ROLLBACK]) request.method = "POST";
    if (v[DELETE]) request.method = "DELETE";
    if (v[VERSION]) {
        const bool number = v[VERSION][strspn(v[VERSION], "0123456789")] == '\0';
        snprintf(body, sizeof body, number ? "{\"version\":%.20s}" : "{\"version\":\"%.70s\"}", v[VERSION]);
        request.method = "PUT";
        request.body = body;
        request.body_size = strlen(body);
    } else {
        request.content_type = NULL;
    }
    int failed = models_connect("alias", v[URL], v[KEY_FILE], v[CA_FILE], &client);
    if (!failed) failed = models_send("alias", &client, &request, &response);
    json_t *json = failed || !response.body_size ? NULL : schema_json_load(response.body, response.body_size, 0, NULL);
    if (json) print_json(json);
    json_decref(json);
    client_clear(&response);
    free(client.key);
    return failed;
}

/* ---- a data folder ---------------------------------------------------------------------------------------------------------------------- */

static void print_stored(const struct store_alias *a) {
    char at[32];
    store_time_text(a->changed_at, at);
    print_alias(a->name, a->version, a->action, at, a->actor.key_name[0] ? a->actor.key_name : a->job);
}

static enum store_result change(struct store *store, const char **v, struct bp_error *error) {
    struct store_alias_change wanted = {.model = v[MODEL], .name = v[NAME]};
    struct store_alias a;
    bool created;
    enum store_result result = v[VERSION] ? store_version_find(store, v[MODEL], v[VERSION], &wanted.version, error) : STORE_OK;
    if (result != STORE_OK) return result;
    if (v[DELETE]) return store_alias_delete(store, &wanted, error);
    result = v[VERSION] ? store_alias_set(store, &wanted, &a, &created, error) : store_alias_rollback(store, &wanted, &a, error);
    if (result == STORE_OK) print_stored(&a);
    return result;
}

static int in_folder(const char **v) {
    const struct store_options options = {.queue_max = 1, .retry_ms = 1};
    struct store *store = NULL;
    struct store_aliases list = {0};
    struct bp_error error = {0};
    enum store_result result = store_open(v[DATA_DIR], &options, &store, &error);
    if (result == STORE_OK && (v[VERSION] || v[DELETE] || v[ROLLBACK])) result = change(store, v, &error);
    else if (result == STORE_OK)
        result = v[NAME] ? store_alias_history(store, v[MODEL], v[NAME], 0, 20, &list, &error)
                         : store_alias_list(store, v[MODEL], NULL, SHOWN, &list, &error);
    for (int32_t i = 0; i < list.count; i++) print_stored(&list.items[i]);
    if (result != STORE_OK) fprintf(stderr, "backpropd alias: %s\n", error.message);
    store_aliases_free(&list);
    store_close(store);
    return result == STORE_OK ? 0 : -1;
}

int command_alias(int argc, char **argv) {
    const char *v[FLAGS_COUNT] = {0};
    if (local_flags("alias", argc, argv, names, switches, v) != 0) return 2;
    const int actions = (v[VERSION] != NULL) + (v[DELETE] != NULL) + (v[ROLLBACK] != NULL);
    if (!v[MODEL] || (v[URL] != NULL) == (v[DATA_DIR] != NULL) || actions > 1 || (actions && !v[NAME])) {
        fprintf(stderr,
                "backpropd alias: --model MODEL and one of --url URL or --data-dir DIR are required; --name ALIAS with at most one of --version V, "
                "--rollback, --delete; see `backpropd help alias`\n");
        return 2;
    }
    const bool reserved = v[NAME] && (v[NAME][strspn(v[NAME], "0123456789")] == '\0' || strcmp(v[NAME], STORE_LATEST) == 0);
    if (!schema_name_valid(v[MODEL]) || (v[NAME] && (!schema_name_valid(v[NAME]) || reserved)) || (v[VERSION] && !schema_name_valid(v[VERSION]))) {
        fprintf(stderr,
                "backpropd alias: names are lower-case letters, digits, \".\", \"_\", \"-\", at most 63; an alias is neither a number nor latest; a "
                "version is a number, an alias or latest\n");
        return 2;
    }
    return (v[URL] ? on_server(v) : in_folder(v)) ? 1 : 0;
}
