/* follower.c - see follower.h. Sections: the state; the feed; a session; the thread; start and stop; what is reported. */
#include "server/follow/follower.h"

#include "engine/kernels/kernels.h"
#include "schema/memory.h"
#include "server/auth/auth.h"
#include "server/clock.h"
#include "server/follow/copy.h"
#include "server/log.h"
#include "server/store/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    FEED_MAX = 8 << 20, /* bytes of the stream that are not read yet */
    NAMES_MAX = 500,    /* models of one turn */
    SERVERS_MAX = 8,    /* replicas of replicas */
    WAIT_FIRST_MS = 250,
    WAIT_LAST_MS = 20000,
    STUCK_MS = 20000 /* until what could not be used is tried again */
};

/* ---- the state ------------------------------------------------------------------------------------------------------------------------------ */

struct follower {
    struct server *server;
    struct fetch *stream, *fetch; /* the feed; everything else */
    pthread_t thread;
    bool running;
    atomic_bool stopping, poked;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool connected, complete;
    int64_t applied, known;                               /* numbers of changes: the last that is here, the last there is */
    int64_t complete_ms;                                  /* by clock.h: when it was last known to be up to date */
    int64_t last_change_at, heard_at, away_since, errors; /* dates */
    char error[500];                                      /* of the last try */
    char servers[SERVERS_MAX][STORE_ID_SIZE];             /* the primary, its primary ... */
    int servers_count;

    /* The thread's own. */
    char cursor[STORE_CURSOR_SIZE], seen[STORE_CURSOR_SIZE]; /* stored; of the stream, further on when something could not be used */
    char *key;
    struct schema_text feed;
    int64_t stuck_until; /* clock_ms; 0: nothing is */
    bool gap;
    bool worked; /* in this session */
    int tries;
};

static bool must_stop(void *context) {
    return atomic_load(&((struct follower *)context)->stopping);
}

static bool current(const struct follower *f) {
    return f->connected && f->complete && f->applied == f->known;
}

/* Lock held. Called when something was heard: without a word from the primary nobody knows. */
static void touch(struct follower *f) {
    if (current(f)) f->complete_ms = clock_ms();
}

static void note_known(struct follower *f, int64_t id) {
    pthread_mutex_lock(&f->lock);
    touch(f);
    if (id > f->known) f->known = id;
    pthread_mutex_unlock(&f->lock);
}

static void note_heard(struct follower *f) {
    pthread_mutex_lock(&f->lock);
    f->heard_at = store_now();
    touch(f);
    pthread_mutex_unlock(&f->lock);
}

static void note_error(struct follower *f, const struct bp_error *error) {
    char count[24];
    pthread_mutex_lock(&f->lock);
    const bool other = strcmp(f->error, error->message) != 0;
    snprintf(f->error, sizeof f->error, "%.*s", (int)sizeof f->error - 1, error->message);
    snprintf(count, sizeof count, "%lld", (long long)++f->errors);
    pthread_mutex_unlock(&f->lock);
    if (other)
        log_line(LOG_WARNING, "replica_behind", "primary", (const char *)f->server->settings.follow, "error", error->message, "errors", count, NULL);
}

/* All up to this change is here. */
static enum copy_result keep_place(struct follower *f, const char *cursor, struct bp_error *error) {
    struct store_following place = {.caught_up_at = store_now()};
    char mark[STORE_MARK_SIZE];
    int64_t id = 0;
    snprintf(place.url, sizeof place.url, "%s", (const char *)f->server->settings.follow);
    snprintf(place.cursor, sizeof place.cursor, "%s", cursor);
    if (store_following_set(f->server->store, &place, error) != STORE_OK) return COPY_FAILED;
    store_cursor_parse(cursor, &id, mark);
    snprintf(f->cursor, sizeof f->cursor, "%s", cursor);
    snprintf(f->seen, sizeof f->seen, "%s", cursor);
    f->stuck_until = 0;
    pthread_mutex_lock(&f->lock);
    f->applied = id;
    if (f->known < id) f->known = id;
    const bool first = !f->complete;
    f->complete = true;
    f->last_change_at = place.caught_up_at;
    f->error[0] = '\0';
    touch(f);
    pthread_mutex_unlock(&f->lock);
    if (first) log_line(LOG_INFO, "replica_ready", "primary", place.url, "change", cursor, NULL);
    return COPY_OK;
}

