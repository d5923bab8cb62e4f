/* training_support.c - trainings from texts. */
#include "tests/schema/training_support.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

const char colours_csv[] =
    "x,colour,label\n1,red,a\n2,green,b\n3,red,a\n4,blue,b\n5,red,a\n,green,b\n7,blue,a\n8,green,b\n9,red,a\n10,green,b\n11,blue,a\n12,green,b\n";

static struct resolved resolve(struct loaded loaded, const char *definition, const char *job) {
    struct resolved r = {.loaded = loaded};
    struct schema_options options;
    struct schema_training_request request;
    ck_assert_ptr_nonnull(loaded.data);
    json_t *d = json_loads(definition, 0, NULL), *j = json_loads(job, 0, NULL);
    ck_assert(d && j);
    struct schema_definition *decoded = schema_definition_decode(d, "/model", NULL, &r.problems);
    schema_options_decode(j, "", schema_training_request_names, &options, &r.problems);
    schema_training_request_decode(j, "", &request, &r.problems);
    if (r.problems.total == 0) r.training = schema_training_resolve(decoded, &options, loaded.data, &request, &r.problems);
    else schema_definition_free(decoded);
    json_decref(d);
    json_decref(j);
    return r;
}

struct resolved resolve_text(const char *csv, const char *definition, const char *job) {
    return resolve(load_csv(csv, NULL), definition, job);
}

struct resolved resolve_json(const char *dataset, const char *definition, const char *job) {
    return resolve(load_json(dataset), definition, job);
}

void resolved_clear(struct resolved *r) {
    schema_training_free(r->training);
    schema_problems_clear(&r->problems);
    loaded_clear(&r->loaded);
}

const char *first_problem(const struct resolved *r) {
    static char text[900];
    snprintf(text, sizeof text, "%s: %s", r->problems.count && r->problems.items[0].pointer ? r->problems.items[0].pointer : "",
             r->problems.count ? r->problems.items[0].detail : "");
    return r->problems.count ? text : "";
}
