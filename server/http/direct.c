/* direct.c - see direct.h. */
#include "server/http/direct.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <sys/socket.h>

static gnutls_session_t session_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info ? info->tls_session : NULL;
}

int direct_socket(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

bool direct_is_tls(struct MHD_Connection *connection) {
    return session_of(connection) != NULL;
}

ssize_t direct_send(struct MHD_Connection *connection, const void *bytes, size_t size) {
    gnutls_session_t session = session_of(connection);
    if (!session) return send(direct_socket(connection), bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    const ssize_t n = gnutls_record_send(session, bytes, size);
    if (n >= 0) return n;
    errno = n == GNUTLS_E_AGAIN ? EAGAIN : n == GNUTLS_E_INTERRUPTED ? EINTR : EPIPE;
    return -1;
}

bool direct_at_end(struct MHD_Connection *connection) {
    gnutls_session_t session = session_of(connection);
    char byte;
    if (session && gnutls_record_check_pending(session) > 0) return false;
    return recv(direct_socket(connection), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Over TLS an alert may be left to be read before the end. */
bool direct_left(struct MHD_Connection *connection) {
    struct pollfd polled = {.fd = direct_socket(connection), .events = POLLRDHUP};
    char byte;
    if (direct_is_tls(connection)) return poll(&polled, 1, 0) > 0;
    const ssize_t n = recv(polled.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}
