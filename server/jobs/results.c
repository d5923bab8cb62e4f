/* results.c - see results.h. */
#include "server/jobs/results.h"

#include "schema/memory.h"
#include "server/log.h"
#include "server/store/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[STORE_PARTS] = {[STORE_PREDICTIONS] = "predictions", [STORE_FAILURES] = "failures"};

static void close_files(int files[STORE_PARTS]) {
    for (int i = 0; i < STORE_PARTS; i++) {
        if (files[i] >= 0) close(files[i]);
        files[i] = -1;
    }
}

/* The first attempt. */
static int begin(struct server *server, const struct store_job *job, int files[STORE_PARTS], struct store_results *results, struct bp_error *error) {
    *results = (struct store_results){0};
    bool made = true;
    for (int i = 0; i < STORE_PARTS && made; i++) made = (files[i] = result_file_new(server->store, results->parts[i].file)) >= 0;
    if (!made) bp_error_io(error, "cannot create a file in the data folder: %s", strerror(errno));
    if (made && store_results_begin(server->store, job->id, job->attempt, results, error) == STORE_OK) return 0;
    close_files(files);
    for (int i = 0; i < STORE_PARTS; i++)
        if (results->parts[i].file[0]) result_file_remove(server->store, results->parts[i].file);
    return -1;
}

static bool is_whole(int fd, int64_t bytes) {
    struct stat info;
    return fd >= 0 && fstat(fd, &info) == 0 && info.st_size >= bytes;
}

int results_open(struct server *server, const struct store_job *job, int files[STORE_PARTS], struct store_results *results, struct bp_error *error) {
    const enum store_result found = store_results_get(server->store, job->id, results, error);
    for (int i = 0; i < STORE_PARTS; i++) files[i] = -1;
    if (found == STORE_NOT_FOUND) {
        *error = (struct bp_error){0};
        return begin(server, job, files, results, error);
    }
    if (found != STORE_OK) return -1;
    bool whole = true;
    for (int i = 0; i < STORE_PARTS; i++) {
        files[i] = result_file_open(server->store, results->parts[i].file, true);
        whole = whole && is_whole(files[i], results->parts[i].bytes);
    }
    if (whole) return 0;
    log_line(LOG_WARNING, "results_lost", "job", job->id, "consequence", "it starts over", NULL);
    close_files(files);
    free(results->state);
    results->state = NULL;
    for (int i = 0; i < STORE_PARTS; i++) {
        struct store_part_file *part = &results->parts[i];
        part->rows = part->bytes = part->crc = 0;
        if ((files[i] = result_file_again(server->store, part->file)) >= 0) continue;
        bp_error_io(error, "cannot create a file in the data folder: %s", strerror(errno));
        close_files(files);
        return -1;
    }
    return 0;
}

char *results_order(const struct store_results *results) {
    json_t *json = json_object();
    for (int i = 0; i < STORE_PARTS; i++) {
        const struct store_part_file *part = &results->parts[i];
        json_object_set_new(json, names[i], json_pack("[I, I, I]", (json_int_t)part->rows, (json_int_t)part->bytes, (json_int_t)part->crc));
    }
    json_t *state = results->state && *results->state ? schema_json_load(results->state, strlen(results->state), 0, NULL) : NULL;
    json_object_set_new(json, "state", state ? state : json_null());
    char *text = schema_json_dump(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

bool results_decode(const json_t *message, struct store_results *results) {
    const json_t *given = json_object_get(message, "results"), *state = json_object_get(given, "state");
    *results = (struct store_results){0};
    for (int i = 0; i < STORE_PARTS; i++) {
        const json_t *part = json_object_get(given, names[i]);
        results->parts[i].rows = json_integer_value(json_array_get(part, 0));
        results->parts[i].bytes = json_integer_value(json_array_get(part, 1));
        results->parts[i].crc = json_integer_value(json_array_get(part, 2));
        if (json_array_size(part) != 3 || results->parts[i].rows < 0 || results->parts[i].bytes < 0) return false;
    }
    results->state = json_is_object(state) ? schema_json_dump(state, JSON_COMPACT) : strdup("");
    return results->state != NULL;
}
