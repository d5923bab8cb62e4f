/* test_dataset_profile.c - ranks, measures of association and histograms against scipy 1.10 and numpy 1.24 (literals), and the JSON of a profile. */
#include "schema/dataset/association.h"
#include "schema/dataset/histogram.h"
#include "schema/dataset/profile.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_dataset_profile(void);

static void near(double got, double want) {
    ck_assert_msg(fabs(got - want) < 1e-14, "got %.17g, want %.17g", got, want);
}

static const double x[] = {1, 2, 3, 4, 5, 5, 8, 0.5, NAN, 7}, y[] = {2, 1, 4, 3, 7, 5, 6, 6, 1, NAN};
static const int32_t groups[] = {0, 0, 1, 1, 2, 2, 2, 0, 1, -1};
enum { N = 10 };

static struct schema_column numbers(double mean, double std) {
    return (struct schema_column){.type = SCHEMA_NUMERIC, .mean = mean, .std = std};
}
static struct schema_column categories(int32_t count) {
    return (struct schema_column){.type = SCHEMA_CATEGORICAL, .categories_count = count};
}

START_TEST(ranks_share_ties) {
    const double z[] = {1, 2, 2, -0.0, 0.0, NAN, -INFINITY, 5e-324}, with[] = {0, 0, 0, 0, 0, 0, 0, 0};
    struct schema_ranked sorted[8], spare[8];
    double ranks[8];
    ck_assert_int_eq(schema_ranks_sort(z, 8, sorted, spare), 7);
    schema_ranks(sorted, 7, with, ranks);
    near(ranks[6], 1), near(ranks[3], 2.5), near(ranks[4], 2.5), near(ranks[7], 4), near(ranks[0], 5), near(ranks[1], 6.5), near(ranks[2], 6.5);
    const double some[] = {0, NAN, 0, NAN, 0, 0, NAN, NAN};
    schema_ranks(sorted, 7, some, ranks);
    near(ranks[4], 1), near(ranks[0], 2), near(ranks[2], 3);
}
END_TEST

/* Enough for the radix sort: compared with the library's. */
static int by_value(const void *a, const void *b) {
    const double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

START_TEST(many_are_sorted) {
    enum { MANY = 20000 };
    double *z = malloc(MANY * sizeof *z), *copy = malloc(MANY * sizeof *copy);
    struct schema_ranked *sorted = malloc(2 * MANY * sizeof *sorted);
    uint64_t state = 1;
    for (int i = 0; i < MANY; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        z[i] = copy[i] = ldexp((double)(int64_t)state, (int)(state % 200) - 100);
    }
    ck_assert_int_eq(schema_ranks_sort(z, MANY, sorted, sorted + MANY), MANY);
    qsort(copy, MANY, sizeof *copy, by_value);
    for (int i = 0; i < MANY; i++) ck_assert(z[sorted[i].at] == copy[i]);
    free(z);
    free(copy);
    free(sorted);
}
END_TEST

START_TEST(number_with_number) {
    struct schema_ranked sorted[2][N], spare[N];
    double ranks[2][N];
    /* The means and deviations of the columns are only what the sums are taken around. */
    const struct schema_column a = numbers(3, 2), b = numbers(4.25, 2);
    struct schema_association both;
    ck_assert_int_eq(schema_association_start(&both, &a, &b), 0);
    schema_association_numbers(&both, x, y, 4);
    schema_association_numbers(&both, x + 4, y + 4, N - 4);
    ck_assert_int_eq(both.rows, 8);
    near(schema_association_pearson(&both), 0.4872832750959379);
    for (int i = 0; i < 2; i++) {
        const int64_t n = schema_ranks_sort(i ? y : x, N, sorted[i], spare);
        schema_ranks(sorted[i], n, i ? x : y, ranks[i]);
    }
    near(schema_association_spearman(ranks[0], ranks[1], x, y, N), 0.45783132530120474);
    schema_association_clear(&both);
    ck_assert_int_eq(schema_association_start(&both, &a, &b), 0);
    schema_association_numbers(&both, (const double[]){5, 5, 5}, (const double[]){1, 2, 3}, 3);
    ck_assert(isnan(schema_association_pearson(&both))); /* a constant goes with nothing */
}
END_TEST

START_TEST(number_with_category) {
    const struct schema_column a = numbers(3, 2), b = categories(5);
    struct schema_association both;
    double epsilon;
    ck_assert_int_eq(schema_association_start(&both, &a, &b), 0);
    schema_association_ratio(&both, x, groups, N);
    near(schema_association_eta(&both, &epsilon), 0.9058319809236062);
    near(epsilon, 0.8653000686060172);
    schema_association_clear(&both);
    ck_assert_int_eq(schema_association_start(&both, &b, &a), 0);
    schema_association_ratio(&both, x, (const int32_t[]){0, 1, 2, 3, 4}, 5); /* each row a category: eta is 1, and not informative */
    near(schema_association_eta(&both, &epsilon), 1);
    near(epsilon, 0);
    schema_association_clear(&both);
}
END_TEST

START_TEST(category_with_category) {
    static const int64_t table[2][3] = {{10, 2, 3}, {1, 12, 4}};
    int32_t one[64], other[64];
    int64_t n = 0;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++)
            for (int64_t c = 0; c < table[i][k]; c++) one[n] = i, other[n++] = k + 1; /* code 0 does not occur */
    one[n] = -1, other[n++] = 2;
    const struct schema_column a = categories(2), b = categories(4), wide = categories(1 << 12), wider = categories(1 << 13);
    struct schema_association both;
    double v;
    ck_assert_int_eq(schema_association_start(&both, &a, &b), 0);
    schema_association_table(&both, one, other, n);
    ck_assert_int_eq(both.rows, 32);
    ck_assert_int_eq(schema_association_cramers_v(&both, &v), 0);
    near(v, 0.6357578937631976);
    schema_association_clear(&both);
    ck_assert_int_eq(schema_association_start(&both, &wide, &wider), 0);
    ck_assert(both.sampled); /* too many pairs for a table */
    ck_assert_int_eq(schema_association_pairs(&both, one, other, n, &v), 0);
    ck_assert_int_eq(both.rows, 32);
    near(v, 0.6357578937631976);
    schema_association_clear(&both);
}
END_TEST

