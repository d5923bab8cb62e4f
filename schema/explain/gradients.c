/* gradients.c - gradient times input and integrated gradients: of the network's inputs, folded back into columns. */
#include "schema/explain/encoded.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gradients {
    const struct explainer *x;
    struct bp_workspace *workspace;                     /* for training: it has the gradients */
    bp_real *d, *gradient;                              /* (B, numbers of the output); (weights_count) */
    float *baseline[BP_INPUTS_MAX];                     /* the mean of the background rows */
    double baseline_number[SCHEMA_EXPLAIN_CLASSES_MAX]; /* the prediction of it, of each class */
};

/* An embedding reads places in a table: between two of them there is nothing to differentiate. */
static int check(const struct explainer *x, struct bp_error *error) {
    for (int32_t k = 0; k < x->p->features_count; k++)
        for (int32_t i = 0; i < x->p->features[k].places_count; i++)
            if (bp_network_indices(x->net, x->p->features[k].places[i].input))
                return bp_error_set(error, "/method", "column \"%.60s\" is read by an embedding, which has no gradient in its input; use \"shapley\"",
                                    x->p->features[k].name);
    if (x->classes == 0 && x->p->targets[x->target].transform)
        return bp_error_set(error, "/method", "\"%.60s\" is learned by a transform, whose gradient is not that of the target; use \"shapley\"",
                            x->p->targets[x->target].name);
    if (x->classes > SCHEMA_EXPLAIN_CLASSES_MAX)
        return bp_error_set(error, "/method", "gradients are for targets of at most %d classes; use \"shapley\"", SCHEMA_EXPLAIN_CLASSES_MAX);
    return 0;
}

static void gradients_close(struct gradients *g) {
    bp_workspace_free(g->workspace);
    free(g->d);
    free(g->gradient);
    for (int32_t k = 0; k < BP_INPUTS_MAX; k++) free(g->baseline[k]);
}

static int gradients_open(const struct explainer *x, const struct encoded *background, struct gradients *g, struct bp_error *error) {
    const int64_t numbers = bp_shape_size(&x->net->outputs[x->output].shape);
    *g = (struct gradients){.x = x};
    bool good =
        (g->d = malloc(EXPLAIN_BATCH * (size_t)numbers * sizeof *g->d)) && (g->gradient = malloc((x->net->weights_count + 1) * sizeof *g->gradient));
    for (int32_t k = 0; k < x->p->inputs_count; k++) good = (g->baseline[k] = malloc(((size_t)x->sizes[k] + 1) * sizeof(float))) && good;
    if (!good) return bp_error_memory(error, "no memory for gradients");
    for (int32_t k = 0; k < x->p->inputs_count; k++)
        for (int64_t j = 0; j < x->sizes[k]; j++) {
            double sum = 0;
            for (int64_t i = 0; i < background->n; i++) sum += (double)background->inputs[k][i * x->sizes[k] + j];
            g->baseline[k][j] = (float)(sum / (double)background->n);
        }
    for (int32_t k = 0; k < x->p->inputs_count; k++)
        memcpy(bp_workspace_input(x->workspace, k), g->baseline[k], (size_t)x->sizes[k] * sizeof(bp_real));
    explainer_run(x, 1);
    for (int32_t c = 0; c < (x->classes ? x->classes : 1); c++) g->baseline_number[c] = explainer_number(x, 0, c);
    return bp_workspace_new(x->net, EXPLAIN_BATCH, true, &g->workspace, error);
}

/* What the number of the network weighs in the number that is explained: its unit; of class 0 by one number -1. */
static double outer(const struct explainer *x, int32_t c) {
    if (x->classes == 0) return schema_target_unit(&x->p->targets[x->target], 0);
    return x->width == 1 && c == 0 ? -1 : 1;
}

