/* processes.c - see processes.h. */
#include "server/routes/processes.h"

#include "server/server.h"

#include <stdio.h>
#include <string.h>

/* ---- what it may be ---------------------------------------------------------------------------------------------- */

/* What a job has that one process alone can do. */
static void refuse(const struct server *server, int64_t processes, bool ensemble, bool float32, struct schema_problems *problems) {
    const int64_t most = server->settings.processes_max;
    if (processes > most)
        schema_problem_add(problems, "/processes", "processes is %lld, the setting processes_max allows %lld", (long long)processes, (long long)most);
    if (ensemble && processes > 1)
        schema_problem_add(
            problems, "/processes",
            "several processes share the mini-batches of one network, but this job trains an ensemble, whose members one process trains "
            "side by side (threads); leave processes out, or give a model without \"ensemble\"");
    if (!float32 && processes > 1)
        schema_problem_add(problems, "/processes",
                           "several processes train in float32 only, because all must compute the same bits; leave precision out, or processes");
}

void processes_check_change(const struct server *server, const struct store_job *job, int64_t processes, struct schema_problems *problems) {
    json_t *view = job->view ? json_loads(job->view, 0, NULL) : NULL;
    const json_t *options = json_object_get(view, "options");
    const char *precision = json_string_value(json_object_get(options, "precision"));
    if (job->kind != STORE_TRAIN && processes > 1)
        schema_problem_add(problems, "/processes", "this job trains nothing, and one process runs it; expected 1");
    else refuse(server, processes, json_object_get(view, "ensemble") != NULL, !precision || strcmp(precision, "float32") == 0, problems);
    json_decref(view);
}

static void warn_of_idle(struct submission *s, int32_t processes) {
    const struct schema_options *o = &s->training->options;
    const int64_t shards = (int64_t)processes * o->threads;
    char text[300];
    if (shards <= o->batch_size) return;
    snprintf(text, sizeof text,
             "%d processes of %d thread%s share mini-batches of %d rows: %lld threads compute nothing of them; say a larger batch_size, or fewer "
             "processes",
             (int)processes, (int)o->threads, o->threads == 1 ? "" : "s", (int)o->batch_size, (long long)(shards - o->batch_size));
    json_array_append_new(s->training->warnings, json_string(text));
}

void processes_settle(struct submission *s) {
    const int32_t processes = s->options.processes;
    s->job.needs.processes = processes > 1 ? processes : 1;
    if (processes < 2) return;
    refuse(s->request->server, processes, s->members != NULL, s->options.precision == SCHEMA_PRECISION_FLOAT32, &s->problems);
    if (!s->members) warn_of_idle(s, processes);
}
