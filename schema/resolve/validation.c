/* validation.c - the validation dataset of a job: checks that the fitted preprocessing applies to it. */
#include "schema/resolve/resolution.h"

#include "schema/text/number.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void problem(struct resolving *r, const char *format, ...) {
    char where[RESOLVING_POINTER_MAX], text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    schema_problem_add(r->problems, resolving_validation_place(r, "dataset", where, sizeof where), "%s: %s", r->training->options.validation_dataset,
                       text);
}

/* The column of that name with the type and shape that training has; NULL with a problem. */
static const struct schema_column *column_of(struct resolving *r, const char *name, const char *use, enum schema_type type,
                                             const struct bp_shape *shape) {
    const struct schema_dataset *d = r->request->validation;
    const int32_t i = schema_dataset_find(d, name);
    char got[64], want[64];
    if (i < 0) return problem(r, "it has no column \"%.60s\", which is %s", name, use), NULL;
    const struct schema_column *c = &d->columns[i];
    if (!schema_column_serves(c, d->rows, type))
        return problem(r, "its column \"%.60s\" is %s, but in training it is %s", name, schema_type_name(c->type), schema_type_name(type)), NULL;
    if (c->type == type && c->shape.rank > 0 && !bp_shape_equal(&c->shape, shape))
        return problem(r, "its column \"%.60s\" has the shape %s, but in training it has %s", name, bp_shape_text(&c->shape, got, sizeof got),
                       bp_shape_text(shape, want, sizeof want)),
               NULL;
    return c;
}

static void check_feature(struct resolving *r, const struct schema_feature *f) {
    const struct schema_column *c = column_of(r, f->name, "a feature", f->type, &f->shape);
    if (!c) return;
    if (f->options.missing == SCHEMA_MISSING_ERROR && c->missing > 0)
        problem(r, "its column \"%.60s\" has %lld missing cells, which the job refuses", f->name, (long long)c->missing);
    for (int32_t i = 0; f->options.unseen == SCHEMA_UNSEEN_ERROR && i < c->categories_count; i++) {
        const char *value = c->categories[i].value;
        if (c->categories[i].count == 0 || schema_feature_category(f, value, strlen(value)) >= 0) continue;
        problem(r, "its column \"%.60s\" holds \"%.60s\", which no training row has, and the job refuses unknown categories", f->name, value);
        return;
    }
}

static enum schema_type type_of(const struct resolving *r, int32_t column) {
    return r->request->validation->columns[column].type;
}

/* Classes may be written by another type: labels are compared as texts. */
static void check_target(struct resolving *r, const struct schema_target *t) {
    const int32_t i = schema_dataset_find(r->request->validation, t->name);
    if (t->multilabel == SCHEMA_LABEL_LISTS) column_of(r, t->name, "a target", SCHEMA_LABELS, NULL);
    else if (!t->classification || t->shape.rank > 0)
        column_of(r, t->name, "a target", t->shape.rank > 0 ? SCHEMA_TENSOR : SCHEMA_NUMERIC, &t->shape);
    else if (i < 0) problem(r, "it has no column \"%.60s\", which is a target", t->name);
    else if (schema_type_of(type_of(r, i))->target != SCHEMA_TARGET_NUMBER && schema_type_of(type_of(r, i))->target != SCHEMA_TARGET_CLASS)
        problem(r, "its column \"%.60s\" is %s, but it holds classes in training", t->name, schema_type_name(type_of(r, i)));
}

/* The first label in a list of labels that training never sees, -1: none. */
static int32_t unknown_label(const struct schema_view *view, int32_t k, int64_t row) {
    struct schema_label_walk walk;
    if (!schema_dataset_labels(view->dataset, view->targets[k], row, &walk)) return -1;
    for (int32_t code; (code = schema_label_next(&walk)) >= 0;)
        if (view->classes[k][code] < 0) return code;
    return -1;
}

