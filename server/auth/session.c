/* session.c - see session.h. */
#include "server/auth/session.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static void name_cookie(struct session_secret *secret) {
    struct sha256_ctx hash;
    uint8_t digest[4];
    sha256_init(&hash);
    sha256_update(&hash, sizeof secret->bytes, secret->bytes);
    sha256_digest(&hash, sizeof digest, digest);
    snprintf(secret->cookie, sizeof secret->cookie, "backpropd_%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
}

/* False: there is no whole secret. */
static bool read_secret(const char *path, struct session_secret *secret) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const bool whole = fd >= 0 && read(fd, secret->bytes, sizeof secret->bytes) == (ssize_t)sizeof secret->bytes;
    if (fd >= 0) close(fd);
    return whole;
}

/* The file appears whole, and under its name only when it is on disk: a crash must not leave half a secret. */
static int write_secret(const char *path, const struct session_secret *secret, struct bp_error *error) {
    char draft[4096];
    if (snprintf(draft, sizeof draft, "%s.new", path) >= (int)sizeof draft) return bp_error_io(error, "the path %s is too long", path);
    const int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write(fd, secret->bytes, sizeof secret->bytes) == (ssize_t)sizeof secret->bytes && fsync(fd) == 0;
    if (fd >= 0) good = close(fd) == 0 && good;
    if (good && rename(draft, path) == 0) return 0;
    return bp_error_io(error, "cannot write %s: %s", path, strerror(errno));
}

int session_secret_load(const char *path, struct session_secret *secret, struct bp_error *error) {
    int result = 0;
    if (!read_secret(path, secret)) {
        if (getrandom(secret->bytes, sizeof secret->bytes, 0) != (ssize_t)sizeof secret->bytes)
            return bp_error_io(error, "cannot get random bytes: %s", strerror(errno));
        result = write_secret(path, secret, error);
    }
    name_cookie(secret);
    return result;
}

bool session_cookie_find(const struct session_secret *secret, const char *header, char text[TICKET_TEXT_SIZE]) {
    const size_t name = strlen(secret->cookie);
    for (const char *at = header; at && *at;) {
        at += strspn(at, "; \t");
        const size_t size = strcspn(at, ";");
        if (size > name && strncmp(at, secret->cookie, name) == 0 && at[name] == '=') {
            const size_t value = size - name - 1;
            if (value == 0 || value >= TICKET_TEXT_SIZE) return false;
            memcpy(text, at + name + 1, value);
            text[value] = '\0';
            return true;
        }
        at += size;
    }
    return false;
}
