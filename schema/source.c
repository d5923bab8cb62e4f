/* source.c - the split, and batches out of a dataset. */
#include "source.h"

#include "random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the split ------------------------------------------------------------------------------------------------------- */

static int compare_rows(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* How many rows of each class go to validation: the share rounded down, then one more for the largest remainders until the total fits. */
static int64_t apportion(const int64_t *sizes, int32_t groups, int64_t total, double fraction, int64_t *take) {
    int64_t given = 0;
    for (int32_t g = 0; g < groups; g++) {
        take[g] = (int64_t)floor((double)sizes[g] * fraction);
        if (take[g] >= sizes[g]) take[g] = sizes[g] - 1;
        if (take[g] < 0) take[g] = 0;
        given += take[g];
    }
    while (given < total) {
        int32_t best = -1;
        double most = -1;
        for (int32_t g = 0; g < groups; g++) {
            double rest = (double)sizes[g] * fraction - (double)take[g];
            if (take[g] + 1 < sizes[g] && rest > most) most = rest, best = g;
        }
        if (best < 0) break;
        take[best]++;
        given++;
    }
    return given;
}

int schema_split_make(const int64_t *rows, int64_t n, const int32_t *classes, int32_t classes_count, double fraction, uint64_t seed,
                      struct schema_split *split, struct bp_error *error) {
    int32_t groups = classes ? classes_count : 1;
    memset(split, 0, sizeof *split);
    int64_t *out = malloc(((size_t)n + 1) * sizeof *out), *order = malloc(((size_t)n + 1) * sizeof *order);
    int64_t *sizes = calloc((size_t)groups, sizeof *sizes), *take = calloc((size_t)groups, sizeof *take),
            *start = calloc((size_t)groups + 1, sizeof *start);
    int failed = 0;
    if (!out || !order || !sizes || !take || !start) {
        free(out);
        failed = bp_error_set(error, "", "no memory to split %lld rows", (long long)n);
        goto done;
    }
    for (int64_t i = 0; i < n; i++) sizes[classes ? classes[i] : 0]++;
    int64_t total = (int64_t)floor((double)n * fraction + 0.5);
    if (fraction > 0 && total < 1 && n >= 2) total = 1;
    total = apportion(sizes, groups, total, fraction, take);
    for (int32_t g = 0; g < groups; g++) start[g + 1] = start[g] + sizes[g];
    for (int64_t i = 0; i < n; i++) order[start[classes ? classes[i] : 0]++] = rows[i];
    split->validation = out;
    split->train = out + total;
    for (int32_t g = 0; g < groups; g++) {
        int64_t *group = order + start[g] - sizes[g];
        struct bp_random random = bp_random_open(seed, BP_STREAM_SPLIT, (uint32_t)g);
        bp_random_shuffle(&random, group, sizes[g]);
        for (int64_t i = 0; i < sizes[g]; i++) {
            if (i < take[g]) split->validation[split->validation_count++] = group[i];
            else split->train[split->train_count++] = group[i];
        }
    }
    qsort(split->validation, (size_t)split->validation_count, sizeof *out, compare_rows);
    qsort(split->train, (size_t)split->train_count, sizeof *out, compare_rows);
done:
    free(order);
    free(sizes);
    free(take);
    free(start);
    return failed;
}

void schema_split_free(struct schema_split *split) {
    free(split->validation);
    memset(split, 0, sizeof *split);
}

/* ---- batches ------------------------------------------------------------------------------------------------------------ */

struct schema_source {
    const struct schema_view *view;
    int64_t count;
    int64_t *rows;                 /* (count) */
    float *targets;                /* (count) class number or standardised value */
    int32_t classes;               /* one-hot width, 0: targets as they are */
    int64_t widths[BP_INPUTS_MAX]; /* numbers of one sample of each input */
    float *kept[BP_INPUTS_MAX];    /* (count, width) when kept in memory, else NULL */
    bool keep;
};

/* Cells and tensors of one row, on the stack for ordinary rows. */
struct row_room {
    struct schema_feature_value small[256], *cells;
    float small_tensors[1024], *tensors;
};

static bool room_open(struct row_room *room, const struct schema_view *view) {
    size_t cells = (size_t)view->preprocessing->features_count;
    room->cells = cells <= 256 ? room->small : malloc(cells * sizeof *room->cells);
    room->tensors = view->tensor_size <= 1024 ? room->small_tensors : malloc(view->tensor_size * sizeof *room->tensors);
    return room->cells && room->tensors;
}

static void room_close(struct row_room *room) {
    if (room->cells != room->small) free(room->cells);
    if (room->tensors != room->small_tensors) free(room->tensors);
}

static void transform_rows(const struct schema_source *s, const int64_t *rows, int64_t n, float *const *inputs) {
    struct row_room room;
    int32_t count = s->view->preprocessing->inputs_count;
    if (room_open(&room, s->view)) {
        for (int64_t i = 0; i < n; i++) {
            float *at[BP_INPUTS_MAX];
            for (int32_t k = 0; k < count; k++) at[k] = inputs[k] + i * s->widths[k];
            schema_view_row(s->view, rows[i], room.cells, room.tensors, at);
        }
    }
    room_close(&room);
}

static void fill(const void *context, const int64_t *samples, int32_t n, const struct bp_batch *batch) {
    const struct schema_source *s = context;
    int32_t count = s->view->preprocessing->inputs_count;
    for (int32_t i = 0; i < n; i++) {
        int64_t at = samples[i];
        if (s->keep)
            for (int32_t k = 0; k < count; k++)
                memcpy(batch->inputs[k] + i * s->widths[k], s->kept[k] + at * s->widths[k], (size_t)s->widths[k] * sizeof(float));
        if (s->classes == 0) {
            batch->targets[0][i] = s->targets[at];
        } else {
            memset(batch->targets[0] + (int64_t)i * s->classes, 0, (size_t)s->classes * sizeof(float));
            batch->targets[0][(int64_t)i * s->classes + (int64_t)s->targets[at]] = 1.0f;
        }
    }
    if (s->keep) return;
    int64_t rows[256];
    for (int32_t first = 0; first < n; first += 256) {
        int32_t some = n - first < 256 ? n - first : 256;
        float *at[BP_INPUTS_MAX];
        for (int32_t i = 0; i < some; i++) rows[i] = s->rows[samples[first + i]];
        for (int32_t k = 0; k < count; k++) at[k] = batch->inputs[k] + first * s->widths[k];
        transform_rows(s, rows, some, at);
    }
}

int schema_source_new(const struct schema_view *view, const int64_t *rows, int64_t n, bool one_hot, size_t memory_max, struct schema_source **source,
                      struct bp_error *error) {
    const struct schema_preprocessing *p = view->preprocessing;
    struct schema_source *s = calloc(1, sizeof *s);
    if (!s) return bp_error_set(error, "", "out of memory");
    s->view = view;
    s->count = n;
    s->classes = one_hot ? p->target.labels_count : 0;
    s->rows = malloc(((size_t)n + 1) * sizeof *s->rows);
    s->targets = malloc(((size_t)n + 1) * sizeof *s->targets);
    int64_t width = 0;
    for (int32_t k = 0; k < p->inputs_count; k++) width += s->widths[k] = bp_shape_size(&p->inputs[k].shape);
    s->keep = (uint64_t)n * (uint64_t)width <= memory_max / sizeof(float);
    bool memory = s->rows && s->targets;
    for (int32_t k = 0; memory && s->keep && k < p->inputs_count; k++)
        memory = (s->kept[k] = malloc(((size_t)n * (size_t)s->widths[k] + 1) * sizeof(float))) != NULL;
    if (!memory) {
        schema_source_free(s);
        return bp_error_set(error, "", "no memory for %lld rows", (long long)n);
    }
    memcpy(s->rows, rows, (size_t)n * sizeof *rows);
    for (int64_t i = 0; i < n; i++) s->targets[i] = (float)schema_view_target(view, rows[i]);
    if (s->keep) transform_rows(s, s->rows, n, s->kept);
    *source = s;
    return 0;
}

void schema_source_free(struct schema_source *s) {
    if (!s) return;
    for (int32_t k = 0; k < BP_INPUTS_MAX; k++) free(s->kept[k]);
    free(s->rows);
    free(s->targets);
    free(s);
}

struct bp_source schema_source_batches(const struct schema_source *source) {
    return (struct bp_source){.context = source, .rows = source->count, .fill = fill};
}