/* Rows that have a label in one of the targets, but one that no training row has; the first such label. */
static int64_t count_unknown(const struct schema_view *view, char *label, size_t size, const char **column) {
    const struct schema_dataset *d = view->dataset;
    int64_t unknown = 0;
    for (int64_t row = 0; row < d->rows; row++) {
        bool known = true;
        for (int32_t k = 0; known && k < view->preprocessing->targets_count; k++) {
            const int32_t c = view->targets[k];
            const bool lists = view->preprocessing->targets[k].multilabel == SCHEMA_LABEL_LISTS;
            if (!view->preprocessing->targets[k].classification || (view->preprocessing->targets[k].shape.rank > 0 && !lists)) continue;
            const bool coded = view->classes[k] != NULL;
            const int32_t code = lists ? unknown_label(view, k, row) : coded ? schema_dataset_code(d, c, row) : -1;
            const double number = coded ? 0 : schema_dataset_number(d, c, row);
            if (coded ? code < 0 || view->classes[k][code] >= 0 : isnan(number) || !isnan(schema_view_target(view, k, row))) continue;
            known = false;
            *column = view->preprocessing->targets[k].name;
            if (unknown == 0 && coded) snprintf(label, size, "%s", d->columns[c].categories[code].value);
            else if (unknown == 0) schema_number_text(number, label, size);
        }
        unknown += !known;
    }
    return unknown;
}

static void check_rows(struct resolving *r) {
    const struct schema_dataset *d = r->request->validation;
    const char *name = r->training->options.validation_dataset, *column = "";
    struct bp_error error = {0};
    struct schema_split split = {0};
    char label[64] = "", where[RESOLVING_POINTER_MAX];
    struct schema_view *view = schema_view_new(r->training->preprocessing, d, true, &error);
    if (!view || schema_training_held(r->training, view, &split, &error) != 0) {
        struct bp_error named = {0};
        bp_error_wrap(&named, &error, "", "%s: %s", name, error.message);
        schema_problem_error(r->problems, resolving_validation_place(r, "dataset", where, sizeof where), &named);
        schema_view_free(view);
        return;
    }
    r->validation_rows = split.validation_count;
    const int64_t unknown = count_unknown(view, label, sizeof label, &column), rest = d->rows - split.validation_count - unknown;
    if (split.validation_count == 0)
        problem(r, "none of its %lld rows can validate: %lld have a label that is absent from training%s%.60s%s, the others lack a value in a target",
                (long long)d->rows, (long long)unknown, unknown ? ", like \"" : "", label, unknown ? "\"" : "");
    else if (unknown > 0)
        resolving_warn(
            r, "%lld of %lld rows of %s have a label in \"%.60s\" that is absent from training, like \"%.40s\": they are excluded from validation",
            (long long)unknown, (long long)d->rows, name, column, label);
    if (split.validation_count > 0 && rest > 0)
        resolving_warn(r, "%lld of %lld rows of %s lack a value that the job needs of every row: they are excluded from validation", (long long)rest,
                       (long long)d->rows, name);
    schema_split_free(&split);
    schema_view_free(view);
}

void resolving_validation(struct resolving *r) {
    struct schema_training *t = r->training;
    const struct schema_preprocessing *p = t->preprocessing;
    if (t->options.validation != SCHEMA_VALIDATION_DATASET) return;
    if (!r->request->validation) {
        problem(r, "validation on another dataset needs a server, which stores datasets by name");
        return;
    }
    for (int32_t i = 0; i < p->features_count; i++) check_feature(r, &p->features[i]);
    for (int32_t k = 0; k < p->targets_count; k++) check_target(r, &p->targets[k]);
    if (p->sample_weight) column_of(r, p->sample_weight, "the sample weight", SCHEMA_NUMERIC, NULL);
    if (r->problems->total == 0) check_rows(r);
    t->held_rows = r->request->validation->rows;
    t->held_bytes = r->request->validation->bytes;
}

bool resolving_validation_indices(const struct resolving *r, const char *name, int32_t indices, double *worst) {
    const int32_t column = r->request->validation ? schema_dataset_find(r->request->validation, name) : -1;
    return column < 0 || resolving_holds_indices(r->request->validation, column, indices, worst);
}
