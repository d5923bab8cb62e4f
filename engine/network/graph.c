/* graph.c - from names to numbers: names the nameless layers, resolves what each reads, and finds an order to compute in.
 * Order: names, links, cycles, what leads nowhere. */
#include "engine/network/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------------------- */

static int32_t find_name(const struct bp_links *links, int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++)
        if (!strcmp(links->names[i], name)) return i;
    return -1;
}

/* Edits (insert, delete, replace) between two names. */
static int32_t distance(const char *a, const char *b) {
    int32_t row[BP_NAME_MAX + 1];
    const int32_t m = (int32_t)strnlen(a, BP_NAME_MAX), n = (int32_t)strnlen(b, BP_NAME_MAX);
    for (int32_t j = 0; j <= n; j++) row[j] = j;
    for (int32_t i = 1; i <= m; i++) {
        int32_t diagonal = row[0];
        row[0] = i;
        for (int32_t j = 1; j <= n; j++) {
            const int32_t above = row[j], replaced = diagonal + (a[i - 1] != b[j - 1]);
            int32_t best = above < row[j - 1] ? above + 1 : row[j - 1] + 1;
            row[j] = best < replaced ? best : replaced;
            diagonal = above;
        }
    }
    return row[n];
}

/* 'did you mean "dense_1"?', or the names there are, among those numbered from..to - 1. */
static void suggest(const struct bp_links *links, const int32_t range[2], const char *name, char *text, size_t size) {
    const int32_t from = range[0], to = range[1];
    int32_t best = -1, edits = 0;
    for (int32_t i = from; i < to; i++) {
        const int32_t d = distance(links->names[i], name);
        if (best < 0 || d < edits) {
            best = i;
            edits = d;
        }
    }
    const int32_t length = (int32_t)strlen(name);
    if (best >= 0 && edits < length && edits <= (length < 6 ? 2 : length / 3)) {
        snprintf(text, size, "did you mean \"%s\"?", links->names[best]);
        return;
    }
    snprintf(text, size, "there are ");
    for (int32_t i = from; i < to; i++) {
        const size_t used = strlen(text);
        if (used + BP_NAME_MAX + 8 > size) {
            snprintf(text + used, size - used, ", ...");
            return;
        }
        snprintf(text + used, size - used, "%s\"%s\"", i > from ? ", " : "", links->names[i]);
    }
}

