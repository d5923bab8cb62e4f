/* heartbeat.h - the process's side of jobs/pulse.h: a thread shows that the process runs, and whether its work gets on. */
#ifndef SERVER_HEARTBEAT_H
#define SERVER_HEARTBEAT_H

#include "server/jobs/pulse.h"

/* Joins the page behind WIRE_PULSE, and opens what measures the memory: before the process is confined. -1: it could not. */
int heartbeat_open(void);
/* Starts the thread, which beats many times within `silence_ms`. -1: it could not. */
int heartbeat_begin(int64_t silence_ms);
/* What the process does from here on. epoch 0: none. Returns the phase before. Without heartbeat_open these do nothing. */
enum pulse_phase heartbeat_phase(enum pulse_phase phase);
void heartbeat_epoch(int64_t epoch);
/* A piece of work is done: a mini-batch, a part of a file. Any thread; costs next to nothing. */
void heartbeat_step(void);
/* Before the process ends: its peak of memory. */
void heartbeat_end(void);

#endif
