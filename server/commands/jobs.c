/* jobs.c - `backpropd jobs` and `backpropd compare`: the jobs of a server as a table, and some of them side by side. */
#include "server/commands/commands.h"

#include "schema/memory.h"
#include "schema/predict/metric_name.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"
#include "server/commands/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL, KEY_FILE, CA_FILE, SORT, WHERE, STATUS, MODEL, DATASET, SINCE, UNTIL, FIELDS, LIMIT, JSON, FLAGS_COUNT };
static const char *const names[] = {"url",     "api-key-file", "ca-file", "sort",   "where", "status", "model",
                                    "dataset", "since",        "until",   "fields", "limit", NULL};
enum { JOBS = SORT, SERIES, COMPARE_JSON, SAME };
static const char *const compare_names[] = {"url", "api-key-file", "ca-file", "jobs", "series", NULL};
static const char *const switches[] = {"json", NULL}, *const compare_switches[] = {"json", "same", NULL};

static const char shown_fields[] = "id,status,model,dataset,progress.epoch,metrics.loss,metrics.val_loss";

/* GET of a path, decoded; prints the body with `print`. NULL: a message was printed, or the body. */
static json_t *ask(const char *command, const char **v, const struct schema_text *path, bool print, int *failed) {
    struct client client = {0};
    struct client_response response = {0};
    const struct client_request request = {.method = "GET", .path = path->bytes, .large = true};
    json_t *json = NULL;
    *failed = path->failed || models_connect(command, v[URL], v[KEY_FILE], v[CA_FILE], &client) != 0 ||
              models_send(command, &client, &request, &response) != 0;
    if (!*failed && print) fwrite(response.body, 1, response.body_size, stdout);
    else if (!*failed && !(json = schema_json_load(response.body, response.body_size, 0, NULL)))
        *failed = fprintf(stderr, "backpropd %s: the response is not JSON; is %s a backpropd server?\n", command, v[URL]) != 0;
    client_clear(&response);
    free(client.key);
    return json;
}

/* "val_loss<0.3 and epochs<50" */
static void add_conditions(struct schema_text *path, const char *text) {
    char condition[1000];
    while (text && *text) {
        const char *end = strstr(text, " and ");
        snprintf(condition, sizeof condition, "%.*s", end ? (int)(end - text) : (int)strlen(text), text);
        url_query(path, "where", condition);
        text = end ? end + 5 : NULL;
    }
}

/* The fields to show: those that are usual, and the metrics, options and metadata that the list is sorted by. */
static void default_fields(const char *sort, char *fields, size_t size) {
    size_t at = (size_t)snprintf(fields, size, "%s", shown_fields), n = 0;
    char name[300];
    for (; sort && *sort; sort += n + (sort[n] == ',')) {
        n = strcspn(sort, ",");
        snprintf(name, sizeof name, "%.*s", (int)n - (*sort == '-'), sort + (*sort == '-'));
        const bool path = strchr(name, '.') && strncmp(name, "final.", 6) != 0;
        if (strcmp(name, "val_loss") == 0 || strcmp(name, "loss") == 0 || (!path && schema_metric_direction(name) == 0)) continue;
        at += (size_t)snprintf(fields + at, size - at, ",%s%s", path ? "" : "metrics.", name);
        if (at >= size) break;
    }
}

static const json_t *at_path(const json_t *json, const char *path) {
    char key[300];
    while (json && *path) {
        const json_t *whole = json_object_get(json, path);
        if (whole) return whole;
        const size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        json = json_object_get(json, key);
        path += n + (path[n] == '.');
    }
    return json;
}

static void print_jobs(const json_t *list, const char *fields) {
    json_t *rows = json_array(), *header = json_array(), *job;
    char field[300];
    size_t i;
    json_array_append_new(rows, header);
    for (const char *f = fields; *f;) {
        const size_t n = strcspn(f, ",");
        snprintf(field, sizeof field, "%.*s", (int)n, f);
        const char *last = strrchr(field, '.');
        json_array_append_new(header, json_string(last ? last + 1 : field));
        f += n + (f[n] == ',');
    }
    json_array_foreach(json_object_get(list, "data"), i, job) {
        json_t *row = json_array();
        for (const char *f = fields; *f;) {
            const size_t n = strcspn(f, ",");
            snprintf(field, sizeof field, "%.*s", (int)n, f);
            json_array_append_new(row, table_cell(at_path(job, field)));
            f += n + (f[n] == ',');
        }
        json_array_append_new(rows, row);
    }
    table_print(rows);
    if (json_is_true(json_object_get(list, "has_more"))) printf("... and more: --limit\n");
    json_decref(rows);
}

