/* labels.c - outputs that learn several labels a row: columns of no and yes, a vector of 0 and 1, lists of labels. What decides that they
 * do, what their labels are called, and thresholds. Not here: how a row is read (target.c). */
#include "schema/resolve/resolution.h"

#include "schema/json/values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS_MAX = 10000 }; /* positions of a vector; a longer one is learned as numbers */

static bool is(const char *a, const char *b) {
    return a && strcmp(a, b) == 0;
}

bool resolving_multilabel(const struct resolving *r, int32_t o) {
    const struct resolving_target *t = resolving_first_target(r, o);
    return t->classification && (r->outputs[o].count > 1 || t->multilabel);
}

int32_t resolving_labels_count(const struct resolving *r, int32_t o) {
    const struct resolving_target *t = resolving_first_target(r, o);
    return t->multilabel ? t->labels_count : r->outputs[o].count;
}

/* Each number by itself is a probability: binary_cross_entropy. */
static bool learns_labels(const struct bp_loss_ops *loss) {
    return loss && loss->shares && loss->head && loss->head->probabilities == BP_PROBABILITIES_EACH;
}

bool resolving_labels_together(const struct resolving *r, int32_t first, int32_t count, const struct bp_loss_ops *loss) {
    for (int32_t k = first; k < first + count; k++) {
        const struct resolving_target *t = &r->targets[k];
        const bool no_yes = t->classification && t->labels_count == 2 &&
                            ((is(t->labels[0], "0") && is(t->labels[1], "1")) || (is(t->labels[0], "false") && is(t->labels[1], "true")));
        if (!no_yes || t->multilabel || resolving_tensor(r->dataset, t->column)) return false;
    }
    return count > 1 && learns_labels(loss);
}

/* ---- a vector ------------------------------------------------------------------------------------------------------------ */

/* Whether all numbers of the column that are there are 0 or 1. -1: no memory. */
static int all_zero_or_one(const struct schema_dataset *dataset, int32_t column) {
    const int64_t size = bp_shape_size(&dataset->columns[column].shape);
    float *cell = malloc((size_t)size * sizeof *cell);
    bool good = cell != NULL;
    for (int64_t row = 0; good && row < dataset->rows; row++) {
        schema_dataset_tensor(dataset, column, row, cell);
        for (int64_t i = 0; good && i < size; i++) good = cell[i] == 0 || cell[i] == 1 || isnan(cell[i]);
    }
    free(cell);
    return cell ? good : -1;
}

/* Of the dataset that validates too: what it has in a column of another kind is reported elsewhere. */
static int holds_labels(const struct resolving *r, int32_t column) {
    const struct schema_dataset *other = r->request->validation;
    const struct schema_column *c = &r->dataset->columns[column];
    const int32_t there = other ? schema_dataset_find(other, c->name) : -1;
    if (!(c->min >= 0 && c->max <= 1)) return 0;
    const int good = all_zero_or_one(r->dataset, column);
    return good > 0 && there >= 0 && resolving_tensor(other, there) ? all_zero_or_one(other, there) : good;
}

/* The names that the request gives to the labels of a column: NULL, there are none; and where. */
static const json_t *asked_names(const struct resolving *r, const char *column, char *where, size_t size) {
    char map[RESOLVING_POINTER_MAX];
    resolving_place(r, "labels", map, sizeof map);
    snprintf(where, size, "%s", map);
    if (!json_is_object(r->request->labels)) return r->request->labels;
    schema_pointer(map, column, where, size);
    return json_object_get(r->request->labels, column);
}

/* As many different texts as there are labels; *names is the caller's. False with a problem. */
static bool take_names(struct resolving *r, const json_t *list, const char *where, int64_t count, const char ***names) {
    char got[80];
    const int64_t before = r->problems->total;
    if (!json_is_array(list) || (int64_t)json_array_size(list) != count) {
        if (json_is_array(list)) snprintf(got, sizeof got, "%zu", json_array_size(list));
        else schema_json_text(list, got, sizeof got);
        schema_problem_add(r->problems, where, "labels name the %lld positions of the vector: expected a list of as many texts, got %s",
                           (long long)count, got);
        return false;
    }
    if (!(*names = calloc((size_t)count, sizeof **names))) return schema_problem_no_memory(r->problems), false;
    for (int64_t i = 0; i < count; i++) {
        char place[RESOLVING_POINTER_MAX];
        const char *name = (*names)[i] = json_string_value(json_array_get(list, (size_t)i));
        schema_pointer_index(where, (size_t)i, place, sizeof place);
        if (!name || !*name)
            schema_problem_add(r->problems, place, "a label is a text that is not empty, got %s",
                               schema_json_text(json_array_get(list, (size_t)i), got, sizeof got));
        for (int64_t k = 0; name && k < i; k++)
            if (is((*names)[k], name)) schema_problem_add(r->problems, place, "two labels are called \"%.60s\"; labels must differ", name);
    }
    return r->problems->total == before;
}

