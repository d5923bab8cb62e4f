/* rows_source.c - see rows_source.h. */
#include "server/routes/rows_source.h"

#include "schema/memory.h"
#include "server/routes/missing.h"
#include "server/routes/validation_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rows_stored(struct store *store, const char *text, const char *pointer, struct store_dataset *row, struct schema_dataset **dataset,
                 struct schema_problems *problems) {
    struct bp_error error = {0};
    char name[STORE_NAME_SIZE], near[STORE_NAME_SIZE], meant[STORE_NAME_SIZE + 32];
    int64_t version;
    if (!reference_parse(text, name, &version)) {
        schema_problem_add(problems, pointer, "\"%.80s\" is not the name of a dataset", text);
        return;
    }
    const enum store_result result = dataset_open(store, name, version, row, dataset, &error);
    if (result == STORE_NOT_FOUND) {
        const bool known = *dataset_nearest(store, text, near);
        schema_problem_add(problems, pointer, "there is no dataset \"%.80s\"%s%s", text,
                           schema_did_you_mean(known ? near : NULL, meant, sizeof meant),
                           known ? "" : "; upload it first with POST /v1/datasets, or send it inline");
    } else if (result != STORE_OK) {
        schema_problem_error(problems, pointer, &error);
    }
}

void rows_sent(const struct server *server, const json_t *object, const char *pointer, const struct upload_request *more, struct upload **upload,
               struct store_dataset *row, struct schema_dataset **dataset, struct schema_problems *problems) {
    struct schema_problems found = {0};
    struct upload_request request = *more;
    char *text = schema_json_dump(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    request.content_type = "application/json";
    if (text && (*upload = upload_open(server, &request, &found))) {
        upload_bytes(*upload, text, strlen(text));
        upload_finish(*upload, row, dataset, &found);
    }
    free(text);
    for (int32_t i = 0; i < found.count; i++) { /* places inside the object */
        char place[400];
        snprintf(place, sizeof place, "%s%s", pointer, found.items[i].pointer ? found.items[i].pointer : "");
        free(found.items[i].pointer);
        found.items[i].pointer = strdup(place);
        found.items[i].line = 0;
    }
    if (found.total && problems->total == 0) {
        schema_problems_clear(problems);
        *problems = found;
        return;
    }
    for (int32_t i = 0; i < found.count; i++) schema_problem_add(problems, found.items[i].pointer, "%s", found.items[i].detail);
    schema_problems_clear(&found);
}

static void open_sent(struct request *r, const json_t *object, const char *pointer, const struct schema_model *model, struct rows_source *source,
                      struct schema_problems *problems) {
    struct upload_request more = {0};
    struct schema_column_type *types = schema_model_types(model, &more.expected_count);
    more.expected = types;
    if (types) rows_sent(r->server, object, pointer, &more, &source->upload, &source->row, &source->dataset, problems);
    else schema_problem_no_memory(problems);
    free(types);
}

void rows_source_open(struct request *r, const json_t *value, const char *pointer, const struct schema_model *model, struct rows_source *source,
                      struct schema_problems *problems) {
    if (json_is_string(value) && r->server->follower)
        schema_problem_add(
            problems, pointer,
            "datasets are not copied to a read-only replica: send the rows in the request ({\"records\":[...]}), or the request to the "
            "primary, %.400s",
            (const char *)r->server->settings.follow);
    else if (json_is_string(value)) rows_stored(r->server->store, json_string_value(value), pointer, &source->row, &source->dataset, problems);
    else if (json_is_object(value)) open_sent(r, value, pointer, model, source, problems);
    else
        schema_problem_add(problems, pointer, "%s is %s: the name of a dataset, or an object with the rows ({\"records\":[...]})", pointer + 1,
                           value && !json_is_null(value) ? "not usable" : "required");
}

void rows_source_close(struct rows_source *source) {
    schema_dataset_free(source->dataset);
    upload_free(source->upload);
    store_dataset_free(&source->row);
}

json_t *rows_source_name(const struct rows_source *source) {
    return source->upload ? json_null() : json_sprintf("%s@%lld", source->row.name, (long long)source->row.version);
}
