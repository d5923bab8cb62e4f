/* test_router.c - from method and path to a route; which query parameters it knows. */
#include "tests/server/http/fake_connection.h"

Suite *suite_http_router(void);

static struct server server;
static struct request r;
static char code[64], detail[400];

static bool route(const char *method, const char *path) {
    fake_request_clear(&r);
    fake_request(&r, &server, method, path);
    const bool found = router_match(&r);
    fake_problem(&r, code, detail);
    return found;
}

START_TEST(a_path_gives_its_route_and_parameters) {
    ck_assert(route("POST", "/v1/models/penguins/versions/3/predict"));
    ck_assert_str_eq(r.route->name, "predict_version");
    ck_assert_str_eq(r.params[0], "penguins");
    ck_assert_str_eq(r.params[1], "3");
    ck_assert(route("HEAD", "/livez")); /* as GET */
    ck_assert_str_eq(r.route->name, "livez");
    ck_assert(route("POST", "/v1/datasets/inspect")); /* a fixed part, not a name */
    ck_assert_str_eq(r.route->name, "inspect_dataset");
}
END_TEST

START_TEST(one_slash_at_the_end_does_no_harm) {
    ck_assert(route("GET", "/v1/models/"));
    ck_assert_str_eq(r.route->name, "list_models");
    ck_assert(!route("GET", "/v1/models//"));
    ck_assert_int_eq(r.status, 404);
}
END_TEST

START_TEST(another_method_is_405_with_allow) {
    ck_assert(!route("PATCH", "/v1/models/m"));
    ck_assert_int_eq(r.status, 405);
    ck_assert_str_eq(code, "method_not_allowed");
    ck_assert_int_eq(r.headers_count, 1);
    ck_assert_str_eq(r.headers[0].name, "Allow");
    ck_assert_str_eq(r.headers[0].value, "DELETE, GET");
}
END_TEST

START_TEST(unknown_paths_are_404) {
    static const char *const paths[] = {"/v1", "/v2/models", "/v1/models/m/versions", "/v1/models//versions/1", "/v1/jobs/x/cancel/y", "//livez"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const bool known = strcmp(paths[i], "/v1/models/m/versions") == 0;
        ck_assert_msg(route("GET", paths[i]) == known, "%s", paths[i]);
        if (!known) ck_assert_msg(r.status == 404 && strcmp(code, "not_found") == 0, "%s: %d %s", paths[i], r.status, code);
    }
}
END_TEST

START_TEST(a_parameter_has_its_limit) {
    char path[PARAM_SIZE + 40] = "/v1/models/";
    memset(path + 11, 'a', PARAM_SIZE - 1);
    ck_assert(route("GET", path));
    ck_assert_uint_eq(strlen(r.params[0]), PARAM_SIZE - 1);
    memset(path + 11, 'a', PARAM_SIZE);
    ck_assert(!route("GET", path));
    ck_assert_int_eq(r.status, 404);
}
END_TEST

START_TEST(query_parameters_are_those_of_the_route) {
    fake_query("limit", "3");
    fake_query("metadata.team", "a");
    ck_assert(route("GET", "/v1/jobs"));
    ck_assert(router_query(&r));
    ck_assert(route("GET", "/v1/models")); /* it has limit, but no metadata.* */
    ck_assert(!router_query(&r));
    fake_problem(&r, code, detail);
    ck_assert_int_eq(r.status, 422);
    ck_assert_str_eq(detail, "unknown query parameter \"metadata.team\"; GET /v1/models knows: limit,after");
    ck_assert(route("GET", "/livez"));
    ck_assert(!router_query(&r));
    fake_problem(&r, code, detail);
    ck_assert_str_eq(detail, "unknown query parameter \"limit\"; GET /livez knows: none");
}
END_TEST

Suite *suite_http_router(void) {
    Suite *suite = suite_create("http/router");
    TCase *tests = tcase_create("router");
    tcase_add_test(tests, a_path_gives_its_route_and_parameters);
    tcase_add_test(tests, one_slash_at_the_end_does_no_harm);
    tcase_add_test(tests, another_method_is_405_with_allow);
    tcase_add_test(tests, unknown_paths_are_404);
    tcase_add_test(tests, a_parameter_has_its_limit);
    tcase_add_test(tests, query_parameters_are_those_of_the_route);
    suite_add_tcase(suite, tests);
    return suite;
}
