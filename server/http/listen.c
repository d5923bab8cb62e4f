/* listen.c - the socket that the server listens on. */
#include "server/http/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24) == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Without a key only this machine may reach it. False with the error. */
static bool is_safe(const struct sockaddr *address, const char *text, struct bp_error *error) {
    if (is_loopback(address)) return true;
    bp_error_set(error, "",
                 "--listen %s would be reachable from other machines without a key; listen on 127.0.0.1, or make a key: backpropd keys create --name "
                 "NAME --scope admin, or --api-key-file",
                 text);
    return false;
}

/* "127.0.0.1:8080", as bound. */
static void bound_address(int fd, char *address, size_t address_size) {
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char name[100], service[16];
    getsockname(fd, (struct sockaddr *)&bound, &size);
    if (getnameinfo((struct sockaddr *)&bound, size, name, sizeof name, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(address, address_size, strchr(name, ':') ? "[%s]:%s" : "%s:%s", name, service);
}

int listen_on(const char *text, bool has_key, char *address, size_t address_size, struct bp_error *error) {
    const char *colon = strrchr(text, ':');
    char host[200] = "", port[16];
    bool good = colon && (size_t)(colon - text) < sizeof host && colon[1] && strlen(colon + 1) < sizeof port;
    if (!good || colon[1 + strspn(colon + 1, "0123456789")] || strtol(colon + 1, NULL, 10) > 65535)
        return bp_error_set(error, "", "--listen expects address:port, like 127.0.0.1:8080, got \"%s\"", text);
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    snprintf(port, sizeof port, "%s", colon + 1);
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        memmove(host, host + 1, strlen(host));
        host[strlen(host) - 1] = '\0';
    }
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(*host ? host : "0.0.0.0", port, &hints, &found);
    if (code != 0) return bp_error_io(error, "--listen %s: %s", text, gai_strerror(code));
    int fd = -1, one = 1;
    if (has_key || is_safe(found->ai_addr, text, error)) {
        fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1024) != 0) {
            bp_error_io(error, "cannot listen on %s: %s%s", text, strerror(errno),
                        errno == EADDRINUSE ? "; another program uses this port; use another one with --listen 127.0.0.1:PORT" : "");
            if (fd >= 0) close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd >= 0) bound_address(fd, address, address_size);
    return fd;
}

int listen_given(int fd, bool has_key, char *address, size_t address_size, struct bp_error *error) {
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &size);
    bound_address(fd, address, address_size);
    if (has_key || is_safe((const struct sockaddr *)&bound, address, error)) return 0;
    return -1;
}

int http_listen_check(const char *text, bool has_key, struct bp_error *error) {
    char address[128];
    const int fd = listen_on(text, has_key, address, sizeof address, error);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : -1;
}
