/* memory.c - the memory of requests in flight: each reserves what its body takes, and what the JSON in it will take once it is decoded, before it is
 * decoded; an upload what its ingest takes; and an answer what it takes until it is sent. A request beyond the server's budget is refused: 413 if it
 * is too large by itself, 503 if other requests use the memory.
 * Memory freed by large requests is returned to the system. */
#include "server/http/private.h"

#include "schema/json/cost.h"

#include <malloc.h>
#include <string.h>

enum {
    JSON_DEPTH_MAX = 64,  /* jansson's own limit is 2048; people need a few */
    SMALL = 64 << 10,     /* bodies up to here are not counted: the connections bound them */
    TRIM_BYTES = 16 << 20 /* after a larger request, freed memory is returned to the system */
};

/* glibc raises its threshold for mmap with each large block that is freed, and malloc_trim() does not cut the end of a thread's heap: large bodies
 * would stay with the process. With fixed thresholds large blocks are mapped, and go when they are freed. A predict of 5,000 rows stays below them:
 * with 1 and 2 MB its buffers were mapped anew for each request, 396 page faults and 33 ms of CPU time instead of 111 and 28. */
void memory_begin(void) {
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20); /* what a thread keeps at most */
}

void memory_release(struct request *r) {
    if (r->reserved > TRIM_BYTES) atomic_store(&r->server->memory_freed, true);
    if (r->reserved) atomic_fetch_sub(&r->server->memory_reserved, r->reserved);
    r->reserved = 0;
}

void memory_trim(struct server *server) {
    if (atomic_exchange(&server->memory_freed, false)) malloc_trim(0);
}

static bool take(struct request *r, int64_t more) {
    if (atomic_fetch_add(&r->server->memory_reserved, more) + more <= r->server->settings.requests_memory_max) {
        r->reserved += more;
        return true;
    }
    atomic_fetch_sub(&r->server->memory_reserved, more);
    return false;
}

static void refuse(struct request *r) {
    answer_problem(r, PROBLEM_overloaded, "the requests in flight use all memory allowed by the setting requests_memory_max; try again later");
}

static bool reserve(struct request *r, int64_t bytes) {
    const int64_t most = r->server->settings.requests_memory_max, more = bytes - r->reserved;
    if (bytes <= SMALL || more <= 0) return true;
    if (bytes > most / 2) {
        answer_problem(r, PROBLEM_too_large,
                       "the request would take %lld MB of memory decoded, but one request may take %lld (half of the setting requests_memory_max); "
                       "send smaller requests, or send large data as CSV to /v1/datasets, which is decoded as it arrives",
                       (long long)(bytes >> 20), (long long)(most >> 21));
        return false;
    }
    if (take(r, more)) return true;
    refuse(r);
    return false;
}

bool memory_for_upload(struct request *r, int64_t bytes) {
    if (bytes <= r->reserved || take(r, bytes - r->reserved)) return true;
    if (bytes <= r->server->settings.requests_memory_max) {
        refuse(r);
    } else {
        answer_problem(r, PROBLEM_too_large, "the upload takes %lld MB of memory, the setting requests_memory_max allows %lld",
                       (long long)(bytes >> 20), (long long)(r->server->settings.requests_memory_max >> 20));
    }
    return false;
}

void memory_for_answer(struct request *r) {
    const int64_t bytes = (int64_t)r->answer_size;
    memory_release(r);
    if (bytes <= SMALL || take(r, bytes)) return;
    if (strcmp(r->method, "GET") == 0) { /* nothing has changed */
        refuse(r);
        return;
    }
    atomic_fetch_add(&r->server->memory_reserved, bytes);
    r->reserved = bytes;
}

bool memory_for_body(struct request *r, int64_t bytes) {
    return reserve(r, bytes);
}

bool memory_for_json(struct request *r) {
    const struct schema_json_cost cost = schema_json_cost(r->body.bytes, r->body.size);
    return memory_for_cost(r, &cost);
}

bool memory_for_cost(struct request *r, const struct schema_json_cost *cost) {
    if (cost->depth > JSON_DEPTH_MAX) {
        answer_problem(r, PROBLEM_bad_request, "the JSON is nested deeper than %d levels", JSON_DEPTH_MAX);
        return false;
    }
    if (cost->values > r->server->settings.json_values_max) {
        answer_problem(r, PROBLEM_too_large,
                       "the JSON has %lld values, at most %lld are decoded (setting json_values_max); send large data as CSV to /v1/datasets, which "
                       "is decoded as it arrives",
                       (long long)cost->values, (long long)r->server->settings.json_values_max);
        return false;
    }
    return reserve(r, (int64_t)r->body.size + cost->bytes);
}
