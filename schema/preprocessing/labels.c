/* labels.c - outputs that learn several labels a row: what their labels are called, and the thresholds from which on a label, or the
 * second of two classes, is predicted. Not here: how labels are read from a dataset (target.c). */
#include "schema/preprocessing/feature.h"

#include "schema/json/values.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTER_MAX = 512 };
static const double usual = 0.5;

/* ---- labels -------------------------------------------------------------------------------------------------------------- */

static const struct schema_target *first_of(const struct schema_preprocessing *p, int32_t o) {
    return &p->targets[p->outputs[o].first];
}

bool schema_output_multilabel(const struct schema_preprocessing *p, int32_t o) {
    return first_of(p, o)->classification && (p->outputs[o].count > 1 || first_of(p, o)->multilabel);
}

int32_t schema_output_labels(const struct schema_preprocessing *p, int32_t o) {
    const struct schema_target *t = first_of(p, o);
    if (schema_output_multilabel(p, o)) return t->multilabel ? t->labels_count : p->outputs[o].count;
    return t->classification && t->labels_count == 2 && t->shape.rank <= 0 ? 1 : 0;
}

const char *schema_output_label(const struct schema_preprocessing *p, int32_t o, int32_t j) {
    const struct schema_target *t = first_of(p, o);
    if (t->multilabel) return t->labels[j];
    return schema_output_multilabel(p, o) ? t[j].name : t->labels[1];
}

int schema_target_make_labels(struct schema_target *t, const char *const *names) {
    const int32_t count = (int32_t)schema_target_size(t);
    char **labels = calloc((size_t)count, sizeof *labels);
    bool good = labels != NULL;
    for (int32_t i = 0; good && i < count; i++) {
        char position[16];
        snprintf(position, sizeof position, "%d", i);
        good = (labels[i] = strdup(names ? names[i] : position)) != NULL;
    }
    for (int32_t i = 0; !good && labels && i < count; i++) free(labels[i]);
    if (!good) return free(labels), -1;
    for (int32_t i = 0; i < t->labels_count; i++) free(t->labels[i]);
    free(t->labels);
    free(t->class_weights);
    t->class_weights = NULL;
    t->labels = labels;
    t->labels_count = count;
    t->classification = t->shares = true;
    t->multilabel = SCHEMA_LABEL_VECTOR;
    t->ragged = false;
    t->shape = (struct bp_shape){.rank = 1, .dims = {count}};
    schema_target_rescale(t, 0, 1);
    return 0;
}

/* ---- thresholds ---------------------------------------------------------------------------------------------------------- */

/* Of a target in the preprocessing's list. */
static int32_t places_of(const struct schema_target *t) {
    return t->multilabel ? t->labels_count : 1;
}

/* Of a target whose job says nothing. */
static double default_of(const struct schema_target *t) {
    return t->classification && t->shares ? usual : 0;
}

int64_t schema_thresholds_count(const struct schema_preprocessing *p) {
    int64_t n = 0;
    for (int32_t k = 0; k < p->targets_count; k++) n += places_of(&p->targets[k]);
    return n;
}

void schema_thresholds_spread(struct schema_preprocessing *p) {
    int64_t at = 0;
    for (int32_t k = 0; k < p->targets_count; k++) {
        struct schema_target *t = &p->targets[k];
        t->thresholds_at = at;
        for (int32_t j = 0; j < places_of(t); j++) p->thresholds[at++] = t->thresholds ? t->thresholds[j] : default_of(t);
    }
}

int schema_thresholds_keep(struct schema_preprocessing *p, const double *thresholds) {
    for (int32_t k = 0; k < p->targets_count; k++) {
        struct schema_target *t = &p->targets[k];
        if (!t->classification) continue;
        if (!t->thresholds && !(t->thresholds = calloc((size_t)places_of(t), sizeof *t->thresholds))) return -1;
        memcpy(t->thresholds, thresholds + t->thresholds_at, (size_t)places_of(t) * sizeof *t->thresholds);
    }
    schema_thresholds_spread(p);
    return 0;
}

void schema_target_thresholds_encode(const struct schema_target *t, json_t *json) {
    if (!t->thresholds) return;
    json_t *list = json_array();
    for (int32_t j = 0; j < places_of(t); j++) json_array_append_new(list, json_real(t->thresholds[j]));
    json_object_set_new(json, "thresholds", list);
}

int schema_target_thresholds_decode(const json_t *json, struct schema_target *t) {
    const json_t *list = json_object_get(json, "thresholds");
    if (!list) return 0;
    if (json_array_size(list) != (size_t)places_of(t) || !(t->thresholds = calloc((size_t)places_of(t), sizeof *t->thresholds))) return -1;
    for (int32_t j = 0; j < places_of(t); j++) {
        t->thresholds[j] = json_number_value(json_array_get(list, (size_t)j));
        if (!(t->thresholds[j] >= 0 && t->thresholds[j] < 1)) return -1;
    }
    return 0;
}

/* ---- thresholds of a request --------------------------------------------------------------------------------------------- */

struct decoding {
    const struct schema_preprocessing *p;
    const bool *usable;
    double *out;
    struct schema_problems *problems;
};

static bool number_good(const struct decoding *d, const json_t *json, const char *pointer, double *value) {
    char got[80];
    *value = json_number_value(json);
    if (json_is_number(json) && *value > 0 && *value < 1) return true;
    schema_problem_add(d->problems, pointer, "a threshold is a probability between 0 and 1, got %s; the default is 0.5",
                       schema_json_text(json, got, sizeof got));
    return false;
}

