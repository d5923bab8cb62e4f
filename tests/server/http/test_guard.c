/* test_guard.c - framing, Host, scopes, wrong keys, before any route. */
#include "tests/server/http/fake_connection.h"

#include "server/auth/key.h"
#include "server/auth/throttle.h"

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

/* In the order of enum scope, from SCOPE_NONE: what a route needs. A route that names no scope is the admin's. */
static const struct {
    const char *key;
    bool allowed[7];
} scopes[] = {
    {"read", {false, true, true, true, false, false, false}}, {"predict", {false, true, true, false, true, false, false}},
    {"train", {false, true, true, true, true, true, false}},  {"admin", {true, true, true, true, true, true, true}},
    {"", {false, true, false, false, false, false, false}},   {"root", {false, true, false, false, false, false, false}},
};

START_TEST(each_scope_allows_its_routes) {
    const enum scope key = scope_named(scopes[_i].key);
    for (int needed = SCOPE_NONE; needed <= SCOPE_ADMIN; needed++)
        ck_assert_msg(scope_allows(key, (enum scope)needed) == scopes[_i].allowed[needed], "%s %d", scopes[_i].key, needed);
    if (key != SCOPE_NONE) ck_assert_str_eq(scope_name(key), scopes[_i].key);
}
END_TEST

START_TEST(every_route_names_its_scope) {
    for (int i = 0; i < routes_count; i++) {
        ck_assert_msg(routes[i]->scope != SCOPE_NONE, "%s has no scope", routes[i]->name);
        if (strcmp(routes[i]->method, "DELETE") == 0 && !(routes[i]->flags & ROUTE_CHANGES_NOTHING))
            ck_assert_msg(routes[i]->scope == SCOPE_ADMIN, "%s", routes[i]->name);
        const bool changes = strcmp(routes[i]->method, "GET") != 0 && !(routes[i]->flags & ROUTE_CHANGES_NOTHING);
        if (changes) ck_assert_msg(routes[i]->scope >= SCOPE_PREDICT, "%s", routes[i]->name);
    }
}
END_TEST

/* ---- wrong keys ---- */

static struct address address(const char *text) {
    struct address result;
    ck_assert_msg(address_parse(text, &result), "%s", text);
    return result;
}

START_TEST(wrong_keys_use_up_a_bucket_that_fills_with_time) {
    struct throttle *throttle = throttle_new(6); /* one in 10 s */
    const struct address client = address("192.0.2.1"), other = address("192.0.2.2");
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(throttle_wait(throttle, &client, 1000), 0);
        throttle_count(throttle, &client, 1000);
    }
    ck_assert_int_eq(throttle_wait(throttle, &client, 1000), 10);
    ck_assert_int_eq(throttle_wait(throttle, &other, 1000), 0);
    ck_assert_int_eq(throttle_wait(throttle, &client, 10999), 1);
    ck_assert_int_eq(throttle_wait(throttle, &client, 11000), 0);
    throttle_count(throttle, &client, 11000);
    ck_assert_int_eq(throttle_wait(throttle, &client, 11000), 10);
    ck_assert_int_eq(throttle_wait(throttle, &client, 1000000), 0);
    throttle_free(throttle);
}
END_TEST

START_TEST(ipv6_clients_are_counted_by_their_64) {
    struct throttle *throttle = throttle_new(1);
    const struct address one = address("2001:db8:0:1::1"), same = address("2001:db8:0:1:ffff:ffff::9"), other = address("2001:db8:0:2::1");
    throttle_count(throttle, &one, 1000);
    ck_assert_int_eq(throttle_wait(throttle, &same, 1000), 60);
    ck_assert_int_eq(throttle_wait(throttle, &other, 1000), 0);
    throttle_free(throttle);
}
END_TEST

