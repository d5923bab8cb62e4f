/* address.h - the address of a client: to be written down, and as the key of tables. */
#ifndef SERVER_ADDRESS_H
#define SERVER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_SIZE = 48 };

/* IPv6; an IPv4 address is mapped (::ffff:192.0.2.1). All zero: unknown. */
struct address {
    unsigned char bytes[16];
};

struct address address_of(const struct sockaddr *socket_address); /* NULL is fine */
/* False: text is no address. */
bool address_parse(const char *text, struct address *address);
bool address_same(const struct address *a, const struct address *b);
/* "192.0.2.1", "2001:db8::1", "" when unknown. */
void address_text(const struct address *address, char text[ADDRESS_TEXT_SIZE]);
/* What one client can have many of: the /64 of an IPv6 address; an IPv4 address as it is. */
struct address address_network(const struct address *address);

#endif
