/* test_target_values.c - transforms and clamp of a numeric target: by hand and as SciPy, there and back; the positive class; what is refused. */
#include "schema/preprocessing/feature.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_target_values(void);

#define EMPTY "{\"layers\":[]}"
#define JOB   "{\"target\":\"y\",\"task\":\"regression\",\"seed\":1,\"validation\":{\"fraction\":0}"

static const char skewed_csv[] = "x,y\n1,1\n2,2\n3,4\n4,8\n5,1000\n";

static void refused(const char *csv, const char *definition, const char *job, const char *said) {
    struct resolved r = resolve_text(csv, definition, job);
    ck_assert_ptr_null(r.training);
    ck_assert_msg(strstr(first_problem(&r), said) != NULL, "%s\nlacks %s", first_problem(&r), said);
    resolved_clear(&r);
}

static const struct schema_target *target_of(struct resolved *r, const char *csv, const char *more) {
    char job[300];
    snprintf(job, sizeof job, JOB "%s}", more);
    *r = resolve_text(csv, EMPTY, job);
    ck_assert_msg(r->training != NULL, "%s", first_problem(r));
    return &r->training->preprocessing->targets[0];
}

START_TEST(transforms_by_hand) {
    static const struct {
        enum schema_target_transform transform;
        double lambda, value, result;
    } cases[] = {
        {SCHEMA_TRANSFORM_LOG, 0, 8, 2.0794415416798357},
        {SCHEMA_TRANSFORM_LOG1P, 0, -0.5, -0.6931471805599453},
        {SCHEMA_TRANSFORM_SQRT, 0, 9, 3},
        {SCHEMA_TRANSFORM_BOX_COX, 0, 8, 2.0794415416798357},
        {SCHEMA_TRANSFORM_BOX_COX, 2, 3, 4},
        {SCHEMA_TRANSFORM_BOX_COX, -1, 4, 0.75},
        {SCHEMA_TRANSFORM_YEO_JOHNSON, 1, -7.5, -7.5},
        {SCHEMA_TRANSFORM_YEO_JOHNSON, 0, 7, 2.0794415416798357},
        {SCHEMA_TRANSFORM_YEO_JOHNSON, 2, -7, -2.0794415416798357},
        {SCHEMA_TRANSFORM_YEO_JOHNSON, 3, 1, 7.0 / 3},
        {SCHEMA_TRANSFORM_YEO_JOHNSON, 0.5, -3, -14.0 / 3},
        {SCHEMA_TRANSFORM_NONE, 0, 5, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_double_eq_tol(schema_transform_apply(cases[i].transform, cases[i].lambda, cases[i].value), cases[i].result, 1e-14);
        ck_assert_double_eq_tol(schema_transform_invert(cases[i].transform, cases[i].lambda, cases[i].result), cases[i].value, 1e-13);
    }
    ck_assert(isnan(schema_transform_apply(SCHEMA_TRANSFORM_LOG, 0, 0)));
    ck_assert(isnan(schema_transform_apply(SCHEMA_TRANSFORM_LOG1P, 0, -1)));
    ck_assert(isnan(schema_transform_apply(SCHEMA_TRANSFORM_SQRT, 0, -0.1)));
    ck_assert(isnan(schema_transform_apply(SCHEMA_TRANSFORM_BOX_COX, 1, 0)));
    ck_assert_double_eq(schema_transform_invert(SCHEMA_TRANSFORM_SQRT, 0, -2), 0);
}
END_TEST

/* scipy.stats.boxcox_normmax(v, method="mle") and yeojohnson_normmax(v). */
START_TEST(lambdas_as_scipy_has_them) {
    static const double v[] = {1, 2, 3, 5, 8, 13, 21, 34, 55, 89}, w[] = {-20, -3, -1, 0, 0.5, 1, 2, 4, 9, 30};
    ck_assert_double_eq_tol(schema_transform_fit(SCHEMA_TRANSFORM_BOX_COX, v, 10), 0.020790, 1e-4);
    ck_assert_double_eq_tol(schema_transform_fit(SCHEMA_TRANSFORM_YEO_JOHNSON, w, 10), 0.950792, 1e-4);
    ck_assert_double_eq(schema_transform_fit(SCHEMA_TRANSFORM_BOX_COX, (double[]){2, 2, 2}, 3), 1); /* of one value all are as likely */
    ck_assert_double_eq(schema_transform_fit(SCHEMA_TRANSFORM_LOG, v, 10), 1);
}
END_TEST

START_TEST(there_and_back) {
    static const char *const transforms[] = {"log", "log1p", "sqrt", "yeo-johnson", "box-cox"};
    static const double values[] = {1, 2, 4, 8, 1000};
    for (size_t k = 0; k < sizeof transforms / sizeof *transforms; k++) {
        struct resolved r;
        char more[60];
        double sum = 0, squares = 0;
        snprintf(more, sizeof more, ",\"transform\":\"%s\"", transforms[k]);
        const struct schema_target *t = target_of(&r, skewed_csv, more);
        struct schema_view *view = schema_view_new(r.training->preprocessing, r.loaded.data, true, NULL);
        json_t *json = schema_preprocessing_encode(r.training->preprocessing);
        struct schema_preprocessing *again = schema_preprocessing_decode(json, NULL);
        ck_assert_ptr_nonnull(again);
        for (int64_t row = 0; row < 5; row++) {
            const double z = schema_view_target(view, 0, row);
            sum += z, squares += z * z;
            ck_assert_double_eq_tol(schema_target_value(t, 0, z) / values[row], 1, 1e-12);
            ck_assert_double_eq(schema_target_value(&again->targets[0], 0, z), schema_target_value(t, 0, z));
            /* Metrics are in the target's own unit. */
            ck_assert_double_eq_tol(schema_target_measured(t, 0, z, true) * schema_target_metric_unit(t, 0) + schema_target_metric_origin(t, 0),
                                    values[row], 1e-9);
        }
        ck_assert_double_eq_tol(sum, 0, 1e-12);
        ck_assert_double_eq_tol(squares, 5, 1e-12);
        ck_assert_double_eq_tol(schema_target_metric_unit(t, 0), 398.507214489274, 1e-9); /* numpy.std of the values */
        ck_assert_double_gt(schema_target_step(t, 0, 2), schema_target_step(t, 0, 0) * 0.999);
        schema_preprocessing_free(again);
        json_decref(json);
        schema_view_free(view);
        resolved_clear(&r);
    }
}
END_TEST

START_TEST(predictions_are_clamped) {
    struct resolved r;
    const struct schema_target *t = target_of(&r, skewed_csv, ",\"clamp\":true");
    ck_assert_double_eq(schema_target_value(t, 0, 1000), 1000);
    ck_assert_double_eq(schema_target_value(t, 0, -1000), 1);
    ck_assert_double_eq(schema_target_value(t, 0, 0), 203);
    ck_assert_double_eq(schema_target_measured(t, 0, 1000, true), (1000 - t->mean) / t->std);
    ck_assert_double_eq_tol(schema_target_measured(t, 0, 1000, false), 1000, 1e-9); /* the truth may be outside */
    resolved_clear(&r);
    t = target_of(&r, skewed_csv, ",\"clamp\":{\"y\":true},\"transform\":{\"y\":\"log\"}");
    ck_assert_double_eq(schema_target_value(t, 0, 1000), 1000);
    ck_assert_double_eq(schema_target_value(t, 0, -1000), 1);
    resolved_clear(&r);
    t = target_of(&r, skewed_csv, ",\"transform\":\"box-cox\""); /* lambda is negative: there is no value beyond -1/lambda */
    ck_assert_double_lt(t->lambda, 0);
    ck_assert_double_eq(schema_target_value(t, 0, 1000), 1000);
    resolved_clear(&r);
    t = target_of(&r, skewed_csv, ",\"clamp\":false,\"transform\":\"none\"");
    ck_assert(!schema_target_curved(t));
    json_t *json = schema_preprocessing_encode(r.training->preprocessing);
    ck_assert_ptr_null(json_object_get(json_object_get(json, "target"), "range"));
    json_decref(json);
    resolved_clear(&r);
}
END_TEST

START_TEST(what_cannot_be_transformed_is_refused) {
    refused(
        "x,y\n1,3\n2,0\n3,4\n4,-5\n", EMPTY, JOB ",\"transform\":\"log\"}",
        "/transform: the transform log needs values above 0, but \"y\" holds 0 in row 2; use yeo-johnson, which takes every number, or correct the "
        "value");
    refused("x,y\n1,3\n2,0\n3,4\n4,-5\n", EMPTY, JOB ",\"transform\":{\"y\":\"log1p\"}}",
            "/transform/y: the transform log1p needs values above -1, but \"y\" holds -5 in row 4");
    refused("x,y\n1,3\n2,0\n3,4\n4,-5\n", EMPTY, JOB ",\"transform\":\"sqrt\"}", "needs values not below 0, but \"y\" holds -5 in row 4");
    refused(skewed_csv, EMPTY, JOB ",\"transform\":\"ln\"}",
            "/transform: transform is one of none, log, log1p, sqrt, yeo-johnson, box-cox, got the string \"ln\"");
    refused(skewed_csv, EMPTY, JOB ",\"transform\":3}", "/transform: transform is one of");
    refused(skewed_csv, EMPTY, JOB ",\"clamp\":1}", "/clamp: clamp is true or false, got");
    refused(skewed_csv, EMPTY, JOB ",\"clamp\":{\"x\":true}}", "/clamp/x: column \"x\" is not a target of this job");
    refused("x,y\n1,a\n2,b\n3,a\n4,b\n", EMPTY, "{\"target\":\"y\",\"transform\":\"log\"}",
            "/transform: transform is for a target that is one number, and this job has none");
    refused("x,y\n1,a\n2,b\n3,a\n4,b\n", EMPTY, "{\"target\":\"y\",\"clamp\":{\"y\":true}}",
            "/clamp/y: clamp is for a target that is one number, which \"y\" is not");
    refused(skewed_csv, "{\"layers\":[],\"loss\":\"gaussian_nll\"}", JOB ",\"transform\":\"log\"}",
            "/transform: the loss gaussian_nll predicts a deviation, which a transformed \"y\" does not have in its own unit; use the loss quantile");
    refused(skewed_csv, "{\"layers\":[],\"loss\":\"poisson\"}", JOB ",\"transform\":\"sqrt\"}", "/transform: the loss poisson learns \"y\" as it is");
}
END_TEST

static void labels_are(const char *csv, const char *more, const char *first, const char *second) {
    struct resolved r;
    char job[200];
    snprintf(job, sizeof job, "{\"target\":\"y\",\"task\":\"classification\",\"seed\":1%s}", more);
    r = resolve_text(csv, EMPTY, job);
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_str_eq(r.training->preprocessing->targets[0].labels[0], first);
    ck_assert_str_eq(r.training->preprocessing->targets[0].labels[1], second);
    resolved_clear(&r);
}

START_TEST(the_positive_class_is_the_second) {
    static const char words[] = "x,y\n1,no\n2,yes\n3,no\n4,yes\n5,no\n6,yes\n", digits[] = "x,y\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n",
                      truths[] = "x,y\n1,true\n2,false\n3,true\n4,false\n5,true\n6,false\n";
    labels_are(words, "", "no", "yes");
    labels_are(words, ",\"positive_class\":\"yes\"", "no", "yes");
    labels_are(words, ",\"positive_class\":\"no\"", "yes", "no");
    labels_are(words, ",\"positive_class\":{\"y\":\"no\"}", "yes", "no");
    labels_are(digits, ",\"positive_class\":0", "1", "0");
    labels_are(truths, ",\"positive_class\":false", "true", "false");
    struct resolved r = resolve_text(
        words, EMPTY,
        "{\"target\":\"y\",\"seed\":1,\"positive_class\":\"no\",\"class_weights\":{\"no\":3,\"yes\":1},\"validation\":{\"fraction\":0}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_target *t = &r.training->preprocessing->targets[0];
    ck_assert(t->class_weights[0] == 1 && t->class_weights[1] == 3);
    struct schema_view *view = schema_view_new(r.training->preprocessing, r.loaded.data, true, NULL);
    ck_assert_double_eq(schema_view_target(view, 0, 0), 1); /* "no" */
    schema_view_free(view);
    resolved_clear(&r);
    refused(words, EMPTY, "{\"target\":\"y\",\"positive_class\":\"yess\"}",
            "/positive_class: \"y\" has the classes \"no\" and \"yes\", but not \"yess\", did you mean \"yes\"?");
    refused(words, EMPTY, "{\"target\":\"y\",\"positive_class\":[1]}",
            "/positive_class: positive_class is one of the two classes, like \"yes\", got");
    refused("x,y\n1,a\n2,b\n3,c\n4,a\n5,b\n6,c\n", EMPTY, "{\"target\":\"y\",\"positive_class\":\"a\"}",
            "/positive_class: positive_class is for a target of two classes, and this job has none");
}
END_TEST

Suite *suite_schema_target_values(void) {
    Suite *suite = suite_create("schema/target_values");
    TCase *tests = tcase_create("target_values");
    tcase_add_test(tests, transforms_by_hand);
    tcase_add_test(tests, lambdas_as_scipy_has_them);
    tcase_add_test(tests, there_and_back);
    tcase_add_test(tests, predictions_are_clamped);
    tcase_add_test(tests, what_cannot_be_transformed_is_refused);
    tcase_add_test(tests, the_positive_class_is_the_second);
    suite_add_tcase(suite, tests);
    return suite;
}
