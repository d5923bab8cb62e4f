/* ensemble.h - several networks of one job that become one version: which are trained, how they are joined, what each counts.
 *
 * An ensemble has families (a network and its options each) and members: each family is trained once for each fold of the job's split, or `repeats`
 * times on the only split. All members share the job's preprocessing, which is fitted on all rows that train or validate in some fold: it knows
 * columns, not targets (an encoding that does, "target", is refused). So the joined network is an ordinary one: it reads the same inputs, and its
 * last layer is the weighted average of the members' predictions. Everything that works on a network works on it. */
#ifndef SCHEMA_ENSEMBLE_H
#define SCHEMA_ENSEMBLE_H

#include "schema/resolve/training.h"

enum {
    SCHEMA_FAMILIES_MAX = 8,
    SCHEMA_ENSEMBLE_FOLDS_MAX = BP_INPUTS_MAX /* the average of a family reads all of them */,
    SCHEMA_FAMILY_NAME = 24,
    SCHEMA_MEMBERS_MAX = 64
};

struct schema_family {
    char name[SCHEMA_FAMILY_NAME];
    struct schema_training *training; /* with the preprocessing of the first family */
};
struct schema_member {
    int32_t family, fold; /* fold: 1 and up, 0: there are none */
    int32_t repeat;       /* 0 and up: of a family on one fold */
};
struct schema_ensemble {
    int32_t folds, repeats; /* folds 0: the job's own split */
    int32_t families_count, members_count;
    struct schema_family families[SCHEMA_FAMILIES_MAX];
    struct schema_member members[SCHEMA_MEMBERS_MAX]; /* in the order in which they are trained */
};

/* Fills the members from families, folds and repeats: families in turn. */
void schema_ensemble_list(struct schema_ensemble *ensemble);
/* The member "ensemble" of a spec: {"repeats","families":[{"name","definition","options"}]}. families: the trainings, resolved, the first the spec's
 * own. The caller's. */
json_t *schema_ensemble_encode(const struct schema_ensemble *ensemble);
/* Out of a spec; NULL with the error. The first family is decoded out of the spec itself. */
struct schema_ensemble *schema_ensemble_decode(const json_t *spec, struct bp_error *error);
void schema_ensemble_free(struct schema_ensemble *ensemble);
/* The training of a member: its family's, of its fold. NULL with the error. */
struct schema_training *schema_ensemble_member(const json_t *spec, const struct schema_ensemble *ensemble, int32_t member, struct bp_error *error);

/* What a trained member brings: its weights, laid out as its family's network has them; NULL: it was not trained. share: what it counts. */
struct schema_trained {
    const bp_real *weights;
    double share;
};
/* Joins the members that have weights. *training and *weights (training->network->weights_count) are the caller's. A family's shares are one weight
 * of the last layer, and their ratios those of the family's own average. */
int schema_ensemble_join(const json_t *spec, const struct schema_ensemble *ensemble, const struct schema_trained *members,
                         struct schema_training **training, bp_real **weights, struct bp_error *error);

#endif
