/* local_data.c - files of this machine for the commands that need no server. */
#include "server/commands/local_data.h"

#include "schema/ingest/inspect.h"
#include "schema/text/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 64 << 20, FLAGS_MAX = 32 };

void local_problems(const char *command, const char *file, struct schema_problems *problems) {
    for (int32_t i = 0; i < problems->count; i++) {
        const struct schema_problem *p = &problems->items[i];
        fprintf(stderr, "backpropd %s: %s", command, file ? file : "");
        if (p->line > 0) fprintf(stderr, " line %lld", (long long)p->line);
        if (p->pointer && *p->pointer) fprintf(stderr, "%s%s", file ? " " : "", p->pointer);
        if (p->column) fprintf(stderr, " column \"%s\"", p->column);
        if (p->value) fprintf(stderr, " value \"%s\"", p->value);
        fprintf(stderr, "%s%s\n", file || p->line > 0 || (p->pointer && *p->pointer) ? ": " : "", p->detail ? p->detail : "");
    }
    if (problems->total > problems->count) fprintf(stderr, "backpropd %s: and %lld more\n", command, (long long)(problems->total - problems->count));
    schema_problems_clear(problems);
}

const char *local_type(const char *path, const char *bytes, size_t size, const char **encoding, struct schema_problems *problems) {
    const char *type = schema_guess_type(bytes, size, encoding, problems);
    const size_t length = strlen(path);
    return type && strcmp(type, "text/csv") == 0 && length > 4 && strcmp(path + length - 4, ".tsv") == 0 ? "text/tab-separated-values" : type;
}

static int open_ingest(const char *path, const char *bytes, size_t size, const struct schema_ingest_options *given, int fd,
                       struct schema_ingest **ingest, struct schema_problems *problems) {
    struct schema_ingest_options options = *given;
    const char *type = local_type(path, bytes, size, &options.encoding, problems);
    if (!type) return -1;
    return schema_ingest_open(schema_format_for(type), &options, fd, ingest, problems);
}

static struct schema_dataset *ingest(FILE *in, int fd, const char *path, const struct schema_ingest_options *options,
                                     struct schema_problems *problems) {
    struct schema_ingest *ingest = NULL;
    struct schema_dataset *dataset = NULL;
    struct bp_error error = {0};
    char piece[65536];
    size_t n = fread(piece, 1, sizeof piece, in);
    int failed = open_ingest(path, piece, n, options, fd, &ingest, problems);
    for (; !failed && n > 0; n = fread(piece, 1, sizeof piece, in)) failed = schema_ingest_feed(ingest, piece, n, problems);
    if (!failed && ferror(in)) failed = schema_problem_add(problems, NULL, "cannot be read: %s", strerror(errno));
    if (!failed) failed = schema_ingest_finish(ingest, problems);
    if (!failed && schema_dataset_open(fd, 0, &dataset, &error) != 0) schema_problem_error(problems, NULL, &error);
    if (dataset && !options->types_may_lack) { /* advice for a training: rows to predict are what they are */
        json_t *warnings = schema_ingest_warnings(ingest);
        for (size_t i = 0; i < json_array_size(warnings); i++) fprintf(stderr, "note: %s\n", json_string_value(json_array_get(warnings, i)));
        json_decref(warnings);
    }
    schema_ingest_close(ingest);
    return dataset;
}

struct schema_dataset *local_dataset(const char *command, const char *path, const struct schema_column_type *types, int32_t types_count,
                                     bool may_lack) {
    struct schema_ingest_options options = {.types = types, .types_count = types_count, .types_may_lack = may_lack};
    struct schema_problems problems = {0};
    struct schema_dataset *dataset = NULL;
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re"), *temporary = tmpfile();
    if (!in) fprintf(stderr, "backpropd %s: cannot read %s: %s\n", command, path, strerror(errno));
    else if (!temporary) fprintf(stderr, "backpropd %s: cannot make a temporary file: %s\n", command, strerror(errno));
    else dataset = ingest(in, fileno(temporary), path, &options, &problems);
    if (problems.total) local_problems(command, strcmp(path, "-") == 0 ? "standard input" : path, &problems);
    if (in && in != stdin) fclose(in);
    if (temporary) fclose(temporary);
    return dataset;
}

