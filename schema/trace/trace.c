/* trace.c - see trace.h. */
#include "schema/trace/trace.h"

#include "engine/trace.h"
#include "schema/json/values.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double STEPS_WORK_MAX = 4e9; /* steps x samples x parameters: some seconds */

/* A network, a batch, weights. */
struct batch {
    struct bp_graph graph;
    struct bp_network *network; /* of the float32 side: shapes and places of weights */
    struct bp_input inputs_given[BP_INPUTS_MAX];
    int32_t inputs_count;
    int32_t n;
    double *inputs[BP_INPUTS_MAX], *targets[BP_OUTPUTS_MAX], *weights;
    int32_t probes;
    double *probe[BP_INPUTS_MAX];
    uint64_t seed;
};

static void batch_close(struct batch *b) {
    bp_network_free(b->network);
    for (int32_t i = 0; i < BP_INPUTS_MAX; i++) free(b->inputs[i]);
    for (int32_t i = 0; i < BP_INPUTS_MAX; i++) free(b->probe[i]);
    for (int32_t k = 0; k < BP_OUTPUTS_MAX; k++) free(b->targets[k]);
    free(b->weights);
}

static int problem(struct schema_problems *problems, const struct bp_error *error) {
    return schema_problem_error(problems, error->pointer, error);
}

static int32_t target_width(const struct bp_output *output) {
    return bp_loss_target_width(output->loss, output->values, &output->shape);
}

/* The network is small enough to be read, and can be trained; the steps take seconds at most. */
static int check_size(const struct batch *b, const struct schema_tracing *tracing, struct schema_problems *problems) {
    int64_t numbers = 0;
    if ((double)tracing->steps * (double)b->n * (double)b->network->parameters > STEPS_WORK_MAX)
        return schema_problem_add(problems, "/steps", "%d steps of %d samples through %lld parameters take too long for one request; at most %d here",
                                  (int)tracing->steps, (int)b->n, (long long)b->network->parameters,
                                  (int)(STEPS_WORK_MAX / ((double)b->n * (double)b->network->parameters)));
    for (int32_t i = 0; i < b->network->nodes_count; i++) numbers += bp_shape_size(&b->network->nodes[i].out) * b->n;
    if (b->network->parameters > SCHEMA_TRACE_PARAMETERS_MAX)
        return schema_problem_add(problems, "", "a trace shows every number: it takes networks of at most %d parameters, this one has %lld",
                                  SCHEMA_TRACE_PARAMETERS_MAX, (long long)b->network->parameters);
    if (!tracing->brief && numbers > SCHEMA_TRACE_NUMBERS_MAX)
        return schema_problem_add(problems, "", "the layers compute %lld numbers for this batch, a trace shows at most %d; use fewer samples",
                                  (long long)numbers, SCHEMA_TRACE_NUMBERS_MAX);
    for (int32_t k = 0; k < b->network->outputs_count; k++)
        if (b->network->outputs[k].predictions)
            return schema_problem_add(problems, "",
                                      "an ensemble averages networks that were trained separately: nothing flows back through it as a "
                                      "whole; trace the definition of one of its members");
    return 0;
}

static int allocate(struct batch *b, struct schema_problems *problems) {
    bool good = true;
    for (int32_t i = 0; i < b->network->inputs_count; i++)
        good = (b->inputs[i] = calloc((size_t)b->n * (size_t)bp_shape_size(&b->network->nodes[i].out) + 1, sizeof(double))) && good;
    for (int32_t k = 0; k < b->network->outputs_count; k++)
        good = (b->targets[k] = calloc((size_t)b->n * (size_t)target_width(&b->network->outputs[k]) + 1, sizeof(double))) && good;
    b->weights = calloc(b->network->weights_count + 1, sizeof *b->weights);
    return good && b->weights ? 0 : schema_problem_no_memory(problems);
}

/* ---- a trained model -------------------------------------------------------------------------------------------------------------------------- */

