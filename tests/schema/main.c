/* main.c - runs the suites of schema/; the exit status follows the result. CK_RUN_SUITE picks one. */
#include <check.h>
#include <stdlib.h>

/* clang-format off */
#define SUITES(X) \
    X(aliases) \
    X(allocations) \
    X(arrays) \
    X(checksum) \
    X(column_types) \
    X(csv) \
    X(csv_dialect) \
    X(dataset) \
    X(dataset_profile) \
    X(dataset_rows) \
    X(datetime) \
    X(definition) \
    X(folds) \
    X(ingest) \
    X(ingest_decode) \
    X(ingest_inspect) \
    X(ingest_join) \
    X(inputs) \
    X(json) \
    X(labels) \
    X(model_file) \
    X(ndjson) \
    X(number) \
    X(number_print) \
    X(predict) \
    X(preprocessing) \
    X(refusals) \
    X(rows) \
    X(source) \
    X(space) \
    X(spelling) \
    X(target_values) \
    X(targets) \
    X(text) \
    X(training) \
    X(types) \
    X(validation)
/* clang-format on */

#define X(name) Suite *suite_schema_##name(void);
SUITES(X)
#undef X

int main(void) {
    SRunner *runner = srunner_create(NULL);
#define X(name) srunner_add_suite(runner, suite_schema_##name());
    SUITES(X)
#undef X
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
