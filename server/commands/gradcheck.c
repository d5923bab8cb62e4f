/* gradcheck.c - `backpropd gradcheck model.json`: the engine's own proof on a person's own network. */
#include "server/commands/commands.h"

#include "engine/gradcheck.h"
#include "engine/kernels/kernels.h"
#include "schema/definition/definition.h"
#include "schema/memory.h"
#include "server/commands/local_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT, CLASSES, BATCH, SEED, TOLERANCE, ENTRIES, FLAGS_COUNT };
static const char *const names[] = {"input", "classes", "batch", "seed", "tolerance", "entries", NULL};
static const char *const switches[] = {NULL};

static bool parse_shape(const char *text, struct bp_shape *shape) {
    shape->rank = 0;
    while (*text && shape->rank < BP_RANK_MAX) {
        char *end;
        long n = strtol(text, &end, 10);
        if (end == text || n < 1 || n > 1 << 20 || (*end && *end != ',')) return false;
        shape->dims[shape->rank++] = (int32_t)n;
        text = *end ? end + 1 : end;
    }
    return shape->rank > 0 && !*text;
}

/* Without a loss in the definition: what the last activation suggests. */
static const struct bp_loss_ops *loss_of(const struct bp_network *network) {
    const struct bp_node *last = &network->nodes[network->outputs[0].node];
    const enum bp_probabilities gives = last->activation ? last->activation->probabilities : BP_PROBABILITIES_NONE;
    const bool single = bp_shape_size(&network->outputs[0].shape) == 1;
    for (int32_t i = 0; gives == BP_PROBABILITIES_SHARED && i < bp_losses.count; i++) { /* of classes in order */
        const struct bp_loss_ops *of_classes = (const struct bp_loss_ops *)bp_losses.entries[i];
        if (of_classes->ordered && of_classes->head == last->activation) return of_classes;
    }
    const char *loss = gives == BP_PROBABILITIES_SHARED ? "cross_entropy" : gives == BP_PROBABILITIES_EACH && single ? "binary_cross_entropy" : "mse";
    return (const struct bp_loss_ops *)bp_family_find(&bp_losses, loss);
}

static int check(struct schema_definition *definition, const char **values) {
    struct bp_error error = {0};
    struct bp_network *network = NULL;
    struct bp_input given = {.name = "features"};
    struct bp_gradcheck_report report = {0};
    if (values[INPUT] && !parse_shape(values[INPUT], &given.shape)) {
        fprintf(stderr, "backpropd gradcheck: --input expects a shape like 4 or 28,28,1, got \"%s\"\n", values[INPUT]);
        return 2;
    }
    if (!values[INPUT] && definition->inputs_count == 0) {
        fprintf(stderr, "backpropd gradcheck: unknown shape of the input; add \"inputs\":{\"features\":{\"shape\":[4]}} to the definition, "
                        "or --input 4\n");
        return 2;
    }
    struct bp_graph graph = schema_definition_graph(definition, values[INPUT] ? &given : NULL, 1);
    if (!graph.outputs[0].loss && bp_network_plan(&graph, &network, &error) == 0) {
        graph.outputs[0].loss = loss_of(network);
        bp_values_preset(&graph.outputs[0].loss->entry, graph.outputs[0].values);
    }
    bp_network_free(network);
    network = NULL;
    double tolerance = values[TOLERANCE] ? strtod(values[TOLERANCE], NULL) : 1e-6;
    int32_t classes = 2;
    if (!error.message[0] && bp_network_plan(&graph, &network, &error) == 0) classes = (int32_t)bp_shape_size(&network->outputs[0].shape);
    bp_network_free(network);
    if (values[CLASSES]) classes = (int32_t)strtol(values[CLASSES], NULL, 10);
    if (classes < 2) classes = 2;
    int32_t batch = values[BATCH] ? (int32_t)strtol(values[BATCH], NULL, 10) : 5;
    uint64_t seed = values[SEED] ? strtoull(values[SEED], NULL, 10) : 1;
    int64_t entries = values[ENTRIES] ? strtoll(values[ENTRIES], NULL, 10) : 200;
    if (error.message[0] || bp64_gradcheck(&graph, batch < 1 ? 1 : batch, seed, entries < 0 ? 0 : entries, &report, &error) != 0) {
        fprintf(stderr, "backpropd gradcheck: %s%s%s\n", error.pointer, error.pointer[0] ? ": " : "", error.message);
        return 1;
    }
    printf("loss %s, batch %d, seed %llu, in double, tolerance %g of the largest entry\n\n", graph.outputs[0].loss->entry.name, batch,
           (unsigned long long)seed, tolerance);
    printf("%-28s %8s %8s %12s %14s %14s\n", "tensor", "checked", "skipped", "error", "analytic", "numeric");
    for (int32_t i = 0; i < report.count; i++) {
        const struct bp_gradcheck_tensor *t = &report.tensors[i];
        printf("%-28s %8lld %8lld %12.3g %14.6g %14.6g%s\n", t->name, (long long)t->checked, (long long)t->skipped, t->error, t->analytic, t->numeric,
               t->error <= tolerance ? "" : "  <-- differs");
    }
    bool good = report.error <= tolerance;
    printf("\n%s: the worst error is %.3g\n", good ? "the gradients agree" : "THE GRADIENTS DIFFER", report.error);
    free(report.tensors);
    return good ? 0 : 1;
}

int command_gradcheck(int argc, char **argv) {
    static const char *const others[] = {"name", NULL};
    const char *values[FLAGS_COUNT] = {0};
    struct schema_problems problems = {0};
    json_error_t where;
    if (argc < 2 || strncmp(argv[1], "--", 2) == 0) {
        fprintf(stderr, "backpropd gradcheck: missing argument: the file with the model definition; see `backpropd help gradcheck`\n");
        return 2;
    }
    if (local_flags("gradcheck", argc - 1, argv + 1, names, switches, values) != 0) return 2;
    char *text = local_text("gradcheck", argv[1]);
    json_t *json = text ? schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where) : NULL;
    if (text && !json)
        fprintf(stderr, "backpropd gradcheck: %s is not JSON: %s (line %d, column %d)\n", argv[1], where.text, where.line, where.column);
    bp_engine_start();
    struct schema_definition *definition = json ? schema_definition_decode(json, "", others, &problems) : NULL;
    if (problems.total) local_problems("gradcheck", argv[1], &problems);
    int status = definition ? check(definition, values) : 1;
    schema_definition_free(definition);
    json_decref(json);
    free(text);
    return status;
}
