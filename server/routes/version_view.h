/* version_view.h - a version of a model as answers show it (models.c). */
#ifndef SERVER_VERSION_VIEW_H
#define SERVER_VERSION_VIEW_H

#include "server/http/request.h"

json_t *version_json(const struct store_version *version);

#endif
