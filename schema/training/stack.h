/* stack.h - what each family of an ensemble counts: weights that fit out-of-fold predictions to the targets (stacking: Wolpert 1992; with weights
 * that are not negative: Breiman 1996, "Stacked Regressions"). Here they also add up to 1, so that an average of probabilities is one. */
#ifndef SCHEMA_STACK_H
#define SCHEMA_STACK_H

#include <stdbool.h>
#include <stdint.h>

enum { SCHEMA_STACK_MAX = 8 };

struct schema_stack {
    int32_t families, width;                    /* width: numbers of a prediction */
    int64_t n;                                  /* rows */
    const float *predictions[SCHEMA_STACK_MAX]; /* (n, width) each: probabilities, or values */
    bool classes;                               /* y holds class numbers; with a width of 1 the probability is that of class 1 */
    const float *y;                             /* (n) class numbers, or (n, width) values */
    const double *weights;                      /* (n) what each row counts; NULL: 1 */
    const uint8_t *fold;                        /* (n) in which fold a row was predicted; 0: in none, it does not count */
};

/* Weights (families), not negative, with the sum 1, that minimise the squared error over the rows of all folds but `except` (0: of all). They are
 * drawn towards equal ones as SCHEMA_STACK_PULL more rows of the least error would draw them, so that few rows decide little. Exact: every set of
 * families is tried. Without rows they are equal. */
enum { SCHEMA_STACK_PULL = 20 };
void schema_stack_weights(const struct schema_stack *stack, uint8_t except, double *weights);
/* The combined prediction of row i, (width). */
void schema_stack_combine(const struct schema_stack *stack, const double *weights, int64_t i, float *out);

#endif
