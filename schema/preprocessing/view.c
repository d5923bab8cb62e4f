/* view.c - a dataset through a fitted preprocessing: maps features to columns. rows.c reads its rows. */
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bind_feature(struct schema_view *view, int32_t i, bool strict, struct bp_error *error) {
    const struct schema_feature *f = &view->preprocessing->features[i];
    int32_t column = schema_dataset_find(view->dataset, f->name);
    view->columns[i] = column;
    if (column < 0) return strict ? bp_error_set(error, "/features", "the dataset has no column \"%.80s\"", f->name) : 0;
    const struct schema_column *c = &view->dataset->columns[column];
    if (!schema_column_serves(c, view->dataset->rows, f->type))
        return bp_error_set(error, "/features", "column \"%.80s\" is %s, the model expects %s", f->name, schema_type_name(c->type),
                            schema_type_name(f->type));
    const struct schema_type_ops *type = schema_type_of(f->type), *stored = schema_type_of(c->type);
    if (type->value == SCHEMA_VALUE_TENSOR && stored->value == SCHEMA_VALUE_TENSOR) {
        char got[64], want[64];
        if (!bp_shape_equal(&c->shape, &f->shape))
            return bp_error_set(error, "/features", "column \"%.80s\" has the shape %s, the model expects %s", f->name,
                                bp_shape_text(&c->shape, got, sizeof got), bp_shape_text(&f->shape, want, sizeof want));
        if ((size_t)bp_shape_size(&f->shape) > view->tensor_size) view->tensor_size = (size_t)bp_shape_size(&f->shape);
    }
    if (type->value == SCHEMA_VALUE_CATEGORY && stored->value == SCHEMA_VALUE_CATEGORY) {
        view->categories[i] = malloc(((size_t)c->categories_count + 1) * sizeof **view->categories);
        if (!view->categories[i]) return bp_error_memory(error, "out of memory");
        for (int32_t k = 0; k < c->categories_count; k++)
            view->categories[i][k] = schema_feature_category(f, c->categories[k].value, strlen(c->categories[k].value));
    }
    return 0;
}

struct schema_view *schema_view_new(const struct schema_preprocessing *p, const struct schema_dataset *dataset, bool strict, struct bp_error *error) {
    struct schema_view *view = calloc(1, sizeof *view);
    if (!view) goto memory;
    view->preprocessing = p;
    view->dataset = dataset;
    view->columns = calloc((size_t)p->features_count + 1, sizeof *view->columns);
    view->categories = calloc((size_t)p->features_count + 1, sizeof *view->categories);
    view->targets = calloc((size_t)p->targets_count + 1, sizeof *view->targets);
    view->classes = calloc((size_t)p->targets_count + 1, sizeof *view->classes);
    if (!view->columns || !view->categories || !view->targets || !view->classes) goto memory;
    for (int32_t i = 0; i < p->features_count; i++)
        if (bind_feature(view, i, strict, error) != 0) goto failed;
    for (int32_t k = 0; k < p->targets_count; k++)
        if (schema_view_bind_target(view, k, strict, error) != 0) goto failed;
    view->sample_weight = p->sample_weight ? schema_dataset_find(dataset, p->sample_weight) : -1;
    if (p->sample_weight && view->sample_weight < 0 && strict) {
        bp_error_set(error, "/sample_weight", "the dataset has no column \"%.80s\"", p->sample_weight);
        goto failed;
    }
    return view;
memory:
    bp_error_memory(error, "out of memory");
failed:
    schema_view_free(view);
    return NULL;
}

void schema_view_free(struct schema_view *view) {
    if (!view) return;
    for (int32_t i = 0; view->categories && i < view->preprocessing->features_count; i++) free(view->categories[i]);
    for (int32_t i = 0; view->folds && i < view->preprocessing->features_count; i++) free(view->folds[i]);
    free(view->folds);
    free(view->categories);
    free(view->columns);
    for (int32_t k = 0; view->classes && k < view->preprocessing->targets_count; k++) free(view->classes[k]);
    free(view->targets);
    free(view->classes);
    free(view);
}
