/* calibrate.c - see calibrate.h. */
#include "server/worker/calibrate.h"

#include "schema/calibrate/calibrate.h"

#include <stdio.h>
#include <stdlib.h>

/* Fits what is asked; source: where its rows are from. */
static json_t *fit(struct schema_calibrating *what, const json_t *asked, const char *source, char why[static CALIBRATE_WHY]) {
    static const char *const others[] = {NULL};
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    json_t *document = NULL;
    if (schema_calibrate_decode(asked, "", others, &what->options, &problems) != 0) snprintf(why, CALIBRATE_WHY, "%s", problems.items[0].detail);
    else if (!(document = schema_calibrate(what, &error))) snprintf(why, CALIBRATE_WHY, "%s", error.message);
    else {
        json_object_set_new(json_object_get(document, "fitted"), "source", json_string(source));
        json_object_set_new(json_object_get(document, "fitted"), "dataset", json_null());
    }
    schema_problems_clear(&problems);
    return document;
}

json_t *run_calibrate(const struct run *run, const bp_real *weights, const json_t *asked, char why[static CALIBRATE_WHY]) {
    const struct schema_model model = {.training = run->training, .weights = (bp_real *)(uintptr_t)weights};
    const struct schema_split *split = run->other ? &run->held : &run->split;
    struct schema_calibrating what = {.model = &model,
                                      .lean = true,
                                      .dataset = run->other ? run->other : run->dataset,
                                      .only = split->validation,
                                      .only_count = split->validation_count};
    if (split->validation_count > 0) return fit(&what, asked, "validation", why);
    snprintf(why, CALIBRATE_WHY, "there are no validation rows");
    return NULL;
}

json_t *ensemble_calibrate(struct ensemble *e, struct schema_training *joined, const json_t *asked, char why[static CALIBRATE_WHY]) {
    struct schema_held_predictions held;
    struct bp_error error = {0};
    const struct schema_model model = {.training = joined};
    struct schema_calibrating what = {.model = &model, .held = &held};
    if (ensemble_held(e, &held, &error) != 0) {
        snprintf(why, CALIBRATE_WHY, "%s", error.message);
        return NULL;
    }
    json_t *document = fit(&what, asked, "out_of_fold", why);
    free(held.predictions);
    free(held.y);
    return document;
}
