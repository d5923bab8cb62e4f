/* skip.h - how a Check test says that this machine cannot run it. Check has no such result of its own: the line is counted by tests/run.sh, which
 * takes the test out of those that passed. */
#ifndef TESTS_SKIP_H
#define TESTS_SKIP_H

#include <stdio.h>
#include <string.h>

/* Ends the test. The reason names what is missing: a library, an instruction set. __func__ is the test's name with Check's "_fn" behind it. */
#define SKIP_TEST(...)                                                                                                                               \
    do {                                                                                                                                             \
        printf("\nSKIPPED %.*s: ", (int)strlen(__func__) - 3, __func__);                                                                             \
        printf(__VA_ARGS__);                                                                                                                         \
        printf("\n");                                                                                                                                \
        fflush(stdout);                                                                                                                              \
        return;                                                                                                                                      \
    } while (0)

#endif
