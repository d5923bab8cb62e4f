/* launchers.c - see launchers.h. */
#include "server/jobs/launchers.h"

#include "schema/text/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START_SECONDS = 600, CANCEL_SECONDS = 10, RETRY_SECONDS = 10, CACHE_MB = 10240, ARGUMENTS_MAX = 100 };

static const char *const placeholders[] = {"attempt", "job", "memory_mb", "processes", "threads"};
enum { PLACEHOLDERS = sizeof placeholders / sizeof *placeholders };

/* ---- placeholders ------------------------------------------------------------------------------------------------------------------------------ */

/* Which placeholder begins at this brace; -1: none. */
static int placeholder_at(const char *brace) {
    for (int i = 0; i < PLACEHOLDERS; i++) {
        const size_t n = strlen(placeholders[i]);
        if (strncmp(brace + 1, placeholders[i], n) == 0 && brace[n + 1] == '}') return i;
    }
    return -1;
}

static json_t *fill_text(const char *text, const struct launch_values *values) {
    const int64_t numbers[PLACEHOLDERS] = {values->attempt, 0, values->memory_mb, values->processes, values->threads};
    struct schema_text filled = {.limit = 100000};
    while (*text) {
        const int which = *text == '{' ? placeholder_at(text) : -1;
        if (which < 0) schema_text_add(&filled, text++, 1);
        else {
            if (strcmp(placeholders[which], "job") == 0) schema_text_string(&filled, values->job);
            else schema_text_format(&filled, "%lld", (long long)numbers[which]);
            text += strlen(placeholders[which]) + 2;
        }
    }
    json_t *json = filled.failed ? NULL : json_stringn(filled.bytes ? filled.bytes : "", filled.size);
    free(filled.bytes);
    return json;
}

json_t *launcher_fill(const json_t *command, const struct launch_values *values) {
    json_t *filled = json_array();
    size_t i;
    json_t *argument;
    json_array_foreach((json_t *)(uintptr_t)command, i, argument) {
        if (json_array_append_new(filled, fill_text(json_string_value(argument), values)) == 0) continue;
        json_decref(filled);
        return NULL;
    }
    return filled;
}

static bool has_placeholder(const json_t *command, const char *name) {
    char text[40];
    size_t i;
    json_t *argument;
    snprintf(text, sizeof text, "{%s}", name);
    json_array_foreach((json_t *)(uintptr_t)command, i, argument) if (strstr(json_string_value(argument), text)) return true;
    return false;
}

/* ---- the setting `launcher` -------------------------------------------------------------------------------------------------------------------- */

/* One argument of a command line: quotes hold it together, a backslash takes the next character as it is. The rest of the text; NULL: a quote is not
 * closed. */
static const char *take_argument(const char *text, struct schema_text *argument) {
    char quote = 0;
    for (; *text && (quote || !strchr(" \t", *text)); text++) {
        if (quote && *text == quote) quote = 0;
        else if (!quote && (*text == '"' || *text == '\'')) quote = *text;
        else {
            if (*text == '\\' && quote != '\'' && text[1]) text++;
            schema_text_add(argument, text, 1);
        }
    }
    return quote ? NULL : text;
}

static json_t *split(const char *text, struct bp_error *error) {
    json_t *command = json_array();
    while (text && *(text += strspn(text, " \t"))) {
        struct schema_text argument = {.limit = 100000};
        text = take_argument(text, &argument);
        json_array_append_new(command, json_stringn(argument.bytes ? argument.bytes : "", argument.size));
        free(argument.bytes);
    }
    if (!text) bp_error_set(error, "", "the setting launcher has a quote that is not closed");
    else if (json_array_size(command) > 0) return command;
    else bp_error_set(error, "", "the setting launcher is empty");
    json_decref(command);
    return NULL;
}

/* ---- one launcher ------------------------------------------------------------------------------------------------------------------------------ */

static void presets(struct launcher *l, const char *name, const struct server_settings *settings) {
    *l = (struct launcher){.slots = settings->workers > 0 ? settings->workers : sysconf(_SC_NPROCESSORS_ONLN),
                           .start_seconds = START_SECONDS,
                           .cancel_seconds = CANCEL_SECONDS,
                           .retry_seconds = RETRY_SECONDS,
                           .cache_mb = CACHE_MB,
                           .labels = json_array()};
    snprintf(l->name, sizeof l->name, "%s", name);
    const ssize_t n = readlink("/proc/self/exe", l->program, sizeof l->program - 1);
    snprintf(l->program + (n > 0 ? n : 0), sizeof l->program - (n > 0 ? (size_t)n : 0), "%s", n > 0 ? "" : "backpropd");
}

