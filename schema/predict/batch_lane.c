/* batch_lane.c - see batch_lane.h. Sections: rows, the block, a lane of its own. */
#include "schema/predict/batch_lane.h"

#include "engine/kernels/kernels.h"
#include "schema/preprocessing/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HELD = 4 << 20 /* bytes of text that wait to be taken */ };

/* ---- rows ------------------------------------------------------------------------------------------------------------------------------------ */

static int keep_cells(struct schema_batch_lane *b, struct bp_error *error) {
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
static const char *refused(struct schema_batch_lane *b, int32_t i, int64_t row, char text[static 400]) {
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

static void zero(const struct schema_batch_lane *b, int32_t slot) {
    for (int32_t k = 0; k < b->p->preprocessing->inputs_count; k++)
        memset(bp_workspace_input(b->p->workspace, k) + slot * b->p->input_sizes[k], 0, (size_t)b->p->input_sizes[k] * sizeof(float));
}

/* Of the row in that slot: whether it can be predicted. */
static bool is_usable(struct schema_batch_lane *b, int32_t slot, int64_t row) {
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
static bool looks_unusable(const struct schema_batch_lane *b, int32_t n) {
    const struct schema_preprocessing *pre = b->p->preprocessing;
    for (int32_t k = 0; k < pre->inputs_count; k++)
        if (b->p->indexed[k] || !bp_kernels()->finite((size_t)(n * b->p->input_sizes[k]), bp_workspace_input(b->p->workspace, k))) return true;
    for (int32_t i = 0; i < pre->features_count; i++)
        if (pre->features[i].options.missing == SCHEMA_MISSING_ERROR || pre->features[i].options.unseen == SCHEMA_UNSEEN_ERROR) return true;
    return false;
}

/* ---- the block --------------------------------------------------------------------------------------------------------------------------------- */

int batch_lane_block(struct schema_batch_lane *b, int32_t n, struct bp_error *error) {
    schema_predictor_read(b->p, &(struct schema_view_rows){b->view, b->row, n}, n, true);
    const bool checked = looks_unusable(b, n), all = !checked && b->keep_count == 0 && schema_block_all_good(&b->block, b->row + 1, n);
    for (int32_t i = 0; i < n && !all; i++) {
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
    return schema_block_flush(&b->block, error);
}

/* ---- a lane of its own ------------------------------------------------------------------------------------------------------------------------- */

struct schema_batch_lane *schema_batch_lane_new(struct schema_batch *batch, struct bp_error *error) {
    const struct schema_batch_lane *own = batch_own_lane(batch);
    struct schema_problems problems = {0};
    struct schema_batch_lane *lane = calloc(1, sizeof *lane);
    if (!lane) return bp_error_memory(error, "no memory for a thread of the batch"), NULL;
    *lane = (struct schema_batch_lane){
        .dataset = own->dataset, .options = own->options, .view = own->view, .keep = own->keep, .keep_count = own->keep_count};
    int failed = (lane->p = schema_predictor_new(own->p->model, error)) ? 0 : -1;
    if (!failed && schema_block_open(&lane->block, lane->p, own->options, &problems) != 0)
        failed = bp_error_memory(error, "no memory for a thread of the batch"); /* the options are good: the batch has them too */
    schema_problems_clear(&problems);
    for (int32_t i = 0; i < own->block.names_count && !failed; i++)
        if (schema_block_keep(&lane->block, own->block.names[i], strlen(own->block.names[i])) < 0)
            failed = bp_error_memory(error, "no memory for a thread of the batch");
    lane->block.writer = (struct schema_rows_writer){0}; /* the batch takes what it holds */
    lane->block.begun = true;
    if (!failed) return lane;
    schema_batch_lane_free(lane);
    return NULL;
}

void schema_batch_lane_free(struct schema_batch_lane *lane) {
    if (!lane) return;
    schema_rows_free(lane->kept);
    schema_block_close(&lane->block);
    schema_predictor_free(lane->p);
    free(lane);
}

void schema_batch_lane_begin(struct schema_batch_lane *lane, int64_t first, int64_t n) {
    lane->row = lane->begun = first;
    lane->end = first + n < lane->dataset->rows ? first + n : lane->dataset->rows;
    lane->p->counted = first; /* rows are named by their number in the dataset */
    if (lane->kept) schema_rows_seek(lane->kept, first);
}

int schema_batch_lane_run(struct schema_batch_lane *lane, bool (*go_on)(void *context), void *context, struct bp_error *error) {
    while (lane->row < lane->end && lane->block.out.size + lane->block.failures.size < HELD && go_on(context)) {
        const int64_t left = lane->end - lane->row;
        if (batch_lane_block(lane, left > lane->p->batch_max ? lane->p->batch_max : (int32_t)left, error) != 0) return -1;
    }
    return lane->row < lane->end ? 1 : 0;
}
