/* formats.c - the table of data formats. */
#include "ingest.h"

#include <string.h>
#include <strings.h>

#define FORMAT(name) extern const struct schema_format_ops schema_format_##name;
#include "formats.def"
#undef FORMAT

static const struct bp_entry *const entries[] = {
#define FORMAT(name) &schema_format_##name.entry,
#include "formats.def"
#undef FORMAT
};

const struct bp_family schema_formats = {.name = "formats", .noun = "format", .entries = entries, .count = sizeof entries / sizeof *entries};

const struct schema_format_ops *schema_format_for(const char *content_type) {
    if (!content_type) return NULL;
    content_type += strspn(content_type, " \t");
    size_t size = strcspn(content_type, "; \t");
    for (int32_t i = 0; i < schema_formats.count; i++) {
        const struct schema_format_ops *ops = (const struct schema_format_ops *)(const void *)schema_formats.entries[i];
        if (strlen(ops->content_type) == size && strncasecmp(ops->content_type, content_type, size) == 0) return ops;
    }
    return NULL;
}
