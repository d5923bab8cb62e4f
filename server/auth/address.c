/* address.c - see address.h. */
#include "server/auth/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_ipv4(const struct address *address) {
    return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

struct address address_of(const struct sockaddr *socket_address) {
    struct address address = {{0}};
    if (socket_address && socket_address->sa_family == AF_INET) {
        memcpy(address.bytes, mapped, sizeof mapped);
        memcpy(address.bytes + 12, &((const struct sockaddr_in *)(const void *)socket_address)->sin_addr, 4);
    } else if (socket_address && socket_address->sa_family == AF_INET6) {
        memcpy(address.bytes, &((const struct sockaddr_in6 *)(const void *)socket_address)->sin6_addr, 16);
    }
    return address;
}

bool address_parse(const char *text, struct address *address) {
    *address = (struct address){{0}};
    if (inet_pton(AF_INET6, text, address->bytes) == 1) return true;
    memcpy(address->bytes, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, address->bytes + 12) == 1;
}

bool address_same(const struct address *a, const struct address *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void address_text(const struct address *address, char text[ADDRESS_TEXT_SIZE]) {
    static const struct address unknown;
    text[0] = '\0';
    if (address_same(address, &unknown)) return;
    if (is_ipv4(address)) inet_ntop(AF_INET, address->bytes + 12, text, ADDRESS_TEXT_SIZE);
    else inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_SIZE);
}

struct address address_network(const struct address *address) {
    struct address network = *address;
    if (!is_ipv4(address)) memset(network.bytes + 8, 0, 8);
    return network;
}
