/* test_base.c - engine/base/base.c: errors keep their first cause, shapes, aligned memory. */
#include "tests/engine/support.h"

#include <stdlib.h>
#include <string.h>

START_TEST(error_keeps_the_first_cause) {
    struct bp_error error = {0};
    ck_assert_int_eq(bp_error_set(&error, "/layers/1", "got %d", 7), -1);
    ck_assert_int_eq(bp_error_set(&error, "/other", "later"), -1);
    ck_assert_str_eq(error.pointer, "/layers/1");
    ck_assert_str_eq(error.message, "got 7");
    ck_assert_int_eq(bp_error_set(NULL, "", "nobody listens"), -1);
}
END_TEST

START_TEST(error_is_cut_not_overrun) {
    struct bp_error error = {0};
    char longest[2000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    bp_error_set(&error, longest, "%s", longest);
    ck_assert_uint_eq(strlen(error.pointer), sizeof error.pointer - 1);
    ck_assert_uint_eq(strlen(error.message), sizeof error.message - 1);
}
END_TEST

/* The code says what kind of fault it is; the first error stays, and a wrapped one keeps its code. */
START_TEST(errors_have_codes) {
    struct bp_error error = {0}, outer = {0};
    ck_assert_int_eq(bp_error_set(&error, "/units", "units is 0"), -1);
    ck_assert_int_eq(error.code, BP_ERROR_INVALID);
    ck_assert_int_eq(bp_error_memory(&error, "no memory"), -1);
    ck_assert_int_eq(error.code, BP_ERROR_INVALID);
    ck_assert_str_eq(error.message, "units is 0");
    error = (struct bp_error){0};
    bp_error_memory(&error, "no memory for %d rows", 7);
    ck_assert_int_eq(error.code, BP_ERROR_MEMORY);
    ck_assert_str_eq(error.message, "no memory for 7 rows");
    ck_assert_str_eq(error.pointer, "");
    ck_assert_int_eq(bp_error_wrap(&outer, &error, "/layers/0", "layer 0: %s", error.message), -1);
    ck_assert_int_eq(outer.code, BP_ERROR_MEMORY);
    ck_assert_str_eq(outer.pointer, "/layers/0");
    ck_assert_str_eq(outer.message, "layer 0: no memory for 7 rows");
    error = (struct bp_error){0};
    bp_error_io(&error, "cannot read it");
    ck_assert_int_eq(error.code, BP_ERROR_IO);
    error = (struct bp_error){0};
    bp_error_unsupported(&error, "/precision", "not here");
    ck_assert_int_eq(error.code, BP_ERROR_UNSUPPORTED);
    ck_assert_str_eq(error.pointer, "/precision");
    ck_assert_int_eq(bp_error_io(NULL, "nobody listens"), -1);
}
END_TEST

START_TEST(errors_are_utf8) {
    struct bp_error error = {0};
    bp_error_set(&error, "/caf\xc3\xa9/\xff", "%s", "a\xc3\xa9\xb2z\xe2\x82");
    ck_assert_str_eq(error.pointer, "/caf\xc3\xa9/?");
    ck_assert_str_eq(error.message, "a\xc3\xa9?z??");
}
END_TEST

START_TEST(shape_size) {
    ck_assert_int_eq(bp_shape_size(&(struct bp_shape){0, {0}}), 1);
    ck_assert_int_eq(bp_shape_size(&(struct bp_shape){3, {28, 28, 3}}), 2352);
    ck_assert_int_eq(bp_shape_size(&(struct bp_shape){-1, {0}}), 0);
    ck_assert_int_eq(bp_shape_size(&(struct bp_shape){2, {4, 0}}), 0);
    ck_assert_int_eq(bp_shape_size(&(struct bp_shape){2, {65536, 65536}}), 0);
    ck_assert_int_eq(bp_shape_size(&(struct bp_shape){1, {INT32_MAX}}), INT32_MAX);
}
END_TEST

START_TEST(shape_text) {
    char text[64];
    ck_assert_str_eq(bp_shape_text(&(struct bp_shape){3, {28, 28, 1}}, text, sizeof text), "(28, 28, 1)");
    ck_assert_str_eq(bp_shape_text(&(struct bp_shape){2, {0, 5}}, text, sizeof text), "(?, 5)");
    ck_assert_str_eq(bp_shape_text(&(struct bp_shape){-1, {0}}, text, sizeof text), "?");
    ck_assert_str_eq(bp_shape_text(&(struct bp_shape){0, {0}}, text, sizeof text), "()");
    ck_assert_str_eq(bp_shape_text(&(struct bp_shape){2, {123, 456}}, text, 6), "(123,"); /* cut, and still a string */
}
END_TEST

START_TEST(shape_equal) {
    const struct bp_shape a = {2, {3, 4, 9}}, b = {2, {3, 4, 7}}, c = {2, {3, 5}}, d = {1, {3}};
    ck_assert(bp_shape_equal(&a, &b)); /* what lies beyond the rank does not count */
    ck_assert(!bp_shape_equal(&a, &c));
    ck_assert(!bp_shape_equal(&a, &d));
}
END_TEST

START_TEST(reals_are_aligned_and_zero) {
    bp_real *reals = bp_reals_new(33);
    ck_assert_ptr_nonnull(reals);
    ck_assert_uint_eq((uintptr_t)reals % BP_ALIGNMENT, 0);
    for (int i = 0; i < 33; i++) ck_assert(reals[i] == 0);
    free(reals);
    ck_assert_ptr_null(bp_reals_new(SIZE_MAX / 2));
    ck_assert_uint_eq(bp_reals_round(17), 32);
    ck_assert_uint_eq(bp_reals_round(16), 16);
    ck_assert_uint_eq(bp_reals_round(0), 0);
}
END_TEST

START_TEST(denormals_are_flushed) {
    volatile float tiny = 1e-38f;
    bp_flush_denormals();
    volatile float product = tiny * 0.01f;
    ck_assert(product == 0);
}
END_TEST

Suite *suite_base(void);
Suite *suite_base(void) {
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_add_test(tests, error_keeps_the_first_cause);
    tcase_add_test(tests, error_is_cut_not_overrun);
    tcase_add_test(tests, errors_have_codes);
    tcase_add_test(tests, errors_are_utf8);
    tcase_add_test(tests, shape_size);
    tcase_add_test(tests, shape_text);
    tcase_add_test(tests, shape_equal);
    tcase_add_test(tests, reals_are_aligned_and_zero);
#if defined(__x86_64__) || defined(__aarch64__)
    tcase_add_test(tests, denormals_are_flushed);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
