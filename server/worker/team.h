/* team.h - the processes of one job: how they find each other, what they exchange, how each notices that another is gone.
 *
 * The process of rank 0 is the job process of the supervisor: it has the order, the descriptors and the only connection to the server. The others,
 * the followers, get the order and the files from it and train in lockstep. All calls below are made by all of them, with the same arguments where
 * not said otherwise, in the same order. */
#ifndef SERVER_TEAM_H
#define SERVER_TEAM_H

#include "engine/train/reducer.h"

#include <jansson.h>

struct team;

/* Joins the other processes; waits for them. expected: their number, 0: as many as there are. NULL with the error: there is no MPI, or the launcher
 * has started another number of them. */
struct team *team_join(int32_t expected, struct bp_error *error);
int32_t team_rank(const struct team *team);
int32_t team_ranks(const struct team *team);

/* Rank 0: sends the order and what is behind the descriptors of the job (wire.h). -1: a follower cannot take it; the error says which, and why. */
int team_send(struct team *team, const json_t *order, struct bp_error *error);
/* The others: takes them, and puts the files at the same descriptors. The order is the caller's. NULL with the error. */
json_t *team_receive(struct team *team, struct bp_error *error);
/* The bytes of rank 0 become those of all. Before team_watch. */
void team_tell(struct team *team, void *bytes, size_t size);
/* All have come so far, or have failed: with problem "" or why not. Rank 0: -1 with the first problem. The others: -1 if any has one. */
int team_ready(struct team *team, const char *problem, struct bp_error *error);

/* From now on each process watches the others: one that is silent for so long ends the attempt. */
int team_watch(struct team *team, int64_t silence_ms);
/* For the trainer. Borrowed. */
const struct bp_reducer *team_reducer(const struct team *team);
/* The sum of what the processes say, in all of them. */
double team_agree(struct team *team, double number);
/* Seconds of a sum of one number, and more per byte of a large one; the least of a few. -1: no memory. */
int team_measure(struct team *team, double *seconds, double *seconds_per_byte);
/* Whether the bytes (size) are the same in all processes. */
bool team_same(struct team *team, const void *bytes, size_t size);

/* Seconds that this process has waited for sums, and bytes that it has summed, since the start. */
struct team_use {
    double waited;
    int64_t bytes, sums;
};
void team_used(const struct team *team, struct team_use *use);

/* Waits until all processes have come to their end, and leaves them. Nothing else is called afterwards. */
void team_leave(struct team *team);

#endif