/* ---- the feed ------------------------------------------------------------------------------------------------------------------------------- */

struct turn {
    char names[NAMES_MAX][STORE_NAME_SIZE];
    int count;
    char last[STORE_CURSOR_SIZE]; /* "": nothing has come */
};

static int take_piece(void *context, const char *bytes, size_t size, struct bp_error *error) {
    struct follower *f = context;
    note_heard(f);
    schema_text_add(&f->feed, bytes, size);
    return f->feed.failed ? bp_error_set(error, "", "the primary's feed sent an event of more than %d MB", FEED_MAX >> 20) : 0;
}

static void add_name(struct turn *turn, const char *name) {
    for (int i = 0; i < turn->count; i++)
        if (strcmp(turn->names[i], name) == 0) return;
    snprintf(turn->names[turn->count++], STORE_NAME_SIZE, "%s", name);
}

/* One event: the lines before an empty one. The number must follow that of the change before. */
static int take_event(struct follower *f, const char *text, size_t size, struct turn *turn, struct bp_error *error) {
    const char *data = memmem(text, size, "data: ", 6), *before = *turn->last ? turn->last : f->seen;
    if (!data || (data > text && data[-1] != '\n')) return 0; /* a comment */
    const size_t length = strcspn(data + 6, "\n");
    json_t *json = schema_json_load(data + 6, length, 0, NULL);
    const char *id = json_string_value(json_object_get(json, "id")), *model = json_string_value(json_object_get(json, "model"));
    char mark[STORE_MARK_SIZE];
    int64_t number = 0, last = 0;
    int failed = 0;
    if (!id || !store_cursor_parse(id, &number, mark) || (model && !schema_name_valid(model))) {
        failed = bp_error_set(error, "", "the primary's feed sent what is no change: %.200s", data + 6);
    } else if (!store_cursor_parse(before, &last, mark) || number != last + 1) {
        f->gap = true;
        failed = bp_error_set(error, "", "the primary's feed left out changes between %lld and %lld: everything is copied again", (long long)last,
                              (long long)number);
    } else {
        if (model) add_name(turn, model);
        snprintf(turn->last, sizeof turn->last, "%s", id);
        note_known(f, number);
    }
    json_decref(json);
    return failed;
}

/* As many events as make one turn, taken out of what has come. */
static int take_events(struct follower *f, struct turn *turn, struct bp_error *error) {
    size_t at = 0;
    int failed = 0;
    turn->count = 0;
    turn->last[0] = '\0';
    while (!failed && turn->count < NAMES_MAX) {
        const char *end = f->feed.size > at ? memmem(f->feed.bytes + at, f->feed.size - at, "\n\n", 2) : NULL;
        if (!end) break;
        const size_t size = (size_t)(end - f->feed.bytes) - at;
        failed = take_event(f, f->feed.bytes + at, size, turn, error);
        at += size + 2;
    }
    if (at) memmove(f->feed.bytes, f->feed.bytes + at, f->feed.size - at + 1);
    f->feed.size -= at;
    return failed;
}

static struct copier copier_of(const struct follower *f) {
    return (struct copier){.server = f->server, .fetch = f->fetch, .key = f->key, .ca_file = f->server->settings.follow_ca_file};
}

/* Copies what was changed. A model that cannot be used holds up the place, not the others. */
static int apply_turn(struct follower *f, const struct turn *turn, struct bp_error *error) {
    const struct copier copier = copier_of(f);
    for (int i = 0; i < turn->count; i++) {
        struct bp_error own = {0};
        const enum copy_result result = copy_model(&copier, turn->names[i], false, &own);
        if (result == COPY_FAILED) return *error = own, -1;
        if (result == COPY_OK) continue;
        note_error(f, &own);
        if (!f->stuck_until) f->stuck_until = clock_ms() + STUCK_MS;
    }
    snprintf(f->seen, sizeof f->seen, "%s", turn->last);
    return f->stuck_until || keep_place(f, turn->last, error) == COPY_OK ? 0 : -1;
}

/* Between the bytes of the feed. */
static int take_turn(void *context, struct bp_error *error) {
    struct follower *f = context;
    struct turn *turn = malloc(sizeof *turn);
    if (!turn) return bp_error_memory(error, "out of memory");
    int failed = 0;
    do failed = take_events(f, turn, error);
    while (!failed && *turn->last && (failed = apply_turn(f, turn, error)) == 0 && !must_stop(f));
    free(turn);
    if (!failed && f->stuck_until && (clock_ms() > f->stuck_until || atomic_load(&f->poked))) {
        f->stuck_until = 0;
        return bp_error_set(error, "", "%.480s", f->error); /* again from the place before it */
    }
    return failed;
}

