/* source.c - the split, and batches out of a dataset. */
#include "schema/training/source.h"

#include "engine/base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the split ------------------------------------------------------------------------------------------------------- */

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

/* What is drawn: how many of each class. */
struct plan {
    int64_t n;
    const int32_t *classes; /* (n) or NULL */
    int32_t groups;
    const int64_t *sizes, *take;
    int64_t *start; /* where each class begins; moved on */
    uint64_t seed;
};

/* Marks the numbers 0..n-1 of those that go to validation: take[g] of each class g, drawn by a shuffle of the class. order: (n) room. */
static void draw_validation(const struct plan *plan, int64_t *order, uint8_t *marks) {
    for (int64_t i = 0; i < plan->n; i++) order[plan->start[plan->classes ? plan->classes[i] : 0]++] = i;
    for (int32_t g = 0; g < plan->groups; g++) {
        int64_t *group = order + plan->start[g] - plan->sizes[g];
        struct bp_random random = bp_random_open(plan->seed, BP_STREAM_SPLIT, (uint32_t)g);
        bp_random_shuffle(&random, group, plan->sizes[g]);
        for (int64_t i = 0; i < plan->take[g]; i++) marks[group[i] / 8] |= (uint8_t)(1 << group[i] % 8);
    }
}

int schema_split_make(const int64_t *rows, int64_t n, const int32_t *classes, int32_t classes_count, double fraction, uint64_t seed,
                      struct schema_split *split, struct bp_error *error) {
    int32_t groups = classes ? classes_count : 1;
    memset(split, 0, sizeof *split);
    int64_t *out = malloc(((size_t)n + 1) * sizeof *out);
    int64_t *sizes = calloc((size_t)groups, sizeof *sizes), *take = calloc((size_t)groups, sizeof *take),
            *start = calloc((size_t)groups + 1, sizeof *start);
    uint8_t *marks = calloc((size_t)n / 8 + 1, 1);
    int failed = 0;
    if (!out || !sizes || !take || !start || !marks) {
        free(out);
        failed = bp_error_memory(error, "no memory to split %lld rows", (long long)n);
        goto done;
    }
    for (int64_t i = 0; i < n; i++) sizes[classes ? classes[i] : 0]++;
    int64_t total = (int64_t)floor((double)n * fraction + 0.5);
    if (fraction > 0 && total < 1 && n >= 2) total = 1;
    total = apportion(sizes, groups, total, fraction, take);
    for (int32_t g = 0; g < groups; g++) start[g + 1] = start[g] + sizes[g];
    draw_validation(&(struct plan){n, classes, groups, sizes, take, start, seed}, out, marks);
    split->validation = out;
    split->train = out + total;
    for (int64_t i = 0; i < n; i++) {
        if (marks[i / 8] >> i % 8 & 1) split->validation[split->validation_count++] = rows[i];
        else split->train[split->train_count++] = rows[i];
    }
done:
    free(sizes);
    free(take);
    free(start);
    free(marks);
    return failed;
}

void schema_split_free(struct schema_split *split) {
    free(split->validation);
    memset(split, 0, sizeof *split);
}

/* ---- batches ------------------------------------------------------------------------------------------------------------ */

/* What one output learns of the rows. */
struct goal {
    int64_t width;  /* numbers of a stored sample: 1 for a class, otherwise those of all its targets */
    int32_t labels; /* one-hot width, 0: as stored */
    bool tensor;    /* the target is a tensor */
    float *kept;    /* (count, width), NULL: a tensor that is read on demand */
};

struct schema_source {
    const struct schema_view *view;
    struct schema_view *own; /* the view of training rows, when it differs */
    int64_t count;
    const int64_t *rows; /* (count) */
    struct goal goals[BP_OUTPUTS_MAX];
    float *weights;                /* (count) or NULL */
    float *counts;                 /* (count) the weights without those of classes, which metrics take; NULL: there are none of classes */
    int64_t widths[BP_INPUTS_MAX]; /* numbers of one sample of each input */
    float *kept[BP_INPUTS_MAX];    /* (count, width) when in memory, otherwise NULL */
    bool keep;
};

