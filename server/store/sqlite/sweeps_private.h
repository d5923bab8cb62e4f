/* sweeps_private.h - what sweeps.c and trials.c share. */
#ifndef SERVER_STORE_SQLITE_SWEEPS_H
#define SERVER_STORE_SQLITE_SWEEPS_H

#include "server/store/sqlite/sqlite.h"
#include "server/store/sweeps.h"

/* The number of the best trial of the sweep with this alias; NULL: none has succeeded with a value. The first of equal ones. */
#define BEST_TRIAL(sweep) "(SELECT b.number FROM trials AS b WHERE b.sweep = " sweep ".id AND b.score IS NOT NULL ORDER BY b.score, b.number LIMIT 1)"

/* STORE_NOT_FOUND with its message. */
enum store_result sweep_missing(const char *id, struct bp_error *error);
/* Inside a change; the sweep is the caller's to free. */
enum store_result sweep_now(struct connection *c, const char *id, struct store_sweep *sweep, struct bp_error *error);

#endif