static int give_names(const struct bp_graph *graph, struct bp_links *links, struct bp_error *error) {
    char pointer[64];
    const int32_t inputs = graph->inputs_count, total = inputs + graph->layers_count;
    for (int32_t i = 0; i < total; i++) {
        const char *name = i < inputs ? graph->inputs[i].name : graph->layers[i - inputs].name;
        if (!name[0]) continue;
        snprintf(pointer, sizeof pointer, i < inputs ? "/inputs" : "/layers/%d/name", (int)(i - inputs));
        if (i >= inputs && strchr(name, '/'))
            return bp_error_set(error, pointer, "the layer's name \"%s\" contains \"/\", which separates layers from their tensors; use another name",
                                name);
        const int32_t same = find_name(links, i, name);
        if (same >= 0)
            return bp_error_set(error, pointer, "the name \"%s\" is already used by %s; layers and inputs share one namespace; use another name",
                                name, same < inputs ? "an input" : "another layer");
        snprintf(links->names[i], BP_NAME_MAX, "%s", name);
    }
    for (int32_t i = inputs; i < total; i++) {
        const char *type = graph->layers[i - inputs].ops->entry.name;
        for (int number = 1; !links->names[i][0]; number++) {
            char name[BP_NAME_MAX];
            snprintf(name, sizeof name, "%s_%d", type, number);
            if (find_name(links, total, name) < 0) memcpy(links->names[i], name, sizeof name);
        }
    }
    return 0;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

static int link_layer(const struct bp_graph *graph, struct bp_links *links, int32_t node, struct bp_error *error) {
    char pointer[64], text[384];
    const int32_t inputs = graph->inputs_count, total = inputs + graph->layers_count, at = node - inputs;
    const struct bp_layer *layer = &graph->layers[at];
    links->inputs_count[node] = layer->inputs_count ? layer->inputs_count : 1;
    snprintf(pointer, sizeof pointer, "/layers/%d/inputs", (int)at);
    if (layer->inputs_count < 0 || layer->inputs_count > BP_INPUTS_MAX)
        return bp_error_set(error, pointer, "layer \"%s\" reads %d inputs; at most %d are allowed", links->names[node], (int)layer->inputs_count,
                            BP_INPUTS_MAX);
    if (!layer->inputs_count && at == 0 && inputs > 1) {
        suggest(links, (const int32_t[]){0, inputs}, "", text, sizeof text);
        return bp_error_set(error, pointer, "the first layer, \"%s\", must name its inputs, because the network has several: %s", links->names[node],
                            text);
    }
    if (!layer->inputs_count) links->inputs[node][0] = at ? node - 1 : 0;
    for (int32_t i = 0; i < layer->inputs_count; i++) {
        const int32_t found = find_name(links, total, layer->inputs[i]);
        if (found < 0) {
            suggest(links, (const int32_t[]){0, total}, layer->inputs[i], text, sizeof text);
            snprintf(pointer, sizeof pointer, "/layers/%d/inputs/%d", (int)at, (int)i);
            return bp_error_set(error, pointer, "layer \"%s\" reads \"%s\", but no layer or input has that name; %s", links->names[node],
                                layer->inputs[i], text);
        }
        links->inputs[node][i] = found;
    }
    const int32_t count = links->inputs_count[node], most = layer->ops->inputs_max;
    if (count < layer->ops->inputs_min || count > most)
        return bp_error_set(error, pointer, "layer \"%s\" reads %d inputs, but %s takes %s%d", links->names[node], (int)count, layer->ops->entry.name,
                            count > most ? (layer->ops->inputs_min == most ? "" : "at most ") : "at least ",
                            (int)(count > most ? most : layer->ops->inputs_min));
    return 0;
}

static int find_output(const struct bp_graph *graph, struct bp_links *links, int32_t which, struct bp_error *error) {
    char text[384], pointer[64];
    const int32_t total = graph->inputs_count + graph->layers_count;
    const char *name = graph->outputs[which].name;
    const int32_t found = name[0] ? find_name(links, total, name) : total - 1;
    snprintf(pointer, sizeof pointer, graph->outputs_count > 1 ? "/outputs/%d" : "/outputs", (int)which);
    if (found < 0) {
        suggest(links, (const int32_t[]){graph->inputs_count, total}, name, text, sizeof text);
        return bp_error_set(error, pointer, "the output \"%s\" is not the name of a layer; %s", name, text);
    }
    if (found < graph->inputs_count) return bp_error_set(error, pointer, "\"%s\" is an input; the output must be a layer", name);
    for (int32_t i = 0; i < which; i++)
        if (links->outputs[i] == found)
            return bp_error_set(error, pointer, "the layer \"%s\" is named twice among the outputs; name each once", links->names[found]);
    links->outputs[which] = found;
    return 0;
}

static int find_outputs(const struct bp_graph *graph, struct bp_links *links, struct bp_error *error) {
    links->outputs_count = graph->outputs_count ? graph->outputs_count : 1;
    if (links->outputs_count < 0 || links->outputs_count > BP_OUTPUTS_MAX)
        return bp_error_set(error, "/outputs", "the network has %d outputs; at most %d are allowed", (int)links->outputs_count, BP_OUTPUTS_MAX);
    for (int32_t i = 0; i < links->outputs_count; i++)
        if (find_output(graph, links, i, error)) return -1;
    return 0;
}

/* ---- order and cycles -------------------------------------------------------------------------------------------- */

/* A layer that `node` reads and that is not ordered yet. */
static int32_t unordered_input(const struct bp_links *links, const bool *done, int32_t node) {
    for (int32_t i = 0; i < links->inputs_count[node]; i++)
        if (!done[links->inputs[node][i]]) return links->inputs[node][i];
    return node;
}

/* Names a cycle among the layers not yet ordered: each of them reads at least one other of them, so walking back comes round. */
static int report_cycle(const struct bp_graph *graph, const struct bp_links *links, const bool *done, struct bp_error *error) {
    char pointer[64], text[384] = "";
    int32_t at = 0, start;
    while (done[at]) at++;
    for (int32_t steps = 0; steps < graph->layers_count; steps++) /* after so many it is on the cycle */
        at = unordered_input(links, done, at);
    start = at;
    for (int32_t node = unordered_input(links, done, at); node != at; node = unordered_input(links, done, node))
        start = node < start ? node : start; /* reported from the layer that is defined first */
    at = start;
    do {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "\"%s\" reads ", links->names[at]);
        at = unordered_input(links, done, at);
    } while (at != start && strlen(text) + BP_NAME_MAX + 16 < sizeof text);
    snprintf(pointer, sizeof pointer, "/layers/%d/inputs", (int)(start - graph->inputs_count));
    return bp_error_set(error, pointer, "the layers form a cycle: %s%s\"%s\"; remove one of these inputs", text, at == start ? "" : "... ",
                        links->names[start]);
}

