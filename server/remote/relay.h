/* relay.h - private to relay*.c: a relay while it works. */
#ifndef SERVER_RELAY_H
#define SERVER_RELAY_H

#include "server/jobs/pulse.h"
#include "server/jobs/wire.h"
#include "server/remote/launch.h"
#include "server/remote/object.h"

#include <stdbool.h>

enum relay_state { RELAY_WAITING, RELAY_CONNECTED, RELAY_OVER };
enum relay_command { RELAY_NONE, RELAY_STOP, RELAY_CANCEL };

struct relay_object {
    int fd; /* -1: the job has none */
    int64_t bytes;
    char digest[OBJECT_DIGEST_SIZE];
    bool needed;
};

struct relay {
    json_t *order, *remote; /* the first frame of the supervisor, and its part for this process */
    const char *name, *token;
    struct pulse *pulse;
    struct launch launch;
    struct frame_link link;
    struct relay_object objects[WIRE_INPUTS]; /* as wire_inputs */
    atomic_int state;                         /* enum relay_state */
    atomic_int command;                       /* enum relay_command: what the supervisor wants */
    atomic_llong command_at;
    atomic_int held;       /* the supervisor is waited for: then silence of the other side means nothing */
    atomic_llong start_by; /* ms: when the launcher must have started the process */
    atomic_bool late;      /* it has not */
    atomic_bool silent;    /* nothing was heard for too long */
    bool final;            /* the message that ends the attempt was passed on */
    char why[600];         /* what ended the connection */

    /* The file of the supervisor that is written next, as in worker/draft.c. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int draft;
    int64_t draft_number;
    bool refused;
    /* A file of the agent that arrives, and which one of the supervisor it becomes. */
    struct object_incoming incoming;
    bool receives;
    int64_t agent_number, placed_number;
};

/* relay_data.c */
/* The files that the order names, with their digests. -1 with the error. */
int relay_objects(struct relay *relay, struct bp_error *error);
/* Starts the thread that sends what the agent needs, and lets the job process start. -1 with the error. */
int relay_send_objects(struct relay *relay, struct bp_error *error);
/* A version file for the agent, with the message about it. */
void relay_send_served(struct relay *relay, json_t *message, int fd);
/* A file of the agent. -1 with the error. */
int relay_receive_object(struct relay *relay, const struct frame *frame, struct bp_error *error);
int relay_receive_data(struct relay *relay, const struct frame *frame, struct bp_error *error);
/* The supervisor's answer to the request for a file, in the thread that listens; fd -1: it was refused. */
void relay_draft_arrived(struct relay *relay, const json_t *message, int fd);

/* relay.c */
/* To the supervisor. Waits as long as it does not read. */
void relay_say(struct relay *relay, const json_t *message);
void relay_say_text(struct relay *relay, const char *text, size_t size);

#endif
