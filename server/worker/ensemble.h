/* ensemble.h - trains the members of an ensemble side by side, a thread each, and joins them: for the job process and `backpropd train`.
 *
 * A member's result depends on the spec and the data alone, never on the number of threads or on what else is trained. So an ensemble resumes from
 * the members that are finished, and the others, trained again from their start, end with the same bits. */
#ifndef SERVER_ENSEMBLE_H
#define SERVER_ENSEMBLE_H

#include "schema/resolve/ensemble.h"

struct ensemble;
struct ensemble_options {
    const json_t *spec;                   /* borrowed, as is the data */
    const struct schema_dataset *dataset; /* borrowed */
    const struct schema_dataset *other;   /* that validates, or NULL */
    int32_t threads;
    double max_seconds;    /* 0: no limit; else no member begins after it, one has always been trained, and each gets an equal share of the time */
    double seconds_before; /* trained in earlier attempts */
    void (*step)(void);    /* called by the threads after each mini-batch; may be NULL */
};
int ensemble_open(const struct ensemble_options *options, struct ensemble **ensemble, struct bp_error *error);
/* Stops the threads and frees everything. */
void ensemble_close(struct ensemble *ensemble);
const struct schema_ensemble *ensemble_plan(const struct ensemble *ensemble);

/* Before the start: epochs of earlier attempts, from which the events count on. */
void ensemble_count(struct ensemble *ensemble, int64_t epochs);
int ensemble_start(struct ensemble *ensemble, struct bp_error *error);
/* Waits up to `ms` for news. *events: the metrics of the epochs since the last call, [{"epoch","family","fold","fold_epoch",...}], the caller's.
 * Returns whether anything is still trained. */
bool ensemble_wait(struct ensemble *ensemble, int64_t ms, json_t **events);
/* No member goes on; returns when all threads have ended. */
void ensemble_stop(struct ensemble *ensemble);
/* Members that have finished so far; those of the beginning included. */
int32_t ensemble_finished(struct ensemble *ensemble);
/* When nothing is trained any more: whether max_seconds has cut a member, or left one out. */
bool ensemble_cut(struct ensemble *ensemble);
/* The error of a member that could not be trained; false: there is none. */
bool ensemble_failed(struct ensemble *ensemble, struct bp_error *error);

struct ensemble_progress {
    int64_t epochs, samples;      /* trained, of all members */
    int64_t epochs_at_most, rows; /* rows: of an epoch */
    double fraction;              /* of the work; members that stopped early are whole */
};
void ensemble_progress(struct ensemble *ensemble, struct ensemble_progress *progress);
/* {"folds":[...],"families":[{"name","weight","metrics"}],"mean":{...},"std":{...}}: the members that have finished; when all have, what the held-out
 * rows say of each family and of the whole. mean and std null before. The caller's. */
json_t *ensemble_report(struct ensemble *ensemble);

/* When nothing is trained any more: the joined network. *training and *weights are the caller's. document: the training as JSON with metrics,
 * members, epochs; the caller's. */
int ensemble_join(struct ensemble *ensemble, struct schema_training **training, bp_real **weights, json_t **document, struct bp_error *error);

extern const char ensemble_format[]; /* "format" of that file */
/* The finished members, to a file and back. notes: an object stored with them, the caller's after loading. Only before ensemble_start. */
int ensemble_save(struct ensemble *ensemble, int fd, const json_t *notes, struct bp_error *error);
int ensemble_load(struct ensemble *ensemble, const void *bytes, size_t size, json_t **notes, struct bp_error *error);

/* When nothing is trained any more: for each held-out row the prediction of all families that were not trained on it, by the weights that the other
 * folds decide, and its target. Both arrays are the caller's. -1 with the error: there are none of one class or number. */
struct schema_held_predictions;
int ensemble_held(struct ensemble *ensemble, struct schema_held_predictions *held, struct bp_error *error);

#endif
