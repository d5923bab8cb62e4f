/* test_ingest.c - what users are warned of, the types they give, the order of calls, the table of formats. */
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_schema_ingest(void);

#define CSV_WARNS(text, warnings) check_warnings(load_csv(text, NULL), warnings, __LINE__)

START_TEST(warnings) {
    CSV_WARNS("a,b\n1,x\n2,y\n3,x\n", "[]");
    CSV_WARNS("a,b\n1,\n2,NA\n", "[\"column \\\"b\\\" is empty: every value is missing; it is inferred as numeric\"]");
    CSV_WARNS("a,b,c,d\n1,7,x,true\n2,7,x,true\n",
              "[\"column \\\"b\\\" is constant\",\"column \\\"c\\\" is constant\",\"column \\\"d\\\" is constant\"]");
    CSV_WARNS("a,b\n1,x\n2,NA\n3,?\n4,x\n5,\n", "[\"column \\\"b\\\": 2 cells such as NA, NaN or ? are kept as categories, because the column holds "
                                                "text; leave such cells empty if they are missing\"]");
    CSV_WARNS("a\n1\n2\n3\nabc\n", "[\"column \\\"a\\\" is inferred as categorical: most of its values are numbers, but not all (\\\"abc\\\")\"]");
    CSV_WARNS("a,b\n\"1,5\",1\n\"2,5\",2\n",
              "[\"column \\\"a\\\" is inferred as categorical: its numbers seem to have a decimal comma (\\\"1,5\\\"); write "
              "a point, or send the file again with decimal=comma\"]");
    CSV_WARNS("1,2\n3,4\n4,3\n",
              "[\"the first line looks like data, so the columns are named c0, c1, ...; if it is a header, send the file again with "
              "header=true\"]");
    CSV_WARNS("0,1,2\n3,4,5\n4,3,6\n",
              "[\"the first line is all numbers, and is used as the header; if it is data, send the file again with header=false\"]");
}
END_TEST

START_TEST(identifiers) {
    char text[2000] = "id\n";
    for (int i = 0; i < 50; i++) sprintf(text + strlen(text), "k%d\n", i);
    check_warnings(load_csv(text, NULL), "[]", __LINE__);
    strcat(text, "last\n");
    check_warnings(load_csv(text, NULL),
                   "[\"column \\\"id\\\" looks like an identifier: all its 51 values are distinct; leave it out of the features\"]", __LINE__);
}
END_TEST

/* 60 rows of what `row` prints. */
static void warns(const char *header, void (*row)(int i, char *out, size_t size), const char *expected, int line) {
    char text[8000];
    size_t n = (size_t)snprintf(text, sizeof text, "%s\n", header);
    for (int i = 0; i < 60; i++) row(i, text + n, sizeof text - n), n += strlen(text + n);
    check_warnings(load_csv(text, NULL), expected, line);
}

static void counting(int i, char *out, size_t size) {
    snprintf(out, size, "%d,%d\n", i + 7, i % 5);
}
static void temperatures(int i, char *out, size_t size) {
    double celsius = (i * 37 % 101) / 4.0;
    snprintf(out, size, "%.4f,%.4f,%.4f,%d\n", celsius, celsius * 1.8 + 32, -celsius, i * 53 % 97);
}
static void twins(int i, char *out, size_t size) {
    int a = i * i % 11;
    if (i == 30) snprintf(out, size, ",,red,on\n");
    else snprintf(out, size, "%d,%d,%s,%s\n", a, a, i % 3 ? "red" : "blue", i % 3 ? "on" : "off");
}
static void nearly(int i, char *out, size_t size) { /* one row differs */
    snprintf(out, size, "%d,%d,%s,%s\n", i % 7, i == 59 ? 9 : i % 7, i % 3 ? "red" : "blue", i % 3 || i == 57 ? "on" : "off");
}
static void dates(int i, char *out, size_t size) {
    snprintf(out, size, "2024-%02d-%02d,%d/%d/2023 12:00,%d\n", i % 12 + 1, i % 28 + 1, i % 12 + 1, i % 28 + 1, i % 4);
}

