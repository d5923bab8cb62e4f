/* session.h - the session of a browser: a cookie in place of a key, signed like a ticket (ticket.h) with a secret that lives in a file of the data
 * folder, so that a restart does not sign anybody out. Nothing is stored per session: it ends when it expires, when its key is revoked, rotated or
 * expires, and when the file is deleted. A backup does not contain the file. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "engine/base/base.h"
#include "server/auth/ticket.h"

enum { SESSION_SECONDS = 7 * 24 * 3600, SESSION_COOKIE_SIZE = 32 };

struct session_secret {
    unsigned char bytes[TICKET_SECRET_SIZE];
    char cookie[SESSION_COOKIE_SIZE]; /* the name of the cookie: other for every secret, because browsers share cookies between the ports of a host */
};

/* Reads the file, or makes it with random bytes and mode 600. -1 with the error: the secret is a random one then, whose sessions end with this
 * process. */
int session_secret_load(const char *path, struct session_secret *secret, struct bp_error *error);
/* The value of the secret's cookie in a Cookie header (RFC 6265, 4.2.1). False: it is not there, or no session's. */
bool session_cookie_find(const struct session_secret *secret, const char *header, char text[TICKET_TEXT_SIZE]);

#endif
