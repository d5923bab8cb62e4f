/* decode.h - Content-Encoding undone as the bytes arrive, with limits against bombs. Used by ingest.c and by the bodies of other requests. */
#ifndef SCHEMA_INGEST_DECODE_H
#define SCHEMA_INGEST_DECODE_H

#include "schema/json/problems.h"

struct schema_decoder;

/* Takes decoded bytes; -1 stops. */
typedef int schema_decoded(void *context, const char *bytes, size_t size, struct schema_problems *problems);

/* encoding: known (schema_encoding_known) and not identity. max: of decoded bytes, 0: no limit; setting: its name, for the message, constant. */
int schema_decoder_open(const char *encoding, int64_t max, const char *setting, struct schema_decoder **decoder, struct schema_problems *problems);
int schema_decoder_feed(struct schema_decoder *decoder, const char *bytes, size_t size, schema_decoded *sink, void *context,
                        struct schema_problems *problems);
/* No more bytes: the stream must have ended. */
int schema_decoder_finish(const struct schema_decoder *decoder, struct schema_problems *problems);
void schema_decoder_close(struct schema_decoder *decoder);

#endif
