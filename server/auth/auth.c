/* auth.c - see auth.h. Sections: the key file, the keys in memory, checking, activity, the thread, start and stop. */
#include "server/auth/auth.h"

#include "server/auth/key.h"
#include "server/auth/throttle.h"
#include "server/clock.h"
#include "server/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
    FILE_KEY_MIN = 16,
    FILE_KEY_MAX = 4096,
    FILE_KEY_STRONG = 32, /* characters that cannot be guessed, as those of a made key */
    TURN_MS = 250,
    USE_STORED_MS = 60000, /* between two stored uses of a key */
    ENTRIES_MAX = 4096,
    DENIED_MAX = 100, /* entries of denied requests in a row; strangers can cause them */
    BEFORE_ROTATION = -1,
    DENIED_MS = 500 /* until there is room for one more */
};

struct key {
    struct store_key row;
    unsigned char hash[KEY_HASH_SIZE], previous[KEY_HASH_SIZE];
    bool has_previous;
    int64_t use_stored_at; /* the last_used_at that is stored */
};

struct auth {
    struct store *store;
    struct throttle *throttle;
    pthread_t thread;
    pthread_cond_t wake;
    pthread_mutex_t lock; /* guards what follows; held for microseconds */
    bool stopping;
    struct key *keys; /* by id */
    int32_t keys_count;
    int64_t revision;
    bool required; /* stays once it is set */
    bool has_file, file_strong;
    unsigned char file_hash[KEY_HASH_SIZE];
    unsigned char ticket_secret[TICKET_SECRET_SIZE]; /* of this process */
    struct session_secret sessions;                  /* does not change */
    struct store_audit *entries;                     /* ENTRIES_MAX */
    int32_t entries_count;
    int64_t lost;
    int64_t denied_unkept;
    int64_t denied_full_at; /* ms: a bucket as in throttle.c */
    /* the thread's own */
    struct store_audit *batch;
    bool failing;
};

/* ---- the key file -------------------------------------------------------------------------------------------------------------------- */

int auth_file_read(const char *path, char **key, struct bp_error *error) {
    char line[FILE_KEY_MAX + 2];
    struct stat info;
    *key = NULL;
    if (!*path) return 0;
    FILE *file = fopen(path, "re");
    if (!file) return bp_error_io(error, "cannot read --api-key-file %s: %s", path, strerror(errno));
    const bool got = fgets(line, sizeof line, file) != NULL;
    const bool open_to_others = fstat(fileno(file), &info) == 0 && (info.st_mode & (S_IRWXO | S_IWGRP));
    fclose(file);
    const size_t length = got ? strcspn(line, "\r\n") : 0;
    if (length > FILE_KEY_MAX)
        return bp_error_set(error, "", "the first line of %s is longer than %d characters, the limit for a key", path, FILE_KEY_MAX);
    line[length] = '\0';
    if (length < FILE_KEY_MIN)
        return bp_error_set(error, "",
                            "the first line of %s must be a key of at least %d characters; make one with: head -c 24 /dev/urandom | base64", path,
                            FILE_KEY_MIN);
    if (open_to_others) log_line(LOG_WARNING, "api_key_file_readable", "file", path, "advice", "chmod 600", NULL);
    if (!(*key = strdup(line))) return bp_error_memory(error, "out of memory");
    return 0;
}

int auth_reload(struct auth *a, const char *path, struct bp_error *error) {
    char *key;
    if (!a) return 0;
    if (auth_file_read(path, &key, error) != 0) return -1;
    pthread_mutex_lock(&a->lock);
    a->has_file = key != NULL;
    a->required = a->required || key;
    if (key) key_hash(key, a->file_hash);
    a->file_strong = key && strlen(key) >= FILE_KEY_STRONG;
    pthread_mutex_unlock(&a->lock);
    free(key);
    return 0;
}