int command_jobs(int argc, char **argv) {
    const char *v[FLAGS_COUNT] = {0};
    struct schema_text path = {.limit = 16 << 10};
    char fields[2000];
    int failed = 0;
    if (local_flags("jobs", argc, argv, names, switches, v) != 0) return 2;
    if (!v[URL]) {
        fprintf(stderr, "backpropd jobs: --url URL of a server is required; see `backpropd help jobs`\n");
        return 2;
    }
    if (v[FIELDS]) snprintf(fields, sizeof fields, "%s", v[FIELDS]);
    else default_fields(v[SORT], fields, sizeof fields);
    schema_text_string(&path, "/v1/jobs");
    static const char *const parameters[] = {
        [SORT] = "sort", [STATUS] = "status", [MODEL] = "model", [DATASET] = "dataset", [SINCE] = "created_since", [UNTIL] = "created_until"};
    for (int i = SORT; i <= UNTIL; i++)
        if (i != WHERE) url_query(&path, parameters[i], v[i]);
    add_conditions(&path, v[WHERE]);
    url_query(&path, "limit", v[LIMIT] ? v[LIMIT] : "50");
    if (v[FIELDS] || !v[JSON]) url_query(&path, "fields", fields);
    json_t *list = ask("jobs", v, &path, v[JSON] != NULL, &failed);
    if (list) print_jobs(list, fields);
    json_decref(list);
    free(path.bytes);
    return failed ? 1 : 0;
}

/* ---- compare ---- */

static void add_row(json_t *rows, const char *name, const json_t *values, const json_t *best, const json_t *jobs) {
    json_t *row = json_pack("[s]", name);
    for (size_t i = 0; i < json_array_size(values); i++) {
        json_t *cell = table_cell(json_array_get(values, i)), *id;
        size_t k;
        bool is_best = false;
        json_array_foreach(best, k, id) is_best = is_best || json_equal(id, json_object_get(json_array_get(jobs, i), "id"));
        if (is_best) {
            json_t *marked = json_sprintf("%s *", json_string_value(cell));
            json_decref(cell);
            cell = marked;
        }
        json_array_append_new(row, cell);
    }
    json_array_append_new(rows, row);
}

static void print_part(const json_t *comparison, const char *title, const char *part, const char *values, const char *best) {
    json_t *rows = json_array(), *header = json_pack("[s]", title), *one;
    const json_t *jobs = json_object_get(comparison, "jobs"), *list = json_object_get(comparison, part);
    size_t i;
    json_array_foreach(jobs, i, one) json_array_append(header, json_object_get(one, "id"));
    json_array_append_new(rows, header);
    json_array_foreach(list, i, one)
        add_row(rows, json_string_value(json_object_get(one, "name")), json_object_get(one, values), best ? json_object_get(one, best) : NULL, jobs);
    if (json_array_size(list) > 0) table_print(rows);
    else printf("%s: no difference\n", title);
    printf("\n");
    json_decref(rows);
}

static void print_comparison(const json_t *comparison) {
    static const char *const members[] = {"status", "model", "model_version", "dataset", "parameters", "epochs", "training_seconds", "stop_reason"};
    json_t *rows = json_array(), *header = json_pack("[s]", "job"), *one;
    const json_t *jobs = json_object_get(comparison, "jobs");
    size_t i;
    json_array_foreach(jobs, i, one) json_array_append(header, json_object_get(one, "id"));
    json_array_append_new(rows, header);
    for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
        json_t *values = json_array();
        json_array_foreach(jobs, i, one) json_array_append(values, json_object_get(one, members[k]));
        add_row(rows, members[k], values, NULL, NULL);
        json_decref(values);
    }
    table_print(rows);
    printf("\n");
    json_decref(rows);
    print_part(comparison, "option", "options", "values", NULL);
    print_part(comparison, "definition", "definition", "values", NULL);
    print_part(comparison, "metric (* best)", "metrics", "best", "best_jobs");
    json_array_foreach(json_object_get(json_object_get(comparison, "series"), "jobs"), i, one) {
        json_t *point;
        size_t k;
        printf("%s of %s\n", json_string_value(json_object_get(json_object_get(comparison, "series"), "name")),
               json_string_value(json_object_get(one, "job")));
        json_array_foreach(json_object_get(one, "points"), k, point)
            printf("  epoch %lld  %.6g\n", (long long)json_integer_value(json_object_get(point, "epoch")),
                   json_number_value(json_object_get(point, "value")));
    }
    json_array_foreach(json_object_get(comparison, "warnings"), i, one) printf("note: %s\n", json_string_value(one));
}

int command_compare(int argc, char **argv) {
    const char *v[SAME + 1] = {0};
    struct schema_text path = {.limit = 16 << 10};
    int failed = 0;
    if (local_flags("compare", argc, argv, compare_names, compare_switches, v) != 0) return 2;
    if (!v[URL] || !v[JOBS]) {
        fprintf(stderr, "backpropd compare: --url URL of a server and --jobs JOB,JOB are required; see `backpropd help compare`\n");
        return 2;
    }
    schema_text_string(&path, "/v1/compare");
    url_query(&path, "jobs", v[JOBS]);
    url_query(&path, "series", v[SERIES]);
    url_query(&path, "same", v[SAME] ? "true" : NULL);
    url_query(&path, "max_points", v[SERIES] && !v[COMPARE_JSON] ? "20" : NULL);
    json_t *comparison = ask("compare", v, &path, v[COMPARE_JSON] != NULL, &failed);
    if (comparison) print_comparison(comparison);
    json_decref(comparison);
    free(path.bytes);
    return failed ? 1 : 0;
}
