/* check.c - `backpropd check`: is everything in a data folder as it was written? */
#include "server/commands/commands.h"

#include "schema/checksum.h"
#include "schema/dataset/dataset.h"
#include "schema/predict/model_file.h"
#include "schema/predict/safetensors.h"
#include "server/commands/folders.h"
#include "server/worker/ensemble.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What has been checked so far. */
struct checking {
    struct folder *folder;
    bool quiet;
    int64_t faults, datasets, rows, checkpoints, models, results;
};

__attribute__((format(printf, 3, 4))) static void report(struct checking *c, const char *advice, const char *format, ...) {
    va_list arguments;
    char text[700];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    c->faults++;
    printf("%s\n    %s\n", text, advice);
}

static void database_fault(void *context, const char *text) {
    report(context, "stop the server and restore the data folder: backpropd restore BACKUP --data-dir NEW", "the database is damaged: %s", text);
}

static void check_dataset(struct checking *c, const struct folder_item *item, int fd) {
    struct schema_dataset *dataset = NULL;
    struct bp_error error = {0};
    c->datasets++;
    if (fd < 0) bp_error_io(&error, "its file datasets/%s cannot be opened: %s", item->file, strerror(errno));
    else if (schema_dataset_open(fd, item->bytes, &dataset, &error) == 0 && schema_dataset_verify(dataset, &error) == 0) c->rows += dataset->rows;
    schema_dataset_free(dataset);
    if (error.message[0] && folder_has_still(c->folder, item))
        report(c, "restore it from a backup, or upload the dataset again with replace=1", "dataset %s@%lld: %s", item->name, (long long)item->version,
               error.message);
}

static void *read_all(int fd, size_t *size) {
    struct stat info;
    char *bytes = fstat(fd, &info) == 0 ? malloc((size_t)info.st_size + 1) : NULL;
    *size = 0;
    while (bytes && *size < (size_t)info.st_size) {
        const ssize_t n = read(fd, bytes + *size, (size_t)info.st_size - *size);
        if (n <= 0) break;
        *size += (size_t)n;
    }
    return bytes;
}

/* Of one network, or of the members of an ensemble that are finished (server/worker/ensemble.c). */
static void read_checkpoint(const void *bytes, size_t size, struct bp_error *error) {
    struct schema_tensor *tensors = NULL;
    struct bp_trainer_state state;
    int32_t count = 0;
    json_t *metadata = NULL, *notes = NULL;
    if (schema_safetensors_read(bytes, size, &tensors, &count, &metadata, error) != 0) return;
    const char *format = json_string_value(json_object_get(metadata, "format"));
    if (!format || strcmp(format, ensemble_format) != 0) schema_checkpoint_read(bytes, size, &state, &notes, error);
    json_decref(notes);
    json_decref(metadata);
    free(tensors);
}

static void check_checkpoint(struct checking *c, const struct folder_item *item, int fd) {
    struct bp_error error = {0};
    size_t size = 0;
    c->checkpoints++;
    void *bytes = fd >= 0 ? read_all(fd, &size) : NULL;
    if (fd < 0) bp_error_io(&error, "its file checkpoints/%s cannot be opened: %s", item->file, strerror(errno));
    else if (!bytes) bp_error_memory(&error, "no memory to read it");
    else read_checkpoint(bytes, size, &error);
    free(bytes);
    if (error.message[0] && folder_has_still(c->folder, item))
        report(c, "if the job is unfinished, it starts over by itself; nothing else uses a checkpoint", "checkpoint of %s, epoch %lld: %s",
               item->name, (long long)item->version, error.message);
}

/* What lies behind its bytes was written by a process that was killed. */
static void check_result(struct checking *c, const struct folder_item *item, int fd) {
    unsigned char piece[65536];
    uint32_t crc = 0;
    int64_t at = 0;
    c->results++;
    for (ssize_t n = 1; fd >= 0 && at < item->bytes && n > 0; at += n > 0 ? n : 0) {
        const int64_t left = item->bytes - at;
        n = pread(fd, piece, left < (int64_t)sizeof piece ? (size_t)left : sizeof piece, at);
        if (n > 0) crc = schema_crc32(crc, piece, (size_t)n);
    }
    const char *fault = fd < 0 ? "cannot be opened" : at < item->bytes ? "is shorter than it was" : (int64_t)crc != item->crc ? "has changed" : NULL;
    if (!fault || !folder_has_still(c->folder, item)) return;
    report(c, "submit the batch again; one that is unfinished starts over by itself if the file is missing or too short",
           "result of %s: its file results/%s %s", item->name, item->file, fault);
}

static void check_model(struct checking *c, const struct folder_item *item) {
    struct bp_error error = {0};
    struct schema_model *model = schema_model_read(item->blob ? item->blob : "", (size_t)item->bytes, &error);
    c->models++;
    schema_model_free(model);
    if (!model)
        report(c, "restore it from a backup, or train the model again", "model %s@%lld: %s", item->name, (long long)item->version, error.message);
}

static int check_item(void *context, const struct folder_item *item) {
    struct checking *c = context;
    if (item->kind == FOLDER_MODEL) {
        check_model(c, item);
        return 0;
    }
    const int fd = folder_item_open(c->folder, item);
    if (item->kind == FOLDER_DATASET) check_dataset(c, item, fd);
    else if (item->kind == FOLDER_RESULT) check_result(c, item, fd);
    else check_checkpoint(c, item, fd);
    if (fd >= 0) close(fd);
    return 0;
}

static void note_unnamed(void *context, const char *file) {
    const struct checking *c = context;
    if (!c->quiet) printf("note: %s is not named by the database; the next start of the server moves it to lost/ if the name is one of ours\n", file);
}

int folder_report(const char *path, bool quiet) {
    struct checking c = {.quiet = quiet};
    struct bp_error error = {0};
    if (folder_open(path, &c.folder, &error) != 0 || folder_check_database(c.folder, database_fault, &c, &error) != 0 ||
        folder_each(c.folder, check_item, &c, &error) != 0) {
        printf("%s\n    restore the data folder from a backup: backpropd restore BACKUP --data-dir NEW\n", error.message);
        c.faults++;
    } else {
        folder_unnamed(c.folder, note_unnamed, &c);
    }
    folder_close(c.folder);
    if (quiet && !c.faults) return 0;
    printf("%s: %lld datasets with %lld rows, %lld checkpoints, %lld results, %lld model versions: ", path, (long long)c.datasets, (long long)c.rows,
           (long long)c.checkpoints, (long long)c.results, (long long)c.models);
    if (c.faults) printf("%lld fault%s\n", (long long)c.faults, c.faults == 1 ? "" : "s");
    else printf("everything is as it was written\n");
    return c.faults ? 1 : 0;
}

int command_check(int argc, char **argv) {
    const char *folder, *place;
    if (folder_arguments("check", argc, argv, NULL, &place, &folder) != 0) return 2;
    return folder_report(folder, false);
}
