/* definition.h - a model definition: {"layers":[...], "inputs"?, "loss"?, "metrics"?, "outputs"?} to and from engine structs. */
#ifndef SCHEMA_DEFINITION_H
#define SCHEMA_DEFINITION_H

#include "engine/metrics/metric.h"
#include "engine/network/network.h"
#include "engine/train/train.h"
#include "schema/json/problems.h"

enum { SCHEMA_LAYERS_MAX = 1000 };

/* The options of one output by its name, if there are several. */
struct schema_named_output {
    char name[BP_NAME_MAX];
    const struct bp_loss_ops *loss; /* NULL: chosen by the task */
    struct bp_value loss_values[BP_VALUES_MAX];
    double weight; /* of its loss, 0: 1 */
    bool metrics_given;
    int32_t metrics_count;
    const struct bp_metric_ops *metrics[BP_METRICS_MAX];
    double metric_numbers[BP_METRICS_MAX][BP_METRIC_NUMBERS_MAX];
};

struct schema_definition {
    int32_t inputs_count, layers_count;
    struct bp_input *inputs; /* as given under "inputs"; none is common */
    struct bp_layer *layers;
    int32_t outputs_count; /* 0: the last layer */
    char outputs[BP_OUTPUTS_MAX][BP_NAME_MAX];
    const struct bp_loss_ops *loss; /* of every output that `named` does not list; NULL: derived from the task */
    struct bp_value loss_values[BP_VALUES_MAX];
    bool metrics_given;
    int32_t metrics_count;
    const struct bp_metric_ops *metrics[BP_METRICS_MAX];
    double metric_numbers[BP_METRICS_MAX][BP_METRIC_NUMBERS_MAX];
    int32_t named_count;
    struct schema_named_output named[BP_OUTPUTS_MAX];
};

/* Decodes a definition; members named in `others` are the caller's ("name"). pointer: where the object stands in the request. NULL with problems.
 * Checks names, parameters, wiring, and shapes as far as the definition determines them. */
struct schema_definition *schema_definition_decode(const json_t *json, const char *pointer, const char *const *others,
                                                   struct schema_problems *problems);
void schema_definition_free(struct schema_definition *definition);
/* Everything explicit, defaults too; decoding it again gives the same definition. */
json_t *schema_definition_encode(const struct schema_definition *definition);
/* Appends a layer of that type (an output that was left out: dense, ensemble_dense), named so and reading the layer `input` (both "" as usual). 0, or
 * -1 without memory. */
int schema_definition_append(struct schema_definition *definition, const char *type, int32_t units, const char *activation, const char *name,
                             const char *input);
/* The options of the output of that name, added if absent; NULL: there are too many. */
struct schema_named_output *schema_definition_named(struct schema_definition *definition, const char *name);
/* The engine's view; borrowed from the definition. inputs replaces the definition's own when given. */
struct bp_graph schema_definition_graph(const struct schema_definition *definition, const struct bp_input *inputs, int32_t inputs_count);
/* The inputs of a definition that declares none, as far as it shows them, with unknown shapes: every name that its layers read and that is no layer,
 * or one. Which inputs there are is not known before the data. open: (BP_INPUTS_MAX). Returns how many. */
int32_t schema_definition_open_inputs(const struct schema_definition *definition, struct bp_input *open);
/* The layers' shapes and parameters: [{"name","type","inputs":[...],"output_shape":[...],"parameters":n}]. */
json_t *schema_network_layers_json(const struct bp_network *network);
json_t *schema_shape_json(const struct bp_shape *shape);

#endif