START_TEST(suspicions) {
    warns("id,x", counting, "[\"column \\\"id\\\" looks like an identifier: it counts up by one from row to row; leave it out of the features\"]",
          __LINE__);
    warns("c,f,m,x", temperatures,
          "[\"columns \\\"c\\\" and \\\"f\\\" are equal up to scale and shift; if one is the target, the other leaks it\","
          "\"columns \\\"c\\\" and \\\"m\\\" are equal up to scale and shift; if one is the target, the other leaks it\","
          "\"columns \\\"f\\\" and \\\"m\\\" are equal up to scale and shift; if one is the target, the other leaks it\"]",
          __LINE__);
    warns("a,b,colour,state", twins,
          "[\"columns \\\"a\\\" and \\\"b\\\" are equal; if one is the target, the other leaks it\","
          "\"columns \\\"colour\\\" and \\\"state\\\" correspond one to one; if one is the target, the other leaks it\"]",
          __LINE__);
    warns("a,b,colour,state", nearly, "[]", __LINE__);
    warns("d,e,x", dates, "[\"column \\\"e\\\" holds dates of the format %m/%d/%Y %H:%M; to keep the texts, send it with types=e:categorical\"]",
          __LINE__);
}
END_TEST

START_TEST(imbalance) {
    char text[4000] = "x,ok\n";
    for (int i = 0; i < 100; i++) sprintf(text + strlen(text), "%d,%s\n", i * 7 % 13, i == 40 || i == 70 ? "no" : "yes");
    check_warnings(load_csv(text, NULL), "[\"column \\\"ok\\\" is imbalanced if it is the target: \\\"no\\\" has 2 of 100 rows\"]", __LINE__);
    memcpy(strstr(text, "yes"), "no ", 3);
    check_warnings(load_csv(text, NULL), "[]", __LINE__);
}
END_TEST

START_TEST(at_most_twenty_warnings) {
    char text[2000] = "";
    for (int i = 0; i < 30; i++) sprintf(text + strlen(text), "%sc%d", i ? "," : "", i);
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < 30; i++) strcat(text, i ? ",1" : "\n1");
    struct loaded loaded = load_csv(text, NULL);
    ck_assert_int_eq(20, (int)json_array_size(loaded.warnings));
    ck_assert_str_eq("column \"c18\" is constant", json_string_value(json_array_get(loaded.warnings, 18)));
    ck_assert_str_eq("and 11 more warnings", json_string_value(json_array_get(loaded.warnings, 19)));
    loaded_clear(&loaded);
}
END_TEST

