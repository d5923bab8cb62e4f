/* settings.c - reading settings from three places by one table. */
#include "server/settings.h"

#include "schema/text/text.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind { TEXT, LIST, INTEGER, SIZE, FLAG };

static const struct setting {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *preset;
    int64_t low, high;
    const char *help;
} table[] = {
#define SETTING(kind, name, preset, low, high, help) {#name, kind, offsetof(struct server_settings, name), preset, low, high, help},
#include "server/settings.def"
#undef SETTING
};
enum { COUNT = sizeof table / sizeof *table };

static const char *name_at(const void *context, int32_t i) {
    (void)context;
    return table[i].name;
}

/* A text that a thread may still be reading. */
struct retired {
    struct retired *next;
    char *text;
};

static void *member_of(struct server_settings *settings, const struct setting *s) {
    return (char *)settings + s->offset;
}

/* Finds by name, "-" and "_" alike. */
static const struct setting *find(const char *name, size_t size) {
    for (int i = 0; i < COUNT; i++) {
        if (strlen(table[i].name) != size) continue;
        size_t k = 0;
        while (k < size && (name[k] == table[i].name[k] || (name[k] == '-' && table[i].name[k] == '_'))) k++;
        if (k == size) return &table[i];
    }
    return NULL;
}

static bool parse_number(const struct setting *s, const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || errno) return false;
    if (s->kind == SIZE && *end) {
        int shift = *end == 'K' || *end == 'k' ? 10 : *end == 'M' || *end == 'm' ? 20 : *end == 'G' || *end == 'g' ? 30 : 0;
        if (!shift || v > INT64_MAX >> shift) return false;
        v <<= shift;
        end++;
        if (*end == 'i') end++;
        if (*end == 'B') end++;
    }
    *out = v;
    return *end == '\0' && v >= s->low && v <= s->high;
}

static int set(struct server_settings *settings, const struct setting *s, const char *value, const char *where, bool append, struct bp_error *error) {
    void *member = member_of(settings, s);
    int64_t number = 0;
    switch (s->kind) {
    case TEXT:
    case LIST: {
        _Atomic(char *) *text = member;
        char *joined = NULL, *before = *text;
        if (append && s->kind == LIST && before && *before) {
            if (asprintf(&joined, "%s,%s", before, value) < 0) joined = NULL;
        } else {
            joined = strdup(value);
        }
        free(before);
        *text = joined;
        return joined ? 0 : bp_error_memory(error, "out of memory");
    }
    case FLAG:
        if (strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0 || strcasecmp(value, "yes") == 0) *(_Atomic bool *)member = true;
        else if (strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0 || strcasecmp(value, "no") == 0) *(_Atomic bool *)member = false;
        else return bp_error_set(error, "", "%s must be true or false, got \"%s\"", where, value);
        return 0;
    default:
        if (!parse_number(s, value, &number))
            return bp_error_set(error, "", "%s must be a whole number from %lld to %lld%s, got \"%s\"", where, (long long)s->low, (long long)s->high,
                                s->kind == SIZE ? " (K, M, G may follow)" : "", value);
        *(_Atomic int64_t *)member = number;
        return 0;
    }
}

/* ---- flags ----------------------------------------------------------------------------------------------------------------- */

static int unknown_flag(const char *flag, struct bp_error *error) {
    char name[64], hint[96] = "";
    snprintf(name, sizeof name, "%.*s", (int)strcspn(flag, "="), flag);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    const char *nearest = schema_nearest(name, name_at, NULL, COUNT);
    if (nearest) {
        snprintf(hint, sizeof hint, ", did you mean --%s?", nearest);
        for (char *c = hint + 16; *c; c++)
            if (*c == '_') *c = '-';
    }
    bp_error_set(error, "", "unknown flag --%.*s%s", (int)strcspn(flag, "="), flag, nearest ? hint : "; `backpropd help serve` lists them");
    return -1;
}

