/* direct.h - what libmicrohttpd does not do for a connection: bytes written beside it, and whether the client is still there. Over TLS everything
 * goes through the session, so only one thread may use a connection at a time: its HTTP thread, or another one while it is suspended. */
#ifndef SERVER_DIRECT_H
#define SERVER_DIRECT_H

#include <microhttpd.h>
#include <stdbool.h>
#include <sys/types.h>

int direct_socket(struct MHD_Connection *connection); /* -1: none */
bool direct_is_tls(struct MHD_Connection *connection);
/* Without waiting: the bytes that were taken, or -1 with errno. After EAGAIN it must be called again with the same bytes and size. */
ssize_t direct_send(struct MHD_Connection *connection, const void *bytes, size_t size);
/* Everything that the client sent was read, and nothing more will come. */
bool direct_at_end(struct MHD_Connection *connection);
/* The client has closed its side. */
bool direct_left(struct MHD_Connection *connection);

#endif
