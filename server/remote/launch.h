/* launch.h - a command of a launcher while it runs: its ends of standard input and output, and what it writes to standard error. */
#ifndef SERVER_LAUNCH_H
#define SERVER_LAUNCH_H

#include "engine/base/base.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct launch {
    pid_t pid;   /* of its process group too; 0: it has not started, or has ended and was waited for */
    int in, out; /* to its standard input, from its standard output */
    int status;  /* as waitpid has it, when it has ended */
    /* The thread that passes its standard error on to that of this process. */
    pthread_t thread;
    int errors;
    bool listens;
    pthread_mutex_t lock;
    char last[300]; /* its last line */
};

/* Starts the command, an array of strings that is looked for in PATH, with the environment of this process. -1 with the error. */
int launch_start(struct launch *launch, const json_t *command, struct bp_error *error);
/* A signal to all its processes. Any thread, also when it has ended. */
void launch_signal(struct launch *launch, int signal);
/* Waits for its end, at most so long; then ends it, by SIGTERM and SIGKILL. */
void launch_end(struct launch *launch, int64_t patience_ms);
/* What it came to, in words: "srun ended with exit code 1: srun: error: ..." */
void launch_describe(struct launch *launch, const char *name, char *text, size_t size);
/* Runs a command to its end, at most limit_ms. 0: it succeeded; -1 with the error in words, with its last line. */
int launch_run(const json_t *command, int64_t limit_ms, struct bp_error *error);

#endif
