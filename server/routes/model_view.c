/* model_view.c - see model_view.h. */
#include "server/routes/model_view.h"

#include <stdio.h>
#include <string.h>

static const char *name_at(const void *context, int32_t i) {
    return ((const struct store_models *)context)->items[i].name;
}

const char *model_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]) {
    struct store_models found = {0};
    struct bp_error ignored = {0};
    char wanted[STORE_NAME_SIZE];
    *nearest = '\0';
    snprintf(wanted, sizeof wanted, "%.*s", (int)strcspn(name, "@"), name);
    if (store_model_list(store, NULL, STORE_LIST_MAX, &found, &ignored) != STORE_OK) return nearest;
    const char *near = schema_nearest(wanted, name_at, &found, found.count);
    if (near && strcmp(near, wanted) != 0) snprintf(nearest, STORE_NAME_SIZE, "%s", near);
    store_models_free(&found);
    return nearest;
}

void answer_no_model(struct request *r, enum store_result result, const struct bp_error *error, const char *name) {
    char nearest[STORE_NAME_SIZE];
    if (result == STORE_NOT_FOUND && *model_nearest(r->server->store, name, nearest))
        answer_problem(r, PROBLEM_not_found, "there is no model \"%.80s\", did you mean \"%s\"?", name, nearest);
    else answer_store(r, result, error, "model \"%s\"", name);
}
