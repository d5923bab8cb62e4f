/* keys.c - `backpropd keys` and `backpropd audit`: API keys of a data folder, and who did what with it. They work while a server runs, which follows
 * the changes by itself. */
#include "server/commands/commands.h"

#include "schema/text/text.h"
#include "server/auth/key.h"
#include "server/auth/scope.h"
#include "server/commands/local_data.h"
#include "server/store/access.h"
#include "server/store/folder.h"

#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME, SCOPE, EXPIRES, GRACE, DATA_DIR, FLAGS };
static const char *const flag_names[] = {"name", "scope", "expires", "grace", "data-dir", NULL}, *const switches[] = {NULL};

/* ---- what the subcommands share ------------------------------------------------------------------------------------------------------------ */

static int fail(const struct bp_error *error) {
    fprintf(stderr, "backpropd keys: %s\n", error->message);
    return 1;
}

static const char *folder_of(const char *value) {
    const char *preset = getenv("BACKPROPD_DATA_DIR");
    return value ? value : preset && *preset ? preset : "./backpropd-data";
}

/* Only a new key makes a folder. */
static int open_folder(const char *folder, bool make, struct access **access, struct bp_error *error) {
    if (!make && folder_is_empty(folder)) return bp_error_set(error, "", "there is no data folder at %.200s; name one with --data-dir", folder);
    return access_open(folder, access, error) == STORE_OK ? 0 : -1;
}

/* The user of this command, for the audit log. */
static struct store_audit entry_of(const char *action, const char *name) {
    struct store_audit entry = {.at = store_now(), .address = "local"};
    const struct passwd *user = getpwuid(getuid());
    if (user) snprintf(entry.key_name, sizeof entry.key_name, "user %.50s", user->pw_name);
    else snprintf(entry.key_name, sizeof entry.key_name, "user %lld", (long long)getuid());
    snprintf(entry.action, sizeof entry.action, "keys %s", action);
    snprintf(entry.target, sizeof entry.target, "%s", name);
    return entry;
}

/* "90d", "12h", "30m", "45s" from now; "never" is 0. */
static int time_after(const char *text, int64_t *until) {
    static const char units[] = "smhd";
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    char *end;
    const long long count = strtoll(text, &end, 10);
    const char *unit = *end && !end[1] ? strchr(units, *end) : NULL;
    *until = 0;
    if (strcmp(text, "never") == 0) return 0;
    if (end == text || !unit || count < 1 || count > 100000000 || count * seconds[unit - units] > 3155760000) {
        fprintf(stderr, "backpropd keys: expected a time like 90d, 12h, 30m, 45s or never, at most 100 years, got \"%s\"\n", text);
        return -1;
    }
    *until = store_now() + count * seconds[unit - units] * 1000;
    return 0;
}

static void show_new(const struct store_key *key, const char *text) {
    char until[32];
    store_time_text(key->expires_at, until);
    printf("%s\n", text);
    fprintf(stderr, "This is the key \"%s\" with the scope %s%s%s. It is not stored and cannot be shown again.\n", key->name, key->scope,
            key->expires_at ? ", valid until " : "", until);
}

/* ---- the subcommands ------------------------------------------------------------------------------------------------------------------------ */

static int create(const char *folder, const char *const values[FLAGS]) {
    struct store_key key = {0};
    struct access *access = NULL;
    struct bp_error error = {0};
    char text[KEY_TEXT_SIZE];
    if (!values[NAME] || !values[SCOPE]) {
        fprintf(stderr, "backpropd keys: create needs --name and --scope; see `backpropd help keys`\n");
        return 2;
    }
    if (!schema_name_valid(values[NAME])) {
        fprintf(stderr, "backpropd keys: \"%s\" is not a valid name; names match ^[a-z0-9][a-z0-9._-]{0,62}$\n", values[NAME]);
        return 2;
    }
    if (scope_named(values[SCOPE]) == SCOPE_NONE) {
        fprintf(stderr, "backpropd keys: there is no scope \"%s\"; scopes: read predict train admin\n", values[SCOPE]);
        return 2;
    }
    if (time_after(values[EXPIRES] ? values[EXPIRES] : "never", &key.expires_at) != 0) return 2;
    snprintf(key.name, sizeof key.name, "%s", values[NAME]);
    snprintf(key.scope, sizeof key.scope, "%s", values[SCOPE]);
    key_make(&key, text);
    const struct store_audit entry = entry_of("create", key.name);
    const int failed = open_folder(folder, true, &access, &error) != 0 || access_key_create(access, &key, &entry, &error) != STORE_OK;
    access_close(access);
    if (failed) return fail(&error);
    show_new(&key, text);
    return 0;
}

static int rotate(const char *folder, const char *name, const char *const values[FLAGS]) {
    struct store_key key = {0};
    struct access *access = NULL;
    struct bp_error error = {0};
    char text[KEY_TEXT_SIZE];
    int64_t until = 0;
    if (values[GRACE] && time_after(values[GRACE], &until) != 0) return 2;
    const struct store_audit entry = entry_of("rotate", name);
    int failed = open_folder(folder, false, &access, &error) != 0 || access_key_get(access, name, &key, &error) != STORE_OK;
    if (!failed && values[EXPIRES] && time_after(values[EXPIRES], &key.expires_at) != 0) {
        access_close(access);
        return 2;
    }
    if (!failed) {
        key_make(&key, text);
        key.previous_until = until;
        failed = access_key_rotate(access, &key, &entry, &error) != STORE_OK;
    }
    access_close(access);
    if (failed) return fail(&error);
    show_new(&key, text);
    return 0;
}