static void read_rows(struct batch *b, const struct schema_source *source, float *room) {
    const struct bp_source batches = schema_source_batches(source);
    struct bp_batch batch = {0};
    int64_t samples[SCHEMA_TRACE_BATCH_MAX];
    bp_real weights[SCHEMA_TRACE_BATCH_MAX], counts[SCHEMA_TRACE_BATCH_MAX];
    float *at = room;
    for (int32_t i = 0; i < b->network->inputs_count; at += b->n * bp_shape_size(&b->network->nodes[i].out), i++) batch.inputs[i] = at;
    for (int32_t k = 0; k < b->network->outputs_count; at += b->n * target_width(&b->network->outputs[k]), k++) batch.targets[k] = at;
    batch.weights = weights;
    batch.counts = counts;
    for (int32_t i = 0; i < b->n; i++) samples[i] = i;
    batches.fill(batches.context, samples, b->n, &batch);
    for (int32_t i = 0; i < b->network->inputs_count; i++)
        for (int64_t j = 0; j < b->n * bp_shape_size(&b->network->nodes[i].out); j++) b->inputs[i][j] = (double)batch.inputs[i][j];
    for (int32_t k = 0; k < b->network->outputs_count; k++)
        for (int64_t j = 0; j < (int64_t)b->n * target_width(&b->network->outputs[k]); j++) b->targets[k][j] = (double)batch.targets[k][j];
}

static int open_rows(struct batch *b, const struct schema_tracing *tracing, struct schema_problems *problems) {
    const struct schema_training *t = tracing->model->training;
    struct bp_error error = {0};
    struct schema_split split = {0};
    struct schema_source *source = NULL;
    struct schema_view *view = schema_view_new(t->preprocessing, tracing->dataset, true, &error);
    int failed = view && schema_training_held(t, view, &split, &error) == 0 ? 0 : -1;
    if (!failed && split.validation_count == 0)
        failed = bp_error_set(&error, "/dataset", "no row can be traced: each lacks a target, or has a label that the model does not know");
    b->graph = schema_training_graph(t->definition, t->preprocessing, NULL);
    b->n = split.validation_count < tracing->rows ? (int32_t)split.validation_count : tracing->rows;
    struct schema_source_options options = {.view = view, .rows = split.validation, .n = b->n, .memory_max = SCHEMA_SOURCE_MEMORY};
    schema_training_one_hot(t, options.one_hot);
    if (!failed) failed = bp_network_plan(&b->graph, &b->network, &error);
    if (failed) problem(problems, &error);
    if (!failed) failed = check_size(b, tracing, problems) != 0 || allocate(b, problems) != 0 ? -1 : 0;
    if (!failed && schema_source_new(&options, &source, &error) != 0) failed = problem(problems, &error);
    int64_t room = 0;
    for (int32_t i = 0; !failed && i < b->network->inputs_count; i++) room += b->n * bp_shape_size(&b->network->nodes[i].out);
    for (int32_t k = 0; !failed && k < b->network->outputs_count; k++) room += (int64_t)b->n * target_width(&b->network->outputs[k]);
    float *numbers = failed ? NULL : malloc(((size_t)room + 1) * sizeof *numbers);
    if (numbers) read_rows(b, source, numbers);
    else if (!failed) failed = schema_problem_no_memory(problems);
    for (size_t i = 0; !failed && i < b->network->weights_count; i++) b->weights[i] = (double)tracing->model->weights[i];
    free(numbers);
    schema_source_free(source);
    schema_split_free(&split);
    schema_view_free(view);
    return failed;
}

/* ---- numbers of the request -------------------------------------------------------------------------------------------------------------------- */

/* Nested arrays of numbers of that shape, in order; -1 with a problem. */
static int read_nested(const json_t *json, const int32_t *dims, int32_t rank, const char *pointer, double **out, struct schema_problems *problems) {
    char got[80];
    if (rank == 0) {
        if (!json_is_number(json))
            return schema_problem_add(problems, pointer, "a number is expected, got %s", schema_json_text(json, got, sizeof got));
        *(*out)++ = json_number_value(json);
        return 0;
    }
    if (!json_is_array(json) || json_array_size(json) != (size_t)dims[0])
        return schema_problem_add(problems, pointer, "an array of %d is expected, got %s", (int)dims[0],
                                  json_is_array(json) ? "another number of elements" : schema_json_text(json, got, sizeof got));
    for (size_t i = 0; i < json_array_size(json); i++) {
        char place[200];
        if (read_nested(json_array_get(json, i), dims + 1, rank - 1, schema_pointer_index(pointer, i, place, sizeof place), out, problems) != 0)
            return -1;
    }
    return 0;
}

