/* conformal.c - scores, quantiles, sets and intervals: the formulas of calibration.h. */
#include "schema/predict/calibration.h"

#include "schema/quantile.h"

#include "engine/network/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- quantiles ----------------------------------------------------------------------------------------------------------- */

/* ceil((n + 1) coverage), where a product such as 20 x 0.95 may be a last bit off. */
static double rank_of(int64_t n, double coverage) {
    return ceil((double)(n + 1) * coverage - 1e-9);
}

int64_t schema_coverage_rows(double coverage) {
    int64_t n = (int64_t)floor(1 / (1 - coverage)) - 2;
    if (n < 1) n = 1;
    while (rank_of(n, coverage) > (double)n) n++;
    return n;
}

double schema_scores_quantile(const struct schema_scores *s, double coverage) {
    const double rank = rank_of(s->n, coverage);
    if (rank > (double)s->n) return (double)INFINITY;
    if (s->kept_count == s->n) return s->kept[rank < 1 ? 0 : (int64_t)rank - 1];
    int32_t i = (int32_t)floor((rank - 1) * s->kept_count / (double)s->n);
    if (i > 0) i--;
    while (i + 1 < s->kept_count && ceil((i + 1.0) * (double)s->n / s->kept_count) < rank) i++;
    return s->kept[i];
}

int schema_scores_keep(struct schema_scores *kept, double *scores, int64_t n) {
    const int64_t count = n < SCHEMA_SCORES_MAX ? n : SCHEMA_SCORES_MAX;
    *kept = (struct schema_scores){.n = n, .kept_count = (int32_t)count, .kept = malloc((size_t)(count + 1) * sizeof *kept->kept)};
    if (!kept->kept) return -1;
    qsort(scores, (size_t)n, sizeof *scores, schema_compare_numbers);
    for (int64_t i = 0; i < count; i++) kept->kept[i] = scores[((i + 1) * n + count - 1) / count - 1];
    return 0;
}

/* ---- probabilities ------------------------------------------------------------------------------------------------------- */

/* The logarithm of a probability in float32. One that has become 0 is taken as the least that a normal float32 holds. */
static double log_of(double p, double least) {
    return log(p > least ? p : least);
}

void schema_temperature_apply(double temperature, float *p, int32_t width) {
    static const double least = 1.17549435e-38, half_ulp = 2.9802322387695312e-08; /* FLT_MIN, 2^-25 */
    if (temperature == 1) return;
    if (width == 1) {
        const double z = log_of((double)p[0], least) - log_of(1 - (double)p[0], half_ulp);
        p[0] = (float)(1 / (1 + exp(-z / temperature)));
        return;
    }
    double most = 0, sum = 0;
    for (int32_t c = 0; c < width; c++) most = fmax(most, (double)p[c]);
    const double top = log_of(most, least);
    for (int32_t c = 0; c < width; c++) sum += exp((log_of((double)p[c], least) - top) / temperature);
    for (int32_t c = 0; c < width; c++) p[c] = (float)(exp((log_of((double)p[c], least) - top) / temperature) / sum);
}

void schema_calibration_apply(const struct schema_calibration *calibration, const struct schema_training *training,
                              const struct bp_workspace *workspace, int32_t n) {
    for (int32_t k = 0; k < calibration->targets_count; k++) {
        const double temperature = calibration->targets[k].temperature;
        if (temperature == 1) continue;
        const int32_t o = schema_target_output(training->preprocessing, k), width = (int32_t)bp_shape_size(&training->network->outputs[o].shape);
        float *p = (float *)(uintptr_t)bp_workspace_output(workspace, o); /* (n, width), of this pass alone */
        for (int32_t i = 0; i < n; i++) schema_temperature_apply(temperature, p + (int64_t)i * width, width);
    }
}

/* ---- sets ---------------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x) { /* the finalizer of SplitMix64 (Steele, Lea, Flood 2014) */
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

