/* history.h - the metrics of a job by epoch. */
#ifndef SERVER_HISTORY_H
#define SERVER_HISTORY_H

#include "server/http/request.h"

struct history {
    json_t **points; /* data objects of the metrics events, in order of epochs */
    size_t count, capacity;
};

enum store_result history_read(struct store *store, const char *job, struct history *history, struct bp_error *error);
/* Keeps at most max_points: the first, the last and, in each of as many equal stretches as fit, the smallest and the largest of every series. When
 * there are not even enough points for one stretch, the first series come first. */
void history_thin(const struct history *history, const json_t *names, size_t max_points, bool *keep);
void history_free(struct history *history);

#endif