/* As defined where possible: the next layer is the first whose inputs are all ordered. */
static int find_order(const struct bp_graph *graph, struct bp_links *links, struct bp_error *error) {
    const int32_t inputs = graph->inputs_count, total = inputs + graph->layers_count;
    bool *done = calloc((size_t)total, sizeof *done);
    if (!done) return bp_error_memory(error, "no memory for a network of %d layers", (int)graph->layers_count);
    for (int32_t i = 0; i < inputs; i++) done[i] = true;
    int32_t count = 0, before = -1, result = 0;
    while (count < graph->layers_count && count != before) {
        before = count;
        for (int32_t node = inputs; node < total; node++) {
            bool ready = !done[node];
            for (int32_t i = 0; ready && i < links->inputs_count[node]; i++) ready = done[links->inputs[node][i]];
            if (ready) {
                done[node] = true;
                links->order[count++] = node;
            }
        }
    }
    if (count < graph->layers_count) result = report_cycle(graph, links, done, error);
    free(done);
    return result;
}

/* ---- what leads nowhere ------------------------------------------------------------------------------------------ */

static int check_readers(const struct bp_graph *graph, const struct bp_links *links, struct bp_error *error) {
    char pointer[64];
    const int32_t inputs = graph->inputs_count, total = inputs + graph->layers_count;
    for (int32_t node = inputs; node < total; node++) {
        bool read = false;
        for (int32_t i = 0; i < links->outputs_count; i++) read = read || node == links->outputs[i];
        for (int32_t other = inputs; !read && other < total; other++)
            for (int32_t i = 0; i < links->inputs_count[other]; i++) read = read || links->inputs[other][i] == node;
        if (read) continue;
        snprintf(pointer, sizeof pointer, "/layers/%d", (int)(node - inputs));
        return bp_error_set(error, pointer, "no layer reads \"%s\", and the output is \"%s\"%s; name \"%s\" among a layer's inputs or remove it",
                            links->names[node], links->names[links->outputs[0]], links->outputs_count > 1 ? " and others" : "", links->names[node]);
    }
    return 0;
}

int bp_links_resolve(const struct bp_graph *graph, struct bp_links *links, struct bp_error *error) {
    *links = (struct bp_links){0};
    if (graph->layers_count < 1) return bp_error_set(error, "/layers", "the network has no layers; it needs at least one");
    if (graph->inputs_count < 1) return bp_error_set(error, "/inputs", "the network has no inputs; it needs at least one");
    if (graph->inputs_count > BP_INPUTS_MAX)
        return bp_error_set(error, "/inputs", "the network has %d inputs; at most %d are allowed", (int)graph->inputs_count, BP_INPUTS_MAX);
    const size_t total = (size_t)graph->inputs_count + (size_t)graph->layers_count;
    links->names = calloc(total, sizeof *links->names);
    links->inputs = calloc(total, sizeof *links->inputs);
    links->inputs_count = calloc(total, sizeof *links->inputs_count);
    links->order = calloc(total, sizeof *links->order);
    if (!links->names || !links->inputs || !links->inputs_count || !links->order)
        return bp_error_memory(error, "no memory for a network of %d layers", (int)graph->layers_count);
    if (give_names(graph, links, error)) return -1;
    for (int32_t node = graph->inputs_count; node < (int32_t)total; node++)
        if (link_layer(graph, links, node, error)) return -1;
    if (find_outputs(graph, links, error) || find_order(graph, links, error)) return -1;
    return graph->any_readers ? 0 : check_readers(graph, links, error);
}

void bp_links_free(struct bp_links *links) {
    free(links->names);
    free(links->inputs);
    free(links->inputs_count);
    free(links->order);
}
