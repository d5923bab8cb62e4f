/* dashboard.c - the pages for a browser: / and the files that it loads. They are the same for everybody and hold no data; what they show comes over
 * the API. */
#include "server/http/answer.h"

#include "server/routes/dashboard_files.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Only what this server sends, nothing written into a page: a name or a cell of somebody's data can never become a script. */
#define POLICY                                                                                                                                       \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; "                  \
    "frame-ancestors 'none'; base-uri 'none'"

static struct document *documents;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *type_of(const char *name) {
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".svg", "image/svg+xml"},
                                           {".csv", "text/csv; charset=utf-8"}};
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && i < sizeof types / sizeof *types; i++)
        if (strcmp(ending, types[i][0]) == 0) return types[i][1];
    return "application/octet-stream";
}

static void prepare(void) {
    documents = calloc((size_t)dashboard_files_count, sizeof *documents);
    for (int i = 0; documents && i < dashboard_files_count; i++) {
        const struct dashboard_file *file = &dashboard_files[i];
        documents[i] = (struct document){.bytes = file->begin, .size = (size_t)(file->end - file->begin), .content_type = type_of(file->name)};
        document_prepare(&documents[i]);
    }
}

static void answer_file(struct request *r, const char *name) {
    pthread_once(&once, prepare);
    for (int i = 0; r->server->settings.dashboard && documents && i < dashboard_files_count; i++) {
        if (strcmp(dashboard_files[i].name, name) != 0) continue;
        answer_header(r, "Content-Security-Policy", POLICY);
        answer_header(r, "X-Content-Type-Options", "nosniff");
        answer_header(r, "Referrer-Policy", "no-referrer");
        answer_document(r, &documents[i]);
        return;
    }
    answer_problem(
        r, PROBLEM_not_found,
        r->server->settings.dashboard ? "the dashboard has no file %.200s" : "there is no %.200s: the dashboard is off (setting dashboard)", name);
}

static void dashboard(struct request *r) {
    answer_file(r, "index.html");
}

static void dashboard_file(struct request *r) {
    answer_file(r, r->params[0]);
}

static void dashboard_part(struct request *r) {
    char name[2 * PARAM_SIZE];
    snprintf(name, sizeof name, "%s/%s", r->params[0], r->params[1]);
    answer_file(r, name);
}

const struct route route_dashboard = {
    .name = "dashboard",
    .method = "GET",
    .path = "/",
    .scope = SCOPE_OPEN,
    .flags = ROUTE_SLOW,
    .handle = dashboard,
};
const struct route route_dashboard_file = {
    .name = "dashboard_file",
    .method = "GET",
    .path = "/dashboard/{file}",
    .scope = SCOPE_OPEN,
    .flags = ROUTE_SLOW,
    .handle = dashboard_file,
};
const struct route route_dashboard_part = {
    .name = "dashboard_part",
    .method = "GET",
    .path = "/dashboard/{folder}/{file}",
    .scope = SCOPE_OPEN,
    .flags = ROUTE_SLOW,
    .handle = dashboard_part,
};
