/* test_validation.c - another dataset as validation: it goes through the preprocessing fitted on the job's own rows, or is refused with its reasons.
 */
#include "tests/schema/training_support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_validation(void);

#define NET "{\"layers\":[{\"type\":\"dense\",\"units\":4}]}"

struct both {
    struct resolved r;
    struct loaded other;
};

static struct both resolve_both(struct loaded data, struct loaded other, const char *net, const char *job) {
    struct both b = {.r = {.loaded = data}, .other = other};
    struct schema_options options;
    struct schema_training_request request;
    json_t *d = json_loads(net, 0, NULL), *j = json_loads(job, 0, NULL);
    json_object_set_new(j, "validation", json_pack("{s:s}", "dataset", "other@1"));
    struct schema_definition *definition = schema_definition_decode(d, "/model", NULL, &b.r.problems);
    ck_assert_int_eq(schema_options_decode(j, "", schema_training_request_names, &options, &b.r.problems), 0);
    ck_assert_int_eq(schema_training_request_decode(j, "", &request, &b.r.problems), 0);
    request.validation = other.data;
    b.r.training = schema_training_resolve(definition, &options, data.data, &request, &b.r.problems);
    json_decref(d);
    json_decref(j);
    return b;
}

static void both_clear(struct both *b) {
    resolved_clear(&b->r);
    loaded_clear(&b->other);
}

static const char train_csv[] = "x,colour,k,w\n1,red,p,1\n2,blue,q,1\n3,red,p,2\n4,blue,q,2\n";

static void refused(const char *other, const char *job, const char *said) {
    struct both b = resolve_both(load_csv(train_csv, NULL), load_csv(other, NULL), NET, job);
    ck_assert_ptr_null(b.r.training);
    ck_assert_str_eq(b.r.problems.items[0].pointer, "/validation/dataset");
    ck_assert_str_eq(b.r.problems.items[0].detail, said);
    both_clear(&b);
}

/* Training sees none of the other's rows, and the other is preprocessed with the fit of training. */
START_TEST(all_rows_train_and_the_others_validate) {
    struct both b = resolve_both(load_csv(train_csv, NULL), load_csv("k,extra,colour,x,w\nq,9,green,100,1\np,9,,2.5,1\n", NULL), NET,
                                 "{\"target\":\"k\",\"features\":[\"x\",\"colour\"],\"seed\":1,\"early_stopping\":{}}");
    struct bp_error error = {0};
    struct schema_split split, held;
    ck_assert_msg(b.r.training != NULL, "%s", first_problem(&b.r));
    const struct schema_training *t = b.r.training;
    ck_assert_str_eq(t->options.stop_metric, "val_loss");
    ck_assert_double_eq(t->preprocessing->features[0].mean, 2.5);
    ck_assert_int_eq(t->preprocessing->features[1].categories_count, 2);
    struct schema_view *own = schema_view_new(t->preprocessing, b.r.loaded.data, true, &error),
                       *other = schema_view_new(t->preprocessing, b.other.data, true, &error);
    ck_assert_int_eq(schema_training_split(t, own, &split, &error), 0);
    ck_assert(split.train_count == 4 && split.validation_count == 0);
    ck_assert_int_eq(schema_training_held(t, other, &held, &error), 0);
    ck_assert(held.train_count == 0 && held.validation_count == 2 && held.validation[1] == 1);
    ck_assert_double_eq(schema_view_target(other, 0, 0), 1); /* q */
    json_t *options = schema_options_encode(&t->options);
    char *text = json_dumps(json_object_get(options, "validation"), JSON_COMPACT);
    ck_assert_str_eq(text, "{\"dataset\":\"other@1\"}");
    free(text);
    json_decref(options);
    schema_split_free(&split);
    schema_split_free(&held);
    schema_view_free(own);
    schema_view_free(other);
    both_clear(&b);
}
END_TEST

