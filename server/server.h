/* server.h - the parts of a running server, for code that needs several of them. Made by commands/serve.c, in the order of the members. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/settings.h"
#include "server/store/store.h"

#include <stdatomic.h>
#include <unistd.h>

struct server {
    struct server_settings settings;
    struct store *store;
    struct model_cache *model_cache; /* models loaded for predictions */
    struct drift *drift;             /* counts what is predicted; NULL: not counted */
    struct bfloat16 *bfloat16;       /* whether jobs can compute in it */
    struct launchers *launchers;     /* where jobs can run; constant */
    struct supervisor *supervisor;   /* runs the jobs */
    struct follower *follower;       /* keeps a copy of another server's models; NULL: this is no replica */
    struct http *_Atomic http;       /* NULL until it has started */
    struct auth *auth;               /* API keys; NULL: everyone may do everything */
    struct metrics *metrics;         /* counted for /metrics; NULL: not counted */
    int64_t started_at, started_ms;  /* the date; and by clock.h */
    char address[128];               /* "127.0.0.1:8080", as bound */
    char instance[STORE_ID_SIZE];    /* of this start: by it a replica knows itself */
    atomic_llong memory_reserved;    /* by requests in flight, bytes; http/memory.c */
    atomic_bool memory_freed;        /* a large request has ended */
    atomic_bool reload_failed;       /* the last reload found invalid settings */
    atomic_bool draining;            /* SIGTERM came: not ready, nothing new is started */
    int sweeps_fd;                   /* an eventfd: something has happened to a sweep or a trial */
    atomic_int sweeps_unfinished;    /* as of the sweeper's last turn */
};

/* For work that asks from time to time whether to go on. */
static inline bool server_stopping(const void *server) {
    return atomic_load(&((const struct server *)server)->draining);
}

/* A sweep was submitted or cancelled, or a trial may have ended. Any thread. */
static inline void server_poke_sweeps(const struct server *server) {
    const uint64_t one = 1;
    const ssize_t ignored = write(server->sweeps_fd, &one, sizeof one);
    (void)ignored;
}

#endif
