/* keys.h - statements about API keys and the audit log, within a transaction of the caller. Not for the outside: access.h is. */
#ifndef SERVER_STORE_KEYS_H
#define SERVER_STORE_KEYS_H

#include "server/store/access.h"
#include "server/store/sqlite/sqlite.h"

enum store_result key_insert(struct connection *c, struct store_key *key, struct bp_error *error);
enum store_result key_get(struct connection *c, const char *name, struct store_key *key, struct bp_error *error);
enum store_result key_replace(struct connection *c, const struct store_key *key, struct bp_error *error);
enum store_result key_revoke(struct connection *c, const char *name, struct bp_error *error);
enum store_result keys_read(struct connection *c, struct store_keys *keys, struct bp_error *error);
enum store_result audit_add(struct connection *c, const struct store_audit *entries, int32_t count, struct bp_error *error);
/* limit: at least 1. */
enum store_result audit_read(struct connection *c, int64_t before, int32_t limit, struct store_audits *list, struct bp_error *error);

#endif
