/* life.c - see life.h. */
#include "tests/faults/life.h"

#include "server/routes/upload.h"
#include "server/server.h"
#include "server/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 40, MORE = 25, BLOB = 9000, CHECKPOINT = 7000 };

static const char dataset_name[] = "d", model_name[] = "m";

enum {
    UPLOAD,
    MODEL,
    JOB,
    CLAIM,
    REPORT,
    CHECKPOINT_1,
    REPORT_2,
    CHECKPOINT_2,
    APPEND,
    END,
    DELETE_VERSION,
    DELETE_JOB,
    SET_ALIAS,
    DELETE_ALIAS,
    DELETE_MODEL
};

const char *life_step_name(int step) {
    static const char *const names[LIFE_STEPS] = {"upload a dataset",
                                                  "store a model",
                                                  "submit a job",
                                                  "claim it",
                                                  "report an epoch",
                                                  "write a checkpoint",
                                                  "report another epoch",
                                                  "write another checkpoint",
                                                  "append rows",
                                                  "end the job",
                                                  "delete a version of the dataset",
                                                  "delete the job",
                                                  "set an alias",
                                                  "delete the alias",
                                                  "delete the model"};
    return names[step];
}

struct world life_after(int step, struct world w) {
    switch (step) {
    case UPLOAD: w.rows[1] = ROWS; break;
    case MODEL: w.model = 1; break;
    case JOB: w.job = STORE_QUEUED + 1; break;
    case CLAIM: w.job = STORE_RUNNING + 1; break;
    case REPORT: w.events = 1; break;
    case CHECKPOINT_1: w.checkpoints = 1; break;
    case REPORT_2: w.events = 2; break;
    case CHECKPOINT_2: w.checkpoints = 2; break;
    case APPEND: w.rows[2] = ROWS + MORE; break;
    case END: w.job = STORE_SUCCEEDED + 1, w.version = w.aliases = 1; break;
    case DELETE_VERSION: w.rows[1] = 0; break;
    case DELETE_JOB: w.job = w.events = w.checkpoints = 0; break;
    case SET_ALIAS: w.aliases = 11; break;
    case DELETE_ALIAS: w.aliases = 1; break;
    default: w.model = w.version = w.aliases = 0;
    }
    return w;
}

/* Bytes that differ at every place. */
static void fill(unsigned char *bytes, size_t size, unsigned salt) {
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + salt);
}

static size_t csv(char *text, size_t size, int from, int to) {
    size_t at = (size_t)snprintf(text, size, "a,b,c\n");
    for (int i = from; i < to; i++) at += (size_t)snprintf(text + at, size - at, "%d,%d.5,t%d\n", i, 3 * i, i % 4);
    return at;
}

static void complain(struct schema_problems *problems, struct bp_error *error) {
    if (!*error->message) bp_error_set(error, "", "%s", problems->total ? problems->items[0].detail : "");
    schema_problems_clear(problems);
}

/* As the routes of the server do it. */
static enum store_result upload(struct life *l, bool more, struct bp_error *error) {
    static struct server server;
    char text[4096];
    struct upload_request request = {.content_type = "text/csv", .how = SCHEMA_JOIN_ROWS};
    struct schema_problems problems = {0};
    struct store_dataset row = {0};
    struct schema_dataset *dataset = NULL;
    enum store_result result = STORE_FAILED;
    server.store = l->store;
    server.settings.upload_max = 1 << 20;
    if (more) {
        result = dataset_open(l->store, dataset_name, 0, &request.base_row, &request.base, error);
        if (result != STORE_OK) return result;
        free(request.base_row.description);
        request.base_row.description = NULL;
    }
    struct upload *u = upload_open(&server, &request, &problems);
    if (u) upload_bytes(u, text, csv(text, sizeof text, more ? ROWS : 0, more ? ROWS + MORE : ROWS));
    if (u && upload_finish(u, &row, &dataset, &problems) == 0) {
        snprintf(row.name, sizeof row.name, "%s", dataset_name);
        result = store_dataset_create(l->store, &row, more, NULL, error);
        if (result == STORE_OK) upload_keep(u);
    } else result = STORE_FAILED;
    if (result != STORE_OK) complain(&problems, error);
    schema_dataset_free(dataset);
    free(row.description);
    upload_free(u);
    return result;
}

