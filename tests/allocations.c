/* allocations.c - a malloc of the test programs that counts calls and can fail on request. Not under a sanitizer, which brings its own. */
#include "tests/allocations.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)

long test_allocations(void) {
    return -1;
}

long test_live_blocks(void) {
    return 0;
}

size_t test_live_bytes(void) {
    return 0;
}

void test_allocations_fail(long nth) {
    (void)nth;
}

void test_allocations_fail_from(long nth) {
    (void)nth;
}

#else

#include <malloc.h>

/* glibc lets a program bring its own malloc; these count and pass on to glibc's. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static atomic_long calls, live, bytes, fail_in;
static atomic_bool fail_for_ever;

static bool refused(void) {
    atomic_fetch_add(&calls, 1);
    if (atomic_load(&fail_in) <= 0) return false;
    const long left = atomic_fetch_sub(&fail_in, 1);
    if (left > 1) return false;
    if (atomic_load(&fail_for_ever)) atomic_store(&fail_in, 1);
    errno = ENOMEM;
    return true;
}

static void *counted(void *block) {
    atomic_fetch_add(&live, block != NULL);
    atomic_fetch_add(&bytes, (long)malloc_usable_size(block));
    return block;
}

void *malloc(size_t n) {
    return refused() ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size) {
    return refused() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n) {
    if (refused()) return NULL;
    if (!p) return counted(__libc_realloc(NULL, n));
    const long before = (long)malloc_usable_size(p);
    void *grown = __libc_realloc(p, n);
    if (grown) atomic_fetch_add(&bytes, (long)malloc_usable_size(grown) - before);
    return grown;
}

void *aligned_alloc(size_t alignment, size_t n) {
    return refused() ? NULL : counted(__libc_memalign(alignment, n));
}

void free(void *p) {
    atomic_fetch_sub(&live, p != NULL);
    atomic_fetch_sub(&bytes, (long)malloc_usable_size(p));
    __libc_free(p);
}

long test_allocations(void) {
    return atomic_load(&calls);
}

long test_live_blocks(void) {
    return atomic_load(&live);
}

size_t test_live_bytes(void) {
    return (size_t)atomic_load(&bytes);
}

void test_allocations_fail(long nth) {
    atomic_store(&fail_for_ever, false);
    atomic_store(&fail_in, nth);
}

void test_allocations_fail_from(long nth) {
    atomic_store(&fail_for_ever, true);
    atomic_store(&fail_in, nth);
}

#endif
