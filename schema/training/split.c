/* split.c - see split.h. Each kind marks rows: train, validate, or neither; one walk then sorts them out, in ascending order. */
#include "schema/training/split.h"

#include "engine/base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NEITHER, TRAIN, VALIDATE };

int schema_split_check(const struct schema_dataset *d, int32_t column, enum schema_validation kind, struct bp_error *error) {
    const struct schema_column *c = &d->columns[column];
    const char *not_split = schema_type_of(c->type)->not_split;
    if (not_split) return bp_error_set(error, "", "column \"%.60s\" %s: it cannot select the validation rows", c->name, not_split);
    if (kind == SCHEMA_VALIDATION_TIME && !schema_type_is_number(c->type))
        return bp_error_set(error, "", "column \"%.60s\" is %s, but a time must be a datetime or a number, such as years or seconds", c->name,
                            schema_type_name(c->type));
    if (kind == SCHEMA_VALIDATION_TIME && c->missing > 0)
        return bp_error_set(error, "", "column \"%.60s\" has %lld missing cells: every row needs a time", c->name, (long long)c->missing);
    return 0;
}

/* What a row's cell is known by: its code, or its number. NaN: missing. */
static double key_of(const struct schema_dataset *d, int32_t column, int64_t row) {
    if (schema_type_is_number(d->columns[column].type)) return schema_dataset_number(d, column, row);
    const int32_t code = schema_dataset_code(d, column, row);
    return code < 0 ? (double)NAN : code;
}

