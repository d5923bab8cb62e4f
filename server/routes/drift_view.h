/* drift_view.h - live rows beside those of the training: as they are answered, and as /metrics shows them. */
#ifndef SERVER_DRIFT_VIEW_H
#define SERVER_DRIFT_VIEW_H

#include "server/drift.h"

#include <jansson.h>

/* The report of a version, from its document: {"reference_rows","windows":[{"window","from","to","rows","features":[...],"outputs":[...]}]};
 * "windows" is empty, and "message" says why, without a reference. May read the store. The caller's; NULL: no memory. */
json_t *drift_report(struct drift *drift, const char *model, int64_t version, const json_t *document);
/* {"version","window","rows","status","worst":{"feature","stability_index"}} of the last 24 hours; null: no reference, or no rows. */
json_t *drift_summary(struct drift *drift, const char *model, int64_t version, const json_t *document);

/* The stability indices of the last 24 hours of a version, the largest first, at most `most`. Returns how many; reads the store once for a version.
 */
struct drift_index {
    char feature[200];
    double index;
};
int drift_indices(struct drift *drift, const char *model, int64_t version, struct drift_index *indices, int most);

#endif
