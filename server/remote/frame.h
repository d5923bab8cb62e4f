/* frame.h - the wire between a server and a job process on another host: binary frames with checksums over standard input and output.
 *
 * A frame is 16 bytes of head, little-endian: the magic number, its type, the size of its content, and the CRC-32 of the content; then the content.
 *
 *     relay (beside the server)                        agent (`backpropd job --stdio`, under a launcher)
 *       HELLO {version, token, order, objects...}  ──▶
 *                                                  ◀── HELLO {version, token, host, kernels, needs}
 *       OBJECT {place, bytes, sha256} DATA...      ──▶   each file that the agent needs
 *       START                                      ──▶   the job process starts
 *       TEXT: commands of the supervisor           ──▶
 *                                                  ◀── TEXT: messages of the job process, as in jobs/wire.h
 *                                                  ◀── OBJECT {place: draft, number...} DATA...: a file that it has written, before its message
 *       PING, every few seconds                    ──▶
 *                                                  ◀── PULSE {phase, epoch, ...}, every second
 *                                                  ◀── EXIT {code or signal}, or ERROR {message}: the last one
 *
 * A side that hears nothing for REMOTE_DEAD_MS takes the other one for dead. */
#ifndef SERVER_FRAME_H
#define SERVER_FRAME_H

#include "engine/base/base.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

enum { FRAME_PROTOCOL = 1, FRAME_DATA_MAX = 1 << 20, REMOTE_PING_MS = 5000, REMOTE_PULSE_MS = 1000, REMOTE_DEAD_MS = 20000 };

enum frame_type { FRAME_HELLO = 1, FRAME_START, FRAME_TEXT, FRAME_OBJECT, FRAME_DATA, FRAME_PING, FRAME_PULSE, FRAME_EXIT, FRAME_ERROR, FRAME_TYPES };

/* One thread reads; any thread writes, a frame at a time. */
struct frame_link {
    int in, out;
    pthread_mutex_t lock;  /* of out */
    atomic_llong heard_at; /* ms of the monotonic clock: when the last bytes came */
    bool begun;            /* the first frame came: no other text is in between any more */
    bool closed;           /* by the other side */
    char noise[400];       /* what came before it, by a login script or the launcher: its beginning */
    size_t noise_size;
};

struct frame {
    enum frame_type type;
    size_t size;
    char *bytes; /* NUL-terminated; frame_free */
};

void frame_link_begin(struct frame_link *link, int in, int out);
/* Blocks until everything is written. -1: the other side is gone. */
int frame_send(struct frame_link *link, enum frame_type type, const void *bytes, size_t size);
int frame_send_json(struct frame_link *link, enum frame_type type, const json_t *json);
/* Blocks until a whole frame is there. -1 with the error: the other side is gone, has been silent for dead_ms (0: may be silent for ever), or sends
 * something else; a frame whose checksum is wrong is an error, too. */
int frame_receive(struct frame_link *link, struct frame *frame, int64_t dead_ms, struct bp_error *error);
/* The JSON of a frame, the caller's; NULL: it is none. */
json_t *frame_json(const struct frame *frame);
void frame_free(struct frame *frame);

#endif
