/* auto.h - what a job trains that names no network: an ensemble of small networks, chosen by the kind of target and the number of rows and columns.
 *
 * The choice looks at the training rows only: every member is judged by rows that it was not trained on, and the weights of the families follow from
 * those (schema/training/stack.h). Why these networks: clients/guides/tables.md. */
#ifndef SCHEMA_AUTO_H
#define SCHEMA_AUTO_H

#include "schema/resolve/ensemble.h"

/* FAST: one family; BALANCED: all families; BEST: all families, several times. */
enum schema_effort { SCHEMA_EFFORT_FAST, SCHEMA_EFFORT_BALANCED, SCHEMA_EFFORT_BEST };
extern const char *const schema_efforts[]; /* their names, NULL-terminated */

/* What a job asks, beside the members of struct schema_training_request, which are read out of `object` too. */
struct schema_auto {
    const json_t *object;                    /* the job: its training options override those of the families */
    const struct schema_definition *network; /* the only family; NULL: an automatic choice */
    enum schema_effort effort;
    int32_t threads; /* members side by side, when the job does not say; at least 1 */
};
/* Resolves all families against the data, with a seed drawn if the job has none. *why: one sentence about the choice. NULL with problems. */
struct schema_ensemble *schema_auto_resolve(const struct schema_auto *job, const struct schema_dataset *dataset,
                                            const struct schema_training_request *request, char why[static 300], struct schema_problems *problems);
/* Estimated bytes of a job process that trains it. */
int64_t schema_ensemble_bytes(const struct schema_ensemble *ensemble, const struct schema_dataset *dataset);

#endif