START_TEST(validation_misfits) {
    refused("x,k\n1,p\n", "{\"target\":\"k\",\"features\":[\"x\",\"colour\"]}", "other@1: it has no column \"colour\", which is a feature");
    refused("x,colour\n1,red\n", "{\"target\":\"k\",\"features\":[\"x\",\"colour\"]}", "other@1: it has no column \"k\", which is a target");
    refused("x,k\n1,p\n", "{\"target\":\"k\",\"features\":[\"x\"],\"sample_weight\":\"w\"}",
            "other@1: it has no column \"w\", which is the sample weight");
    refused("x,k\none,p\ntwo,q\n", "{\"target\":\"k\",\"features\":[\"x\"]}",
            "other@1: its column \"x\" is categorical, but in training it is numeric");
    refused("x,w,colour\nred,1,p\nblue,2,q\n", "{\"target\":\"x\",\"task\":\"regression\",\"features\":[\"w\"]}",
            "other@1: its column \"x\" is categorical, but in training it is numeric");
    refused("x,k\n1,r\n2,s\n3,\n", "{\"target\":\"k\",\"features\":[\"x\"]}",
            "other@1: none of its 3 rows can validate: 2 have a label that is absent from training, like \"r\", the others lack a value in a target");
    refused("x,k\n,p\n2,q\n", "{\"target\":\"k\",\"features\":[\"x\"],\"columns\":{\"x\":{\"missing\":\"error\"}}}",
            "other@1: its column \"x\" has 1 missing cells, which the job refuses");
    refused("colour,k\nred,p\ngreen,q\n", "{\"target\":\"k\",\"features\":[\"colour\"],\"columns\":{\"colour\":{\"unseen\":\"error\"}}}",
            "other@1: its column \"colour\" holds \"green\", which no training row has, and the job refuses unknown categories");
    struct both b = resolve_both(load_json("{\"records\":[{\"t\":[1,2],\"y\":\"a\"},{\"t\":[2,1],\"y\":\"b\"}]}"),
                                 load_json("{\"records\":[{\"t\":[1,2,3],\"y\":\"a\"},{\"t\":[2,1,3],\"y\":\"b\"}]}"), NET, "{\"target\":\"y\"}");
    ck_assert_str_eq(first_problem(&b.r), "/validation/dataset: other@1: its column \"t\" has the shape (3), but in training it has (2)");
    both_clear(&b);
    b = resolve_both(load_json("{\"records\":[{\"t\":[1,2],\"y\":\"a\"},{\"t\":[2,1],\"y\":\"b\"}]}"),
                     load_json("{\"records\":[{\"t\":[1,9],\"y\":\"a\"},{\"t\":[2,1],\"y\":\"b\"}]}"),
                     "{\"layers\":[{\"type\":\"embedding\",\"input_dim\":3,\"output_dim\":2},\"flatten\"]}", "{\"target\":\"y\"}");
    ck_assert_str_eq(first_problem(&b.r),
                     "/validation/dataset: its column \"t\" holds 9, but an embedding reads it and accepts integers from 0 to 2");
    both_clear(&b);
}
END_TEST

/* Several errors: all are reported. */
START_TEST(all_at_once) {
    struct both b = resolve_both(load_csv(train_csv, NULL), load_csv("a\n1\n", NULL), NET, "{\"target\":\"k\",\"sample_weight\":\"w\"}");
    ck_assert_ptr_null(b.r.training);
    ck_assert_int_eq(b.r.problems.total, 4); /* x, colour, k, w */
    both_clear(&b);
}
END_TEST

START_TEST(rows_that_cannot_validate_are_counted) {
    struct both b =
        resolve_both(load_csv(train_csv, NULL), load_csv("x,k\n1,p\n2,r\n3,\n4,r\n5,q\n", NULL), NET, "{\"target\":\"k\",\"features\":[\"x\"]}");
    ck_assert_msg(b.r.training != NULL, "%s", first_problem(&b.r));
    ck_assert_str_eq(json_string_value(json_array_get(b.r.training->warnings, 0)),
                     "2 of 5 rows of other@1 have a label in \"k\" that is absent from training, like \"r\": they are excluded from validation");
    ck_assert_str_eq(json_string_value(json_array_get(b.r.training->warnings, 1)),
                     "1 of 5 rows of other@1 lack a value that the job needs of every row: they are excluded from validation");
    both_clear(&b);
}
END_TEST

/* 1 and 0 in one file, texts in the other: labels are compared as texts. */
START_TEST(labels_of_another_type) {
    struct both b = resolve_both(load_csv("x,k\n1,0\n2,1\n3,0\n4,1\n", NULL), load_csv("x,k\n1,1\n2,odd\n3,0\n", NULL), NET, "{\"target\":\"k\"}");
    ck_assert_msg(b.r.training != NULL, "%s", first_problem(&b.r));
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(b.r.training->warnings, 1)), "1 of 3 rows of other@1"));
    both_clear(&b);
}
END_TEST

START_TEST(memory_counts_both) {
    struct both b = resolve_both(load_csv(train_csv, NULL), load_csv(train_csv, NULL), NET, "{\"target\":\"k\",\"seed\":1}");
    struct resolved alone = resolve_text(train_csv, NET, "{\"target\":\"k\",\"seed\":1,\"validation\":{\"fraction\":0}}");
    ck_assert_int_ge(schema_training_bytes(b.r.training, b.r.loaded.data),
                     schema_training_bytes(alone.training, alone.loaded.data) + b.other.data->bytes);
    resolved_clear(&alone);
    both_clear(&b);
}
END_TEST

Suite *suite_schema_validation(void) {
    Suite *suite = suite_create("schema/validation");
    TCase *tests = tcase_create("validation");
    tcase_add_test(tests, all_rows_train_and_the_others_validate);
    tcase_add_test(tests, validation_misfits);
    tcase_add_test(tests, all_at_once);
    tcase_add_test(tests, rows_that_cannot_validate_are_counted);
    tcase_add_test(tests, labels_of_another_type);
    tcase_add_test(tests, memory_counts_both);
    suite_add_tcase(suite, tests);
    return suite;
}
