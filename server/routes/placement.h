/* placement.h - where a job may run, and where it does. */
#ifndef SERVER_PLACEMENT_H
#define SERVER_PLACEMENT_H

#include "schema/json/problems.h"
#include "server/server.h"
#include "server/store/store.h"

/* "requires" of a submission: {"launcher", "label", "memory_mb"}. Adds problems, among them that no launcher is like that. memory_mb of the job is
 * set to what is asked for; 0: nothing is. */
void placement_decode(const struct server *server, const json_t *asked, struct store_job *job, struct schema_problems *problems);
/* Sets the memory of a job that does not ask for it, by the estimate in bytes, and whether any launcher takes the job. Adds a problem if none does.
 */
void placement_settle(const struct server *server, int64_t bytes, struct store_job *job, struct schema_problems *problems);
/* "worker": where it runs, or what it waits for. */
void placement_show(json_t *json, const struct server *server, const struct store_job *job);

#endif
