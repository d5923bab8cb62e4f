/* linger.h - closes connections whose client may still be sending: a socket that is closed with unread bytes resets the connection, and the client
 * may lose the answer. One thread reads and discards what comes, so that no HTTP thread waits for it. */
#ifndef SERVER_HTTP_LINGER_H
#define SERVER_HTTP_LINGER_H

struct closer;
/* Starts the thread; NULL with errno. */
struct closer *linger_new(void);
/* Takes a duplicate of fd, sends the end of the stream, and closes it when the client has closed its side, after 1 MB or after 2 s. At most 256 at a
 * time: the oldest one is closed for a new one. Never waits. */
void linger_close(struct closer *linger, int fd);
/* Connections that linger now. */
int linger_count(struct closer *linger);
/* Closes all of them and ends the thread. NULL is fine. */
void linger_free(struct closer *linger);

#endif