/* ---- the keys in memory ---------------------------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct key *)a)->row.id, ((const struct key *)b)->row.id);
}

/* Lock held. NULL: there is none. */
static struct key *find(const struct auth *a, const char *id) {
    struct key wanted = {0};
    snprintf(wanted.row.id, sizeof wanted.row.id, "%s", id);
    return a->keys_count ? bsearch(&wanted, a->keys, (size_t)a->keys_count, sizeof *a->keys, by_id) : NULL;
}

static int load(struct auth *a, struct bp_error *error) {
    struct store_keys rows;
    if (store_keys_load(a->store, &rows, error) != STORE_OK) return -1;
    struct key *keys = calloc((size_t)rows.count + 1, sizeof *keys);
    if (!keys) {
        store_keys_free(&rows);
        return bp_error_memory(error, "out of memory");
    }
    int32_t count = 0;
    for (int32_t i = 0; i < rows.count; i++) {
        struct key *key = &keys[count];
        *key = (struct key){.row = rows.items[i], .use_stored_at = rows.items[i].last_used_at};
        key->has_previous = key_hash_parse(key->row.previous_hash, key->previous);
        count += key_hash_parse(key->row.hash, key->hash);
    }
    qsort(keys, (size_t)count, sizeof *keys, by_id);
    pthread_mutex_lock(&a->lock);
    for (int32_t i = 0; i < count; i++) { /* uses that are not stored yet */
        const struct key *old = find(a, keys[i].row.id);
        if (!old || old->row.last_used_at <= keys[i].row.last_used_at) continue;
        keys[i].row.last_used_at = old->row.last_used_at;
        memcpy(keys[i].row.last_address, old->row.last_address, sizeof keys[i].row.last_address);
    }
    struct key *before = a->keys;
    a->keys = keys;
    a->keys_count = count;
    a->revision = rows.revision;
    a->required = a->required || rows.any;
    pthread_mutex_unlock(&a->lock);
    free(before);
    store_keys_free(&rows);
    return 0;
}

static bool expired(const struct key *key, int64_t now) {
    return key->row.expires_at > 0 && key->row.expires_at <= now;
}

bool auth_has_key(struct auth *a) {
    if (!a) return false;
    const int64_t now = store_now();
    pthread_mutex_lock(&a->lock);
    bool found = a->has_file;
    for (int32_t i = 0; i < a->keys_count && !found; i++) found = !expired(&a->keys[i], now);
    pthread_mutex_unlock(&a->lock);
    return found;
}

/* ---- checking ---------------------------------------------------------------------------------------------------------------------------- */

/* Lock held. strong: it cannot have been guessed. */
static enum auth_result match(struct auth *a, const char *text, const struct address *client, struct identity *who, bool *strong) {
    unsigned char hash[KEY_HASH_SIZE];
    char id[STORE_KEY_ID_SIZE];
    const int64_t now = store_now();
    key_hash(text, hash);
    *strong = false;
    if (a->has_file && key_hash_same(hash, a->file_hash)) {
        *who = (struct identity){.id = "file", .name = "api_key_file", .scope = SCOPE_ADMIN};
        *strong = a->file_strong;
        return AUTH_OK;
    }
    struct key *key = key_id(text, id) ? find(a, id) : NULL;
    if (!key) return AUTH_WRONG;
    const bool same = key_hash_same(hash, key->hash), previous = key_hash_same(hash, key->previous);
    if (!same && !(previous && key->has_previous && now < key->row.previous_until)) return AUTH_WRONG;
    *strong = true;
    *who = (struct identity){.scope = scope_named(key->row.scope), .rotated_at = same ? key->row.rotated_at : BEFORE_ROTATION};
    memcpy(who->id, key->row.id, sizeof who->id);
    memcpy(who->name, key->row.name, sizeof who->name);
    if (expired(key, now)) return AUTH_EXPIRED;
    key->row.last_used_at = now;
    address_text(client, key->row.last_address);
    return AUTH_OK;
}

