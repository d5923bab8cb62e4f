/* test_folds.c - cross-validation: every row validates once, classes and groups as they should, each fold fitted on its own training rows alone. */
#include "schema/resolve/folds.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_folds(void);

/* ---- which fold ---- */

enum { ROWS = 1003, CLASSES = 4 };

/* Of each class, and of all rows, the folds get the same number or one more: what StratifiedKFold guarantees of classes. */
static void dealt_evenly(const struct schema_folds *folds) {
    uint8_t fold[ROWS];
    int64_t counts[CLASSES + 1][SCHEMA_FOLDS_MAX] = {{0}};
    ck_assert_int_eq(schema_folds_assign(folds, fold, NULL), 0);
    for (int64_t i = 0; i < folds->n; i++) {
        ck_assert(fold[i] >= 1 && fold[i] <= folds->count);
        counts[CLASSES][fold[i] - 1]++;
        if (folds->classes) counts[folds->classes[i]][fold[i] - 1]++;
    }
    for (int c = folds->classes ? 0 : CLASSES; c <= CLASSES; c++) {
        int64_t least = ROWS, most = 0;
        for (int32_t k = 0; k < folds->count; k++) {
            least = counts[c][k] < least ? counts[c][k] : least;
            most = counts[c][k] > most ? counts[c][k] : most;
        }
        ck_assert_msg(most - least <= 1, "class %d of %d folds: %d to %d rows", c, folds->count, (int)least, (int)most);
    }
}

START_TEST(folds_are_even) {
    int32_t classes[ROWS];
    for (int i = 0; i < ROWS; i++) classes[i] = i % 100 == 0 ? 0 : i % 7 == 0 ? 1 : i < 300 ? 2 : 3; /* from a few rows to most of them */
    for (int32_t count = 2; count <= SCHEMA_FOLDS_MAX; count++) {
        dealt_evenly(&(struct schema_folds){.count = count, .seed = 5, .n = ROWS, .classes = classes, .classes_count = CLASSES});
        dealt_evenly(&(struct schema_folds){.count = count, .seed = 5, .n = ROWS});
        dealt_evenly(&(struct schema_folds){.count = count, .seed = 5, .n = count, .classes = classes, .classes_count = CLASSES});
    }
}
END_TEST

/* Written down once: a job goes on with the same folds in another process, or an older one. */
START_TEST(folds_do_not_change) {
    static const uint8_t plain[] = {3, 3, 2, 1, 3, 3, 1, 2, 1, 2, 2, 1}, by_class[] = {2, 2, 3, 1, 1, 3, 3, 3, 2, 1, 2, 1};
    int32_t classes[12];
    uint8_t fold[12], other[12];
    for (int32_t i = 0; i < 12; i++) classes[i] = i % 3;
    struct schema_folds folds = {.count = 3, .seed = 42, .n = 12};
    ck_assert_int_eq(schema_folds_assign(&folds, fold, NULL), 0);
    ck_assert_mem_eq(fold, plain, sizeof plain);
    folds.classes = classes;
    folds.classes_count = 3;
    ck_assert_int_eq(schema_folds_assign(&folds, fold, NULL), 0);
    ck_assert_mem_eq(fold, by_class, sizeof by_class);
    folds.seed = 43;
    ck_assert_int_eq(schema_folds_assign(&folds, other, NULL), 0);
    ck_assert(memcmp(fold, other, sizeof fold) != 0);
    ck_assert_uint_eq(schema_fold_seed(42, 0), 42);
    ck_assert_uint_eq(schema_fold_seed(42, 1), UINT64_C(12476330182921271204));
    ck_assert_uint_ne(schema_fold_seed(42, 1), schema_fold_seed(42, 2));
    ck_assert_uint_ne(schema_fold_seed(42, 1), schema_fold_seed(43, 1));
}
END_TEST

