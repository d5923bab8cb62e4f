/* main.c - runs the engine's suites in float32. `engine_tests base` runs them on that table of kernels. */
#include "engine/kernels/kernels.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SUITES(X)                                                                                                                                    \
    X(base)                                                                                                                                          \
    X(registry)                                                                                                                                      \
    X(random)                                                                                                                                        \
    X(vector)                                                                                                                                        \
    X(blas)                                                                                                                                          \
    X(onednn)                                                                                                                                        \
    X(activations)                                                                                                                                   \
    X(layers)                                                                                                                                        \
    X(augment)                                                                                                                                       \
    X(batch_norm)                                                                                                                                    \
    X(masks)                                                                                                                                         \
    X(losses)                                                                                                                                        \
    X(metrics)                                                                                                                                       \
    X(optimizers)                                                                                                                                    \
    X(schedules)                                                                                                                                     \
    X(network)                                                                                                                                       \
    X(golden)                                                                                                                                        \
    X(outputs)                                                                                                                                       \
    X(train) X(train_memory) X(train_state) X(train_options) X(processes) X(search) X(range) X(windows) X(convolution) X(health) X(ensemble)

#define DECLARE(name) Suite *suite_##name(void);
SUITES(DECLARE)

int main(int count, char **arguments) {
    SRunner *runner = srunner_create(NULL);
#define ADD(name) srunner_add_suite(runner, suite_##name());
    SUITES(ADD)
    if (count > 1 && bp_kernels_force(arguments[1])) {
        fprintf(stderr, "%s: no such kernels on this CPU\n", arguments[1]);
        return 2;
    }
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
