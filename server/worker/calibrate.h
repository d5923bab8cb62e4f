/* calibrate.h - the calibration of a version by the rows that its training held out: what the job process and `backpropd train` share. */
#ifndef SERVER_WORKER_CALIBRATE_H
#define SERVER_WORKER_CALIBRATE_H

#include "server/worker/ensemble.h"
#include "server/worker/run.h"

/* asked: as "calibrate" of a job, an object. The document, the caller's; NULL: the reason in why. */
enum { CALIBRATE_WHY = 520 };
/* By the validation rows of a training. */
json_t *run_calibrate(const struct run *run, const bp_real *weights, const json_t *asked, char why[static CALIBRATE_WHY]);
/* By the predictions that the members of an ensemble made for rows they were not trained on. joined: what they became. */
json_t *ensemble_calibrate(struct ensemble *ensemble, struct schema_training *joined, const json_t *asked, char why[static CALIBRATE_WHY]);

#endif
