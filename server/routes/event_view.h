/* event_view.h - an event of the store as JSON: the same object in lists and in streams. */
#ifndef SERVER_EVENT_VIEW_H
#define SERVER_EVENT_VIEW_H

#include "server/store/store.h"

#include <jansson.h>

json_t *event_json(const struct store_event *event);

#endif
