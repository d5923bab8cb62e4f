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
    json_t *(*render)(const struct store_event *event);
    struct page *kept[KEPT]; /* with data, or empty: then nothing has come after it since the last news */
    int oldest;
};

struct pages *pages_new(struct store *store, json_t *(*render)(const struct store_event *event)) {
    struct pages *pages = calloc(1, sizeof *pages);
    if (!pages) return NULL;
    pages->store = store;
    pages->render = render;
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

/* Appends one event as "id: ...\nevent: ...\ndata: ...\n\n". */
static void encode(const struct pages *pages, const struct store_event *event, struct schema_text *out) {
    json_t *json = pages->render(event);
    char *text = schema_json_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(json);
    if (!text) out->failed = true;
    else schema_text_format(out, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)event->id, event->type, text);
    free(text);
}

static struct page *make(const struct pages *pages, const char *job, int64_t after, const struct store_events *events) {
    struct page *page = calloc(1, sizeof *page);
    if (!page) return NULL;
    struct schema_text out = {.limit = BYTES_MAX};
    page->references = 1;
    page->after = page->last = after;
    page->has_more = events->has_more;
    snprintf(page->job, sizeof page->job, "%s", job);
    schema_text_string(&out, "00000000\r\n");
    for (int32_t i = 0; i < events->count && !out.failed; i++) {
        if (out.size > BYTES_ENOUGH) {
            page->has_more = true;
            break;
        }
        encode(pages, &events->items[i], &out);
        page->last = events->items[i].id;
        if (*job && strcmp(events->items[i].type, "end") == 0) page->ends = true;
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
    if (!*id) return false;
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
        struct store_events events = {0};
        struct bp_error error = {0};
        schema_memory_begin();
        const enum store_result result = store_event_list(pages->store, *job ? job : NULL, NULL, after, EVENTS_MAX, &events, &error);
        if (result != STORE_OK) return result;
        page = events.count ? make(pages, job, after, &events) : make_empty(pages, job, after);
        store_events_free(&events);
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
