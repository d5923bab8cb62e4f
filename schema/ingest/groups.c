/* groups.c - buffers for the rows of a group, statistics when it is written, and the footer at the end. */
#include "schema/ingest/sink.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

void schema_ingest_let_go(struct ingest_column *c) {
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
                                  .per_cell = c->type == SCHEMA_TENSOR ? bp_shape_size(&c->shape) : 1,
                                  .numbers = c->numbers,
                                  .codes = c->codes,
                                  .texts = c->texts,
                                  .tensors = c->tensors,
                                  .absent = c->absent};
}

/* Allocates one group in every column of the set. */
static bool allocate_groups(struct schema_ingest *ingest) {
    size_t rows = (size_t)ingest->rows_per_group;
    for (int32_t i = ingest->set_first; i < ingest->set_first + ingest->set_columns; i++) {
        struct ingest_column *c = &ingest->columns[i];
        size_t size = c->type == SCHEMA_TENSOR ? (size_t)bp_shape_size(&c->shape) : 1;
        if (schema_type_is_number(c->type)) c->numbers = malloc(rows * sizeof *c->numbers);
        else if (column_holds_texts(c->type)) c->texts = malloc(rows * sizeof *c->texts);
        else if (c->type == SCHEMA_TENSOR) c->tensors = malloc(rows * size * sizeof *c->tensors), c->absent = malloc(rows);
        else c->codes = malloc(rows * sizeof *c->codes);
        if (c->turned) c->scratch = malloc(size * sizeof *c->scratch);
        if (!(c->numbers || c->codes || c->texts || (c->tensors && c->absent)) || (c->turned && !c->scratch)) return false;
        const bool points = c->number_format.grouped && c->number_format.marks == SCHEMA_MARKS_POINT_COMMA; /* 1.234 is not 1.234 there */
        ingest->numbers[i] = c->type == SCHEMA_NUMERIC && !points ? c->numbers : NULL;
        ingest->values[i] = values_of(c);
    }
    return true;
}

/* Types are settled: opens the file. */
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
    for (int32_t i = ingest->set_first; i < ingest->set_first + ingest->set_columns; i++) schema_ingest_let_go(&ingest->columns[i]);
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

static void count_numbers(struct schema_ingest *ingest, struct ingest_column *c, int64_t from, int64_t rows) {
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

static void count_tensors(struct ingest_column *c, int64_t from, int64_t rows) {
    const int64_t size = bp_shape_size(&c->shape);
    for (int64_t i = from; i <= rows; i++) { /* runs of cells that are there */
        if (i < rows && !c->absent[i]) continue;
        schema_statistics_add_floats(&c->statistics, c->tensors + from * size, (i - from) * size);
        c->missing += i < rows;
        from = i + 1;
    }
}

static void count_clocks(struct ingest_column *c, int64_t from, int64_t rows) {
    for (int64_t i = from; i < rows && !c->clock; i++) c->clock = !isnan(c->numbers[i]) && fmod(c->numbers[i], 86400) != 0;
}

static int64_t count_absent_texts(const struct ingest_column *c, int64_t from, int64_t rows) {
    int64_t absent = 0;
    for (int64_t i = from; i < rows; i++) absent += c->texts[i] == 0;
    return absent;
}

static void count_codes(struct ingest_column *c, int64_t from, int64_t rows) {
    for (int64_t i = from; i < rows; i++) {
        if (c->codes[i] == 0) c->missing++;
        else if (c->type == SCHEMA_BOOLEAN) c->boolean_counts[c->codes[i] - 1]++;
        else c->counts[c->codes[i] - 1]++;
    }
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
        if (c->type == SCHEMA_DATETIME) count_numbers(ingest, c, from, rows), count_clocks(c, from, rows);
        else if (column_holds_texts(c->type)) c->missing += count_absent_texts(c, from, rows); /* words and labels are counted as they come */
        else if (c->type == SCHEMA_NUMERIC) count_numbers(ingest, c, from, rows), schema_ingest_trace_numbers(c, from, rows, ingest->weights);
        else if (c->type == SCHEMA_TENSOR) count_tensors(c, from, rows);
        else count_codes(c, from, rows), schema_ingest_trace_codes(c, first, from, rows);
    }
    struct bp_error error = {0};
    int failed = column_file_group(ingest->file, ingest->values + ingest->set_first, rows, &error);
    ingest->group_row = ingest->group_known = 0;
    return failed ? schema_problem_error(problems, NULL, &error) : 0;
}

/* ---- the footer ---- */

/* Decodes a column from the footer; its categories are allocated. */
static bool describe(struct ingest_column *c, struct schema_column *out) {
    out->name = c->name, out->type = c->type, out->missing = c->missing;
    if (c->type == SCHEMA_TENSOR) out->shape = c->shape;
    if (c->type == SCHEMA_DATETIME) out->days = !c->clock;
    if (schema_type_is_number(c->type)) out->format = c->format;
    schema_statistics_finish(&c->statistics, out);
    if (c->type != SCHEMA_CATEGORICAL && c->type != SCHEMA_BOOLEAN && c->type != SCHEMA_LABELS) return true;
    out->categories_count = c->type == SCHEMA_BOOLEAN ? 2 : c->dictionary.count;
    out->categories = calloc((size_t)out->categories_count + 1, sizeof *out->categories);
    if (!out->categories) return false;
    for (int32_t i = 0; i < out->categories_count; i++) {
        bool boolean = c->type == SCHEMA_BOOLEAN;
        if (boolean && !*c->written[i]) memcpy(c->written[i], i ? "true" : "false", i ? 5 : 6);
        out->categories[i].value = boolean ? c->written[i] : c->dictionary.bytes + c->dictionary.entries[i].value_at;
        out->categories[i].count = boolean ? c->boolean_counts[i] : c->counts[i];
    }
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
        if (described && (columns[i].categories_count == 0 || columns[i].type == SCHEMA_LABELS))
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
