/* missing.c - see missing.h. Names are compared with the first STORE_LIST_MAX stored ones. */
#include "server/routes/missing.h"

#include "server/http/answer.h"

#include <stdio.h>
#include <string.h>

/* The names of a list of structs, each `stride` bytes after the one before. */
struct names {
    const char *first; /* NULL: the list is empty */
    size_t stride;
    int32_t count;
};

static const char *name_at(const void *context, int32_t i) {
    const struct names *names = context;
    return names->first + (size_t)i * names->stride;
}

static const char *nearest_of(const struct names *names, const char *name, char nearest[static STORE_NAME_SIZE]) {
    char requested[STORE_NAME_SIZE];
    snprintf(requested, sizeof requested, "%.*s", (int)strcspn(name, "@"), name);
    const char *near = names->count > 0 ? schema_nearest(requested, name_at, names, names->count) : NULL;
    snprintf(nearest, STORE_NAME_SIZE, "%s", near && strcmp(near, requested) != 0 ? near : "");
    return nearest;
}

const char *dataset_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]) {
    struct store_datasets list = {0};
    struct bp_error ignored = {0};
    *nearest = '\0';
    if (store_dataset_list(store, NULL, STORE_LIST_MAX, &list, &ignored) != STORE_OK) return nearest;
    nearest_of(&(struct names){list.count ? list.items->name : NULL, sizeof *list.items, list.count}, name, nearest);
    store_datasets_free(&list);
    return nearest;
}

const char *model_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]) {
    struct store_models list = {0};
    struct bp_error ignored = {0};
    *nearest = '\0';
    if (store_model_list(store, NULL, STORE_LIST_MAX, &list, &ignored) != STORE_OK) return nearest;
    nearest_of(&(struct names){list.count ? list.items->name : NULL, sizeof *list.items, list.count}, name, nearest);
    store_models_free(&list);
    return nearest;
}

typedef const char *find_nearest(struct store *store, const char *name, char nearest[static STORE_NAME_SIZE]);

static void answer_missing(struct request *r, const char *kind, find_nearest *find, enum store_result result, const struct bp_error *error,
                           const char *name) {
    char nearest[STORE_NAME_SIZE];
    if (result == STORE_NOT_FOUND && *find(r->server->store, name, nearest))
        answer_problem(r, PROBLEM_not_found, "there is no %s \"%.80s\", did you mean \"%s\"?", kind, name, nearest);
    else answer_store(r, result, error, "%s \"%s\"", kind, name);
}

void answer_no_dataset(struct request *r, enum store_result result, const struct bp_error *error, const char *name) {
    answer_missing(r, "dataset", dataset_nearest, result, error, name);
}

void answer_no_model(struct request *r, enum store_result result, const struct bp_error *error, const char *name) {
    answer_missing(r, "model", model_nearest, result, error, name);
}
