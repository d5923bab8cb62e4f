/* test_settings.c - flags before environment before file; a wrong one names itself and the nearest. */
#include "server/settings.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_server_settings(void);

static const char *said; /* what read_flags said */
static struct bp_error error;

static int read_flags(struct server_settings *settings, const char *a, const char *b, const char *c, const char *d) {
    char program[] = "serve";
    char *argv[] = {program, (char *)a, (char *)b, (char *)c, (char *)d, NULL};
    int argc = 1;
    while (argc < 5 && argv[argc]) argc++;
    error = (struct bp_error){0};
    said = error.message;
    return server_settings_read(settings, argc, argv, &error);
}

START_TEST(defaults) {
    struct server_settings s;
    ck_assert_int_eq(read_flags(&s, NULL, NULL, NULL, NULL), 0);
    ck_assert_str_eq(s.listen, "127.0.0.1:8080");
    ck_assert_str_eq(s.data_dir, "./backpropd-data");
    ck_assert_int_eq(s.body_max, 64 << 20);
    ck_assert_int_eq(s.upload_max, 1 << 30);
    ck_assert_int_eq(s.queue_max, 10000);
    ck_assert(!s.access_log);
    server_settings_clear(&s);
}
END_TEST

START_TEST(sizes_lists_and_switches) {
    struct server_settings s;
    ck_assert_int_eq(read_flags(&s, "--body-max=2K", "--access-log", "--allow-host=a.example", "--allow-host=b.example:80"), 0);
    ck_assert_int_eq(s.body_max, 2048);
    ck_assert(s.access_log);
    ck_assert_str_eq(s.allow_host, "a.example,b.example:80");
    ck_assert(server_list_has(s.allow_host, "A.example"));
    ck_assert(server_list_has(s.allow_host, "b.example:80"));
    ck_assert(!server_list_has(s.allow_host, "a.exampl"));
    ck_assert(!server_list_has("", "x"));
    server_settings_clear(&s);
}
END_TEST

START_TEST(mistakes_name_themselves) {
    static const struct {
        const char *a, *b, *expected;
    } cases[] = {
        {"--lisen", "x", "unknown flag --lisen, did you mean --listen?"},
        {"--body_maxx=1", NULL, "unknown flag --body_maxx, did you mean --body-max?"},
        {"--queue-max", "0", "--queue-max must be a whole number from 1 to 10000000, got \"0\""},
        {"--queue-max", "ten", "got \"ten\""},
        {"--body-max", "5X", "got \"5X\""},
        {"--access-log=maybe", NULL, "--access-log must be true or false, got \"maybe\""},
        {"--listen", NULL, "--listen needs a value"},
        {"listen", NULL, "unexpected argument \"listen\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server_settings s;
        ck_assert_int_eq(read_flags(&s, cases[i].a, cases[i].b, NULL, NULL), -1);
        ck_assert_msg(strstr(said, cases[i].expected) != NULL, "%s: %s", cases[i].expected, said);
        server_settings_clear(&s);
    }
}
END_TEST

START_TEST(flag_before_environment_before_file) {
    char path[] = "/tmp/backpropd-settings-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "# a comment\n\nqueue_max = 7\nworkers=3\n  listen = \"127.0.0.1:9\"  \n";
    ck_assert_int_eq(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    setenv("BACKPROPD_WORKERS", "4", 1);
    setenv("BACKPROPD_QUEUE_MAX", "8", 1);
    struct server_settings s;
    ck_assert_msg(read_flags(&s, "--queue-max", "9", "--config", path) == 0, "%s", said);
    ck_assert_int_eq(s.queue_max, 9);
    ck_assert_int_eq(s.workers, 4);
    ck_assert_str_eq(s.listen, "127.0.0.1:9");
    server_settings_clear(&s);
    unsetenv("BACKPROPD_WORKERS");
    unsetenv("BACKPROPD_QUEUE_MAX");
    unlink(path);
    ck_assert_int_eq(read_flags(&s, "--config", path, NULL, NULL), -1);
    ck_assert_ptr_nonnull(strstr(said, "cannot read the config file"));
    server_settings_clear(&s);
}
END_TEST

struct seen {
    int applied, others;
    char text[400];
};

static void see(void *context, const struct setting_change *change) {
    struct seen *seen = context;
    if (change->applied) seen->applied++;
    else seen->others++;
    const size_t n = strlen(seen->text);
    snprintf(seen->text + n, sizeof seen->text - n, "%s %s>%s;", change->name, change->from, change->to);
}

START_TEST(a_reload_changes_what_may_change) {
    struct server_settings running, next;
    struct seen seen = {0};
    ck_assert_int_eq(read_flags(&running, "--allow-host=a.example", "--listen=127.0.0.1:1", "--body-max=2K", NULL), 0);
    ck_assert_int_eq(read_flags(&next, "--allow-host=b.example", "--listen=127.0.0.1:2", "--access-log", NULL), 0);
    const char *before = running.allow_host;
    server_settings_reload(&running, &next, see, &seen);
    ck_assert_int_eq(seen.applied, 3);
    ck_assert_int_eq(seen.others, 1);
    ck_assert_str_eq(seen.text, "access_log false>true;allow_host a.example>b.example;body_max 2048>67108864;listen 127.0.0.1:1>127.0.0.1:2;");
    ck_assert_str_eq(before, "a.example"); /* a thread may still read it */
    ck_assert_str_eq(running.allow_host, "b.example");
    ck_assert_str_eq(running.listen, "127.0.0.1:1");
    ck_assert_int_eq(running.body_max, 64 << 20);
    ck_assert(running.access_log);
    server_settings_clear(&next);
    server_settings_clear(&running);
}
END_TEST

Suite *suite_server_settings(void) {
    Suite *suite = suite_create("server/settings");
    TCase *tests = tcase_create("settings");
    tcase_add_test(tests, defaults);
    tcase_add_test(tests, sizes_lists_and_switches);
    tcase_add_test(tests, mistakes_name_themselves);
    tcase_add_test(tests, flag_before_environment_before_file);
    tcase_add_test(tests, a_reload_changes_what_may_change);
    suite_add_tcase(suite, tests);
    return suite;
}
