/* datasets.c - POST|GET /v1/datasets, POST /v1/datasets/inspect, GET|DELETE /v1/datasets/{name}, POST .../rows, POST
 * .../columns/{column}. Rows out are in dataset_rows.c. */
#include "schema/ingest/inspect.h"
#include "server/routes/dataset_view.h"
#include "server/routes/missing.h"
#include "server/routes/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool truthy(const char *text) {
    return text && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || *text == '\0');
}

/* The name in the URL or the body, which must agree; NULL: answered. */
static const char *name_of(struct request *r, const char *query) {
    const struct upload *upload = r->sink;
    const char *inside = schema_ingest_name(upload->ingest), *name = inside ? inside : query;
    if (!name) {
        answer_problem(r, PROBLEM_invalid, "a dataset needs a name: ?name=penguins in the URL, or \"name\" in a JSON body");
        return NULL;
    }
    if (!schema_name_valid(name)) {
        answer_problem(r, PROBLEM_invalid,
                       "\"%.80s\" is not a valid name for a dataset: lower-case letters, digits, \".\", \"_\", \"-\", starting with a letter or "
                       "digit, at most 63",
                       name);
        return NULL;
    }
    if (inside && query && strcmp(inside, query) != 0) {
        answer_problem(r, PROBLEM_invalid, "the URL names the dataset \"%.63s\", the body \"%.63s\"", query, inside);
        return NULL;
    }
    return name;
}

/* Records the file that is in place and answers with what is stored. */
static void record(struct request *r, struct store_dataset *row, bool replace) {
    char location[128];
    struct bp_error error = {0};
    struct store_idempotency answer;
    struct store_dataset stored = {0};
    snprintf(location, sizeof location, "/v1/datasets/%s", row->name);
    enum store_result result = store_dataset_create(r->server->store, row, replace, request_idempotency(r, &answer, 201, location), &error);
    if (result == STORE_EXISTS) {
        answer_problem(r, PROBLEM_exists, "dataset \"%s\" already exists; add ?replace=1 to store this as its next version", row->name);
        return;
    }
    if (result != STORE_OK) {
        answer_store(r, result, &error, "dataset \"%s\"", row->name);
        return;
    }
    upload_keep(r->sink);
    if (store_dataset_get(r->server->store, row->name, row->version, &stored, &error) != STORE_OK) {
        answer_problem(r, PROBLEM_conflict, "dataset \"%s\" was deleted by another request after it was stored", row->name);
        return;
    }
    answer_header(r, "Location", location);
    json_t *json = dataset_used_json(r, &stored);
    if (json) answer_json_exact(r, 201, json);
    store_dataset_free(&stored);
}

/* POST of a dataset, of rows for one, of a column for one: the body has become a file, alone or with what was there. */
static void create(struct request *r) {
    struct schema_problems problems = {0};
    struct store_dataset row = {0};
    struct schema_dataset *dataset = NULL;
    const struct upload *upload = r->sink;
    const bool grows = upload->base != NULL;
    const char *name;
    if (upload_finish(r->sink, &row, &dataset, &problems) != 0) answer_problems(r, &problems);
    else if ((name = name_of(r, grows ? r->params[0] : request_query(r, "name")))) {
        snprintf(row.name, sizeof row.name, "%.*s", (int)sizeof row.name - 1, name);
        record(r, &row, grows || truthy(request_query(r, "replace")));
    }
    schema_dataset_free(dataset);
    free(row.description);
    upload_free(r->sink); /* now: when the answer is read, no file is left that is not the dataset's */
    r->sink = NULL;
}

/* Nothing is stored: the rows go to a file in memory. */
static void inspect(struct request *r) {
    struct schema_problems problems = {0};
    struct schema_column_type *types = NULL;
    struct schema_ingest_options options = {.column = request_query(r, "column")};
    const char *text = request_query(r, "types");
    json_t *json = NULL;
    const int fd = memfd_create("inspect", MFD_CLOEXEC);
    if (fd < 0) schema_problem_no_memory(&problems);
    else if (schema_csv_dialect_parse(request_query(r, "separator"), request_query(r, "decimal"), request_query(r, "quote"),
                                      request_query(r, "header"), &options.csv, &problems) == 0 &&
             (!text || schema_column_types_parse(text, &types, &options.types_count, &problems) == 0)) {
        options.types = types;
        json = schema_inspect(r->body.bytes ? r->body.bytes : "", r->body.size, &options, fd, &problems);
    }
    if (json) answer_json_exact(r, 200, json);
    else answer_problems(r, &problems);
    schema_problems_clear(&problems);
    schema_column_types_free(types, options.types_count);
    if (fd >= 0) close(fd);
}

static json_t *listed(struct request *r, const void *item) {
    (void)r;
    return dataset_json(item);
}

static const char *name_at(const void *item, char text[24]) {
    const struct store_dataset *d = item;
    (void)text;
    return d->name;
}

static void list(struct request *r) {
    int32_t limit;
    const char *after;
    struct store_datasets found = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &limit, &after)) return;
    enum store_result result = store_dataset_list(r->server->store, after, limit, &found, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "datasets");
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .exact = true, .render = listed, .id = name_at});
    store_datasets_free(&found);
}

static void get(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct store_dataset d = {0};
    struct bp_error error = {0};
    if (!request_name(r, r->params[0], name, &version)) return;
    enum store_result result = store_dataset_get(r->server->store, name, version, &d, &error);
    if (result != STORE_OK) {
        answer_no_dataset(r, result, &error, r->params[0]);
        return;
    }
    json_t *json = dataset_used_json(r, &d);
    if (json) answer_json_exact(r, 200, json);
    store_dataset_free(&d);
}

static void delete_dataset(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct bp_error error = {0};
    if (!request_name(r, r->params[0], name, &version)) return;
    enum store_result result = store_dataset_delete(r->server->store, name, version, &error);
    if (result != STORE_OK) answer_no_dataset(r, result, &error, r->params[0]);
    else answer_bytes(r, 204, NULL, NULL, 0);
}

const struct route route_create_dataset = {
    .name = "create_dataset",
    .method = "POST",
    .path = "/v1/datasets",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_STREAM,
    .sink = &upload_sink,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY,
    .query = "name,types,replace,separator,decimal,quote,header,column",
    .handle = create,
};
const struct route route_append_rows = {
    .name = "append_rows",
    .method = "POST",
    .path = "/v1/datasets/{name}/rows",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_STREAM,
    .sink = &upload_sink,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY,
    .query = "separator,decimal,quote,header",
    .handle = create,
};
const struct route route_add_column = {
    .name = "add_column",
    .method = "POST",
    .path = "/v1/datasets/{name}/columns/{column}",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_STREAM,
    .sink = &upload_sink,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY,
    .query = "types",
    .handle = create,
};
const struct route route_inspect_dataset = {
    .name = "inspect_dataset",
    .method = "POST",
    .path = "/v1/datasets/inspect",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_SAMPLE,
    .sample_max = SCHEMA_INSPECT_MAX,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .query = "types,separator,decimal,quote,header,column",
    .handle = inspect,
};
const struct route route_list_datasets = {
    .name = "list_datasets",
    .method = "GET",
    .path = "/v1/datasets",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "limit,after",
    .handle = list,
};
const struct route route_get_dataset = {
    .name = "get_dataset",
    .method = "GET",
    .path = "/v1/datasets/{name}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_delete_dataset = {
    .name = "delete_dataset",
    .method = "DELETE",
    .path = "/v1/datasets/{name}",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = delete_dataset,
};