bool auth_is_required(struct auth *a) {
    if (!a) return false;
    pthread_mutex_lock(&a->lock);
    const bool required = a->required;
    pthread_mutex_unlock(&a->lock);
    return required;
}

enum auth_result auth_check(struct auth *a, const char *authorization, const struct address *client, struct identity *who, int64_t *wait) {
    *who = (struct identity){.scope = SCOPE_ADMIN};
    *wait = 0;
    if (!auth_is_required(a)) return AUTH_OK;
    *who = (struct identity){.scope = SCOPE_NONE};
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) return AUTH_MISSING;
    authorization += 7 + strspn(authorization + 7, " ");
    if (!*authorization) return AUTH_MISSING;
    bool strong;
    pthread_mutex_lock(&a->lock);
    const enum auth_result result = match(a, authorization, client, who, &strong);
    pthread_mutex_unlock(&a->lock);
    if (strong) return result;
    *wait = throttle_wait(a->throttle, client, clock_ms());
    if (*wait) return AUTH_THROTTLED; /* right or not: a short key could be guessed */
    if (result == AUTH_WRONG) throttle_count(a->throttle, client, clock_ms());
    return result;
}

/* ---- tickets and streams ---------------------------------------------------------------------------------------------------------------- */

int64_t auth_ticket(struct auth *a, const struct identity *who, const char *path, char text[TICKET_TEXT_SIZE]) {
    const int64_t expires_at = store_now() + TICKET_SECONDS * 1000;
    ticket_make(a->ticket_secret, who->id, path, expires_at, text);
    return expires_at;
}

/* Lock held. */
static bool is_valid(const struct auth *a, const struct identity *who) {
    if (!a->required) return true;
    if (strcmp(who->id, "file") == 0) return a->has_file;
    const struct key *key = find(a, who->id);
    const int64_t now = store_now();
    return key && !expired(key, now) && (who->rotated_at == key->row.rotated_at || now < key->row.previous_until);
}

bool auth_is_valid(struct auth *a, const struct identity *who) {
    if (!a) return true;
    pthread_mutex_lock(&a->lock);
    const bool valid = is_valid(a, who);
    pthread_mutex_unlock(&a->lock);
    return valid;
}

enum auth_result auth_ticket_check(struct auth *a, const char *text, const char *path, struct identity *who) {
    *who = (struct identity){.scope = SCOPE_READ};
    if (!a) return AUTH_OK;
    const bool good = ticket_read(a->ticket_secret, text, path, store_now(), who->id);
    pthread_mutex_lock(&a->lock);
    const struct key *key = find(a, who->id);
    if (key) memcpy(who->name, key->row.name, sizeof who->name);
    if (key) who->rotated_at = key->row.rotated_at;
    const bool valid = !a->required || (good && is_valid(a, who));
    pthread_mutex_unlock(&a->lock);
    return valid ? AUTH_OK : AUTH_WRONG;
}

/* What a session is signed for: its key as it is now. A key of the file has no rotation; its hash changes. Lock held. */
static void session_subject(const struct auth *a, const struct identity *who, char subject[64]) {
    if (strcmp(who->id, "file") == 0)
        snprintf(subject, 64, "session file %02x%02x%02x%02x%02x%02x%02x%02x", a->file_hash[0], a->file_hash[1], a->file_hash[2], a->file_hash[3],
                 a->file_hash[4], a->file_hash[5], a->file_hash[6], a->file_hash[7]);
    else snprintf(subject, 64, "session %lld", (long long)who->rotated_at);
}

int64_t auth_session(struct auth *a, const struct identity *who, char text[TICKET_TEXT_SIZE]) {
    const int64_t expires_at = store_now() + SESSION_SECONDS * INT64_C(1000);
    char subject[64];
    pthread_mutex_lock(&a->lock);
    session_subject(a, who, subject);
    pthread_mutex_unlock(&a->lock);
    ticket_make(a->sessions.bytes, who->id, subject, expires_at, text);
    return expires_at;
}