static void shape_of(const json_t *json, struct bp_shape *shape) {
    *shape = (struct bp_shape){0};
    for (; json_is_array(json) && json_array_size(json) > 0 && shape->rank < BP_RANK_MAX; json = json_array_get(json, 0))
        shape->dims[shape->rank++] = (int32_t)json_array_size(json);
}

/* Samples by name, or the only array. */
static const json_t *samples_of(const json_t *json, const char *name) {
    return json_is_object(json) ? json_object_get(json, name) : json;
}

static int find_inputs(struct batch *b, const struct schema_tracing *tracing, struct schema_problems *problems) {
    const struct schema_definition *d = tracing->definition;
    const json_t *x = json_object_get(tracing->numbers, "x");
    struct bp_input open[BP_INPUTS_MAX];
    b->inputs_count = d->inputs_count ? d->inputs_count : schema_definition_open_inputs(d, open);
    for (int32_t i = 0; i < b->inputs_count; i++) {
        struct bp_input *input = &b->inputs_given[i];
        *input = d->inputs_count ? d->inputs[i] : open[i];
        const json_t *samples = samples_of(x, input->name);
        const size_t n = json_is_array(samples) ? json_array_size(samples) : 0;
        if (n < 1 || n > SCHEMA_TRACE_BATCH_MAX)
            return schema_problem_add(problems, "/x", "x is an array of 1 to %d samples%s%.60s%s", SCHEMA_TRACE_BATCH_MAX,
                                      b->inputs_count > 1 ? ", by the name of the input: \"" : "", b->inputs_count > 1 ? input->name : "",
                                      b->inputs_count > 1 ? "\" is missing" : "");
        if (i > 0 && (int32_t)n != b->n) return schema_problem_add(problems, "/x", "the inputs have different numbers of samples");
        b->n = (int32_t)n;
        if (input->shape.rank <= 0) shape_of(json_array_get(samples, 0), &input->shape);
        if (input->shape.rank <= 0) return schema_problem_add(problems, "/x/0", "a sample is an array of numbers");
    }
    return 0;
}

/* n samples of each input into numbers, which are allocated. */
static int read_inputs(const struct batch *b, const json_t *x, const char *pointer, int32_t n, double **inputs, struct schema_problems *problems) {
    for (int32_t i = 0; i < b->network->inputs_count; i++) {
        const struct bp_shape *shape = &b->network->nodes[i].out;
        int32_t dims[BP_RANK_MAX + 1] = {n};
        double *at = inputs[i];
        memcpy(dims + 1, shape->dims, (size_t)shape->rank * sizeof *dims);
        if (read_nested(samples_of(x, b->network->nodes[i].name), dims, shape->rank + 1, pointer, &at, problems) != 0) return -1;
        const int32_t indices = bp_network_indices(b->network, i);
        for (int64_t j = 0; indices && j < n * bp_shape_size(shape); j++)
            if (!(inputs[i][j] >= 0 && inputs[i][j] < indices && inputs[i][j] == floor(inputs[i][j])))
                return schema_problem_add(problems, pointer, "an embedding reads whole numbers from 0 to %d, got %g", (int)indices - 1, inputs[i][j]);
    }
    return 0;
}

static int read_probe(struct batch *b, const json_t *probe, struct schema_problems *problems) {
    if (!probe || json_is_null(probe)) return 0;
    const size_t n = json_array_size(samples_of(probe, b->network->nodes[0].name));
    if (n < 1 || n > SCHEMA_TRACE_PROBES_MAX)
        return schema_problem_add(problems, "/probe", "probe is like x, with 1 to %d samples", SCHEMA_TRACE_PROBES_MAX);
    b->probes = (int32_t)n;
    for (int32_t i = 0; i < b->network->inputs_count; i++)
        if (!(b->probe[i] = calloc(n * (size_t)bp_shape_size(&b->network->nodes[i].out) + 1, sizeof(double))))
            return schema_problem_no_memory(problems);
    return read_inputs(b, probe, "/probe", b->probes, b->probe, problems);
}

