/* shares.c - targets that are shares: a list of numbers from 0 to 1, or several columns of them, for a loss that compares probabilities with
 * probabilities. They are learned as they are, without a scale. Not here: classes, of which a row has one. */
#include "schema/resolve/resolution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How far the sum of a row may be from 1, where shares are rounded. */
#define SUM_TOLERANCE 0.02

bool resolving_takes_shares(const struct bp_loss_ops *loss) {
    return loss && (loss->shares || loss->range == BP_RANGE_SHARES);
}

/* The targets of an output in a dataset. */
struct cells {
    const struct schema_dataset *dataset;
    int32_t columns[RESOLVING_TARGETS_MAX], count;
    int64_t size; /* numbers of a row */
    bool tensor;
};

static void read_cells(const struct cells *cells, int64_t row, float *out) {
    if (cells->tensor) schema_dataset_tensor(cells->dataset, cells->columns[0], row, out);
    for (int32_t k = 0; !cells->tensor && k < cells->count; k++) out[k] = (float)schema_dataset_number(cells->dataset, cells->columns[k], row);
}

/* What is wrong with a row: a number that is no share, or their sum. Missing numbers leave it out, but for a list that ends early. */
enum fault { NONE, NUMBER, SUM, SHORT };

static enum fault judge(const struct cells *cells, bool whole, const float *cell, double *value) {
    double sum = 0;
    int64_t missing = 0;
    for (int64_t i = 0; i < cells->size; i++) {
        *value = (double)cell[i];
        if (isnan(cell[i])) missing++;
        else if (cell[i] < 0 || cell[i] > 1) return NUMBER;
        else sum += *value;
    }
    *value = sum;
    if (missing && missing < cells->size && whole && cells->tensor) return SHORT;
    return whole && !missing && fabs(sum - 1) > SUM_TOLERANCE ? SUM : NONE;
}

static bool check_cells(struct resolving *r, const struct cells *cells, const struct bp_loss_ops *loss, const char *where) {
    const bool whole = loss->head->probabilities == BP_PROBABILITIES_SHARED;
    const char *name = cells->dataset->columns[cells->columns[0]].name;
    float *cell = malloc((size_t)cells->size * sizeof *cell);
    enum fault fault = NONE;
    double value = 0;
    int64_t row = 0;
    if (!cell) return schema_problem_no_memory(r->problems), false;
    for (; !fault && row < cells->dataset->rows; row++) {
        read_cells(cells, row, cell);
        fault = judge(cells, whole, cell, &value);
    }
    free(cell);
    if (fault == NUMBER)
        schema_problem_add(
            r->problems, where,
            "the loss %s is for classes, or for shares from 0 to 1, but \"%.60s\"%s holds %.9g in row %lld; scale them to 0 to 1, or use mse or mae",
            loss->entry.name, name, cells->count > 1 ? " or a column with it" : "", value, (long long)row);
    else if (fault == SUM)
        schema_problem_add(r->problems, where,
                           "the loss %s is for classes, or for shares that add up to 1, but those of \"%.60s\"%s in row %lld add up to %.6g; divide "
                           "each by their sum, or use binary_cross_entropy for shares that are independent",
                           loss->entry.name, name, cells->count > 1 ? " and the columns with it" : "", (long long)row, value);
    else if (fault == SHORT)
        schema_problem_add(r->problems, where,
                           "the loss %s needs the share of every class, but \"%.60s\" lacks numbers in row %lld; write 0 for them", loss->entry.name,
                           name, (long long)row);
    return fault == NONE;
}

/* The columns of the same names in the dataset that validates; what else is wrong with them is reported there. */
static void check_validation(struct resolving *r, const struct cells *cells, const struct bp_loss_ops *loss) {
    struct cells there = *cells;
    char where[RESOLVING_POINTER_MAX];
    there.dataset = r->request->validation;
    if (!there.dataset) return;
    for (int32_t k = 0; k < there.count; k++) {
        there.columns[k] = schema_dataset_find(there.dataset, cells->dataset->columns[cells->columns[k]].name);
        if (there.columns[k] < 0 || resolving_tensor(there.dataset, there.columns[k]) != cells->tensor) return;
    }
    check_cells(r, &there, loss, resolving_validation_place(r, "dataset", where, sizeof where));
}

void resolving_check_shares(struct resolving *r, int32_t o, const struct bp_loss_ops *loss, const char *where) {
    const struct resolving_output *output = &r->outputs[o];
    const struct schema_column *first = &r->dataset->columns[resolving_first_target(r, o)->column];
    struct cells cells = {.dataset = r->dataset,
                          .count = output->count,
                          .size = output->count,
                          .tensor = resolving_tensor(r->dataset, resolving_first_target(r, o)->column)};
    if (cells.tensor) cells.size = bp_shape_size(&first->shape);
    for (int32_t k = 0; k < output->count; k++) cells.columns[k] = r->targets[output->first + k].column;
    if (check_cells(r, &cells, loss, where)) check_validation(r, &cells, loss);
}