/* As a job process and the supervisor do it. */
static enum store_result checkpoint(const struct life *l, int epoch, struct bp_error *error) {
    static unsigned char bytes[CHECKPOINT];
    char file[STORE_FILE_SIZE], what[16];
    struct store_checkpoint c = {.attempt = l->attempt, .epoch = epoch, .bytes = CHECKPOINT};
    snprintf(what, sizeof what, "%d", epoch);
    checkpoint_file_name(l->job, l->attempt, what, file);
    checkpoint_file_remove(l->store, file);
    const int fd = checkpoint_file_create(l->store, file);
    fill(bytes, sizeof bytes, (unsigned)epoch);
    const bool written = fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && fsync(fd) == 0;
    const int cause = errno;
    if (fd >= 0) close(fd);
    store_new_id("ckp", c.id);
    snprintf(c.job, sizeof c.job, "%s", l->job);
    snprintf(c.file, sizeof c.file, "%s.safetensors", c.id);
    if (!written || checkpoint_file_rename(l->store, file, c.file) != 0) {
        bp_error_io(error, "%s", strerror(written ? errno : cause));
        return STORE_FAILED;
    }
    const enum store_result result = store_checkpoint_add(l->store, &c, error);
    if (result == STORE_FAILED) (void)checkpoint_file_rename(l->store, c.file, file);
    return result;
}

static enum store_result report(const struct life *l, int epoch, struct bp_error *error) {
    char data[64];
    snprintf(data, sizeof data, "{\"epoch\":%d,\"loss\":0.5}", epoch);
    struct store_event event = {.type = "metrics", .level = "info", .epoch = epoch, .data = data};
    const struct store_report told = {.progress = data, .metrics = data, .resumed_from_epoch = -1, .events = &event, .events_count = 1};
    return store_job_report(l->store, l->job, l->attempt, &told, error);
}

static enum store_result end(const struct life *l, struct bp_error *error) {
    static unsigned char blob[BLOB];
    int64_t version;
    fill(blob, sizeof blob, 77);
    const struct store_ending ending = {.status = STORE_SUCCEEDED, .version_document = "{}", .blob = blob, .blob_size = sizeof blob};
    return store_job_end(l->store, l->job, l->attempt, &ending, &version, error);
}

enum store_result life_step(struct life *l, int step, struct bp_error *error) {
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5};
    const struct store_job_new request = {.job = &job};
    const struct store_alias_change alias = {.model = model_name, .name = "production", .version = 1};
    struct store_alias set;
    enum store_result result;
    bool created;
    switch (step) {
    case UPLOAD: return upload(l, false, error);
    case MODEL: return store_model_put(l->store, model_name, "{\"layers\":[]}", &created, NULL, error);
    case JOB: snprintf(job.id, sizeof job.id, "%s", l->job); return store_job_create(l->store, &request, error);
    case CLAIM:
        result = store_job_claim(l->store, "tester", 60000, NULL, &job, error);
        if (result == STORE_OK) l->attempt = job.attempt;
        store_job_free(&job);
        return result;
    case REPORT: return report(l, 1, error);
    case CHECKPOINT_1: return checkpoint(l, 1, error);
    case REPORT_2: return report(l, 2, error);
    case CHECKPOINT_2: return checkpoint(l, 2, error);
    case APPEND: return upload(l, true, error);
    case END: return end(l, error);
    case DELETE_VERSION: return store_dataset_delete(l->store, dataset_name, 1, error);
    case DELETE_JOB: return store_job_delete(l->store, l->job, error);
    case SET_ALIAS: return store_alias_set(l->store, &alias, &set, &created, error);
    case DELETE_ALIAS: return store_alias_delete(l->store, &alias, error);
    default: return store_model_delete(l->store, model_name, error);
    }
}

/* ---- what a store holds ---- */

static int say(char text[static 600], const char *what, const struct bp_error *error) {
    snprintf(text, 600, "%s: %.400s", what, error->message);
    return -1;
}

static int look_at_dataset(struct store *store, int version, int *rows, char text[static 600]) {
    struct store_dataset row = {0};
    struct schema_dataset *dataset = NULL;
    struct bp_error error = {0};
    const enum store_result result = dataset_open(store, dataset_name, version, &row, &dataset, &error);
    if (result == STORE_NOT_FOUND) return 0;
    if (result != STORE_OK) return say(text, "the dataset cannot be opened", &error);
    bool same = dataset->columns_count == 3;
    for (int64_t i = 0; same && i < dataset->rows; i++)
        same = schema_dataset_number(dataset, 0, i) == (double)i && schema_dataset_number(dataset, 1, i) == (double)(3 * i) + 0.5;
    const bool intact = schema_dataset_intact(dataset, &error) == 0;
    *rows = (int)dataset->rows;
    schema_dataset_free(dataset);
    store_dataset_free(&row);
    if (!intact) return say(text, "the dataset is damaged", &error);
    return same ? 0 : say(text, "the dataset has other values", &error);
}

