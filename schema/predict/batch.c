/* batch.c - see batch.h. Sections: opening, rows, the block. */
#include "schema/predict/batch.h"

#include "engine/kernels/kernels.h"
#include "schema/dataset/rows.h"
#include "schema/memory.h"
#include "schema/predict/row_block.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RELEASE_ROWS = 8192 /* read between two releases of the dataset's pages */ };

struct schema_batch {
    const struct schema_dataset *dataset;
    const struct schema_rows_options *options;
    struct schema_predictor *p;
    struct schema_view *view;
    struct schema_block block;
    struct schema_rows *kept; /* NULL: nothing is kept, or no row was read yet */
    int32_t *keep;
    int32_t keep_count;
    int64_t row, released;
    bool ended;
};

/* ---- opening ------------------------------------------------------------------------------------------------------------------------------- */

static bool is_feature(const struct schema_preprocessing *p, const char *name) {
    for (int32_t i = 0; i < p->features_count; i++)
        if (strcmp(p->features[i].name, name) == 0) return true;
    return false;
}

/* What the batch needs of the dataset. */
static int check_columns(struct schema_batch *b, struct schema_problems *problems) {
    const struct schema_preprocessing *p = b->p->preprocessing;
    int32_t found = 0;
    for (int32_t i = 0; i < p->features_count; i++) found += schema_dataset_find(b->dataset, p->features[i].name) >= 0;
    if (found == 0)
        return schema_problem_add(problems, "/dataset",
                                  "none of the columns of the dataset is a feature of this model; its first feature is \"%.60s\"",
                                  p->features[0].name);
    for (int32_t i = 0; i < p->features_count && !b->options->lenient; i++)
        if (schema_dataset_find(b->dataset, p->features[i].name) < 0)
            schema_problem_add(
                problems, "/dataset",
                "the dataset has no column \"%.60s\", a feature of this model; use a dataset that has it, or send \"strict\": false to take it "
                "as missing in every row",
                p->features[i].name);
    return problems->total ? -1 : 0;
}

static int choose_kept(struct schema_batch *b, struct schema_problems *problems) {
    const char *keep = b->options->keep ? b->options->keep : "extra";
    const bool all = strcmp(keep, "all") == 0, extra = strcmp(keep, "extra") == 0;
    const struct schema_dataset *d = b->dataset;
    if (strcmp(keep, "none") == 0) return 0;
    if (!all && !extra) {
        struct schema_problems found = {0};
        const int failed = schema_dataset_columns_parse(d, keep, &b->keep, &b->keep_count, &found);
        if (failed && found.total)
            schema_problem_add(problems, "/keep", "%s",
                               strncmp(found.items[0].detail, "columns: ", 9) == 0 ? found.items[0].detail + 9 : found.items[0].detail);
        else if (failed) schema_problem_no_memory(problems);
        schema_problems_clear(&found);
        if (failed) return -1;
    } else {
        if (!(b->keep = calloc((size_t)d->columns_count + 1, sizeof *b->keep))) return schema_problem_no_memory(problems);
        for (int32_t i = 0; i < d->columns_count; i++)
            if (all || !is_feature(b->p->preprocessing, d->columns[i].name)) b->keep[b->keep_count++] = i;
    }
    int32_t count = 0;
    for (int32_t i = 0; i < b->keep_count; i++) {
        const char *name = d->columns[b->keep[i]].name;
        if (!schema_block_has(&b->block, name, strlen(name))) {
            if (schema_block_keep(&b->block, name, strlen(name)) < 0) return schema_problem_no_memory(problems);
            b->keep[count++] = b->keep[i];
        } else if (all || extra) {
            schema_predictor_ignored(b->p, name, strlen(name));
        } else {
            return schema_problem_add(problems, "/keep",
                                      "the column \"%.60s\" cannot be kept: the result has a column of that name; leave it out of keep", name);
        }
    }
    b->keep_count = count;
    return 0;
}

