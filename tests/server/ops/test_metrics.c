/* test_metrics.c - what is counted, and Prometheus' text format: escapes, numbers, cumulative buckets. */
#include "server/ops/exposition.h"
#include "server/ops/metrics.h"
#include "server/ops/process.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_ops_metrics(void);

START_TEST(values_are_written_with_escaped_labels) {
    struct schema_text out = {.limit = 4096};
    exposition_begin(&out, "a_bytes", "gauge", "Bytes");
    exposition_value(&out, "a_bytes", NULL, 9007199254740992.0);
    exposition_value(&out, "a_bytes", LABELS("x", "q\"b\\n\n", "y", ""), 0.1);
    exposition_value(&out, "a_bytes", NULL, -HUGE_VAL);
    ck_assert_str_eq(out.bytes, "# HELP a_bytes Bytes\n# TYPE a_bytes gauge\na_bytes 9007199254740992\n"
                                "a_bytes{x=\"q\\\"b\\\\n\\n\",y=\"\"} 0.1\na_bytes -Inf\n");
    free(out.bytes);
}
END_TEST

START_TEST(buckets_are_cumulative) {
    struct histogram h = {0};
    struct histogram_values values;
    struct schema_text out = {.limit = 4096};
    histogram_add(&h, histogram_request_bounds, 100000); /* at a bound: below or equal */
    histogram_add(&h, histogram_request_bounds, 100001);
    histogram_add(&h, histogram_request_bounds, 20000000000);
    histogram_add(&h, histogram_request_bounds, -5);
    histogram_read(&h, &values);
    ck_assert_uint_eq(values.total, 4);
    exposition_histogram(&out, "d_seconds", LABELS("m", "a"), histogram_request_bounds, &values);
    ck_assert_ptr_nonnull(strstr(out.bytes, "d_seconds_bucket{m=\"a\",le=\"0.0001\"} 2\nd_seconds_bucket{m=\"a\",le=\"0.00025\"} 3\n"));
    ck_assert_ptr_nonnull(strstr(out.bytes, "d_seconds_bucket{m=\"a\",le=\"10\"} 3\nd_seconds_bucket{m=\"a\",le=\"+Inf\"} 4\n"
                                            "d_seconds_sum{m=\"a\"} 20.000200001\nd_seconds_count{m=\"a\"} 4\n"));
    free(out.bytes);
}
END_TEST

START_TEST(bounds_ascend) {
    for (int i = 1; i < HISTOGRAM_BOUNDS; i++) {
        ck_assert_int_lt(histogram_request_bounds[i - 1], histogram_request_bounds[i]);
        ck_assert_int_lt(histogram_job_bounds[i - 1], histogram_job_bounds[i]);
    }
}
END_TEST

START_TEST(requests_are_counted_by_bounded_labels) {
    struct metrics *m = metrics_new(2);
    metrics_request(m, 1, "GET", 204, 5);
    metrics_request(m, 1, "GET", 299, -1);
    metrics_request(m, -1, "BREW", 404, -1);
    metrics_request(m, 7, "GET", 0, -1);
    ck_assert_uint_eq(m->routes[1].requests[1][2], 2);
    ck_assert_uint_eq(m->routes[2].requests[METRIC_METHODS - 1][4], 1);
    ck_assert_uint_eq(m->routes[2].requests[1][0], 1);
    ck_assert_uint_eq(m->routes[1].durations.counts[0], 1);
    metrics_problem(m, METRIC_PROBLEM_timeout);
    metrics_problem(m, METRIC_PROBLEMS);
    ck_assert_uint_eq(m->problems[METRIC_PROBLEM_timeout], 1);
    metrics_free(m);
    metrics_request(NULL, 0, "GET", 200, 1);
    metrics_add(NULL, METRIC_backpropd_job_crashes_total, 1);
}
END_TEST

START_TEST(jobs_are_counted_from_their_times) {
    struct metrics *m = metrics_new(1);
    const struct store_job first = {.attempt = 1, .created_at = 1000, .started_at = 1700, .finished_at = 5700, .status = STORE_SUCCEEDED},
                           again = {.attempt = 2, .failures = 1, .created_at = 1000, .started_at = 1700};
    metrics_job_started(m, &first);
    metrics_job_started(m, &again);
    metrics_job_ended(m, &first);
    ck_assert_uint_eq(m->job_waits.sum_ns, 700000000);
    ck_assert_uint_eq(m->job_waits.counts[2], 1);
    ck_assert_uint_eq(m->counters[METRIC_backpropd_job_retries_total], 1);
    ck_assert_uint_eq(m->job_durations[STORE_SUCCEEDED].sum_ns, 4000000000);
    metrics_free(m);
}
END_TEST

START_TEST(the_process_is_known) {
    struct process_usage usage;
    process_usage_read(&usage);
    ck_assert_int_gt(usage.resident_bytes, 100000);
    ck_assert_int_gt(usage.virtual_bytes, usage.resident_bytes);
    ck_assert_int_ge(usage.threads, 1);
    ck_assert_int_ge(usage.open_files, 3);
    ck_assert_int_gt(usage.files_max, usage.open_files);
    ck_assert(usage.started_at > 1.6e9 && usage.started_at < 1e11);
    int pair[2];
    const int64_t before = usage.open_files;
    ck_assert_int_eq(pipe(pair), 0);
    process_usage_read(&usage);
    ck_assert_int_eq(usage.open_files, before + 2);
}
END_TEST

Suite *suite_ops_metrics(void) {
    Suite *suite = suite_create("ops/metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_test(tests, values_are_written_with_escaped_labels);
    tcase_add_test(tests, buckets_are_cumulative);
    tcase_add_test(tests, bounds_ascend);
    tcase_add_test(tests, requests_are_counted_by_bounded_labels);
    tcase_add_test(tests, jobs_are_counted_from_their_times);
    tcase_add_test(tests, the_process_is_known);
    suite_add_tcase(suite, tests);
    return suite;
}
