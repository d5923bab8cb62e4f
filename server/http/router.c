/* router.c - from method and path to a route and its parameters. */
#include "server/http/private.h"

#include <stdio.h>
#include <string.h>

/* Does the path fit the pattern? {x} takes one segment, which must not be empty. */
static bool fits(const char *pattern, const char *path, char params[][PARAM_SIZE]) {
    int count = 0;
    while (*pattern) {
        if (*pattern == '{') {
            size_t n = strcspn(path, "/");
            if (n == 0 || n >= PARAM_SIZE || count == ROUTE_PARAMS_MAX) return false;
            memcpy(params[count], path, n);
            params[count++][n] = '\0';
            path += n;
            pattern += strcspn(pattern, "}") + 1;
            continue;
        }
        if (*pattern++ != *path++) return false;
    }
    return *path == '\0';
}

struct unknown_query {
    const struct route *route;
    char name[80];
};

static enum MHD_Result check_query(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    struct unknown_query *u = context;
    (void)kind;
    (void)value;
    size_t size = strlen(name);
    for (const char *at = u->route->query; at && *at;) {
        size_t n = strcspn(at, ",");
        if (n == size && memcmp(at, name, n) == 0) return MHD_YES;
        if (n > 1 && at[n - 1] == '*' && size > n - 1 && memcmp(at, name, n - 1) == 0) return MHD_YES;
        at += n + (at[n] == ',');
    }
    snprintf(u->name, sizeof u->name, "%s", name);
    return MHD_NO;
}

static bool match(struct request *r, const char *path, char *allowed, size_t size) {
    const char *method = strcmp(r->method, "HEAD") == 0 ? "GET" : r->method;
    for (int i = 0; i < routes_count; i++) {
        if (!fits(routes[i]->path, path, r->params)) continue;
        if (strcmp(routes[i]->method, method) == 0) {
            r->route = routes[i];
            r->route_number = i;
            return true;
        }
        size_t n = strlen(allowed);
        snprintf(allowed + n, size - n, "%s%s", n ? ", " : "", routes[i]->method);
    }
    return false;
}

bool http_takes_tickets(const char *path) {
    char params[ROUTE_PARAMS_MAX][PARAM_SIZE];
    for (int i = 0; i < routes_count; i++)
        if (routes[i]->flags & ROUTE_TICKET && fits(routes[i]->path, path, params)) return true;
    return false;
}

bool router_match(struct request *r) {
    char allowed[64] = "";
    const size_t length = strlen(r->path);
    if (match(r, r->path, allowed, sizeof allowed)) return true;
    if (length > 1 && r->path[length - 1] == '/' && !allowed[0]) { /* people type it, and some clients add it */
        r->path[length - 1] = '\0';
        if (match(r, r->path, allowed, sizeof allowed)) return true;
    }
    if (allowed[0]) {
        answer_header(r, "Allow", allowed);
        answer_problem(r, PROBLEM_method_not_allowed, "%s is not allowed for %.200s; allowed: %s", r->method, r->path, allowed);
    } else {
        answer_problem(r, PROBLEM_not_found, "there is no path %.200s; GET /openapi.json lists the paths", r->path);
    }
    return false;
}

bool router_query(struct request *r) {
    struct unknown_query unknown = {.route = r->route};
    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, check_query, &unknown);
    if (!unknown.name[0]) return true;
    answer_problem(r, PROBLEM_invalid, "unknown query parameter \"%.60s\"; %s %s knows: %s", unknown.name, r->route->method, r->route->path,
                   r->route->query ? r->route->query : "none");
    return false;
}
