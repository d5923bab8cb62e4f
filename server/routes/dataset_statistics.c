/* dataset_statistics.c - GET /v1/datasets/{name}/statistics: a version's columns for a dashboard. */
#include "schema/dataset/profile.h"
#include "schema/dataset/rows.h"
#include "server/routes/missing.h"
#include "server/routes/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 64 << 20 };

/* The columns chosen, or all; false: answered. */
static bool choose(struct request *r, const struct schema_dataset *dataset, int32_t **columns, int32_t *count) {
    struct schema_problems problems = {0};
    const char *text = request_query(r, "columns");
    if (text) {
        if (schema_dataset_columns_parse(dataset, text, columns, count, &problems) != 0) {
            answer_problems(r, &problems);
            return false;
        }
    } else if (dataset->columns_count <= SCHEMA_PROFILE_COLUMNS_MAX) {
        *count = dataset->columns_count;
        *columns = malloc(((size_t)*count + 1) * sizeof **columns);
        for (int32_t i = 0; *columns && i < *count; i++) (*columns)[i] = i;
        if (*columns) return true;
        answer_problem(r, PROBLEM_overloaded, "no memory for the statistics");
        return false;
    }
    if (text && *count <= SCHEMA_PROFILE_COLUMNS_MAX) return true;
    answer_problem(r, PROBLEM_invalid, "at most %d columns per request, got %d; select some with ?columns=a,b", SCHEMA_PROFILE_COLUMNS_MAX,
                   text ? *count : dataset->columns_count);
    return false;
}

static const char *column_name(const void *dataset, int32_t i) {
    return ((const struct schema_dataset *)dataset)->columns[i].name;
}

/* false: answered. */
static bool find_target(struct request *r, const struct schema_dataset *dataset, int32_t *target) {
    const char *name = request_query(r, "target");
    char meant[96];
    *target = name ? schema_dataset_find(dataset, name) : -1;
    if (!name) return true;
    if (*target < 0) {
        const char *near = dataset->columns_count < 10000 ? schema_nearest(name, column_name, dataset, dataset->columns_count) : NULL;
        answer_problem(r, PROBLEM_invalid, "target: there is no column \"%.60s\"%s", name, schema_did_you_mean(near, meant, sizeof meant));
        return false;
    }
    const struct schema_type_ops *type = schema_type_of(dataset->columns[*target].type);
    if (type->storage == SCHEMA_HELD_AS_NUMBER || type->storage == SCHEMA_HELD_AS_CODE) return true;
    answer_problem(r, PROBLEM_invalid,
                   "target: \"%.60s\" is a column of the type %s; a correlation is reported with numbers, times, categories and booleans", name,
                   type->name);
    return false;
}

static void answer(struct request *r, const struct store_dataset *row, const struct schema_dataset *dataset,
                   const struct schema_profile_request *request) {
    struct schema_text out = {.limit = ANSWER_MAX};
    struct bp_error damage = {0};
    schema_text_format(&out, "{\"object\":\"statistics\",\"name\":\"%s\",\"version\":%lld,", row->name, (long long)row->version);
    const bool profiled = schema_dataset_profile(dataset, request, &out) == 0, damaged = schema_dataset_intact(dataset, &damage) != 0;
    if (profiled && !damaged) {
        schema_text_string(&out, "}\n");
        if (!out.failed) {
            answer_bytes(r, 200, "application/json", out.bytes, out.size);
            return;
        }
    }
    if (damaged) answer_error(r, &damage);
    else if (server_stopping(r->server)) answer_problem(r, PROBLEM_overloaded, "the server is stopping");
    else answer_problem(r, PROBLEM_overloaded, "no memory for the statistics; select fewer columns with ?columns=a,b");
    free(out.bytes);
}

static void statistics(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct store_dataset row = {0};
    struct schema_dataset *dataset = NULL;
    struct bp_error error = {0};
    int32_t *columns = NULL;
    struct schema_profile_request request = {.stop = server_stopping, .context = r->server};
    if (!request_name(r, r->params[0], name, &version)) return;
    enum store_result result = dataset_open(r->server->store, name, version, &row, &dataset, &error);
    if (result != STORE_OK) {
        answer_no_dataset(r, result, &error, r->params[0]);
        return;
    }
    if (find_target(r, dataset, &request.target) && choose(r, dataset, &columns, &request.columns_count)) {
        request.columns = columns;
        answer(r, &row, dataset, &request);
    }
    free(columns);
    schema_dataset_free(dataset);
    store_dataset_free(&row);
}

const struct route route_get_statistics = {
    .name = "get_statistics",
    .method = "GET",
    .path = "/v1/datasets/{name}/statistics",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "target,columns",
    .handle = statistics,
};
