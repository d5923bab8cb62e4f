/* frame.c - see frame.h. */
#include "server/remote/frame.h"

#include "schema/checksum.h"
#include "schema/memory.h"
#include "server/clock.h"
#include "server/jobs/wire.h"
#include "server/write.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 16, NOISE_MAX = 65536 };
static const unsigned char magic[4] = {0xB2, 'b', 'p', '1'};

void frame_link_begin(struct frame_link *link, int in, int out) {
    memset(link, 0, sizeof *link);
    link->in = in;
    link->out = out;
    pthread_mutex_init(&link->lock, NULL);
    atomic_store(&link->heard_at, clock_ms());
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------------------------- */

static void put32(unsigned char *at, uint32_t v) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(v >> 8 * i);
}

static uint32_t get32(const unsigned char *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int frame_send(struct frame_link *link, enum frame_type type, const void *bytes, size_t size) {
    unsigned char head[HEAD];
    if (size > WIRE_FRAME_MAX) return -1;
    memcpy(head, magic, sizeof magic);
    put32(head + 4, (uint32_t)type);
    put32(head + 8, (uint32_t)size);
    put32(head + 12, schema_crc32(0, bytes, size));
    pthread_mutex_lock(&link->lock);
    const int failed = write_whole(link->out, head, sizeof head) < sizeof head || write_whole(link->out, bytes, size) < size ? -1 : 0;
    pthread_mutex_unlock(&link->lock);
    return failed;
}

int frame_send_json(struct frame_link *link, enum frame_type type, const json_t *json) {
    char *text = schema_json_dump(json, JSON_COMPACT);
    const int failed = text ? frame_send(link, type, text, strlen(text)) : -1;
    free(text);
    return failed;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------------------- */

/* Waits for bytes: -1 with the error when none came in time. */
static int await(struct frame_link *link, int64_t dead_ms, struct bp_error *error) {
    struct pollfd wait = {.fd = link->in, .events = POLLIN};
    for (;;) {
        const int64_t left = dead_ms ? atomic_load(&link->heard_at) + dead_ms - clock_ms() : 60000;
        if (left <= 0) return bp_error_set(error, "", "nothing was heard from the other side for %lld s", (long long)dead_ms / 1000);
        const int n = poll(&wait, 1, left < 60000 ? (int)left + 1 : 60000);
        if (n > 0) return 0;
        if (n < 0 && errno != EINTR) return bp_error_io(error, "%s", strerror(errno));
    }
}

static int read_all(struct frame_link *link, void *bytes, size_t size, int64_t dead_ms, struct bp_error *error) {
    for (char *at = bytes; size > 0;) {
        if (await(link, dead_ms, error) != 0) return -1;
        const ssize_t n = read(link->in, at, size);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return bp_error_io(error, "%s", strerror(errno));
        if (n == 0) {
            link->closed = true;
            return bp_error_set(error, "", "the connection was closed");
        }
        atomic_store(&link->heard_at, clock_ms());
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Skips what comes before the first frame. */
static int synchronise(struct frame_link *link, unsigned char head[HEAD], int64_t dead_ms, struct bp_error *error) {
    size_t have = 0, skipped = 0;
    while (have < sizeof magic) {
        if (read_all(link, head + have, 1, dead_ms, error) != 0) return -1;
        have++;
        while (have > 0 && memcmp(head, magic, have) != 0) {
            if (link->noise_size < sizeof link->noise - 1) link->noise[link->noise_size++] = (char)head[0];
            memmove(head, head + 1, --have);
            if (++skipped > NOISE_MAX) return bp_error_set(error, "", "the other side does not speak the protocol of `backpropd job --stdio`");
        }
    }
    link->begun = true;
    return read_all(link, head + sizeof magic, HEAD - sizeof magic, dead_ms, error);
}

int frame_receive(struct frame_link *link, struct frame *frame, int64_t dead_ms, struct bp_error *error) {
    unsigned char head[HEAD];
    *frame = (struct frame){0};
    if ((link->begun ? read_all(link, head, sizeof head, dead_ms, error) : synchronise(link, head, dead_ms, error)) != 0) return -1;
    const uint32_t type = get32(head + 4), size = get32(head + 8);
    if (memcmp(head, magic, sizeof magic) != 0 || type < FRAME_HELLO || type >= FRAME_TYPES || size > WIRE_FRAME_MAX)
        return bp_error_set(error, "", "what was received is damaged: something else was written between two frames");
    frame->type = (enum frame_type)type;
    frame->size = size;
    if (!(frame->bytes = malloc((size_t)size + 1))) return bp_error_memory(error, "no memory for a frame of %u bytes", size);
    frame->bytes[size] = '\0';
    if (read_all(link, frame->bytes, size, dead_ms, error) != 0) {
        frame_free(frame);
        return -1;
    }
    if (schema_crc32(0, frame->bytes, size) == get32(head + 12)) return 0;
    frame_free(frame);
    return bp_error_set(error, "", "what was received is damaged: its checksum is wrong");
}

json_t *frame_json(const struct frame *frame) {
    return frame->bytes ? schema_json_load(frame->bytes, frame->size, 0, NULL) : NULL;
}

void frame_free(struct frame *frame) {
    free(frame->bytes);
    *frame = (struct frame){0};
}
