/* test_types.c - walks the table of column types: every type declares what it needs, takes an upload, and gives it out so that it can be uploaded
 * again as CSV and as JSON. A type without an example here fails. */
#include "schema/dataset/rows.h"
#include "schema/types.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_types(void);

/* An upload of one column in each form, and its rows as they are given out. */
struct example {
    const char *type, *csv, *json, *rows;
};
static const struct example examples[] = {
    {"numeric", "c,k\n1.5,a\n,b\n", "{\"records\":[{\"c\":1.5,\"k\":\"a\"},{\"c\":null,\"k\":\"b\"}]}",
     "{\"c\":1.5,\"k\":\"a\"}\n{\"c\":null,\"k\":\"b\"}"},
    {"categorical", "c,k\nred,a\n,b\n", "{\"records\":[{\"c\":\"red\",\"k\":\"a\"},{\"c\":null,\"k\":\"b\"}]}",
     "{\"c\":\"red\",\"k\":\"a\"}\n{\"c\":null,\"k\":\"b\"}"},
    {"boolean", "c,k\ntrue,a\n,b\n", "{\"records\":[{\"c\":true,\"k\":\"a\"},{\"c\":null,\"k\":\"b\"}]}",
     "{\"c\":true,\"k\":\"a\"}\n{\"c\":null,\"k\":\"b\"}"},
    {"datetime", "c,k\n2024-01-31,a\n,b\n", "{\"records\":[{\"c\":\"2024-01-31\",\"k\":\"a\"},{\"c\":null,\"k\":\"b\"}]}",
     "{\"c\":\"2024-01-31\",\"k\":\"a\"}\n{\"c\":null,\"k\":\"b\"}"},
    {"text", "c,k\n\"one, two\",a\n,b\n", "{\"records\":[{\"c\":\"one, two\",\"k\":\"a\"},{\"c\":null,\"k\":\"b\"}],\"types\":{\"c\":\"text\"}}",
     "{\"c\":\"one, two\",\"k\":\"a\"}\n{\"c\":null,\"k\":\"b\"}"},
    {"tensor", "c,k\n\"[1,2.5]\",a\n,b\n", "{\"records\":[{\"c\":[1,2.5],\"k\":\"a\"},{\"c\":null,\"k\":\"b\"}]}",
     "{\"c\":[1,2.5],\"k\":\"a\"}\n{\"c\":null,\"k\":\"b\"}"},
    {"labels", "c,k\n\"[\"\"x\"\",\"\"y\"\"]\",a\n,b\n", "{\"records\":[{\"c\":[\"x\",\"y\"],\"k\":\"a\"},{\"c\":null,\"k\":\"b\"}]}",
     "{\"c\":[\"x\",\"y\"],\"k\":\"a\"}\n{\"c\":null,\"k\":\"b\"}"},
};

static const struct example *example_of(const char *type) {
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        if (strcmp(examples[i].type, type) == 0) return &examples[i];
    ck_abort_msg("type \"%s\" has no example in test_types.c", type);
}

START_TEST(declared) {
    for (int32_t i = 0; i < SCHEMA_TYPES_COUNT; i++) {
        enum schema_type parsed;
        const struct schema_type_ops *ops = schema_type_of(schema_type_at(i));
        ck_assert_msg(schema_type_parse(ops->name, &parsed) && parsed == schema_type_at(i), "%s: name", ops->name);
        ck_assert_msg(ops->summary && *ops->summary && ops->summary[strlen(ops->summary) - 1] != '.', "%s: summary", ops->name);
        ck_assert_msg(ops->kinds && ops->describe && ops->cell_json && ops->write, "%s: stored columns", ops->name);
        ck_assert_msg(ops->store && ops->count && ops->copy, "%s: uploads", ops->name);
        ck_assert_msg(ops->has_format == (ops->check_format != NULL), "%s: check_format", ops->name);
        ck_assert_msg(!ops->has_format || ops->complete, "%s: complete", ops->name);
        ck_assert_msg(ops->has_shape == (ops->storage == SCHEMA_HELD_AS_TENSOR), "%s: shape", ops->name);
        const bool categories = ops->categories_max > 0;
        ck_assert_msg(categories == (ops->categories && ops->category_text && ops->join && ops->category), "%s: categories", ops->name);
        ck_assert_msg(categories || ops->storage != SCHEMA_HELD_AS_CODE, "%s: codes without categories", ops->name);
        ck_assert_msg(!ops->plain_numbers || ops->storage == SCHEMA_HELD_AS_NUMBER, "%s: plain_numbers", ops->name);
        ck_assert_msg(!ops->flag == !ops->set_flag, "%s: flag", ops->name);
        if (ops->fit) ck_assert_msg(ops->transform && ops->put && ops->encode && ops->decode && ops->read && ops->scan, "%s: features", ops->name);
        else ck_assert_msg(ops->not_feature && ops->left_out, "%s: not_feature", ops->name);
        ck_assert_msg(ops->target != SCHEMA_TARGET_NONE || ops->not_target, "%s: not_target", ops->name);
    }
}
END_TEST