static void transform_rows(const struct schema_source *s, const int64_t *rows, int64_t n, float *const *inputs) {
    float small[4096], *tensor = s->view->tensor_size <= 4096 ? small : malloc(s->view->tensor_size * sizeof *tensor);
    const int32_t count = s->view->preprocessing->inputs_count;
    for (int64_t first = 0; tensor && first < n; first += SCHEMA_ROWS_MAX) {
        float *at[BP_INPUTS_MAX];
        for (int32_t k = 0; k < count; k++) at[k] = inputs[k] + first * s->widths[k];
        schema_view_rows(s->view, rows + first, n - first < SCHEMA_ROWS_MAX ? (int32_t)(n - first) : SCHEMA_ROWS_MAX, tensor, at);
    }
    if (tensor != small) free(tensor);
}

/* Targets of samples of an output, as the engine takes them. */
static void fill_goal(const struct schema_source *s, int32_t o, const int64_t *samples, int32_t n, float *out) {
    const struct goal *goal = &s->goals[o];
    for (int32_t i = 0; i < n; i++) {
        const int64_t at = samples[i];
        if (goal->labels > 0) {
            memset(out + (int64_t)i * goal->labels, 0, (size_t)goal->labels * sizeof *out);
            out[(int64_t)i * goal->labels + (int64_t)goal->kept[at]] = 1.0f;
        } else if (goal->kept) {
            memcpy(out + i * goal->width, goal->kept + at * goal->width, (size_t)goal->width * sizeof *out);
        } else {
            schema_view_target_tensor(s->view, s->view->preprocessing->outputs[o].first, s->rows[at], out + i * goal->width);
        }
    }
}

