/* fuzz_model.h - small models in memory for the fuzzers: a dataset, a definition and a job given as JSON texts, weights from a seed; never trained.
 */
#ifndef TESTS_FUZZ_MODEL_H
#define TESTS_FUZZ_MODEL_H

#include "schema/ingest/ingest.h"
#include "schema/predict/model_file.h"
#include "tests/memory_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef FUZZ_REQUIRE
#define FUZZ_REQUIRE(condition)                                                                                                                      \
    do {                                                                                                                                             \
        if (!(condition)) {                                                                                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                                          \
            abort();                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)
#endif

static inline struct schema_dataset *fuzz_dataset(const char *text) {
    struct schema_problems problems = {0};
    struct schema_ingest *ingest = NULL;
    struct schema_dataset *data = NULL;
    struct bp_error error = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_REQUIRE(schema_ingest_open(schema_format_for("application/json"), NULL, fd, &ingest, &problems) == 0);
    FUZZ_REQUIRE(schema_ingest_feed(ingest, text, strlen(text), &problems) == 0 && schema_ingest_finish(ingest, &problems) == 0);
    schema_ingest_close(ingest);
    FUZZ_REQUIRE(schema_dataset_open(fd, 0, &data, &error) == 0);
    close(fd);
    return data;
}

/* The bytes of a model file; the caller's. */
static inline char *fuzz_model_bytes(const char *dataset, const char *definition, const char *job, size_t *size) {
    static const char *const others[] = {"target", "task", "features", "columns", NULL};
    struct schema_problems problems = {0};
    struct schema_options options;
    struct schema_training_request request;
    struct bp_error error = {0};
    char *bytes = NULL;
    struct schema_dataset *data = fuzz_dataset(dataset);
    json_t *d = json_loads(definition, 0, NULL), *j = json_loads(job, 0, NULL);
    struct schema_definition *decoded = schema_definition_decode(d, "/model", NULL, &problems);
    schema_options_decode(j, "", others, &options, &problems);
    schema_training_request_decode(j, "", &request, &problems);
    struct schema_training *training = decoded ? schema_training_resolve(decoded, &options, data, &request, &problems) : NULL;
    if (!training) fprintf(stderr, "fuzz_model: %s\n", problems.count ? problems.items[0].detail : "no training");
    FUZZ_REQUIRE(training);
    bp_real *weights = bp_reals_new(training->network->weights_count);
    bp_network_initialize(training->network, 3, weights);
    json_t *document = schema_training_encode(training);
    const int fd = memory_file();
    FUZZ_REQUIRE(schema_model_write(fd, training, document, weights, size, &error) == 0);
    FUZZ_REQUIRE((bytes = memory_file_take(fd, *size)) != NULL);
    json_decref(document);
    json_decref(d);
    json_decref(j);
    free(weights);
    schema_training_free(training);
    schema_dataset_free(data);
    return bytes;
}

static inline struct schema_model *fuzz_model(const char *dataset, const char *definition, const char *job) {
    struct bp_error error = {0};
    size_t size = 0;
    char *bytes = fuzz_model_bytes(dataset, definition, job, &size);
    struct schema_model *model = schema_model_read(bytes, size, &error);
    FUZZ_REQUIRE(model);
    free(bytes);
    return model;
}

/* Numbers, texts and booleans with gaps; two labels. */
static const char fuzz_mixed_data[] =
    "{\"records\":[{\"x\":1.5,\"colour\":\"red\",\"on\":true,\"code\":\"6\",\"y\":\"a\"},{\"x\":-2,\"colour\":\"green\",\"on\":false,\"code\":\"7\","
    "\"y\":\"b\"},"
    "{\"x\":null,\"colour\":\"blue\",\"on\":true,\"code\":\"6\",\"y\":\"a\"},{\"x\":40,\"colour\":null,\"on\":null,\"code\":\"8\",\"y\":\"b\"},"
    "{\"x\":0.25,\"colour\":\"red\",\"on\":false,\"code\":\"n\",\"y\":\"a\"},{\"x\":3,\"colour\":\"green\",\"on\":true,\"code\":\"7\",\"y\":\"b\"}]}";
static const char fuzz_mixed_job[] = "{\"target\":\"y\",\"seed\":1,\"validation\":{\"fraction\":0}}";
static const char fuzz_mixed_definition[] = "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"tanh\"}]}";

/* One tensor column (2, 2, 1) without a name for the row: an instance may be the bare nested array. Three labels. */
static const char fuzz_tensor_data[] =
    "{\"x\":[[[0,1],[2,3]],[[4,5],[6,7]],[[1,1],[1,1]],[[9,9],[0,0]],[[2,1],[0,5]],[[7,7],[3,3]]],\"y\":[\"a\",\"b\",\"c\",\"a\",\"b\",\"c\"]}";
static const char fuzz_tensor_definition[] = "{\"layers\":[\"flatten\"]}";

/* A tensor column beside a number: the tensor has its own input, the network takes one of the two. A value to predict. */
static const char fuzz_both_data[] = "{\"columns\":{\"x\":[1,2,3,4],\"t\":[[1,2,3],[4,5,6],[7,8,9],[1,0,1]],\"y\":[0.5,1.25,-3,8]}}";
static const char fuzz_both_definition[] = "{\"layers\":[{\"type\":\"dense\",\"units\":1,\"inputs\":[\"t\"]}]}";

/* Times and texts, and a category by its mean target. */
static const char fuzz_types_data[] =
    "{\"types\":{\"t\":\"text\",\"w\":\"text\"},\"records\":[{\"d\":\"2024-01-31T08:00\",\"t\":\"one two\",\"w\":\"one two\",\"k\":\"a\",\"y\":1.5},"
    "{\"d\":\"2024-02-29\",\"t\":\"two three\",\"w\":\"two three\",\"k\":\"b\",\"y\":2.5},{\"d\":null,\"t\":null,\"w\":null,\"k\":null,\"y\":0.5}]}";
static const char fuzz_types_definition[] =
    "{\"layers\":[{\"type\":\"flatten\",\"inputs\":[\"w\"],\"name\":\"words\"},{\"type\":\"concatenate\",\"inputs\":[\"words\","
    "\"features\"]},{\"type\":\"dense\",\"units\":3}]}";
static const char fuzz_types_job[] =
    "{\"target\":\"y\",\"task\":\"regression\",\"seed\":1,\"validation\":{\"fraction\":0},\"columns\":{\"w\":{\"encode\":\"tokens\"},"
    "\"k\":{\"encode\":\"target\"}}}";

#endif
