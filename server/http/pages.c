/* pages.c - see pages.h. */
#include "server/http/pages.h"

#include "schema/memory.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 32, EVENTS_MAX = 100, BYTES_ENOUGH = 64 << 10, BYTES_MAX = 64 << 20, CHUNK_HEAD = 10 /* eight hexadecimal digits, CR, LF */ };

struct pages {
    struct store *store;
    struct page_views views;
    struct page *kept[KEPT]; /* with data, or empty: then nothing has come after it since the last news */
    int oldest;
};

struct pages *pages_new(struct store *store, const struct page_views *views) {
    struct pages *pages = calloc(1, sizeof *pages);
    if (!pages) return NULL;
    pages->store = store;
    pages->views = *views;
    return pages;
}

void page_release(struct page *page) {
    if (!page || --page->references > 0) return;
    free(page->bytes);
    free(page);
}

void pages_free(struct pages *pages) {
    if (!pages) return;
    for (int i = 0; i < KEPT; i++) page_release(pages->kept[i]);
    free(pages);
}

/* What comes after a place: events, or changes. */
struct news {
    struct store_events events;
    struct store_changes changes;
    int32_t count;
    bool has_more;
};

static bool is_feed(const char *job) {
    return strcmp(job, STORE_CHANGES) == 0;
}

static enum store_result news_read(const struct pages *pages, const char *job, int64_t after, struct news *news, struct bp_error *error) {
    *news = (struct news){0};
    if (is_feed(job)) {
        const enum store_result result = store_change_list(pages->store, after, EVENTS_MAX, &news->changes, error);
        news->count = news->changes.count, news->has_more = news->changes.has_more;
        return result;
    }
    const enum store_result result = store_event_list(pages->store, *job ? job : NULL, NULL, after, EVENTS_MAX, &news->events, error);
    news->count = news->events.count, news->has_more = news->events.has_more;
    return result;
}

static void news_free(struct news *news) {
    store_events_free(&news->events);
    store_changes_free(&news->changes);
}

/* Appends one event as "id: ...\nevent: ...\ndata: ...\n\n". Returns its id. */
static int64_t encode(const struct pages *pages, const struct news *news, int32_t i, struct schema_text *out) {
    const struct store_event *event = news->events.count ? &news->events.items[i] : NULL;
    const struct store_change *change = event ? NULL : &news->changes.items[i];
    char id[STORE_CURSOR_SIZE];
    if (event) snprintf(id, sizeof id, "%lld", (long long)event->id);
    else store_cursor_text(change->id, change->mark, id);
    json_t *json = event ? pages->views.event(event) : pages->views.change(change);
    char *text = schema_json_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(json);
    if (!text) out->failed = true;
    else schema_text_format(out, "id: %s\nevent: %s\ndata: %s\n\n", id, event ? event->type : change->type, text);
    free(text);
    return event ? event->id : change->id;
}

static struct page *make(const struct pages *pages, const char *job, int64_t after, const struct news *news) {
    struct page *page = calloc(1, sizeof *page);
    if (!page) return NULL;
    struct schema_text out = {.limit = BYTES_MAX};
    page->references = 1;
    page->after = page->last = after;
    page->has_more = news->has_more;
    snprintf(page->job, sizeof page->job, "%s", job);
    schema_text_string(&out, "00000000\r\n");
    for (int32_t i = 0; i < news->count && !out.failed; i++) {
        if (out.size > BYTES_ENOUGH) {
            page->has_more = true;
            break;
        }
        page->last = encode(pages, news, i, &out);
        if (*job && news->events.count && strcmp(news->events.items[i].type, "end") == 0) page->ends = true;
    }
    page->data = CHUNK_HEAD;
    page->data_size = out.size - CHUNK_HEAD;
    schema_text_string(&out, "\r\n");
    page->bytes = out.bytes;
    page->size = out.size;
    if (!out.failed && !schema_memory_failed()) {
        char head[CHUNK_HEAD + 1];
        snprintf(head, sizeof head, "%08zx\r\n", page->data_size);
        memcpy(page->bytes, head, CHUNK_HEAD);
        return page;
    }
    page_release(page);
    return NULL;
}

void pages_news(struct pages *pages) {
    for (int i = 0; i < KEPT; i++) {
        if (!pages->kept[i] || pages->kept[i]->bytes) continue;
        page_release(pages->kept[i]);
        pages->kept[i] = NULL;
    }
}

/* The stream of a job ends with the job: when it is deleted, or was over before the stream began. */
static bool is_over(const struct pages *pages, const char *id) {
    struct store_job job = {0};
    struct bp_error error = {0};
    if (!*id || is_feed(id)) return false;
    const enum store_result result = store_job_get(pages->store, id, &job, &error);
    const bool over = result == STORE_NOT_FOUND || (result == STORE_OK && store_status_final(job.status));
    if (result == STORE_OK) store_job_free(&job);
    return over;
}

/* That nothing comes after an event. */
static struct page *make_empty(const struct pages *pages, const char *job, int64_t after) {
    struct page *page = calloc(1, sizeof *page);
    if (!page) return NULL;
    page->references = 1;
    page->after = page->last = after;
    page->ends = is_over(pages, job);
    snprintf(page->job, sizeof page->job, "%s", job);
    return page;
}

static struct page *find(const struct pages *pages, const char *job, int64_t after) {
    for (int i = 0; i < KEPT; i++) {
        struct page *page = pages->kept[i];
        if (page && page->after == after && strcmp(page->job, job) == 0) return page;
    }
    return NULL;
}

enum store_result pages_get(struct pages *pages, const char *job, int64_t after, struct page **found, bool *over) {
    *found = NULL;
    *over = false;
    struct page *page = find(pages, job, after);
    if (!page) {
        struct news news;
        struct bp_error error = {0};
        schema_memory_begin();
        const enum store_result result = news_read(pages, job, after, &news, &error);
        if (result != STORE_OK) return result;
        page = news.count ? make(pages, job, after, &news) : make_empty(pages, job, after);
        news_free(&news);
        if (!page) return STORE_FAILED;
        page_release(pages->kept[pages->oldest]);
        pages->kept[pages->oldest] = page;
        pages->oldest = (pages->oldest + 1) % KEPT;
    }
    if (!page->bytes) {
        *over = page->ends;
        return STORE_OK;
    }
    page->references++;
    *found = page;
    return STORE_OK;
}
