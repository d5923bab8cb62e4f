/* results.h - the supervisor's side of what jobs make that train nothing: the files of their predictions, and the report of an evaluation. */
#ifndef SERVER_JOBS_RESULTS_H
#define SERVER_JOBS_RESULTS_H

#include "server/server.h"
#include "server/store/store.h"

#include <jansson.h>

/* The files of a job that predicts, made for its first attempt, to go on writing: descriptors, the caller's, and how far they are. A file that is
 * lost or too short means that the job starts over. -1 with the error. */
int results_open(struct server *server, const struct store_job *job, int files[STORE_PARTS], struct store_results *results, struct bp_error *error);
/* What the process gets to know of them: a JSON object, the caller's (free); NULL: no memory. */
char *results_order(const struct store_results *results);
/* What a message says of them. state is the caller's (store_results_free). False: it says nothing, or there is no memory. */
bool results_decode(const json_t *message, struct store_results *results);

#endif
