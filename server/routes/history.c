/* history.c - see history.h. */
#include "server/routes/history.h"

#include <math.h>
#include <stdlib.h>

enum store_result history_read(struct store *store, const char *job, struct history *h, struct bp_error *error) {
    int64_t after = 0;
    for (bool more = true; more;) {
        struct store_events events = {0};
        enum store_result result = store_event_list(store, job, "metrics", after, STORE_LIST_MAX, &events, error);
        if (result != STORE_OK) return result;
        if (h->count + (size_t)events.count > h->capacity) {
            h->capacity = (h->count + (size_t)events.count) * 2;
            json_t **points = realloc(h->points, h->capacity * sizeof *points);
            if (!points) {
                store_events_free(&events);
                bp_error_memory(error, "out of memory");
                return STORE_FAILED;
            }
            h->points = points;
        }
        for (int32_t i = 0; i < events.count; i++) {
            h->points[h->count++] = document_json(events.items[i].data);
            after = events.items[i].id;
        }
        more = events.has_more;
        store_events_free(&events);
    }
    return STORE_OK;
}

/* The places of the smallest and the largest value of a series among points [from, to); false: there is none. */
static bool extremes(const struct history *h, const char *name, size_t from, size_t to, size_t at[2]) {
    double least = INFINITY, most = -INFINITY;
    for (size_t i = from; i < to; i++) {
        const json_t *v = json_object_get(h->points[i], name);
        if (!json_is_number(v)) continue;
        if (json_number_value(v) < least) least = json_number_value(v), at[0] = i;
        if (json_number_value(v) > most) most = json_number_value(v), at[1] = i;
    }
    return least <= most;
}

void history_thin(const struct history *h, const json_t *names, size_t max_points, bool *keep) {
    size_t series = json_array_size(names), stretches = series && max_points > 2 ? (max_points - 2) / (2 * series) : 0, kept = h->count > 1 ? 2 : 1;
    keep[0] = keep[h->count - 1] = true;
    if (stretches < 1) stretches = 1;
    for (size_t s = 0; s < stretches; s++)
        for (size_t k = 0; k < series; k++) {
            size_t at[2] = {0, 0};
            if (!extremes(h, json_string_value(json_array_get(names, k)), h->count * s / stretches, h->count * (s + 1) / stretches, at)) continue;
            for (int e = 0; e < 2; e++) {
                if (keep[at[e]] || kept == max_points) continue;
                keep[at[e]] = true;
                kept++;
            }
        }
}

void history_free(struct history *h) {
    for (size_t i = 0; i < h->count; i++) json_decref(h->points[i]);
    free(h->points);
    *h = (struct history){0};
}
