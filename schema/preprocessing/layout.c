/* layout.c - where the numbers of each feature are among the network's inputs, and a row put there: one input "features" for all columns that have
 * no input of their own, or two, "numbers" and "categories". */
#include "schema/preprocessing/feature.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 20 };

const char *const schema_input_names[SCHEMA_SHARED_INPUTS] = {"numbers", "categories"};

/* ---- the places of features ---------------------------------------------------------------------------------------------- */

static void add_input(struct schema_preprocessing *p, const char *name, const struct bp_shape *shape) {
    struct bp_input *in = &p->inputs[p->inputs_count++];
    snprintf(in->name, sizeof in->name, "%s", name);
    in->shape = *shape;
}

static void add_shared_input(struct schema_preprocessing *p, const char *name, int64_t width) {
    add_input(p, name, &(struct bp_shape){.rank = 1, .dims = {(int32_t)width}});
    p->shared_count++;
}

/* The next `width` numbers of an input are the feature's. */
static void take(struct schema_feature *f, int32_t input, int64_t *filled, int32_t width) {
    if (width == 0) return;
    f->places[f->places_count++] = (struct schema_place){input, (int32_t)*filled, width};
    *filled += width;
}

static int add_own_input(struct schema_preprocessing *p, struct schema_feature *f, const struct bp_shape *shape, struct bp_error *error) {
    if (strlen(f->name) >= BP_NAME_MAX)
        return bp_error_set(error, "/features", "the column \"%.80s\" has a name of more than %d bytes, so it cannot be an input", f->name,
                            BP_NAME_MAX - 1);
    if (p->inputs_count == BP_INPUTS_MAX) return bp_error_set(error, "/features", "more than %d tensor columns as features", BP_INPUTS_MAX - 1);
    f->places[f->places_count++] = (struct schema_place){p->inputs_count, 0, (int32_t)bp_shape_size(shape)};
    add_input(p, f->name, shape);
    return 0;
}

/* The features that share inputs, of which there are as many as kinds of numbers. */
static int share_inputs(struct schema_preprocessing *p, struct bp_error *error) {
    int64_t filled[SCHEMA_SHARED_INPUTS] = {0}, width = 0;
    int32_t input[SCHEMA_SHARED_INPUTS] = {0};
    if (p->split & 1u << SCHEMA_INPUT_NUMBERS) input[SCHEMA_INPUT_CATEGORIES] = 1;
    for (int32_t i = 0; i < p->features_count; i++) {
        struct schema_feature *f = &p->features[i];
        const struct schema_type_ops *type = schema_type_of(f->type);
        struct bp_shape shape;
        f->places_count = 0;
        f->apart = type->apart && type->apart(f, &shape);
        f->width = f->apart ? 0 : type->width(f);
        const int32_t numbers = f->apart || !p->split ? 0 : schema_feature_numbers(f);
        width += f->width;
        if (width > WIDTH_MAX)
            return bp_error_set(error, "/features", "the features give more than %d inputs; leave out columns with many categories", WIDTH_MAX);
        take(f, input[SCHEMA_INPUT_NUMBERS], &filled[SCHEMA_INPUT_NUMBERS], numbers);
        take(f, input[SCHEMA_INPUT_CATEGORIES], &filled[SCHEMA_INPUT_CATEGORIES], f->width - numbers);
    }
    p->width = (int32_t)width;
    if (!p->split && width > 0) add_shared_input(p, "features", width);
    for (int kind = 0; kind < SCHEMA_SHARED_INPUTS; kind++)
        if (p->split & 1u << kind) add_shared_input(p, schema_input_names[kind], filled[kind] > 0 ? filled[kind] : 1);
    p->empty = 0;
    for (int kind = 0; kind < SCHEMA_SHARED_INPUTS; kind++)
        if (p->split & 1u << kind && filled[kind] == 0) p->empty |= 1u << input[kind];
    return 0;
}

