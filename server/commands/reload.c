/* reload.c - SIGHUP: settings read again, and passed on to the parts that hold a copy. */
#include "server/commands/reload.h"
#include "server/drift.h"

#include "engine/kernels/kernels.h"
#include "server/auth/auth.h"
#include "server/follow/fetch.h"
#include "server/follow/follower.h"
#include "server/http/tls.h"
#include "server/jobs/supervisor.h"
#include "server/log.h"
#include "server/model_cache.h"
#include "server/ops/metrics.h"
#include "server/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counts {
    int changed, restart;
};

static void log_change(void *context, const struct setting_change *change) {
    struct counts *counts = context;
    if (change->applied) counts->changed++;
    else counts->restart++;
    log_line(change->applied ? LOG_INFO : LOG_WARNING, change->applied ? "setting_changed" : "setting_needs_restart", "name", change->name, "from",
             change->from, "to", change->to, NULL);
}

void settings_log_level(const struct server_settings *settings) {
    enum log_level level;
    if (log_level_parse(settings->log_level, &level)) log_level_set(level);
}

static void pass_on(struct server *server) {
    const struct server_settings *s = &server->settings;
    settings_log_level(s);
    model_cache_limit(server->model_cache, s->models_memory_max);
    if (server->drift) drift_limit(server->drift, s->drift_save_seconds);
    store_limit(server->store, s->queue_max, s->retry_seconds * 1000);
    supervisor_limit(server->supervisor, s->workers);
    supervisor_poke(server->supervisor);
    follower_poke(server->follower);
}

static int cors_check(const struct server_settings *settings, struct bp_error *error) {
    if (!settings->cors_credentials || !server_list_has(settings->cors_origin, "*")) return 0;
    return bp_error_set(error, "",
                        "--cors-credentials lets every web page use the credentials of its visitors with --cors-origin '*'; name the origins");
}

int settings_check(const struct server_settings *s, struct bp_error *error) {
    enum log_level level;
    if (!log_level_parse(s->log_level, &level))
        return bp_error_set(error, "", "log_level must be error, warning, info or debug, got \"%.40s\"", (const char *)s->log_level);
    if (strcmp(s->kernels, "auto") != 0 && bp_kernels_find(s->kernels) == NULL)
        return bp_error_set(error, "", "kernels %s: not supported by this processor, or not one of auto, base, avx2, avx512",
                            (const char *)s->kernels);
    if (!server_list_has("auto,true,false", s->job_confinement))
        return bp_error_set(error, "", "job_confinement must be auto, true or false, got \"%.40s\"", (const char *)s->job_confinement);
    if (*s->follow && fetch_url_check(s->follow, error) != 0) return -1;
    return cors_check(s, error);
}

static int check_tls(const struct server_settings *s, struct bp_error *error) {
    int64_t days;
    return *s->tls_cert && *s->tls_key ? tls_check(s->tls_cert, s->tls_key, &days, error) : 0;
}

void reload(struct server *server, int argc, char **argv) {
    struct server_settings read;
    struct bp_error error = {0};
    struct counts counts = {0};
    const bool good = server_settings_read(&read, argc, argv, &error) == 0 && settings_check(&read, &error) == 0 &&
                      check_tls(&server->settings, &error) == 0 &&
                      auth_reload(server->auth, read.api_key_file, &error) == 0; /* last: what it finds is in use from then on */
    atomic_store(&server->reload_failed, !good);
    metrics_add(server->metrics, METRIC_backpropd_config_reloads_total, 1);
    if (!good) {
        log_line(LOG_ERROR, "reload_failed", "error", error.message, "consequence", "the settings stay as they were", NULL);
    } else {
        char changed[16], restart[16];
        server_settings_reload(&server->settings, &read, log_change, &counts);
        pass_on(server);
        tls_reload();
        snprintf(changed, sizeof changed, "%d", counts.changed);
        snprintf(restart, sizeof restart, "%d", counts.restart);
        log_line(LOG_INFO, "reloaded", "changed", changed, "need_restart", restart, NULL);
    }
    server_settings_clear(&read);
}

int check_config(int argc, char **argv) {
    struct server_settings read;
    struct bp_error error = {0};
    char *key = NULL;
    const bool good = server_settings_read(&read, argc, argv, &error) == 0 && settings_check(&read, &error) == 0 && check_tls(&read, &error) == 0 &&
                      auth_file_read(read.api_key_file, &key, &error) == 0;
    if (good) printf("the settings are valid\n");
    else fprintf(stderr, "backpropd serve: %s\n", error.message);
    free(key);
    server_settings_clear(&read);
    return good ? 0 : 2;
}
