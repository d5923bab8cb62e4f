/* relay_data.c - files between the supervisor and the agent: what the job reads, and what it writes. */
#include "server/remote/relay.h"

#include "server/clock.h"
#include "server/jobs/wire.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- to the agent -------------------------------------------------------------------------------------------------------------------------------
 */

/* A file that the job has: of a dataset what belongs to the version, of others the whole. */
static int object_open(struct relay_object *o, const struct wire_input *input, int64_t version_bytes, struct bp_error *error) {
    struct stat info;
    *o = (struct relay_object){.fd = -1};
    if (fstat(input->wire, &info) != 0 || !S_ISREG(info.st_mode)) return 0; /* /dev/null: the job has none */
    const int64_t bytes = input->shared ? version_bytes : info.st_size;
    if (bytes == 0) return 0;
    o->fd = input->wire;
    o->bytes = bytes;
    return object_digest(o->fd, bytes, o->digest, error);
}

int relay_objects(struct relay *r, struct bp_error *error) {
    for (int i = 0; i < WIRE_INPUTS; i++) {
        const struct wire_input *input = &wire_inputs[i];
        const char *size_of = input->wire == WIRE_DATASET ? "bytes" : "validation";
        if (object_open(&r->objects[i], input, json_integer_value(json_object_get(r->order, size_of)), error) != 0) return -1;
    }
    return 0;
}

/* Ends the connection when a file cannot be read: the agent gets nothing that looks complete. */
static void *send_objects(void *context) {
    struct relay *r = context;
    struct bp_error error = {0};
    for (int i = 0; i < WIRE_INPUTS; i++) {
        struct relay_object *o = &r->objects[i];
        if (!o->needed) continue;
        json_t *head = json_pack("{s:s}", "place", wire_inputs[i].name);
        const int failed = object_send(&r->link, head, o->fd, o->bytes, o->digest, &error);
        json_decref(head);
        if (failed) {
            launch_signal(&r->launch, SIGTERM);
            return NULL;
        }
    }
    frame_send(&r->link, FRAME_START, "", 0);
    return NULL;
}

int relay_send_objects(struct relay *r, struct bp_error *error) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, send_objects, r) != 0) return bp_error_io(error, "cannot start a thread: %s", strerror(errno));
    pthread_detach(thread);
    return 0;
}

void relay_send_served(struct relay *r, json_t *message, int fd) {
    struct bp_error error = {0};
    struct stat info;
    char digest[OBJECT_DIGEST_SIZE];
    if (fd >= 0 && fstat(fd, &info) == 0 && object_digest(fd, info.st_size, digest, &error) == 0) {
        json_t *head = json_pack("{s:s}", "place", "served");
        object_send(&r->link, head, fd, info.st_size, digest, &error);
        json_decref(head);
    }
    if (error.message[0]) json_object_set_new(message, "error", json_string(error.message));
    frame_send_json(&r->link, FRAME_TEXT, message);
}

/* ---- from the agent -----------------------------------------------------------------------------------------------------------------------------
 */

void relay_draft_arrived(struct relay *r, const json_t *message, int fd) {
    pthread_mutex_lock(&r->lock);
    r->draft = fd;
    r->draft_number = json_integer_value(json_object_get(message, "number"));
    r->refused = fd < 0;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void pause_briefly(void) {
    const struct timespec pause = {.tv_nsec = 500000000};
    nanosleep(&pause, NULL);
}

/* Whether to write again after a failure. A disk that is full is waited for, unless the job is cancelled. */
static bool write_again(void *context) {
    struct relay *r = context;
    if (errno != ENOSPC && errno != EDQUOT && errno != EIO) return false;
    if (atomic_load(&r->command) == RELAY_CANCEL) return false;
    atomic_fetch_add(&r->held, 1);
    pause_briefly();
    atomic_store(&r->link.heard_at, clock_ms());
    atomic_fetch_sub(&r->held, 1);
    return true;
}

/* A file of the supervisor. It refuses while it has no room, and is asked again. -1: the job is cancelled. */
static int take_draft(struct relay *r) {
    static const char request[] = "{\"kind\":\"file\"}";
    atomic_fetch_add(&r->held, 1);
    pthread_mutex_lock(&r->lock);
    while (r->draft < 0 && atomic_load(&r->command) != RELAY_CANCEL) {
        r->refused = false;
        pthread_mutex_unlock(&r->lock);
        relay_say_text(r, request, sizeof request - 1);
        pthread_mutex_lock(&r->lock);
        while (r->draft < 0 && !r->refused) pthread_cond_wait(&r->changed, &r->lock);
        if (r->draft >= 0) break;
        pthread_mutex_unlock(&r->lock);
        pause_briefly();
        pthread_mutex_lock(&r->lock);
    }
    const int fd = r->draft;
    pthread_mutex_unlock(&r->lock);
    atomic_store(&r->link.heard_at, clock_ms());
    atomic_fetch_sub(&r->held, 1);
    return fd;
}

int relay_receive_object(struct relay *r, const struct frame *frame, struct bp_error *error) {
    json_t *head = frame_json(frame);
    const char *place = json_string_value(json_object_get(head, "place"));
    const bool is_draft = place && strcmp(place, "draft") == 0;
    r->agent_number = json_integer_value(json_object_get(head, "number"));
    const int fd = is_draft && !r->receives ? take_draft(r) : -1;
    int failed = fd < 0 ? bp_error_set(error, "", "a file arrived that was not expected") : 0;
    if (!failed && ftruncate(fd, 0) != 0) failed = bp_error_io(error, "a file cannot be written: %s", strerror(errno));
    if (!failed) failed = object_begin(&r->incoming, head, fd, error);
    r->incoming.again = write_again;
    r->incoming.context = r;
    r->receives = !failed;
    json_decref(head);
    return failed;
}

int relay_receive_data(struct relay *r, const struct frame *frame, struct bp_error *error) {
    if (!r->receives) return bp_error_set(error, "", "data arrived that was not expected");
    const int got = object_add(&r->incoming, frame->bytes, frame->size, error);
    if (got < 0) return -1;
    if (got == 0) return 0;
    r->receives = false;
    while (fsync(r->draft) != 0)
        if (!write_again(r)) return bp_error_io(error, "a file cannot be written: %s", strerror(errno));
    pthread_mutex_lock(&r->lock);
    r->placed_number = r->draft_number;
    close(r->draft);
    r->draft = -1;
    pthread_mutex_unlock(&r->lock);
    return 0;
}
