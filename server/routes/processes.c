/* processes.c - see processes.h. */
#include "server/routes/processes.h"

#include "engine/kernels/kernels.h"
#include "server/clock.h"
#include "server/jobs/launchers.h"
#include "server/jobs/links.h"
#include "server/server.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- whether it pays --------------------------------------------------------------------------------------------- */

/* Until a job of the launcher has measured it: shared memory of one host; between hosts 1 Gbit/s. */
static const struct link of_one_host = {.processes = 2, .seconds = 100e-6, .seconds_per_byte = 1e-9},
                         of_network = {.processes = 2, .seconds = 300e-6, .seconds_per_byte = 8e-9};

struct estimate {
    const struct launcher *launcher;
    bool measured;                                        /* the link */
    double alone, together, products, update, waits, sum; /* seconds of a mini-batch */
    int64_t bytes;
    double rate; /* multiplications a second of one thread */
};

/* Multiplications a second in products of a size that networks have, of one thread of this machine: measured once. */
static double rate_of_products(void) {
    enum { M = 64, N = 256, K = 256, ROUNDS = 5 };
    static _Atomic double known;
    double least = INFINITY;
    if (known > 0) return known;
    bp_real *reals = calloc(M * K + K * N + M * N, sizeof *reals);
    if (!reals) return 1e10;
    const struct bp_gemm call = {.m = M, .n = N, .k = K, .A = reals, .B = reals + M * K, .C = reals + M * K + K * N, .lda = K, .ldb = N, .ldc = N};
    for (int i = 0; i < ROUNDS; i++) {
        const double began = clock_seconds();
        bp_gemm(&call);
        const double seconds = clock_seconds() - began;
        if (seconds < least) least = seconds;
    }
    free(reals);
    const double rate = least > 0 ? (double)M * N * K / least : 1e10;
    known = rate;
    return rate;
}

static const struct launcher *launcher_of(const struct submission *s) {
    const struct launchers *launchers = s->request->server->launchers;
    for (int i = 0; i < launchers->count; i++)
        if (launcher_takes(&launchers->items[i], STORE_TRAIN, &s->job.needs)) return &launchers->items[i];
    return NULL;
}

/* The products of a mini-batch are shared, the update is everybody's, and of the sum of the gradient two thirds of the products, the backward pass,
 * hide what they can. Where there are fewer cores than threads, fewer processes count. */
static bool estimate(const struct submission *s, struct estimate *e) {
    enum { REALS_OF_UPDATE = 8, MEMORY_RATE = 1 << 30 };
    const struct schema_options *o = &s->training->options;
    const double cores = (double)sysconf(_SC_NPROCESSORS_ONLN), rows = s->dataset->rows < o->batch_size ? (double)s->dataset->rows : o->batch_size;
    double n = o->processes;
    struct link link;
    *e = (struct estimate){.launcher = launcher_of(s), .rate = rate_of_products()};
    if (!e->launcher) return false;
    e->measured = links_find(e->launcher->name, &link);
    if (!e->measured) link = e->launcher->command ? of_network : of_one_host;
    e->bytes = (int64_t)(s->training->network->trained_count * sizeof(bp_real));
    e->products = 3 * bp_network_products(s->training->network) * rows / (e->rate * o->threads);
    e->update = (double)e->bytes * REALS_OF_UPDATE / (4.0 * MEMORY_RATE);
    const double steps = log2(n) / log2(link.processes), share = (n - 1) / n * link.processes / (link.processes - 1);
    const double least = link.seconds * steps / o->gradient_accumulation_steps;
    e->sum = least + (double)e->bytes * link.seconds_per_byte * share / o->gradient_accumulation_steps;
    if (!e->launcher->command && n * o->threads > cores) n = cores > o->threads ? cores / o->threads : 1;
    const double hidden = 2 * e->products / n / 3;
    e->waits = e->sum - hidden > least ? e->sum - hidden : least;
    e->alone = e->products + e->update;
    e->together = e->products / n + e->update + e->waits;
    return true;
}

static void describe_link(const struct estimate *e, char *text, size_t size) {
    if (e->measured) snprintf(text, size, "measured by the last such job of the launcher \"%s\"", e->launcher->name);
    else
        snprintf(text, size, "assumed, because no such job of the launcher \"%s\" has run since the server started: %s", e->launcher->name,
                 e->launcher->command ? "a network of 1 Gbit/s" : "shared memory");
}

static void warn_of_loss(struct submission *s, int32_t processes) {
    struct estimate e;
    char text[600], link[200];
    if (!estimate(s, &e) || e.together < e.alone) return;
    describe_link(&e, link, sizeof link);
    snprintf(text, sizeof text,
             "%d processes would take longer than one: a mini-batch takes about %.3g ms alone and %.3g ms together, of which %.3g ms wait for the "
             "sum of %.3g "
             "MB of gradient (%s); use larger mini-batches or threads, or leave processes out",
             (int)processes, 1e3 * e.alone, 1e3 * e.together, 1e3 * e.waits, (double)e.bytes / 1e6, link);
    json_array_append_new(s->training->warnings, json_string(text));
}

json_t *processes_json(const struct submission *s) {
    struct estimate e;
    char link[200];
    if (s->options.processes < 2 || s->members || !s->training || !estimate(s, &e)) return NULL;
    describe_link(&e, link, sizeof link);
    return json_pack("{s:i, s:b, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:s, s:b, s:s}", "count", (int)s->options.processes, "pays", e.together < e.alone,
                     "speedup", e.alone / e.together, "step_seconds", e.together, "step_seconds_alone", e.alone, "sum_seconds", e.sum, "wait_seconds",
                     e.waits, "gradient_bytes", (json_int_t)e.bytes, "multiplications_per_second", e.rate, "launcher", e.launcher->name,
                     "link_measured", e.measured, "link", link);
}

/* ---- the submission ---------------------------------------------------------------------------------------------- */

void processes_settle(struct submission *s) {
    const int32_t processes = s->options.processes;
    s->job.needs.processes = processes > 1 ? processes : 1;
    if (processes < 2) return;
    refuse(s->request->server, processes, s->members != NULL, s->options.precision == SCHEMA_PRECISION_FLOAT32, &s->problems);
    if (s->members || s->problems.total) return;
    warn_of_idle(s, processes);
    warn_of_loss(s, processes);
}
