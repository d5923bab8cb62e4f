/* training_effect.c - what a job asks for takes effect, or is refused or warned of: options and parts of a definition that contradict the data or
 * each other, or that nothing follows from. What suits a loss or an output is in training_output.c, metrics in training_metrics.c. */
#include "resolving.h"

#include "text.h"
#include "values.h"

#include <stdio.h>
#include <string.h>

/* ---- inputs -------------------------------------------------------------------------------------------------------- */

static const char *input_at(const void *context, int32_t i) {
    return ((const struct schema_preprocessing *)context)->inputs[i].name;
}

static int32_t find_input(const struct schema_preprocessing *p, const char *name) {
    for (int32_t i = 0; i < p->inputs_count; i++)
        if (strcmp(p->inputs[i].name, name) == 0) return i;
    return -1;
}

/* The inputs that a definition declares are those of the data, with their shapes. */
void resolving_inputs(struct resolving *r) {
    struct schema_definition *d = r->training->definition;
    const struct schema_preprocessing *p = r->training->preprocessing;
    char map[RESOLVING_POINTER_MAX], where[RESOLVING_POINTER_MAX], said[64], is[64], hint[200];
    if (r->training->fold) { /* checked with all rows; a fold may know fewer categories */
        d->inputs_count = 0;
        return;
    }
    snprintf(map, sizeof map, "%s/inputs", r->request->definition_pointer);
    for (int32_t i = 0; i < d->inputs_count; i++) {
        const struct bp_input *input = &d->inputs[i];
        const int32_t found = find_input(p, input->name);
        schema_pointer(map, input->name, where, sizeof where);
        if (found >= 0 && bp_shape_equal(&input->shape, &p->inputs[found].shape)) continue;
        if (found >= 0) {
            schema_problem_add(r->problems, where,
                               "the definition says that the input \"%.60s\" has the shape %s, but the features of this job give %s%s; correct the "
                               "shape, or leave inputs out: the data says it",
                               input->name, bp_shape_text(&input->shape, said, sizeof said), bp_shape_text(&p->inputs[found].shape, is, sizeof is),
                               strcmp(input->name, "features") == 0 ? " numbers (categories, texts and dates become several)" : "");
            continue;
        }
        char list[300] = "";
        for (int32_t k = 0; k < p->inputs_count; k++) {
            const size_t n = strlen(list);
            snprintf(list + n, sizeof list - n, "%s\"%.60s\" %s", k ? ", " : "", p->inputs[k].name,
                     bp_shape_text(&p->inputs[k].shape, is, sizeof is));
        }
        const char *nearest = schema_nearest(input->name, input_at, p, p->inputs_count);
        schema_problem_add(r->problems, where, "the features of this job give no input \"%.60s\"%s; there is %s", input->name,
                           schema_did_you_mean(nearest, hint, sizeof hint), list);
    }
}