static bool is_name(const char *name) {
    return name[0] && strlen(name) < LAUNCHER_NAME_SIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(name);
}

/* An array of strings; every brace of a command begins a placeholder. */
static int check_texts(const char *launcher, const char *member, const json_t *array, bool filled, struct bp_error *error) {
    size_t i;
    json_t *item;
    if (!json_is_array(array) || json_array_size(array) > ARGUMENTS_MAX || (filled && json_array_size(array) == 0))
        return bp_error_set(error, "", "launcher \"%s\": %s must be an array of strings such as [\"ssh\", \"host\"]", launcher, member);
    json_array_foreach((json_t *)(uintptr_t)array, i, item) {
        const char *text = json_string_value(item);
        if (!text || strlen(text) != json_string_length(item))
            return bp_error_set(error, "", "launcher \"%s\": %s must be an array of strings, and item %zu is not one", launcher, member, i);
        for (const char *brace = filled ? strchr(text, '{') : NULL; brace; brace = strchr(brace + 1, '{'))
            if (placeholder_at(brace) < 0)
                return bp_error_set(error, "",
                                    "launcher \"%s\": in %s, \"%.60s\" is no placeholder; there are {attempt}, {job}, {memory_mb}, "
                                    "{processes} and {threads}",
                                    launcher, member, brace);
    }
    return 0;
}

static int take_array(struct launcher *l, const char *member, const json_t *value, json_t **place, bool filled, struct bp_error *error) {
    if (check_texts(l->name, member, value, filled, error) != 0) return -1;
    json_decref(*place);
    *place = json_incref((json_t *)(uintptr_t)value);
    return 0;
}

static int take_path(const struct launcher *l, const char *member, const json_t *value, char *place, size_t size, struct bp_error *error) {
    const char *text = json_string_value(value);
    if (!text || !*text || strlen(text) >= size || (text[0] != '/' && place != l->program))
        return bp_error_set(error, "", "launcher \"%s\": %s must be an absolute path", l->name, member);
    snprintf(place, size, "%s", text);
    return 0;
}

static int take_number(const struct launcher *l, const char *member, const json_t *value, int64_t *place, int64_t low, int64_t high,
                       struct bp_error *error) {
    if (!json_is_integer(value) || json_integer_value(value) < low || json_integer_value(value) > high)
        return bp_error_set(error, "", "launcher \"%s\": %s must be a whole number from %lld to %lld", l->name, member, (long long)low,
                            (long long)high);
    *place = json_integer_value(value);
    return 0;
}

static int take_member(struct launcher *l, const char *key, const json_t *value, struct bp_error *error) {
    const struct {
        const char *name;
        int64_t *place, low, high;
    } numbers[] = {{"slots", &l->slots, 1, LAUNCHER_SLOTS_MAX},     {"memory_mb", &l->memory_mb, 0, 1 << 30},
                   {"cache_mb", &l->cache_mb, 0, 1 << 30},          {"start_seconds", &l->start_seconds, 1, 30 * 86400},
                   {"cancel_seconds", &l->cancel_seconds, 1, 3600}, {"retry_seconds", &l->retry_seconds, 0, 60}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(key, numbers[i].name) == 0) return take_number(l, key, value, numbers[i].place, numbers[i].low, numbers[i].high, error);
    if (strcmp(key, "command") == 0) return take_array(l, key, value, &l->command, true, error);
    if (strcmp(key, "cancel") == 0) return take_array(l, key, value, &l->cancel, true, error);
    if (strcmp(key, "labels") == 0) return take_array(l, key, value, &l->labels, false, error);
    if (strcmp(key, "program") == 0) return take_path(l, key, value, l->program, sizeof l->program, error);
    if (strcmp(key, "cache") == 0) return take_path(l, key, value, l->cache, sizeof l->cache, error);
    if (strcmp(key, "shared") == 0) return take_path(l, key, value, l->shared, sizeof l->shared, error);
    return bp_error_set(error, "",
                        "launcher \"%s\" has no member \"%.60s\"; there are command, cancel, slots, labels, memory_mb, program, cache, "
                        "cache_mb, shared, start_seconds, cancel_seconds and retry_seconds",
                        l->name, key);
}

