/* access.h - API keys and the audit log: for a server, and for commands beside one.
 *
 * A key's text never gets here, only its hash. Keys that are revoked stay, because a folder that has had a key requires one for good. */
#ifndef SERVER_STORE_ACCESS_H
#define SERVER_STORE_ACCESS_H

#include "server/store/store.h"

#include <stdbool.h>

enum { STORE_KEY_ID_SIZE = 16, STORE_ADDRESS_SIZE = 48, STORE_SHA256_SIZE = 65, STORE_KEYS_MAX = 1000 };

struct store_key {
    char id[STORE_KEY_ID_SIZE]; /* a part of the key */
    char name[STORE_NAME_SIZE];
    char scope[8];
    char hash[STORE_SHA256_SIZE];          /* hex, of the whole key */
    char previous_hash[STORE_SHA256_SIZE]; /* of the key before the last rotation, until previous_until */
    int64_t previous_until;
    int64_t created_at, rotated_at, expires_at, revoked_at, last_used_at; /* 0: never */
    char last_address[STORE_ADDRESS_SIZE];
};
struct store_keys {
    int32_t count; /* of those not revoked; all of them */
    struct store_key *items;
    bool any;         /* there is or was one */
    int64_t revision; /* changes with them */
};
void store_keys_free(struct store_keys *keys);

/* What the audit log keeps of a change, or of a request that was denied. */
struct store_audit {
    int64_t id, at;
    bool denied;
    char key_id[STORE_KEY_ID_SIZE], key_name[STORE_NAME_SIZE]; /* "": no key */
    char address[STORE_ADDRESS_SIZE];
    char action[48];  /* operationId, or "keys create" */
    char target[256]; /* path of the request or of what it made; name of a key */
    int status;       /* of the response; 0: a command */
    char request_id[STORE_ID_SIZE];
};
struct store_audits {
    int32_t count;
    bool has_more;
    struct store_audit *items;
};
/* Rows that are kept: of changes, and of denied requests, which strangers can cause. */
enum { STORE_AUDIT_CHANGES_MAX = 100000, STORE_AUDIT_DENIED_MAX = 10000 };

/* ---- a server ---- */
enum store_result store_keys_load(struct store *store, struct store_keys *keys, struct bp_error *error);
/* That of the keys as they are now; cheap. */
enum store_result store_keys_revision(struct store *store, int64_t *revision, struct bp_error *error);
/* Stores the last uses of keys and appends to the audit log, in one transaction. Uses: id, last_used_at, last_address. */
struct store_activity {
    const struct store_key *uses;
    const struct store_audit *entries;
    int32_t uses_count, entries_count;
};
enum store_result store_activity_add(struct store *store, const struct store_activity *activity, struct bp_error *error);

/* ---- commands: a folder that a server may be using. Each change is committed, with its entry in the audit log, before it returns ---- */
struct access;
/* Makes the folder if there is none. Errors: as store_open, and another version of the program uses the folder. The result is the caller's. */
enum store_result access_open(const char *folder, struct access **access, struct bp_error *error);
void access_close(struct access *access); /* NULL is fine */
/* Whether a server would find a key there that is neither expired nor revoked. Changes nothing. */
bool access_folder_has_key(const char *folder);
/* created_at is set. STORE_EXISTS: a key has the name. STORE_FULL: there are STORE_KEYS_MAX. */
enum store_result access_key_create(struct access *access, struct store_key *key, const struct store_audit *entry, struct bp_error *error);
enum store_result access_key_get(struct access *access, const char *name, struct store_key *key, struct bp_error *error);
/* key: as access_key_get gave it, with the new hash, previous_until and expires_at. */
enum store_result access_key_rotate(struct access *access, const struct store_key *key, const struct store_audit *entry, struct bp_error *error);
enum store_result access_key_revoke(struct access *access, const char *name, const struct store_audit *entry, struct bp_error *error);
enum store_result access_keys(struct access *access, struct store_keys *keys, struct bp_error *error);
/* The newest entries first, those before `before` (0: all), at most limit. */
enum store_result access_audit(struct access *access, int64_t before, int32_t limit, struct store_audits *list, struct bp_error *error);
void store_audits_free(struct store_audits *list);

#endif
