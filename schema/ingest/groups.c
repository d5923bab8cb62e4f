/* groups.c - buffers for the rows of a group, statistics when it is written, and the footer at the end. */
#include "schema/ingest/sink.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

void schema_ingest_free_group(struct ingest_column *c) {
    free(c->numbers);
    free(c->codes);
    free(c->texts);
    free(c->tensors);
    free(c->absent);
    free(c->scratch);
    c->numbers = NULL, c->codes = NULL, c->texts = NULL, c->tensors = NULL, c->absent = NULL, c->scratch = NULL;
}

static struct column_values values_of(const struct ingest_column *c) {
    return (struct column_values){.type = c->type,
                                  .per_cell = schema_type_of(c->type)->has_shape ? bp_shape_size(&c->shape) : 1,
                                  .numbers = c->numbers,
                                  .codes = c->codes,
                                  .texts = c->texts,
                                  .tensors = c->tensors,
                                  .absent = c->absent};
}

/* Allocates one group in every column of the set. */
static bool allocate_groups(struct schema_ingest *ingest) {
    size_t rows = (size_t)ingest->rows_per_group;
    ingest->group_size = rows * (sizeof *ingest->dense + 2 * sizeof *ingest->weights);
    for (int32_t i = ingest->set_first; i < ingest->set_first + ingest->set_columns; i++) {
        struct ingest_column *c = &ingest->columns[i];
        const struct schema_type_ops *ops = schema_type_of(c->type);
        size_t size = ops->has_shape ? (size_t)bp_shape_size(&c->shape) : 1;
        switch (ops->storage) {
        case SCHEMA_HELD_AS_NUMBER: c->numbers = malloc(rows * sizeof *c->numbers); break;
        case SCHEMA_HELD_AS_CODE: c->codes = malloc(rows * sizeof *c->codes); break;
        case SCHEMA_HELD_AS_TENSOR: c->tensors = malloc(rows * size * sizeof *c->tensors), c->absent = malloc(rows); break;
        case SCHEMA_HELD_AS_BYTES: c->texts = malloc(rows * sizeof *c->texts); break;
        }
        ingest->group_size += rows * (ops->storage == SCHEMA_HELD_AS_TENSOR ? size * sizeof *c->tensors + 1
                                      : ops->storage == SCHEMA_HELD_AS_CODE ? sizeof *c->codes
                                                                            : sizeof *c->numbers);
        if (c->turned) c->scratch = malloc(size * sizeof *c->scratch);
        if (!(c->numbers || c->codes || c->texts || (c->tensors && c->absent)) || (c->turned && !c->scratch)) return false;
        const bool points = c->number_format.grouped && c->number_format.marks == SCHEMA_MARKS_POINT_COMMA; /* 1.234 is not 1.234 there */
        ingest->numbers[i] = ops->plain_numbers && !points ? c->numbers : NULL;
        ingest->values[i] = values_of(c);
    }
    return true;
}

/* Types are known: opens the file. */
static int open_file(struct schema_ingest *ingest, uint64_t end, struct schema_problems *problems) {
    size_t count = (size_t)ingest->columns_count;
    struct bp_error error = {0};
    ingest->values = calloc(count + 1, sizeof *ingest->values);
    ingest->numbers = calloc(count + 1, sizeof *ingest->numbers);
    if (!ingest->values || !ingest->numbers) return schema_ingest_no_memory(problems);
    for (size_t i = 0; i < count; i++) ingest->values[i] = values_of(&ingest->columns[i]);
    for (size_t i = 0; i < count; i++) schema_statistics_start(&ingest->columns[i].statistics);
    return column_file_create(ingest->fd, end, &ingest->file, &error) ? schema_problem_error(problems, NULL, &error) : 0;
}

int schema_ingest_set(struct schema_ingest *ingest, int32_t columns, int64_t rows_per_group, const struct column_file_group *groups,
                      int64_t groups_count, struct schema_problems *problems) {
    struct bp_error error = {0};
    for (int32_t i = ingest->set_first; i < ingest->set_first + ingest->set_columns; i++) schema_ingest_free_group(&ingest->columns[i]);
    free(ingest->dense);
    free(ingest->weights);
    ingest->set_first += ingest->set_columns;
    ingest->set_columns = columns;
    ingest->rows_per_group = rows_per_group > 0 ? rows_per_group : column_file_rows_per_group(ingest->values + ingest->set_first, columns);
    ingest->rows_flushed = groups_count * ingest->rows_per_group;
    ingest->group_row = ingest->group_known = 0;
    ingest->dense = malloc((size_t)ingest->rows_per_group * sizeof *ingest->dense);
    ingest->weights = malloc((size_t)ingest->rows_per_group * 2 * sizeof *ingest->weights);
    if (!ingest->dense || !ingest->weights || !allocate_groups(ingest)) return schema_ingest_no_memory(problems);
    return column_file_set(ingest->file, columns, ingest->rows_per_group, groups, groups_count, &error) ? schema_problem_error(problems, NULL, &error)
                                                                                                        : 0;
}

int schema_ingest_open_groups(struct schema_ingest *ingest, struct schema_problems *problems) {
    return open_file(ingest, 0, problems) || schema_ingest_set(ingest, ingest->columns_count, 0, NULL, 0, problems) ? -1 : 0;
}

int schema_ingest_start(struct schema_ingest *ingest, uint64_t end, struct schema_problems *problems) {
    if (schema_ingest_infer(ingest, problems) || (end > 0 ? open_file(ingest, end, problems) : schema_ingest_open_groups(ingest, problems)))
        return -1;
    ingest->buffering = false;
    return 0;
}

