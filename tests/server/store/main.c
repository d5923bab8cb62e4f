/* main.c - runs the suites of the store; the exit status follows the result. CK_RUN_SUITE picks one. */
#include "helper.h"

int main(void) {
    SRunner *runner = srunner_create(suite_store_folder());
    srunner_add_suite(runner, suite_store_datasets());
    srunner_add_suite(runner, suite_store_models());
    srunner_add_suite(runner, suite_store_jobs());
    srunner_add_suite(runner, suite_store_reports());
    srunner_add_suite(runner, suite_store_events());
    srunner_add_suite(runner, suite_store_writer());
    srunner_add_suite(runner, suite_store_disk());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
