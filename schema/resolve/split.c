/* split.c - the usable rows of a job: which train and which validate. How rows are split is in source.c (by seed), split.c
 * (by a column) and folds.c (a cross-validation). */
#include "schema/resolve/resolution.h"

#include "schema/resolve/folds.h"
#include "schema/training/split.h"

#include <math.h>
#include <stdlib.h>

/* The target that the split is stratified by: the first one with a class for a row, -1: none. */
static int32_t strata(const struct schema_preprocessing *p) {
    for (int32_t k = 0; k < p->targets_count; k++)
        if (p->targets[k].classification && p->targets[k].shape.rank <= 0) return k;
    return -1;
}

/* The usable rows, with their classes of the target that stratifies the split. */
struct learnable {
    int64_t n;
    int64_t *rows;
    int32_t *classes, classes_count; /* NULL, 0: no classes */
};

static void learnable_free(struct learnable *l) {
    free(l->rows);
    free(l->classes);
    *l = (struct learnable){0};
}

/* Fills them in, in ascending order, with their classes of target `by`. */
static int learnable_rows(const struct schema_view *view, int32_t by, bool sparing, struct learnable *l, struct bp_error *error) {
    int64_t some[SCHEMA_ROWS_MAX];
    double targets[SCHEMA_ROWS_MAX];
    bool complete[SCHEMA_ROWS_MAX];
    for (int64_t first = 0; first < view->dataset->rows; first += SCHEMA_ROWS_MAX) {
        const int64_t left = view->dataset->rows - first;
        const int32_t count = left < SCHEMA_ROWS_MAX ? (int32_t)left : SCHEMA_ROWS_MAX;
        if (sparing && first % (8 * SCHEMA_ROWS_MAX) == 0) schema_dataset_release(view->dataset);
        for (int32_t i = 0; i < count; i++) some[i] = first + i;
        if (schema_view_complete(view, some, count, complete) != 0) return bp_error_memory(error, "no memory to read the targets");
        if (l->classes) schema_view_targets(view, by, some, count, targets);
        for (int32_t i = 0; i < count; i++) {
            if (!complete[i]) continue;
            if (l->classes) l->classes[l->n] = (int32_t)targets[i];
            l->rows[l->n++] = some[i];
        }
    }
    return 0;
}

/* sparing: data larger than memory, whose pages are released after reading. */
static int learnable_open(const struct schema_view *view, bool sparing, struct learnable *l, struct bp_error *error) {
    const int32_t by = strata(view->preprocessing);
    const size_t rows = (size_t)view->dataset->rows;
    *l = (struct learnable){.rows = malloc((rows + 1) * sizeof *l->rows)};
    if (by >= 0) {
        l->classes = malloc((rows + 1) * sizeof *l->classes);
        l->classes_count = view->preprocessing->targets[by].labels_count;
    }
    if (l->rows && (l->classes || by < 0) && learnable_rows(view, by, sparing, l, error) == 0) return 0;
    learnable_free(l);
    return bp_error_memory(error, "no memory to split %lld rows", (long long)rows);
}

/* Which fold each row validates in, 1 to folds; 0: none, it trains in all. The groups are counted in *groups, 0 without. */
static uint8_t *folds_of(const struct schema_options *o, const struct schema_dataset *dataset, const struct learnable *l, int64_t *groups,
                         struct bp_error *error) {
    struct schema_folds folds = {.count = o->folds, .seed = o->seed, .n = l->n, .classes = l->classes, .classes_count = l->classes_count};
    struct schema_groups found = {0};
    uint8_t *fold = calloc((size_t)l->n + 1, sizeof *fold);
    int failed = fold ? 0 : bp_error_memory(error, "no memory to split %lld rows", (long long)l->n);
    *groups = 0;
    if (!failed && o->validation == SCHEMA_VALIDATION_GROUP) {
        const int32_t column = schema_dataset_find(dataset, o->validation_column);
        if (column < 0) failed = bp_error_set(error, "/validation/group", "the dataset has no column \"%.80s\"", o->validation_column);
        else failed = schema_groups_find(dataset, column, l->rows, l->n, &found, error);
        *groups = found.count;
        folds.groups = &found;
    }
    if (!failed) failed = schema_folds_assign(&folds, fold, error);
    schema_groups_free(&found);
    if (!failed) return fold;
    free(fold);
    return NULL;
}