START_TEST(types_in_a_query) {
    struct schema_problems problems = {0};
    struct schema_column_type *types = NULL;
    int32_t count = 0;
    ck_assert_int_eq(0, schema_column_types_parse(" a:categorical, \"b,\"\"c:d\"\" \": numeric ,caf\xC3\xA9:boolean", &types, &count, &problems));
    ck_assert_int_eq(3, count);
    ck_assert_str_eq("a", types[0].name);
    ck_assert_int_eq(SCHEMA_CATEGORICAL, types[0].type);
    ck_assert(types[0].hwc);
    ck_assert_str_eq("b,\"c:d\" ", types[1].name);
    ck_assert_int_eq(SCHEMA_NUMERIC, types[1].type);
    ck_assert_str_eq("caf\xC3\xA9", types[2].name);
    schema_column_types_free(types, count);
    ck_assert_int_eq(0, schema_column_types_parse("", &types, &count, &problems));
    ck_assert_int_eq(0, count);
    static const struct {
        const char *text, *detail;
    } bad[] = {{"a", "types: expected column:type,column:type, got \"a\"; put a column name with a comma or colon in double quotes"},
               {":numeric", "types: expected column:type,column:type, got \"\"; put a column name with a comma or colon in double quotes"},
               {"a:categorial", "\"categorial\" is not a column type (column \"a\"), did you mean \"categorical\"? Types are numeric, categorical, "
                                "boolean, datetime, text, tensor and labels"},
               {"a:numeric,a:boolean", "types names the column \"a\" twice"},
               {"a:", "\"\" is not a column type (column \"a\"). Types are numeric, categorical, boolean, datetime, text, tensor and labels"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(-1, schema_column_types_parse(bad[i].text, &types, &count, &problems));
        ck_assert_str_eq(bad[i].detail, problems.items[0].detail);
        ck_assert_ptr_null(types);
        schema_problems_clear(&problems);
    }
}
END_TEST

START_TEST(types_in_json) {
    struct schema_problems problems = {0};
    struct schema_column_type *types = NULL;
    int32_t count = 0;
    json_t *object =
        json_loads("{\"a\":\"numeric\",\"t\":{\"type\":\"tensor\",\"shape\":[3,4,5],\"layout\":\"chw\"},\"u\":{\"type\":\"tensor\"}}", 0, NULL);
    ck_assert_int_eq(0, schema_column_types_decode(object, "/types", &types, &count, &problems));
    ck_assert_int_eq(3, count);
    ck_assert_int_eq(3, types[1].shape.rank);
    ck_assert_int_eq(5, types[1].shape.dims[2]);
    ck_assert(!types[1].hwc && types[2].hwc && types[2].shape.rank == 0);
    schema_column_types_free(types, count);
    json_decref(object);
    object = json_loads("{\"a/b\":{\"type\":\"numeric\",\"shape\":[3]},\"t\":{\"type\":\"tensor\",\"layout\":\"hcw\"}}", 0, NULL);
    ck_assert_int_eq(-1, schema_column_types_decode(object, "/dataset/types", &types, &count, &problems));
    ck_assert_int_eq(2, problems.count);
    ck_assert_str_eq("/dataset/types/a~1b", problems.items[0].pointer);
    ck_assert_str_eq("shape and layout are for the type tensor only", problems.items[0].detail);
    ck_assert_str_eq("layout is \"hwc\" (height, width, channels) or \"chw\"", problems.items[1].detail);
    schema_problems_clear(&problems);
    json_decref(object);
}
END_TEST

START_TEST(formats) {
    ck_assert_ptr_nonnull(schema_format_for("text/csv"));
    ck_assert_ptr_eq(schema_format_for("text/csv"), schema_format_for(" Text/CSV; charset=utf-8"));
    ck_assert_str_eq("json", schema_format_for("application/json ;x=y")->entry.name);
    ck_assert_ptr_null(schema_format_for("text/plain"));
    ck_assert_ptr_null(schema_format_for("text/csvx"));
    ck_assert_ptr_null(schema_format_for(""));
    ck_assert_ptr_null(schema_format_for(NULL));
    for (int32_t i = 0; i < schema_formats.count; i++) {
        ck_assert_ptr_nonnull(schema_formats.entries[i]->summary);
        if (i) ck_assert_int_lt(strcmp(schema_formats.entries[i - 1]->name, schema_formats.entries[i]->name), 0);
    }
}
END_TEST

/* After an error only close is allowed, and other calls fail quietly. */
START_TEST(after_an_error) {
    struct schema_problems problems = {0};
    struct schema_ingest *ingest = NULL;
    int fd = nameless_file();
    ck_assert_int_eq(0, schema_ingest_open(schema_format_for("application/x-ndjson"), NULL, fd, &ingest, &problems));
    char text[600] = "{\"a\":1,\"a\":2}\n"; /* the first bytes are buffered until their type is known */
    memset(text + 14, ' ', sizeof text - 14);
    ck_assert_int_eq(-1, schema_ingest_feed(ingest, text, sizeof text, &problems));
    ck_assert_int_eq(1, problems.count);
    ck_assert_int_eq(-1, schema_ingest_feed(ingest, "{}\n", 3, &problems));
    ck_assert_int_eq(-1, schema_ingest_finish(ingest, &problems));
    ck_assert_int_eq(1, problems.count);
    schema_ingest_close(ingest);
    schema_ingest_close(NULL);
    schema_problems_clear(&problems);
    close(fd);
}
END_TEST

START_TEST(given_up_in_the_middle) {
    static const char *const types[] = {"text/csv", "application/json"};
    for (int i = 0; i < 2; i++) {
        struct schema_problems problems = {0};
        struct schema_ingest *ingest = NULL;
        int fd = nameless_file();
        ck_assert_int_eq(0, schema_ingest_open(schema_format_for(types[i]), NULL, fd, &ingest, &problems));
        ck_assert_int_eq(0, schema_ingest_feed(ingest, "{\"a", 3, &problems));
        schema_ingest_close(ingest);
        close(fd);
    }
}
END_TEST

/* The cells of a refused row were never written: nothing may count them (found by sending garbage under the sanitizer). */
START_TEST(a_faulty_row_of_codes_is_not_counted) {
    struct loaded loaded = load_csv("flag,kind,x\ntrue,u,1\nfalse\ntrue,v,2\n", NULL);
    ck_assert_int_eq(loaded.failed, -1);
    ck_assert_int_eq(loaded.problems.total, 1);
    ck_assert_int_eq(loaded.problems.items[0].line, 3);
    loaded_clear(&loaded);
}
END_TEST

Suite *suite_schema_ingest(void) {
    Suite *suite = suite_create("schema ingest");
    TCase *tests = tcase_create("ingest");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_faulty_row_of_codes_is_not_counted);
    tcase_add_test(tests, warnings);
    tcase_add_test(tests, identifiers);
    tcase_add_test(tests, suspicions);
    tcase_add_test(tests, imbalance);
    tcase_add_test(tests, at_most_twenty_warnings);
    tcase_add_test(tests, types_in_a_query);
    tcase_add_test(tests, types_in_json);
    tcase_add_test(tests, formats);
    tcase_add_test(tests, after_an_error);
    tcase_add_test(tests, given_up_in_the_middle);
    suite_add_tcase(suite, tests);
    return suite;
}
