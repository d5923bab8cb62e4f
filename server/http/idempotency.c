/* idempotency.c - POSTs that may be repeated: the same key with the same body gets the first answer again, with another body 422, while the first is
 * still running 409. What was created and the fact that it was answered commit together (store.h), so a crash in between duplicates nothing. */
#include "server/http/private.h"

#include "server/hex.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys being executed now. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct request *running[1024];
static int running_count;

static bool hold(struct request *r) {
    bool free_now = true;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < running_count && free_now; i++) free_now = strcmp(running[i]->idempotency_key, r->idempotency_key) != 0;
    if (free_now && running_count < 1024) {
        running[running_count++] = r;
        r->idempotency_held = true;
    }
    pthread_mutex_unlock(&lock);
    return r->idempotency_held;
}

void idempotency_end(struct request *r) {
    if (!r->idempotency_held) return;
    struct bp_error error = {0};
    if (r->status >= 200 && r->status < 300 && r->answer) store_answer_body(r->server->store, r->idempotency_key, r->answer, &error);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < running_count; i++)
        if (running[i] == r) {
            running[i] = running[--running_count];
            break;
        }
    pthread_mutex_unlock(&lock);
    r->idempotency_held = false;
}

static void replay(struct request *r, struct store_answer *answer) {
    if (strcmp(answer->hash, r->body_hash) != 0) {
        answer_problem(r, PROBLEM_idempotency_mismatch,
                       "this Idempotency-Key was used with another body or query within the last 24 hours; use a new key for a new request");
        return;
    }
    answer_header(r, "Idempotency-Replayed", "true");
    if (answer->location && *answer->location) answer_header(r, "Location", answer->location);
    if (answer->body) {
        answer_bytes(r, answer->status, "application/json", answer->body, strlen(answer->body));
        answer->body = NULL;
        return;
    }
    answer_json(r, answer->status, json_pack("{s:s, s:s}", "object", "replay", "location", answer->location ? answer->location : ""));
}

bool idempotency_begin(struct request *r) {
    if (!r->idempotency_key) return true;
    hex_sha256_end(&r->hash, r->body_hash);
    if (!hold(r)) {
        answer_problem(r, PROBLEM_idempotency_in_progress, "the first request with this Idempotency-Key is still running; try again later");
        answer_header(r, "Retry-After", "1");
        return false;
    }
    struct store_answer answer = {0};
    struct bp_error error = {0};
    enum store_result result = store_answer_get(r->server->store, r->idempotency_key, &answer, &error);
    if (result == STORE_NOT_FOUND) return true;
    if (result == STORE_OK) replay(r, &answer);
    else answer_store(r, result, &error, "answer");
    store_answer_free(&answer);
    /* Nothing was executed: the stored response does not change. */
    int status = r->status;
    r->status = 0;
    idempotency_end(r);
    r->status = status;
    return false;
}

const struct store_idempotency *request_idempotency(const struct request *r, struct store_idempotency *record, int status, const char *location) {
    if (!r->idempotency_key) return NULL;
    *record = (struct store_idempotency){.key = r->idempotency_key, .hash = r->body_hash, .status = status, .location = location};
    return record;
}
