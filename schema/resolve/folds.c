/* folds.c - see folds.h. */
#include "schema/resolve/folds.h"

#include "engine/base/random.h"
#include "schema/resolve/resolution.h"

#include <stdlib.h>
#include <string.h>

uint64_t schema_fold_seed(uint64_t seed, int32_t fold) {
    uint32_t block[4];
    if (fold == 0) return seed;
    bp_random_block(seed, (uint64_t)BP_STREAM_FOLD << 32, (uint64_t)fold, block);
    return block[0] | (uint64_t)block[1] << 32;
}

/* ---- which fold ---------------------------------------------------------------------------------------------------------------------- */

/* Class by class, each in an order by seed, the rows are dealt like cards: so the numbers of each class, and all together, differ by one at most. */
static int deal_rows(const struct schema_folds *f, uint8_t *fold, struct bp_error *error) {
    const int32_t classes = f->classes ? f->classes_count : 1;
    int64_t *order = malloc(((size_t)f->n + 1) * sizeof *order), *start = calloc((size_t)classes + 2, sizeof *start);
    if (!order || !start) {
        free(order);
        free(start);
        return bp_error_memory(error, "no memory to split %lld rows", (long long)f->n);
    }
    for (int64_t i = 0; i < f->n; i++) start[(f->classes ? f->classes[i] : 0) + 2]++;
    for (int32_t c = 0; c < classes; c++) start[c + 2] += start[c + 1];
    for (int64_t i = 0; i < f->n; i++) order[start[(f->classes ? f->classes[i] : 0) + 1]++] = i;
    for (int32_t c = 0; c < classes; c++) { /* start[c] is the beginning of class c by now */
        struct bp_random random = bp_random_open(f->seed, BP_STREAM_SPLIT, (uint32_t)c);
        bp_random_shuffle(&random, order + start[c], start[c + 1] - start[c]);
    }
    for (int64_t i = 0; i < f->n; i++) fold[order[i]] = (uint8_t)(1 + i % f->count);
    free(order);
    free(start);
    return 0;
}

struct sized {
    int64_t size, place, group; /* place: in an order by seed */
};

