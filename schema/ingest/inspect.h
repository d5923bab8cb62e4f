/* inspect.h - a look at the first bytes of a file before anything is stored. */
#ifndef SCHEMA_INGEST_INSPECT_H
#define SCHEMA_INGEST_INSPECT_H

#include "schema/ingest/ingest.h"

enum { SCHEMA_INSPECT_MAX = 1 << 20 /* bytes looked at */ };

/* What a file is, by its first bytes (64 KB are enough): a Content-Type that schema_format_for knows, and in *encoding "gzip", "zstd" or NULL. NULL
 * with a problem when it is of a kind that is not read. */
const char *schema_guess_type(const char *bytes, size_t size, const char **encoding, struct schema_problems *problems);

/* {"object":"inspection","format","content_type","encoding","bytes","rows","columns":[...],"reasons":{column: why its
 * type},"preview":[rows],"warnings":[...], "csv"?}. The bytes may end anywhere. fd: a new empty file, which holds nothing of use afterwards. Format
 * and encoding are guessed from the bytes. Of the options types, csv and column count. NULL with problems, those of an upload. The caller's. */
json_t *schema_inspect(const char *bytes, size_t size, const struct schema_ingest_options *options, int fd, struct schema_problems *problems);

#endif