/* Both the target as it was fitted and as it is resolved. */
static bool make_labels(struct resolving *r, int32_t k, const char *const *names) {
    struct schema_target *fitted = &r->training->preprocessing->targets[k];
    struct resolving_target *t = &r->targets[k];
    if (schema_target_make_labels(fitted, names) != 0) return false;
    for (int32_t i = 0; t->labels && i < t->labels_count; i++) free(t->labels[i]);
    free(t->labels);
    t->labels_count = 0;
    if (!(t->labels = calloc((size_t)fitted->labels_count, sizeof *t->labels))) return false;
    for (; t->labels_count < fitted->labels_count; t->labels_count++)
        if (!(t->labels[t->labels_count] = strdup(fitted->labels[t->labels_count]))) return false;
    t->classification = true;
    t->multilabel = SCHEMA_LABEL_VECTOR;
    t->ragged = false;
    return true;
}

void resolving_vector_of_labels(struct resolving *r, int32_t o, const struct bp_loss_ops *loss) {
    const struct resolving_target *t = resolving_first_target(r, o);
    const struct schema_column *c = &r->dataset->columns[t->column];
    char where[RESOLVING_POINTER_MAX];
    if (!resolving_tensor(r->dataset, t->column) || c->shape.rank != 1 || r->outputs[o].count != 1 || t->regressed || t->ragged ||
        !learns_labels(loss) || c->shape.dims[0] > LABELS_MAX)
        return;
    const int good = holds_labels(r, t->column);
    if (good < 0) schema_problem_no_memory(r->problems);
    if (good <= 0) return;
    const json_t *asked = asked_names(r, c->name, where, sizeof where);
    const char **names = NULL;
    if ((!asked || take_names(r, asked, where, c->shape.dims[0], &names)) && !make_labels(r, r->outputs[o].first, names))
        schema_problem_no_memory(r->problems);
    free(names);
}

void resolving_check_label_names(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX], map[RESOLVING_POINTER_MAX];
    const char *what = "names for the positions of a target that is a vector of 0 and 1, with the loss binary_cross_entropy", *column;
    const json_t *labels = r->request->labels;
    json_t *list;
    bool any = false;
    if (!labels || r->problems->total) return;
    resolving_place(r, "labels", map, sizeof map);
    for (int32_t k = 0; k < r->targets_count; k++) any = any || r->targets[k].multilabel == SCHEMA_LABEL_VECTOR;
    if (!any) {
        schema_problem_add(r->problems, map, "labels are %s; this job has no such target, so leave labels out", what);
        return;
    }
    json_object_foreach((json_t *)labels, column, list) {
        bool known = false;
        for (int32_t k = 0; k < r->targets_count; k++)
            known = known || (r->targets[k].multilabel == SCHEMA_LABEL_VECTOR && is(r->dataset->columns[r->targets[k].column].name, column));
        if (!known)
            schema_problem_add(r->problems, schema_pointer(map, column, where, sizeof where), "labels are %s, which \"%.60s\" is not", what, column);
    }
}

/* ---- what is asked of labels --------------------------------------------------------------------------------------------- */

void resolving_refuse_class_weights(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX];
    schema_problem_add(
        r->problems, resolving_place(r, "class_weights", where, sizeof where),
        "class_weights are for one class a row, but here a row has several labels; use sample_weight, or give each label its own output");
}

void resolving_check_labels(struct resolving *r, int32_t o, const struct bp_loss_ops *loss, const char *where) {
    const struct resolving_target *t = resolving_first_target(r, o);
    const int32_t labels = resolving_labels_count(r, o);
    if (t->multilabel && !learns_labels(loss))
        schema_problem_add(
            r->problems, where,
            "the loss %s does not learn the labels of \"%.60s\", of which a row has several or none; use binary_cross_entropy, or leave "
            "loss out",
            loss->entry.name, r->dataset->columns[t->column].name);
    if (r->request->class_weights && !json_is_null(r->request->class_weights)) resolving_refuse_class_weights(r);
    if (labels > SCHEMA_NAMED_LABELS_MAX)
        resolving_warn(r, "\"%.60s\" has %d labels: metrics are reported as means over them, not for each (up to %d are)",
                       r->dataset->columns[t->column].name, labels, SCHEMA_NAMED_LABELS_MAX);
}

void resolving_thresholds(struct resolving *r) {
    struct schema_preprocessing *p = r->training->preprocessing;
    bool usable[BP_OUTPUTS_MAX];
    char where[RESOLVING_POINTER_MAX];
    if (!r->request->thresholds) return;
    double *thresholds = malloc((size_t)schema_thresholds_count(p) * sizeof *thresholds);
    if (thresholds) memcpy(thresholds, p->thresholds, (size_t)schema_thresholds_count(p) * sizeof *thresholds);
    for (int32_t o = 0; o < p->outputs_count; o++) usable[o] = !schema_training_scores(r->training, o);
    resolving_place(r, "thresholds", where, sizeof where);
    if (!thresholds) schema_problem_no_memory(r->problems);
    else if (schema_thresholds_decode(p, r->request->thresholds, where, usable, thresholds, r->problems) == 0 &&
             schema_thresholds_keep(p, thresholds) != 0)
        schema_problem_no_memory(r->problems);
    free(thresholds);
}
