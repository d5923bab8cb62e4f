/* fuzz_definition.c - any JSON as a model definition and as the options of a job: problems that can be reported, or something that, written out and
 * read back, is the same. */
#include "schema/training/options.h"
#include "tests/fuzz/fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void told(struct schema_problems *problems) {
    json_t *json = schema_problems_json(problems);
    char *text = json_dumps(json, JSON_COMPACT);
    FUZZ_REQUIRE(text && problems->count > 0 && problems->count <= SCHEMA_PROBLEMS_MAX);
    free(text);
    json_decref(json);
    schema_problems_clear(problems);
}

static void definition(const json_t *json) {
    struct schema_problems problems = {0};
    struct schema_definition *first = schema_definition_decode(json, "", NULL, &problems);
    FUZZ_REQUIRE((first != NULL) == (problems.total == 0));
    if (!first) {
        told(&problems);
        return;
    }
    json_t *once = schema_definition_encode(first);
    struct schema_definition *second = schema_definition_decode(once, "", NULL, &problems);
    FUZZ_REQUIRE(second);
    json_t *twice = schema_definition_encode(second);
    FUZZ_REQUIRE(json_equal(once, twice));
    json_decref(once);
    json_decref(twice);
    schema_definition_free(first);
    schema_definition_free(second);
}

static void options(const json_t *json) {
    struct schema_problems problems = {0};
    struct schema_options first, second;
    if (schema_options_decode(json, "", NULL, &first, &problems) != 0) {
        told(&problems);
        return;
    }
    FUZZ_REQUIRE(problems.total == 0);
    json_t *once = schema_options_encode(&first);
    FUZZ_REQUIRE(schema_options_decode(once, "", NULL, &second, &problems) == 0);
    json_t *twice = schema_options_encode(&second);
    FUZZ_REQUIRE(json_equal(once, twice));
    json_decref(once);
    json_decref(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 1 << 16) return 0;
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json) return 0;
    definition(json);
    if (json_is_object(json)) options(json);
    json_decref(json);
    return 0;
}