/* A flood of addresses does not make it forget the one that has sent the most. */
START_TEST(the_worst_client_is_not_forgotten) {
    struct throttle *throttle = throttle_new(20);
    const struct address worst = address("192.0.2.1");
    for (int i = 0; i < 20; i++) throttle_count(throttle, &worst, 1000);
    for (int i = 0; i < 100000; i++) {
        struct address one = address("198.51.0.0");
        one.bytes[12] = (unsigned char)(i >> 16), one.bytes[14] = (unsigned char)(i >> 8), one.bytes[15] = (unsigned char)i;
        throttle_count(throttle, &one, 1000);
    }
    ck_assert_int_gt(throttle_wait(throttle, &worst, 1000), 0);
    throttle_free(throttle);
}
END_TEST

START_TEST(addresses_are_parsed_and_printed) {
    char text[ADDRESS_TEXT_SIZE];
    static const char *const same[] = {"192.0.2.1", "2001:db8::1", "::1"}, *const none[] = {"", "192.0.2", "192.0.2.1:80", "[::1]", "localhost"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const struct address one = address(same[i]);
        address_text(&one, text);
        ck_assert_str_eq(text, same[i]);
    }
    const struct address mapped = address("::ffff:192.0.2.1");
    address_text(&mapped, text);
    ck_assert_str_eq(text, "192.0.2.1"); /* as an IPv4 client of an IPv6 socket is seen */
    struct address out;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) ck_assert_msg(!address_parse(none[i], &out), "%s", none[i]);
}
END_TEST

/* ---- the text of a key ---- */

START_TEST(keys_are_made_and_recognised) {
    struct store_key one = {0}, two = {0};
    char text[KEY_TEXT_SIZE], other[KEY_TEXT_SIZE], id[STORE_KEY_ID_SIZE];
    unsigned char hash[KEY_HASH_SIZE], stored[KEY_HASH_SIZE];
    key_make(&one, text);
    key_make(&two, other);
    ck_assert_uint_eq(strlen(text), KEY_TEXT_SIZE - 1);
    ck_assert_str_ne(text, other);
    ck_assert(key_id(text, id));
    ck_assert_str_eq(id, one.id);
    key_hash(text, hash);
    ck_assert(key_hash_parse(one.hash, stored) && key_hash_same(hash, stored));
    stored[31] ^= 1;
    ck_assert(!key_hash_same(hash, stored));
    text[KEY_TEXT_SIZE - 2] = 'u'; /* not in the alphabet */
    ck_assert(!key_id(text, id) && !key_id("", id) && !key_id("bpd_", id) && !key_id("bpd_00000000", id));
    ck_assert(!key_hash_parse("", stored) && !key_hash_parse("0123", stored));
    key_hash("abc", hash); /* FIPS 180-2, B.1 */
    char hex[STORE_SHA256_SIZE];
    key_hash_hex(hash, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

Suite *suite_http_guard(void) {
    Suite *suite = suite_create("http/guard");
    TCase *tests = tcase_create("guard");
    tcase_add_test(tests, a_plain_request_passes);
    tcase_add_loop_test(tests, bad_framing_is_400_and_closes, 0, sizeof framing / sizeof *framing);
    tcase_add_loop_test(tests, only_hosts_that_are_served_pass, 0, sizeof hosts / sizeof *hosts);
    tcase_add_test(tests, a_request_without_host_is_400);
    tcase_add_loop_test(tests, each_scope_allows_its_routes, 0, sizeof scopes / sizeof *scopes);
    tcase_add_test(tests, every_route_names_its_scope);
    tcase_add_test(tests, wrong_keys_use_up_a_bucket_that_fills_with_time);
    tcase_add_test(tests, ipv6_clients_are_counted_by_their_64);
    tcase_add_test(tests, the_worst_client_is_not_forgotten);
    tcase_add_test(tests, addresses_are_parsed_and_printed);
    tcase_add_test(tests, keys_are_made_and_recognised);
    suite_add_tcase(suite, tests);
    return suite;
}