struct schema_model *local_model(const char *command, const char *path) {
    struct bp_error error = {0};
    FILE *in = fopen(path, "re");
    struct schema_text bytes = {.limit = (size_t)8 << 30};
    char piece[65536];
    size_t n;
    if (!in) {
        fprintf(stderr, "backpropd %s: cannot read the model file %s: %s\n", command, path, strerror(errno));
        return NULL;
    }
    while ((n = fread(piece, 1, sizeof piece, in)) > 0) schema_text_add(&bytes, piece, n);
    fclose(in);
    struct schema_model *model = bytes.failed ? NULL : schema_model_read(bytes.bytes ? bytes.bytes : "", bytes.size, &error);
    if (!model) fprintf(stderr, "backpropd %s: %s: %s\n", command, path, error.message[0] ? error.message : "out of memory");
    free(bytes.bytes);
    return model;
}

struct schema_dataset *local_rows(const char *command, const struct schema_model *model, const char *path) {
    int32_t count;
    struct schema_column_type *types = schema_model_types(model, &count);
    struct schema_dataset *dataset = types ? local_dataset(command, path, types, count, true) : NULL;
    free(types);
    return dataset;
}

char *local_text(const char *command, const char *path) {
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    struct schema_text text = {.limit = TEXT_MAX};
    char piece[65536];
    size_t n;
    if (!in) {
        fprintf(stderr, "backpropd %s: cannot read %s: %s\n", command, path, strerror(errno));
        return NULL;
    }
    schema_text_string(&text, "");
    while ((n = fread(piece, 1, sizeof piece, in)) > 0) schema_text_add(&text, piece, n);
    bool failed = ferror(in) || text.failed;
    if (in != stdin) fclose(in);
    if (!failed) return text.bytes;
    fprintf(stderr, "backpropd %s: %s cannot be read, or is larger than %d MB\n", command, path, TEXT_MAX >> 20);
    free(text.bytes);
    return NULL;
}

int local_flags(const char *command, int argc, char **argv, const char *const *names, const char *const *flags, const char **values) {
    const char *known[2 * FLAGS_MAX];
    int count = 0, all = 0;
    while (names[count]) known[count] = names[count], count++;
    for (all = count; flags[all - count]; all++) known[all] = flags[all - count];
    known[all] = NULL;
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i];
        size_t size = strncmp(flag, "--", 2) == 0 ? strcspn(flag + 2, "=") : 0;
        int k = 0;
        while (k < all && !(strlen(known[k]) == size && strncmp(known[k], flag + 2, size) == 0)) k++;
        if (size == 0 || k == all) {
            char hint[80], name[64] = "";
            if (size) snprintf(name, sizeof name, "%.*s", (int)(size < 60 ? size : 60), flag + 2);
            const char *nearest = size ? schema_nearest_in(name, known) : NULL;
            if (nearest) snprintf(hint, sizeof hint, ", did you mean --%s?", nearest);
            fprintf(stderr, "backpropd %s: unknown %s \"%s\"%s; see `backpropd help %s`\n", command, size ? "flag" : "argument", flag,
                    nearest ? hint : "", command);
            return -1;
        }
        if (k >= count) values[k] = "";
        else if (flag[2 + size] == '=') values[k] = flag + 3 + size;
        else if (i + 1 < argc) values[k] = argv[++i];
        else return fprintf(stderr, "backpropd %s: --%s needs a value\n", command, known[k]), -1;
    }
    return 0;
}

int local_whole(const char *command, const char *flag, const char *text, double least, double most, double *out) {
    char *end;
    if (!text) return 0;
    const double value = strtod(text, &end);
    if (*text && !*end && value >= least && value <= most && value == floor(value)) {
        *out = value;
        return 0;
    }
    fprintf(stderr, "backpropd %s: --%s must be a whole number from %.0f to %.0f, got \"%s\"\n", command, flag, least, most, text);
    return -1;
}

void local_bar(double share) {
    enum { WIDTH = 30 };
    if (!isatty(STDOUT_FILENO) || !(fabs(share) <= 1)) return;
    printf("  ");
    for (int i = 0; i < (int)(fabs(share) * WIDTH + 0.5); i++) putchar(share < 0 ? '-' : '#');
}
