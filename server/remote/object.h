/* object.h - files on their way between a server and a job process on another host: known by the SHA-256 of their content. */
#ifndef SERVER_OBJECT_H
#define SERVER_OBJECT_H

#include "server/hex.h"
#include "server/remote/frame.h"

#include <stdbool.h>

enum { OBJECT_DIGEST_SIZE = HEX_SHA256_SIZE };

/* Of the first `bytes` bytes of the file. -1 with the error. */
int object_digest(int fd, int64_t bytes, char digest[OBJECT_DIGEST_SIZE], struct bp_error *error);
/* One that is being received: written to a file, and hashed. */
struct object_incoming {
    int fd;        /* the caller's */
    int64_t bytes; /* that are to come in all */
    int64_t got;
    char digest[OBJECT_DIGEST_SIZE]; /* that it must have */
    struct sha256_ctx hash;
    /* Asked when the disk is full or fails: whether to try again, after a pause that it makes. NULL: no. */
    bool (*again)(void *context);
    void *context;
};
/* The head of an OBJECT frame: its size and digest. -1 with the error. */
int object_begin(struct object_incoming *object, const json_t *head, int fd, struct bp_error *error);
/* 1: it is complete, and as it should be; 0: more is to come; -1 with the error. */
int object_add(struct object_incoming *object, const char *bytes, size_t size, struct bp_error *error);
/* Sends OBJECT and its DATA. head gets bytes and sha256. -1 with the error: the file cannot be read, or (errno EPIPE) the other side is gone. */
int object_send(struct frame_link *link, json_t *head, int fd, int64_t bytes, const char *digest, struct bp_error *error);

#endif
