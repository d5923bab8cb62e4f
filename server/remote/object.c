/* object.c - see object.h. */
#include "server/remote/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads up to `size` bytes at this place. */
static ssize_t read_at(int fd, void *bytes, size_t size, int64_t at) {
    ssize_t n;
    while ((n = pread(fd, bytes, size, (off_t)at)) < 0 && errno == EINTR) continue;
    return n;
}

int object_digest(int fd, int64_t bytes, char digest[OBJECT_DIGEST_SIZE], struct bp_error *error) {
    struct sha256_ctx hash;
    char *piece = malloc(FRAME_DATA_MAX);
    if (!piece) return bp_error_memory(error, "no memory to compute a SHA-256");
    sha256_init(&hash);
    int64_t at = 0;
    while (at < bytes) {
        const ssize_t n = read_at(fd, piece, bytes - at < FRAME_DATA_MAX ? (size_t)(bytes - at) : FRAME_DATA_MAX, at);
        if (n <= 0) break;
        sha256_update(&hash, (size_t)n, (const uint8_t *)piece);
        at += n;
    }
    const int cause = errno;
    free(piece);
    if (at < bytes) return bp_error_io(error, "a file has fewer than its %lld bytes, or cannot be read: %s", (long long)bytes, strerror(cause));
    hex_sha256_end(&hash, digest);
    return 0;
}

int object_begin(struct object_incoming *o, const json_t *head, int fd, struct bp_error *error) {
    const char *digest = json_string_value(json_object_get(head, "sha256"));
    const json_t *bytes = json_object_get(head, "bytes");
    *o = (struct object_incoming){.fd = fd, .bytes = json_integer_value(bytes)};
    if (!digest || strlen(digest) != OBJECT_DIGEST_SIZE - 1 || !json_is_integer(bytes) || o->bytes < 0)
        return bp_error_set(error, "", "a file was announced without its size or its SHA-256");
    snprintf(o->digest, sizeof o->digest, "%s", digest);
    sha256_init(&o->hash);
    return 0;
}

static int finish(struct object_incoming *o, struct bp_error *error) {
    char digest[OBJECT_DIGEST_SIZE];
    hex_sha256_end(&o->hash, digest);
    if (strcmp(digest, o->digest) == 0) return 1;
    return bp_error_set(error, "", "a file of %lld bytes arrived damaged: its SHA-256 is %.16s..., and should be %.16s...", (long long)o->bytes,
                        digest, o->digest);
}

int object_add(struct object_incoming *o, const char *bytes, size_t size, struct bp_error *error) {
    if (o->got + (int64_t)size > o->bytes) return bp_error_set(error, "", "more data came than was announced");
    sha256_update(&o->hash, size, (const uint8_t *)bytes);
    for (size_t at = 0; at < size;) {
        const ssize_t n = pwrite(o->fd, bytes + at, size - at, (off_t)(o->got + (int64_t)at));
        if (n < 0 && (errno == EINTR || (o->again && o->again(o->context)))) continue;
        if (n <= 0) return bp_error_io(error, "a file cannot be written: %s", strerror(errno));
        at += (size_t)n;
    }
    o->got += (int64_t)size;
    return o->got == o->bytes ? finish(o, error) : 0;
}

int object_send(struct frame_link *link, json_t *head, int fd, int64_t bytes, const char *digest, struct bp_error *error) {
    json_object_set_new(head, "bytes", json_integer(bytes));
    json_object_set_new(head, "sha256", json_string(digest));
    char *piece = malloc(FRAME_DATA_MAX);
    if (!piece) return bp_error_memory(error, "no memory to send a file");
    int failed = frame_send_json(link, FRAME_OBJECT, head);
    int64_t at = 0;
    do { /* an empty file has one empty piece */
        const size_t size = bytes - at < FRAME_DATA_MAX ? (size_t)(bytes - at) : FRAME_DATA_MAX;
        const ssize_t n = size ? read_at(fd, piece, size, at) : 0;
        if (n < 0 || (n == 0 && size)) {
            free(piece);
            return bp_error_io(error, "a file cannot be read: %s", n < 0 ? strerror(errno) : "it is shorter than it was");
        }
        failed = failed != 0 ? -1 : frame_send(link, FRAME_DATA, piece, (size_t)n);
        at += n;
    } while (failed == 0 && at < bytes);
    free(piece);
    if (failed == 0) return 0;
    errno = EPIPE;
    return bp_error_io(error, "the other side is gone");
}