double schema_row_uniform(const struct schema_training *training, struct bp_workspace *workspace, int32_t row) {
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15);
    for (int32_t k = 0; k < training->preprocessing->inputs_count; k++) {
        const int64_t size = bp_shape_size(&training->preprocessing->inputs[k].shape);
        const float *x = bp_workspace_input(workspace, k) + row * size;
        for (int64_t j = 0; j < size; j++) {
            uint32_t bits;
            const float v = x[j] == 0 ? 0 : x[j]; /* one zero */
            memcpy(&bits, &v, sizeof bits);
            hash = mix(hash + UINT64_C(0x9e3779b97f4a7c15) + bits);
        }
    }
    return (double)(hash >> 11) / 9007199254740992.0;
}

void schema_classes_order(const float *p, int32_t classes, int32_t *order) {
    for (int32_t c = 0; c < classes; c++) order[c] = c;
    for (int32_t gap = classes / 2; gap > 0; gap /= 2) /* Shell's sort; the index breaks ties */
        for (int32_t i = gap; i < classes; i++) {
            const int32_t c = order[i];
            int32_t at = i;
            for (; at >= gap && (p[order[at - gap]] < p[c] || (!(p[order[at - gap]] > p[c]) && order[at - gap] > c)); at -= gap)
                order[at] = order[at - gap];
            order[at] = c;
        }
}

void schema_class_scores(const struct schema_target_calibration *how, const float *p, int32_t classes, double u, const int32_t *order,
                         double *scores) {
    double before = 0;
    for (int32_t i = 0; i < classes; i++) {
        const double one = (double)p[order[i]];
        scores[i] = how->method == SCHEMA_CONFORMAL_LAC ? 1 - one : before + (how->randomized ? u * one : one);
        before += one;
    }
}

int32_t schema_set_make(const struct schema_set_call *call) {
    int32_t count = 0;
    schema_classes_order(call->p, call->classes, call->order);
    schema_class_scores(call->how, call->p, call->classes, call->u, call->order, call->scores);
    const int32_t first = call->order[0];
    for (int32_t i = 0; i < call->classes; i++) {
        const int32_t c = call->order[i];
        if (call->scores[i] <= call->quantiles[call->how->groups_count > 1 ? c : 0]) call->order[count++] = c;
    }
    if (count == 0 && !call->how->allow_empty) call->order[count++] = first;
    return count;
}

/* ---- intervals ----------------------------------------------------------------------------------------------------------- */

bool schema_band_of(const struct schema_target_calibration *how, const struct bp_output *output, const float *y, struct schema_band *band) {
    const struct bp_loss_ops *loss = output->loss;
    struct bp_loss_detail detail;
    double first = 0, last = 0;
    int32_t values = 0;
    const double f = (double)y[bp_loss_point(loss, output->values)];
    *band = (struct schema_band){f, f, 1};
    if (how->method == SCHEMA_CONFORMAL_ABSOLUTE) return true;
    bool width = false;
    for (int32_t k = 0; loss->details && loss->detail(output->values, y, k, &detail); k++) {
        if (detail.width) band->unit = detail.value, width = true;
        if (values++ == 0) first = detail.value;
        last = detail.value;
    }
    if (how->method == SCHEMA_CONFORMAL_CQR) {
        *band = (struct schema_band){first, last, 1};
        return !width && values > 1;
    }
    if (!width) band->unit = fabs(last - first);
    if (!(band->unit > 1e-6)) band->unit = 1e-6; /* quantiles that cross, or a deviation of nothing */
    return width || values > 1;
}

double schema_number_score(const struct schema_band *band, double y) {
    return fmax(band->low - y, y - band->high) / band->unit;
}

/* Without the clamp of predictions: an end may be beyond the training rows. */
static double unscaled(const struct schema_target *t, double y) {
    const double g = y * schema_target_unit(t, 0) + schema_target_origin(t, 0);
    return t->transform ? schema_transform_invert(t->transform, t->lambda, g) : g;
}

void schema_interval_make(const struct schema_target *t, const struct schema_band *band, double quantile, double *low, double *high) {
    double a = band->low - quantile * band->unit, b = band->high + quantile * band->unit;
    if (a > b) a = b = (a + b) / 2; /* quantiles that cross, or scores below 0: a point */
    *low = unscaled(t, a);
    *high = unscaled(t, b);
    if (!isfinite(*low)) *low = (double)-INFINITY;
    if (!isfinite(*high)) *high = (double)INFINITY;
}