START_TEST(groups_stay_whole) {
    /* groups of 6, 4, 3, 3, 2, 2 rows and one row without: as scikit-learn's GroupKFold deals them */
    struct loaded loaded =
        load_csv("g,x\nb,1\na,1\na,1\na,1\na,1\na,1\na,1\nb,1\nb,1\nb,1\nc,1\nc,1\nc,1\nd,1\nd,1\nd,1\ne,1\ne,1\nf,1\nf,1\n,1\n", NULL);
    struct schema_groups groups;
    struct bp_error error = {0};
    int64_t rows[21], sizes[3] = {0};
    uint8_t fold[21];
    for (int i = 0; i < 21; i++) rows[i] = i;
    ck_assert_int_eq(schema_groups_find(loaded.data, 0, rows, 21, &groups, &error), 0);
    ck_assert_int_eq(groups.count, 6);
    ck_assert_int_eq(groups.rows, 20);
    struct schema_folds folds = {.count = 2, .seed = 1, .n = 21, .groups = &groups};
    ck_assert_int_eq(schema_folds_assign(&folds, fold, &error), 0);
    for (int i = 0; i < 21; i++) {
        sizes[fold[i]]++;
        for (int k = 0; k < i; k++)
            if (schema_dataset_code(loaded.data, 0, i) == schema_dataset_code(loaded.data, 0, k)) ck_assert_uint_eq(fold[i], fold[k]);
    }
    ck_assert(sizes[0] == 1 && sizes[1] == 11 && sizes[2] == 9 && fold[20] == 0);
    folds.count = 7;
    ck_assert_int_eq(schema_folds_assign(&folds, fold, &error), -1);
    ck_assert_str_eq(error.pointer, "/validation/group");
    ck_assert_str_eq(error.message, "there are 6 groups, fewer than the 7 folds");
    schema_groups_free(&groups);
    loaded_clear(&loaded);
}
END_TEST

/* ---- what a fold is fitted on ---- */

#define NET "{\"layers\":[{\"type\":\"dense\",\"units\":4}]}"

/* 24 rows: x counts up, missing in one row; colour is red or blue, and once green; k is p twice as often as q. */
static const char numbers_csv[] =
    "x,colour,k\n0,red,p\n1,blue,q\n2,red,p\n3,blue,p\n4,red,q\n5,blue,p\n6,red,p\n7,blue,q\n8,green,p\n9,blue,p\n10,red,q\n,blue,"
    "p\n12,red,p\n13,blue,q\n14,red,p\n15,blue,p\n16,red,q\n17,blue,p\n18,red,p\n19,blue,q\n20,red,p\n21,blue,p\n22,red,q\n23,blue,p\n";

static json_t *spec_of(const struct resolved *r, const char *job) {
    json_t *spec = schema_training_encode(r->training), *asked = json_loads(job, 0, NULL);
    json_object_set_new(spec, "request", schema_training_request_encode(asked));
    json_decref(asked);
    return spec;
}

START_TEST(each_fold_is_fitted_on_its_own_rows) {
    static const char job[] = "{\"target\":\"k\",\"seed\":9,\"class_weights\":\"balanced\",\"validation\":{\"folds\":4}}";
    struct resolved r = resolve_text(numbers_csv, NET, job);
    struct bp_error error = {0};
    int validated[24] = {0}, with_green = 0, with_missing = 0;
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    json_t *spec = spec_of(&r, job);
    for (int32_t fold = 1; fold <= 4; fold++) {
        struct schema_training *t = schema_training_fold(spec, r.loaded.data, fold, &error);
        ck_assert_msg(t != NULL, "%s", error.message);
        const struct schema_preprocessing *p = t->preprocessing;
        struct schema_view *view = schema_view_new(p, r.loaded.data, true, &error);
        struct schema_split split;
        double sum = 0, n = 0, of_p = 0;
        bool green = false, missing = false;
        ck_assert_int_eq(schema_training_split(t, view, &split, &error), 0);
        ck_assert_int_eq(split.train_count, 18);
        ck_assert_int_eq(split.validation_count, 6);
        for (int i = 0; i < 6; i++) validated[split.validation[i]]++;
        for (int i = 0; i < 18; i++) {
            const int64_t row = split.train[i];
            if (row == 11) missing = true;
            else sum += (double)row, n++;
            green = green || row == 8;
            of_p += row % 3 != 1;
        }
        ck_assert_double_eq_tol(p->features[0].mean, sum / n, 1e-12);
        ck_assert(p->features[0].indicator == missing);
        ck_assert_int_eq(p->features[1].categories_count, green ? 3 : 2);
        ck_assert_int_eq(t->network->nodes[0].out.dims[0], p->width);
        ck_assert_double_eq_tol(p->targets[0].class_weights[0], 18 / (2 * of_p), 1e-12);
        ck_assert_uint_eq(schema_training_options(t).seed, schema_fold_seed(9, fold));
        with_green += green;
        with_missing += missing;
        schema_split_free(&split);
        schema_view_free(view);
        schema_training_free(t);
    }
    for (int i = 0; i < 24; i++) ck_assert_int_eq(validated[i], 1);
    ck_assert(with_green == 3 && with_missing == 3); /* the fold that validates the row knows nothing of it */
    ck_assert_double_eq_tol(r.training->preprocessing->features[0].mean, (276.0 - 11) / 23, 1e-12); /* the last fit uses all rows */
    ck_assert_uint_eq(schema_training_options(r.training).seed, 9);
    json_decref(spec);
    resolved_clear(&r);
}
END_TEST