/* attributions: (features) += share * sum over the column's numbers of gradient * (row - baseline), at `count` points between baseline and row. */
static int attribute(const struct gradients *g, const struct encoded *rows, int64_t row, int32_t c, int32_t points, double *attributions) {
    const struct explainer *x = g->x;
    const int64_t numbers = bp_shape_size(&x->net->outputs[x->output].shape);
    for (int32_t first = 0; first < points; first += EXPLAIN_BATCH) {
        const int32_t n = points - first < EXPLAIN_BATCH ? points - first : EXPLAIN_BATCH;
        for (int32_t k = 0; k < x->p->inputs_count; k++)
            for (int32_t i = 0; i < n; i++) {
                const double at = points == 1 ? 1 : (first + i + 0.5) / points; /* of one point: the row itself */
                bp_real *to = bp_workspace_input(g->workspace, k) + i * x->sizes[k];
                const float *from = rows->inputs[k] + row * x->sizes[k];
                for (int64_t j = 0; j < x->sizes[k]; j++)
                    to[j] = (bp_real)((double)g->baseline[k][j] + at * ((double)from[j] - (double)g->baseline[k][j]));
            }
        memset(g->d, 0, (size_t)n * (size_t)numbers * sizeof *g->d);
        for (int32_t i = 0; i < n; i++) g->d[i * numbers + x->first + (x->width > 1 ? c : 0)] = 1;
        if (bp_predict_gradient(x->net, x->e->model->weights, g->workspace, n, x->output, g->d, g->gradient) != 0) return -1;
        for (int32_t f = 0; f < x->features_count; f++) {
            const struct schema_feature *feature = &x->p->features[x->features[f]];
            for (int32_t p = 0; p < feature->places_count; p++) {
                const struct schema_place *place = &feature->places[p];
                const bp_real *d = bp_workspace_input_gradient(g->workspace, place->input) + place->offset;
                const float *from = rows->inputs[place->input] + row * x->sizes[place->input] + place->offset,
                            *base = g->baseline[place->input] + place->offset;
                for (int32_t i = 0; i < n; i++)
                    for (int32_t j = 0; j < place->width; j++)
                        attributions[f] += outer(x, c) / points * (double)d[i * x->sizes[place->input] + j] * ((double)from[j] - (double)base[j]);
            }
        }
    }
    return 0;
}

static int explain_rows(const struct gradients *g, const struct encoded *rows, json_t *explanations, struct bp_error *error) {
    const struct explainer *x = g->x;
    const int32_t points = x->e->method == SCHEMA_EXPLAIN_INTEGRATED_GRADIENTS ? x->e->steps : 1;
    int32_t *classes = malloc(((size_t)rows->n + 1) * sizeof *classes);
    double *predictions = malloc(((size_t)rows->n + 1) * sizeof *predictions), *values = malloc((size_t)x->features_count * sizeof *values);
    int failed = classes && predictions && values ? 0 : bp_error_memory(error, "no memory for gradients");
    if (!failed) explainer_choose(x, rows, classes, predictions);
    for (int64_t i = 0; i < rows->n && !failed; i++) {
        double sum = 0;
        memset(values, 0, (size_t)x->features_count * sizeof *values);
        if (explainer_stopped(x, error)) failed = -1;
        else if (attribute(g, rows, i, classes[i], points, values) != 0) failed = bp_error_memory(error, "no memory for gradients");
        if (failed) break;
        for (int32_t f = 0; f < x->features_count; f++) sum += values[f];
        const double baseline = g->baseline_number[classes[i]];
        json_t *json = explanation_json(x, rows->rows[i], classes[i], predictions[i], baseline, values);
        if (points > 1 && x->features_count == x->p->features_count)
            json_object_set_new(json, "completeness_error", json_real(sum - (predictions[i] - baseline)));
        json_array_append_new(explanations, json);
    }
    free(classes);
    free(predictions);
    free(values);
    return failed;
}

json_t *explain_gradients(const struct explainer *x, struct bp_error *error) {
    struct encoded rows = {0}, background = {0};
    struct gradients g = {0};
    json_t *explanations = json_array();
    int failed = check(x, error);
    if (!failed) failed = encoded_open(x, x->e->dataset, x->e->rows_max, &rows, error);
    if (!failed) failed = encoded_open(x, x->e->background ? x->e->background : x->e->dataset, INT64_MAX, &background, error);
    if (!failed) failed = gradients_open(x, &background, &g, error);
    if (!failed) failed = explain_rows(&g, &rows, explanations, error);
    const int64_t n = rows.n;
    gradients_close(&g);
    encoded_close(&rows);
    encoded_close(&background);
    if (!failed) return json_pack("{s:I, s:o}", "rows", (json_int_t)n, "explanations", explanations);
    json_decref(explanations);
    return NULL;
}
