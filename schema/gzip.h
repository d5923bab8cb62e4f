/* gzip.h - a stream of bytes compressed piece by piece (RFC 1952), for responses. schema/ingest/decode.h decodes requests. */
#ifndef SCHEMA_GZIP_H
#define SCHEMA_GZIP_H

#include "engine/base/base.h"

struct schema_gzip;
/* NULL without memory. */
struct schema_gzip *schema_gzip_new(void);
/* Compresses a piece, or with size 0 ends the stream. All that is known of the piece is in *out, which is never empty; borrowed until the next
 * call. -1: no memory. */
int schema_gzip_add(struct schema_gzip *gzip, const char *bytes, size_t size, const char **out, size_t *out_size);
void schema_gzip_free(struct schema_gzip *gzip);

#endif