static int larger_first(const void *a, const void *b) {
    const struct sized *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* The largest group first, each goes to the fold that has the fewest rows. */
static int deal_groups(const struct schema_folds *f, uint8_t *fold, struct bp_error *error) {
    const struct schema_groups *g = f->groups;
    if (g->count < f->count)
        return bp_error_set(error, "/validation/group", "there are %lld groups, fewer than the %d folds", (long long)g->count, f->count);
    int64_t *order = malloc((size_t)g->count * sizeof *order), rows[SCHEMA_FOLDS_MAX] = {0};
    struct sized *sized = malloc((size_t)g->count * sizeof *sized);
    if (!order || !sized) {
        free(order);
        free(sized);
        return bp_error_memory(error, "no memory to split %lld rows", (long long)f->n);
    }
    for (int64_t i = 0; i < g->count; i++) order[i] = i;
    struct bp_random random = bp_random_open(f->seed, BP_STREAM_SPLIT, 0);
    bp_random_shuffle(&random, order, g->count);
    for (int64_t i = 0; i < g->count; i++) sized[i] = (struct sized){g->starts[order[i] + 1] - g->starts[order[i]], i, order[i]};
    qsort(sized, (size_t)g->count, sizeof *sized, larger_first);
    memset(fold, 0, (size_t)f->n);
    for (int64_t i = 0; i < g->count; i++) {
        int32_t least = 0;
        for (int32_t k = 1; k < f->count; k++) least = rows[k] < rows[least] ? k : least;
        rows[least] += sized[i].size;
        for (int64_t k = g->starts[sized[i].group]; k < g->starts[sized[i].group + 1]; k++) fold[g->keyed[k].at] = (uint8_t)(least + 1);
    }
    free(order);
    free(sized);
    return 0;
}

int schema_folds_assign(const struct schema_folds *f, uint8_t *fold, struct bp_error *error) {
    if (f->groups) return deal_groups(f, fold, error);
    if (f->n >= f->count) return deal_rows(f, fold, error);
    return bp_error_set(error, "/validation/folds", "%d folds need at least %d rows; there are %lld", f->count, f->count, (long long)f->n);
}

/* ---- the training of a fold ------------------------------------------------------------------------------------------------------------ */

json_t *schema_training_request_encode(const json_t *object) {
    json_t *request = json_object();
    for (const char *const *name = schema_training_request_names; *name; name++)
        if (json_object_get(object, *name)) json_object_set(request, *name, json_object_get(object, *name));
    return request;
}

struct schema_training *schema_training_fold(const json_t *spec, const struct schema_dataset *dataset, int32_t fold, struct bp_error *error) {
    struct schema_problems problems = {0};
    struct schema_options options;
    struct schema_training_request request;
    struct schema_training *training = NULL;
    struct schema_definition *definition = schema_definition_decode(json_object_get(spec, "definition"), "/definition", NULL, &problems);
    if (definition && schema_options_decode(json_object_get(spec, "options"), "/options", NULL, &options, &problems) == 0 &&
        schema_training_request_decode(json_object_get(spec, "request"), "/request", &request, &problems) == 0) {
        request.fold = fold;
        training = schema_training_resolve(definition, &options, dataset, &request, &problems);
        definition = NULL;
    }
    schema_definition_free(definition);
    const struct bp_error cause = {.code = problems.code};
    if (!training)
        bp_error_wrap(error, &cause, problems.count ? problems.items[0].pointer : "", "fold %d of %d: %s", fold, options.folds,
                      problems.count ? problems.items[0].detail : "its training cannot be set up");
    schema_problems_clear(&problems);
    return training;
}

/* Does the network that was planned go with another width of the inputs that columns share, each of them changed by that much, or one number wide
 * (0)? */
static bool goes_with(const struct schema_training *t, int32_t change) {
    struct bp_input inputs[BP_INPUTS_MAX];
    struct bp_network *network = NULL;
    struct bp_error error = {0};
    memcpy(inputs, t->preprocessing->inputs, sizeof inputs);
    for (int32_t k = 0; k < t->preprocessing->shared_count; k++) inputs[k].shape.dims[0] = change ? inputs[k].shape.dims[0] + change : 1;
    struct bp_graph graph = schema_training_graph(t->definition, t->preprocessing, inputs);

    const bool good = bp_network_plan(&graph, &network, &error) == 0;
    bp_network_free(network);
    return good;
}

/* A fold may lack a category, or all missing cells of a column, and has fewer inputs then. Most networks do not care; for one that does, every fold
 * is tried. */
void resolving_folds_plan(struct resolving *r) {
    const struct schema_training *t = r->training;
    char where[RESOLVING_POINTER_MAX];
    if (!t->options.folds || t->fold || t->preprocessing->width == 0) return;
    if (goes_with(t, 0) && goes_with(t, 1)) return;
    json_t *definition = schema_definition_encode(t->definition);
    for (int32_t fold = 1; fold <= t->options.folds && !r->problems->total; fold++) {
        struct schema_problems found = {0};
        struct schema_training_request request = *r->request;
        request.fold = fold;
        struct schema_definition *copy = schema_definition_decode(definition, "", NULL, &found);
        struct schema_training *tried = copy ? schema_training_resolve(copy, &t->options, r->dataset, &request, &found) : NULL;
        if (!tried)
            schema_problem_add(r->problems, resolving_validation_place(r, "folds", where, sizeof where),
                               "the features of fold %d, fitted on its own training rows, do not fit this network: %s", fold,
                               found.count ? found.items[0].detail : "it cannot be planned");
        schema_training_free(tried);
        schema_problems_clear(&found);
    }
    json_decref(definition);
}
