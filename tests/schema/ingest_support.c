/* ingest_support.c - see ingest_support.h. */
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int nameless_file(void) {
    char path[] = "/tmp/backpropd-test-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    return fd;
}

struct loaded load_pieces(const char *content_type, const char *text, size_t size, size_t piece, const struct schema_ingest_options *options) {
    struct loaded loaded = {.failed = -1};
    struct schema_ingest *ingest = NULL;
    int fd = nameless_file();
    if (schema_ingest_open(schema_format_for(content_type), options, fd, &ingest, &loaded.problems) == 0) {
        int failed = 0;
        for (size_t at = 0; at < size && !failed; at += piece)
            failed = schema_ingest_feed(ingest, text + at, size - at < piece ? size - at : piece, &loaded.problems);
        if (!failed) failed = schema_ingest_finish(ingest, &loaded.problems);
        loaded.failed = failed;
        if (!failed) {
            loaded.warnings = schema_ingest_warnings(ingest);
            loaded.name = schema_ingest_name(ingest) ? strdup(schema_ingest_name(ingest)) : NULL;
        }
    }
    schema_ingest_close(ingest);
    if (!loaded.failed) {
        struct bp_error error = {0};
        ck_assert_msg(schema_dataset_open(fd, 0, &loaded.data, &error) == 0, "%s", error.message);
        ck_assert_msg(schema_dataset_verify(loaded.data, &error) == 0, "%s", error.message);
        loaded.file_size = (size_t)lseek(fd, 0, SEEK_END);
        loaded.file = malloc(loaded.file_size);
        ck_assert_int_eq((long long)loaded.file_size, pread(fd, loaded.file, loaded.file_size, 0));
    }
    close(fd);
    return loaded;
}

struct loaded load_csv(const char *text, const char *types) {
    struct schema_ingest_options options = {0};
    struct schema_column_type *list = NULL;
    struct schema_problems problems = {0};
    if (types) ck_assert_int_eq(0, schema_column_types_parse(types, &list, &options.types_count, &problems));
    options.types = list;
    struct loaded loaded = load_pieces("text/csv", text, strlen(text), 1 << 16, &options);
    schema_column_types_free(list, options.types_count);
    return loaded;
}

struct loaded load_json(const char *text) {
    return load_pieces("application/json", text, strlen(text), 1 << 16, NULL);
}

void loaded_clear(struct loaded *loaded) {
    schema_dataset_free(loaded->data);
    schema_problems_clear(&loaded->problems);
    json_decref(loaded->warnings);
    free(loaded->name);
    free(loaded->file);
    memset(loaded, 0, sizeof *loaded);
}

char *rows_text(const struct schema_dataset *data) {
    char *text = calloc(1, 1);
    size_t size = 0;
    for (int64_t i = 0; i < data->rows; i++) {
        json_t *row = schema_dataset_row_json(data, i);
        char *line = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(15));
        text = realloc(text, size + strlen(line) + 2);
        size += (size_t)sprintf(text + size, "%s%s", i ? "\n" : "", line);
        free(line);
        json_decref(row);
    }
    return text;
}

char *column_text(const struct schema_dataset *data, int32_t column) {
    json_t *columns = schema_dataset_columns_json(data);
    char *text = json_dumps(json_array_get(columns, (size_t)column), JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(columns);
    return text;
}

char *problems_text(const struct loaded *loaded) {
    json_t *problems = schema_problems_json(&loaded->problems);
    char *text = json_dumps(problems, JSON_COMPACT);
    json_decref(problems);
    return text;
}

void check_rows(struct loaded loaded, const char *rows, int line) {
    char *text = loaded.failed ? problems_text(&loaded) : rows_text(loaded.data);
    ck_assert_msg(strcmp(text, rows) == 0, "line %d:\ngot  %s\nwant %s", line, text, rows);
    free(text);
    loaded_clear(&loaded);
}

void check_refused(struct loaded loaded, const char *problems, int line) {
    ck_assert_msg(loaded.failed, "line %d: accepted", line);
    char *text = problems_text(&loaded);
    ck_assert_msg(strcmp(text, problems) == 0, "line %d:\ngot  %s\nwant %s", line, text, problems);
    free(text);
    loaded_clear(&loaded);
}

void check_warnings(struct loaded loaded, const char *warnings, int line) {
    char *text = loaded.failed ? problems_text(&loaded) : json_dumps(loaded.warnings, JSON_COMPACT);
    ck_assert_msg(strcmp(text, warnings) == 0, "line %d:\ngot  %s\nwant %s", line, text, warnings);
    free(text);
    loaded_clear(&loaded);
}
