/* reload.h - the settings of a running server, read again. */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include "server/server.h"

/* What the table of settings cannot check. -1 with the error. */
int settings_check(const struct server_settings *settings, struct bp_error *error);
void settings_log_level(const struct server_settings *settings);
/* Reads flags, environment and config file as at the start. What may change (reload.def) does; the rest is logged as needing a restart. When
 * something in them is invalid, nothing changes, and the log says why. One thread at a time; other threads keep working. */
void reload(struct server *server, int argc, char **argv);
/* `serve --check-config`: only reads them. The exit status. */
int check_config(int argc, char **argv);

#endif
