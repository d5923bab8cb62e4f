/* classes.c - what is confused with what, curves, calibration and thresholds of a part with classes. All counts are sums of sample weights.
 * ROC and precision-recall curves as scikit-learn's roc_curve and precision_recall_curve, from the highest threshold down. */
#include "schema/evaluate/part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CURVES_MAX = 20, CONFUSED_MAX = 100, BINS = 10, STEPS = 19 };

/* ---- the samples by score ----------------------------------------------------------------------------------------------------------------- */

struct scored {
    double score, weight;
    bool positive;
};

static int descending(const void *a, const void *b) {
    const double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x < y) - (x > y);
}

/* Those with a target, by descending score of class c, and what each class weighs. The caller's. */
static struct scored *by_score(const struct schema_parts *parts, const struct schema_part *part, int32_t c, int64_t *n, double all[2]) {
    const int64_t samples = parts->n * part->per;
    struct scored *scored = malloc(((size_t)samples + 1) * sizeof *scored);
    *n = 0;
    all[0] = all[1] = 0;
    for (int64_t i = 0; scored && i < samples; i++) {
        const double weight = schema_part_weight(parts, part, i);
        const bool positive = (int32_t)part->y[i] == c;
        if (weight == 0) continue;
        all[positive] += weight;
        scored[(*n)++] = (struct scored){schema_part_score(part, i, c), weight, positive};
    }
    if (scored) qsort(scored, (size_t)*n, sizeof *scored, descending);
    return scored;
}

/* A curve: what weighs at or above each distinct score. */
struct curve {
    int64_t count;
    double all[2];
    double *thresholds, *above[2]; /* (count); above[1]: of the class */
};

static void curve_free(struct curve *curve) {
    free(curve->thresholds);
}

static int curve_make(const struct schema_parts *parts, const struct schema_part *part, int32_t c, struct curve *curve) {
    int64_t n;
    *curve = (struct curve){0};
    struct scored *scored = by_score(parts, part, c, &n, curve->all);
    curve->thresholds = malloc((3 * (size_t)n + 1) * sizeof *curve->thresholds);
    if (!scored || !curve->thresholds) {
        free(scored);
        curve_free(curve);
        return -1;
    }
    curve->above[0] = curve->thresholds + n;
    curve->above[1] = curve->above[0] + n;
    double above[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        above[scored[i].positive] += scored[i].weight;
        if (i + 1 < n && scored[i + 1].score == scored[i].score) continue;
        curve->thresholds[curve->count] = scored[i].score;
        curve->above[0][curve->count] = above[0];
        curve->above[1][curve->count++] = above[1];
    }
    free(scored);
    return 0;
}

static double roc_auc(const struct curve *curve) {
    double sum = 0, before[2] = {0, 0};
    for (int64_t i = 0; i < curve->count; i++) {
        sum += (curve->above[0][i] - before[0]) * (curve->above[1][i] + before[1]) / 2;
        before[0] = curve->above[0][i];
        before[1] = curve->above[1][i];
    }
    return sum / (curve->all[0] * curve->all[1]);
}

static double average_precision(const struct curve *curve) {
    double sum = 0, before = 0;
    for (int64_t i = 0; i < curve->count; i++) {
        sum += (curve->above[1][i] - before) * curve->above[1][i] / (curve->above[0][i] + curve->above[1][i]);
        before = curve->above[1][i];
    }
    return sum / curve->all[1];
}

/* ---- the confusion matrix and each class -------------------------------------------------------------------------------------------------- */

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : (double)NAN;
}

/* matrix: (classes, classes) true, predicted. */
static void confuse(const struct schema_parts *parts, const struct schema_part *part, double *matrix) {
    for (int64_t i = 0; i < parts->n * part->per; i++) {
        const double weight = schema_part_weight(parts, part, i);
        if (weight > 0) matrix[(int32_t)part->y[i] * part->classes + schema_part_predicted(part, i)] += weight;
    }
}

static json_t *class_json(const struct schema_evaluation *e, const struct schema_part *part, const double *matrix, int32_t c) {
    double support = 0, predicted = 0;
    const double right = matrix[c * part->classes + c];
    for (int32_t k = 0; k < part->classes; k++) {
        support += matrix[c * part->classes + k];
        predicted += matrix[k * part->classes + c];
    }
    /* as scikit-learn's classification_report with zero_division=0 */
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "label", schema_part_class(e->model, part, c), "precision",
                     predicted > 0 ? right / predicted : 0, "recall", support > 0 ? right / support : 0, "f1",
                     support + predicted > 0 ? 2 * right / (support + predicted) : 0, "support", support, "predicted", predicted);
}

