/* models_io.c - see models_io.h. */
#include "server/commands/models_io.h"

#include "schema/memory.h"
#include "schema/predict/model_file.h"
#include "schema/text/text.h"
#include "server/auth/auth.h"
#include "server/store/folder.h"
#include "server/version_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

char *models_read(const char *command, const char *path, size_t *size) {
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    struct schema_text text = {.limit = (size_t)8 << 30};
    char piece[65536];
    size_t n;
    if (!in) return fprintf(stderr, "backpropd %s: cannot read %s: %s\n", command, path, strerror(errno)), NULL;
    schema_text_string(&text, "");
    while ((n = fread(piece, 1, sizeof piece, in)) > 0) schema_text_add(&text, piece, n);
    const bool failed = ferror(in) != 0;
    if (in != stdin) fclose(in);
    if (failed || text.failed) {
        fprintf(stderr, "backpropd %s: %s: %s\n", command, path, failed ? "cannot be read" : "no memory for it");
        free(text.bytes);
        return NULL;
    }
    *size = text.size;
    return text.bytes;
}

int models_write(const char *command, const char *path, const char *bytes, size_t size) {
    char temporary[4200];
    const bool standard = strcmp(path, "-") == 0;
    snprintf(temporary, sizeof temporary, "%.4100s.%ld.tmp", path, (long)getpid());
    FILE *out = standard ? stdout : fopen(temporary, "we");
    bool failed = !out || fwrite(bytes, 1, size, out) != size || fflush(out) != 0;
    int cause = errno;
    if (out && !standard && fclose(out) != 0 && !failed) failed = true, cause = errno;
    if (!failed && !standard && rename(temporary, path) != 0) failed = true, cause = errno;
    if (!failed) return 0;
    fprintf(stderr, "backpropd %s: cannot write %s: %s\n", command, path, strerror(cause));
    if (out && !standard) unlink(temporary);
    return -1;
}

/* ---- a data folder ------------------------------------------------------------------------------------------------------------ */

int models_name(const char *command, const char *text, char name[STORE_NAME_SIZE], int64_t *version) {
    const char *at = strchr(text, '@');
    char *end = NULL;
    const int size = snprintf(name, STORE_NAME_SIZE, "%.*s", at ? (int)(at - text) : 1000, text);
    *version = at ? strtoll(at + 1, &end, 10) : 0;
    if (size < STORE_NAME_SIZE && schema_name_valid(name) && (!at || (end > at + 1 && !*end && *version > 0))) return 0;
    fprintf(stderr, "backpropd %s: expected the name of a model like penguins or penguins@2, got \"%.80s\"\n", command, text);
    return -1;
}

struct search {
    const char *name;
    int64_t wanted, found; /* versions; 0: the latest, none */
    char *bytes;
    size_t size;
    bool no_memory;
};

static int look(void *context, const struct folder_item *item) {
    struct search *s = context;
    if (item->kind != FOLDER_MODEL || strcmp(item->name, s->name) != 0 || item->version <= s->found) return 0;
    if (s->wanted && item->version != s->wanted) return 0;
    free(s->bytes);
    s->found = item->version;
    s->size = (size_t)item->bytes;
    s->bytes = malloc(s->size + 1);
    s->no_memory = !s->bytes;
    if (s->bytes) memcpy(s->bytes, item->blob, s->size);
    return s->no_memory;
}

/* The model file with the calibration that the version has now; bytes are taken. NULL with the error. */
static char *calibrated(struct folder *folder, const struct search *s, size_t *size, struct bp_error *error) {
    char *document, *made = NULL;
    *size = s->size;
    if (!folder_calibration(folder, s->name, s->found, &document)) return s->bytes;
    json_t *json = document ? schema_json_load(document, strlen(document), 0, NULL) : NULL;
    made = version_file_rewrite(s->bytes, s->size, json, size, error);
    json_decref(json);
    free(document);
    free(s->bytes);
    return made;
}

char *models_of_folder(const char *command, const char *folder, const char *text, size_t *size) {
    char name[STORE_NAME_SIZE];
    struct search s = {.name = name};
    struct bp_error error = {0};
    struct folder *opened = NULL;
    if (models_name(command, text, name, &s.wanted) != 0) return NULL;
    if (folder_open(folder, &opened, &error) == 0) folder_each(opened, look, &s, &error);
    if (s.bytes && !error.message[0]) s.bytes = calibrated(opened, &s, size, &error);
    folder_close(opened);
    if (s.bytes && !error.message[0]) return s.bytes;
    if (error.message[0] || s.no_memory) fprintf(stderr, "backpropd %s: %s\n", command, error.message[0] ? error.message : "out of memory");
    else fprintf(stderr, "backpropd %s: there is no version of a model \"%s\" in %s\n", command, text, folder);
    free(s.bytes);
    return NULL;
}

/* ---- a server ------------------------------------------------------------------------------------------------------------------ */

int models_connect(const char *command, const char *url, const char *key_file, const char *ca_file, struct client *client) {
    struct bp_error error = {0};
    if (client_parse(client, url, &error) == 0) {
        client->ca_file = ca_file;
        if (!key_file || auth_file_read(key_file, &client->key, &error) == 0) return 0;
    }
    fprintf(stderr, "backpropd %s: %s\n", command, error.message);
    return -1;
}

/* Lines of a problem: its detail, and each error with its place. */
static void print_problem(const char *command, const struct client_response *r) {
    json_t *problem = schema_json_load(r->body, r->body_size, 0, NULL), *error;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    size_t i;
    fprintf(stderr, "backpropd %s: the server responds with %d%s%s\n", command, r->status, detail ? ": " : "", detail ? detail : "");
    if (json_array_size(json_object_get(problem, "errors")) > 1)
        json_array_foreach(json_object_get(problem, "errors"), i, error)
            fprintf(stderr, "  %s %s\n", json_string_value(json_object_get(error, "pointer")), json_string_value(json_object_get(error, "detail")));
    json_decref(problem);
}

int models_send(const char *command, const struct client *client, const struct client_request *request, struct client_response *response) {
    struct bp_error error = {0};
    if (client_send(client, request, response, &error) != 0) return fprintf(stderr, "backpropd %s: %s\n", command, error.message), -1;
    if (client->tls && !response->trusted)
        return fprintf(stderr, "backpropd %s: the certificate of %s is not trusted: %s; give --ca-file\n", command, client->authority,
                       response->distrust),
               -1;
    if (response->status < 400 && !response->timed_out) return 0;
    if (response->timed_out) fprintf(stderr, "backpropd %s: the response of %s broke off\n", command, client->authority);
    else print_problem(command, response);
    return -1;
}

json_t *models_ask(const char *command, const struct client *client, const char *method, const char *path, const json_t *body) {
    struct client_response response = {0};
    char *text = body ? schema_json_dump(body, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    const struct client_request request = {.method = method,
                                           .path = path,
                                           .body = text,
                                           .body_size = text ? strlen(text) : 0,
                                           .content_type = text ? "application/json" : NULL,
                                           .large = true};
    json_t *json = models_send(command, client, &request, &response) == 0 ? schema_json_load(response.body, response.body_size, 0, NULL) : NULL;
    client_clear(&response);
    free(text);
    return json;
}
