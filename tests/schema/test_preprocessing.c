/* test_preprocessing.c - fitted on the training rows only, transformed by hand-computed numbers, read back to the same bits. */
#include "schema/preprocessing/feature.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_preprocessing(void);

/* Fits x and colour of colours_csv on the given rows. */
static struct schema_preprocessing *fit(const struct loaded *loaded, const int64_t *rows, int64_t n) {
    static const int32_t columns[] = {0, 1};
    static char a[] = "a", b[] = "b";
    char *labels[] = {a, b};
    struct bp_error error = {0};
    const struct schema_fit_target target = {.column = 2, .labels = labels, .labels_count = 2};
    const struct schema_fit how = {
        .dataset = loaded->data, .columns = columns, .columns_count = 2, .targets = &target, .targets_count = 1, .rows = rows, .n = n};
    struct schema_preprocessing *p = schema_preprocessing_fit(&how, &error);
    ck_assert_msg(p != NULL, "%s", error.message);
    return p;
}

START_TEST(numbers_by_hand) {
    struct loaded loaded = load_csv(colours_csv, NULL);
    int64_t rows[] = {0, 2, 5}; /* x: 1, 3, missing; colours red, red, green */
    struct schema_preprocessing *p = fit(&loaded, rows, 3);
    ck_assert_double_eq(p->features[0].mean, 2);
    ck_assert_double_eq(p->features[0].std, 1);
    ck_assert(p->features[0].indicator);
    ck_assert_int_eq(p->features[1].categories_count, 2);
    ck_assert_str_eq(p->features[1].categories[0], "red");
    ck_assert_str_eq(p->features[1].categories[1], "green");
    ck_assert_int_eq(p->width, 5); /* x, is x missing, red, green, unseen */
    float out[5], *at[] = {out};
    struct schema_feature_value cells[2] = {{.kind = SCHEMA_VALUE_NUMBER, .number = 4.5}, {.kind = SCHEMA_VALUE_CATEGORY, .category = 1}};
    schema_transform(p, cells, at);
    ck_assert_mem_eq(out, ((float[]){2.5f, 0, 0, 1, 0}), sizeof out);
    cells[0].kind = SCHEMA_VALUE_MISSING;
    cells[1].category = -1;
    schema_transform(p, cells, at);
    ck_assert_mem_eq(out, ((float[]){0, 1, 0, 0, 1}), sizeof out);
    cells[1].kind = SCHEMA_VALUE_MISSING;
    schema_transform(p, cells, at);
    ck_assert_mem_eq(out, ((float[]){0, 1, 0, 0, 1}), sizeof out);
    schema_preprocessing_free(p);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(rows_left_out_do_not_leak) {
    struct loaded loaded = load_csv(colours_csv, NULL),
                  other = load_csv("x,colour,label\n1,red,a\n2,green,b\n3,red,a\n4000,violet,b\n,green,a\n", NULL);
    int64_t rows[] = {0, 1, 2};
    struct schema_preprocessing *a = fit(&loaded, rows, 3), *b = fit(&other, rows, 3);
    json_t *x = schema_preprocessing_encode(a), *y = schema_preprocessing_encode(b);
    ck_assert(json_equal(x, y));
    json_decref(x);
    json_decref(y);
    schema_preprocessing_free(a);
    schema_preprocessing_free(b);
    loaded_clear(&loaded);
    loaded_clear(&other);
}
END_TEST

START_TEST(read_back_to_the_same_bits) {
    struct loaded loaded = load_csv(colours_csv, NULL);
    struct bp_error error = {0};
    int64_t rows[] = {0, 1, 3, 5, 7, 8, 10};
    struct schema_preprocessing *p = fit(&loaded, rows, 7);
    json_t *json = schema_preprocessing_encode(p);
    char *text = json_dumps(json, JSON_COMPACT);
    json_t *read = json_loads(text, 0, NULL);
    struct schema_preprocessing *q = schema_preprocessing_decode(read, &error);
    ck_assert_msg(q != NULL, "%s", error.message);
    ck_assert(p->features[0].mean == q->features[0].mean && p->features[0].std == q->features[0].std);
    struct schema_view *u = schema_view_new(p, loaded.data, true, &error), *v = schema_view_new(q, loaded.data, true, &error);
    for (int64_t row = 0; row < loaded.data->rows; row++) {
        float a[8] = {0}, b[8] = {0}, *at_a[] = {a}, *at_b[] = {b};
        schema_view_rows(u, &row, 1, NULL, at_a);
        schema_view_rows(v, &row, 1, NULL, at_b);
        ck_assert_mem_eq(a, b, sizeof a);
    }
    schema_view_free(u);
    schema_view_free(v);
    schema_preprocessing_free(p);
    schema_preprocessing_free(q);
    json_decref(json);
    json_decref(read);
    free(text);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(categories_normalise_numbers) {
    struct loaded loaded = load_csv("k,y\n6.0,a\n7,b\n6,a\n1e1,b\n", "k:categorical");
    static const int32_t column = 0;
    static char a[] = "a", b[] = "b";
    char *labels[] = {a, b};
    struct bp_error error = {0};
    int64_t rows[] = {0, 1, 2, 3};
    const struct schema_fit_target target = {.column = 1, .labels = labels, .labels_count = 2};
    const struct schema_fit how = {
        .dataset = loaded.data, .columns = &column, .columns_count = 1, .targets = &target, .targets_count = 1, .rows = rows, .n = 4};
    struct schema_preprocessing *p = schema_preprocessing_fit(&how, &error);
    const struct schema_feature *f = &p->features[0];
    ck_assert_int_eq(f->categories_count, 3);
    ck_assert_str_eq(f->categories[0], "6.0");
    ck_assert_int_eq(schema_feature_category(f, "6", 1), 0);
    ck_assert_int_eq(schema_feature_category(f, "6.00", 4), 0);
    ck_assert_int_eq(schema_feature_category(f, "10", 2), 2);
    ck_assert_int_eq(schema_feature_category(f, "8", 1), -1);
    ck_assert_int_eq(schema_feature_category(f, "", 0), -1);
    schema_preprocessing_free(p);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(a_constant_column_is_harmless) {
    struct loaded loaded = load_csv("x,y\n5,1.5\n5,2.5\n5,3.5\n", NULL);
    static const int32_t column = 0;
    struct bp_error error = {0};
    int64_t rows[] = {0, 1, 2};
    const struct schema_fit_target target = {.column = 1};
    const struct schema_fit how = {
        .dataset = loaded.data, .columns = &column, .columns_count = 1, .targets = &target, .targets_count = 1, .rows = rows, .n = 3};
    struct schema_preprocessing *p = schema_preprocessing_fit(&how, &error);
    ck_assert_double_eq(p->features[0].std, 1);
    ck_assert_double_eq(p->targets[0].mean, 2.5);
    ck_assert_double_eq_tol(p->targets[0].std, sqrt(2.0 / 3.0), 1e-15);
    struct schema_view *view = schema_view_new(p, loaded.data, true, &error);
    ck_assert_double_eq_tol(schema_view_target(view, 0, 0), -1 / sqrt(2.0 / 3.0), 1e-15);
    schema_view_free(view);
    schema_preprocessing_free(p);
    loaded_clear(&loaded);
}
END_TEST

/* ---- large, tiny, extreme ----------------------------------------------------------------------------------------------------- */

/* The first feature of a job on that CSV; the caller clears. */
static const struct schema_feature *first_feature(struct resolved *r, const char *csv, const char *job) {
    *r = resolve_text(csv, "{\"layers\":[]}", job);
    ck_assert_msg(r->training != NULL, "%s", first_problem(r));
    return &r->training->preprocessing->features[0];
}

#define REGRESSION "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0}"

/* numpy.mean and numpy.std of the numbers without what they have in common. */
START_TEST(moments_of_any_size) {
    static const struct {
        const char *csv;
        double mean, std;
    } columns[] = {
        {"x,y\n100000000000001,1\n100000000000002,2\n100000000000003,3\n100000000000004,4\n", 100000000000002.5, 1.118033988749895},
        {"x,y\n1577134857000001,1\n1577134857000002,2\n1577134857000003,3\n1577134857000004,4\n", 1577134857000002.5, 1.118033988749895},
        {"x,y\n1e300,1\n2e300,2\n3e300,3\n4e300,4\n", 2.5e300, 1.118033988749895e300},
        {"x,y\n1e-299,1\n2e-299,2\n3e-299,3\n4e-299,4\n", 2.5e-299, 1.118033988749895e-299},
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        struct resolved r;
        const struct schema_feature *f = first_feature(&r, columns[i].csv, REGRESSION "}");
        ck_assert_double_eq_tol(f->mean / columns[i].mean, 1, 1e-15);
        ck_assert_double_eq_tol(f->std / columns[i].std, 1, 1e-14);
        ck_assert_double_eq_tol(schema_scale_apply(f, f->max), 1.3416407864998738, 1e-12);
        resolved_clear(&r);
    }
}
END_TEST

START_TEST(ranges_that_no_double_holds) {
    struct resolved r = resolve_text("x,y\n-1.5e308,1\n1.5e308,2\n", "{\"layers\":[]}", REGRESSION "}");
    ck_assert_str_eq(first_problem(&r), "/features: column \"x\" ranges from -1.5e+308 to 1.5e+308 in the training rows, which exceeds the range of "
                                        "double precision; divide its numbers, or leave it out");
    resolved_clear(&r);
    r = resolve_text("x,y\n1,-1.5e308\n2,1.5e308\n", "{\"layers\":[]}", REGRESSION "}");
    ck_assert_ptr_nonnull(strstr(first_problem(&r), "/target: column \"y\" ranges from -1.5e+308 to 1.5e+308"));
    resolved_clear(&r);
    r = resolve_text("x,y\n1e-305,1\n2e-305,2\n", "{\"layers\":[]}", REGRESSION "}");
    ck_assert_ptr_nonnull(strstr(first_problem(&r), "with a deviation below 1e-300"));
    resolved_clear(&r);
    r = resolve_text("x,y\n1,1\n1e39,2\n", "{\"layers\":[]}", REGRESSION ",\"columns\":{\"x\":{\"scale\":\"none\"}}}");
    ck_assert_ptr_nonnull(strstr(first_problem(&r), "column \"x\" ranges from 1 to 1e+39 in the training rows, and its scale is \"none\""));
    resolved_clear(&r);
}
END_TEST

/* c/2 (1 + t / sqrt(1 + t^2)), t = 2 z / c - 1. */
START_TEST(a_smooth_clip) {
    ck_assert_double_eq(schema_scale_clip(3.999, 8), 3.999);
    ck_assert_double_eq(schema_scale_clip(-4, 8), -4);
    ck_assert_double_eq_tol(schema_scale_clip(8, 8), 6.82842712474619, 1e-14);
    ck_assert_double_eq_tol(schema_scale_clip(-46.5, 8), -7.982400574612214, 1e-12); /* the diamond of 58.9 mm */
    ck_assert_double_lt(schema_scale_clip(1e30, 8), 8.0000001);
    ck_assert_double_eq_tol(schema_scale_clip(2, 2), 1.7071067811865475, 1e-14);
    ck_assert_double_eq(schema_scale_clip(1e6, 0), 1e6);
}
END_TEST

/* x / sqrt(1 + (x / c)^2), by Python. */
START_TEST(a_clip_that_is_smooth_everywhere) {
    ck_assert_double_eq(schema_scale_squash(0, 8), 0);
    ck_assert_double_eq_tol(schema_scale_squash(1, 8), 0.9922778767136676, 1e-15);
    ck_assert_double_eq_tol(schema_scale_squash(-8, 8), -5.65685424949238, 1e-14);
    ck_assert_double_eq_tol(schema_scale_squash(1e30, 8), 8, 1e-14);
    ck_assert_double_eq(schema_scale_squash(1e300, 8), 1e300); /* refused as too large for float32 */
    ck_assert_double_eq(schema_scale_squash(-1e6, 0), -1e6);
}
END_TEST

/* numpy.median and numpy.percentile of 1, 2, 3, 5, 100: 3, 2, 5. */
START_TEST(robust_is_by_median_and_quartiles) {
    static const char robust[] = REGRESSION ",\"columns\":{\"x\":{\"scale\":\"robust\"}}}";
    struct resolved r;
    float out[2];
    const struct schema_feature *f = first_feature(&r, "x,y\n1,1\n2,2\n3,3\n5,4\n100,5\n", robust);
    ck_assert_double_eq(f->mean, 3);
    ck_assert_double_eq(f->std, 3);
    ck_assert_double_eq(f->fill, 3);
    ck_assert(!f->indicator);
    schema_scale_many(f, &(double){100}, 1, out, 0);
    ck_assert_float_eq_tol(out[0], 7.7658266f, 1e-6f); /* 97/3 / sqrt(1 + (97/3/8)^2) */
    resolved_clear(&r);
    f = first_feature(&r, "x,y\n0,1\n0,2\n,3\n0,4\n0,5\n0,6\n6,7\n", robust); /* the quartiles are equal: half the range */
    ck_assert_double_eq(f->mean, 0);
    ck_assert_double_eq(f->std, 3);
    ck_assert_double_eq(f->fill, 0); /* the median, and an indicator */
    ck_assert(f->indicator);
    schema_scale_many(f, (double[]){6}, 1, out, 0);
    ck_assert_float_eq_tol(out[0], 1.9402850f, 1e-6f);
    schema_scale_many(f, &(double){(double)NAN}, 1, out, 0);
    ck_assert_mem_eq(out, ((float[]){0, 1}), sizeof out);
    resolved_clear(&r);
    f = first_feature(&r, "x,y\n1,1\n2,2\n3,3\n5,4\n100,5\n",
                      REGRESSION ",\"columns\":{\"x\":{\"scale\":\"robust\",\"missing\":\"mean\",\"clip\":0}}}");
    schema_scale_many(f, &(double){100}, 1, out, 0);
    ck_assert_float_eq_tol(out[0], 32.333333f, 1e-5f);
    schema_scale_many(f, &(double){(double)NAN}, 1, out, 0);
    ck_assert_float_eq_tol(out[0], 6.4f, 1e-6f); /* the mean is 22.2 */
    resolved_clear(&r);
    f = first_feature(&r, "x,y\n7,1\n7,2\n7,3\n7,4\n7,5\n", robust);
    ck_assert(f->constant);
    schema_scale_many(f, &(double){9}, 1, out, 0);
    ck_assert_float_eq(out[0], 0);
    resolved_clear(&r);
}
END_TEST

/* A feature as an older model has it, which is clipped as it was: and one of today. */
START_TEST(robust_models_of_before_are_read) {
    static const char text[] =
        "{\"features\":[{\"name\":\"x\",\"type\":\"numeric\",\"scale\":\"robust\",\"mean\":3.0,\"std\":3.0,\"min\":1.0,\"max\":100.0,"
        "\"clip\":8.0%s,\"missing\":\"%s\",\"fill\":22.2}],\"target\":{\"name\":\"y\",\"task\":\"regression\",\"mean\":0.0,\"std\":1.0}}";
    for (int k = 0; k < 3; k++) {
        char model[500];
        float out[2];
        snprintf(model, sizeof model, text, k ? ",\"clip_form\":\"smooth\"" : "", k == 2 ? "median_and_indicator" : "mean");
        json_t *json = json_loads(model, 0, NULL);
        struct schema_preprocessing *p = schema_preprocessing_decode(json, NULL);
        ck_assert_ptr_nonnull(p);
        ck_assert_int_eq(p->features[0].indicator, k == 2);
        schema_scale_many(&p->features[0], &(double){12}, 1, out, 0);
        ck_assert_float_eq_tol(out[0], k ? 2.8089875f : 3.0f, 1e-6f);
        json_t *again = schema_preprocessing_encode(p);
        if (k < 2) ck_assert(json_equal(json, again));
        json_decref(again), json_decref(json);
        schema_preprocessing_free(p);
    }
}
END_TEST

/* 0 to 19 and one typing error: the mean is 9.5, the deviation that of the twenty. A skewed column keeps its tail. */
START_TEST(typing_errors_do_not_enter_the_scale) {
    static const char options[] = REGRESSION ",\"columns\":{\"x\":{\"clip\":0}}}";
    char csv[400] = "x,y\n1000000,1\n", skewed[400] = "x,y\n";
    struct resolved r;
    float out;
    for (int i = 0; i < 20; i++) {
        snprintf(csv + strlen(csv), sizeof csv - strlen(csv), "%d,%d\n", i, i);
        snprintf(skewed + strlen(skewed), sizeof skewed - strlen(skewed), "%d,%d\n", 1 << i, i);
    }
    const struct schema_feature *f = first_feature(&r, csv, REGRESSION "}");
    ck_assert_double_eq_tol(f->mean, 9.5, 1e-12);
    ck_assert_double_eq_tol(f->std, 5.766281297335398, 1e-12);
    ck_assert_double_eq(f->max, 1000000);
    schema_scale_many(f, &(double){1000000}, 1, &out, 0);
    ck_assert_float_eq_tol(out, 8, 1e-4f);
    resolved_clear(&r);
    f = first_feature(&r, csv, options); /* not clipped */
    schema_scale_many(f, &(double){1000000}, 1, &out, 0);
    ck_assert_float_eq_tol(out, 173420.4f, 1);
    resolved_clear(&r);
    f = first_feature(&r, skewed, REGRESSION "}"); /* numpy.mean and numpy.std of 2 ** numpy.arange(20) */
    ck_assert_double_eq_tol(f->mean, 52428.75, 1e-9);
    ck_assert_double_eq_tol(f->std, 124805.52860225183, 1e-6);
    resolved_clear(&r);
}
END_TEST

static void transform_json(struct resolved *r, const float *tensor, float *out) {
    float *at[] = {out};
    schema_transform(r->training->preprocessing, &(struct schema_feature_value){.kind = SCHEMA_VALUE_TENSOR, .tensor = tensor}, at);
}

/* Channels of sizes 1 and 1000, each by itself; a vector by its elements; one scale for all on request; constants stay constant. */
START_TEST(tensors_by_channel) {
    static const char sequences[] = "{\"records\":[{\"t\":[[1,1000],[3,3000]],\"y\":1},{\"t\":[[3,1000],[1,3000]],\"y\":2}]}",
                      vectors[] = "{\"records\":[{\"t\":[1,1000,5],\"y\":1},{\"t\":[3,3000,5],\"y\":2}]}", flat[] = "{\"layers\":[\"flatten\"]}";
    float out[4];
    struct resolved r = resolve_json(sequences, flat, REGRESSION "}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    transform_json(&r, (float[]){1, 3000, 5, 2000}, out);
    ck_assert_mem_eq(out, ((float[]){-1, 1, 3, 0}), sizeof out);
    resolved_clear(&r);
    r = resolve_json(vectors, flat, REGRESSION "}");
    transform_json(&r, (float[]){1, 3000, 99}, out);
    ck_assert_mem_eq(out, ((float[]){-1, 1, 0}), 3 * sizeof *out);
    resolved_clear(&r);
    r = resolve_json(sequences, flat, REGRESSION ",\"columns\":{\"t\":{\"scale\":\"global\"}}}"); /* numpy: mean 1001, std 1223.9287 */
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    transform_json(&r, (float[]){1, 3000, 1001, 1001}, out);
    ck_assert_float_eq_tol(out[0], -0.81704105f, 1e-6f);
    ck_assert_float_eq_tol(out[1], 1.6332651f, 1e-6f);
    ck_assert_float_eq(out[2], 0);
    resolved_clear(&r);
    r = resolve_text("x,y\n1,1\n2,2\n", "{\"layers\":[]}", REGRESSION ",\"columns\":{\"x\":{\"scale\":\"global\"}}}");
    ck_assert_str_eq(first_problem(&r), "/columns/x/scale: scale \"global\" is for tensors, but column \"x\" is numeric");
    resolved_clear(&r);
    r = resolve_text("x,y\n1,1\n2,2\n", "{\"layers\":[]}", REGRESSION ",\"columns\":{\"x\":{\"clip\":0.5}}}");
    ck_assert_str_eq(first_problem(&r), "/columns/x/clip: clip must be a number of deviations from 1 to 1e6, or 0 for none, got 0.5");
    resolved_clear(&r);
    r = resolve_text("x,y\n1,1\n2,2\n", "{\"layers\":[]}", REGRESSION ",\"columns\":{\"x\":{\"clip\":3,\"scale\":\"none\"}}}");
    ck_assert_ptr_nonnull(strstr(first_problem(&r), "/columns/x/clip: clip is for numbers and tensors that are standardised"));
    resolved_clear(&r);
}
END_TEST

/* ---- padding ------------------------------------------------------------------------------------------------------------------ */

#define MASKED "{\"layers\":[{\"type\":\"masking\"},{\"type\":\"gru\",\"units\":2,\"return_sequences\":true},{\"type\":\"dense\",\"units\":1}]}"

/* Zeros that pad are padding, whatever the scaling: they enter no mean, of the target neither, and a step at the mean is no padding. */
START_TEST(padding_is_by_raw_values) {
    struct resolved r =
        resolve_json("{\"records\":[{\"s\":[[1],[3],[0],[0]],\"y\":[[10],[20],[0],[0]]},{\"s\":[[2],[2],[2],[0]],\"y\":[[30],[40],[50],[0]]}]}",
                     MASKED, REGRESSION "}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_preprocessing *p = r.training->preprocessing;
    const struct schema_feature *f = &p->features[0];
    float out[4];
    ck_assert(f->masked);
    ck_assert_double_eq(f->channels[0].mean, 2); /* of 1, 3, 2, 2, 2 */
    ck_assert_double_eq_tol(f->channels[0].std, sqrt(0.4), 1e-12);
    ck_assert_double_eq(p->targets[0].channels[0].mean, 30); /* of 10 to 50 */
    ck_assert_double_eq_tol(p->targets[0].channels[0].std, sqrt(200), 1e-12);
    transform_json(&r, (float[]){1, 2, 0, NAN}, out);
    ck_assert_float_eq_tol(out[0], -1.5811388f, 1e-6f);
    ck_assert(out[1] != 0 && fabsf(out[1]) < 1e-30f);
    ck_assert(out[2] == 0 && out[3] == 0);
    resolved_clear(&r);
    r = resolve_json("{\"records\":[{\"s\":[[1],[3],[-9],[-9]],\"y\":1},{\"s\":[[0],[2],[4],[-9]],\"y\":2}]}",
                     "{\"layers\":[{\"type\":\"masking\",\"mask_value\":-9},{\"type\":\"gru\",\"units\":2}]}", REGRESSION "}");
    transform_json(&r, (float[]){2, -9, NAN, 0}, out); /* mean 2, deviation sqrt(2) */
    ck_assert_mem_eq(out, ((float[]){0, -9, -9, -1.4142135f}), sizeof out);
    resolved_clear(&r);
}
END_TEST

/* Whatever value replaces a constant, the network gets the value it was trained on. */
START_TEST(constants_have_no_influence) {
    struct resolved r = resolve_text("x,c,b,y\n5,red,true,1\n5,red,true,2\n5,red,true,3\n", "{\"layers\":[]}", REGRESSION "}");
    const struct schema_preprocessing *p = r.training->preprocessing;
    float seen[4], other[4], *at[] = {seen};
    ck_assert_int_eq(p->width, 4);
    const struct schema_feature_value cells[2][3] = {
        {{.kind = SCHEMA_VALUE_NUMBER, .number = 5}, {.kind = SCHEMA_VALUE_CATEGORY, .category = 0}, {.kind = SCHEMA_VALUE_NUMBER, .number = 1}},
        {{.kind = SCHEMA_VALUE_NUMBER, .number = 6}, {.kind = SCHEMA_VALUE_CATEGORY, .category = -1}, {.kind = SCHEMA_VALUE_NUMBER, .number = 0}}};
    schema_transform(p, cells[0], at);
    at[0] = other;
    schema_transform(p, cells[1], at);
    ck_assert_mem_eq(seen, ((float[]){0, 1, 0, 1}), sizeof seen);
    ck_assert_mem_eq(other, seen, sizeof seen);
    resolved_clear(&r);
}
END_TEST

/* Documents of models from before: no clip, no range, one mean for a tensor. */
START_TEST(older_documents_transform_as_they_did) {
    struct bp_error error = {0};
    json_t *json =
        json_loads("{\"features\":[{\"name\":\"x\",\"type\":\"numeric\",\"scale\":\"standard\",\"mean\":1,\"std\":2,\"missing\":\"mean\"},"
                   "{\"name\":\"t\",\"type\":\"tensor\",\"scale\":\"standard\",\"mean\":3,\"std\":0.5,\"missing\":\"zero\",\"shape\":[2]}],"
                   "\"target\":{\"name\":\"y\",\"task\":\"regression\",\"mean\":0,\"std\":1}}",
                   0, NULL);
    struct schema_preprocessing *p = schema_preprocessing_decode(json, &error);
    ck_assert_msg(p != NULL, "%s", error.message);
    float number, tensor[2], *at[] = {&number, tensor};
    const struct schema_feature_value cells[2] = {{.kind = SCHEMA_VALUE_NUMBER, .number = 1001},
                                                  {.kind = SCHEMA_VALUE_TENSOR, .tensor = (float[]){3, 103}}};
    schema_transform(p, cells, at);
    ck_assert_float_eq(number, 500);
    ck_assert_mem_eq(tensor, ((float[]){0, 200}), sizeof tensor);
    ck_assert(!schema_feature_far(&p->features[0], 1e30));
    schema_preprocessing_free(p);
    json_decref(json);
}
END_TEST

START_TEST(damaged_documents_are_refused) {
    static const char *const texts[] = {"{}",
                                        "{\"features\":[],\"target\":{\"name\":\"y\"}}",
                                        "{\"features\":[{\"name\":\"x\",\"type\":\"numeric\",\"mean\":0,\"std\":0}],\"target\":{\"name\":\"y\","
                                        "\"task\":\"regression\",\"mean\":0,\"std\":1}}",
                                        "{\"features\":[{\"name\":\"x\",\"type\":\"tensor\",\"mean\":0,\"std\":1,\"shape\":[-1]}],\"target\":{"
                                        "\"name\":\"y\",\"task\":\"regression\",\"mean\":0,\"std\":1}}",
                                        "{\"features\":[{\"name\":\"x\",\"type\":\"categorical\",\"categories\":[1]}],\"target\":{\"name\":\"y\","
                                        "\"task\":\"regression\",\"mean\":0,\"std\":1}}",
                                        "{\"features\":[],\"target\":{\"name\":\"y\",\"task\":\"classification\",\"labels\":[\"a\"]}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bp_error error = {0};
        json_t *json = json_loads(texts[i], 0, NULL);
        ck_assert_ptr_null(schema_preprocessing_decode(json, &error));
        ck_assert_str_ne(error.message, "");
        json_decref(json);
    }
}
END_TEST

Suite *suite_schema_preprocessing(void) {
    Suite *suite = suite_create("schema/preprocessing");
    TCase *tests = tcase_create("preprocessing");
    tcase_add_test(tests, numbers_by_hand);
    tcase_add_test(tests, rows_left_out_do_not_leak);
    tcase_add_test(tests, read_back_to_the_same_bits);
    tcase_add_test(tests, categories_normalise_numbers);
    tcase_add_test(tests, a_constant_column_is_harmless);
    tcase_add_test(tests, moments_of_any_size);
    tcase_add_test(tests, ranges_that_no_double_holds);
    tcase_add_test(tests, a_smooth_clip);
    tcase_add_test(tests, a_clip_that_is_smooth_everywhere);
    tcase_add_test(tests, robust_is_by_median_and_quartiles);
    tcase_add_test(tests, robust_models_of_before_are_read);
    tcase_add_test(tests, typing_errors_do_not_enter_the_scale);
    tcase_add_test(tests, tensors_by_channel);
    tcase_add_test(tests, padding_is_by_raw_values);
    tcase_add_test(tests, constants_have_no_influence);
    tcase_add_test(tests, older_documents_transform_as_they_did);
    tcase_add_test(tests, damaged_documents_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