static double brier(const struct schema_parts *parts, const struct schema_part *part, int32_t c) {
    double sum = 0, all = 0;
    for (int64_t i = 0; i < parts->n * part->per; i++) {
        const double weight = schema_part_weight(parts, part, i), off = schema_part_score(part, i, c) - ((int32_t)part->y[i] == c);
        sum += weight * off * off;
        all += weight;
    }
    return sum / all;
}

static int add_classes(const struct schema_evaluation *e, const struct schema_parts *parts, const struct schema_part *part, json_t *json) {
    const int32_t n = part->classes;
    double *matrix = calloc((size_t)n * (size_t)n, sizeof *matrix);
    json_t *classes = json_array(), *rows = json_array(), *labels = json_array();
    if (!matrix) return -1;
    confuse(parts, part, matrix);
    for (int32_t c = 0; c < n; c++) {
        json_t *row = json_array();
        for (int32_t k = 0; k < n; k++) json_array_append_new(row, json_real(matrix[c * n + k]));
        json_array_append_new(rows, row);
        json_array_append_new(labels, json_string(schema_part_class(e->model, part, c)));
        json_array_append_new(classes, class_json(e, part, matrix, c));
    }
    free(matrix);
    json_object_set_new(json, "confusion_matrix", json_pack("{s:o, s:o}", "labels", labels, "rows", rows));
    json_object_set_new(json, "classes", classes);
    return 0;
}

/* ---- curves --------------------------------------------------------------------------------------------------------------------------------- */

static json_t *roc_point(const struct curve *c, int64_t i) {
    if (i < 0) return json_pack("{s:n, s:f, s:f}", "threshold", "false_positive_rate", 0.0, "true_positive_rate", 0.0);
    return json_pack("{s:f, s:o, s:o}", "threshold", c->thresholds[i], "false_positive_rate", schema_number_json(ratio(c->above[0][i], c->all[0])),
                     "true_positive_rate", schema_number_json(ratio(c->above[1][i], c->all[1])));
}

/* A point between two others on one line says nothing (drop_intermediate of scikit-learn). */
static bool is_corner(const struct curve *c, int64_t i) {
    if (i <= 0 || i + 1 >= c->count) return true;
    for (int k = 0; k < 2; k++)
        if (c->above[k][i + 1] - c->above[k][i] != c->above[k][i] - c->above[k][i - 1]) return true;
    return false;
}

/* Calls point for at most `most` of the curve's points, the first and the last among them. */
static json_t *thinned(const struct curve *c, bool corners, int64_t most, json_t *(*point)(const struct curve *c, int64_t i)) {
    json_t *json = json_array();
    int64_t count = 0, seen = 0, next = 0, given = 0;
    for (int64_t i = 0; i < c->count; i++) count += !corners || is_corner(c, i);
    const int64_t kept = count < most ? count : most;
    for (int64_t i = 0; i < c->count; i++) {
        if (corners && !is_corner(c, i)) continue;
        if (seen++ != next) continue;
        json_array_append_new(json, point(c, i));
        given++;
        next = kept > 1 ? given * (count - 1) / (kept - 1) : count;
    }
    return json;
}

static json_t *pr_point(const struct curve *c, int64_t i) {
    return json_pack("{s:f, s:f, s:o}", "threshold", c->thresholds[i], "precision", c->above[1][i] / (c->above[0][i] + c->above[1][i]), "recall",
                     schema_number_json(ratio(c->above[1][i], c->all[1])));
}

/* Ten bins of equal width, as scikit-learn's calibration_curve. *error: the expected calibration error (Naeini 2015). */
static json_t *calibration_bins(const struct schema_parts *parts, const struct schema_part *part, int32_t c, double *error) {
    double rows[BINS] = {0}, said[BINS] = {0}, seen[BINS] = {0}, all = 0;
    json_t *bins = json_array();
    for (int64_t i = 0; i < parts->n * part->per; i++) {
        const double weight = schema_part_weight(parts, part, i), p = schema_part_score(part, i, c);
        int bin = 0;
        while (bin < BINS - 1 && p > 0.1 * (bin + 1)) bin++;
        rows[bin] += weight;
        said[bin] += weight * p;
        seen[bin] += (int32_t)part->y[i] == c ? weight : 0;
        all += weight;
    }
    *error = 0;
    for (int bin = 0; bin < BINS; bin++) {
        if (rows[bin] == 0) continue;
        *error += fabs(said[bin] - seen[bin]) / all;
        json_array_append_new(bins, json_pack("{s:f, s:f, s:f, s:f, s:f}", "low", bin / 10.0, "high", (bin + 1) / 10.0, "rows", rows[bin],
                                              "predicted", said[bin] / rows[bin], "observed", seen[bin] / rows[bin]));
    }
    return bins;
}