void schema_ingest_count_numbers(struct schema_ingest *ingest, struct ingest_column *c, uint64_t first, int64_t from, int64_t rows) {
    (void)first;
    const double *x = c->numbers + from;
    int64_t n = 0;
    rows -= from;
    while (n < rows && !isnan(x[n])) n++;
    if (n < rows) {
        memcpy(ingest->dense, x, (size_t)n * sizeof *x);
        for (int64_t i = n; i < rows; i++) {
            ingest->dense[n] = x[i];
            n += !isnan(x[i]);
        }
        x = ingest->dense;
    }
    c->missing += rows - n;
    schema_statistics_add(&c->statistics, x, n);
}

void schema_ingest_count_bytes(struct schema_ingest *ingest, struct ingest_column *c, uint64_t first, int64_t from, int64_t rows) {
    (void)ingest, (void)first;
    for (int64_t i = from; i < rows; i++) c->missing += c->texts[i] == 0;
}

void schema_ingest_count_codes(struct schema_ingest *ingest, struct ingest_column *c, uint64_t first, int64_t from, int64_t rows) {
    int64_t *counts;
    (void)ingest;
    (void)schema_type_of(c->type)->categories(c, &counts);
    for (int64_t i = from; i < rows; i++) {
        if (c->codes[i] == 0) c->missing++;
        else counts[c->codes[i] - 1]++;
    }
    schema_ingest_trace_codes(c, first, from, rows);
}

int schema_ingest_flush(struct schema_ingest *ingest, struct schema_problems *problems) {
    int64_t rows = ingest->group_row;
    if (problems->total > 0) ingest->group_row = rows = 0; /* nothing of a faulty upload is stored, and refused cells left their places unchanged */
    if (rows == 0) return 0;
    const int64_t from = ingest->group_known; /* rows before it were counted with an earlier version */
    const uint64_t first = (uint64_t)(ingest->rows_flushed + from);
    schema_ingest_draw(first, rows - from, ingest->weights);
    ingest->rows_flushed += rows;
    for (int32_t i = ingest->set_first; i < ingest->set_first + ingest->set_columns; i++) {
        struct ingest_column *c = &ingest->columns[i];
        schema_type_of(c->type)->count(ingest, c, first, from, rows);
    }
    struct bp_error error = {0};
    int failed = column_file_group(ingest->file, ingest->values + ingest->set_first, rows, &error);
    ingest->group_row = ingest->group_known = 0;
    return failed ? schema_problem_error(problems, NULL, &error) : 0;
}

/* ---- the footer ---- */

int32_t schema_ingest_categories(struct ingest_column *c, int64_t **counts) {
    *counts = c->counts;
    return c->dictionary.count;
}

char *schema_ingest_category_text(struct ingest_column *c, int32_t code) {
    return c->dictionary.bytes + c->dictionary.entries[code].value_at;
}

/* A column as the footer describes it; its categories are allocated. */
static bool describe(struct ingest_column *c, struct schema_column *out) {
    const struct schema_type_ops *ops = schema_type_of(c->type);
    out->name = c->name, out->type = c->type, out->missing = c->missing;
    if (ops->has_shape) out->shape = c->shape;
    if (ops->has_format) out->format = c->format;
    if (ops->finish) ops->finish(c, out);
    schema_statistics_finish(&c->statistics, out);
    if (!ops->categories) return true;
    int64_t *counts;
    out->categories_count = ops->categories(c, &counts);
    out->categories = calloc((size_t)out->categories_count + 1, sizeof *out->categories);
    if (!out->categories) return false;
    for (int32_t i = 0; i < out->categories_count; i++)
        out->categories[i] = (struct schema_category){.value = ops->category_text(c, i), .count = counts[i]};
    return true;
}

static struct column_traces traces_of(const struct ingest_column *c) {
    struct column_traces traces = {.count = c->statistics.count,
                                   .m2 = (double)c->statistics.m2,
                                   .offset = c->trace.offset,
                                   .last = c->trace.last,
                                   .codes = c->trace.codes,
                                   .begun = c->trace.begun,
                                   .uneven = c->trace.uneven,
                                   .clock = c->clock,
                                   .floats = c->floats};
    memcpy(traces.sums, c->trace.sums, sizeof traces.sums);
    return traces;
}

/* What the mean, as a double, leaves over, as bits: more rows go on from the exact one. */
static uint64_t rest_of_mean(const struct ingest_column *c, const struct schema_column *out) {
    const double rest = c->statistics.count ? (double)((long double)c->statistics.origin - (long double)out->mean + c->statistics.mean) : 0;
    uint64_t bits;
    memcpy(&bits, &rest, sizeof bits);
    return bits;
}

int schema_ingest_write_footer(struct schema_ingest *ingest, struct schema_problems *problems) {
    struct schema_column *columns = calloc((size_t)ingest->columns_count + 1, sizeof *columns);
    struct column_traces *traces = calloc((size_t)ingest->columns_count + 1, sizeof *traces);
    bool described = columns && traces;
    for (int32_t i = 0; described && i < ingest->columns_count; i++) {
        described = describe(&ingest->columns[i], &columns[i]);
        traces[i] = traces_of(&ingest->columns[i]);
        if (described && schema_type_of(columns[i].type)->storage != SCHEMA_HELD_AS_CODE)
            traces[i].codes = rest_of_mean(&ingest->columns[i], &columns[i]);
    }
    struct bp_error error = {0};
    int failed = described ? column_file_finish(ingest->file, columns, traces, ingest->rows, &ingest->bytes, &error) : 0;
    for (int32_t i = 0; columns && i < ingest->columns_count; i++) free(columns[i].categories);
    free(columns);
    free(traces);
    if (!described) return schema_ingest_no_memory(problems);
    return failed ? schema_problem_error(problems, NULL, &error) : 0;
}