static int split_fold(const struct schema_training *t, const struct schema_dataset *dataset, const struct learnable *l, struct schema_split *split,
                      struct bp_error *error) {
    int64_t groups, held = 0;
    uint8_t *fold = folds_of(&t->options, dataset, l, &groups, error);
    if (!fold) return -1;
    *split = (struct schema_split){.validation = malloc(((size_t)l->n + 1) * sizeof *split->validation)};
    for (int64_t i = 0; i < l->n; i++) held += fold[i] == t->fold;
    split->train = split->validation + held;
    for (int64_t i = 0; split->validation && i < l->n; i++) {
        if (fold[i] == t->fold) split->validation[split->validation_count++] = l->rows[i];
        else split->train[split->train_count++] = l->rows[i];
    }
    free(fold);
    return split->validation ? 0 : bp_error_memory(error, "no memory to split %lld rows", (long long)l->n);
}

int schema_training_split(const struct schema_training *t, const struct schema_view *view, struct schema_split *split, struct bp_error *error) {
    const struct schema_options *o = &t->options;
    const bool by_column = o->validation == SCHEMA_VALIDATION_COLUMN ||
                           (o->validation_fraction > 0 && (o->validation == SCHEMA_VALIDATION_GROUP || o->validation == SCHEMA_VALIDATION_TIME));
    struct learnable l;
    if (learnable_open(view, o->window_rows > 0, &l, error) != 0) return -1;
    int failed;
    if (o->folds && t->fold) failed = split_fold(t, view->dataset, &l, split, error);
    else if (!o->folds && by_column) failed = schema_split_by_column(view->dataset, l.rows, l.n, o, split, error);
    else failed = schema_split_make(l.rows, l.n, l.classes, l.classes_count, o->folds ? 0 : o->validation_fraction, o->seed, split, error);
    learnable_free(&l);
    return failed;
}

int schema_training_held(const struct schema_training *t, const struct schema_view *view, struct schema_split *split, struct bp_error *error) {
    struct learnable l;
    *split = (struct schema_split){0};
    if (learnable_open(view, t->options.window_rows > 0, &l, error) != 0) return -1;
    split->validation = l.rows;
    split->validation_count = l.n;
    free(l.classes);
    return 0;
}

/* ---- a cross-validation, when the job is submitted ---------------------------------------------------------------------------------- */

static void warn_of_rare_classes(struct resolving *r, const struct schema_target *target, const struct learnable *l) {
    int64_t *counts = calloc((size_t)l->classes_count + 1, sizeof *counts);
    int32_t rare = 0, first = -1;
    for (int64_t i = 0; counts && i < l->n; i++) counts[l->classes[i]]++;
    for (int32_t c = 0; counts && c < l->classes_count; c++) {
        if (counts[c] >= r->training->options.folds || counts[c] == 0) continue;
        if (first < 0) first = c;
        rare++;
    }
    if (rare == 1)
        resolving_warn(r, "class \"%.60s\" of \"%.60s\" has %lld rows, fewer than the %d folds: some folds have no validation row of it",
                       target->labels[first], target->name, (long long)counts[first], r->training->options.folds);
    else if (rare > 1)
        resolving_warn(
            r, "%d classes of \"%.60s\" have fewer rows than the %d folds, like \"%.60s\" with %lld: some folds have no validation row of them", rare,
            target->name, r->training->options.folds, target->labels[first], (long long)counts[first]);
    free(counts);
}

int resolving_folds(struct resolving *r, const struct schema_view *view, const struct schema_split *split, struct bp_error *error) {
    const struct schema_options *o = &r->training->options;
    struct learnable l;
    int64_t groups, ungrouped = 0;
    if (!o->folds || r->training->fold) return 0;
    if (split->train_count < o->folds)
        return bp_error_set(error, "/validation/folds", "%d folds need at least %d rows; there are %lld usable rows", o->folds, o->folds,
                            (long long)split->train_count);
    if (learnable_open(view, o->window_rows > 0, &l, error) != 0) return -1;
    uint8_t *fold = folds_of(o, view->dataset, &l, &groups, error);
    for (int64_t i = 0; fold && i < l.n; i++) ungrouped += fold[i] == 0;
    if (ungrouped)
        resolving_warn(r, "%lld rows have no value in \"%.60s\": they train in every fold and validate in none", (long long)ungrouped,
                       o->validation_column);
    if (fold && l.classes && o->validation == SCHEMA_VALIDATION_RANDOM)
        warn_of_rare_classes(r, &view->preprocessing->targets[strata(view->preprocessing)], &l);
    learnable_free(&l);
    free(fold);
    return fold ? 0 : -1;
}
