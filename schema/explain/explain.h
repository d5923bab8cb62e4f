/* explain.h - what a model's predictions depend on, by column of the data: one-hot categories, indicators, parts of dates and tensors are folded back
 * into the column that they come from.
 *
 * PERMUTATION_IMPORTANCE  how much worse a metric becomes when a column's values are shuffled over the rows (Breiman 2001; Fisher 2019)
 * PARTIAL_DEPENDENCE      the mean prediction with a column set to each value of a grid (Friedman 2001), and single rows' curves (ICE, Goldstein
 * 2015) GRADIENT_INPUT          gradient of the prediction times the distance from the baseline, both of the network's inputs INTEGRATED_GRADIENTS
 * the same gradient, averaged along the straight line from the baseline (Sundararajan 2017), by the midpoint rule: the attributions add up to
 * prediction minus baseline prediction but for an error that is reported SHAPLEY                 Shapley values of the game in which the absent
 * columns have the values of a background row (Lundberg 2017): all subsets where these are no more than the samples, else sampled permutations
 * (Castro 2009), each also backwards (antithetic)
 *
 * The baseline is the mean of the background rows' inputs, for SHAPLEY the mean prediction of the background rows. */
#ifndef SCHEMA_EXPLAIN_H
#define SCHEMA_EXPLAIN_H

#include "schema/predict/model_file.h"

enum schema_explain_method {
    SCHEMA_EXPLAIN_PERMUTATION_IMPORTANCE,
    SCHEMA_EXPLAIN_PARTIAL_DEPENDENCE,
    SCHEMA_EXPLAIN_GRADIENT_INPUT,
    SCHEMA_EXPLAIN_INTEGRATED_GRADIENTS,
    SCHEMA_EXPLAIN_SHAPLEY
};
extern const char *const schema_explain_methods[]; /* their names, NULL-terminated */

enum {
    SCHEMA_EXPLAIN_ROWS_MAX = 1000,      /* that are explained one by one */
    SCHEMA_EXPLAIN_BACKGROUND_MAX = 100, /* rows */
    SCHEMA_EXPLAIN_CLASSES_MAX = 100
};

struct schema_explanation {
    const struct schema_model *model;
    const struct schema_dataset *dataset;    /* the rows; with their targets for PERMUTATION_IMPORTANCE */
    const struct schema_dataset *background; /* NULL: the rows themselves */
    enum schema_explain_method method;
    const char *target;       /* NULL: the first */
    const char *label;        /* class whose probability is explained; NULL: the second of two; else each row's predicted one, or all */
    const char *metric;       /* PERMUTATION_IMPORTANCE; NULL: the loss */
    const char *const *names; /* columns; NULL: all features */
    int32_t names_count;
    int32_t repeats;     /* PERMUTATION_IMPORTANCE */
    int32_t samples;     /* SHAPLEY: subsets, or permutations with their reverses, of each row */
    int32_t steps;       /* INTEGRATED_GRADIENTS */
    int32_t grid_points; /* PARTIAL_DEPENDENCE, of numbers */
    int32_t curves;      /* PARTIAL_DEPENDENCE: ICE of so many rows */
    int64_t rows_max;    /* rows that are used, evenly spread */
    uint64_t seed;
    bool (*stop)(const void *context); /* asked from time to time; NULL: never */
    const void *context;
};

/* About how many multiplications it takes, for a decision before the work. */
double schema_explanation_work(const struct schema_explanation *explanation);
/* {"rows","columns"} or {"rows","explanations"}, see openapi.yaml. The caller's; NULL with the error. */
json_t *schema_explain(const struct schema_explanation *explanation, struct bp_error *error);

#endif
