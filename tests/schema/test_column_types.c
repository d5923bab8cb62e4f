/* test_column_types.c - columns of times and texts, from the upload to the network's inputs: what is stored, what a training row sees, what a
 * prediction sees. Figures of the bag of words are scikit-learn's (TfidfVectorizer with sublinear_tf and the pattern \w+). */
#include "schema/predict/predictor.h"
#include "schema/preprocessing/feature.h"
#include "tests/memory_file.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_schema_column_types(void);

/* ---- stored ------------------------------------------------------------------------------------------------------------- */

START_TEST(times) {
    CSV_ROWS("t,x\n2024-01-31,1\n,2\n1969-12-31,3\n", NULL, "{\"t\":\"2024-01-31\",\"x\":1}\n{\"t\":null,\"x\":2}\n{\"t\":\"1969-12-31\",\"x\":3}");
    CSV_ROWS("t\n2024-01-31T12:00:00+02:00\n2024-01-31\n", NULL, "{\"t\":\"2024-01-31T10:00:00Z\"}\n{\"t\":\"2024-01-31T00:00:00Z\"}");
    CSV_ROWS("t\n1/31/2024\nNA\n", "t:datetime:%m/%d/%Y", "{\"t\":\"2024-01-31\"}\n{\"t\":null}");
    CSV_ROWS("t\n1706659200\n", "t:datetime", "{\"t\":\"2024-01-31\"}");
    CSV_ROWS("t\n20240131\n", "t:datetime:%Y%m%d", "{\"t\":\"2024-01-31\"}");
    JSON_ROWS("{\"records\":[{\"t\":\"2024-01-31\"},{\"t\":null}]}", "{\"t\":\"2024-01-31\"}\n{\"t\":null}");
    JSON_ROWS("{\"records\":[{\"t\":20240131}],\"types\":{\"t\":{\"type\":\"datetime\",\"format\":\"%Y%m%d\"}}}", "{\"t\":\"2024-01-31\"}");
    CSV_ROWS("t\n2024-01-31\nsoon\n", NULL, "{\"t\":\"2024-01-31\"}\n{\"t\":\"soon\"}"); /* a date among words is a category */
    CSV_REFUSED(
        "t\n2024-01-31\nsoon\n", "t:datetime",
        "[{\"line\":3,\"column\":\"t\",\"value\":\"soon\",\"detail\":\"expected a date or time like 2024-01-31 or 2024-01-31T12:00:00Z, or seconds "
        "since 1970; the column was given the type datetime. Correct the value, leave it empty if it is missing, or send the data again with "
        "types=t:categorical\"}]");
    CSV_REFUSED(
        "t\n31/12/2023\n", "t:datetime:%m/%d/%Y",
        "[{\"line\":2,\"column\":\"t\",\"value\":\"31/12/2023\",\"detail\":\"expected a date or time like \\\"%m/%d/%Y\\\"; the column was given the "
        "type datetime. Correct the value, leave it empty if it is missing, or send the data again with types=t:datetime:%25d/%25m/%25Y\"}]");
    CSV_ROWS("t\n2024-01-31\n1/31/2024\n", "t:datetime:%m/%d/%Y", "{\"t\":\"2024-01-31\"}\n{\"t\":\"2024-01-31\"}"); /* as rows are given out */
    struct loaded loaded = load_csv("t\n2024-01-31\n2024-02-02\n", NULL);
    char *text = column_text(loaded.data, 0);
    ck_assert_str_eq(text,
                     "{\"name\":\"t\",\"type\":\"datetime\",\"missing\":0,\"min\":\"2024-01-31\",\"max\":\"2024-02-02\",\"mean\":\"2024-02-01\"}");
    free(text);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(texts) {
    CSV_ROWS("t,x\n\"Hello, world\",1\n,2\nNA,3\n", "t:text", "{\"t\":\"Hello, world\",\"x\":1}\n{\"t\":null,\"x\":2}\n{\"t\":null,\"x\":3}");
    JSON_ROWS("{\"records\":[{\"t\":\"a\"},{\"t\":5},{\"t\":true},{}],\"types\":{\"t\":\"text\"}}",
              "{\"t\":\"a\"}\n{\"t\":\"5\"}\n{\"t\":\"true\"}\n{\"t\":null}");
    struct loaded loaded = load_csv("t\na b c\nd\n\"\"\n", "t:text");
    char *text = column_text(loaded.data, 0);
    ck_assert_str_eq(text, "{\"name\":\"t\",\"type\":\"text\",\"missing\":1,\"words\":{\"min\":1,\"max\":3,\"mean\":2}}");
    free(text);
    loaded_clear(&loaded);
}
END_TEST

/* Sentences are texts, labels are not, and neither are sentences that repeat. */
START_TEST(which_are_texts) {
    char csv[8000] = "s,l,r\n";
    for (int i = 0; i < 40; i++)
        sprintf(csv + strlen(csv), "the quick brown fox number %d jumps,kind %d of two,one of these two sentences %d here\n", i, i % 2, i % 2);
    struct loaded loaded = load_csv(csv, NULL);
    ck_assert_int_eq(loaded.data->columns[0].type, SCHEMA_TEXT);
    ck_assert_int_eq(loaded.data->columns[1].type, SCHEMA_CATEGORICAL);
    ck_assert_int_eq(loaded.data->columns[2].type, SCHEMA_CATEGORICAL);
    loaded_clear(&loaded);
}
END_TEST

/* A few cells of one text among many different numbers are missing; where the numbers are few, or the texts many, they are categories. */
START_TEST(texts_for_missing_numbers) {
    char csv[4000] = "n,class,ragged\n";
    for (int i = 0; i < 60; i++) {
        const bool odd = i % 15 == 3;
        sprintf(csv + strlen(csv), odd ? "%s,x,w%d\n" : "%s%d,%d,%d\n", odd ? "k.A." : "", i, i % 10, i);
    }
    struct loaded loaded = load_csv(csv, NULL);
    ck_assert_int_eq(loaded.data->columns[0].type, SCHEMA_NUMERIC);
    ck_assert_int_eq(loaded.data->columns[0].missing, 4);
    ck_assert_double_eq(schema_dataset_number(loaded.data, 0, 2), 2);
    ck_assert(isnan(schema_dataset_number(loaded.data, 0, 3)));
    ck_assert_int_eq(loaded.data->columns[1].type, SCHEMA_CATEGORICAL);
    ck_assert_int_eq(loaded.data->columns[2].type, SCHEMA_CATEGORICAL);
    ck_assert_str_eq(json_string_value(json_array_get(loaded.warnings, 0)),
                     "column \"n\": 4 cells hold \"k.A.\" and are treated as missing, because all others are numbers; give the column the type "
                     "categorical to keep them");
    loaded_clear(&loaded);
    loaded = load_csv(csv, "n:categorical");
    ck_assert_int_eq(loaded.data->columns[0].type, SCHEMA_CATEGORICAL);
    loaded_clear(&loaded);
}
END_TEST

/* Text i of a column. */
static size_t long_text(int i, char *out) {
    const size_t size = (size_t)(i * 7919 % 3000) + 1;
    for (size_t k = 0; k < size; k++) out[k] = (char)('a' + (i + (int)k) % 26);
    return size;
}

static void check_long_texts(const struct schema_dataset *data, int rows, int from) {
    char want[3100];
    struct bp_error error = {0};
    ck_assert_msg(schema_dataset_verify(data, &error) == 0, "%s", error.message);
    for (int i = 0; i < rows; i++) {
        size_t size, wanted = long_text(i, want);
        const char *text = schema_dataset_text(data, 0, from + i, &size);
        if (i % 10 == 3) ck_assert_ptr_null(text);
        else ck_assert(size == wanted && memcmp(text, want, size) == 0);
        ck_assert_double_eq(schema_dataset_number(data, 1, from + i), i);
    }
}

/* Megabytes of text, more than is held at once, beside a column of numbers; damage is found; rows are appended. */
START_TEST(long_texts) {
    enum { ROWS = 3000 };
    const struct schema_column_type type = {.name = (char[]){"t"}, .type = SCHEMA_TEXT};
    const struct schema_ingest_options options = {.types = &type, .types_count = 1};
    char *csv = malloc((size_t)ROWS * 3100), *p = csv + sprintf(csv, "t,x\n");
    for (int i = 0; i < ROWS; i++) {
        if (i % 10 != 3) p += long_text(i, p);
        p += sprintf(p, ",%d\n", i);
    }
    struct loaded loaded = load_pieces("text/csv", csv, (size_t)(p - csv), 100000, &options);
    ck_assert(!loaded.failed);
    check_long_texts(loaded.data, ROWS, 0);

    struct bp_error error = {0};
    struct schema_dataset *damaged = NULL;
    int fd = nameless_file();
    loaded.file[200000] ^= 1;
    ck_assert(write(fd, loaded.file, loaded.file_size) == (ssize_t)loaded.file_size);
    ck_assert_int_eq(schema_dataset_open(fd, 0, &damaged, &error), 0);
    ck_assert_int_ne(schema_dataset_verify(damaged, &error), 0);
    schema_dataset_free(damaged);
    close(fd);
    loaded_clear(&loaded);
    free(csv);
}
END_TEST

START_TEST(base64_tensors) {
    const char *rows = "{\"x\":[1,2,3]}\n{\"x\":[1,2.5,-1]}";
    JSON_ROWS("{\"records\":[{\"x\":\"AQID\"},{\"x\":\"AACAPwAAIEAAAIC/\"}],\"types\":{\"x\":{\"type\":\"tensor\",\"shape\":[3]}}}", rows);
    JSON_REFUSED("{\"records\":[{\"x\":\"AQIDBA==\"}],\"types\":{\"x\":{\"type\":\"tensor\",\"shape\":[3]}}}",
                 "[{\"pointer\":\"/records/0/x\",\"column\":\"x\",\"value\":\"AQIDBA==\",\"detail\":\"expected an array of numbers of shape (3), but "
                 "its base64 has neither one nor four bytes per number\"}]");
    JSON_REFUSED(
        "{\"records\":[{\"x\":\"no!\"}],\"types\":{\"x\":{\"type\":\"tensor\",\"shape\":[3]}}}",
        "[{\"pointer\":\"/records/0/x\",\"column\":\"x\",\"value\":\"no!\",\"detail\":\"expected an array of numbers of shape (3), but it is "
        "neither an array nor base64\"}]");
}
END_TEST

/* ---- input of a network -------------------------------------------------------------------------------------------------- */

static const char one_layer[] = "{\"layers\":[{\"type\":\"dense\",\"units\":2}]}";

/* Column `name` of the words, -1 when it is none. */
static int32_t word_at(const struct schema_feature *f, const char *word) {
    for (int32_t i = 0; i < f->categories_count; i++)
        if (strcmp(f->categories[i], word) == 0) return i;
    return -1;
}

START_TEST(a_bag_of_words) {
    struct resolved r =
        resolve_json("{\"records\":[{\"t\":\"the cat sat on the mat\",\"y\":1.5},{\"t\":\"The dog sat\",\"y\":2.5},{\"t\":\"a dog and a cat and "
                     "a dog\",\"y\":0.5},{\"t\":\"Mat!\",\"y\":4.5}],\"types\":{\"t\":\"text\"}}",
                     one_layer, "{\"target\":\"y\",\"validation\":{\"fraction\":0},\"seed\":1}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    static const struct {
        int row;
        const char *word;
        double value;
    } want[] = {{0, "cat", 0.365745807}, {0, "mat", 0.365745807}, {0, "on", 0.463902179}, {0, "sat", 0.365745807},
                {0, "the", 0.619261481}, {1, "dog", 0.577350269}, {2, "a", 0.674712542},  {2, "and", 0.544353831},
                {2, "dog", 0.429174813}, {3, "mat", 1.0},         {3, "cat", 0},          {1, "the", 0.577350269}};
    const struct schema_preprocessing *p = r.training->preprocessing;
    struct schema_view *view = schema_view_new(p, r.loaded.data, true, NULL);
    ck_assert_int_eq(p->width, 8);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        float out[8], none[1], *at[] = {out};
        schema_view_rows(view, &(int64_t){want[i].row}, 1, none, at);
        ck_assert_msg(fabs((double)out[word_at(&p->features[0], want[i].word)] - want[i].value) < 1e-6, "%s", want[i].word);
    }
    schema_view_free(view);
    resolved_clear(&r);
}
END_TEST