static int read_flags(struct server_settings *settings, int argc, char **argv, bool *seen, const char **config, struct bp_error *error) {
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i];
        if (strncmp(flag, "--", 2) != 0) return bp_error_set(error, "", "unexpected argument \"%s\": flags start with --", flag);
        flag += 2;
        size_t size = strcspn(flag, "=");
        const char *value = flag[size] == '=' ? flag + size + 1 : NULL;
        const struct setting *negated = !value && strncmp(flag, "no-", 3) == 0 ? find(flag + 3, size - 3) : NULL;
        if (negated && negated->kind == FLAG) {
            flag += 3;
            size -= 3;
            value = "false";
        }
        bool is_config = size == 6 && strncmp(flag, "config", 6) == 0;
        const struct setting *s = is_config ? NULL : find(flag, size);
        if (!s && !is_config) return unknown_flag(flag, error);
        if (!value && s && s->kind == FLAG) value = "true";
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value) return bp_error_set(error, "", "--%s needs a value", flag);
        if (is_config) {
            *config = value;
            continue;
        }
        char where[80];
        snprintf(where, sizeof where, "--%.*s", (int)size, flag);
        if (set(settings, s, value, where, seen[s - table], error) != 0) return -1;
        seen[s - table] = true;
    }
    return 0;
}

/* ---- environment and file ------------------------------------------------------------------------------------------------------ */

/* "http_threads" -> "BACKPROPD_HTTP_THREADS" */
static void variable_name(const char *setting, char name[64]) {
    size_t n = (size_t)snprintf(name, 64, "BACKPROPD_%s", setting);
    for (size_t i = 10; i < n && i < 63; i++) name[i] = (char)toupper((unsigned char)name[i]);
}

static int read_environment(struct server_settings *settings, bool *seen, struct bp_error *error) {
    for (int i = 0; i < COUNT; i++) {
        char name[64];
        variable_name(table[i].name, name);
        const char *value = getenv(name);
        if (!value || !*value || seen[i]) continue;
        if (set(settings, &table[i], value, name, false, error) != 0) return -1;
        seen[i] = true;
    }
    return 0;
}

void server_settings_unknown(void (*found)(void *context, const char *name, const char *nearest), void *context) {
    extern char **environ;
    for (char **variable = environ; *variable; variable++) {
        char name[64], known[64], meant[64];
        const size_t size = strcspn(*variable, "=");
        if (strncmp(*variable, "BACKPROPD_", 10) != 0 || size >= sizeof name) continue;
        snprintf(name, sizeof name, "%.*s", (int)size, *variable);
        bool is_known = strcmp(name, "BACKPROPD_CONFIG") == 0;
        for (int i = 0; i < COUNT && !is_known; i++) {
            variable_name(table[i].name, known);
            is_known = strcmp(known, name) == 0;
        }
        if (is_known) continue;
        for (size_t i = 10; i <= size; i++) known[i - 10] = (char)tolower((unsigned char)name[i]);
        const char *nearest = schema_nearest(known, name_at, NULL, COUNT);
        if (nearest) variable_name(nearest, meant);
        found(context, name, nearest ? meant : NULL);
    }
}

static char *trimmed(char *text) {
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1])) text[--n] = '\0';
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text[n - 1] = '\0';
        text++;
    }
    return text;
}

static int read_file(struct server_settings *settings, const char *path, bool *seen, struct bp_error *error) {
    FILE *file = fopen(path, "re");
    if (!file) return bp_error_io(error, "cannot read the config file %s: %s", path, strerror(errno));
    char line[4096];
    int number = 0, failed = 0;
    while (!failed && fgets(line, sizeof line, file)) {
        number++;
        char *text = trimmed(line), *equals = strchr(text, '=');
        if (!*text || *text == '#') continue;
        if (!equals) {
            failed = bp_error_set(error, "", "%s line %d: expected `name = value`", path, number);
            break;
        }
        *equals = '\0';
        char *name = trimmed(text), *value = trimmed(equals + 1), where[200];
        const struct setting *s = find(name, strlen(name));
        if (!s) {
            char hint[96];
            const char *nearest = schema_nearest(name, name_at, NULL, COUNT);
            bp_error_set(error, "", "%s line %d: unknown setting \"%.60s\"%s", path, number, name, schema_did_you_mean(nearest, hint, sizeof hint));
            failed = -1;
            break;
        }
        snprintf(where, sizeof where, "%.120s line %d: %s", path, number, s->name);
        if (!seen[s - table]) failed = set(settings, s, value, where, false, error);
        seen[s - table] = true;
    }
    fclose(file);
    return failed;
}

