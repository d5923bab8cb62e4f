/* settings.h - the settings of `serve`: from flags, environment and a config file, in this precedence, by one table (settings.def). */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include "engine/base/base.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One member per row of settings.def: texts for TEXT and LIST, numbers for INTEGER and SIZE, a bool for FLAG. Any thread may read them while they are
 * changed; a text that was replaced stays valid until server_settings_clear. */
struct server_settings {
    struct retired *retired; /* texts that were replaced */
#define SETTING(kind, name, preset, low, high, help) SETTING_MEMBER_##kind name;
#define SETTING_MEMBER_TEXT                          _Atomic(char *)
#define SETTING_MEMBER_LIST                          _Atomic(char *)
#define SETTING_MEMBER_INTEGER                       _Atomic int64_t
#define SETTING_MEMBER_SIZE                          _Atomic int64_t
#define SETTING_MEMBER_FLAG                          _Atomic bool
#include "server/settings.def"
#undef SETTING
};

/* Reads flags argv[1..argc), then the environment, then --config FILE. 0, or -1 with a message in error ("unknown flag --lisen, did you mean
 * --listen?"). */
int server_settings_read(struct server_settings *settings, int argc, char **argv, struct bp_error *error);
/* Calls found with each variable of the environment that begins with BACKPROPD_ and is no setting, and what may have been meant (NULL: nothing near).
 */
void server_settings_unknown(void (*found)(void *context, const char *name, const char *nearest), void *context);
/* What a setting was and is, or would be: applied false: it needs a restart. The texts are borrowed. */
struct setting_change {
    const char *name, *from, *to;
    bool applied;
};
/* Gives the running settings the values of `read` that may change while the server runs (reload.def), and calls `each` with every difference. Takes
 * the texts of `read`, which is to be cleared all the same. One thread at a time. */
void server_settings_reload(struct server_settings *running, struct server_settings *read,
                            void (*each)(void *context, const struct setting_change *change), void *context);
void server_settings_clear(struct server_settings *settings);
/* The table for people: flags, defaults, help. */
void server_settings_help(FILE *out);
/* Is `item` one of the comma-separated entries of a LIST? */
bool server_list_has(const char *list, const char *item);

#endif