/* The mean target of green is that of its only row. In the fold in which that row validates nothing of its target may be known. */
START_TEST(target_means_exclude_the_fold) {
    static const char job[] =
        "{\"target\":\"x\",\"features\":[\"colour\"],\"columns\":{\"colour\":{\"encode\":\"target\",\"smoothing\":0}},\"seed\":9,"
        "\"validation\":{\"folds\":4}}";
    struct resolved r = resolve_text(numbers_csv, NET, job);
    struct bp_error error = {0};
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    json_t *spec = spec_of(&r, job);
    for (int32_t fold = 1; fold <= 4; fold++) {
        struct schema_training *t = schema_training_fold(spec, r.loaded.data, fold, &error);
        ck_assert_msg(t != NULL, "%s", error.message);
        struct schema_view *view = schema_view_new(t->preprocessing, r.loaded.data, true, &error);
        const struct schema_feature *f = &t->preprocessing->features[0];
        struct schema_split split;
        double sums[2] = {0}, rows[2] = {0};
        ck_assert_int_eq(schema_training_split(t, view, &split, &error), 0);
        for (int64_t i = 0; i < split.train_count; i++)
            if (split.train[i] != 8) sums[split.train[i] % 2] += (double)split.train[i], rows[split.train[i] % 2]++; /* red is even, blue odd */
        ck_assert_double_eq_tol(f->means[schema_feature_category(f, "red", 3)], sums[0] / rows[0], 1e-9);
        ck_assert_double_eq_tol(f->means[schema_feature_category(f, "blue", 4)], sums[1] / rows[1], 1e-9);
        schema_split_free(&split);
        schema_view_free(view);
        schema_training_free(t);
    }
    json_decref(spec);
    resolved_clear(&r);
}
END_TEST

START_TEST(several_outputs_resolve_again) {
    static const char job[] = "{\"target\":[\"k\",\"x\"],\"seed\":9,\"validation\":{\"folds\":3},\"early_stopping\":{\"metric\":\"val_k_accuracy\"}}";
    struct resolved r = resolve_text(numbers_csv, NET, job);
    struct bp_error error = {0};
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    json_t *spec = spec_of(&r, job);
    struct schema_training *t = schema_training_fold(spec, r.loaded.data, 2, &error);
    ck_assert_msg(t != NULL, "%s", error.message);
    ck_assert(t->network->outputs_count == 2 && schema_training_options(t).stop_early);
    ck_assert(!schema_training_options(r.training).stop_early); /* the fit on all rows has nothing to watch */
    json_t *first = schema_definition_encode(r.training->definition), *second = schema_definition_encode(t->definition);
    ck_assert(json_equal(first, second));
    json_decref(first);
    json_decref(second);
    json_decref(spec);
    schema_training_free(t);
    resolved_clear(&r);
}
END_TEST

