/* wire.h - framed JSON between the supervisor and a job process: 4 bytes of length, little-endian, then the text.
 *
 * supervisor → process: first
 * {"spec","job","attempt","dataset","bytes","resume","validation","rows","processes","confinement","nice","cpu_seconds","draft","publish","training_ms","silence_ms","kernels",
 * "warnings","kind","version","results"}
 * (validation: bytes of its dataset, or 0), later {"command":"cancel"},
 * {"command":"stop"}, {"command":"file","number"} with a descriptor, or with "error" and "errno", {"command":"served","version"} with a descriptor,
 * or with version 0 or "error", {"command":"rung","stop"} for a trial of a sweep. process → supervisor:
 * {"kind":"report"|"file"|"served"|"rung"|"checkpoint"|"link"|"results"|"done"|"failed"|"yield"|"cancelled", ...}; messages.c documents what each
 * holds. "file" there is the number of a file that the supervisor has made. */
#ifndef SERVER_WIRE_H
#define SERVER_WIRE_H

#include "schema/text/text.h"
#include <jansson.h>
#include <stdbool.h>

enum {
    WIRE_FRAME_MAX = 256 << 20,
    WIRE_SOCKET = 3,
    WIRE_DATASET = 4,
    WIRE_CHECKPOINT = 5,
    WIRE_VALIDATION = 6,
    WIRE_DRAFT = 7,
    WIRE_PULSE = 8,
    WIRE_INIT = 9, /* also the model of a job that trains nothing */
    WIRE_PREDICTIONS = 10,
    WIRE_FAILURES = 11,
    WIRE_COMPARED = 12 /* the model that an evaluation compares it with */
};

/* The files that a training reads, by the names that frames and orders have for them. */
struct wire_input {
    const char *name;
    int wire;    /* its descriptor */
    bool shared; /* a dataset: many jobs read the same one */
};
enum { WIRE_INPUTS = 4 };
extern const struct wire_input wire_inputs[WIRE_INPUTS];
/* Which of them has this name; -1: none, or NULL. */
int wire_input_find(const char *name);

/* Writes one frame; blocks. -1 when the other side is gone. */
int wire_send(int fd, const json_t *json);
int wire_send_text(int fd, const char *text, size_t size);
/* The same with a descriptor, which stays the caller's. */
int wire_send_file(int fd, const char *text, size_t size, int file);
/* Reads one frame; blocks. NULL when the other side is gone or talks nonsense. */
json_t *wire_receive(int fd);
/* The same; *file: the descriptor that came with it, the caller's, or -1. */
json_t *wire_receive_file(int fd, int *file);
/* Reads what is there into buffer without blocking: -1 when the other side is gone. */
int wire_read(int fd, struct schema_text *buffer);
/* Takes the first whole frame out of buffer; NULL: none yet, or no memory for it: then it is still pending. */
json_t *wire_take(struct schema_text *buffer);
/* Whether there is a whole frame. */
bool wire_pending(const struct schema_text *buffer);

#endif
