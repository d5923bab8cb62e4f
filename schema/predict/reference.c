/* reference.c - a reference in memory, its bins, and the population stability index. How it is made is in reference_build.c. */
#include "schema/predict/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- bins ---------------------------------------------------------------------------------------------------------------- */

int32_t schema_bins_number(const struct schema_bins *b, double v) {
    int32_t bin = 0;
    if (isnan(v)) return b->missing < 0 ? -1 : b->at + b->missing;
    while (bin < b->edges_count && v >= b->edges[bin]) bin++;
    return b->at + bin;
}

int32_t schema_bins_category(const struct schema_bins *b, int32_t category, bool missing) {
    if (missing) return b->at + b->missing;
    return b->at + (category < 0 ? b->other : b->category_bin[category]);
}

/* ---- the index ----------------------------------------------------------------------------------------------------------- */

double schema_stability_index(const double *reference, const double *live, int32_t bins, double *chance) {
    double n = 0, m = 0, index = 0;
    for (int32_t k = 0; k < bins; k++) n += reference[k], m += live[k];
    for (int32_t k = 0; k < bins; k++) {
        const double e = (reference[k] + 0.5) / (n + 0.5 * bins), a = (live[k] + 0.5) / (m + 0.5 * bins);
        index += (a - e) * log(a / e);
    }
    *chance = n > 0 && m > 0 ? (bins - 1) * (1 / n + 1 / m) : (double)INFINITY;
    return index;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------- */

static bool take(const json_t *number, double *counts, int32_t *n) {
    if (!json_is_integer(number) || json_integer_value(number) < 0 || *n == SCHEMA_BINS_MAX) return false;
    counts[(*n)++] = (double)json_integer_value(number);
    return true;
}

int32_t schema_reference_counts(const json_t *item, double counts[static SCHEMA_BINS_MAX]) {
    const json_t *list = json_object_get(item, "counts"), *other = json_object_get(item, "other"), *missing = json_object_get(item, "missing");
    int32_t n = 0;
    if (!json_is_array(list)) return -1;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!take(json_array_get(list, i), counts, &n)) return -1;
    if (other && !take(other, counts, &n)) return -1;
    return missing && !take(missing, counts, &n) ? -1 : n;
}

static int decode_edges(const json_t *edges, struct schema_bins *b) {
    const size_t n = json_array_size(edges);
    if (!json_is_array(edges) || n >= SCHEMA_BINS_MAX || !(b->edges = malloc((n + 1) * sizeof *b->edges))) return -1;
    for (size_t i = 0; i < n; i++) {
        b->edges[i] = json_number_value(json_array_get(edges, i));
        if (!json_is_number(json_array_get(edges, i)) || (i && !(b->edges[i] > b->edges[i - 1]))) return -1;
    }
    b->edges_count = (int32_t)n;
    return 0;
}

static int decode_categories(const json_t *names, const struct schema_feature *f, struct schema_bins *b) {
    if (!json_is_array(names) || b->other < 0 || !(b->category_bin = malloc(((size_t)f->categories_count + 1) * sizeof *b->category_bin))) return -1;
    for (int32_t c = 0; c < f->categories_count; c++) b->category_bin[c] = b->other;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *name = json_array_get(names, i);
        const int32_t c = json_is_string(name) ? schema_feature_category(f, json_string_value(name), json_string_length(name)) : -1;
        if (c < 0) return -1;
        b->category_bin[c] = (int32_t)i;
    }
    return 0;
}

/* The bins of an item; *next: where its counts begin. */
static int decode_bins(const json_t *item, struct schema_bins *b, int32_t *next) {
    double counts[SCHEMA_BINS_MAX];
    const int32_t listed = (int32_t)json_array_size(json_object_get(item, "counts"));
    b->count = schema_reference_counts(item, counts);
    if (b->count < 1) return -1;
    b->at = *next;
    b->other = json_object_get(item, "other") ? listed : -1;
    b->missing = json_object_get(item, "missing") ? b->count - 1 : -1;
    *next += b->count;
    return 0;
}

