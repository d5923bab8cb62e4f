/* keys.c - GET /v1/keys: the API keys that are not revoked, without anything that could be used in their place. Keys are made and revoked by commands
 * on the machine of the server, never over HTTP. */
#include "server/http/answer.h"

#include "server/store/access.h"

static json_t *key_json(const struct store_key *key) {
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s?}", "object", "key", "id", key->id, "name", key->name, "scope", key->scope,
                     "created_at", time_json(key->created_at), "rotated_at", time_json(key->rotated_at), "expires_at", time_json(key->expires_at),
                     "last_used_at", time_json(key->last_used_at), "last_address", key->last_address[0] ? key->last_address : NULL);
}

static void list(struct request *r) {
    struct bp_error error = {0};
    struct store_keys keys = {0};
    const enum store_result result = store_keys_load(r->server->store, &keys, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "the keys");
        return;
    }
    json_t *data = json_array();
    for (int32_t i = 0; i < keys.count; i++) json_array_append_new(data, key_json(&keys.items[i]));
    answer_header(r, "Cache-Control", "no-store");
    answer_json(r, 200, list_json(data, keys.count ? keys.items[0].id : NULL, keys.count ? keys.items[keys.count - 1].id : NULL, false));
    store_keys_free(&keys);
}

const struct route route_list_keys = {
    .name = "list_keys",
    .method = "GET",
    .path = "/v1/keys",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = list,
};
