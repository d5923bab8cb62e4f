/* formats.c - the table of data formats. */
#include "schema/ingest/ingest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FORMAT(name) extern const struct schema_format_ops schema_format_##name;
#include "schema/formats/formats.def"
#undef FORMAT

static const struct bp_entry *const entries[] = {
#define FORMAT(name) &schema_format_##name.entry,
#include "schema/formats/formats.def"
#undef FORMAT
};

const struct bp_family schema_formats = {.name = "formats", .noun = "format", .entries = entries, .count = sizeof entries / sizeof *entries};

static const struct schema_format_ops *format_at(int32_t i) {
    return (const struct schema_format_ops *)(const void *)schema_formats.entries[i];
}

static bool is_named(const char *name, const char *content_type, size_t size) {
    return name && strlen(name) == size && strncasecmp(name, content_type, size) == 0;
}

const struct schema_format_ops *schema_format_for(const char *content_type) {
    if (!content_type) return NULL;
    content_type += strspn(content_type, " \t");
    size_t size = strcspn(content_type, "; \t");
    for (int32_t i = 0; i < schema_formats.count; i++) {
        const struct schema_format_ops *ops = format_at(i);
        if (is_named(ops->content_type, content_type, size) || is_named(ops->also, content_type, size)) return ops;
    }
    return NULL;
}

const char *schema_format_list(char *text, size_t size) {
    size_t n = 0;
    for (int32_t i = 0; i < schema_formats.count && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i == 0 ? "" : i + 1 < schema_formats.count ? ", " : " or ", format_at(i)->content_type);
    return text;
}