static int compare(const void *a, const void *b) {
    const struct schema_keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The last of n, at least one and not all. */
static int64_t share_of(int64_t n, double fraction) {
    int64_t count = (int64_t)floor((double)n * fraction + 0.5);
    if (fraction > 0 && count < 1) count = 1;
    return count < n ? count : n - 1;
}

int schema_groups_find(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n, struct schema_groups *groups,
                       struct bp_error *error) {
    struct schema_keyed *keyed = malloc(((size_t)n + 1) * sizeof *keyed);
    *groups = (struct schema_groups){.keyed = keyed};
    for (int64_t i = 0; keyed && i < n; i++) {
        const double key = key_of(d, column, rows[i]);
        if (!isnan(key)) keyed[groups->rows++] = (struct schema_keyed){key, i};
    }
    if (keyed) qsort(keyed, (size_t)groups->rows, sizeof *keyed, compare);
    groups->starts = malloc(((size_t)groups->rows + 2) * sizeof *groups->starts);
    if (!keyed || !groups->starts) {
        schema_groups_free(groups);
        return bp_error_memory(error, "no memory to split %lld rows", (long long)n);
    }
    for (int64_t i = 0; i < groups->rows; i++)
        if (i == 0 || keyed[i].key != keyed[i - 1].key) groups->starts[groups->count++] = i;
    groups->starts[groups->count] = groups->rows;
    return 0;
}

void schema_groups_free(struct schema_groups *groups) {
    free(groups->keyed);
    free(groups->starts);
    *groups = (struct schema_groups){0};
}

/* Groups in an order by seed go to validation until it has its share; rows without a group train. */
static int mark_groups(const struct schema_groups *groups, int64_t n, const struct schema_options *options, char *marks, struct bp_error *error) {
    int64_t held = 0, *order = malloc(((size_t)groups->count + 1) * sizeof *order);
    if (!order) return bp_error_memory(error, "no memory to split %lld rows", (long long)n);
    memset(marks, TRAIN, (size_t)n);
    for (int64_t g = 0; g < groups->count; g++) order[g] = g;
    struct bp_random random = bp_random_open(options->seed, BP_STREAM_SPLIT, 0);
    bp_random_shuffle(&random, order, groups->count);
    const int64_t expected = share_of(n, options->validation_fraction);
    for (int64_t g = 0; g + 1 < groups->count && held < expected; g++)
        for (int64_t i = groups->starts[order[g]]; i < groups->starts[order[g] + 1]; i++, held++) marks[groups->keyed[i].at] = VALIDATE;
    free(order);
    return groups->count > 1 ? 0 : bp_error_set(error, "/validation/group", "there is only one group, and it cannot both train and validate");
}

static void mark_last(struct schema_keyed *keyed, int64_t n, const struct schema_options *options, char *marks) {
    const int64_t held = share_of(n, options->validation_fraction);
    qsort(keyed, (size_t)n, sizeof *keyed, compare);
    for (int64_t i = 0; i < n; i++) marks[keyed[i].at] = i < n - held ? TRAIN : VALIDATE;
}

static int said(const struct schema_column *c, double key) {
    static const char *const trains[] = {"train", "training", "false", "0", NULL}, *const validates[] = {"validation", "validate", "valid", "val",
                                                                                                         "true",       "1",        NULL};
    if (isnan(key)) return NEITHER;
    if (schema_type_of(c->type)->value == SCHEMA_VALUE_NUMBER) return key == 0 ? TRAIN : key == 1 ? VALIDATE : NEITHER;
    for (int i = 0; trains[i]; i++)
        if (strcasecmp(c->categories[(int32_t)key].value, trains[i]) == 0) return TRAIN;
    for (int i = 0; validates[i]; i++)
        if (strcasecmp(c->categories[(int32_t)key].value, validates[i]) == 0) return VALIDATE;
    return NEITHER;
}

static int gather(const int64_t *rows, int64_t n, const char *marks, struct schema_split *split, struct bp_error *error) {
    int64_t held = 0;
    for (int64_t i = 0; i < n; i++) held += marks[i] == VALIDATE;
    if (!(split->validation = malloc(((size_t)n + 1) * sizeof *split->validation)))
        return bp_error_memory(error, "no memory to split %lld rows", (long long)n);
    split->train = split->validation + held;
    for (int64_t i = 0; i < n; i++) {
        if (marks[i] == VALIDATE) split->validation[split->validation_count++] = rows[i];
        if (marks[i] == TRAIN) split->train[split->train_count++] = rows[i];
    }
    return 0;
}

int schema_split_by_column(const struct schema_dataset *d, const int64_t *rows, int64_t n, const struct schema_options *options,
                           struct schema_split *split, struct bp_error *error) {
    const int32_t column = schema_dataset_find(d, options->validation_column);
    memset(split, 0, sizeof *split);
    if (column < 0) return bp_error_set(error, "/validation", "the dataset has no column \"%.80s\"", options->validation_column);
    if (schema_split_check(d, column, options->validation, error) != 0) return -1;
    const bool by_group = n > 1 && options->validation == SCHEMA_VALIDATION_GROUP;
    struct schema_groups groups = {0};
    struct schema_keyed *keyed = by_group ? NULL : malloc(((size_t)n + 1) * sizeof *keyed);
    char *marks = calloc((size_t)n + 1, 1);
    int failed = (by_group || keyed) && marks ? 0 : bp_error_memory(error, "no memory to split %lld rows", (long long)n);
    for (int64_t i = 0; !failed && !by_group && i < n; i++) keyed[i] = (struct schema_keyed){key_of(d, column, rows[i]), i};
    if (!failed && by_group) {
        failed = schema_groups_find(d, column, rows, n, &groups, error);
        if (!failed) failed = mark_groups(&groups, n, options, marks, error);
    } else if (!failed && n > 1 && options->validation == SCHEMA_VALIDATION_TIME) mark_last(keyed, n, options, marks);
    else
        for (int64_t i = 0; !failed && i < n; i++) marks[i] = (char)said(&d->columns[column], keyed[i].key);
    if (!failed) failed = gather(rows, n, marks, split, error);
    if (!failed && options->validation == SCHEMA_VALIDATION_COLUMN && (split->train_count < 1 || split->validation_count < 1)) {
        failed = bp_error_set(
            error, "/validation/column",
            "column \"%.60s\" has %lld rows to train on and %lld to validate with; expected train or validation, false or true, or 0 or 1",
            options->validation_column, (long long)split->train_count, (long long)split->validation_count);
        schema_split_free(split);
    }
    schema_groups_free(&groups);
    free(keyed);
    free(marks);
    return failed;
}