static int read_targets(struct batch *b, const json_t *y, struct schema_problems *problems) {
    for (int32_t k = 0; k < b->network->outputs_count; k++) {
        const struct bp_output *output = &b->network->outputs[k];
        const int32_t width = target_width(output),
                      classes = (int32_t)(bp_shape_size(&output->shape) / bp_loss_positions(output->loss, &output->shape));
        const json_t *samples = samples_of(y, b->network->nodes[output->node].name);
        double *at = b->targets[k];
        if (!json_is_array(samples) || json_array_size(samples) != (size_t)b->n)
            return schema_problem_add(problems, "/y", "y is an array with the target of each of the %d samples", (int)b->n);
        const bool flat = width == 1 && json_is_number(json_array_get(samples, 0));
        const int32_t dims[2] = {b->n, width};
        if (read_nested(samples, dims, flat ? 1 : 2, "/y", &at, problems) != 0) return -1;
        for (int32_t j = 0; output->loss->target == BP_TARGET_CLASS && j < b->n * width; j++)
            if (!(b->targets[k][j] >= 0 && b->targets[k][j] < (classes < 2 ? 2 : classes) && b->targets[k][j] == floor(b->targets[k][j])))
                return schema_problem_add(problems, "/y", "the loss %s wants numbers of classes, 0 to %d, got %g", output->loss->entry.name,
                                          (classes < 2 ? 2 : classes) - 1, b->targets[k][j]);
    }
    return 0;
}

/* Weights that are given replace the initial ones. */
static int read_weights(struct batch *b, const json_t *given, struct schema_problems *problems) {
    const char *name;
    json_t *value;
    if (!given || json_is_null(given)) return 0;
    if (!json_is_object(given)) return schema_problem_add(problems, "/weights", "weights is an object of nested arrays, by \"layer/tensor\"");
    json_object_foreach((json_t *)(uintptr_t)given, name, value) {
        bool found = false;
        for (int32_t i = 0; i < b->network->nodes_count && !found; i++)
            for (int32_t t = 0; t < b->network->nodes[i].tensors_count && !found; t++) {
                const struct bp_tensor *tensor = &b->network->nodes[i].tensors[t];
                char full[2 * BP_NAME_MAX + 2], place[200];
                snprintf(full, sizeof full, "%s/%s", b->network->nodes[i].name, tensor->name);
                if (strcmp(full, name) != 0) continue;
                found = true;
                double *at = b->weights + tensor->offset;
                if (read_nested(value, tensor->shape.dims, tensor->shape.rank, schema_pointer("/weights", name, place, sizeof place), &at,
                                problems) != 0)
                    return -1;
            }
        if (!found) return schema_problem_add(problems, "/weights", "the network has no tensor \"%.80s\"; they are named \"layer/tensor\"", name);
    }
    return 0;
}

static int open_numbers(struct batch *b, const struct schema_tracing *tracing, struct schema_problems *problems) {
    struct bp_error error = {0};
    const json_t *seed = json_object_get(tracing->numbers, "seed");
    if (find_inputs(b, tracing, problems) != 0) return -1;
    b->graph = schema_definition_graph(tracing->definition, b->inputs_given, b->inputs_count);
    if (!b->graph.outputs[0].loss) return schema_problem_add(problems, "/loss", "the definition names no loss; add for example \"loss\":\"mse\"");
    if (bp_network_plan(&b->graph, &b->network, &error) != 0) return problem(problems, &error);
    if (!b->network->complete) return schema_problem_add(problems, "/x", "the shapes of the layers do not follow from the samples");
    if (check_size(b, tracing, problems) != 0 || allocate(b, problems) != 0) return -1;
    b->seed = json_is_integer(seed) && json_integer_value(seed) >= 0 ? (uint64_t)json_integer_value(seed) : 0;
    bp_real *initial = bp_reals_new(b->network->weights_count + 1);
    if (!initial) return schema_problem_no_memory(problems);
    bp_network_initialize(b->network, b->seed, initial);
    for (size_t i = 0; i < b->network->weights_count; i++) b->weights[i] = (double)initial[i];
    free(initial);
    if (read_inputs(b, json_object_get(tracing->numbers, "x"), "/x", b->n, b->inputs, problems) != 0) return -1;
    if (read_probe(b, json_object_get(tracing->numbers, "probe"), problems) != 0) return -1;
    if (read_targets(b, json_object_get(tracing->numbers, "y"), problems) != 0) return -1;
    return read_weights(b, json_object_get(tracing->numbers, "weights"), problems);
}

