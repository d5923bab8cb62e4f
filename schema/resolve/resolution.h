/* resolution.h - private to training*.c: a job while it is resolved against its data. */
#ifndef SCHEMA_RESOLVING_H
#define SCHEMA_RESOLVING_H

#include "schema/resolve/training.h"

enum { RESOLVING_POINTER_MAX = 512, RESOLVING_TARGETS_MAX = 256 };

struct resolving_target {
    int32_t column;
    char pointer[RESOLVING_POINTER_MAX]; /* where the request names it */
    bool classification, balanced;
    bool regressed; /* the request says so */
    bool clamp;
    enum schema_target_transform transform;
    enum schema_multilabel multilabel;
    bool ragged;   /* a tensor of numbers whose rows may lack steps at the end */
    char **labels; /* classification: sorted */
    int32_t labels_count;
    double *class_weights; /* (labels_count) or NULL */
};

/* Some targets that one output of the network learns. */
struct resolving_output {
    char name[BP_NAME_MAX]; /* of its layer, as given or generated; "" when there is only one */
    int32_t first, count;   /* targets */
};

/* Whether the column is a tensor. */
bool resolving_tensor(const struct schema_dataset *dataset, int32_t column);

struct resolving {
    struct schema_training *training;
    const struct schema_dataset *dataset;
    const struct schema_training_request *request;
    struct schema_problems *problems;
    int32_t targets_count, outputs_count;
    struct resolving_target *targets; /* [RESOLVING_TARGETS_MAX] */
    struct resolving_output outputs[BP_OUTPUTS_MAX];
    bool by_layer; /* the request names the output layers */
    /* Moves the options of the only output from maps by output to where a definition of one output has them. */
    char only_name[BP_NAME_MAX];          /* the name in those maps */
    bool only_has_loss, only_has_metrics; /* which maps there were: problems point into them */
    int32_t *features;
    int32_t features_count;
    struct schema_column_options *options;   /* [features_count] */
    int32_t sample_weight;                   /* column, -1: none */
    struct schema_training_outline *outline; /* what alone is asked for, or NULL */
    struct schema_split split;               /* rows that train and validate, while it is resolved */
    int32_t split_column;                    /* the column that selects the validation rows, -1: none */
    int32_t test_column;                     /* the same of the rows of the test */
    int64_t test_rows;                       /* held back for the test */
    int64_t validation_rows;                 /* that validate, of a cross-validation those of all folds; known after the split */
};

__attribute__((format(printf, 2, 3))) void resolving_warn(struct resolving *r, const char *format, ...);
/* request.pointer + "/" + name, into out; and that of a member of validation. */
const char *resolving_place(const struct resolving *r, const char *name, char *out, size_t size);
const char *resolving_validation_place(const struct resolving *r, const char *name, char *out, size_t size);

/* columns.c: targets, features, sample weights; then what each target is. */
void resolving_columns(struct resolving *r);
void resolving_tasks(struct resolving *r);
void resolving_class_weights(struct resolving *r);
/* A row of several labels has no class to be weighed by. */
void resolving_refuse_class_weights(struct resolving *r);

/* target_options.c: transform, clamp, positive_class; whether the losses go with them, once the network is planned. */
void resolving_target_options(struct resolving *r);
void resolving_check_transforms(struct resolving *r);

/* masks.c: what a masking layer takes as padding, before the network is complete; what of the targets is padding, after. */
void resolving_masks(struct resolving *r);
void resolving_target_padding(struct resolving *r);

/* range.c: targets of outputs that cannot take every value, once the network is complete. */
void resolving_target_range(struct resolving *r);

/* output.c: which output learns what, the layers and losses of the outputs. */
void resolving_outputs(struct resolving *r);
void resolving_complete(struct resolving *r);
/* The first target that an output learns; what the definition names for it, among several outputs or as the only one (NULL: nothing). */
const struct resolving_target *resolving_first_target(const struct resolving *r, int32_t o);
struct schema_named_output *resolving_named(const struct resolving *r, int32_t o);

/* shares.c: whether a loss takes targets that are shares; whether those of output o are, here and in the dataset that validates. Problems at
 * `where`. */
bool resolving_takes_shares(const struct bp_loss_ops *loss);
void resolving_check_shares(struct resolving *r, int32_t o, const struct bp_loss_ops *loss, const char *where);

/* labels.c: whether an output learns several labels a row, and how many. */
bool resolving_multilabel(const struct resolving *r, int32_t o);
int32_t resolving_labels_count(const struct resolving *r, int32_t o);
/* Columns of no and yes, count of them from first on, that the loss learns together: the labels of a row. */
bool resolving_labels_together(const struct resolving *r, int32_t first, int32_t count, const struct bp_loss_ops *loss);
/* Makes labels of the vector that output o learns, when all its numbers are 0 or 1 and the request does not say otherwise. */
void resolving_vector_of_labels(struct resolving *r, int32_t o, const struct bp_loss_ops *loss);
/* What is wrong with the loss of an output of several labels, and with what the request asks of labels. */
void resolving_check_labels(struct resolving *r, int32_t o, const struct bp_loss_ops *loss, const char *where);
/* Names that the request gives to labels were for some vector; the thresholds that it gives, once it is known which outputs give probabilities. */
void resolving_check_label_names(struct resolving *r);
void resolving_thresholds(struct resolving *r);

/* metrics.c: metrics, early stopping. */
void resolving_metrics(struct resolving *r);
void resolving_stopping(struct resolving *r);

/* inputs.c: two inputs for the columns that share "features", if the definition reads them. */
void resolving_split_inputs(struct resolving *r);

/* effect.c: options that would have no effect. */
void resolving_inputs(struct resolving *r);
/* A scale requested for a feature that an embedding reads unscaled. */
void resolving_scale_of_indices(struct resolving *r, const struct schema_feature *feature);
/* Of the planned network and the options. */
void resolving_effects(struct resolving *r);
/* effect_options.c: of the options and parameters alone. */
void resolving_option_effects(struct resolving *r);

/* split.c: errors and warnings of a cross-validation before it begins; -1 with the error. split: all rows that are usable for training,
 * from. */
int resolving_folds(struct resolving *r, const struct schema_view *view, const struct schema_split *split, struct bp_error *error);
/* folds.c: whether the network goes with the inputs of every fold. */
void resolving_folds_plan(struct resolving *r);

/* validation.c: the dataset that validates. */
void resolving_validation(struct resolving *r);
/* Whether its column of that name holds indices below `indices`; *worst: what else. */
bool resolving_validation_indices(const struct resolving *r, const char *name, int32_t indices, double *worst);

/* Whether a column holds only whole numbers from 0 to indices - 1; *worst: the first that is not. */
bool resolving_holds_indices(const struct schema_dataset *dataset, int32_t column, int32_t indices, double *worst);
/* The network of the current definition; NULL with a problem. */
struct bp_network *resolving_plan(struct resolving *r, bool with_loss);

#endif