static struct schema_histogram histogram(double min, double max, bool integral, int32_t distinct_count, const double *distinct) {
    struct schema_column c = {.type = SCHEMA_NUMERIC, .min = min, .max = max, .integral = integral, .distinct_count = distinct_count};
    struct schema_histogram h;
    for (int32_t i = 0; distinct && i < distinct_count; i++) c.distinct[i] = distinct[i];
    schema_histogram_start(&h, &c);
    return h;
}

START_TEST(bins) {
    struct schema_histogram h = histogram(0, 1, false, 21, NULL);
    schema_histogram_add(&h, (const double[]){0, 0.1, 0.2, 0.3, 0.6, 1, NAN}, 7);
    ck_assert_int_eq(h.bins, 30);
    /* np.histogram puts 0.1 into bin 3, 0.2 into 6, 0.3 into 9 (its edge is 0.3), 0.6 into 18 */
    for (int i = 0; i < 30; i++) ck_assert_int_eq(h.counts[i], i == 0 || i == 3 || i == 6 || i == 9 || i == 18 || i == 29);
    h = histogram(3, 9, true, 3, (const double[]){3, 4, 9});
    schema_histogram_add(&h, (const double[]){3, 9, 4, 3, 3, NAN}, 6);
    ck_assert(h.by_value && h.bins == 3 && h.edges[2] == 9 && h.counts[0] == 3 && h.counts[1] == 1 && h.counts[2] == 1);
    h = histogram(-10, 15, true, 21, NULL); /* a small range of integers */
    schema_histogram_add(&h, (const double[]){-10, 15, 0, 0}, 4);
    ck_assert(h.by_value && h.bins == 26 && h.edges[0] == -10 && h.edges[25] == 15 && h.counts[0] == 1 && h.counts[10] == 2 && h.counts[25] == 1);
    h = histogram(0.5, 0.5, false, 1, (const double[]){0.5});
    schema_histogram_add(&h, (const double[]){0.5, 0.5}, 2);
    ck_assert(h.by_value && h.bins == 1 && h.counts[0] == 2);
    h = histogram(-1.7e308, 1.7e308, false, 21, NULL); /* the range overflows */
    schema_histogram_add(&h, (const double[]){-1.7e308, 0, 1.7e308, 1e308}, 4);
    ck_assert(h.bins == 30 && isfinite(h.edges[15]) && h.counts[0] == 1 && h.counts[15] == 1 && h.counts[29] == 1 && h.counts[23] == 1);
    h = histogram(1e15, 1e15 + 10, false, 21, NULL); /* far from 0: rounding is put right by the edges */
    for (int i = 0; i < 30; i++) schema_histogram_add(&h, &h.edges[i], 1);
    int64_t sum = 0;
    for (int i = 0; i < 30; i++) sum += h.counts[i];
    ck_assert_int_eq(sum, 30);
    h = histogram(NAN, NAN, false, 0, NULL);
    schema_histogram_add(&h, (const double[]){NAN}, 1);
    ck_assert_int_eq(h.bins, 0);
}
END_TEST