static int decode_feature(const json_t *item, const struct schema_preprocessing *p, struct schema_reference *r) {
    const char *name = json_string_value(json_object_get(item, "name"));
    int32_t i = 0;
    while (name && i < p->features_count && strcmp(p->features[i].name, name) != 0) i++;
    if (!name || i == p->features_count || r->features[i].count || decode_bins(item, &r->features[i], &r->bins) != 0) return -1;
    struct schema_bins *b = &r->features[i];
    r->none_missing[i] = json_integer_value(json_object_get(item, "missing")) == 0;
    if (b->missing < 0) return -1;
    const enum schema_value_kind value = schema_type_of(p->features[i].type)->value;
    if (value == SCHEMA_VALUE_CATEGORY) return decode_categories(json_object_get(item, "categories"), &p->features[i], b);
    if (value != SCHEMA_VALUE_NUMBER || decode_edges(json_object_get(item, "edges"), b) != 0) return -1;
    return b->edges_count + 2 == b->count ? 0 : -1;
}

static int decode_output(const json_t *item, const struct schema_preprocessing *p, struct schema_reference *r) {
    const char *name = json_string_value(json_object_get(item, "name"));
    int32_t k = 0;
    while (name && k < p->targets_count && strcmp(p->targets[k].name, name) != 0) k++;
    if (!name || k == p->targets_count || r->outputs[k].count || decode_bins(item, &r->outputs[k], &r->bins) != 0) return -1;
    const json_t *labels = json_object_get(item, "labels");
    bool same = json_array_size(labels) == (size_t)p->targets[k].labels_count;
    for (int32_t c = 0; same && c < p->targets[k].labels_count; c++) {
        const char *label = json_string_value(json_array_get(labels, (size_t)c));
        same = label && strcmp(label, p->targets[k].labels[c]) == 0;
    }
    if (p->targets[k].classification) return same && r->outputs[k].count == p->targets[k].labels_count ? 0 : -1;
    if (decode_edges(json_object_get(item, "edges"), &r->outputs[k]) != 0) return -1;
    return r->outputs[k].edges_count + 1 == r->outputs[k].count ? 0 : -1;
}

struct schema_reference *schema_reference_decode(const json_t *json, const struct schema_training *training) {
    const struct schema_preprocessing *p = training->preprocessing;
    const json_t *features = json_object_get(json, "features"), *outputs = json_object_get(json, "outputs");
    const json_t *rows = json_object_get(json, "rows");
    const bool whole =
        json_is_object(json) && json_is_integer(rows) && json_integer_value(rows) > 0 && json_is_array(features) && json_is_array(outputs);
    struct schema_reference *r = whole ? calloc(1, sizeof *r) : NULL;
    if (!r) return NULL;
    r->features_count = p->features_count;
    r->outputs_count = p->targets_count;
    r->features = calloc((size_t)p->features_count + 1, sizeof *r->features);
    r->outputs = calloc((size_t)p->targets_count + 1, sizeof *r->outputs);
    r->none_missing = calloc((size_t)p->features_count + 1, sizeof *r->none_missing);
    bool good = r->features && r->outputs && r->none_missing && json_array_size(features) <= SCHEMA_REFERENCE_FEATURES;
    for (size_t i = 0; good && i < json_array_size(features); i++) good = decode_feature(json_array_get(features, i), p, r) == 0;
    for (size_t i = 0; good && i < json_array_size(outputs); i++) good = decode_output(json_array_get(outputs, i), p, r) == 0;
    if (good) return r;
    schema_reference_free(r);
    return NULL;
}

void schema_reference_free(struct schema_reference *r) {
    if (!r) return;
    for (int32_t i = 0; r->features && i < r->features_count; i++) free(r->features[i].edges), free(r->features[i].category_bin);
    for (int32_t k = 0; r->outputs && k < r->outputs_count; k++) free(r->outputs[k].edges);
    free(r->features);
    free(r->outputs);
    free(r->none_missing);
    free(r);
}
