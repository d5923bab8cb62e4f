/* join.c - a dataset with more rows, or more columns, behind the one it is made from, in the same file. Of the base only the rows of its last
 * group are written again, for a group in the middle is full. Dictionaries are joined first: the base's categories keep their numbers, so that the
 * codes of the groups that stay are right, and those that only the other has follow. Statistics and warnings go on from where the base's ended. */
#include "schema/ingest/join.h"

#include "schema/dataset/map.h"
#include "schema/ingest/sink.h"
#include "schema/text/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The source of the cells of an output column. */
struct source {
    int32_t columns[2]; /* in base and more, -1: not there */
    int32_t *codes[2];  /* the part's code to ours, NULL: without categories */
};

struct join {
    enum schema_join how;
    const struct schema_dataset *parts[2];
    struct schema_ingest *ingest;
    struct source *sources;
};

/* ---- the columns ---- */

static const char *column_name(const void *dataset, int32_t i) {
    return ((const struct schema_dataset *)dataset)->columns[i].name;
}

static bool shapes_equal(const struct bp_shape *a, const struct bp_shape *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

/* The columns of the new rows must be those of the dataset. */
static int check_rows(const struct schema_dataset *base, const struct schema_dataset *more, struct schema_problems *problems) {
    char name[64], meant[96];
    int failed = 0;
    for (int32_t i = 0; i < base->columns_count; i++) {
        const struct schema_column *c = &base->columns[i];
        const int32_t at = schema_dataset_find(more, c->name);
        schema_ingest_short(c->name, strlen(c->name), name);
        if (at < 0)
            failed = schema_problem_add(problems, NULL,
                                        "the rows lack the column \"%s\" of the dataset; give it in every row, empty or null if missing", name);
        else if (more->columns[at].type != c->type || !shapes_equal(&more->columns[at].shape, &c->shape))
            failed = schema_problem_add(problems, NULL, "column \"%s\" is %s in the dataset, %s in the rows%s", name, schema_type_name(c->type),
                                        schema_type_name(more->columns[at].type), more->columns[at].type == c->type ? " of another shape" : "");
    }
    for (int32_t i = 0; i < more->columns_count; i++) {
        const char *got = more->columns[i].name;
        if (schema_dataset_find(base, got) >= 0) continue;
        const char *near = strlen(got) < 64 && base->columns_count < 10000 ? schema_nearest(got, column_name, base, base->columns_count) : NULL;
        failed = schema_problem_add(problems, NULL, "the rows have a column \"%s\" that the dataset does not have%s",
                                    schema_ingest_short(got, strlen(got), name), schema_did_you_mean(near, meant, sizeof meant));
    }
    return failed;
}

static int check_columns(const struct schema_dataset *base, const struct schema_dataset *more, struct schema_problems *problems) {
    char name[64];
    if (base->rows != more->rows)
        return schema_problem_add(problems, NULL,
                                  "the column has %lld values, but the dataset has %lld rows; give one value per row, null if missing",
                                  (long long)more->rows, (long long)base->rows);
    for (int32_t i = 0; i < more->columns_count; i++)
        if (schema_dataset_find(base, more->columns[i].name) >= 0)
            return schema_problem_add(problems, NULL, "the dataset already has a column \"%s\"; use another name",
                                      schema_ingest_short(more->columns[i].name, strlen(more->columns[i].name), name));
    return 0;
}

static int declare(struct join *j, int32_t part, int32_t column, struct schema_problems *problems) {
    const struct schema_column *c = &j->parts[part]->columns[column];
    const int32_t at =
        schema_ingest_declare(j->ingest, c->name, strlen(c->name), c->type, schema_type_of(c->type)->has_shape ? &c->shape : NULL, problems);
    if (at < 0) return -1;
    j->ingest->columns[at].format = c->format;
    j->sources[at] = (struct source){.columns = {-1, -1}};
    j->sources[at].columns[part] = column;
    if (part == 0 && j->how == SCHEMA_JOIN_ROWS) j->sources[at].columns[1] = schema_dataset_find(j->parts[1], c->name);
    return 0;
}

/* Gives every category of a part its number in the joined column. */
static int join_categories(struct join *j, int32_t column, int32_t part, struct schema_problems *problems) {
    struct source *s = &j->sources[column];
    if (s->columns[part] < 0) return 0;
    const struct schema_column *from = &j->parts[part]->columns[s->columns[part]];
    const struct schema_type_ops *ops = schema_type_of(from->type);
    if (!ops->join) return 0;
    s->codes[part] = malloc(((size_t)from->categories_count + 1) * sizeof *s->codes[part]);
    if (!s->codes[part]) return schema_ingest_no_memory(problems);
    for (int32_t i = 0; i < from->categories_count; i++)
        if ((s->codes[part][i] = ops->join(j->ingest, column, from, i, problems)) < 0) return -1;
    return 0;
}

/* What was found out about a column of the base. */
static void carry_on(struct ingest_column *to, const struct schema_column *from, const struct column_traces *t) {
    to->missing = from->missing;
    to->clock = t->clock;
    to->floats = t->floats;
    to->trace = (struct ingest_trace){.begun = t->begun, .uneven = t->uneven, .offset = t->offset, .last = t->last, .codes = t->codes};
    memcpy(to->trace.sums, t->sums, sizeof to->trace.sums);
    const struct schema_type_ops *ops = schema_type_of(from->type);
    int64_t *counts = NULL;
    if (ops->categories) (void)ops->categories(to, &counts);
    for (int32_t i = 0; counts && i < from->categories_count; i++) counts[i] = from->categories[i].count;
    if (t->count == 0) return;
    to->trace.codes = 0;
    struct schema_statistics *s = &to->statistics;
    s->count = t->count;
    s->min = from->min, s->max = from->max;
    double rest;
    memcpy(&rest, &t->codes, sizeof rest);
    s->origin = from->mean, s->mean = isfinite(rest) ? (long double)rest : 0, s->m2 = (long double)t->m2;
    if (!isfinite(t->m2)) s->m2 = (long double)from->std * (long double)from->std * (long double)t->count; /* beyond a double */
    s->integral = from->integral;
    s->distinct_count = from->distinct_count;
    memcpy(s->distinct, from->distinct, sizeof s->distinct);
}

/* ---- the cells ---- */

int schema_ingest_copy_numbers(const struct ingest_copy *copy) {
    double *numbers = copy->ingest->columns[copy->to].numbers + copy->ingest->group_row;
    schema_dataset_numbers(copy->from, copy->column, copy->first, copy->n, numbers);
    return 0;
}

int schema_ingest_copy_codes(const struct ingest_copy *copy) {
    uint32_t *codes = copy->ingest->columns[copy->to].codes + copy->ingest->group_row;
    for (int64_t i = 0; i < copy->n; i++) {
        const int32_t code = schema_dataset_code(copy->from, copy->column, copy->first + i);
        codes[i] = code < 0 ? 0 : (uint32_t)copy->codes[code] + 1;
    }
    return 0;
}

/* Rows first..first+n of a part into the group, from its row on; -1: the disk is full. */
static int copy_cells(struct join *j, int32_t column, int32_t part, int64_t first, int64_t n) {
    const struct source *s = &j->sources[column];
    const struct ingest_copy copy = {.ingest = j->ingest,
                                     .to = column,
                                     .from = j->parts[part],
                                     .column = s->columns[part],
                                     .codes = s->codes[part],
                                     .first = first,
                                     .n = n,
                                     .counted = part == 0};
    return schema_type_of(j->ingest->columns[column].type)->copy(&copy);
}

/* Rows from `first` on of a part, in the columns of the set. */
static int copy_rows(struct join *j, int32_t part, int64_t first, struct schema_problems *problems) {
    struct schema_ingest *ingest = j->ingest;
    for (int64_t n; first < j->parts[part]->rows; first += n) {
        n = ingest->rows_per_group - ingest->group_row;
        if (n > j->parts[part]->rows - first) n = j->parts[part]->rows - first;
        for (int32_t c = ingest->set_first; c < ingest->set_first + ingest->set_columns; c++)
            if (copy_cells(j, c, part, first, n) != 0)
                return schema_problem_io(problems, "cannot write the dataset: free space in the data folder and send it again");
        ingest->group_row += n;
        if (part == 0) ingest->group_known = ingest->group_row;
        if (ingest->group_row == ingest->rows_per_group && schema_ingest_flush(ingest, problems)) return -1;
    }
    return 0;
}

/* A set of the base is continued: its groups stay, except a partly filled last one when rows are added. */
static int go_on(struct join *j, const struct dataset_set *set, struct schema_problems *problems) {
    const struct schema_dataset *base = j->parts[0];
    const bool rows = j->how == SCHEMA_JOIN_ROWS;
    const int64_t kept = rows ? base->rows / set->rows_per_group : set->groups_count;
    struct column_file_group *groups = malloc(((size_t)kept + 1) * sizeof *groups);
    if (!groups) return schema_ingest_no_memory(problems);
    if (kept) memcpy(groups, set->groups, (size_t)kept * sizeof *groups);
    int failed = schema_ingest_set(j->ingest, set->columns, set->rows_per_group, groups, kept, problems);
    free(groups);
    if (failed || !rows) return failed;
    return copy_rows(j, 0, kept * set->rows_per_group, problems) || copy_rows(j, 1, 0, problems) || schema_ingest_flush(j->ingest, problems) ? -1 : 0;
}

static int join(struct join *j, struct schema_problems *problems) {
    const struct schema_dataset *base = j->parts[0], *more = j->parts[1];
    const int64_t total = base->rows + (j->how == SCHEMA_JOIN_ROWS ? more->rows : 0);
    struct stat st;
    if (j->how == SCHEMA_JOIN_ROWS ? check_rows(base, more, problems) : check_columns(base, more, problems)) return -1;
    if (j->ingest->options.rows_max > 0 && total > j->ingest->options.rows_max) {
        problems->too_large = true;
        return schema_problem_add(problems, NULL, "there are more than %lld rows, the limit; send fewer", (long long)j->ingest->options.rows_max);
    }
    if (fstat(j->ingest->fd, &st) != 0) return schema_problem_io(problems, "cannot read the dataset's file: %s", strerror(errno));
    for (int32_t i = 0; i < base->columns_count; i++)
        if (declare(j, 0, i, problems)) return -1;
    for (int32_t i = 0; i < more->columns_count && j->how == SCHEMA_JOIN_COLUMNS; i++)
        if (declare(j, 1, i, problems)) return -1;
    if (schema_ingest_start(j->ingest, (uint64_t)st.st_size, problems)) return -1;
    for (int32_t c = 0; c < j->ingest->columns_count; c++)
        if (join_categories(j, c, 0, problems) || join_categories(j, c, 1, problems)) return -1;
    for (int32_t c = 0; c < base->columns_count; c++) carry_on(&j->ingest->columns[c], &base->columns[c], &base->map->traces[c]);
    for (int32_t i = 0; i < base->map->sets_count; i++)
        if (go_on(j, &base->map->sets[i], problems)) return -1;
    if (j->how == SCHEMA_JOIN_COLUMNS && (schema_ingest_set(j->ingest, more->columns_count, 0, NULL, 0, problems) || copy_rows(j, 1, 0, problems) ||
                                          schema_ingest_flush(j->ingest, problems)))
        return -1;
    j->ingest->rows = total;
    return schema_ingest_finish(j->ingest, problems);
}

/* ---- as a format that has read all it needs ---- */

static int join_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    (void)ingest, (void)state, (void)problems;
    return 0;
}

