/* pages.h - events as the bytes of a stream. A page has the events of a job (or of all), or the changes of models, after one id; it is read from the
 * store and encoded once, and shared by all streams that are at that place: the last few pages are kept. For one thread. */
#ifndef SERVER_HTTP_PAGES_H
#define SERVER_HTTP_PAGES_H

#include "server/store/changes.h"

#include <jansson.h>

/* Never changes once it is made. */
struct page {
    int references;
    char job[STORE_ID_SIZE]; /* "": of all jobs; STORE_CHANGES: changes */
    int64_t after, last;     /* the events after `after`, up to `last` */
    bool has_more;           /* there were more than fit */
    bool ends;               /* the end of the job is in it */
    size_t size;
    char *bytes; /* one chunk of the chunked coding; its data begins at `data` and has data_size bytes */
    size_t data, data_size;
};

struct pages;
/* An event, a change as JSON, the same in lists and in streams. */
struct page_views {
    json_t *(*event)(const struct store_event *event);
    json_t *(*change)(const struct store_change *change);
};
struct pages *pages_new(struct store *store, const struct page_views *views);
void pages_free(struct pages *pages);
/* *page is referenced, NULL when there are no events after that one; *over: nor will there be any, as the job has ended or is deleted. */
enum store_result pages_get(struct pages *pages, const char *job, int64_t after, struct page **page, bool *over);
/* Something was committed: where there were no events, there may be some now. */
void pages_news(struct pages *pages);
void page_release(struct page *page);

#endif
