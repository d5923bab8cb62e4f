/* test_output.c - what a process writes to standard error: bounded, in whole lines, as text. */
#include "server/jobs/output.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_jobs_output(void);

static struct output output;
static int end;

static void setup(void) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    output = (struct output){.fd = ends[0]};
    end = ends[1];
}

static void say(const char *bytes, size_t size) {
    ck_assert_int_eq(write(end, bytes, size), (ssize_t)size);
    output_read(&output, "job_x");
}

static void expect(const char *text) {
    char *got = output_text(&output);
    ck_assert_str_eq(got, text);
    free(got);
}

START_TEST(it_is_read_as_it_comes) {
    expect("");
    say("one\ntw", 6);
    expect("one\ntw");
    say("o\n", 2);
    expect("one\ntwo\n");
    close(end);
    output_end(&output, "job_x");
    expect("one\ntwo\n");
    ck_assert_int_eq(output.fd, -1);
    ck_assert(!output.cut);
}
END_TEST

START_TEST(only_text_comes_out) {
    static const char bytes[] = "tab\there \x1b[31mred\r\n\0nul \x7f \xff\xfe caf\xc3\xa9 \xc2\x9b \xe2\x82";
    say(bytes, sizeof bytes - 1);
    expect("tab\there \xEF\xBF\xBD[31mred\xEF\xBF\xBD\n\xEF\xBF\xBDnul \xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD caf\xc3\xa9 \xEF\xBF\xBD "
           "\xEF\xBF\xBD\xEF\xBF\xBD");
    close(end);
    output_end(&output, "job_x");
}
END_TEST

START_TEST(the_end_is_kept) {
    char line[32];
    output.logged = OUTPUT_LINES_LOGGED - 1; /* not too much in the log of the tests */
    for (int i = 0; i < 5000; i++) {
        const int n = snprintf(line, sizeof line, "line %d\n", i);
        say(line, (size_t)n);
    }
    char *text = output_text(&output);
    ck_assert(output.cut);
    ck_assert_uint_le(strlen(text), OUTPUT_KEPT);
    ck_assert_uint_gt(strlen(text), OUTPUT_KEPT - 16);
    ck_assert_int_eq(strncmp(text, "line ", 5), 0); /* from the start of a line */
    ck_assert_str_eq(text + strlen(text) - 10, "line 4999\n");
    ck_assert_int_eq(output.logged, OUTPUT_LINES_LOGGED + 1);
    free(text);
    char *flood = calloc(1, 60000);
    ck_assert_ptr_nonnull(flood); /* one line, longer than what is kept */
    memset(flood, 'x', 60000);
    say(flood, 60000);
    free(flood);
    text = output_text(&output);
    ck_assert_uint_eq(strlen(text), OUTPUT_KEPT);
    free(text);
    close(end);
    output_end(&output, "job_x");
}
END_TEST

Suite *suite_jobs_output(void) {
    Suite *suite = suite_create("jobs/output");
    TCase *tests = tcase_create("output");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, it_is_read_as_it_comes);
    tcase_add_test(tests, only_text_comes_out);
    tcase_add_test(tests, the_end_is_kept);
    suite_add_tcase(suite, tests);
    return suite;
}
