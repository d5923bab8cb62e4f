/* event_view.h - events and changes of the store as JSON: the same objects in lists and in streams. */
#ifndef SERVER_EVENT_VIEW_H
#define SERVER_EVENT_VIEW_H

#include "server/http/pages.h"

json_t *event_json(const struct store_event *event);
json_t *change_json(const struct store_change *change);
extern const struct page_views event_views;

#endif
