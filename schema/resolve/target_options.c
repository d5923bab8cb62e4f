/* target_options.c - what a job asks of its targets beside their task: "transform" and "clamp" of numbers, "positive_class" of two classes. Each is a
 * value for all targets that it suits, or values by column. */
#include "schema/resolve/resolution.h"

#include "schema/json/values.h"
#include "schema/text/number.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the options: what it is called, whether it suits a target, and how a value is taken. */
struct target_option {
    const char *name, *whom; /* "a target that is one number" */
    bool (*suits)(const struct resolving *r, const struct resolving_target *t);
    void (*take)(struct resolving *r, struct resolving_target *t, const json_t *value, const char *pointer);
};

static const char *column_of(const struct resolving *r, const struct resolving_target *t) {
    return r->dataset->columns[t->column].name;
}

static void take_by_column(struct resolving *r, const struct target_option *option, const json_t *map, const char *where) {
    char place[RESOLVING_POINTER_MAX];
    const char *column;
    json_t *value;
    json_object_foreach((json_t *)map, column, value) {
        struct resolving_target *found = NULL;
        schema_pointer(where, column, place, sizeof place);
        for (int32_t k = 0; k < r->targets_count; k++)
            if (strcmp(column_of(r, &r->targets[k]), column) == 0) found = &r->targets[k];
        if (!found) schema_problem_add(r->problems, place, "column \"%.60s\" is not a target of this job", column);
        else if (!option->suits(r, found))
            schema_problem_add(r->problems, place, "%s is for %s, which \"%.60s\" is not", option->name, option->whom, column);
        else option->take(r, found, value, place);
    }
}

