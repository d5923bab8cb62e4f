/* fuzz_inspect.c - any bytes as the beginning of a file: an inspection or problems that can be reported. */
#include "schema/ingest/inspect.h"
#include "tests/fuzz/fuzz_ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct schema_ingest_options none = {0};
    struct schema_problems problems = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    json_t *json = schema_inspect((const char *)data, size, &none, fd, &problems);
    FUZZ_REQUIRE((json == NULL) == (problems.count > 0));
    char *text = json_dumps(json ? json : json_null(), JSON_COMPACT | JSON_ENCODE_ANY);
    FUZZ_REQUIRE(text);
    free(text);
    json_decref(json);
    schema_problems_clear(&problems);
    close(fd);
    return 0;
}
