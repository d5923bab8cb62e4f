/* dataset_view.c - what is said of a dataset that is not there. */
#include "server/routes/dataset_view.h"

#include <stdio.h>
#include <string.h>

static const char *name_at(const void *context, int32_t i) {
    return ((const struct store_datasets *)context)->items[i].name;
}

/* Among the first thousand names. */
const char *dataset_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]) {
    struct store_datasets found = {0};
    struct bp_error ignored = {0};
    char wanted[STORE_NAME_SIZE];
    *nearest = '\0';
    snprintf(wanted, sizeof wanted, "%.*s", (int)strcspn(name, "@"), name);
    if (store_dataset_list(store, NULL, STORE_LIST_MAX, &found, &ignored) != STORE_OK) return nearest;
    const char *near = schema_nearest(wanted, name_at, &found, found.count);
    if (near && strcmp(near, wanted) != 0) snprintf(nearest, STORE_NAME_SIZE, "%s", near);
    store_datasets_free(&found);
    return nearest;
}

void answer_no_dataset(struct request *r, enum store_result result, const struct bp_error *error, const char *name) {
    char nearest[STORE_NAME_SIZE];
    if (result == STORE_NOT_FOUND && *dataset_nearest(r->server->store, name, nearest))
        answer_problem(r, PROBLEM_not_found, "there is no dataset \"%.80s\", did you mean \"%s\"?", name, nearest);
    else answer_store(r, result, error, "dataset \"%s\"", name);
}
