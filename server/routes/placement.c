/* placement.c - see placement.h. */
#include "server/routes/placement.h"

#include "schema/json/values.h"
#include "server/http/answer.h"
#include "server/jobs/launchers.h"

#include <stdio.h>
#include <string.h>

enum { MEMORY_MAX = 1 << 30 };
static const struct bp_param params[] = {
    {.name = "memory_mb", .type = BP_PARAM_INTEGER, .min = 1, .max = MEMORY_MAX, .help = "memory of the job's process, MB"}};
static const struct bp_entry entry = {.name = "requires", .params = params, .params_count = 1};
static const char *const texts[] = {"label", "launcher", NULL};

/* "local, slurm" */
static void list_names(const struct launchers *launchers, char *text, size_t size) {
    size_t n = 0;
    for (int i = 0; i < launchers->count && n < size; i++) n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "", launchers->items[i].name);
}

static void text_decode(const json_t *asked, const char *name, char text[STORE_LAUNCHER_SIZE], struct schema_problems *problems) {
    const json_t *given = json_object_get(asked, name);
    char place[80], got[80];
    if (!given || json_is_null(given)) return;
    if (json_is_string(given) && json_string_length(given) > 0 && json_string_length(given) < STORE_LAUNCHER_SIZE &&
        strlen(json_string_value(given)) == json_string_length(given))
        snprintf(text, STORE_LAUNCHER_SIZE, "%s", json_string_value(given));
    else
        schema_problem_add(problems, schema_pointer("/requires", name, place, sizeof place), "%s must be a string of 1 to %d bytes, got %s", name,
                           STORE_LAUNCHER_SIZE - 1, schema_json_text(given, got, sizeof got));
}

void placement_decode(const struct server *server, const json_t *asked, struct store_job *job, struct schema_problems *problems) {
    static const struct schema_names others = {texts, NULL};
    struct bp_value memory = {0};
    char names[500];
    if (!asked || json_is_null(asked)) return;
    if (!json_is_object(asked)) {
        schema_problem_add(problems, "/requires", "requires must be an object such as {\"launcher\":\"big-memory\"}, got %s",
                           schema_json_text(asked, names, sizeof names));
        return;
    }
    schema_values_decode(asked, "/requires", &entry, &others, &memory, problems);
    text_decode(asked, "launcher", job->needs.launcher, problems);
    text_decode(asked, "label", job->needs.label, problems);
    if (memory.given) job->needs.memory_mb = (int64_t)memory.number;
    if (!job->needs.launcher[0] || launchers_find(server->launchers, job->needs.launcher)) return;
    list_names(server->launchers, names, sizeof names);
    schema_problem_add(problems, "/requires/launcher", "there is no launcher \"%.60s\"; there are: %s", job->needs.launcher, names);
}

static bool any_takes(const struct launchers *launchers, const struct store_job *job) {
    for (int i = 0; i < launchers->count; i++)
        if (launcher_takes(&launchers->items[i], job->kind, &job->needs)) return true;
    return false;
}

void placement_settle(const struct server *server, int64_t bytes, struct store_job *job, struct schema_problems *problems) {
    const struct launchers *launchers = server->launchers;
    const bool asked = job->needs.memory_mb > 0;
    char names[500];
    if (!asked) job->needs.memory_mb = (bytes >> 20) + 1;
    if (any_takes(launchers, job)) return;
    if (job->needs.launcher[0] && !launchers_find(launchers, job->needs.launcher)) return; /* reported */
    list_names(launchers, names, sizeof names);
    schema_problem_add(problems, "/requires", "no launcher takes this job, which needs %lld MB of memory%s%.60s%s%s; there are: %s (GET /v1/workers)",
                       (long long)job->needs.memory_mb, job->needs.label[0] ? " and the label \"" : "", job->needs.label,
                       job->needs.label[0] ? "\"" : "", job->needs.processes > 1 ? " and several processes" : "", names);
}

void placement_show(json_t *json, const struct server *server, const struct store_job *job) {
    char names[500], text[700];
    if (job->status != STORE_QUEUED || any_takes(server->launchers, job)) {
        json_object_set_new(json, "worker", document_json(job->launch));
        return;
    }
    list_names(server->launchers, names, sizeof names); /* the settings have changed since it was submitted */
    snprintf(text, sizeof text, "no launcher takes this job any more; there are: %s", names);
    json_object_set_new(json, "worker",
                        json_pack("{s:s, s:s, s:n, s:s}", "launcher", job->needs.launcher[0] ? job->needs.launcher : "any", "state",
                                  "waiting_for_launcher", "host", "message", text));
}
