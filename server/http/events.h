/* events.h - an event of the store as JSON: the same object in lists and in streams. */
#ifndef SERVER_EVENTS_H
#define SERVER_EVENTS_H

#include "server/http/http.h"

json_t *event_json(const struct store_event *event);

#endif
