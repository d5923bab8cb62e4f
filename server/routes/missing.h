/* missing.h - the answer where a dataset or a model could not be read; where there is none of that name, with the name that was probably meant. */
#ifndef SERVER_MISSING_H
#define SERVER_MISSING_H

#include "server/http/request.h"

/* name: "name" or "name@2". */
void answer_no_dataset(struct request *request, enum store_result result, const struct bp_error *error, const char *name);
void answer_no_model(struct request *request, enum store_result result, const struct bp_error *error, const char *name);
/* The name of a stored one like that; "" when there is none. */
const char *dataset_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]);
const char *model_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]);

#endif
