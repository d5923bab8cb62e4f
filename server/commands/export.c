/* export.c - `backpropd export`: a model of a file, a data folder or a server in another form. */
#include "server/commands/commands.h"

#include "schema/export/export.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODEL, FORMAT, OUT, NAME, URL, DATA_DIR, KEY_FILE, CA_FILE, FLAGS_COUNT };
static const char *const names[] = {"model", "format", "out", "name", "url", "data-dir", "api-key-file", "ca-file", NULL};
static const char *const switches[] = {NULL};

/* The form asked for, or that the end of the file's name means; -1: it is none. */
static int form_of(const char *format, const char *out) {
    const char *dot = out ? strrchr(out, '.') : NULL;
    for (int i = 0; i < SCHEMA_EXPORTS; i++)
        if (strcmp(schema_export_names[i], format ? format : dot ? dot + 1 : "bpd") == 0) return i;
    fprintf(stderr, "backpropd export: --format expects bpd, safetensors, json or c, got \"%s\"\n", format ? format : out);
    return -1;
}

/* What a model file is called: its name without folder and ending. */
static void name_of(const char *path, char name[static 64]) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    snprintf(name, 64, "%.*s", (int)strcspn(base, ".@"), base);
    if (!*name || strcmp(base, "-") == 0) snprintf(name, 64, "model");
}

static int convert(enum schema_export form, const char *name, const char *bytes, size_t size, const char *out) {
    struct bp_error error = {0};
    const struct schema_exporting what = {form, bytes, size, name};
    FILE *file = tmpfile();
    struct stat info = {0};
    int failed = file ? schema_export_write(fileno(file), &what, &error) : bp_error_io(&error, "cannot make a temporary file: %s", strerror(errno));
    if (failed) fprintf(stderr, "backpropd export: %s\n", error.message);
    char *text = !failed && fstat(fileno(file), &info) == 0 ? malloc((size_t)info.st_size + 1) : NULL;
    if (!failed && text) {
        rewind(file);
        failed = fread(text, 1, (size_t)info.st_size, file) != (size_t)info.st_size || models_write("export", out, text, (size_t)info.st_size) != 0;
    } else if (!failed) {
        failed = (fprintf(stderr, "backpropd export: out of memory\n"), -1);
    }
    free(text);
    if (file) fclose(file);
    return failed ? -1 : 0;
}

static int of_server(const char **values, enum schema_export form, const char *out) {
    const char *at = strchr(values[MODEL], '@');
    char name[STORE_NAME_SIZE], path[300];
    struct client client = {0};
    struct client_response response = {0};
    const int length = snprintf(name, sizeof name, "%.*s", (int)strcspn(values[MODEL], "@"), values[MODEL]);
    if (length >= (int)sizeof name || !schema_name_valid(name) || (at && !schema_name_valid(at + 1)))
        return fprintf(stderr, "backpropd export: expected the name of a model like penguins, penguins@2 or penguins@production, got \"%.80s\"\n",
                       values[MODEL]),
               -1;
    snprintf(path, sizeof path, "/v1/models/%s/versions/%.63s/export?format=%s", name, at ? at + 1 : "latest", schema_export_names[form]);
    const struct client_request request = {.method = "GET", .path = path, .large = true};
    int failed = models_connect("export", values[URL], values[KEY_FILE], values[CA_FILE], &client);
    if (!failed) failed = models_send("export", &client, &request, &response);
    if (!failed) failed = models_write("export", out, response.body, response.body_size);
    client_clear(&response);
    free(client.key);
    return failed;
}

int command_export(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    char name[64], out[200];
    size_t size = 0;
    if (local_flags("export", argc, argv, names, switches, values) != 0) return 2;
    if (!values[MODEL]) {
        fprintf(stderr,
                "backpropd export: --model is required: a file, or with --url or --data-dir the name of a model; see `backpropd help export`\n");
        return 2;
    }
    if (values[URL] && values[DATA_DIR]) return fprintf(stderr, "backpropd export: give --url or --data-dir, not both\n"), 2;
    const int form = form_of(values[FORMAT], values[OUT]);
    if (form < 0) return 2;
    name_of(values[MODEL], name);
    snprintf(out, sizeof out, "%s.%s", name, schema_export_names[form]);
    const char *to = values[OUT] ? values[OUT] : out;
    if (values[URL]) return of_server(values, (enum schema_export)form, to) ? 1 : 0;
    char *bytes = values[DATA_DIR] ? models_of_folder("export", values[DATA_DIR], values[MODEL], &size) : models_read("export", values[MODEL], &size);
    const int failed = bytes ? convert((enum schema_export)form, values[NAME] ? values[NAME] : name, bytes, size, to) : -1;
    free(bytes);
    return failed ? 1 : 0;
}
