/* main.c - faults of the disk: for every N the Nth call that changes something fails; and at every call the power is cut. FAULTS=all tries all calls
 * and many cuts, which takes minutes (make soak); without it some of them. */
#include "tests/faults/disk.h"
#include "tests/faults/faults.h"

#include "schema/memory.h"

#include <stdlib.h>
#include <string.h>

bool faults_all(void) {
    const char *which = getenv("FAULTS");
    return which && strcmp(which, "all") == 0;
}

int main(void) {
    schema_memory_watch();
    disk_install();
    SRunner *runner = srunner_create(suite_calls());
    srunner_add_suite(runner, suite_power());
    srunner_add_suite(runner, suite_space());
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