static void fill(const void *context, const int64_t *samples, int32_t n, const struct bp_batch *batch) {
    const struct schema_source *s = context;
    int32_t count = s->view->preprocessing->inputs_count;
    for (int32_t o = 0; o < s->view->preprocessing->outputs_count; o++) fill_goal(s, o, samples, n, batch->targets[o]);
    for (int32_t i = 0; i < n; i++) {
        if (s->weights) batch->weights[i] = s->weights[samples[i]];
        if (s->counts && batch->counts) batch->counts[i] = s->counts[samples[i]];
        for (int32_t k = 0; s->keep && k < count; k++)
            memcpy(batch->inputs[k] + i * s->widths[k], s->kept[k] + samples[i] * s->widths[k], (size_t)s->widths[k] * sizeof(float));
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

/* Target k of all rows, into every width-th number. */
static void fill_targets(const struct schema_source *s, int32_t k, int64_t width, float *out) {
    double targets[SCHEMA_ROWS_MAX];
    for (int64_t first = 0; first < s->count; first += SCHEMA_ROWS_MAX) {
        const int64_t n = s->count - first < SCHEMA_ROWS_MAX ? s->count - first : SCHEMA_ROWS_MAX;
        schema_view_targets(s->view, k, s->rows + first, n, targets);
        for (int64_t i = 0; i < n; i++) out[(first + i) * width] = (float)targets[i];
    }
}

static bool open_goal(struct schema_source *s, int32_t o, bool one_hot) {
    const struct schema_preprocessing *p = s->view->preprocessing;
    const struct schema_output *output = &p->outputs[o];
    struct goal *goal = &s->goals[o];
    goal->tensor = p->targets[output->first].shape.rank > 0;
    goal->width = goal->tensor ? schema_target_size(&p->targets[output->first]) : output->count;
    goal->labels = one_hot ? p->targets[output->first].labels_count : 0;
    if (goal->tensor && !s->keep) return true;
    if (!(goal->kept = malloc(((size_t)s->count * (size_t)goal->width + 1) * sizeof *goal->kept))) return false;
    for (int64_t i = 0; goal->tensor && i < s->count; i++)
        schema_view_target_tensor(s->view, output->first, s->rows[i], goal->kept + i * goal->width);
    for (int32_t k = 0; !goal->tensor && k < output->count; k++) fill_targets(s, output->first + k, goal->width, goal->kept + k);
    return true;
}

/* What each row counts: its sample weight, times what its classes do. */
static bool open_weights(struct schema_source *s, bool class_weights) {
    const struct schema_preprocessing *p = s->view->preprocessing;
    bool classes = false;
    for (int32_t k = 0; class_weights && k < p->targets_count; k++)
        classes = classes || (p->targets[k].class_weights && p->targets[k].shape.rank <= 0);
    if (!classes && !p->sample_weight) return true;
    if (!(s->weights = malloc(((size_t)s->count + 1) * sizeof *s->weights))) return false;
    if (classes && !(s->counts = malloc(((size_t)s->count + 1) * sizeof *s->counts))) return false;
    for (int64_t first = 0; first < s->count; first += SCHEMA_ROWS_MAX) {
        double weights[SCHEMA_ROWS_MAX], targets[SCHEMA_ROWS_MAX];
        const int64_t n = s->count - first < SCHEMA_ROWS_MAX ? s->count - first : SCHEMA_ROWS_MAX;
        schema_view_weights(s->view, s->rows + first, n, weights);
        for (int64_t i = 0; classes && i < n; i++) s->counts[first + i] = (float)weights[i];
        for (int32_t k = 0; classes && k < p->targets_count; k++) {
            if (!p->targets[k].class_weights || p->targets[k].shape.rank > 0) continue; /* what positions count is the loss's to know */
            schema_view_targets(s->view, k, s->rows + first, n, targets);
            for (int64_t i = 0; i < n; i++) weights[i] *= p->targets[k].class_weights[(int32_t)targets[i]];
        }
        for (int64_t i = 0; i < n; i++) s->weights[first + i] = (float)weights[i];
    }
    return true;
}

/* Target encodings of training rows leave their own fold out. */
static int open_training_view(struct schema_source *s, const struct schema_source_options *options, struct bp_error *error) {
    const struct schema_preprocessing *p = options->view->preprocessing;
    bool means = false;
    for (int32_t i = 0; i < p->features_count; i++) means = means || p->features[i].means;
    if (!means) return 0;
    s->own = schema_view_new(p, options->view->dataset, true, error);
    if (!s->own || schema_view_leave_folds_out(s->own, options->rows, options->n, error) != 0) return -1;
    s->view = s->own;
    return 0;
}

int schema_source_new(const struct schema_source_options *options, struct schema_source **source, struct bp_error *error) {
    const struct schema_preprocessing *p = options->view->preprocessing;
    struct schema_source *s = calloc(1, sizeof *s);
    if (!s) return bp_error_memory(error, "out of memory");
    const int64_t n = s->count = options->n;
    s->view = options->view;
    s->rows = options->rows;
    if (options->training && open_training_view(s, options, error) != 0) {
        schema_source_free(s);
        return -1;
    }
    int64_t width = 0;
    for (int32_t k = 0; k < p->inputs_count; k++) width += s->widths[k] = bp_shape_size(&p->inputs[k].shape);
    for (int32_t k = 0; k < p->targets_count; k++) width += p->targets[k].shape.rank > 0 ? schema_target_size(&p->targets[k]) : 0;
    s->keep = (uint64_t)n * (uint64_t)width <= options->memory_max / sizeof(float);
    bool memory = true;
    for (int32_t k = 0; memory && s->keep && k < p->inputs_count; k++)
        memory = (s->kept[k] = malloc(((size_t)n * (size_t)s->widths[k] + 1) * sizeof(float))) != NULL;
    for (int32_t o = 0; memory && o < p->outputs_count; o++) memory = open_goal(s, o, options->one_hot[o]);
    if (!memory || !open_weights(s, options->training)) {
        schema_source_free(s);
        return bp_error_memory(error, "no memory for %lld rows", (long long)n);
    }
    if (s->keep) transform_rows(s, s->rows, n, s->kept);
    *source = s;
    return 0;
}

void schema_source_free(struct schema_source *s) {
    if (!s) return;
    for (int32_t k = 0; k < BP_INPUTS_MAX; k++) free(s->kept[k]);
    for (int32_t o = 0; o < BP_OUTPUTS_MAX; o++) free(s->goals[o].kept);
    free(s->weights);
    free(s->counts);
    schema_view_free(s->own);
    free(s);
}

void schema_source_advise(const struct schema_source *s, int64_t first, int64_t n, bool needed) {
    const struct schema_preprocessing *p = s->view->preprocessing;
    if (s->keep || n < 1 || first < 0 || first + n > s->count) return;
    const int64_t from = s->rows[first], rows = s->rows[first + n - 1] - from + 1;
    for (int32_t i = 0; i < p->features_count; i++) schema_dataset_advise(s->view->dataset, s->view->columns[i], from, rows, needed);
    for (int32_t k = 0; k < p->targets_count; k++) /* those of tensors are read with the inputs, the others were stored at the start */
        if (p->targets[k].shape.rank > 0) schema_dataset_advise(s->view->dataset, s->view->targets[k], from, rows, needed);
}

struct bp_source schema_source_batches(const struct schema_source *source) {
    return (struct bp_source){
        .context = source, .rows = source->count, .weighted = source->weights != NULL, .counted = source->counts != NULL, .fill = fill};
}
