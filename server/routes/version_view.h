/* version_view.h - a version of a model: how it is answered, and how a missing one is. */
#ifndef SERVER_VERSION_VIEW_H
#define SERVER_VERSION_VIEW_H

#include "server/http/answer.h"
#include "server/http/request.h"

/* What was made by the training, which never changes. */
json_t *version_json(const struct store_version *version);
/* The version that the reference names. Under its number it never changes, so that it may be cached for good; notes, tags and aliases are apart. */
void answer_version(struct request *request, const char *name, const char *reference);
void delete_version_of(struct request *request, const char *name, const char *reference);
/* Where store_version_find or model_cache_get has failed for that reference ("": the alias default). */
void answer_no_version(struct request *request, enum store_result result, const struct bp_error *error, const char *name, const char *reference);
/* Whose key the request has. */
struct store_actor request_actor(const struct request *request);
/* Whether If-Match or If-None-Match, as a header has it, names this entity tag (without its quotes), or "*". */
bool header_has_tag(const char *header, const char *tag);
/* If-None-Match names the tag: 304, with the ETag, and true. Otherwise the ETag is a header of what is answered next. */
bool answered_unchanged(struct request *request, const char *tag);

#endif
