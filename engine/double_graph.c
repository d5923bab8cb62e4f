/* double_graph.c - see double_graph.h. */
#include "engine/double_graph.h"

#include <stdlib.h>
#include <string.h>

void bp_double_values(const struct bp_entry *entry, struct bp_value *values) {
    for (int32_t i = 0; i < entry->params_count; i++)
        if (values[i].entry) values[i].entry = bp_family_find(entry->params[i].family, values[i].entry->name);
}

int bp_double_graph(const struct bp_graph *graph, struct bp_graph *copy, struct bp_layer **layers, struct bp_error *error) {
    *copy = *graph;
    *layers = calloc((size_t)graph->layers_count + 1, sizeof **layers);
    if (!*layers) return bp_error_memory(error, "no memory for a copy of the network");
    memcpy(*layers, graph->layers, (size_t)graph->layers_count * sizeof **layers);
    copy->layers = *layers;
    for (int32_t i = 0; i < graph->layers_count; i++) {
        struct bp_layer *layer = &(*layers)[i];
        const struct bp_entry *entry = bp_family_find(&bp_layers, layer->ops->entry.name);
        if (!entry) return bp_error_set(error, "/layers", "there is no layer %s in double precision", layer->ops->entry.name);
        layer->ops = (const struct bp_layer_ops *)entry;
        bp_double_values(&layer->ops->entry, layer->values);
    }
    for (int32_t k = 0; k < (graph->outputs_count ? graph->outputs_count : 1); k++) {
        struct bp_graph_output *output = &copy->outputs[k];
        output->loss = output->loss ? (const struct bp_loss_ops *)bp_family_find(&bp_losses, output->loss->entry.name) : NULL;
        if (!output->loss) return bp_error_set(error, "/loss", "a loss is needed, for example \"loss\":\"mse\"");
        bp_double_values(&output->loss->entry, output->values);
    }
    return 0;
}
