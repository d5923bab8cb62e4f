/* encoded.h - private to schema/explain: rows as the network reads them, in which columns can be exchanged, and the number that is explained. */
#ifndef SCHEMA_EXPLAIN_ENCODED_H
#define SCHEMA_EXPLAIN_ENCODED_H

#include "schema/explain/explain.h"

/* Rows: inputs[k] is (n, sizes[k]). */
struct encoded {
    int64_t n;
    int64_t *rows; /* (n) of the dataset */
    float *inputs[BP_INPUTS_MAX];
};

/* What is explained, and the means to compute it. */
struct explainer {
    const struct schema_explanation *e;
    const struct bp_network *net;
    const struct schema_preprocessing *p;
    int32_t target, output, first; /* first: of the target's numbers in the output */
    int32_t width;                 /* numbers of the target in the output */
    int32_t classes;               /* 0: a number */
    int32_t label;                 /* class, -1: each row's predicted one */
    bool scores;
    int64_t sizes[BP_INPUTS_MAX];
    struct bp_workspace *workspace;
    int32_t features[1024]; /* that are explained, of the preprocessing */
    int32_t features_count;
};
enum { EXPLAIN_BATCH = 256, EXPLAIN_FEATURES_MAX = 1024 };

int explainer_open(const struct schema_explanation *explanation, struct explainer *x, struct bp_error *error);
void explainer_close(struct explainer *x);
/* At most `most` rows of the dataset, evenly spread. */
int encoded_open(const struct explainer *x, const struct schema_dataset *dataset, int64_t most, struct encoded *rows, struct bp_error *error);
void encoded_close(struct encoded *rows);
/* Row i of `from` becomes row k of the workspace's next batch. */
void explainer_put(const struct explainer *x, const struct encoded *from, int64_t i, int32_t k);
/* One column of it then has the value of row j of another. */
void explainer_mix(const struct explainer *x, int32_t feature, const struct encoded *from, int64_t j, int32_t k);
/* Predicts the batch. */
void explainer_run(const struct explainer *x, int32_t n);
/* Class c of row k of the batch, or the number in its own unit (c is ignored). */
double explainer_number(const struct explainer *x, int32_t k, int32_t c);
int32_t explainer_predicted(const struct explainer *x, int32_t k);
const char *explainer_label(const struct explainer *x, int32_t c);
/* The class that is explained of each row (0 for a number), and its prediction. */
void explainer_choose(const struct explainer *x, const struct encoded *rows, int32_t *classes, double *predictions);
bool explainer_stopped(const struct explainer *x, struct bp_error *error);

json_t *explain_permutation(const struct explainer *x, struct bp_error *error);
json_t *explain_dependence(const struct explainer *x, struct bp_error *error);
json_t *explain_gradients(const struct explainer *x, struct bp_error *error);
json_t *explain_shapley(const struct explainer *x, struct bp_error *error);
/* {"row","label","prediction","baseline","attributions":[{"column","value"}]}; values: of the features. */
json_t *explanation_json(const struct explainer *x, int64_t row, int32_t label, double prediction, double baseline, const double *values);

#endif