static int revoke_key(const char *folder, const char *name) {
    struct access *access = NULL;
    struct bp_error error = {0};
    const struct store_audit entry = entry_of("revoke", name);
    const int failed = open_folder(folder, false, &access, &error) != 0 || access_key_revoke(access, name, &entry, &error) != STORE_OK;
    access_close(access);
    if (failed) return fail(&error);
    printf("revoked %s\n", name);
    return 0;
}

static int list(const char *folder) {
    struct store_keys keys;
    struct access *access = NULL;
    struct bp_error error = {0};
    const int failed = open_folder(folder, false, &access, &error) != 0 || access_keys(access, &keys, &error) != STORE_OK;
    access_close(access);
    if (failed) return fail(&error);
    printf("%-20s %-8s %-8s %-24s %-24s %-24s %s\n", "name", "scope", "id", "created", "expires", "last used", "from");
    for (int32_t i = 0; i < keys.count; i++) {
        const struct store_key *key = &keys.items[i];
        char created[32], expires[32], used[32];
        store_time_text(key->created_at, created);
        store_time_text(key->expires_at, expires);
        store_time_text(key->last_used_at, used);
        printf("%-20s %-8s %-8s %-24s %-24s %-24s %s\n", key->name, key->scope, key->id, created, *expires ? expires : "never",
               *used ? used : "never", key->last_address);
    }
    store_keys_free(&keys);
    return 0;
}

int command_keys(int argc, char **argv) {
    static const char *const actions[] = {"create", "list", "revoke", "rotate", NULL};
    static const unsigned takes[] = {1u << NAME | 1u << SCOPE | 1u << EXPIRES | 1u << DATA_DIR, 1u << DATA_DIR, 1u << DATA_DIR,
                                     1u << EXPIRES | 1u << GRACE | 1u << DATA_DIR};
    const char *values[FLAGS] = {NULL};
    const char *action = argc > 1 ? argv[1] : "", *name = NULL;
    int which = 0;
    while (actions[which] && strcmp(actions[which], action) != 0) which++;
    if (!actions[which]) {
        fprintf(stderr, "backpropd keys: unknown action \"%s\"; actions: create list revoke rotate; see `backpropd help keys`\n", action);
        return 2;
    }
    argc--, argv++;
    if (which >= 2) {
        if (argc < 2 || strncmp(argv[1], "--", 2) == 0) {
            fprintf(stderr, "backpropd keys: %s needs the name of a key: backpropd keys %s NAME\n", action, action);
            return 2;
        }
        name = argv[1];
        argc--, argv++;
    }
    if (local_flags("keys", argc, argv, flag_names, switches, values) != 0) return 2;
    for (int i = 0; i < FLAGS; i++) {
        if (!values[i] || takes[which] & 1u << i) continue;
        fprintf(stderr, "backpropd keys: %s takes no --%s\n", action, flag_names[i]);
        return 2;
    }
    const char *folder = folder_of(values[DATA_DIR]);
    return which == 0 ? create(folder, values) : which == 1 ? list(folder) : which == 2 ? revoke_key(folder, name) : rotate(folder, name, values);
}

/* ---- the audit log ---------------------------------------------------------------------------------------------------------------------------- */

static void show_entry(const struct store_audit *e, bool as_json) {
    char at[32];
    store_time_text(e->at, at);
    if (!as_json) {
        printf("%s %-7s %-16s %-15s %3d %-20s %s\n", at, e->denied ? "denied" : "changed", *e->key_name ? e->key_name : "-", e->address, e->status,
               e->action, e->target);
        return;
    }
    json_t *json = json_pack("{s:I, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "id", (json_int_t)e->id, "at", at, "denied", (int)e->denied,
                             "key_id", e->key_id, "key_name", e->key_name, "address", e->address, "action", e->action, "target", e->target, "status",
                             e->status, "request_id", e->request_id);
    if (json) json_dumpf(json, stdout, JSON_COMPACT);
    json_decref(json);
    printf("\n");
}

int command_audit(int argc, char **argv) {
    enum { LIMIT, BEFORE, FOLDER, FORMAT, COUNT };
    static const char *const names[] = {"limit", "before", "data-dir", "format", NULL};
    const char *values[COUNT] = {NULL};
    struct store_audits found = {0};
    struct access *access = NULL;
    struct bp_error error = {0};
    if (local_flags("audit", argc, argv, names, switches, values) != 0) return 2;
    const long limit = values[LIMIT] ? strtol(values[LIMIT], NULL, 10) : 100, before = values[BEFORE] ? strtol(values[BEFORE], NULL, 10) : 0;
    if (limit < 1 || limit > STORE_AUDIT_CHANGES_MAX || before < 0 ||
        (values[FORMAT] && strcmp(values[FORMAT], "text") != 0 && strcmp(values[FORMAT], "json") != 0)) {
        fprintf(stderr, "backpropd audit: expected --limit from 1 to %d, --before ID, --format text or json\n", STORE_AUDIT_CHANGES_MAX);
        return 2;
    }
    const bool failed = open_folder(folder_of(values[FOLDER]), false, &access, &error) != 0 ||
                        access_audit(access, before, (int32_t)limit, &found, &error) != STORE_OK;
    access_close(access);
    if (failed) {
        fprintf(stderr, "backpropd audit: %s\n", error.message);
        return 1;
    }
    for (int32_t i = 0; i < found.count; i++) show_entry(&found.items[i], values[FORMAT] && strcmp(values[FORMAT], "json") == 0);
    store_audits_free(&found);
    return 0;
}
