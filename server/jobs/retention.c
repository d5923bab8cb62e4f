/* retention.c - see retention.h. */
#include "server/jobs/retention.h"

#include "server/auth/auth.h"
#include "server/log.h"
#include "server/model_cache.h"
#include "server/store/store.h"

#include <stdio.h>

#define DAY_MS ((int64_t)24 * 3600 * 1000)

static void removed(struct server *server, const struct store_expired *one) {
    struct store_audit entry = {.action = "retention", .status = 204};
    char version[24];
    snprintf(version, sizeof version, "%lld", (long long)one->version);
    if (one->version) {
        snprintf(entry.target, sizeof entry.target, "/v1/models/%s/versions/%s", one->name, version);
        log_line(LOG_INFO, "version_expired", "model", one->name, "version", version, NULL);
        model_cache_deleted(server->model_cache, one->name, one->version);
    } else {
        snprintf(entry.target, sizeof entry.target, "/v1/jobs/%s", one->name);
        log_line(LOG_INFO, "job_expired", "job", one->name, NULL);
        model_cache_deleted(server->model_cache, one->name, 0);
    }
    auth_audit(server->auth, &entry);
}

static bool some(struct server *server, enum store_result result, const struct store_expired *expired, int32_t count, const struct bp_error *error) {
    if (result != STORE_OK) log_line(LOG_ERROR, "retention_failed", "error", error->message, NULL);
    for (int32_t i = 0; i < count; i++) removed(server, &expired[i]);
    return count == STORE_EXPIRED_MAX;
}

bool retention_sweep(struct server *server) {
    struct store_expired expired[STORE_EXPIRED_MAX];
    struct bp_error error = {0};
    const int64_t versions = server->settings.keep_versions, days = server->settings.keep_jobs_days;
    int32_t count = 0;
    bool more = false;
    if (server->follower) return false; /* it has what its primary has */
    if (versions > 0) {
        const enum store_result result = store_versions_expire(server->store, versions, expired, &count, &error);
        more = some(server, result, expired, count, &error);
    }
    if (days > 0) {
        error = (struct bp_error){0};
        const enum store_result result = store_jobs_expire(server->store, store_now() - days * DAY_MS, expired, &count, &error);
        more = some(server, result, expired, count, &error) || more;
    }
    return more;
}
