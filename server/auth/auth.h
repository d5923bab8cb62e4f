/* auth.h - who sends a request: the API keys in memory, wrong keys counted, the audit log written. One thread follows changes of the keys in the
 * database, which commands make, and stores in batches what requests leave: last uses of keys, entries of the audit log. */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include "server/auth/address.h"
#include "server/auth/scope.h"
#include "server/auth/session.h"
#include "server/auth/ticket.h"
#include "server/store/access.h"

struct auth;

struct auth_options {
    struct store *store;
    const char *key_file;     /* "": none */
    const char *session_file; /* its secret for sessions is made if missing */
    int64_t wrong_keys_max;   /* of one client in a minute */
};

/* Reads the file and the database, and starts the thread. -1 with the error. The result is the caller's. */
int auth_new(const struct auth_options *options, struct auth **auth, struct bp_error *error);
/* Stores what is left and ends the thread. Before the store closes; nothing else may be called after it. NULL is fine, here and below. */
void auth_stop(struct auth *auth);
void auth_free(struct auth *auth);
/* Reads the key file again; on failure the key stays. */
int auth_reload(struct auth *auth, const char *key_file, struct bp_error *error);
/* The first line of the file; *key is the caller's, NULL when path is "". -1 with the error. */
int auth_file_read(const char *path, char **key, struct bp_error *error);

/* Whether there is a key that is neither expired nor revoked. */
bool auth_has_key(struct auth *auth);

/* Who it is. */
struct identity {
    char id[STORE_KEY_ID_SIZE], name[STORE_NAME_SIZE]; /* "" and "": nobody, no key is required */
    enum scope scope;
    int64_t rotated_at; /* of its key; a later rotation ends what was opened before, after the grace */
};
enum auth_result {
    AUTH_OK,
    AUTH_MISSING,  /* no key */
    AUTH_WRONG,    /* no such key, or it was revoked */
    AUTH_EXPIRED,  /* who then is set */
    AUTH_THROTTLED /* too many wrong ones: *wait seconds */
};
/* authorization: the header, may be NULL. Without any key ever, everyone is admin. Never waits for the store. */
enum auth_result auth_check(struct auth *auth, const char *authorization, const struct address *client, struct identity *who, int64_t *wait);

/* A ticket for that path, for the one who sent the request. Returns when it expires. */
int64_t auth_ticket(struct auth *auth, const struct identity *who, const char *path, char text[TICKET_TEXT_SIZE]);
/* Who made the ticket, with the scope read at most. */
enum auth_result auth_ticket_check(struct auth *auth, const char *text, const char *path, struct identity *who);
/* A session in place of the key of the one who sent the request, and the name of its cookie. Returns when it expires. */
int64_t auth_session(struct auth *auth, const struct identity *who, char text[TICKET_TEXT_SIZE]);
const char *auth_session_cookie(const struct auth *auth);
/* Whose session a Cookie header has, with the scope of its key. AUTH_MISSING: it has none. Without any key ever, everyone is admin. */
enum auth_result auth_session_check(struct auth *auth, const char *cookies, struct identity *who);
/* Whether requests need a key. */
bool auth_is_required(struct auth *auth);
/* Whether the key is still there and has not expired: for streams, which live long. */
bool auth_is_valid(struct auth *auth, const struct identity *who);

/* Queues an entry; at is set. It is stored within a second. When too many wait it is dropped, which is logged. */
void auth_audit(struct auth *auth, const struct store_audit *entry);

#endif