struct schema_batch *schema_batch_open(const struct schema_model *model, const struct schema_dataset *dataset,
                                       const struct schema_rows_options *options, struct schema_problems *problems) {
    struct bp_error error = {0};
    struct schema_batch *b = calloc(1, sizeof *b);
    if (!b) {
        schema_problem_no_memory(problems);
        return NULL;
    }
    b->dataset = dataset, b->options = options;
    int failed = 0;
    if (!(b->p = schema_predictor_new(model, &error))) failed = schema_problem_error(problems, NULL, &error);
    if (!failed) failed = check_columns(b, problems);
    if (!failed && !(b->view = schema_view_new(model->training->preprocessing, dataset, false, &error)))
        failed = schema_problem_error(problems, "/dataset", &error);
    if (!failed) failed = schema_block_open(&b->block, b->p, options, problems);
    if (!failed) failed = choose_kept(b, problems);
    if (!failed) return b;
    schema_batch_close(b);
    return NULL;
}

void schema_batch_close(struct schema_batch *b) {
    if (!b) return;
    schema_rows_free(b->kept);
    schema_block_close(&b->block);
    schema_view_free(b->view);
    schema_predictor_free(b->p);
    free(b->keep);
    free(b);
}

void schema_batch_resume(struct schema_batch *b, const struct schema_batch_place *place, const json_t *counts) {
    b->row = b->released = place->row;
    b->block.good = place->good, b->block.failed = place->failed;
    b->block.begun = true; /* the header is written, and the beginning of the document */
    b->block.out.size = b->block.failures.size = 0;
    if (counts) schema_predictor_recount(b->p, counts);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------------------ */

static int keep_cells(struct schema_batch *b, struct bp_error *error) {
    const char *bytes = "";
    size_t size = 0;
    if (b->keep_count == 0) return 0;
    if (!b->kept) {
        const struct schema_rows_request request = {.format = b->options->form == SCHEMA_FORM_CSV ? SCHEMA_ROWS_CSV : SCHEMA_ROWS_NDJSON,
                                                    .columns = b->keep,
                                                    .columns_count = b->keep_count,
                                                    .first = b->row,
                                                    .count = INT64_MAX};
        b->kept = schema_rows_new(b->dataset, &request);
    }
    if (!b->kept || schema_rows_line(b->kept, &bytes, &size) != 0) return bp_error_memory(error, "no memory for the columns that are kept");
    const size_t braces = b->options->form == SCHEMA_FORM_CSV ? 0 : 1; /* the members of the object */
    schema_block_cells(&b->block, bytes + braces, size - 2 * braces);
    return 0;
}

/* Why the model refuses the cell of feature i, if it refuses any. */
static const char *refused(struct schema_batch *b, int32_t i, int64_t row, char text[static 400]) {
    const struct schema_feature *f = &b->p->preprocessing->features[i];
    const int32_t column = b->view->columns[i];
    struct schema_feature_value *cell = &b->p->cells[i];
    const char *value = "";
    size_t size = 0;
    if (f->options.missing != SCHEMA_MISSING_ERROR && f->options.unseen != SCHEMA_UNSEEN_ERROR) return NULL;
    *cell = (struct schema_feature_value){.kind = SCHEMA_VALUE_MISSING};
    if (column >= 0 && b->view->categories[i]) {
        const int32_t code = schema_dataset_code(b->dataset, column, row);
        if (code >= 0) value = b->dataset->columns[column].categories[code].value, cell->kind = SCHEMA_VALUE_CATEGORY;
        cell->category = code >= 0 ? b->view->categories[i][code] : -1;
        size = strlen(value);
    } else if (column >= 0) {
        const enum schema_storage storage = schema_type_of(b->dataset->columns[column].type)->storage;
        const bool number = storage == SCHEMA_HELD_AS_NUMBER || storage == SCHEMA_HELD_AS_CODE;
        const bool missing = number ? isnan(schema_dataset_number(b->dataset, column, row))
                             : storage == SCHEMA_HELD_AS_BYTES
                                 ? !schema_dataset_text(b->dataset, column, row, &size)
                                 : isnan(schema_predictor_given(b->p, &(struct schema_view_rows){.view = b->view}, i, row, 0));
        if (!missing) cell->kind = SCHEMA_VALUE_NUMBER;
    }
    return schema_predictor_refused(b->p, i, value, size, text);
}

static void zero(const struct schema_batch *b, int32_t slot) {
    for (int32_t k = 0; k < b->p->preprocessing->inputs_count; k++)
        memset(bp_workspace_input(b->p->workspace, k) + slot * b->p->input_sizes[k], 0, (size_t)b->p->input_sizes[k] * sizeof(float));
}

/* Of the row in that slot: whether it can be predicted. */
static bool is_usable(struct schema_batch *b, int32_t slot, int64_t row) {
    struct schema_predictor *p = b->p;
    float *at[BP_INPUTS_MAX];
    char text[400];
    int64_t where = 0;
    const char *why = NULL;
    int32_t feature = -1;
    for (int32_t k = 0; k < p->preprocessing->inputs_count; k++) at[k] = bp_workspace_input(p->workspace, k) + slot * p->input_sizes[k];
    for (int32_t i = 0; i < p->preprocessing->features_count && !why; i++)
        if ((why = refused(b, i, row, text))) feature = i;
    if (!why && (feature = schema_predictor_unusable(p, at, &where)) >= 0)
        why = schema_predictor_why(p, feature, schema_predictor_given(p, &(struct schema_view_rows){.view = b->view}, feature, row, where), text);
    if (!why) return true;
    const struct block_fault fault = {.column = p->preprocessing->features[feature].name, .detail = why};
    schema_block_reason(&b->block, &fault);
    return false;
}

/* Whether some row of the block may not be usable. */
static bool looks_unusable(const struct schema_batch *b, int32_t n) {
    const struct schema_preprocessing *pre = b->p->preprocessing;
    for (int32_t k = 0; k < pre->inputs_count; k++)
        if (b->p->indexed[k] || !bp_kernels()->finite((size_t)(n * b->p->input_sizes[k]), bp_workspace_input(b->p->workspace, k))) return true;
    for (int32_t i = 0; i < pre->features_count; i++)
        if (pre->features[i].options.missing == SCHEMA_MISSING_ERROR || pre->features[i].options.unseen == SCHEMA_UNSEEN_ERROR) return true;
    return false;
}

/* ---- the block --------------------------------------------------------------------------------------------------------------------------------- */

int schema_batch_next(struct schema_batch *b, struct bp_error *error) {
    const int64_t left = b->dataset->rows - b->row;
    const int32_t n = left > b->p->batch_max ? b->p->batch_max : (int32_t)left;
    if (n <= 0) return 0;
    schema_predictor_read(b->p, &(struct schema_view_rows){b->view, b->row, n}, n, true);
    const bool checked = looks_unusable(b, n);
    for (int32_t i = 0; i < n; i++) {
        const int64_t row = b->row + i;
        schema_block_row(&b->block);
        if (keep_cells(b, error) != 0) return -1;
        if (!checked || is_usable(b, i, row)) {
            schema_block_good(&b->block, row + 1, i);
            continue;
        }
        zero(b, i);
        schema_block_failed(&b->block, row + 1);
    }
    if (schema_dataset_intact(b->dataset, error) != 0) return -1;
    b->p->filled = n;
    b->p->rows += n;
    b->row += n;
    if (b->row - b->released >= RELEASE_ROWS) {
        schema_dataset_release(b->dataset);
        b->released = b->row;
    }
    return schema_block_flush(&b->block, error);
}

int schema_batch_write(struct schema_batch *b, struct bp_error *error) {
    if (b->row < b->dataset->rows || b->ended) return schema_block_write(&b->block, error);
    b->ended = true;
    return schema_block_finish(&b->block, error);
}

void schema_batch_place(const struct schema_batch *b, struct schema_batch_place *place) {
    *place = (struct schema_batch_place){b->row, b->block.good, b->block.failed};
}

json_t *schema_batch_counts(const struct schema_batch *b) {
    return schema_predictor_counts(b->p);
}

void schema_batch_warnings(const struct schema_batch *b, void (*say)(void *context, const char *warning), void *context) {
    schema_predict_warnings(b->p, say, context);
}
