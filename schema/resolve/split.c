/* split.c - the usable rows of a job: which train and which validate. How rows are split is in source.c (by seed), split.c
 * (by a column) and folds.c (a cross-validation). */
#include "schema/resolve/resolution.h"

#include "schema/resolve/folds.h"
#include "schema/training/split.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* ---- the rows of the test ---- */

/* A row of a column that selects the test rows: whether it is one. */
static bool is_test(const struct schema_dataset *d, int32_t column, int64_t row) {
    static const char *const tests[] = {"test", "testing", "true", "1", NULL};
    const struct schema_column *c = &d->columns[column];
    const struct schema_type_ops *type = schema_type_of(c->type);
    if (schema_type_is_number(c->type) || type->codes_are_numbers) return schema_dataset_number(d, column, row) == 1;
    const int32_t code = schema_dataset_code(d, column, row);
    for (int i = 0; code >= 0 && tests[i]; i++)
        if (strcasecmp(c->categories[code].value, tests[i]) == 0) return true;
    return false;
}

static int split_by_mark(const struct schema_dataset *d, const struct schema_options *o, const struct learnable *l, struct schema_split *split,
                         struct bp_error *error) {
    const int32_t column = schema_dataset_find(d, o->test_column);
    if (column < 0) return bp_error_set(error, "/test/column", "the dataset has no column \"%.80s\"", o->test_column);
    int64_t *both = malloc(((size_t)l->n + 1) * sizeof *both), held = 0;
    if (!both) return bp_error_memory(error, "no memory to split %lld rows", (long long)l->n);
    for (int64_t i = 0; i < l->n; i++) held += is_test(d, column, l->rows[i]);
    *split = (struct schema_split){.validation = both, .train = both + held};
    for (int64_t i = 0; i < l->n; i++) {
        if (is_test(d, column, l->rows[i])) split->validation[split->validation_count++] = l->rows[i];
        else split->train[split->train_count++] = l->rows[i];
    }
    if (held > 0 && held < l->n) return 0;
    schema_split_free(split);
    return bp_error_set(error, "/test/column",
                        "column \"%.60s\" has %lld rows for the test and %lld others; expected \"test\", true or 1 in the rows of the test",
                        o->test_column, (long long)held, (long long)(l->n - held));
}

/* The usable rows apart, those of the test as `validation`. By another seed than the rows that remain are split by. */
static int split_test(const struct schema_dataset *d, const struct schema_options *o, const struct learnable *l, struct schema_split *split,
                      struct bp_error *error) {
    struct schema_options as = {.seed = o->seed ^ UINT64_C(0x7E57), .validation = o->test, .validation_fraction = o->test_fraction};
    struct bp_error found = {0};
    int failed;
    memcpy(as.validation_column, o->test_column, sizeof as.validation_column);
    if (o->test == SCHEMA_VALIDATION_COLUMN) failed = split_by_mark(d, o, l, split, &found);
    else if (o->test == SCHEMA_VALIDATION_RANDOM)
        failed = schema_split_make(l->rows, l->n, l->classes, l->classes_count, o->test_fraction, as.seed, split, &found);
    else failed = schema_split_by_column(d, l->rows, l->n, &as, split, &found);
    if (failed && strncmp(found.pointer, "/validation", 11) == 0) {
        char place[sizeof found.pointer];
        snprintf(place, sizeof place, "/test%.180s", found.pointer + 11);
        memcpy(found.pointer, place, sizeof place);
    }
    if (failed && error) *error = found;
    if (!failed && split->validation_count == 0) {
        schema_split_free(split);
        failed = bp_error_set(error, "/test", "no row is left for the test: there are %lld usable rows", (long long)l->n);
    }
    return failed;
}

/* Takes the rows of the test away. */
static int hold_test(const struct schema_dataset *d, const struct schema_options *o, struct learnable *l, struct bp_error *error) {
    struct schema_split split = {0};
    if (!schema_options_test(o)) return 0;
    if (split_test(d, o, l, &split, error) != 0) return -1;
    int64_t kept = 0;
    for (int64_t i = 0; i < l->n && kept < split.train_count; i++) { /* both ascend */
        if (l->rows[i] != split.train[kept]) continue;
        if (l->classes) l->classes[kept] = l->classes[i];
        l->rows[kept++] = l->rows[i];
    }
    l->n = kept;
    schema_split_free(&split);
    return 0;
}

int schema_training_test(const struct schema_training *t, const struct schema_view *view, struct schema_split *split, struct bp_error *error) {
    struct learnable l;
    *split = (struct schema_split){0};
    if (!schema_options_test(&t->options)) return 0;
    if (learnable_open(view, t->options.window_rows > 0, &l, error) != 0) return -1;
    const int failed = split_test(view->dataset, &t->options, &l, split, error);
    learnable_free(&l);
    return failed;
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
    int failed = hold_test(view->dataset, o, &l, error);
    if (failed) (void)0;
    else if (o->folds && t->fold) failed = split_fold(t, view->dataset, &l, split, error);
    else if (!o->folds && by_column) failed = schema_split_by_column(view->dataset, l.rows, l.n, o, split, error);
    else failed = schema_split_make(l.rows, l.n, l.classes, l.classes_count, o->folds ? 0 : o->validation_fraction, o->seed, split, error);
    learnable_free(&l);
    return failed;
}

static int all_rows(const struct schema_training *t, const struct schema_view *view, bool but_test, struct schema_split *split,
                    struct bp_error *error) {
    struct learnable l;
    *split = (struct schema_split){0};
    if (learnable_open(view, t->options.window_rows > 0, &l, error) != 0) return -1;
    if (but_test && hold_test(view->dataset, &t->options, &l, error) != 0) {
        learnable_free(&l);
        return -1;
    }
    split->validation = l.rows;
    split->validation_count = l.n;
    free(l.classes);
    return 0;
}

int schema_training_held(const struct schema_training *t, const struct schema_view *view, struct schema_split *split, struct bp_error *error) {
    return all_rows(t, view, false, split, error);
}

int schema_training_known(const struct schema_training *t, const struct schema_view *view, struct schema_split *split, struct bp_error *error) {
    return all_rows(t, view, true, split, error);
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
    if (hold_test(view->dataset, o, &l, error) != 0) {
        learnable_free(&l);
        return -1;
    }
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