static int look_at_version(struct store *store, int *version, char text[static 600]) {
    unsigned char expected[BLOB];
    struct bp_error error = {0};
    void *bytes = NULL;
    size_t size = 0;
    const enum store_result result = store_version_blob(store, model_name, 1, &bytes, &size, &error);
    if (result == STORE_NOT_FOUND) return 0;
    fill(expected, sizeof expected, 77);
    const bool same = result == STORE_OK && size == sizeof expected && memcmp(bytes, expected, size) == 0;
    free(bytes);
    *version = 1;
    return same ? 0 : say(text, "the version has other bytes", &error);
}

static int look_at_aliases(struct store *store, int version, int *aliases, char text[static 600]) {
    static const char *const names[] = {"default", "production"};
    struct bp_error error = {0};
    for (int i = 0; i < 2; i++) {
        struct store_alias alias;
        const enum store_result result = store_alias_get(store, model_name, names[i], &alias, &error);
        if (result != STORE_OK && result != STORE_NOT_FOUND) return say(text, "the alias cannot be read", &error);
        if (result == STORE_OK && alias.version != 1) return say(text, "an alias names a version that there never was", &error);
        if (result == STORE_OK) *aliases += i ? 10 : 1;
    }
    const bool published = *aliases % 10 == 1;
    return published == (version == 1) ? 0 : say(text, published ? "an alias names no version" : "the version is there, but not published", &error);
}

static int look_at_checkpoint(struct store *store, const char *job, int *epoch, char text[static 600]) {
    unsigned char expected[CHECKPOINT];
    struct bp_error error = {0};
    struct store_checkpoint last = {0};
    size_t size = 0;
    const enum store_result result = store_checkpoint_last(store, job, &last, &error);
    if (result == STORE_NOT_FOUND) return 0;
    if (result != STORE_OK) return say(text, "the checkpoint cannot be looked up", &error);
    void *bytes = checkpoint_file_read(store, last.file, &size);
    fill(expected, sizeof expected, (unsigned)last.epoch);
    const bool same = bytes && size == sizeof expected && memcmp(bytes, expected, size) == 0;
    free(bytes);
    *epoch = (int)last.epoch;
    return same ? 0 : say(text, "the file of the checkpoint is missing or has other bytes", &error);
}

int life_look(struct store *store, const char *job, struct world *world, char text[static 600]) {
    struct bp_error error = {0};
    struct store_model model = {0};
    struct store_job found = {0};
    struct store_events events = {0};
    *world = (struct world){0};
    for (int version = 1; version <= 2; version++)
        if (look_at_dataset(store, version, &world->rows[version], text) != 0) return -1;
    enum store_result result = store_model_get(store, model_name, &model, &error);
    if (result != STORE_OK && result != STORE_NOT_FOUND) return say(text, "the model cannot be read", &error);
    world->model = result == STORE_OK;
    store_model_free(&model);
    if (look_at_version(store, &world->version, text) != 0 || look_at_aliases(store, world->version, &world->aliases, text) != 0 ||
        look_at_checkpoint(store, job, &world->checkpoints, text) != 0)
        return -1;
    result = store_job_get(store, job, &found, &error);
    if (result != STORE_OK && result != STORE_NOT_FOUND) return say(text, "the job cannot be read", &error);
    world->job = result == STORE_OK ? (int)found.status + 1 : 0;
    store_job_free(&found);
    result = store_event_list(store, job, "metrics", 0, 10, &events, &error);
    if (result != STORE_OK) return say(text, "the events cannot be read", &error);
    world->events = events.count;
    store_events_free(&events);
    return 0;
}

bool life_is_between(const struct world *found, const struct world *one, const struct world *other, char text[static 600]) {
    static const struct {
        const char *name;
        size_t at;
    } members[] = {{"version 1 of the dataset", offsetof(struct world, rows[1])},
                   {"version 2 of the dataset", offsetof(struct world, rows[2])},
                   {"the model", offsetof(struct world, model)},
                   {"its version", offsetof(struct world, version)},
                   {"its aliases", offsetof(struct world, aliases)},
                   {"the job", offsetof(struct world, job)},
                   {"its events", offsetof(struct world, events)},
                   {"its checkpoints", offsetof(struct world, checkpoints)}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const int a = *(const int *)(const void *)((const char *)found + members[i].at);
        const int b = *(const int *)(const void *)((const char *)one + members[i].at);
        const int c = *(const int *)(const void *)((const char *)other + members[i].at);
        if (a == b || a == c) continue;
        snprintf(text, 600, "%s: found %d, expected %d or %d", members[i].name, a, b, c);
        return false;
    }
    return true;
}