/* ---- as JSON ------------------------------------------------------------------------------------------------------------------------------------
 */

static json_t *nested(const double **at, const int32_t *dims, int32_t rank) {
    if (rank == 0) {
        const double v = *(*at)++;
        return v - v == 0 ? json_real(v) : json_null();
    }
    json_t *json = json_array();
    for (int32_t i = 0; i < dims[0]; i++) json_array_append_new(json, nested(at, dims + 1, rank - 1));
    return json;
}

static json_t *samples_json(const double *numbers, int32_t n, const struct bp_shape *shape) {
    int32_t dims[BP_RANK_MAX + 1] = {n};
    memcpy(dims + 1, shape->dims, (size_t)shape->rank * sizeof *dims);
    return nested(&numbers, dims, shape->rank + 1);
}

static json_t *tensor_json(const double *numbers, const struct bp_shape *shape) {
    return nested(&numbers, shape->dims, shape->rank);
}

/* "[2, 3]" */
static const char *dims_text(const struct bp_shape *shape, int32_t n, char text[static 100]) {
    size_t at = (size_t)snprintf(text, 100, "[");
    if (n) at += (size_t)snprintf(text + at, 100 - at, "%d", (int)n);
    for (int32_t i = 0; i < shape->rank && at < 90; i++) at += (size_t)snprintf(text + at, 100 - at, "%s%d", i || n ? ", " : "", (int)shape->dims[i]);
    snprintf(text + at, 100 - at, "]");
    return text;
}

