/* batch.c - see batch.h. Sections: opening, the next block, what lanes have done. */
#include "schema/predict/batch_lane.h"

#include "schema/memory.h"
#include "schema/preprocessing/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RELEASE_ROWS = 8192 /* read between two releases of the dataset's pages */ };

struct schema_batch {
    struct schema_batch_lane lane; /* that of the caller's thread; its block has the writer, and its counts are those of all */
    struct schema_view *view;
    int32_t *keep;
    int64_t released;
    int32_t lanes; /* others */
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
    const struct schema_preprocessing *p = b->lane.p->preprocessing;
    int32_t found = 0;
    for (int32_t i = 0; i < p->features_count; i++) found += schema_dataset_find(b->lane.dataset, p->features[i].name) >= 0;
    if (found == 0)
        return schema_problem_add(problems, "/dataset",
                                  "none of the columns of the dataset is a feature of this model; its first feature is \"%.60s\"",
                                  p->features[0].name);
    for (int32_t i = 0; i < p->features_count && !b->lane.options->lenient; i++)
        if (schema_dataset_find(b->lane.dataset, p->features[i].name) < 0)
            schema_problem_add(
                problems, "/dataset",
                "the dataset has no column \"%.60s\", a feature of this model; use a dataset that has it, or send \"strict\": false to take it "
                "as missing in every row",
                p->features[i].name);
    return problems->total ? -1 : 0;
}

static int choose_kept(struct schema_batch *b, struct schema_problems *problems) {
    const char *keep = b->lane.options->keep ? b->lane.options->keep : "extra";
    const bool all = strcmp(keep, "all") == 0, extra = strcmp(keep, "extra") == 0;
    const struct schema_dataset *d = b->lane.dataset;
    const bool numbers = b->lane.options->form == SCHEMA_FORM_NPY;
    if (numbers && b->lane.options->keep && !extra && strcmp(keep, "none") != 0)
        return schema_problem_add(problems, "/keep", "an array has predictions only, in the order of the rows; keep columns with csv or ndjson");
    if (strcmp(keep, "none") == 0 || numbers) return 0;
    if (!all && !extra) {
        struct schema_problems found = {0};
        const int failed = schema_dataset_columns_parse(d, keep, &b->keep, &b->lane.keep_count, &found);
        if (failed && found.total)
            schema_problem_add(problems, "/keep", "%s",
                               strncmp(found.items[0].detail, "columns: ", 9) == 0 ? found.items[0].detail + 9 : found.items[0].detail);
        else if (failed) schema_problem_no_memory(problems);
        schema_problems_clear(&found);
        if (failed) return -1;
    } else {
        if (!(b->keep = calloc((size_t)d->columns_count + 1, sizeof *b->keep))) return schema_problem_no_memory(problems);
        for (int32_t i = 0; i < d->columns_count; i++)
            if (all || !is_feature(b->lane.p->preprocessing, d->columns[i].name)) b->keep[b->lane.keep_count++] = i;
    }
    int32_t count = 0;
    for (int32_t i = 0; i < b->lane.keep_count; i++) {
        const char *name = d->columns[b->keep[i]].name;
        if (!schema_block_has(&b->lane.block, name, strlen(name))) {
            if (schema_block_keep(&b->lane.block, name, strlen(name)) < 0) return schema_problem_no_memory(problems);
            b->keep[count++] = b->keep[i];
        } else if (all || extra) {
            schema_predictor_ignored(b->lane.p, name, strlen(name));
        } else {
            return schema_problem_add(problems, "/keep",
                                      "the column \"%.60s\" cannot be kept: the result has a column of that name; leave it out of keep", name);
        }
    }
    b->lane.keep_count = count;
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
    b->lane.dataset = dataset, b->lane.options = options;
    int failed = 0;
    if (!(b->lane.p = schema_predictor_new(model, &error))) failed = schema_problem_error(problems, NULL, &error);
    if (!failed) failed = check_columns(b, problems);
    if (!failed && !(b->view = schema_view_new(model->training->preprocessing, dataset, false, &error)))
        failed = schema_problem_error(problems, "/dataset", &error);
    if (!failed) failed = schema_block_open(&b->lane.block, b->lane.p, options, problems);
    b->lane.view = b->view;
    b->lane.block.total = dataset->rows;
    if (!failed) failed = choose_kept(b, problems);
    b->lane.keep = b->keep;
    if (!failed) return b;
    schema_batch_close(b);
    return NULL;
}

void schema_batch_close(struct schema_batch *b) {
    if (!b) return;
    schema_rows_free(b->lane.kept);
    schema_block_close(&b->lane.block);
    schema_view_free(b->view);
    schema_predictor_free(b->lane.p);
    free(b->keep);
    free(b);
}

void schema_batch_resume(struct schema_batch *b, const struct schema_batch_place *place, const json_t *counts) {
    b->lane.row = b->released = place->row;
    b->lane.block.good = place->good, b->lane.block.failed = place->failed;
    b->lane.block.begun = true; /* the header is written, and the beginning of the document */
    b->lane.block.out.size = b->lane.block.failures.size = 0;
    if (counts) schema_predictor_recount(b->lane.p, counts);
}

/* ---- the next block -------------------------------------------------------------------------------------------------------------------------- */

static void release(struct schema_batch *b) {
    if (b->lane.row - b->released < RELEASE_ROWS * (b->lanes + 1)) return;
    schema_dataset_release(b->lane.dataset);
    b->released = b->lane.row;
}

int schema_batch_next(struct schema_batch *b, struct bp_error *error) {
    const int64_t left = b->lane.dataset->rows - b->lane.row;
    const int32_t n = left > b->lane.p->batch_max ? b->lane.p->batch_max : (int32_t)left;
    if (n <= 0) return 0;
    const int failed = batch_lane_block(&b->lane, n, error);
    release(b);
    return failed;
}

int schema_batch_write(struct schema_batch *b, struct bp_error *error) {
    if (b->lane.row < b->lane.dataset->rows || b->ended) return schema_block_write(&b->lane.block, error);
    b->ended = true;
    return schema_block_finish(&b->lane.block, error);
}

void schema_batch_place(const struct schema_batch *b, struct schema_batch_place *place) {
    *place = (struct schema_batch_place){b->lane.row, b->lane.block.good, b->lane.block.failed};
}

json_t *schema_batch_columns(const struct schema_batch *b) {
    return b->lane.block.numbers ? schema_block_columns(&b->lane.block) : NULL;
}

int64_t schema_batch_rows(const struct schema_batch *b) {
    return b->lane.dataset->rows;
}

int32_t schema_batch_block(const struct schema_batch *b) {
    return b->lane.p->batch_max;
}

json_t *schema_batch_counts(const struct schema_batch *b) {
    return schema_predictor_counts(b->lane.p);
}

void schema_batch_warnings(const struct schema_batch *b, void (*say)(void *context, const char *warning), void *context) {
    schema_predict_warnings(b->lane.p, say, context);
}

/* ---- what lanes have done -------------------------------------------------------------------------------------------------------------------- */

const struct schema_batch_lane *batch_own_lane(struct schema_batch *b) {
    b->lanes++;
    return &b->lane;
}

void schema_batch_take(struct schema_batch *b, struct schema_batch_lane *lane) {
    schema_block_take(&b->lane.block, &lane->block);
    schema_predictor_take(b->lane.p, lane->p);
    b->lane.p->rows += lane->row - lane->begun;
    b->lane.p->counted = b->lane.row = lane->begun = lane->row;
    release(b);
}