const char *auth_session_cookie(const struct auth *a) {
    return a->sessions.cookie;
}

enum auth_result auth_session_check(struct auth *a, const char *cookies, struct identity *who) {
    char text[TICKET_TEXT_SIZE], subject[64];
    *who = (struct identity){.scope = SCOPE_ADMIN};
    if (!auth_is_required(a)) return AUTH_OK;
    *who = (struct identity){.scope = SCOPE_NONE};
    if (!session_cookie_find(&a->sessions, cookies, text)) return AUTH_MISSING;
    const size_t head = strncmp(text, "bpt_", 4) == 0 ? 4 : strlen(text), id = strcspn(text + head, "_");
    if (id < sizeof who->id) snprintf(who->id, sizeof who->id, "%.*s", (int)id, text + head);
    struct identity found = *who;
    pthread_mutex_lock(&a->lock);
    struct key *key = find(a, found.id);
    const bool file = strcmp(found.id, "file") == 0 && a->has_file;
    if (file) found = (struct identity){.id = "file", .name = "api_key_file", .scope = SCOPE_ADMIN};
    if (key) {
        found.scope = scope_named(key->row.scope);
        found.rotated_at = key->row.rotated_at;
        memcpy(found.name, key->row.name, sizeof found.name);
    }
    session_subject(a, &found, subject);
    const bool signed_in = (file || key) && ticket_read(a->sessions.bytes, text, subject, store_now(), found.id);
    const bool over = signed_in && key && expired(key, store_now());
    if (signed_in && key) key->row.last_used_at = store_now();
    pthread_mutex_unlock(&a->lock);
    if (!signed_in) return AUTH_WRONG;
    *who = found;
    return over ? AUTH_EXPIRED : AUTH_OK;
}

/* ---- activity ---------------------------------------------------------------------------------------------------------------------------- */

void auth_audit(struct auth *a, const struct store_audit *entry) {
    if (!a) return;
    const int64_t now = clock_ms();
    pthread_mutex_lock(&a->lock);
    if (entry->denied) {
        if (a->denied_full_at < now) a->denied_full_at = now;
        a->denied_full_at += DENIED_MS;
    }
    if (entry->denied && a->denied_full_at > now + DENIED_MAX * DENIED_MS) {
        a->denied_full_at -= DENIED_MS;
        a->denied_unkept++;
    } else if (a->entries_count == ENTRIES_MAX) {
        a->lost++;
    } else {
        a->entries[a->entries_count] = *entry;
        a->entries[a->entries_count++].at = store_now();
        pthread_cond_signal(&a->wake);
    }
    pthread_mutex_unlock(&a->lock);
}

/* Lock held. The uses that are to be stored now: the first since the last one was stored a minute ago. */
static int32_t take_uses(struct auth *a, bool all, struct store_key *uses) {
    int32_t count = 0;
    for (int32_t i = 0; i < a->keys_count; i++) {
        struct key *key = &a->keys[i];
        const int64_t age = key->row.last_used_at - key->use_stored_at;
        if (age <= 0 || (!all && age < USE_STORED_MS && key->use_stored_at)) continue;
        uses[count++] = key->row;
        key->use_stored_at = key->row.last_used_at;
    }
    return count;
}

