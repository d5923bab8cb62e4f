/* association.h - how strongly a column is associated with a target. Private to schema/.
 *
 * Both are fed block by block, in rows; a number that is NaN and a code below 0 are missing, and a row in which either is missing takes no part.
 *     number with number       Pearson's r; Spearman's rho from a sample
 *     number with category     correlation ratio eta, either being the target
 *     category with category   Cramer's V, corrected for bias */
#ifndef SCHEMA_ASSOCIATION_H
#define SCHEMA_ASSOCIATION_H

#include "schema/dataset/dataset.h"
#include "schema/dataset/ranks.h"

enum schema_association_kind { SCHEMA_ASSOCIATION_NONE, SCHEMA_ASSOCIATION_NUMBERS, SCHEMA_ASSOCIATION_RATIO, SCHEMA_ASSOCIATION_TABLE };

struct schema_association {
    enum schema_association_kind kind;
    int64_t rows; /* with both */
    /* NUMBERS and RATIO: sums of u = (x - mean) / std, which keeps them exact; v of the target */
    double mean_x, std_x, mean_y, std_y;
    long double u, v, uu, vv, uv;
    /* RATIO: by category; TABLE: [category of the column][of the target] */
    int32_t categories, others;
    double *sums;
    int64_t *counts;
    bool sampled; /* TABLE: too large for all rows, counted from the sample */
};

/* Warnings about two columns. */
enum schema_association_kind schema_association_of(const struct schema_column *column, const struct schema_column *target);
/* -1: no memory. */
int schema_association_start(struct schema_association *a, const struct schema_column *column, const struct schema_column *target);
void schema_association_clear(struct schema_association *a);

void schema_association_numbers(struct schema_association *a, const double *x, const double *y, int64_t n);
void schema_association_ratio(struct schema_association *a, const double *x, const int32_t *codes, int64_t n);
void schema_association_table(struct schema_association *a, const int32_t *codes, const int32_t *others, int64_t n);
/* TABLE of a sample, without a table of all pairs. -1: out of memory. */
int schema_association_pairs(struct schema_association *a, const int32_t *codes, const int32_t *others, int64_t n, double *v);

/* All NaN where it is not defined: fewer than two rows, or a constant. */
double schema_association_pearson(const struct schema_association *a);
/* Of a sample: ranks of those that have both. */
double schema_association_spearman(const double *rank_x, const double *rank_y, const double *x, const double *y, int64_t n);
/* eta, and what is left of it when chance is taken off: epsilon. */
double schema_association_eta(const struct schema_association *a, double *epsilon);
/* -1: no memory. */
int schema_association_cramers_v(const struct schema_association *a, double *v);

#endif
