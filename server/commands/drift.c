/* drift.c - `backpropd drift`: what a version on a server has predicted lately beside its training rows. */
#include "server/commands/commands.h"

#include "schema/memory.h"
#include "schema/text/text.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL, URL, WINDOW, KEY_FILE, CA_FILE, JSON, FLAGS_COUNT };
static const char *const names[] = {"model", "url", "window", "api-key-file", "ca-file", NULL};
static const char *const switches[] = {"json", NULL};

static const char *text_of(const json_t *object, const char *member) {
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

static void print_items(const json_t *items, const char *kind) {
    const json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)items, i, item) {
        const json_t *index = json_object_get(item, "stability_index"), *chance = json_object_get(item, "expected_by_chance");
        printf("%-8s %-30.30s %8lld", kind, text_of(item, kind), (long long)json_integer_value(json_object_get(item, "rows")));
        if (json_is_number(index)) printf(" %10.4f", json_number_value(index));
        else printf(" %10s", "-");
        if (json_is_number(chance)) printf(" %10.4f", json_number_value(chance));
        else printf(" %10s", "-");
        printf("  %-12s", text_of(item, "status"));
        if (json_is_number(index)) local_bar(json_number_value(index) < 1 ? json_number_value(index) : 1);
        putchar('\n');
    }
}

static int print_report(const json_t *report, const char *window) {
    const json_t *one;
    size_t i;
    const char *message = text_of(report, "message");
    if (*message) return printf("%s\n", message), 0;
    json_array_foreach(json_object_get(report, "windows"), i, one) {
        if (strcmp(text_of(one, "window"), window) != 0) continue;
        printf("version %lld of %s, last %s: %lld rows, beside %lld of the training\n",
               (long long)json_integer_value(json_object_get(report, "version")), text_of(report, "model"), window,
               (long long)json_integer_value(json_object_get(one, "rows")), (long long)json_integer_value(json_object_get(report, "reference_rows")));
        printf("%-8s %-30s %8s %10s %10s  %s\n", "", "", "rows", "index", "by chance", "status");
        print_items(json_object_get(one, "features"), "feature");
        print_items(json_object_get(one, "outputs"), "output");
    }
    return 0;
}

int command_drift(int argc, char **argv) {
    const char *v[FLAGS_COUNT] = {0};
    char path[300], name[STORE_NAME_SIZE];
    struct client client = {0};
    struct client_response response = {0};
    if (local_flags("drift", argc, argv, names, switches, v) != 0) return 2;
    const char *window = v[WINDOW] ? v[WINDOW] : "day", *at = v[MODEL] ? strchr(v[MODEL], '@') : NULL;
    if (!v[MODEL] || !v[URL] || (strcmp(window, "hour") != 0 && strcmp(window, "day") != 0 && strcmp(window, "week") != 0)) {
        fprintf(stderr,
                "backpropd drift: --model MODEL and --url URL are required, and --window must be hour, day or week; see `backpropd help drift`\n");
        return 2;
    }
    const int length = snprintf(name, sizeof name, "%.*s", (int)strcspn(v[MODEL], "@"), v[MODEL]);
    if (length >= (int)sizeof name || !schema_name_valid(name) || (at && !schema_name_valid(at + 1))) {
        fprintf(stderr, "backpropd drift: expected the name of a model like penguins, penguins@2 or penguins@production, got \"%.80s\"\n", v[MODEL]);
        return 2;
    }
    snprintf(path, sizeof path, "/v1/models/%s/versions/%.63s/drift", name, at ? at + 1 : "default");
    const struct client_request request = {.method = "GET", .path = path, .large = true};
    int failed = models_connect("drift", v[URL], v[KEY_FILE], v[CA_FILE], &client);
    if (!failed) failed = models_send("drift", &client, &request, &response);
    json_t *report = failed ? NULL : schema_json_load(response.body, response.body_size, 0, NULL);
    if (!failed && v[JSON]) printf("%s", response.body);
    else if (report) failed = print_report(report, window);
    else if (!failed) failed = (fprintf(stderr, "backpropd drift: the response of the server is not JSON\n"), -1);
    json_decref(report);
    client_clear(&response);
    free(client.key);
    return failed ? 1 : 0;
}