/* Lock held on entry and on return. */
static void store_activity(struct auth *a, bool all, struct store_key *uses) {
    struct bp_error error = {0};
    struct store_audit unkept = {.at = store_now(), .denied = true, .action = "denied"};
    if (a->denied_unkept && a->entries_count < ENTRIES_MAX && (all || a->denied_full_at < clock_ms())) {
        snprintf(unkept.target, sizeof unkept.target, "%lld more denied requests", (long long)a->denied_unkept);
        a->entries[a->entries_count++] = unkept;
        a->denied_unkept = 0;
    }
    struct store_audit *entries = a->entries;
    const int64_t lost = a->lost;
    struct store_activity activity = {.uses = uses, .uses_count = take_uses(a, all, uses), .entries = entries, .entries_count = a->entries_count};
    if (!activity.uses_count && !activity.entries_count) return;
    a->entries = a->batch;
    a->batch = entries;
    a->entries_count = 0;
    a->lost = 0;
    pthread_mutex_unlock(&a->lock);
    const bool failed = store_activity_add(a->store, &activity, &error) != STORE_OK;
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)lost + (failed ? activity.entries_count : 0));
    if ((failed && !a->failing) || lost) log_line(LOG_ERROR, "audit_lost", "entries", text, "error", error.message, NULL);
    a->failing = failed;
    pthread_mutex_lock(&a->lock);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------------------------------- */

static void follow_keys(struct auth *a) {
    struct bp_error error = {0};
    int64_t revision = a->revision;
    if (store_keys_revision(a->store, &revision, &error) != STORE_OK || (revision != a->revision && load(a, &error) != 0)) {
        if (!a->failing) log_line(LOG_ERROR, "keys_unread", "error", error.message, NULL);
        a->failing = true;
    }
}

static void *run(void *context) {
    struct auth *a = context;
    struct store_key *uses = calloc(STORE_KEYS_MAX, sizeof *uses);
    if (!uses) log_line(LOG_ERROR, "audit_lost", "error", "out of memory", NULL);
    for (bool over = false; !over;) {
        const struct timespec until = clock_after(TURN_MS);
        pthread_mutex_lock(&a->lock);
        while (!a->stopping && !a->entries_count && pthread_cond_timedwait(&a->wake, &a->lock, &until) == 0) continue;
        over = a->stopping;
        if (uses) store_activity(a, over, uses);
        pthread_mutex_unlock(&a->lock);
        if (!over) follow_keys(a);
    }
    free(uses);
    return NULL;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------------------------------- */

static void release(struct auth *a) {
    throttle_free(a->throttle);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->wake);
    free(a->keys);
    free(a->entries);
    free(a->batch);
    free(a);
}

int auth_new(const struct auth_options *options, struct auth **out, struct bp_error *error) {
    struct auth *a = calloc(1, sizeof *a);
    *out = NULL;
    if (!a) return bp_error_memory(error, "out of memory");
    pthread_mutex_init(&a->lock, NULL);
    clock_condition_init(&a->wake);
    a->store = options->store;
    a->throttle = throttle_new(options->wrong_keys_max);
    a->entries = calloc(ENTRIES_MAX, sizeof *a->entries);
    a->batch = calloc(ENTRIES_MAX, sizeof *a->batch);
    int failed = !a->throttle || !a->entries || !a->batch ? bp_error_memory(error, "out of memory") : 0;
    if (!failed && getrandom(a->ticket_secret, sizeof a->ticket_secret, 0) != sizeof a->ticket_secret)
        failed = bp_error_io(error, "cannot get random bytes: %s", strerror(errno));
    struct bp_error unsaved = {0};
    if (!failed && session_secret_load(options->session_file, &a->sessions, &unsaved) != 0)
        log_line(LOG_WARNING, "session_secret_unsaved", "error", unsaved.message, "effect", "sessions of browsers end with this process", NULL);
    if (!failed) failed = auth_reload(a, options->key_file, error);
    if (!failed) failed = load(a, error);
    if (!failed && (errno = pthread_create(&a->thread, NULL, run, a)) != 0)
        failed = bp_error_io(error, "cannot start the thread of the API keys: %s", strerror(errno));
    if (failed) release(a);
    else *out = a;
    return failed;
}

void auth_stop(struct auth *a) {
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
}

void auth_free(struct auth *a) {
    if (a) release(a);
}
