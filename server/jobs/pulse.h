/* pulse.h - a page of memory that the supervisor and a job process share: what the process is doing, and whether it gets on.
 *
 * Only the process writes to it. The supervisor reads it without waiting for messages, also after the process has died, and decides nothing by it
 * but whether the process is alive: whatever is in it, the server stays well. */
#ifndef SERVER_PULSE_H
#define SERVER_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum pulse_phase {
    PULSE_STARTING,
    PULSE_LOADING,
    PULSE_RANGE_TEST,
    PULSE_TRAINING,
    PULSE_CHECKPOINT,
    PULSE_MODEL,
    PULSE_PREDICTING,
    PULSE_EVALUATING,
    PULSE_ENDING,
    PULSE_PHASES
};

struct pulse {
    _Atomic uint32_t phase;              /* enum pulse_phase */
    _Atomic uint64_t epoch;              /* in progress, counted from 1 over all fits; 0: none */
    _Atomic uint64_t beats;              /* grows while the process runs at all */
    _Atomic uint64_t progress;           /* grows while its work gets on */
    _Atomic uint64_t peak_memory;        /* resident, bytes; 0: not known */
    _Atomic uint64_t user_ms, system_ms; /* of a process on another host, if it has ended */
    _Atomic bool ended;                  /* it has */
};

/* "training"; of a number that is no phase: "unknown". And what the process does in it: "it was training". */
const char *pulse_phase_name(uint32_t phase);
const char *pulse_phase_words(uint32_t phase);

/* A new page, and its descriptor for the process: the caller's. NULL with errno. */
struct pulse *pulse_new(int *fd);
/* The page behind the descriptor; NULL: there is none. */
struct pulse *pulse_join(int fd);
/* Unmaps it. NULL is fine. */
void pulse_free(struct pulse *pulse);

#endif
