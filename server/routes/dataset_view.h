/* dataset_view.h - a dataset version as JSON, wherever one is shown. */
#ifndef SERVER_DATASET_VIEW_H
#define SERVER_DATASET_VIEW_H

#include "server/http/http.h"

/* With `parent`, what it was made from. */
json_t *dataset_json(const struct store_dataset *dataset);
/* The same with `used_by`, the jobs and model versions that used it. NULL: answered with a problem. */
json_t *dataset_used_json(struct request *request, const struct store_dataset *dataset);
/* The answer where a dataset could not be read; where there is none of that name, with the one that was probably meant. */
void answer_no_dataset(struct request *request, enum store_result result, const struct bp_error *error, const char *name);
/* The name of a dataset like that one; "" when there is none. */
const char *dataset_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]);

#endif
