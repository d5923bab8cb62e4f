/* folds.h - cross-validation: in which fold each row validates, and the training of a fold, fitted on the rows of the other folds alone. */
#ifndef SCHEMA_FOLDS_H
#define SCHEMA_FOLDS_H

#include "schema/resolve/training.h"
#include "schema/training/split.h"

struct schema_folds {
    int32_t count; /* of folds, at most SCHEMA_FOLDS_MAX */
    uint64_t seed;
    int64_t n;              /* rows */
    const int32_t *classes; /* (n) or NULL: of each class the folds get the same number of rows, or one more or less */
    int32_t classes_count;
    const struct schema_groups *groups; /* NULL, or what stays together; classes do not count then */
};

/* Fold of each row, 1 to count; 0 for rows without a group, which validate in none. Sizes of folds differ by at most one, with groups by as little as
 * those allow when the largest go first. A pure function of its arguments. -1: fewer rows or groups than folds. */
int schema_folds_assign(const struct schema_folds *folds, uint8_t *fold, struct bp_error *error);

enum { SCHEMA_FOLDS_SEEDS = 64 }; /* more than folds: a repetition of a fit has the seed of a fold that far beyond */
/* The seed of a fit: of a fold's, fold 1 and up; of the fit on all rows, fold 0, the job's own. */
uint64_t schema_fold_seed(uint64_t seed, int32_t fold);

/* The training of a fold out of a job's spec, whose member "request" holds what the job asked of columns and targets: everything that is fitted is
 * fitted on this fold's training rows. NULL with error set. */
struct schema_training *schema_training_fold(const json_t *spec, const struct schema_dataset *dataset, int32_t fold, struct bp_error *error);
/* That member, out of a job object. */
json_t *schema_training_request_encode(const json_t *object);

#endif
