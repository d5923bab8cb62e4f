/* ticket.h - the text of a ticket: bpt_KEY_EXPIRES_MAC. It opens one path in place of a key, for clients that can send no header, such as a browser's
 * EventSource. Nothing is stored: a ticket is signed with a secret of this process, and is worth nothing to another. */
#ifndef SERVER_TICKET_H
#define SERVER_TICKET_H

#include "server/store/access.h"

#include <stdbool.h>

enum { TICKET_TEXT_SIZE = 80, TICKET_SECRET_SIZE = 32, TICKET_SECONDS = 60 };

/* key: its id, "" for a server without keys. expires_at: ms since 1970. */
void ticket_make(const unsigned char secret[TICKET_SECRET_SIZE], const char *key, const char *path, int64_t expires_at, char text[TICKET_TEXT_SIZE]);
/* The id of the key that made it, for this path, if it has not expired at `now`. False: it is not valid. */
bool ticket_read(const unsigned char secret[TICKET_SECRET_SIZE], const char *text, const char *path, int64_t now, char key[STORE_KEY_ID_SIZE]);

#endif
