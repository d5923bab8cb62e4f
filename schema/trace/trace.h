/* trace.h - backpropagation made visible: a mini-batch through a network in double, as JSON that explains itself (engine/trace.h). */
#ifndef SCHEMA_TRACE_H
#define SCHEMA_TRACE_H

#include "schema/predict/model_file.h"

enum {
    SCHEMA_TRACE_PARAMETERS_MAX = 10000,
    SCHEMA_TRACE_BATCH_MAX = 256,
    SCHEMA_TRACE_NUMBERS_MAX = 100000,
    SCHEMA_TRACE_STEPS_MAX = 20000,
    SCHEMA_TRACE_PROBES_MAX = 10000
};

struct schema_tracing {
    /* a trained model on rows of a dataset: preprocessing, weights and, if none is given, the optimizer are its own */
    const struct schema_model *model;
    const struct schema_dataset *dataset;
    int32_t rows; /* the first so many that have their targets */
    /* or, with model NULL, a definition on numbers as they are: {"x","y","weights"?,"seed"?}; x an array of samples, or with several inputs an object
     * of arrays by name, y likewise by output: numbers, or numbers of classes where the loss wants these; weights: nested arrays by tensor
     * ("dense_1/kernel"), all others are initial ones by seed; "probe"?: other inputs, like x */
    const struct schema_definition *definition;
    const json_t *numbers;
    const struct bp_optimizer_ops *optimizer; /* NULL: the model's, else sgd */
    const struct bp_value *optimizer_values;
    int32_t steps; /* of the optimizer on the batch, before what is traced */
    bool brief;    /* without the layers */
};
/* {"batch","loss","history","layers":[...],"optimizer","probe"}. The caller's; NULL with problems. */
json_t *schema_trace(const struct schema_tracing *tracing, struct schema_problems *problems);

#endif
