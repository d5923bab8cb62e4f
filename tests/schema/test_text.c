/* test_text.c - the growing buffer and its maximum, JSON pieces, nearest names. */
#include "schema/json/values.h"
#include "schema/text/text.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_text(void);

START_TEST(grows_up_to_its_limit) {
    struct schema_text t = {.limit = 600};
    for (int i = 0; i < 60; i++) schema_text_string(&t, "0123456789");
    ck_assert(!t.failed);
    ck_assert_uint_eq(t.size, 600);
    ck_assert_uint_eq(strlen(t.bytes), 600);
    schema_text_add(&t, "x", 1);
    ck_assert(t.failed);
    schema_text_string(&t, "");
    ck_assert_uint_eq(t.size, 600);
    free(t.bytes);
}
END_TEST

START_TEST(json_pieces) {
    struct schema_text t = {.limit = 1000};
    schema_text_json_string(&t, "a\"b\\c\n\x01\xc3\xa9");
    schema_text_string(&t, " ");
    schema_text_json_float(&t, (double)0.1f);
    schema_text_string(&t, " ");
    schema_text_json_float(&t, NAN);
    schema_text_string(&t, " ");
    schema_text_json_float(&t, -INFINITY);
    schema_text_string(&t, " ");
    schema_text_json_double(&t, 0.1);
    ck_assert_str_eq(t.bytes, "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\" 0.100000001 null null 0.1");
    free(t.bytes);
}
END_TEST

START_TEST(nearest_names) {
    static const char *const names[] = {"dense", "dropout", "flatten", "learning_rate", NULL};
    ck_assert_str_eq(schema_nearest_in("dens", names), "dense");
    ck_assert_str_eq(schema_nearest_in("Dense", names), "dense");
    ck_assert_str_eq(schema_nearest_in("dropuot", names), "dropout");
    ck_assert_str_eq(schema_nearest_in("learningrate", names), "learning_rate");
    ck_assert_ptr_null(schema_nearest_in("conv2d", names));
    ck_assert_ptr_null(schema_nearest_in("", names));
    static const char *const letters[] = {"a", "b", NULL};
    ck_assert_ptr_null(schema_nearest_in("x", letters));
    ck_assert_str_eq(schema_nearest_in("A", letters), "a");
}
END_TEST

START_TEST(names_of_things) {
    ck_assert(schema_name_valid("penguins"));
    ck_assert(schema_name_valid("0a._-"));
    ck_assert(!schema_name_valid(""));
    ck_assert(!schema_name_valid("Penguins"));
    ck_assert(!schema_name_valid("-a"));
    ck_assert(!schema_name_valid("a b"));
    ck_assert(!schema_name_valid("a/b"));
    ck_assert(schema_name_valid("a23456789012345678901234567890123456789012345678901234567890123"));
    ck_assert(!schema_name_valid("a234567890123456789012345678901234567890123456789012345678901234"));
}
END_TEST

START_TEST(pointers_escape) {
    char out[64];
    ck_assert_str_eq(schema_pointer("/a", "b/c~d", out, sizeof out), "/a/b~1c~0d");
    ck_assert_str_eq(schema_pointer_index("/a", 7, out, sizeof out), "/a/7");
}
END_TEST

Suite *suite_schema_text(void) {
    Suite *suite = suite_create("schema/text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, grows_up_to_its_limit);
    tcase_add_test(tests, json_pieces);
    tcase_add_test(tests, nearest_names);
    tcase_add_test(tests, names_of_things);
    tcase_add_test(tests, pointers_escape);
    suite_add_tcase(suite, tests);
    return suite;
}