/* ---- a session ------------------------------------------------------------------------------------------------------------------------------ */

/* Those that the primary's models come from. Oneself among them: a circle. */
static int take_servers(struct follower *f, const json_t *list, struct bp_error *error) {
    int count = 0;
    bool self = false;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < json_array_size(list) && count < SERVERS_MAX; i++) {
        const char *id = json_string_value(json_array_get(list, i));
        self = self || (id && strcmp(id, f->server->instance) == 0);
        if (id) snprintf(f->servers[count++], STORE_ID_SIZE, "%.*s", STORE_ID_SIZE - 1, id);
    }
    f->servers_count = count;
    pthread_mutex_unlock(&f->lock);
    if (!self && json_array_size(list) < SERVERS_MAX) return 0;
    return bp_error_set(error, "",
                        self ? "%s follows this server, or is this server: nobody would have the models; follow another one"
                             : "%s is a replica of a replica ... of a replica: follow one that is nearer to the primary",
                        (const char *)f->server->settings.follow);
}

/* The head of the feed: *newest is the place after which there is nothing. 0: the place here is known there; 1: it is not; -1: error. */
static int ask(struct follower *f, char newest[STORE_CURSOR_SIZE], struct bp_error *error) {
    const struct copier copier = copier_of(f);
    char path[100], mark[STORE_MARK_SIZE];
    int status = 0;
    int64_t id = 0;
    enum copy_result result;
    snprintf(path, sizeof path, "/v1/changes?limit=1%s%s", f->cursor[0] ? "&after=" : "", f->cursor);
    json_t *json = copy_get(&copier, path, &status, &result, error);
    if (!json && status == 410 && f->cursor[0]) {
        f->cursor[0] = '\0';
        *error = (struct bp_error){0};
        log_line(LOG_INFO, "replica_gap", "primary", (const char *)f->server->settings.follow, "consequence", "everything is compared again", NULL);
        return ask(f, newest, error);
    }
    if (!json) {
        if (status != 404) return -1;
        *error = (struct bp_error){0};
        return bp_error_set(error, "", "%s has no GET /v1/changes: it runs an older version of backpropd, or something else; update it first",
                            (const char *)f->server->settings.follow);
    }
    const char *text = json_string_value(json_object_get(json, "newest"));
    int failed = 0;
    if (!text || !store_cursor_parse(text, &id, mark))
        failed =
            bp_error_set(error, "", "%s answers GET /v1/changes with something else; is it a backpropd?", (const char *)f->server->settings.follow);
    else if (json_integer_value(json_object_get(json, "format")) != COPY_FORMAT)
        failed = bp_error_set(error, "", "the primary sends its models in another format than this program reads (%d): use the same version of both",
                              COPY_FORMAT);
    else failed = take_servers(f, json_object_get(json, "servers"), error);
    if (!failed) snprintf(newest, STORE_CURSOR_SIZE, "%s", text);
    json_decref(json);
    if (failed) return -1;
    pthread_mutex_lock(&f->lock);
    f->known = id; /* of another history, perhaps, where numbers are smaller */
    if (f->applied > id || !f->cursor[0]) f->applied = 0;
    f->heard_at = store_now();
    pthread_mutex_unlock(&f->lock);
    return f->cursor[0] ? 0 : 1;
}

static int follow_stream(struct follower *f, struct bp_error *error) {
    char path[100];
    struct fetch_response response;
    const struct fetch_request request = {
        .path = path, .key = f->key, .ca_file = f->server->settings.follow_ca_file, .sink = take_piece, .turn = take_turn, .context = f};
    snprintf(path, sizeof path, "/v1/changes?after=%s", f->cursor);
    free(f->feed.bytes);
    f->feed = (struct schema_text){.limit = FEED_MAX};
    snprintf(f->seen, sizeof f->seen, "%s", f->cursor);
    f->stuck_until = 0;
    int failed = fetch_get(f->stream, &request, &response, error);
    if (!failed && response.status == 410) f->gap = true;
    if (!failed)
        failed = bp_error_set(error, "",
                              response.status == 200 ? "the primary has ended its feed: it stops, or has begun again"
                                                     : "the primary answered its feed with %d",
                              response.status);
    free(response.body.bytes);
    return failed;
}