static int join_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems) {
    (void)ingest, (void)state, (void)problems;
    return 0;
}

static const struct schema_format_ops ops = {.open = join_open, .finish = join_finish};

int schema_ingest_join(enum schema_join how, const struct schema_dataset *base, const struct schema_dataset *more,
                       const struct schema_ingest_options *options, int fd, struct schema_ingest **ingest, struct schema_problems *problems) {
    struct join j = {.how = how, .parts = {base, more}};
    const struct schema_ingest_options limits = {
        .rows_max = options->rows_max, .columns_max = options->columns_max, .categories_max = options->categories_max};
    if (schema_ingest_open(&ops, &limits, fd, &j.ingest, problems)) return -1;
    j.sources = calloc((size_t)base->columns_count + (size_t)more->columns_count + 1, sizeof *j.sources);
    struct bp_error damage = {0};
    int failed = j.sources ? join(&j, problems) : schema_ingest_no_memory(problems);
    if (schema_dataset_intact(base, &damage) != 0 || schema_dataset_intact(more, &damage) != 0)
        failed = schema_problem_error(problems, NULL, &damage);
    for (int32_t c = 0; j.sources && c < j.ingest->columns_count; c++) free(j.sources[c].codes[0]), free(j.sources[c].codes[1]);
    free(j.sources);
    if (failed) schema_ingest_close(j.ingest);
    else *ingest = j.ingest;
    return failed;
}

int schema_column_types_of(const struct schema_dataset *d, struct schema_column_type **types, int32_t *count, struct schema_problems *problems) {
    *count = 0;
    *types = calloc((size_t)d->columns_count + 1, sizeof **types);
    for (; *types && *count < d->columns_count; ++*count) {
        const struct schema_column *c = &d->columns[*count];
        (*types)[*count] = (struct schema_column_type){.name = strdup(c->name), .type = c->type, .shape = c->shape, .hwc = true};
        if (c->format) (*types)[*count].format = strdup(c->format);
        if (!(*types)[*count].name) break;
    }
    if (*types && *count == d->columns_count) return 0;
    schema_column_types_free(*types, *count);
    *types = NULL, *count = 0;
    return schema_ingest_no_memory(problems);
}
