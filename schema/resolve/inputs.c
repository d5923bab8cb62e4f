/* inputs.c - which inputs the columns share that have none of their own: "features", or "numbers" and "categories" when the layers of the definition
 * read those. */
#include "schema/resolve/resolution.h"

#include <stdio.h>
#include <string.h>

/* What a definition says of an input of that name. */
struct mention {
    bool read;     /* a layer reads it, or the definition declares it */
    int32_t layer; /* the first that reads it, -1: none */
};

static struct mention find_mention(const struct schema_definition *d, const char *name) {
    struct mention found = {.layer = -1};
    for (int32_t i = 0; i < d->inputs_count; i++) found.read = found.read || strcmp(d->inputs[i].name, name) == 0;
    for (int32_t i = 0; i < d->layers_count; i++)
        for (int32_t k = 0; k < d->layers[i].inputs_count; k++)
            if (strcmp(d->layers[i].inputs[k], name) == 0 && found.layer < 0) found.layer = i;
    found.read = found.read || found.layer >= 0;
    for (int32_t i = 0; i < d->layers_count; i++)
        if (strcmp(d->layers[i].name, name) == 0) return (struct mention){.layer = -1}; /* a layer has that name */
    return found;
}

/* Whether a column is an input with that name. */
static bool is_column(const struct schema_preprocessing *p, const char *name) {
    for (int32_t i = 0; i < p->features_count; i++)
        if (p->features[i].apart && strcmp(p->features[i].name, name) == 0) return true;
    return false;
}

/* The definition reads an input that no column gives a number to. */
static void refuse_empty(struct resolving *r, int kind, const struct mention *mention) {
    static const char *const lacks[] = {
        [SCHEMA_INPUT_NUMBERS] = "no feature of this job is numeric or a date: read \"categories\" alone, or add a feature of numbers",
        [SCHEMA_INPUT_CATEGORIES] = "all features of this job are numbers without missing values: read \"numbers\" alone, or add such a feature"};
    char where[RESOLVING_POINTER_MAX];
    if (mention->layer >= 0) snprintf(where, sizeof where, "%s/layers/%d/inputs", r->request->definition_pointer, mention->layer);
    else snprintf(where, sizeof where, "%s/inputs/%s", r->request->definition_pointer, schema_input_names[kind]);
    schema_problem_add(r->problems, where, "the input \"%s\" would be empty: %s", schema_input_names[kind], lacks[kind]);
}

void resolving_split_inputs(struct resolving *r) {
    struct schema_preprocessing *p = r->training->preprocessing;
    const struct mention features = find_mention(r->training->definition, "features");
    struct mention mentions[SCHEMA_SHARED_INPUTS];
    struct bp_error error = {0};
    char where[RESOLVING_POINTER_MAX];
    int32_t counts[SCHEMA_SHARED_INPUTS];
    unsigned wanted = 0;
    for (int kind = 0; kind < SCHEMA_SHARED_INPUTS; kind++) {
        mentions[kind] = find_mention(r->training->definition, schema_input_names[kind]);
        if (is_column(p, schema_input_names[kind])) return;
        wanted |= mentions[kind].read ? 1u << kind : 0;
    }
    if (!wanted || features.read) return;
    schema_preprocessing_count(p, counts);
    for (int kind = 0; kind < SCHEMA_SHARED_INPUTS && !r->training->fold; kind++) /* a fold may lack what all rows have */
        if (wanted & 1u << kind && counts[kind] == 0) refuse_empty(r, kind, &mentions[kind]);
    if (r->problems->total == 0 && schema_preprocessing_split(p, wanted, &error) != 0)
        schema_problem_error(r->problems, resolving_place(r, "features", where, sizeof where), &error);
}
