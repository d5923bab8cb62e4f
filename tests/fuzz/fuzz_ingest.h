/* fuzz_ingest.h - sends bytes through an ingest in one go and in pieces: the same outcome and the same file, which opens, verifies and reads. */
#ifndef TESTS_FUZZ_INGEST_H
#define TESTS_FUZZ_INGEST_H

#include "schema/ingest/ingest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fuzz_outcome {
    int failed;
    char *text; /* the problems, or the file */
    size_t size;
};

#define FUZZ_REQUIRE(condition)                                                                                                                      \
    do {                                                                                                                                             \
        if (!(condition)) {                                                                                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                                          \
            abort();                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)

/* Reads every cell; numbers are never infinite. */
static inline void fuzz_read(const struct schema_dataset *data) {
    for (int64_t row = 0; row < data->rows && row < 100; row++) {
        json_t *json = schema_dataset_row_json(data, row);
        char *text = json_dumps(json, JSON_COMPACT);
        FUZZ_REQUIRE(text);
        free(text);
        json_decref(json);
        for (int32_t c = 0; c < data->columns_count && c < 100; c++) {
            FUZZ_REQUIRE(!isinf(schema_dataset_number(data, c, row)));
            FUZZ_REQUIRE(schema_dataset_code(data, c, row) < (data->columns[c].categories_count ? data->columns[c].categories_count : 1));
        }
    }
    json_decref(schema_dataset_columns_json(data));
}

static inline struct fuzz_outcome fuzz_ingest(const char *content_type, const struct schema_ingest_options *options, const uint8_t *bytes,
                                              size_t size, size_t piece) {
    struct fuzz_outcome outcome = {0};
    struct schema_problems problems = {0};
    struct schema_ingest *ingest = NULL;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    int failed = schema_ingest_open(schema_format_for(content_type), options, fd, &ingest, &problems);
    for (size_t at = 0; at < size && !failed; at += piece)
        failed = schema_ingest_feed(ingest, bytes + at, size - at < piece ? size - at : piece, &problems);
    if (!failed) failed = schema_ingest_finish(ingest, &problems);
    outcome.failed = failed;
    FUZZ_REQUIRE((problems.count > 0) == (failed != 0));
    if (failed) {
        json_t *json = schema_problems_json(&problems);
        outcome.text = json_dumps(json, JSON_COMPACT);
        FUZZ_REQUIRE(outcome.text);
        outcome.size = strlen(outcome.text);
        json_decref(json);
    } else {
        struct schema_dataset *data = NULL;
        struct bp_error error = {0};
        json_t *warnings = schema_ingest_warnings(ingest);
        FUZZ_REQUIRE(warnings && json_array_size(warnings) <= 20);
        json_decref(warnings);
        FUZZ_REQUIRE(schema_dataset_open(fd, 0, &data, &error) == 0 && schema_dataset_verify(data, &error) == 0 && data->rows > 0);
        fuzz_read(data);
        outcome.size = (size_t)data->bytes;
        outcome.text = malloc(outcome.size);
        FUZZ_REQUIRE(pread(fd, outcome.text, outcome.size, 0) == (ssize_t)outcome.size);
        schema_dataset_free(data);
    }
    schema_ingest_close(ingest);
    schema_problems_clear(&problems);
    close(fd);
    return outcome;
}

/* Returns whether the upload was refused. */
static inline int fuzz_both_ways_with(const char *content_type, const struct schema_ingest_options *options, const uint8_t *bytes, size_t size) {
    struct fuzz_outcome whole = fuzz_ingest(content_type, options, bytes, size, size ? size : 1);
    struct fuzz_outcome pieces = fuzz_ingest(content_type, options, bytes, size, 3);
    if (whole.failed != pieces.failed || whole.size != pieces.size)
        fprintf(stderr, "whole: %s\npieces: %s\n", whole.failed ? whole.text : "accepted", pieces.failed ? pieces.text : "accepted");
    FUZZ_REQUIRE(whole.failed == pieces.failed && whole.size == pieces.size && memcmp(whole.text, pieces.text, whole.size) == 0);
    free(whole.text);
    free(pieces.text);
    return whole.failed;
}

static inline int fuzz_both_ways(const char *content_type, const uint8_t *bytes, size_t size) {
    return fuzz_both_ways_with(content_type, NULL, bytes, size);
}

#endif