/* The order of inference, which is part of the contract: what the docs say of a column that fits several types. */
START_TEST(precedence) {
    static const char *const order[] = {"labels", "tensor", "datetime", "text", "numeric", "categorical", "boolean"};
    enum schema_type types[SCHEMA_TYPES_COUNT];
    size_t at = 0;
    schema_types_by_precedence(types);
    for (int32_t i = 0; i < SCHEMA_TYPES_COUNT; i++) /* others may stand between them */
        if (at < sizeof order / sizeof *order && strcmp(schema_type_name(types[i]), order[at]) == 0) at++;
    ck_assert_uint_eq(at, sizeof order / sizeof *order);
}
END_TEST

/* All rows in a format. The caller's. */
static char *written(const struct schema_dataset *data, enum schema_rows_format format) {
    const struct schema_rows_request request = {.format = format, .count = data->rows};
    struct schema_rows *rows = schema_rows_new(data, &request);
    char *text = calloc(1, 1);
    size_t total = 0, size = 0;
    const char *bytes;
    ck_assert_ptr_nonnull(rows);
    while (schema_rows_next(rows, &bytes, &size) == 0 && size > 0) {
        text = realloc(text, total + size + 1);
        memcpy(text + total, bytes, size);
        text[total += size] = '\0';
    }
    schema_rows_free(rows);
    return text;
}

static void check_upload(const struct example *e, struct loaded loaded, const char *what) {
    char *text = loaded.failed ? problems_text(&loaded) : rows_text(loaded.data);
    ck_assert_msg(strcmp(text, e->rows) == 0, "%s, %s:\ngot  %s\nwant %s", e->type, what, text, e->rows);
    ck_assert_str_eq(schema_type_name(loaded.data->columns[0].type), e->type);
    ck_assert_int_eq(loaded.data->columns[0].missing, 1);
    free(text);
}

START_TEST(round_trip) {
    for (int32_t i = 0; i < SCHEMA_TYPES_COUNT; i++) {
        const char *name = schema_type_name(schema_type_at(i));
        const struct example *e = example_of(name);
        char types[64];
        snprintf(types, sizeof types, "c:%s", name);
        struct loaded csv = load_csv(e->csv, types), json = load_json(e->json);
        check_upload(e, csv, "CSV");
        check_upload(e, json, "JSON");
        char *as_csv = written(csv.data, SCHEMA_ROWS_CSV), *as_json = written(json.data, SCHEMA_ROWS_JSON);
        const struct schema_column_type given = {.name = (char[]){"c"}, .type = schema_type_at(i), .hwc = true};
        const struct schema_ingest_options options = {.types = &given, .types_count = 1};
        struct loaded csv_again = load_csv(as_csv, types),
                      json_again = load_pieces("application/json", as_json, strlen(as_json), strlen(as_json), &options);
        check_upload(e, csv_again, "CSV written and read");
        check_upload(e, json_again, "JSON written and read");
        struct loaded *all[] = {&csv, &json, &csv_again, &json_again};
        for (int k = 0; k < 4; k++) loaded_clear(all[k]);
        free(as_csv);
        free(as_json);
    }
}
END_TEST

/* The `types` of a query are refused with this. */
static void check_types(const char *types, const char *expected) {
    struct loaded loaded = {0};
    struct schema_column_type *list;
    int32_t count;
    ck_assert_int_eq(-1, schema_column_types_parse(types, &list, &count, &loaded.problems));
    char *text = problems_text(&loaded);
    ck_assert_str_eq(text, expected);
    free(text);
    schema_problems_clear(&loaded.problems);
}

/* Messages list the types from the table. */
START_TEST(listed) {
    check_types("c:nonesuch",
                "[{\"detail\":\"\\\"nonesuch\\\" is not a column type (column \\\"c\\\"). Types are numeric, categorical, boolean, datetime, "
                "text, tensor and labels\"}]");
    check_types("c:text:%Y", "[{\"detail\":\"a format is for the types datetime and numeric only\"}]");
    JSON_REFUSED("{\"records\":[{\"c\":1}],\"types\":{\"c\":1}}",
                 "[{\"pointer\":\"/types/c\",\"detail\":\"expected a type: \\\"numeric\\\", \\\"categorical\\\", \\\"boolean\\\", \\\"datetime\\\", "
                 "\\\"text\\\", \\\"labels\\\", \\\"tensor\\\" or {\\\"type\\\":\\\"tensor\\\",\\\"shape\\\":[28,28,1]}\"}]");
}
END_TEST

Suite *suite_schema_types(void) {
    Suite *suite = suite_create("schema/types");
    TCase *cases = tcase_create("types");
    tcase_add_test(cases, declared);
    tcase_add_test(cases, precedence);
    tcase_add_test(cases, round_trip);
    tcase_add_test(cases, listed);
    suite_add_tcase(suite, cases);
    return suite;
}