START_TEST(the_json_of_a_profile) {
    struct loaded l = load_csv("n,c,f,t,none\n1,a,true,[1],\n2,b,false,[2],\n4,a,,[3],\n,a,true,[5],\n", "t:tensor");
    ck_assert_int_eq(l.failed, 0);
    const int32_t columns[] = {0, 1, 2, 3, 4};
    struct schema_text out = {.limit = 1 << 20};
    struct schema_profile_request request = {.columns = columns, .columns_count = 5, .target = 0};
    ck_assert_int_eq(schema_dataset_profile(l.data, &request, &out), 0);
    const char *expected =
        "\"rows\":4,\"sampled_rows\":4,\"target\":\"n\",\"columns\":["
        "{\"name\":\"n\",\"type\":\"numeric\",\"count\":3,\"missing\":1,\"min\":1,\"max\":4,\"mean\":2.3333333333333335,\"std\":1.247219128924647,"
        "\"quantiles\":{\"0\":1,\"0.05\":1.1,\"0.25\":1.5,\"0.5\":2,\"0.75\":3,\"0.95\":3.8,\"1\":4},"
        "\"histogram\":{\"values\":[1,2,4],\"counts\":[1,1,1]}},"
        "{\"name\":\"c\",\"type\":\"categorical\",\"count\":4,\"missing\":0,\"categories_count\":2,\"categories\":[{\"value\":\"a\",\"count\":3},"
        "{\"value\":\"b\",\"count\":1}],\"other_count\":0},"
        "{\"name\":\"f\",\"type\":\"boolean\",\"count\":3,\"missing\":1,\"categories_count\":2,\"categories\":[{\"value\":\"true\",\"count\":2},"
        "{\"value\":\"false\",\"count\":1}],\"other_count\":0},"
        "{\"name\":\"t\",\"type\":\"tensor\",\"count\":4,\"missing\":0,\"min\":1,\"max\":5,\"mean\":2.75,\"std\":1.479019945774904},"
        "{\"name\":\"none\",\"type\":\"numeric\",\"count\":0,\"missing\":4,\"min\":null,\"max\":null,\"mean\":null,\"std\":null,\"quantiles\":null,"
        "\"histogram\":null}],\"associations\":["
        "{\"column\":\"c\",\"rows\":3,\"eta\":0.1889822365046136,\"strength\":0,\"leakage_suspect\":false},"
        "{\"column\":\"f\",\"rows\":2,\"eta\":1,\"strength\":0,\"leakage_suspect\":false},"
        "{\"column\":\"none\",\"rows\":0,\"pearson\":null,\"spearman\":null,\"strength\":null,\"leakage_suspect\":false}]";
    ck_assert_msg(strcmp(out.bytes, expected) == 0, "got %.900s\n... %.900s", out.bytes, out.size > 900 ? out.bytes + 900 : "");
    free(out.bytes);
    loaded_clear(&l);
}
END_TEST

Suite *suite_schema_dataset_profile(void) {
    Suite *suite = suite_create("dataset_profile");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, ranks_share_ties);
    tcase_add_test(tcase, many_are_sorted);
    tcase_add_test(tcase, number_with_number);
    tcase_add_test(tcase, number_with_category);
    tcase_add_test(tcase, category_with_category);
    tcase_add_test(tcase, bins);
    tcase_add_test(tcase, the_json_of_a_profile);
    suite_add_tcase(suite, tcase);
    return suite;
}
