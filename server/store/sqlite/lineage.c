/* lineage.c - what was made of a dataset version: its jobs, and the model versions trained on it, also those whose jobs are deleted. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>

/* That train with it, or validate with it. */
#define JOBS_OF                                                                                                                                      \
    "SELECT id FROM jobs WHERE dataset = ?1 AND dataset_version = ?2 UNION "                                                                         \
    "SELECT id FROM jobs WHERE validation_dataset = ?1 AND validation_version = ?2"

static bool version_use_read(sqlite3_stmt *s, void *item) {
    struct store_use *use = item;
    column_copy(s, 0, use->job, sizeof use->job);
    column_copy(s, 1, use->model, sizeof use->model);
    use->version = sqlite3_column_int64(s, 2);
    use->status = STORE_SUCCEEDED;
    return true;
}

static bool job_use_read(sqlite3_stmt *s, void *item) {
    struct store_use *use = item;
    return version_use_read(s, item) && store_status_parse((const char *)sqlite3_column_text(s, 3), &use->status);
}

static bool count_read(sqlite3_stmt *s, void *item) {
    *(int64_t *)item = sqlite3_column_int64(s, 0);
    return true;
}

static enum store_result count(struct store *store, const char *sql, const struct value *values, int64_t *number, struct bp_error *error) {
    const struct query query = {.what = "count the uses of the dataset", .values = values, .values_count = 2, .read = count_read, .sql = sql};
    return query_one(store, &query, number, error);
}

static enum store_result list(struct store *store, struct query query, struct store_use **uses, int32_t *n, struct bp_error *error) {
    query.what = "read the uses of the dataset", query.values_count = 2, query.item_size = sizeof **uses;
    enum store_result result = query_list(store, &query, error);
    *uses = query.items, *n = query.count;
    return result;
}

enum store_result store_dataset_uses(struct store *store, const char *name, int64_t version, int32_t limit, struct store_uses *uses,
                                     struct bp_error *error) {
    const struct value values[] = {text(name), integer(version)};
    *uses = (struct store_uses){0};
    enum store_result result = list(store,
                                    (struct query){.values = values,
                                                   .read = job_use_read,
                                                   .limit = limit,
                                                   .sql = "SELECT id, model, model_version, status FROM jobs "
                                                          "WHERE id IN (" JOBS_OF ") ORDER BY id DESC LIMIT ?"},
                                    &uses->jobs, &uses->jobs_listed, error);
    if (result == STORE_OK)
        result = list(store,
                      (struct query){.values = values,
                                     .read = version_use_read,
                                     .limit = limit,
                                     .sql = "SELECT v.job, v.model, v.version FROM trainings AS t CROSS JOIN versions AS v ON v.id = t.version "
                                            "WHERE t.dataset = ? AND t.dataset_version = ? ORDER BY t.version DESC LIMIT ?"},
                      &uses->versions, &uses->versions_listed, error);
    if (result == STORE_OK) result = count(store, "SELECT count(*) FROM (" JOBS_OF ")", values, &uses->jobs_count, error);
    if (result == STORE_OK)
        result = count(store, "SELECT count(*) FROM trainings WHERE dataset = ? AND dataset_version = ?", values, &uses->versions_count, error);
    if (result != STORE_OK) store_uses_free(uses);
    return result;
}

void store_uses_free(struct store_uses *uses) {
    free(uses->jobs);
    free(uses->versions);
    *uses = (struct store_uses){0};
}
