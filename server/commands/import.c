/* import.c - `backpropd import`: a model file, safetensors or JSON into a server, a data folder without a server, or a model file. */
#include "server/commands/commands.h"

#include "schema/export/export.h"
#include "schema/memory.h"
#include "schema/text/text.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_NAME, NAME, OUT, LIKE, PUBLISH, URL, DATA_DIR, KEY_FILE, CA_FILE, FLAGS_COUNT };
static const char *const names[] = {"file", "name", "out", "like", "publish", "url", "data-dir", "api-key-file", "ca-file", NULL};
static const char *const switches[] = {NULL};

static int into_server(const char **values, const char *bytes, size_t size) {
    char path[400];
    struct client client = {0};
    struct client_response response = {0};
    snprintf(path, sizeof path, "/v1/models/import?name=%.100s%s%.100s%s%.20s", values[NAME], values[LIKE] ? "&like=" : "",
             values[LIKE] ? values[LIKE] : "", values[PUBLISH] ? "&publish=" : "", values[PUBLISH] ? values[PUBLISH] : "");
    const struct client_request request = {
        .method = "POST", .path = path, .body = bytes, .body_size = size, .content_type = "application/octet-stream", .large = true};
    int failed = models_connect("import", values[URL], values[KEY_FILE], values[CA_FILE], &client);
    if (!failed) failed = models_send("import", &client, &request, &response);
    json_t *version = failed ? NULL : schema_json_load(response.body, response.body_size, 0, NULL);
    if (version)
        printf("imported %s as version %lld of %s\n", values[FILE_NAME], (long long)json_integer_value(json_object_get(version, "version")),
               values[NAME]);
    json_decref(version);
    client_clear(&response);
    free(client.key);
    return failed;
}

/* The document of the model file that --like names; NULL without one. -1: it cannot be read. */
static int like_of(const char *path, json_t **document) {
    struct bp_error error = {0};
    size_t size = 0;
    *document = NULL;
    if (!path) return 0;
    char *bytes = models_read("import", path, &size);
    struct schema_model *model = bytes ? schema_model_read(bytes, size, &error) : NULL;
    if (bytes && !model) fprintf(stderr, "backpropd import: %s: %s\n", path, error.message);
    if (model) *document = json_incref(model->document);
    schema_model_free(model);
    free(bytes);
    return *document ? 0 : -1;
}

static int into_folder(const char **values, const json_t *document, const char *bytes, size_t size) {
    struct bp_error error = {0};
    struct store *store = NULL;
    const struct store_options options = {.queue_max = 1, .retry_ms = 1};
    int64_t version = 0;
    const json_t *families = json_object_get(json_object_get(document, "cross_validation"), "families");
    char *text = schema_json_dump(document, JSON_COMPACT);
    char *definition = families ? strdup("{\"auto\":true}") : schema_json_dump(json_object_get(document, "definition"), JSON_COMPACT);
    char *calibration = schema_model_calibration(bytes, size);
    const struct store_import what = {.model = values[NAME],
                                      .definition = definition,
                                      .document = text,
                                      .blob = bytes,
                                      .blob_size = size,
                                      .held_back = values[PUBLISH] && strcmp(values[PUBLISH], "false") == 0,
                                      .calibration = calibration};
    enum store_result result = text && definition ? store_open(values[DATA_DIR], &options, &store, &error) : STORE_FAILED;
    if (result == STORE_OK) result = store_version_import(store, &what, &version, &error);
    if (result == STORE_OK) printf("imported %s as version %lld of %s\n", values[FILE_NAME], (long long)version, values[NAME]);
    else fprintf(stderr, "backpropd import: %s\n", error.message[0] ? error.message : "out of memory");
    store_close(store);
    free(calibration);
    free(definition);
    free(text);
    return result == STORE_OK ? 0 : -1;
}

/* The model file, in memory; the caller's. */
static char *model_file(const char **values, const char *bytes, size_t size, json_t **document, size_t *made_size) {
    struct bp_error error = {0};
    struct schema_importing what = {.bytes = bytes, .size = size};
    enum schema_export form = SCHEMA_EXPORT_BPD;
    json_t *like = NULL;
    FILE *file = tmpfile();
    struct stat info = {0};
    char *made = NULL;
    if (!file) fprintf(stderr, "backpropd import: cannot make a temporary file: %s\n", strerror(errno));
    if (file && like_of(values[LIKE], &like) == 0) {
        what.like = like;
        *document = schema_import_write(fileno(file), &what, &form, &error);
        if (!*document) fprintf(stderr, "backpropd import: %s: %s\n", values[FILE_NAME], error.message[0] ? error.message : "out of memory");
    }
    if (*document) json_object_set_new(*document, "imported", json_pack("{s:s}", "format", schema_export_names[form]));
    if (*document && fstat(fileno(file), &info) == 0) made = malloc((size_t)info.st_size + 1);
    if (made) {
        rewind(file);
        *made_size = fread(made, 1, (size_t)info.st_size, file);
    }
    if (file) fclose(file);
    json_decref(like);
    return made;
}

int command_import(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    size_t size = 0, made_size = 0;
    json_t *document = NULL;
    if (local_flags("import", argc, argv, names, switches, values) != 0) return 2;
    const int places = (values[URL] != NULL) + (values[DATA_DIR] != NULL) + (values[OUT] != NULL);
    if (!values[FILE_NAME] || places != 1 || (!values[OUT] && !values[NAME])) {
        fprintf(stderr,
                "backpropd import: --file FILE and one of --url URL --name MODEL, --data-dir DIR --name MODEL, --out FILE.bpd are required; see "
                "`backpropd help import`\n");
        return 2;
    }
    if (values[NAME] && !schema_name_valid(values[NAME])) {
        fprintf(stderr, "backpropd import: \"%.80s\" is not a valid name for a model: lower-case letters, digits, \".\", \"_\", \"-\"\n",
                values[NAME]);
        return 2;
    }
    if (values[PUBLISH] && strcmp(values[PUBLISH], "true") != 0 && strcmp(values[PUBLISH], "false") != 0) {
        fprintf(stderr, "backpropd import: --publish must be true or false, got \"%.40s\"\n", values[PUBLISH]);
        return 2;
    }
    if (values[URL] && values[LIKE] && values[LIKE][strspn(values[LIKE], "abcdefghijklmnopqrstuvwxyz0123456789._-@")]) {
        fprintf(stderr, "backpropd import: --like expects a version like penguins@2, got \"%.80s\"\n", values[LIKE]);
        return 2;
    }
    char *bytes = models_read("import", values[FILE_NAME], &size);
    char *made = bytes && !values[URL] ? model_file(values, bytes, size, &document, &made_size) : NULL;
    int failed = -1;
    if (bytes && values[URL]) failed = into_server(values, bytes, size);
    else if (made && values[OUT]) failed = models_write("import", values[OUT], made, made_size);
    else if (made) failed = into_folder(values, document, made, made_size);
    json_decref(document);
    free(made);
    free(bytes);
    return failed ? 1 : 0;
}
