/* cross_validation.h - the fits of a cross-validation, one after the other: which is under way, and what the finished folds came to. */
#ifndef SERVER_CROSS_VALIDATION_H
#define SERVER_CROSS_VALIDATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cross_validation {
    int32_t folds;                  /* 0: the job is one fit */
    int32_t fold;                   /* under way: 1 to folds, then 0, the fit on all rows */
    json_t *finished;               /* array: {"fold","train_rows","validation_rows","epoch","epochs","metrics"}, "stop_reason" if it has one */
    int64_t epochs, samples, steps; /* of all finished folds: the next fit continues the count */
};

void cross_validation_begin(struct cross_validation *cv, int32_t folds);
/* To and from a checkpoint. -1: it is not of this cross-validation. */
json_t *cross_validation_notes(const struct cross_validation *cv);
int cross_validation_recall(struct cross_validation *cv, const json_t *notes);
/* The result of the fold under way, which is taken over; then the next fit is under way. */
void cross_validation_add(struct cross_validation *cv, json_t *entry);
void cross_validation_next(struct cross_validation *cv, int64_t samples, int64_t steps);
/* Fits after the current one, and the epochs of the last fit: the rounded mean of the epochs that the folds kept. */
int32_t cross_validation_left(const struct cross_validation *cv);
int64_t cross_validation_last_epochs(const struct cross_validation *cv);
/* Whether max_seconds has cut a finished fold. */
bool cross_validation_is_cut(const struct cross_validation *cv);
/* {"folds":[...],"mean":{...},"std":{...}}, mean and std null before the last fold has ended. The caller's. */
json_t *cross_validation_json(const struct cross_validation *cv);
/* The version's metrics: means over the folds, "cross_validated_loss" of "val_loss" and so on. The caller's. */
json_t *cross_validation_metrics(const struct cross_validation *cv);

#endif