/* kind a: rows 0..5, y 10 20 30 10 20 30; kind b: one row, y 100. */
START_TEST(target_means) {
    struct resolved r =
        resolve_text("k,y\na,10\na,20\na,30\na,10\na,20\na,30\nb,100\n", one_layer,
                     "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0},\"seed\":1,\"columns\":{\"k\":{\"encode\":"
                     "\"target\",\"smoothing\":2}}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_preprocessing *p = r.training->preprocessing;
    const struct schema_feature *f = &p->features[0];
    const double all = 220.0 / 7;
    ck_assert_double_eq_tol(f->means[schema_feature_category(f, "a", 1)], (120 + 2 * all) / 8, 1e-9);
    ck_assert_double_eq_tol(f->means[schema_feature_category(f, "b", 1)], (100 + 2 * all) / 3, 1e-9);
    ck_assert_double_eq_tol(f->means[2], all, 1e-9); /* nothing is known of the unseen */

    /* A training row is encoded with the means of the other folds. */
    static const double y[] = {10, 20, 30, 10, 20, 30, 100};
    const int64_t rows[] = {0, 1, 2, 3, 4, 5, 6};
    struct schema_view *view = schema_view_new(p, r.loaded.data, true, NULL);
    ck_assert_int_eq(schema_view_leave_folds_out(view, rows, 7, NULL), 0);
    int folds = 0;
    for (int64_t row = 0; row < 7; row++) {
        double sum = 0, n = 0, total = 0, others = 0;
        for (int64_t i = 0; i < 7; i++) {
            if (schema_means_fold(i) == schema_means_fold(row)) continue;
            total += y[i], others++;
            if ((i == 6) == (row == 6)) sum += y[i], n++;
        }
        float out, none[1], *at[] = {&out};
        schema_view_rows(view, &row, 1, none, at);
        ck_assert_double_eq_tol((double)out * f->std + f->mean, (sum + 2 * total / others) / (n + 2), 1e-4);
        folds |= 1 << schema_means_fold(row);
    }
    ck_assert_int_gt(__builtin_popcount((unsigned)folds), 2);
    schema_view_free(view);
    resolved_clear(&r);
}
END_TEST

/* The numbers of the only feature for each of the texts; width numbers a text. */
static void encoded_as(const struct schema_training *t, const char *const *given, int32_t n, int32_t width, const float *expected) {
    const struct schema_feature *f = &t->preprocessing->features[0];
    ck_assert_int_eq(t->preprocessing->width, width);
    for (int32_t i = 0; i < n; i++) {
        float out[8] = {7, 7, 7, 7};
        struct schema_feature_value cell = {.kind = given[i] ? SCHEMA_VALUE_CATEGORY : SCHEMA_VALUE_MISSING};
        if (given[i]) cell.category = schema_feature_category(f, given[i], strlen(given[i]));
        schema_transform(t->preprocessing, &cell, (float *[]){out});
        ck_assert_msg(memcmp(out, expected + i * width, (size_t)width * sizeof *out) == 0, "%s: %g %g", given[i] ? given[i] : "missing",
                      (double)out[0], (double)out[1]);
    }
}

#define COMPACT(more) "{\"target\":\"y\",\"validation\":{\"fraction\":0},\"seed\":1,\"columns\":{\"k\":{\"encode\":\"compact\"" more "}}}"

START_TEST(two_categories_are_one_number) {
    static const char *const given[] = {"a", "b", "c", NULL};
    struct resolved r = resolve_text("k,y\na,1.5\na,2\nb,3\nb,4.5\n,5\n", one_layer, COMPACT(""));
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    encoded_as(r.training, given, 4, 1, (float[]){-1, 1, 0, 0});
    json_t *json = schema_preprocessing_encode(r.training->preprocessing);
    struct schema_preprocessing *again = schema_preprocessing_decode(json, NULL), *first = r.training->preprocessing;
    ck_assert_ptr_nonnull(again);
    r.training->preprocessing = again;
    encoded_as(r.training, given, 4, 1, (float[]){-1, 1, 0, 0});
    schema_preprocessing_free(first);
    json_decref(json);
    resolved_clear(&r);
    r = resolve_text("k,y\na,1.5\na,2\nb,3\nc,4.5\n,5\n", one_layer, COMPACT(",\"unseen\":\"ignore\"")); /* three are one-hot */
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    encoded_as(r.training, given, 4, 3, (float[]){1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0});
    resolved_clear(&r);
    r = resolve_text("k,y\na,1.5\na,2\nb,3\nc,4.5\n,5\n", one_layer, COMPACT(""));
    encoded_as(r.training, given, 4, 4, (float[]){1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1});
    resolved_clear(&r);
}
END_TEST

START_TEST(categories_of_too_few_rows) {
    static const char *const given[] = {"a", "b", "c", NULL};
    struct resolved r = resolve_text("k,y\na,1.5\na,2\nb,3\nb,4.5\nc,5\n,6\n", one_layer, COMPACT(",\"categories_min_count\":2"));
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_feature *f = &r.training->preprocessing->features[0];
    ck_assert_int_eq(f->categories_count, 2);
    ck_assert_int_eq(f->rare, 1);
    ck_assert_int_eq(f->left_out, 0);
    encoded_as(r.training, given, 4, 1, (float[]){-1, 1, 0, 0});
    json_t *options = schema_column_options_encode(f), *json = schema_preprocessing_encode(r.training->preprocessing);
    ck_assert_int_eq(json_integer_value(json_object_get(options, "categories_min_count")), 2);
    struct schema_preprocessing *again = schema_preprocessing_decode(json, NULL);
    ck_assert_int_eq(again->features[0].rare, 1);
    ck_assert_int_eq(again->features[0].options.categories_min_count, 2);
    schema_preprocessing_free(again);
    json_decref(options), json_decref(json);
    resolved_clear(&r);
    r = resolve_text("k,x,y\na,1,1.5\nb,2,2\nc,3,3\n", one_layer,
                     "{\"target\":\"y\",\"validation\":{\"fraction\":0},\"seed\":1,\"columns\":{\"k\":{\"categories_min_count\":2}}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_str_eq(json_string_value(json_array_get(r.training->warnings, 0)),
                     "column \"k\" has no effect: none of its 3 categories has the 2 training rows that categories_min_count demands");
    resolved_clear(&r);
}
END_TEST

START_TEST(rare_categories_share_the_bucket) {
    struct resolved r = resolve_text("k,y\na,1.5\na,2\nb,3\nb,4.5\nb,5\nc,6\nd,7\n", one_layer,
                                     "{\"target\":\"y\",\"validation\":{\"fraction\":0},\"seed\":1,\"columns\":{\"k\":{\"categories_max\":2}}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_feature *f = &r.training->preprocessing->features[0];
    ck_assert_int_eq(f->categories_count, 2);
    ck_assert_int_eq(f->left_out, 2);
    ck_assert_int_eq(schema_feature_category(f, "c", 1), -1);
    ck_assert_str_eq(json_string_value(json_array_get(r.training->warnings, 0)),
                     "column \"k\" has 4 categories in the training rows: the 2 most frequent are kept, the others are treated as unknown; "
                     "\"categories_max\" in columns sets the number");
    resolved_clear(&r);
}
END_TEST

/* ---- every kind of column at once --------------------------------------------------------------------------------------- */

static const char every_layer[] = "{\"layers\":[{\"name\":\"words\",\"type\":\"embedding\",\"input_dim\":500,\"output_dim\":3,\"inputs\":[\"w\"]},{"
                                  "\"name\":\"flat\",\"type\":\"flatten\","
                                  "\"inputs\":[\"words\"]},{\"name\":\"kinds\",\"type\":\"embedding\",\"input_dim\":50,\"output_dim\":2,\"inputs\":["
                                  "\"e\"]},{\"name\":\"kind\",\"type\":"
                                  "\"flatten\",\"inputs\":[\"kinds\"]},{\"name\":\"pixels\",\"type\":\"flatten\",\"inputs\":[\"x\"]},{\"name\":"
                                  "\"all\",\"type\":\"concatenate\",\"inputs\":"
                                  "[\"features\",\"flat\",\"kind\",\"pixels\"]},{\"type\":\"dense\",\"units\":4,\"activation\":\"relu\"}]}";
static const char every_job[] = "{\"target\":\"y\",\"seed\":3,\"validation\":{\"column\":\"held\"},\"columns\":{\"m\":{\"scale\":\"minmax\","
                                "\"missing\":\"median\"},\"r\":{\"scale\":"
                                "\"robust\"},\"q\":{\"scale\":\"quantile\"},\"l\":{\"scale\":\"log\"},\"o\":{\"encode\":\"ordinal\"},\"e\":{"
                                "\"encode\":\"embedding\"},\"g\":{\"encode\":"
                                "\"target\"},\"h\":{\"encode\":\"hashed\",\"buckets\":16},\"w\":{\"encode\":\"tokens\",\"length\":4},\"d\":{"
                                "\"parts\":[\"time\",\"year\",\"month\",\"week\","
                                "\"day\",\"hour\"]}}}";

/* 30 rows to train on, which are always the same, and 10 held back, which `odd` makes strange. As JSON, one record a row. */
static char *every_column(bool odd) {
    static const char *const kinds[] = {"red", "green", "blue"};
    char *json = malloc(40000), *p = json + sprintf(json, "{\"records\":[");
    for (int i = 0; i < 40; i++) {
        const bool strange = odd && i >= 30;
        const double v = strange ? 1000.5 * i : i * 7 % 11 + 0.25;
        const char *kind = strange ? "violet" : kinds[i % 3];
        p += sprintf(p, "%s{\"n\":%g,\"m\":%s,\"r\":%g,\"q\":%g,\"l\":%g,\"b\":%s,\"c\":\"%s\",\"o\":\"%s\",\"e\":\"%s\",\"g\":\"%s\",", i ? "," : "",
                     v, i == 4 ? "null" : "3.5", v, v, v, i % 2 ? "true" : "false", kind, kind, kind, kind);
        p += sprintf(p, "\"d\":\"%d-0%d-1%dT0%d:30:00Z\",\"t\":\"word number %d of the %s\",\"h\":\"so %d %s\",\"w\":\"%s and word %d\",",
                     strange ? 1999 : 2024, i % 9 + 1, i % 7, i % 10, strange ? 99 : i % 5, strange ? "strangers" : "usual", i % 4, kind, kind,
                     strange ? 77 : i % 3);
        p += sprintf(p, "\"x\":[%g,2],\"y\":%g,\"held\":%s}", v, strange ? 9999.5 : v + i % 3, i >= 30 ? "true" : "false");
    }
    sprintf(p, "],\"types\":{\"t\":\"text\",\"h\":\"text\",\"w\":\"text\"}}");
    return json;
}

/* The held-out rows have no influence on the fit. */
START_TEST(nothing_leaks) {
    char *usual = every_column(false), *odd = every_column(true);
    struct resolved a = resolve_json(usual, every_layer, every_job), b = resolve_json(odd, every_layer, every_job);
    ck_assert_msg(a.training != NULL, "%s", first_problem(&a));
    ck_assert_msg(b.training != NULL, "%s", first_problem(&b));
    json_t *x = schema_preprocessing_encode(a.training->preprocessing), *y = schema_preprocessing_encode(b.training->preprocessing);
    ck_assert_int_eq(json_array_size(json_object_get(x, "features")), 15);
    ck_assert_msg(json_equal(x, y), "%s\n%s", json_dumps(x, JSON_INDENT(1)), json_dumps(y, JSON_INDENT(1)));
    struct bp_error error = {0};
    struct schema_preprocessing *again = schema_preprocessing_decode(x, &error);
    ck_assert_msg(again != NULL, "%s", error.message);
    json_t *z = schema_preprocessing_encode(again);
    ck_assert(json_equal(x, z));
    schema_preprocessing_free(again);
    json_decref(x), json_decref(y), json_decref(z);
    resolved_clear(&a), resolved_clear(&b);
    free(usual), free(odd);
}
END_TEST

/* The inputs of a row of the dataset as the trainer gets them while it validates, and those of the same row in a prediction: the same bits. */
START_TEST(the_same_bits_in_a_prediction) {
    char *json = every_column(true);
    struct resolved r = resolve_json(json, every_layer, every_job);
    struct bp_error error = {0};
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct bp_network *network = r.training->network;
    json_t *document = schema_training_encode(r.training);
    char *bytes = NULL;
    size_t size;
    bp_real *weights = bp_reals_new(network->weights_count);
    const int fd = memory_file();
    ck_assert_int_eq(schema_model_write(fd, r.training, document, weights, &size, &error), 0);
    ck_assert_ptr_nonnull(bytes = memory_file_take(fd, size));
    struct schema_model *model = schema_model_read(bytes, size, &error);
    ck_assert_msg(model != NULL, "%s", error.message);
    struct schema_predictor *predictor = schema_predictor_new(model, &error);
    const struct schema_preprocessing *p = r.training->preprocessing;
    struct schema_view *view = schema_view_new(p, r.loaded.data, true, &error);
    for (int64_t row = 0; row < r.loaded.data->rows; row++) {
        json_t *cells = schema_dataset_row_json(r.loaded.data, row), *body = json_pack("{s:[o]}", "instances", cells);
        char *text = json_dumps(body, JSON_REAL_PRECISION(17) | JSON_COMPACT);
        struct schema_text out = {.limit = 1 << 20};
        struct schema_problems problems = {0};
        ck_assert_msg(schema_predict_body(predictor, text, strlen(text), 10, &out, &problems) == 0, "%s",
                      problems.count ? problems.items[0].detail : "");
        float seen[BP_INPUTS_MAX][64], *at[BP_INPUTS_MAX], tensors[64];
        for (int32_t k = 0; k < p->inputs_count; k++) at[k] = seen[k];
        ck_assert_int_le(p->width, 64);
        schema_view_rows(view, &row, 1, tensors, at);
        for (int32_t k = 0; k < p->inputs_count; k++)
            ck_assert_mem_eq(seen[k], bp_workspace_input(predictor->workspace, k), (size_t)bp_shape_size(&p->inputs[k].shape) * sizeof(float));
        free(out.bytes);
        free(text);
        json_decref(body);
    }
    schema_view_free(view);
    schema_predictor_free(predictor);
    schema_model_free(model);
    json_decref(document);
    free(bytes);
    free(weights);
    resolved_clear(&r);
    free(json);
}
END_TEST

Suite *suite_schema_column_types(void) {
    Suite *suite = suite_create("schema/column_types");
    TCase *tests = tcase_create("column_types");
    tcase_add_test(tests, times);
    tcase_add_test(tests, texts);
    tcase_add_test(tests, which_are_texts);
    tcase_add_test(tests, texts_for_missing_numbers);
    tcase_add_test(tests, long_texts);
    tcase_add_test(tests, base64_tensors);
    tcase_add_test(tests, a_bag_of_words);
    tcase_add_test(tests, target_means);
    tcase_add_test(tests, two_categories_are_one_number);
    tcase_add_test(tests, categories_of_too_few_rows);
    tcase_add_test(tests, rare_categories_share_the_bucket);
    tcase_add_test(tests, nothing_leaks);
    tcase_add_test(tests, the_same_bits_in_a_prediction);
    suite_add_tcase(suite, tests);
    return suite;
}