static int take_launcher(struct launchers *all, const char *name, const json_t *json, const struct server_settings *settings,
                         struct bp_error *error) {
    const char *key;
    json_t *value;
    const bool local = strcmp(name, "local") == 0;
    if (!is_name(name)) return bp_error_set(error, "", "\"%.80s\" is no name of a launcher: up to 63 letters, digits and . _ -", name);
    if (all->count == LAUNCHERS_MAX - 1) return bp_error_set(error, "", "there may be at most %d launchers", LAUNCHERS_MAX - 1);
    if (!json_is_object(json)) return bp_error_set(error, "", "launcher \"%s\" must be an object such as {\"command\": [\"ssh\", \"host\"]}", name);
    struct launcher *l = &all->items[all->count];
    presets(l, name, settings);
    if (local) l->slots = 0;
    all->count++;
    json_object_foreach((json_t *)(uintptr_t)json, key, value) if (take_member(l, key, value, error) != 0) return -1;
    if (local && (l->command || l->cancel || l->slots))
        return bp_error_set(error, "", "launcher \"local\" is this server: it has no command, and its slots are the setting workers");
    if (!local && !l->command) return bp_error_set(error, "", "launcher \"%s\" has no command", name);
    l->processes = local || has_placeholder(l->command, "processes");
    if (local) all->local = all->count - 1;
    l->takes_all = local;
    return 0;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------------------------- */

static int read_file(struct launchers *all, const char *path, const struct server_settings *settings, struct bp_error *error) {
    json_error_t where;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &where), *value;
    const char *name;
    if (!json)
        return bp_error_set(error, "", "the file of the setting launchers, %.200s, cannot be read: %.160s%s", path, where.text,
                            where.line > 0 ? " (see its line numbers)" : "");
    int failed = json_is_object(json) && json_object_size(json) > 0
                     ? 0
                     : bp_error_set(error, "", "%.200s must hold an object: {\"name\": {\"command\": [...]}, ...}", path);
    json_object_foreach(json, name, value) if (!failed) failed = take_launcher(all, name, value, settings, error);
    json_decref(json);
    return failed;
}

static int read_command(struct launchers *all, const char *text, const struct server_settings *settings, struct bp_error *error) {
    json_t *command = split(text, error);
    json_t *json = command ? json_pack("{s:o}", "command", command) : NULL;
    const int failed = json ? take_launcher(all, "default", json, settings, error) : -1;
    json_decref(json);
    return failed;
}

int launchers_read(struct launchers *all, const struct server_settings *settings, struct bp_error *error) {
    *all = (struct launchers){.local = -1};
    const char *file = settings->launchers, *text = settings->launcher;
    if (*file && *text) return bp_error_set(error, "", "set launcher, for one command, or launchers, for a file of several, but not both");
    if (*file && read_file(all, file, settings, error) != 0) return -1;
    if (*text && read_command(all, text, settings, error) != 0) return -1;
    if (all->local >= 0) return 0;
    const bool alone = all->count == 0;
    json_t *none = json_object();
    const int failed = take_launcher(all, "local", none, settings, error);
    json_decref(none);
    all->items[all->local].takes_all = alone; /* with others it does what only this server can do, and what asks for it */
    return failed;
}

void launchers_clear(struct launchers *all) {
    for (int i = 0; i < all->count; i++) {
        json_decref(all->items[i].command);
        json_decref(all->items[i].cancel);
        json_decref(all->items[i].labels);
    }
    all->count = 0;
}

const struct launcher *launchers_find(const struct launchers *all, const char *name) {
    for (int i = 0; i < all->count; i++)
        if (strcmp(all->items[i].name, name) == 0) return &all->items[i];
    return NULL;
}

static bool has_label(const struct launcher *l, const char *label) {
    size_t i;
    json_t *item;
    json_array_foreach(l->labels, i, item) if (strcmp(json_string_value(item), label) == 0) return true;
    return false;
}

bool launcher_takes(const struct launcher *l, enum store_kind kind, const struct store_requirement *r) {
    const bool named = r->launcher[0] && strcmp(r->launcher, l->name) == 0;
    if (r->launcher[0] && !named) return false;
    if (r->label[0] && !has_label(l, r->label)) return false;
    if (l->memory_mb && r->memory_mb > l->memory_mb) return false;
    if (kind != STORE_TRAIN) return !l->command; /* its files are written bit by bit, in the data folder */
    if (r->processes > 1 && !l->processes) return false;
    return l->command || l->takes_all || named;
}
