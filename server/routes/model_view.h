/* model_view.h - what is said where a model could not be read. */
#ifndef SERVER_MODEL_VIEW_H
#define SERVER_MODEL_VIEW_H

#include "server/http/http.h"

/* The name of a model like that one ("name" or "name@2"); "" when there is none. */
const char *model_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]);
/* The answer where a model could not be read; where there is none of that name, with the one that was probably meant. */
void answer_no_model(struct request *request, enum store_result result, const struct bp_error *error, const char *name);

#endif