/* Until the connection is lost. The feed is asked where it is before everything is copied: what changes from then on comes with the stream. */
static int session(struct follower *f, struct bp_error *error) {
    const char *file = *f->server->settings.follow_key_file ? f->server->settings.follow_key_file : f->server->settings.api_key_file;
    char newest[STORE_CURSOR_SIZE];
    free(f->key);
    f->key = NULL;
    f->gap = f->worked = false;
    if (auth_file_read(file, &f->key, error) != 0) return -1;
    const int all = ask(f, newest, error);
    if (all < 0) return -1;
    pthread_mutex_lock(&f->lock);
    f->connected = true;
    f->away_since = 0;
    pthread_mutex_unlock(&f->lock);
    if (all) {
        const struct copier copier = copier_of(f);
        log_line(LOG_INFO, "replica_copies_all", "primary", (const char *)f->server->settings.follow, "change", newest, NULL);
        if (copy_all(&copier, error) != COPY_OK || keep_place(f, newest, error) != COPY_OK) return -1;
    } else {
        pthread_mutex_lock(&f->lock);
        f->complete = true;
        f->error[0] = '\0';
        touch(f);
        pthread_mutex_unlock(&f->lock);
    }
    f->worked = true;
    log_line(LOG_INFO, "replica_connected", "primary", (const char *)f->server->settings.follow, "change", f->cursor, NULL);
    return follow_stream(f, error);
}

/* ---- the thread ----------------------------------------------------------------------------------------------------------------------------- */

/* Longer each time, up to a bound, and never the same for all replicas of a primary that comes back. */
static void pause_before_retry(struct follower *f) {
    uint32_t chance = 0;
    int64_t ms = WAIT_FIRST_MS;
    for (int i = 0; i < f->tries && ms < WAIT_LAST_MS; i++) ms *= 2;
    if (ms > WAIT_LAST_MS) ms = WAIT_LAST_MS;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance) chance = (uint32_t)clock_ns();
    const struct timespec until = clock_after(ms / 2 + chance % (ms / 2 + 1));
    pthread_mutex_lock(&f->lock);
    while (!atomic_load(&f->stopping) && !atomic_load(&f->poked) && pthread_cond_timedwait(&f->wake, &f->lock, &until) == 0) continue;
    pthread_mutex_unlock(&f->lock);
    atomic_store(&f->poked, false);
}

static void *run(void *context) {
    struct follower *f = context;
    bp_flush_denormals();
    while (!must_stop(f)) {
        struct bp_error error = {0};
        session(f, &error);
        if (f->gap) f->cursor[0] = '\0';
        pthread_mutex_lock(&f->lock);
        if (f->connected || !f->away_since) f->away_since = store_now();
        f->connected = false;
        pthread_mutex_unlock(&f->lock);
        if (must_stop(f)) break;
        note_error(f, &error);
        f->tries = f->worked ? 0 : f->tries + 1;
        pause_before_retry(f);
    }
    return NULL;
}

/* ---- start and stop ------------------------------------------------------------------------------------------------------------------------- */

static int check_folder(struct follower *f, struct bp_error *error) {
    struct store_following place;
    char mark[STORE_MARK_SIZE];
    const char *url = f->server->settings.follow;
    enum store_result result = store_following_get(f->server->store, &place, error);
    if (result != STORE_OK && result != STORE_NOT_FOUND) return -1;
    if (result == STORE_OK && strcmp(place.url, url) != 0) log_line(LOG_INFO, "replica_of_another", "before", place.url, "now", url, NULL);
    snprintf(f->cursor, sizeof f->cursor, "%s", place.cursor);
    f->complete = place.cursor[0] != '\0';
    f->last_change_at = place.caught_up_at;
    store_cursor_parse(place.cursor, &f->applied, mark);
    f->known = f->applied;
    snprintf(place.url, sizeof place.url, "%s", url);
    return store_following_set(f->server->store, &place, error) == STORE_OK ? 0 : -1;
}

