/* systemd.h - what a service manager and its services say to each other: readiness, watchdog, sockets that are open before the start. The protocols
 * are documented as stable, sd_notify(3) and sd_listen_fds(3); any supervisor that speaks them will do. Without their variables nothing happens. */
#ifndef SERVER_OPS_SYSTEMD_H
#define SERVER_OPS_SYSTEMD_H

#include "engine/base/base.h"

#include <stdint.h>

/* Reads the variables and removes them, so that no child process takes them for its own. Once, before other threads. */
void systemd_begin(void);
/* "READY=1", lines joined by newlines. Never blocks for long, never fails. */
void systemd_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How often WATCHDOG=1 is to be sent, ms: half of what the manager waits. 0: no watchdog. */
int64_t systemd_watchdog_ms(void);
/* Whether standard error goes to the journal. After systemd_begin. */
bool systemd_has_journal(void);
/* The listening TCP socket that the manager has opened, the caller's; -1: none. -2 with the error: what it passed cannot be used. */
int systemd_listener(struct bp_error *error);

#endif