struct names {
    const struct schema_preprocessing *p;
    int32_t o;
};

static const char *label_at(const void *context, int32_t j) {
    const struct names *n = context;
    return schema_output_label(n->p, n->o, j);
}

static const char *output_at(const void *context, int32_t o) {
    const struct schema_preprocessing *p = ((const struct names *)context)->p;
    return p->outputs[o].name[0] ? p->outputs[o].name : first_of(p, o)->name;
}

/* Of one output: a number for all of its labels, or an object by label. */
static void decode_output(const struct decoding *d, int32_t o, const json_t *json, const char *pointer) {
    const int32_t count = schema_output_labels(d->p, o);
    double *out = d->out + first_of(d->p, o)->thresholds_at, value;
    const char *label;
    json_t *item;
    if (!json_is_object(json)) {
        if (number_good(d, json, pointer, &value))
            for (int32_t j = 0; j < count; j++) out[j] = value;
        return;
    }
    json_object_foreach((json_t *)json, label, item) {
        char place[POINTER_MAX], hint[200];
        int32_t found = -1;
        schema_pointer(pointer, label, place, sizeof place);
        for (int32_t j = 0; j < count && found < 0; j++) found = strcmp(schema_output_label(d->p, o, j), label) == 0 ? j : -1;
        if (found >= 0) {
            if (number_good(d, item, place, &value)) out[found] = value;
        } else if (!schema_output_multilabel(d->p, o))
            schema_problem_add(d->problems, place, "the threshold of two classes is that of the second one, \"%.60s\", not of \"%.60s\"",
                               schema_output_label(d->p, o, 0), label);
        else
            schema_problem_add(d->problems, place, "there is no label \"%.60s\"%s", label,
                               schema_did_you_mean(schema_nearest(label, label_at, &(struct names){d->p, o}, count), hint, sizeof hint));
    }
}

static bool takes_thresholds(const struct decoding *d, int32_t o) {
    return d->usable[o] && schema_output_labels(d->p, o) > 0;
}

static void decode_by_output(const struct decoding *d, const json_t *json, const char *pointer) {
    const char *name;
    json_t *item;
    json_object_foreach((json_t *)json, name, item) {
        char place[POINTER_MAX], hint[200];
        int32_t found = -1;
        const struct names names = {d->p, 0};
        schema_pointer(pointer, name, place, sizeof place);
        for (int32_t o = 0; o < d->p->outputs_count && found < 0; o++) found = strcmp(output_at(&names, o), name) == 0 ? o : -1;
        if (found < 0)
            schema_problem_add(d->problems, place, "thresholds are by output where there are several, and none is called \"%.60s\"%s", name,
                               schema_did_you_mean(schema_nearest(name, output_at, &names, d->p->outputs_count), hint, sizeof hint));
        else if (!takes_thresholds(d, found))
            schema_problem_add(d->problems, place, "thresholds are for probabilities of labels, or of two classes, which \"%.60s\" does not have",
                               name);
        else decode_output(d, found, item, place);
    }
}

int schema_thresholds_decode(const struct schema_preprocessing *p, const json_t *json, const char *pointer, const bool *usable, double *thresholds,
                             struct schema_problems *problems) {
    const struct decoding d = {p, usable, thresholds, problems};
    const int64_t before = problems->total;
    int32_t count = 0;
    for (int32_t o = 0; o < p->outputs_count; o++) count += takes_thresholds(&d, o);
    if (count == 0)
        return schema_problem_add(problems, pointer,
                                  "thresholds are for several labels a row, or for two classes, with probabilities; this model has neither, so leave "
                                  "thresholds out");
    if (p->outputs_count > 1 && json_is_object(json)) decode_by_output(&d, json, pointer);
    else
        for (int32_t o = 0; o < p->outputs_count && problems->total == before; o++)
            if (takes_thresholds(&d, o)) decode_output(&d, o, json, pointer);
    return problems->total == before ? 0 : -1;
}

static json_t *encode_output(const struct schema_preprocessing *p, int32_t o, const double *all) {
    const double *thresholds = all + first_of(p, o)->thresholds_at;
    json_t *object = json_object();
    for (int32_t j = 0; j < schema_output_labels(p, o); j++)
        json_object_set_new(object, schema_output_label(p, o, j), json_real(thresholds[j] > 0 ? thresholds[j] : usual));
    return object;
}

json_t *schema_thresholds_encode(const struct schema_preprocessing *p) {
    return schema_thresholds_show(p, p->thresholds);
}

json_t *schema_thresholds_show(const struct schema_preprocessing *p, const double *thresholds) {
    json_t *outputs = json_object();
    const struct names names = {p, 0};
    for (int32_t o = 0; o < p->outputs_count; o++) {
        const bool shown = schema_output_multilabel(p, o) || (schema_output_labels(p, o) && thresholds[first_of(p, o)->thresholds_at] > 0);
        if (shown) json_object_set_new(outputs, output_at(&names, o), encode_output(p, o, thresholds));
    }
    json_t *first = json_object_iter_value(json_object_iter(outputs));
    if (p->outputs_count > 1 && first) return outputs;
    json_incref(first);
    json_decref(outputs);
    return first;
}