START_TEST(networks_that_need_a_width) {
#define RESHAPE(n) "{\"layers\":[{\"type\":\"reshape\",\"target_shape\":[" #n ",1]},\"flatten\"]}"
    struct resolved r = resolve_text(numbers_csv, RESHAPE(4), "{\"target\":\"k\",\"features\":[\"colour\"],\"seed\":9,\"validation\":{\"folds\":4}}");
    ck_assert_ptr_null(r.training); /* without green there are 3 inputs */
    ck_assert_msg(strstr(first_problem(&r), "/validation/folds: the features of fold") != NULL, "%s", first_problem(&r));
    resolved_clear(&r);
    r = resolve_text(numbers_csv, RESHAPE(1),
                     "{\"target\":\"k\",\"features\":[\"x\"],\"columns\":{\"x\":{\"missing\":\"mean\"}},\"validation\":{\"folds\":4}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r)); /* one in all folds */
    resolved_clear(&r);
}
END_TEST

/* ---- warnings before it begins ---- */

static void refused(const char *job, const char *said) {
    struct resolved r = resolve_text(numbers_csv, NET, job);
    ck_assert_ptr_null(r.training);
    ck_assert_msg(strstr(first_problem(&r), said) != NULL, "%s\nlacks %s", first_problem(&r), said);
    resolved_clear(&r);
}

START_TEST(unusable_folds_are_refused) {
    refused("{\"target\":\"k\",\"validation\":{\"folds\":1}}", "/validation/folds: folds must be an integer of at least 2 and at most 20, got 1");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":21}}", "/validation/folds: ");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":\"5\"}}", "/validation/folds: ");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":2.5}}", "/validation/folds: ");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":5,\"fraction\":0.2}}", "/validation/fraction: with folds every row validates once");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":5,\"time\":\"x\"}}", "/validation/time: folds can only be combined with group");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":5,\"column\":\"x\"}}", "/validation/column: folds can only be combined with group");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":5,\"dataset\":\"d\"}}", "/validation/dataset: folds can only be combined with group");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":5,\"group\":\"colour\"}}", "/validation/group: there are 3 groups, fewer than the 5 folds");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":5,\"group\":\"color\"}}",
            "/validation/group: the dataset has no column \"color\", did you mean");
    refused("{\"target\":\"k\",\"validation\":{\"folds\":5},\"early_stopping\":{\"metric\":\"val_mae\"}}", "/early_stopping/metric: ");
    struct resolved r = resolve_text("x,k\n1,p\n2,q\n3,p\n", NET, "{\"target\":\"k\",\"validation\":{\"folds\":5}}");
    ck_assert_str_eq(first_problem(&r), "/validation/folds: 5 folds need at least 5 rows; there are 3 usable rows");
    resolved_clear(&r);
}
END_TEST

static void warned(const char *csv, const char *job, const char *said) {
    struct resolved r = resolve_text(csv, NET, job);
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const char *first = json_string_value(json_array_get(r.training->warnings, 0));
    ck_assert_msg(first && strstr(first, said), "%s", first ? first : "no warning");
    resolved_clear(&r);
}

START_TEST(warnings_of_folds) {
    warned("x,k\n1,p\n2,q\n3,p\n4,p\n5,q\n6,p\n7,p\n", "{\"target\":\"k\",\"validation\":{\"folds\":3}}",
           "class \"q\" of \"k\" has 2 rows, fewer than the 3 folds: some folds have no validation row of it");
    warned("x,k\n1,p\n2,q\n3,p\n4,r\n5,s\n6,p\n7,p\n", "{\"target\":\"k\",\"validation\":{\"folds\":3}}",
           "3 classes of \"k\" have fewer rows than the 3 folds, like \"q\" with 1");
    warned("x,g,k\n1,a,p\n2,b,q\n3,,p\n4,b,q\n5,c,p\n6,d,q\n", "{\"target\":\"k\",\"validation\":{\"folds\":3,\"group\":\"g\"}}",
           "1 rows have no value in \"g\": they train in every fold and validate in none");
}
END_TEST

/* A fit on all rows may need more than that of a fold; the estimate is never less. */
START_TEST(memory_is_that_of_the_largest_fit) {
    struct resolved all = resolve_text(numbers_csv, NET, "{\"target\":\"k\",\"seed\":1,\"validation\":{\"fraction\":0}}"),
                    folds = resolve_text(numbers_csv, NET, "{\"target\":\"k\",\"seed\":1,\"validation\":{\"folds\":4}}");
    ck_assert_int_ge(schema_training_bytes(folds.training, folds.loaded.data), schema_training_bytes(all.training, all.loaded.data));
    resolved_clear(&all);
    resolved_clear(&folds);
}
END_TEST

Suite *suite_schema_folds(void) {
    Suite *suite = suite_create("schema/folds");
    TCase *tests = tcase_create("folds");
    tcase_add_test(tests, folds_are_even);
    tcase_add_test(tests, folds_do_not_change);
    tcase_add_test(tests, groups_stay_whole);
    tcase_add_test(tests, each_fold_is_fitted_on_its_own_rows);
    tcase_add_test(tests, target_means_exclude_the_fold);
    tcase_add_test(tests, several_outputs_resolve_again);
    tcase_add_test(tests, networks_that_need_a_width);
    tcase_add_test(tests, unusable_folds_are_refused);
    tcase_add_test(tests, warnings_of_folds);
    tcase_add_test(tests, memory_is_that_of_the_largest_fit);
    suite_add_tcase(suite, tests);
    return suite;
}
