/* test_guard.c - framing, Host and key, before any route. */
#include "tests/server/http/fake_connection.h"

Suite *suite_http_guard(void);

static char nothing[1], names[] = "models.example,other.example:8080";
static struct server server = {.settings = {.allow_host = nothing, .cors_origin = nothing}};
static struct request r;
static char code[64], detail[400];

static bool check(void) {
    fake_request_clear(&r);
    fake_request(&r, &server, "GET", "/livez");
    const bool passed = guard_check(&r);
    fake_problem(&r, code, detail);
    return passed;
}

START_TEST(a_plain_request_passes) {
    fake_header("host", "localhost:8080");
    fake_header("Content-Length", "12");
    ck_assert(check());
    ck_assert_int_eq(r.body_seen, 12);
}
END_TEST

/* Each: a header beside a good Host, and the words of the refusal. */
static const struct {
    const char *name[2], *value[2], *words;
} framing[] = {
    {{"Content-Length", "Content-Length"}, {"2", "2"}, "expected one Content-Length"},
    {{"Content-Length", NULL}, {"2, 2", NULL}, "expected one Content-Length"},
    {{"Content-Length", NULL}, {"-1", NULL}, "expected one Content-Length"},
    {{"Content-Length", NULL}, {"+2", NULL}, "expected one Content-Length"},
    {{"Content-Length", NULL}, {"0x10", NULL}, "expected one Content-Length"},
    {{"Content-Length", NULL}, {"", NULL}, "expected one Content-Length"},
    {{"Content-Length", NULL}, {"9999999999999999999", NULL}, "expected one Content-Length"},
    {{"Content-Length", "Transfer-Encoding"}, {"2", "chunked"}, "exclude each other"},
    {{"Transfer-Encoding", NULL}, {"gzip, chunked", NULL}, "the only supported Transfer-Encoding"},
    {{"Transfer-Encoding", "Transfer-Encoding"}, {"chunked", "chunked"}, "the only supported Transfer-Encoding"},
    {{"Host", NULL}, {"localhost", NULL}, "expected one Host header"},
};

START_TEST(bad_framing_is_400_and_closes) {
    fake_header("Host", "localhost");
    for (int i = 0; i < 2 && framing[_i].name[i]; i++) fake_header(framing[_i].name[i], framing[_i].value[i]);
    ck_assert(!check());
    ck_assert_int_eq(r.status, 400);
    ck_assert(r.keep_alive_off);
    ck_assert_msg(strstr(detail, framing[_i].words) != NULL, "\"%s\" lacks \"%s\"", detail, framing[_i].words);
}
END_TEST

static const struct {
    const char *host;
    int status; /* 0: it passes */
} hosts[] = {
    {"localhost", 0},
    {"LocalHost:80", 0},
    {"127.0.0.1:8080", 0},
    {"[::1]", 0},
    {"[::1]:8080", 0},
    {"models.example", 0},
    {"other.example:8080", 0},
    {"other.example:8081", 403},
    {"evil.example", 403},
    {"localhost.evil.example", 403},
    {"", 400},
    {":80", 400},
    {"localhost:80@evil.example", 400},
    {"localhost:port", 400},
    {"localhost:123456", 400},
    {"local host", 400},
    {"[::1", 400},
    {"[]", 400},
    {"localhost/path", 400},
};

START_TEST(only_hosts_that_are_served_pass) {
    server.settings.allow_host = names;
    fake_header("Host", hosts[_i].host);
    ck_assert_msg(check() == (hosts[_i].status == 0), "%s", hosts[_i].host);
    if (hosts[_i].status) ck_assert_msg(r.status == hosts[_i].status, "%s: %d, expected %d", hosts[_i].host, r.status, hosts[_i].status);
    if (hosts[_i].status == 400) ck_assert(r.keep_alive_off);
}
END_TEST

START_TEST(a_request_without_host_is_400) {
    ck_assert(!check());
    ck_assert_int_eq(r.status, 400);
    ck_assert_str_eq(detail, "the Host header is missing");
}
END_TEST

static const struct {
    const char *header;
    bool right;
} keys[] = {{"Bearer secret", true}, {"bearer   secret", true}, {"Bearer secre", false},        {"Bearer secrets", false},
            {"Bearer ", false},      {"Basic secret", false},   {"Bearer secretsecret", false}, {"", false},
            {"secret", false}};

START_TEST(the_key_opens_all_but_open_routes) {
    static char key[] = "secret";
    static const struct route open = {.flags = ROUTE_OPEN}, closed = {.flags = 0};
    server.api_key = key;
    fake_header("Authorization", keys[_i].header);
    fake_request(&r, &server, "GET", "/");
    r.route = &open;
    ck_assert(guard_key(&r));
    r.route = &closed;
    ck_assert_msg(guard_key(&r) == keys[_i].right, "%s", keys[_i].header);
    if (keys[_i].right) return;
    ck_assert_int_eq(r.status, 401);
    ck_assert_str_eq(r.headers[0].name, "WWW-Authenticate");
}
END_TEST

Suite *suite_http_guard(void) {
    Suite *suite = suite_create("http/guard");
    TCase *tests = tcase_create("guard");
    tcase_add_test(tests, a_plain_request_passes);
    tcase_add_loop_test(tests, bad_framing_is_400_and_closes, 0, sizeof framing / sizeof *framing);
    tcase_add_loop_test(tests, only_hosts_that_are_served_pass, 0, sizeof hosts / sizeof *hosts);
    tcase_add_test(tests, a_request_without_host_is_400);
    tcase_add_loop_test(tests, the_key_opens_all_but_open_routes, 0, sizeof keys / sizeof *keys);
    suite_add_tcase(suite, tests);
    return suite;
}
