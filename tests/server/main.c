/* main.c - runs the suites of server/; the exit status follows the result. CK_RUN_SUITE picks one. */
#include "tests/server/store/helper.h"

Suite *suite_server_settings(void);
Suite *suite_server_remote(void);
Suite *suite_server_wire(void);
Suite *suite_drift(void);
Suite *suite_http_guard(void);
Suite *suite_http_router(void);
Suite *suite_jobs_output(void);
Suite *suite_jobs_watchdog(void);
Suite *suite_ops_metrics(void);
Suite *suite_worker(void);

int main(void) {
    Suite *suites[] = {suite_server_settings(), suite_server_remote(),  suite_server_wire(),       suite_store_folder(),  suite_store_datasets(),
                       suite_store_models(),    suite_store_versions(), suite_store_jobs(),        suite_store_reports(), suite_store_events(),
                       suite_store_writer(),    suite_store_disk(),     suite_store_allocations(), suite_store_files(),   suite_http_router(),
                       suite_http_guard(),      suite_worker(),         suite_jobs_output(),       suite_jobs_watchdog(), suite_store_attempts(),
                       suite_ops_metrics(),     suite_drift()};
    SRunner *runner = srunner_create(NULL);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) srunner_add_suite(runner, suites[i]);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