/* Who can read along on the way has the key. */
static void warn_of_plain_key(const struct server_settings *settings) {
    const char *url = settings->follow;
    const bool key = *settings->follow_key_file || *settings->api_key_file;
    const bool local = strncmp(url, "http://127.", 11) == 0 || strncmp(url, "http://localhost", 16) == 0 || strncmp(url, "http://[::1]", 12) == 0;
    if (key && !local && strncmp(url, "http://", 7) == 0)
        log_line(LOG_WARNING, "replica_key_unencrypted", "primary", url, "hint",
                 "the key is sent without TLS; use https://, or a network of your own", NULL);
}

int follower_new(struct server *server, struct follower **follower, struct bp_error *error) {
    struct follower *f = calloc(1, sizeof *f);
    if (!f) return bp_error_memory(error, "out of memory");
    const struct fetch_options options = {.url = server->settings.follow, .stop = must_stop, .context = f};
    f->server = server;
    f->complete_ms = clock_ms();
    f->away_since = store_now();
    pthread_mutex_init(&f->lock, NULL);
    clock_condition_init(&f->wake);
    *follower = f;
    warn_of_plain_key(&server->settings);
    return fetch_library(error) == 0 && (f->stream = fetch_new(&options, error)) && (f->fetch = fetch_new(&options, error)) ? check_folder(f, error)
                                                                                                                            : -1;
}

int follower_start(struct follower *f, struct bp_error *error) {
    const int code = pthread_create(&f->thread, NULL, run, f);
    f->running = code == 0;
    return code == 0 ? 0 : bp_error_io(error, "cannot start the thread of the replica: %s", strerror(code));
}

void follower_poke(struct follower *f) {
    if (!f || !f->running) return;
    pthread_mutex_lock(&f->lock);
    atomic_store(&f->poked, true);
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    fetch_wake(f->stream);
}

void follower_stop(struct follower *f) {
    if (!f || !f->running) return;
    pthread_mutex_lock(&f->lock);
    atomic_store(&f->stopping, true);
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    fetch_wake(f->stream);
    fetch_wake(f->fetch);
    pthread_join(f->thread, NULL);
    f->running = false;
}

void follower_free(struct follower *f) {
    if (!f) return;
    fetch_free(f->stream);
    fetch_free(f->fetch);
    free(f->feed.bytes);
    free(f->key);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

int follower_promote(struct server *server, struct bp_error *error) {
    struct store_following place;
    const enum store_result result = store_following_get(server->store, &place, error);
    if (result == STORE_NOT_FOUND) return 0;
    if (result != STORE_OK || store_following_set(server->store, NULL, error) != STORE_OK) return -1;
    log_line(LOG_WARNING, "replica_ended", "primary", place.url, "change", place.cursor, "consequence",
             "the models of this folder are its own from now on", NULL);
    return 0;
}

/* ---- what is reported ----------------------------------------------------------------------------------------------------------------------- */

void follower_status(struct follower *f, struct follower_status *status) {
    pthread_mutex_lock(&f->lock);
    *status = (struct follower_status){.primary = f->server->settings.follow,
                                       .connected = f->connected,
                                       .complete = f->complete,
                                       .behind_changes = f->known > f->applied ? f->known - f->applied : 0,
                                       .behind_seconds = current(f) ? 0 : 1e-3 * (double)(clock_ms() - f->complete_ms),
                                       .last_change_at = f->last_change_at,
                                       .heard_at = f->heard_at,
                                       .away_since = f->away_since,
                                       .errors = f->errors};
    memcpy(status->error, f->error, sizeof status->error);
    pthread_mutex_unlock(&f->lock);
}

static json_t *date(int64_t ms) {
    char text[32];
    store_time_text(ms, text);
    return ms ? json_string(text) : json_null();
}

json_t *follower_json(struct follower *f) {
    struct follower_status s;
    follower_status(f, &s);
    return json_pack("{s:s, s:b, s:b, s:I, s:f, s:o, s:o, s:o, s:o}", "primary", s.primary, "connected", s.connected, "complete", s.complete,
                     "behind_changes", (json_int_t)s.behind_changes, "behind_seconds", s.behind_seconds, "last_change_at", date(s.last_change_at),
                     "heard_at", date(s.heard_at), "away_since", date(s.away_since), "error", *s.error ? json_string(s.error) : json_null());
}

void follower_upstream(struct follower *f, json_t *servers) {
    if (!f) return;
    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < f->servers_count; i++) json_array_append_new(servers, json_string(f->servers[i]));
    pthread_mutex_unlock(&f->lock);
}
