/* progress.h - how far a job is, as its row and its events show it: the one place that names the members. */
#ifndef SERVER_JOBS_PROGRESS_H
#define SERVER_JOBS_PROGRESS_H

#include <jansson.h>
#include <stdint.h>

/* Zeroes are those of a job that has not begun. */
struct progress {
    int64_t epoch, epochs;             /* complete, and of all fits together */
    int64_t position;                  /* rows of this epoch that are done */
    int64_t rows, batch_size;          /* of an epoch */
    int64_t samples, total;            /* done, and of the whole job */
    double samples_per_second;         /* 0: not known yet */
    int32_t folds, fold;               /* 0: no cross-validation; fold 0: the fit on all rows that follows it */
    int32_t members, members_finished; /* of an ensemble, whose folds are not trained one after the other; 0: it is none */
    double eta_seconds;                /* 0: as samples_per_second says */
};

json_t *progress_json(const struct progress *progress);

#endif
