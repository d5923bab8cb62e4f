/* shapley.c - Shapley values by column. A coalition's worth is the mean prediction over the background rows, in which the coalition's columns have
 * the values of the row that is explained. */
#include "schema/explain/encoded.h"

#include "engine/base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_MAX = 16 };

struct game {
    const struct explainer *x;
    const struct encoded *rows, *background;
    int64_t row;
    int32_t label;
};

/* The worth of a coalition: in[f] says whether feature f is in it. */
static double worth(const struct game *g, const bool *in) {
    const struct explainer *x = g->x;
    double sum = 0;
    for (int64_t first = 0; first < g->background->n; first += EXPLAIN_BATCH) {
        const int32_t n = (int32_t)(g->background->n - first < EXPLAIN_BATCH ? g->background->n - first : EXPLAIN_BATCH);
        for (int32_t k = 0; k < n; k++) {
            explainer_put(x, g->background, first + k, k);
            for (int32_t f = 0; f < x->features_count; f++)
                if (in[f]) explainer_mix(x, x->features[f], g->rows, g->row, k);
        }
        explainer_run(x, n);
        for (int32_t k = 0; k < n; k++) sum += explainer_number(x, k, g->label);
    }
    return sum / (double)g->background->n;
}

/* All coalitions: the weight of one with s of m columns is s! (m - s - 1)! / m! in the value of a column that joins it. */
static int exact(const struct game *g, double *values) {
    const int32_t m = g->x->features_count;
    const int64_t subsets = (int64_t)1 << m;
    bool in[EXACT_MAX];
    double *worths = malloc((size_t)subsets * sizeof *worths);
    if (!worths) return -1;
    for (int64_t s = 0; s < subsets; s++) {
        for (int32_t f = 0; f < m; f++) in[f] = s >> f & 1;
        worths[s] = worth(g, in);
    }
    for (int32_t f = 0; f < m; f++) {
        values[f] = 0;
        for (int64_t s = 0; s < subsets; s++) {
            if (s >> f & 1) continue;
            int32_t size = 0;
            for (int32_t k = 0; k < m; k++) size += s >> k & 1;
            const double weight = exp(lgamma(size + 1.0) + lgamma((double)(m - size)) - lgamma(m + 1.0));
            values[f] += weight * (worths[s | (int64_t)1 << f] - worths[s]);
        }
    }
    free(worths);
    return 0;
}

/* What each column adds when the columns join in that order. */
static void walk(const struct game *g, const int64_t *order, bool backwards, bool *in, double *adds) {
    const int32_t m = g->x->features_count;
    memset(in, 0, (size_t)m * sizeof *in);
    double before = worth(g, in);
    for (int32_t i = 0; i < m; i++) {
        const int64_t f = order[backwards ? m - 1 - i : i];
        in[f] = true;
        const double now = worth(g, in);
        adds[f] += (now - before) / 2;
        before = now;
    }
}

/* errors: the standard error of each value, from the pairs of an order and its reverse. */
static int sampled(const struct game *g, double *values, double *errors) {
    const int32_t m = g->x->features_count, pairs = g->x->e->samples;
    int64_t *order = malloc((size_t)m * sizeof *order);
    bool *in = malloc((size_t)m * sizeof *in);
    double *adds = malloc((size_t)m * sizeof *adds);
    struct bp_random random = bp_random_open(g->x->e->seed, BP_STREAM_BOOTSTRAP, (uint32_t)g->row);
    const bool good = order && in && adds;
    for (int32_t f = 0; f < m; f++) values[f] = errors[f] = 0;
    for (int32_t s = 0; good && s < pairs; s++) {
        for (int32_t f = 0; f < m; f++) order[f] = f, adds[f] = 0;
        bp_random_shuffle(&random, order, m);
        walk(g, order, false, in, adds);
        walk(g, order, true, in, adds);
        for (int32_t f = 0; f < m; f++) values[f] += adds[f] / pairs, errors[f] += adds[f] * adds[f] / pairs;
    }
    for (int32_t f = 0; good && f < m; f++) {
        const double variance = errors[f] - values[f] * values[f];
        errors[f] = pairs > 1 && variance > 0 ? sqrt(variance / (pairs - 1)) : 0;
    }
    free(order);
    free(in);
    free(adds);
    return good ? 0 : -1;
}

static int explain_rows(const struct explainer *x, const struct encoded *rows, const struct encoded *background, json_t *explanations,
                        struct bp_error *error) {
    const int32_t m = x->features_count;
    const bool all = m <= EXACT_MAX && (int64_t)1 << m <= x->e->samples;
    int32_t *classes = malloc(((size_t)rows->n + 1) * sizeof *classes);
    double *predictions = malloc(((size_t)rows->n + 1) * sizeof *predictions);
    double *values = malloc((size_t)m * sizeof *values), *errors = malloc((size_t)m * sizeof *errors);
    bool *none = calloc((size_t)m, sizeof *none);
    int failed = classes && predictions && values && errors && none ? 0 : -1;
    if (!failed) explainer_choose(x, rows, classes, predictions);
    for (int64_t i = 0; i < rows->n && !failed; i++) {
        const struct game game = {x, rows, background, i, classes[i]};
        if (explainer_stopped(x, error)) failed = 1;
        else failed = all ? exact(&game, values) : sampled(&game, values, errors);
        if (failed) break;
        json_t *json = explanation_json(x, rows->rows[i], classes[i], predictions[i], worth(&game, none), values), *attribution;
        size_t f;
        json_array_foreach(json_object_get(json, "attributions"), f, attribution)
            json_object_set_new(attribution, "standard_error", json_real(all ? 0 : errors[f]));
        json_array_append_new(explanations, json);
    }
    free(classes);
    free(predictions);
    free(values);
    free(errors);
    free(none);
    return failed < 0 ? bp_error_memory(error, "no memory for Shapley values") : failed ? -1 : 0;
}

json_t *explain_shapley(const struct explainer *x, struct bp_error *error) {
    struct encoded rows = {0}, background = {0};
    json_t *explanations = json_array();
    int failed = encoded_open(x, x->e->dataset, x->e->rows_max, &rows, error);
    if (!failed) failed = encoded_open(x, x->e->background ? x->e->background : x->e->dataset, SCHEMA_EXPLAIN_BACKGROUND_MAX, &background, error);
    if (!failed) failed = explain_rows(x, &rows, &background, explanations, error);
    const int64_t n = rows.n, b = background.n;
    encoded_close(&rows);
    encoded_close(&background);
    if (!failed) return json_pack("{s:I, s:I, s:o}", "rows", (json_int_t)n, "background_rows", (json_int_t)b, "explanations", explanations);
    json_decref(explanations);
    return NULL;
}