static int add_curves(const struct schema_evaluation *e, const struct schema_parts *parts, const struct schema_part *part, json_t *json) {
    json_t *curves = json_array();
    json_object_set_new(json, "curves", curves);
    for (int32_t c = part->classes == 2; c < part->classes && part->classes <= CURVES_MAX; c++) {
        struct curve curve;
        double off = 0;
        if (curve_make(parts, part, c, &curve) != 0) return -1;
        json_t *roc = thinned(&curve, true, e->points - 1, roc_point), *one = json_object();
        json_array_insert_new(roc, 0, roc_point(&curve, -1));
        json_object_set_new(one, "label", json_string(schema_part_class(e->model, part, c)));
        json_object_set_new(one, "roc_auc", schema_number_json(roc_auc(&curve)));
        json_object_set_new(one, "average_precision", schema_number_json(average_precision(&curve)));
        json_object_set_new(one, "roc", roc);
        json_object_set_new(one, "precision_recall", thinned(&curve, false, e->points, pr_point));
        if (!part->task.scores) {
            json_object_set_new(one, "calibration", calibration_bins(parts, part, c, &off));
            json_object_set_new(one, "expected_calibration_error", schema_number_json(off));
            json_object_set_new(one, "brier_score", schema_number_json(brier(parts, part, c)));
        }
        json_array_append_new(curves, one);
        curve_free(&curve);
    }
    return 0;
}

/* ---- thresholds ----------------------------------------------------------------------------------------------------------------------------- */

/* What a threshold does: the class is predicted from that score on. */
static json_t *threshold_json(const struct curve *c, double threshold) {
    double above[2] = {0, 0};
    for (int64_t i = 0; i < c->count && c->thresholds[i] >= threshold; i++) above[0] = c->above[0][i], above[1] = c->above[1][i];
    const double tp = above[1], fp = above[0], fn = c->all[1] - tp, tn = c->all[0] - fp;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:f, s:o, s:o}", "threshold", threshold, "true_positives", tp, "false_positives", fp,
                     "false_negatives", fn, "true_negatives", tn, "accuracy", (tp + tn) / (c->all[0] + c->all[1]), "recall",
                     schema_number_json(ratio(tp, c->all[1])), "precision", tp + fp > 0 ? tp / (tp + fp) : 0, "specificity",
                     schema_number_json(ratio(tn, c->all[0])), "f1", schema_number_json(ratio(2 * tp, 2 * tp + fp + fn)));
}

/* The scores at which F1 and recall + specificity (Youden 1950) are largest. */
static void best_thresholds(const struct curve *c, json_t *json) {
    double f1 = -1, youden = -2, f1_at = 0, youden_at = 0;
    for (int64_t i = 0; i < c->count; i++) {
        const double tp = c->above[1][i], fp = c->above[0][i], f = 2 * tp / (tp + fp + c->all[1]), j = tp / c->all[1] - fp / c->all[0];
        if (f > f1) f1 = f, f1_at = c->thresholds[i];
        if (j > youden) youden = j, youden_at = c->thresholds[i];
    }
    json_object_set_new(json, "best_f1", threshold_json(c, f1_at));
    json_object_set_new(json, "best_youden", threshold_json(c, youden_at));
}

static int add_thresholds(const struct schema_evaluation *e, const struct schema_parts *parts, const struct schema_part *part, int32_t positive,
                          json_t *json) {
    struct curve curve;
    json_t *table = json_array(), *thresholds = json_object();
    if (part->task.scores || positive < 0) {
        json_decref(table);
        json_decref(thresholds);
        return 0;
    }
    if (curve_make(parts, part, positive, &curve) != 0) return -1;
    json_object_set_new(thresholds, "positive_class", json_string(schema_part_class(e->model, part, positive)));
    if (part->classes == 2) json_object_set_new(thresholds, "in_force", json_real(part->threshold > 0 && positive == 1 ? part->threshold : 0.5));
    for (int i = 1; i <= STEPS; i++) json_array_append_new(table, threshold_json(&curve, i / (STEPS + 1.0)));
    json_object_set_new(thresholds, "table", table);
    if (curve.count > 0) best_thresholds(&curve, thresholds);
    json_object_set_new(json, "thresholds", thresholds);
    curve_free(&curve);
    return 0;
}

static int32_t positive_of(const struct schema_evaluation *e, const struct schema_part *part) {
    if (part->kind == SCHEMA_PART_LABEL || !e->positive_class) return part->classes == 2 ? 1 : -1;
    for (int32_t c = 0; c < part->classes; c++)
        if (strcmp(schema_part_class(e->model, part, c), e->positive_class) == 0) return c;
    return -1;
}

int schema_classes_json(const struct schema_evaluation *e, const struct schema_parts *parts, const struct schema_part *part, json_t *json) {
    if (part->classes <= CONFUSED_MAX && add_classes(e, parts, part, json) != 0) return -1;
    if (add_curves(e, parts, part, json) != 0) return -1;
    return add_thresholds(e, parts, part, positive_of(e, part), json);
}