int schema_preprocessing_lay_out(struct schema_preprocessing *p, struct bp_error *error) {
    struct bp_shape shape;
    p->inputs_count = p->shared_count = 0;
    if (share_inputs(p, error) != 0) return -1;
    for (int32_t i = 0; i < p->features_count; i++) {
        struct schema_feature *f = &p->features[i];
        if (f->apart && (schema_type_of(f->type)->apart(f, &shape), add_own_input(p, f, &shape, error)) != 0) return -1;
    }
    return 0;
}

int32_t schema_feature_numbers(const struct schema_feature *f) {
    const struct schema_type_ops *type = schema_type_of(f->type);
    return type->numbers ? type->numbers(f) : 0;
}

void schema_preprocessing_count(const struct schema_preprocessing *p, int32_t counts[static SCHEMA_SHARED_INPUTS]) {
    memset(counts, 0, SCHEMA_SHARED_INPUTS * sizeof *counts);
    for (int32_t i = 0; i < p->features_count; i++) {
        if (p->features[i].apart) continue;
        const int32_t numbers = schema_feature_numbers(&p->features[i]);
        counts[SCHEMA_INPUT_NUMBERS] += numbers;
        counts[SCHEMA_INPUT_CATEGORIES] += p->features[i].width - numbers;
    }
}

int schema_preprocessing_split(struct schema_preprocessing *p, unsigned least, struct bp_error *error) {
    int32_t counts[SCHEMA_SHARED_INPUTS];
    schema_preprocessing_count(p, counts);
    p->split = least;
    for (int kind = 0; kind < SCHEMA_SHARED_INPUTS; kind++)
        if (counts[kind] > 0) p->split |= 1u << kind;
    return schema_preprocessing_lay_out(p, error);
}

/* ---- a row ----------------------------------------------------------------------------------------------------------------- */

void schema_transform_cell(const struct schema_preprocessing *p, int32_t i, const struct schema_feature_value *cell, float *const *inputs) {
    const struct schema_feature *f = &p->features[i];
    const struct schema_place *at = f->places;
    float together[SCHEMA_MIXED_MAX];
    if (f->places_count == 0) return;
    if (f->places_count == 1) {
        schema_type_of(f->type)->transform(p, f, cell, inputs[at->input] + at->offset);
        return;
    }
    schema_type_of(f->type)->transform(p, f, cell, together);
    for (int32_t k = 0, from = 0; k < f->places_count; from += at[k++].width)
        memcpy(inputs[at[k].input] + at[k].offset, together + from, (size_t)at[k].width * sizeof *together);
}

void schema_transform_some(const struct schema_preprocessing *p, const struct schema_feature_value *cells, const bool *left_out,
                           float *const *inputs) {
    for (int32_t k = 0; p->empty >> k; k++)
        if (p->empty >> k & 1) inputs[k][0] = 0;
    for (int32_t i = 0; i < p->features_count; i++)
        if (!left_out || !left_out[i]) schema_transform_cell(p, i, &cells[i], inputs);
}

void schema_transform(const struct schema_preprocessing *p, const struct schema_feature_value *cells, float *const *inputs) {
    schema_transform_some(p, cells, NULL, inputs);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------------- */

void schema_split_encode(const struct schema_preprocessing *p, json_t *json) {
    if (!p->split) return;
    json_t *list = json_array();
    for (int kind = 0; kind < SCHEMA_SHARED_INPUTS; kind++)
        if (p->split & 1u << kind) json_array_append_new(list, json_string(schema_input_names[kind]));
    json_object_set_new(json, "inputs", list);
}

int schema_split_decode(const json_t *json, struct schema_preprocessing *p) {
    const json_t *list = json_object_get(json, "inputs");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        int kind = 0;
        while (kind < SCHEMA_SHARED_INPUTS && name && strcmp(schema_input_names[kind], name) != 0) kind++;
        if (!name || kind == SCHEMA_SHARED_INPUTS) return -1;
        p->split |= 1u << kind;
    }
    return 0;
}
