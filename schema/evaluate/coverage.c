/* coverage.c - how many truths the sets and intervals of a calibration have, and how large they are; how good probabilities are. */
#include "schema/evaluate/part.h"

#include <math.h>
#include <stdlib.h>

enum { BINS = 15 };

struct counted {
    int64_t rows, covered, single, empty, unbounded;
    double size; /* of sets, or widths */
};

void schema_part_shares(const struct schema_part *part, int64_t i, float *p) {
    for (int32_t c = 0; c < part->classes; c++) p[c] = (float)schema_part_score(part, i, c);
}

static int count_sets(const struct schema_coverage_call *call, struct counted *out) {
    const struct schema_part *part = call->part;
    const size_t classes = (size_t)part->classes;
    float *p = malloc(classes * sizeof *p);
    int32_t *order = malloc(classes * sizeof *order);
    double *scores = malloc(classes * sizeof *scores);
    for (int64_t r = 0; p && order && scores && r < call->n; r++) {
        const int64_t i = call->rows ? call->rows[r] : r;
        const struct schema_set_call set = {call->how, call->quantiles, p, part->classes, call->parts->uniforms[i], order, scores};
        if (!part->counts[i]) continue;
        schema_part_shares(part, i, p);
        const int32_t count = schema_set_make(&set);
        out->rows++;
        out->size += count;
        out->single += count == 1;
        out->empty += count == 0;
        for (int32_t c = 0; c < count; c++) out->covered += order[c] == (int32_t)part->y[i];
    }
    const int failed = p && order && scores ? 0 : -1;
    free(p);
    free(order);
    free(scores);
    return failed;
}

static void count_intervals(const struct schema_coverage_call *call, struct counted *out) {
    const struct schema_part *part = call->part;
    const struct bp_output *output = &call->model->training->network->outputs[part->output];
    const struct schema_target *target = schema_part_target(call->model, part);
    for (int64_t r = 0; r < call->n; r++) {
        const int64_t i = call->rows ? call->rows[r] : r;
        struct schema_band band;
        double low, high;
        if (!part->counts[i] || !schema_band_of(call->how, output, part->groups + i * part->each, &band)) continue;
        out->rows++;
        out->covered += schema_number_score(&band, (double)part->y[i]) <= call->quantiles[0];
        schema_interval_make(target, &band, call->quantiles[0], &low, &high);
        if (isfinite(high - low)) out->size += high - low;
        else out->unbounded++;
    }
}

/* Wilson 1927: the shares that differ from covered / rows by at most z of their own standard errors. */
static void add_coverage(json_t *json, const struct counted *c) {
    static const double z = 1.959963984540054;
    const double n = (double)c->rows, share = (double)c->covered / n, z2 = z * z / n;
    const double middle = (share + z2 / 2) / (1 + z2), half = z / (1 + z2) * sqrt(share * (1 - share) / n + z2 / (4 * n));
    json_object_set_new(json, "rows", json_integer(c->rows));
    json_object_set_new(json, "coverage", c->rows ? json_real(share) : json_null());
    json_object_set_new(json, "coverage_low", c->rows ? json_real(fmax(0, middle - half)) : json_null());
    json_object_set_new(json, "coverage_high", c->rows ? json_real(fmin(1, middle + half)) : json_null());
}

json_t *schema_coverage_json(const struct schema_coverage_call *call) {
    struct counted c = {0};
    const bool sets = schema_conformal_is_set(call->how->method);
    if (!sets) count_intervals(call, &c);
    else if (count_sets(call, &c) != 0) return NULL;
    json_t *json = json_object();
    add_coverage(json, &c);
    const double n = sets ? (double)c.rows : (double)(c.rows - c.unbounded);
    json_object_set_new(json, sets ? "mean_size" : "mean_width", n > 0 ? json_real(c.size / n) : json_null());
    if (sets) json_object_set_new(json, "single", json_integer(c.single));
    if (sets) json_object_set_new(json, "empty", json_integer(c.empty));
    if (!sets && c.unbounded) json_object_set_new(json, "unbounded", json_integer(c.unbounded));
    return json;
}

/* ---- probabilities ------------------------------------------------------------------------------------------------------- */

json_t *schema_probability_scores(const float *p, const int32_t *truth, int64_t n, int32_t width) {
    double loss = 0, brier = 0, error = 0;
    double sums[BINS] = {0}, hits[BINS] = {0};
    for (int64_t i = 0; i < n; i++, p += width) {
        const double one = width == 1 ? (truth[i] ? (double)p[0] : 1 - (double)p[0]) : (double)p[truth[i]];
        double top = width == 1 ? fmax((double)p[0], 1 - (double)p[0]) : 0;
        int32_t best = width == 1 ? p[0] >= 0.5F : 0;
        loss -= log(fmax(one, 1.17549435e-38));
        if (width <= 2) brier += (1 - one) * (1 - one);
        for (int32_t c = 0; width > 1 && c < width; c++) {
            if (p[c] > p[best]) best = c;
            if (width > 2) brier += ((double)p[c] - (c == truth[i])) * ((double)p[c] - (c == truth[i]));
        }
        if (width > 1) top = (double)p[best];
        int32_t bin = (int32_t)ceil(top * BINS) - 1;
        bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
        sums[bin] += top;
        hits[bin] += best == truth[i];
    }
    for (int b = 0; b < BINS; b++) error += fabs(hits[b] - sums[b]);
    const double rows = (double)n;
    if (n == 0) return json_pack("{s:n, s:n, s:n}", "log_loss", "brier_score", "expected_calibration_error");
    return json_pack("{s:f, s:f, s:f}", "log_loss", loss / rows, "brier_score", brier / rows, "expected_calibration_error", error / rows);
}
