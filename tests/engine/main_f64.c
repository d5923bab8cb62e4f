/* main_f64.c - runs the suites that need the double build: gradients against finite differences. */
#include <check.h>
#include <stdlib.h>

Suite *suite_gradcheck(void);
Suite *suite_random_graphs(void);

int main(void) {
    SRunner *runner = srunner_create(suite_gradcheck());
    srunner_add_suite(runner, suite_random_graphs());
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