static void say(json_t *formulas, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(json_t *formulas, const char *format, ...) {
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(formulas, json_string(text));
}

/* The formulas of a layer, with its shapes. Samples are rows: x W instead of W x. */
static json_t *formulas_json(const struct batch *b, const struct bp_trace_layer *layer, bool last) {
    json_t *formulas = json_array();
    const struct bp_shape none = {0};
    char z[100], W[100], bias[100];
    const bool dense = strcmp(layer->type, "dense") == 0, input = strcmp(layer->type, "input") == 0;
    const struct bp_trace_tensor *kernel = dense ? &layer->tensors[0] : NULL;
    dims_text(&layer->shape, b->n, z);
    if (input) {
        say(formulas, "a %s: the samples", z);
        return formulas;
    }
    if (dense) {
        dims_text(&kernel->shape, 0, W);
        dims_text(layer->tensors_count > 1 ? &layer->tensors[1].shape : &none, 0, bias);
        say(formulas, "z %s = x W %s%s%s, x = a of \"%s\"", z, W, layer->tensors_count > 1 ? " + b " : "", layer->tensors_count > 1 ? bias : "",
            layer->inputs[0]);
    } else {
        say(formulas, "%s %s = %s of a of \"%s\"", layer->activation && layer->z ? "z" : "a", z, layer->type, layer->inputs[0]);
    }
    if (layer->activation) say(formulas, "a %s = %s(z)", z, layer->activation);
    else if (dense) say(formulas, "a = z");
    if (last) say(formulas, "delta %s = dL/dz: the loss, a mean over the %d samples, differentiated by z", z, (int)b->n);
    else if (layer->activation && layer->z) say(formulas, "delta %s = (delta_next W_next^T) * %s'(z)", z, layer->activation);
    else say(formulas, "delta %s = what the layers that read it send back", z);
    if (dense) {
        say(formulas, "dW %s = x^T delta", W);
        if (layer->tensors_count > 1) say(formulas, "db %s = sum of delta over the samples", bias);
        say(formulas, "sent back to \"%s\": delta W^T", layer->inputs[0]);
    } else {
        for (int32_t t = 0; t < layer->tensors_count; t++)
            if (!layer->tensors[t].state)
                say(formulas, "d %s %s = dL/d %s", layer->tensors[t].name, dims_text(&layer->tensors[t].shape, 0, W), layer->tensors[t].name);
    }
    return formulas;
}

static const char *slot_name(const struct bp_optimizer_ops *optimizer, int32_t s, char text[static 24]) {
    static const char *const adams[] = {"adam", "adamw", "nadam", "radam", "adamax", "lamb"};
    for (size_t i = 0; s < 2 && i < sizeof adams / sizeof *adams; i++)
        if (strcmp(optimizer->entry.name, adams[i]) == 0) return s ? "v" : "m";
    snprintf(text, 24, "state_%d", (int)s + 1);
    return text;
}

static json_t *parameter_json(const struct bp_trace *trace, const struct bp_trace_tensor *tensor, const struct bp_optimizer_ops *optimizer) {
    json_t *json = json_pack("{s:s, s:o}", "name", tensor->name, "value", tensor_json(tensor->W, &tensor->shape));
    const size_t at = (size_t)(tensor->W - trace->weights);
    char name[24];
    if (tensor->state) {
        json_object_set_new(json, "trained", json_false());
        return json;
    }
    json_object_set_new(json, "gradient", tensor_json(tensor->gradient, &tensor->shape));
    json_object_set_new(json, "numeric_gradient", tensor_json(tensor->numeric, &tensor->shape));
    json_object_set_new(json, "largest_difference", json_real(tensor->error));
    if (!trace->updated) return json;
    json_t *update = json_object();
    for (int32_t s = 0; s < trace->slots_count; s++)
        json_object_set_new(update, slot_name(optimizer, s, name), tensor_json(trace->slots[s] + at, &tensor->shape));
    double *step = malloc(((size_t)bp_shape_size(&tensor->shape) + 1) * sizeof *step);
    for (int64_t i = 0; step && i < bp_shape_size(&tensor->shape); i++) step[i] = trace->updated[at + (size_t)i] - trace->weights[at + (size_t)i];
    if (step) json_object_set_new(update, "step", tensor_json(step, &tensor->shape));
    free(step);
    json_object_set_new(update, "value", tensor_json(trace->updated + at, &tensor->shape));
    json_object_set_new(json, "update", update);
    return json;
}

static json_t *layer_json(const struct batch *b, const struct bp_trace *trace, int32_t i, const struct bp_optimizer_ops *optimizer) {
    const struct bp_trace_layer *layer = &trace->layers[i];
    json_t *json = json_pack("{s:s, s:s}", "name", layer->name, "type", layer->type), *parameters = json_array(), *inputs = json_array();
    bool last = false;
    for (int32_t k = 0; k < b->network->outputs_count; k++) last = last || b->network->outputs[k].node == i;
    for (int32_t k = 0; k < layer->inputs_count; k++) json_array_append_new(inputs, json_string(layer->inputs[k]));
    json_object_set_new(json, "inputs", inputs);
    if (layer->activation) json_object_set_new(json, "activation", json_string(layer->activation));
    json_object_set_new(json, "formulas", formulas_json(b, layer, last));
    if (layer->z) json_object_set_new(json, "z", samples_json(layer->z, b->n, &layer->shape));
    json_object_set_new(json, "a", samples_json(layer->a, b->n, &layer->shape));
    if (layer->delta) json_object_set_new(json, "delta", samples_json(layer->delta, b->n, &layer->shape));
    for (int32_t t = 0; t < layer->tensors_count; t++) json_array_append_new(parameters, parameter_json(trace, &layer->tensors[t], optimizer));
    json_object_set_new(json, "parameters", parameters);
    return json;
}

/* What the network computes for the probes, and the loss of each step. */
static void add_steps(json_t *json, const struct batch *b, const struct bp_trace *trace, int32_t steps) {
    json_t *history = json_array(), *probe = json_array();
    for (int32_t s = 0; s <= steps; s++) {
        const double loss = trace->history[s];
        json_array_append_new(history, loss - loss == 0 ? json_real(loss) : json_null());
    }
    json_object_set_new(json, "history", history);
    for (int32_t k = 0; k < trace->outputs_count; k++) json_array_append_new(probe, samples_json(trace->probed[k], b->probes, &trace->outputs[k]));
    if (b->probes) json_object_set_new(json, "probe", probe);
    else json_decref(probe);
}

static json_t *trace_json(const struct batch *b, const struct bp_trace *trace, const struct schema_tracing *tracing,
                          const struct bp_optimizer_ops *optimizer, const struct bp_value *values) {
    json_t *layers = json_array(), *losses = json_array();
    for (int32_t i = 0; i < trace->layers_count && !tracing->brief; i++) json_array_append_new(layers, layer_json(b, trace, i, optimizer));
    for (int32_t k = 0; k < b->network->outputs_count; k++) json_array_append_new(losses, json_string(b->network->outputs[k].loss->entry.name));
    double error = 0;
    for (int32_t i = 0; i < trace->layers_count; i++)
        for (int32_t t = 0; t < trace->layers[i].tensors_count; t++) error = fmax(error, trace->layers[i].tensors[t].error);
    json_t *targets = json_array();
    for (int32_t k = 0; k < b->network->outputs_count; k++) {
        const struct bp_shape width = {.rank = 1, .dims = {target_width(&b->network->outputs[k])}};
        json_array_append_new(targets, samples_json(b->targets[k], b->n, &width));
    }
    json_t *json = json_pack("{s:i, s:I, s:o, s:f, s:o, s:f, s:o}", "batch", (int)b->n, "parameters", (json_int_t)b->network->parameters, "losses",
                             losses, "loss", trace->loss, "targets", targets, "largest_difference", error, "layers", layers);
    add_steps(json, b, trace, optimizer ? tracing->steps : 0);
    if (tracing->brief) json_object_del(json, "largest_difference");
    if (trace->updated) json_object_set_new(json, "optimizer", schema_entry_encode(&optimizer->entry, values));
    return json;
}

json_t *schema_trace(const struct schema_tracing *tracing, struct schema_problems *problems) {
    struct batch b = {0};
    struct bp_trace trace = {0};
    struct bp_error error = {0};
    struct bp_value values[BP_VALUES_MAX];
    json_t *json = NULL;
    const struct bp_optimizer_ops *optimizer = tracing->optimizer;
    if (optimizer) memcpy(values, tracing->optimizer_values, sizeof values);
    else if (tracing->model) {
        optimizer = tracing->model->training->options.optimizer;
        memcpy(values, tracing->model->training->options.optimizer_values, sizeof values);
    } else {
        optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, "sgd");
        bp_values_preset(&optimizer->entry, values);
    }
    if (optimizer->search) optimizer = NULL;
    if ((tracing->model ? open_rows(&b, tracing, problems) : open_numbers(&b, tracing, problems)) == 0) {
        struct bp_trace_request request = {
            .batch = b.n, .network = b.network, .weights = b.weights, .optimizer = optimizer, .optimizer_values = values};
        request.steps = tracing->steps;
        request.brief = tracing->brief;
        request.probes = b.probes;
        for (int32_t i = 0; i < b.network->inputs_count; i++) request.probe[i] = b.probe[i];
        for (int32_t i = 0; i < b.network->inputs_count; i++) request.inputs[i] = b.inputs[i];
        for (int32_t k = 0; k < b.network->outputs_count; k++) request.targets[k] = b.targets[k];
        if (bp64_trace(&b.graph, &request, &trace, &error) != 0) problem(problems, &error);
        else json = trace_json(&b, &trace, tracing, optimizer, values);
    }
    bp64_trace_free(&trace);
    batch_close(&b);
    return json;
}