int server_settings_read(struct server_settings *settings, int argc, char **argv, struct bp_error *error) {
    bool seen[COUNT] = {0};
    const char *config = NULL;
    memset(settings, 0, sizeof *settings);
    for (int i = 0; i < COUNT; i++)
        if (set(settings, &table[i], table[i].preset, table[i].name, false, error) != 0) return -1;
    if (read_flags(settings, argc, argv, seen, &config, error) != 0) return -1;
    if (!config) config = getenv("BACKPROPD_CONFIG");
    if (read_environment(settings, seen, error) != 0) return -1;
    return config && *config ? read_file(settings, config, seen, error) : 0;
}

void server_settings_clear(struct server_settings *settings) {
    for (int i = 0; i < COUNT; i++)
        if (table[i].kind == TEXT || table[i].kind == LIST) free(*(_Atomic(char *) *)member_of(settings, &table[i]));
    for (struct retired *old = settings->retired, *next; old; old = next) {
        next = old->next;
        free(old->text);
        free(old);
    }
    memset(settings, 0, sizeof *settings);
}

/* ---- reloading ------------------------------------------------------------------------------------------------------------------- */

static bool reloads(const char *name) {
    static const char *const names[] = {
#define RELOAD(setting) #setting,
#include "server/reload.def"
#undef RELOAD
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* The value as text; text may hold it. */
static const char *value_of(struct server_settings *settings, const struct setting *s, char text[24]) {
    void *member = member_of(settings, s);
    if (s->kind == FLAG) return *(_Atomic bool *)member ? "true" : "false";
    if (s->kind == TEXT || s->kind == LIST) return *(_Atomic(char *) *)member;
    snprintf(text, 24, "%lld", (long long)*(_Atomic int64_t *)member);
    return text;
}

/* False: no memory; nothing has changed. */
static bool move_text(struct server_settings *running, struct server_settings *read, const struct setting *s) {
    struct retired *old = malloc(sizeof *old);
    if (!old) return false;
    _Atomic(char *) *from = member_of(read, s);
    old->text = atomic_exchange((_Atomic(char *) *)member_of(running, s), atomic_exchange(from, NULL));
    old->next = running->retired;
    running->retired = old;
    return true;
}

void server_settings_reload(struct server_settings *running, struct server_settings *read,
                            void (*each)(void *context, const struct setting_change *change), void *context) {
    for (int i = 0; i < COUNT; i++) {
        const struct setting *s = &table[i];
        char from[24], to[24];
        struct setting_change change = {
            .name = s->name, .from = value_of(running, s, from), .to = value_of(read, s, to), .applied = reloads(s->name)};
        if (strcmp(change.from, change.to) == 0) continue;
        if (change.applied && s->kind == FLAG) *(_Atomic bool *)member_of(running, s) = *(_Atomic bool *)member_of(read, s);
        else if (change.applied && (s->kind == INTEGER || s->kind == SIZE))
            *(_Atomic int64_t *)member_of(running, s) = *(_Atomic int64_t *)member_of(read, s);
        else if (change.applied) change.applied = move_text(running, read, s);
        each(context, &change);
    }
}

void server_settings_help(FILE *out) {
    for (int i = 0; i < COUNT; i++) {
        char flag[40];
        snprintf(flag, sizeof flag, "--%s", table[i].name);
        for (char *c = flag; *c; c++)
            if (*c == '_') *c = '-';
        fprintf(out, "  %-22s %s%s%s%s\n", flag, table[i].help, *table[i].preset ? " [" : "", table[i].preset, *table[i].preset ? "]" : "");
    }
    fprintf(out, "  %-22s %s\n", "--config", "file with lines `name = value`");
}

bool server_list_has(const char *list, const char *item) {
    size_t size = strlen(item);
    for (const char *at = list; at && *at;) {
        at += strspn(at, ", ");
        size_t n = strcspn(at, ", ");
        if (n == size && strncasecmp(at, item, n) == 0) return true;
        at += n;
    }
    return false;
}
