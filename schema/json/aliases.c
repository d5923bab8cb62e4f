/* aliases.c - see aliases.h. The table is aliases.inc. */
#include "schema/json/aliases.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const struct schema_alias schema_aliases[] = {
#define X(kind, names, write, note) {kind, names, write, note},
#include "schema/json/aliases.inc"
#undef X
};
const int32_t schema_aliases_count = (int32_t)(sizeof schema_aliases / sizeof *schema_aliases);

static bool skipped(char c) {
    return c == '_' || c == '-';
}

/* SimpleRNN is simple_rnn. listed ends at a space. */
static bool same(const char *listed, const char *name) {
    for (;;) {
        while (skipped(*listed)) listed++;
        while (skipped(*name)) name++;
        if (!*name) return !*listed || *listed == ' ';
        if (tolower((unsigned char)*listed) != tolower((unsigned char)*name)) return false;
        listed++;
        name++;
    }
}

const char *schema_alias_hint(const char *kind, const char *name, char *text, size_t size) {
    if (size) text[0] = '\0';
    for (int32_t i = 0; i < schema_aliases_count; i++) {
        const struct schema_alias *a = &schema_aliases[i];
        if (strcmp(a->kind, kind) != 0) continue;
        for (const char *at = a->names, *end; at; at = end ? end + 1 : NULL) {
            end = strchr(at, ' ');
            if (!same(at, name)) continue;
            if (!a->write[0]) snprintf(text, size, ": %s", a->note);
            else snprintf(text, size, ": write %s%s%s%s", a->write, a->note[0] ? " (" : "", a->note, a->note[0] ? ")" : "");
            return text;
        }
    }
    return text;
}
