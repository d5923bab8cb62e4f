/* dataset_view.h - a dataset version as JSON, wherever one is shown. */
#ifndef SERVER_DATASET_VIEW_H
#define SERVER_DATASET_VIEW_H

#include "server/http/answer.h"
#include "server/http/request.h"

/* With `parent`, what it was made from. */
json_t *dataset_json(const struct store_dataset *dataset);
/* The same with `used_by`, the jobs and model versions that used it. NULL: answered with a problem. */
json_t *dataset_used_json(struct request *request, const struct store_dataset *dataset);

#endif