static void take_option(struct resolving *r, const struct target_option *option, const json_t *value) {
    char where[RESOLVING_POINTER_MAX];
    bool any = false;
    if (!value || json_is_null(value)) return;
    resolving_place(r, option->name, where, sizeof where);
    if (json_is_object(value)) {
        take_by_column(r, option, value, where);
        return;
    }
    for (int32_t k = 0; k < r->targets_count; k++) {
        if (!option->suits(r, &r->targets[k])) continue;
        any = true;
        option->take(r, &r->targets[k], value, where);
    }
    if (!any) schema_problem_add(r->problems, where, "%s is for %s, and this job has none; leave it out", option->name, option->whom);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

static bool is_number(const struct resolving *r, const struct resolving_target *t) {
    return !t->classification && !resolving_tensor(r->dataset, t->column);
}

static void take_clamp(struct resolving *r, struct resolving_target *t, const json_t *value, const char *where) {
    char got[80];
    if (json_is_boolean(value)) t->clamp = json_is_true(value);
    else schema_problem_add(r->problems, where, "clamp is true or false, got %s", schema_json_text(value, got, sizeof got));
}

/* Every value of the column has a transformed one. rows are counted from 1. */
static void check_values(struct resolving *r, const struct schema_dataset *dataset, const char *name, enum schema_target_transform transform,
                         const char *where) {
    const int32_t column = schema_dataset_find(dataset, name);
    if (column < 0 || schema_type_of(dataset->columns[column].type)->storage != SCHEMA_HELD_AS_NUMBER) return; /* reported elsewhere */
    for (int64_t first = 0; first < dataset->rows; first += SCHEMA_ROWS_MAX) {
        double values[SCHEMA_ROWS_MAX];
        const int64_t some = dataset->rows - first < SCHEMA_ROWS_MAX ? dataset->rows - first : SCHEMA_ROWS_MAX;
        schema_dataset_numbers(dataset, column, first, some, values);
        for (int64_t i = 0; i < some; i++) {
            if (isnan(values[i]) || isfinite(schema_transform_apply(transform, 1, values[i]))) continue;
            schema_problem_add(
                r->problems, where,
                "the transform %s needs values %s, but \"%.60s\" holds %.9g in row %lld; use yeo-johnson, which takes every number, or "
                "correct the value",
                schema_transform_names[transform], schema_transform_domain(transform), name, values[i], (long long)(first + i + 1));
            return;
        }
    }
}

static void take_transform(struct resolving *r, struct resolving_target *t, const json_t *value, const char *where) {
    char got[80], list[120] = "";
    const char *name = json_string_value(value);
    int found = 0;
    while (found < SCHEMA_TRANSFORMS && !(name && strcmp(schema_transform_names[found], name) == 0)) found++;
    if (found == SCHEMA_TRANSFORMS) {
        for (int i = 0; i < SCHEMA_TRANSFORMS; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", schema_transform_names[i]);
        schema_problem_add(r->problems, where, "transform is one of %s, got %s", list, schema_json_text(value, got, sizeof got));
        return;
    }
    t->transform = (enum schema_target_transform)found;
    if (!found) return;
    check_values(r, r->dataset, column_of(r, t), t->transform, where);
    if (r->request->validation && r->problems->total == 0) check_values(r, r->request->validation, column_of(r, t), t->transform, where);
}

/* ---- classes ------------------------------------------------------------------------------------------------------------- */

static bool is_pair(const struct resolving *r, const struct resolving_target *t) {
    (void)r;
    return t->classification && !t->multilabel && t->labels_count == 2;
}

static const char *label_at(const void *target, int32_t i) {
    return ((const struct resolving_target *)target)->labels[i];
}

/* The class becomes the second, which is class 1. */
static void take_positive(struct resolving *r, struct resolving_target *t, const json_t *value, const char *where) {
    char text[80], hint[200];
    if (json_is_string(value)) snprintf(text, sizeof text, "%s", json_string_value(value));
    else if (json_is_number(value)) schema_number_text(json_number_value(value), text, sizeof text);
    else if (json_is_boolean(value)) snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
    else {
        schema_problem_add(r->problems, where, "positive_class is one of the two classes, like \"%.40s\", got %s", t->labels[1],
                           schema_json_text(value, text, sizeof text));
        return;
    }
    if (strcmp(t->labels[1], text) == 0) return;
    if (strcmp(t->labels[0], text) == 0) {
        char *label = t->labels[0];
        t->labels[0] = t->labels[1];
        t->labels[1] = label;
        return;
    }
    const char *nearest = schema_nearest(text, label_at, t, 2);
    schema_problem_add(r->problems, where, "\"%.60s\" has the classes \"%.40s\" and \"%.40s\", but not \"%.40s\"%s", column_of(r, t), t->labels[0],
                       t->labels[1], text, schema_did_you_mean(nearest, hint, sizeof hint));
}

/* ---- all ------------------------------------------------------------------------------------------------------------------- */

void resolving_target_options(struct resolving *r) {
    static const struct target_option clamp = {"clamp", "a target that is one number", is_number, take_clamp},
                                      transform = {"transform", "a target that is one number", is_number, take_transform},
                                      positive = {"positive_class", "a target of two classes", is_pair, take_positive};
    take_option(r, &transform, r->request->transform);
    take_option(r, &clamp, r->request->clamp);
    take_option(r, &positive, r->request->positive_class);
}

/* A deviation of what is transformed is not one of the target; shares and counts are learned as they are. */
void resolving_check_transforms(struct resolving *r) {
    const struct bp_network *net = r->training->network;
    char where[RESOLVING_POINTER_MAX];
    for (int32_t o = 0; o < r->outputs_count && o < net->outputs_count; o++) {
        const struct bp_loss_ops *loss = net->outputs[o].loss;
        const bool as_is = loss->range != BP_RANGE_ANY;
        struct bp_loss_detail detail = {.width = false};
        bool widths = false;
        float group[64] = {0};
        for (int32_t k = 0; loss->details && bp_loss_outputs_per_target(loss, net->outputs[o].values) <= 64 &&
                            loss->detail(net->outputs[o].values, group, k, &detail);
             k++)
            widths = widths || detail.width;
        for (int32_t k = r->outputs[o].first; k < r->outputs[o].first + r->outputs[o].count; k++) {
            const struct resolving_target *t = &r->targets[k];
            if (t->transform && (as_is || widths))
                schema_problem_add(
                    r->problems, resolving_place(r, "transform", where, sizeof where),
                    as_is ? "the loss %s learns \"%.60s\" as it is, so a transform does not go with it; leave transform or loss out"
                          : "the loss %s predicts a deviation, which a transformed \"%.60s\" does not have in its own unit; use the loss "
                            "quantile, or leave transform out",
                    loss->entry.name, column_of(r, t));
            if (t->clamp && as_is && r->training->preprocessing->targets[k].shares)
                schema_problem_add(r->problems, resolving_place(r, "clamp", where, sizeof where),
                                   "the loss %s learns \"%.60s\" as shares, which are from 0 to 1 by themselves; leave clamp out", loss->entry.name,
                                   column_of(r, t));
        }
    }
}
