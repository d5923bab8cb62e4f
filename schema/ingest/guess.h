/* guess.h - what a file is by its first bytes. Private to schema/. */
#ifndef SCHEMA_INGEST_GUESS_H
#define SCHEMA_INGEST_GUESS_H

#include "engine/base/base.h"

/* The Content-Encoding of compressed bytes, NULL: they are not. */
const char *schema_guess_encoding(const char *bytes, size_t size);
/* Files that are known and not read: what to do instead; NULL: none of them. */
const char *schema_guess_refusal(const char *bytes, size_t size);
/* The content type under which the bytes are read. */
const char *schema_guess_kind(const char *bytes, size_t size);
/* The actual type if bytes sent as `content_type` are clearly of another one, otherwise NULL. */
const char *schema_guess_other(const char *content_type, const char *bytes, size_t size);

#endif
