/* allocations.h - allocations counted, and made to fail, in any thread of a test program. */
#ifndef TESTS_ALLOCATIONS_H
#define TESTS_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Calls of malloc and its kin so far; -1 when they cannot be counted (under a sanitizer). */
long test_allocations(void);
/* Blocks allocated and not yet freed. */
long test_live_blocks(void);
/* And their bytes. */
size_t test_live_bytes(void);
/* The nth call from now on gives NULL (0: none does). */
void test_allocations_fail(long nth);
/* The nth call and all after it. */
void test_allocations_fail_from(long nth);

#endif
