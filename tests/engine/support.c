/* support.c - see support.h. */
#include "tests/engine/support.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- networks from text ------------------------------------------------------------------------------------------ */

static void set_value(const struct bp_param *param, struct bp_value *value, char *text) {
    value->given = true;
    if (param->type == BP_PARAM_ENTRY) {
        char *colon = strchr(text, ':');
        if (colon) *colon = 0;
        value->entry = bp_family_find(param->family, text);
        ck_assert_msg(value->entry != NULL, "no %s %s", param->family->noun, text);
        for (int32_t k = 0; k < value->entry->params_count; k++) value->entry_numbers[k] = value->entry->params[k].preset;
        if (colon) value->entry_numbers[0] = strtod(colon + 1, NULL);
    } else if (param->type == BP_PARAM_INTEGERS || (param->flags & BP_PARAM_OR_INTEGERS && *text >= '0' && *text <= '9')) {
        value->integers_count = 0;
        for (char *end = text; *end; text = *end ? end + 1 : end) value->integers[value->integers_count++] = (int32_t)strtol(text, &end, 10);
    } else if (param->type == BP_PARAM_NUMBERS) {
        value->numbers_count = 0;
        for (char *end = text; *end; text = *end ? end + 1 : end) value->numbers[value->numbers_count++] = strtod(text, &end);
    } else if (param->type == BP_PARAM_CHOICE) {
        int32_t i = 0;
        while (param->choices[i] && strcmp(param->choices[i], text)) i++;
        ck_assert_msg(param->choices[i] != NULL, "%s is none of the choices of %s", text, param->name);
        value->number = i;
    } else {
        value->number = strtod(text, NULL);
    }
}

void test_values(const struct bp_entry *entry, struct bp_value *values, char *text) {
    char *state = NULL;
    for (char *word = strtok_r(text, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
        char *equals = strchr(word, '=');
        ck_assert_msg(equals != NULL, "no = in %s", word);
        *equals = 0;
        int32_t i = 0;
        while (i < entry->params_count && strcmp(entry->params[i].name, word)) i++;
        ck_assert_msg(i < entry->params_count, "%s has no parameter %s", entry->name, word);
        set_value(&entry->params[i], &values[i], equals + 1);
    }
}

/* Takes name=..., in=... and frozen=... out of the words; what is left goes to test_values. */
static void set_layer(struct bp_layer *layer, char *text) {
    char rest[256] = "", *state = NULL, *word = strtok_r(text, " ", &state);
    layer->ops = (const struct bp_layer_ops *)bp_family_find(&bp_layers, word);
    ck_assert_msg(layer->ops != NULL, "no layer %s", word);
    bp_values_preset(&layer->ops->entry, layer->values);
    while ((word = strtok_r(NULL, " ", &state)) != NULL) {
        if (!strncmp(word, "name=", 5)) {
            snprintf(layer->name, sizeof layer->name, "%s", word + 5);
        } else if (!strncmp(word, "frozen=", 7)) {
            layer->frozen = word[7] == '1';
        } else if (!strncmp(word, "in=", 3)) {
            char *names = NULL;
            for (char *name = strtok_r(word + 3, ",", &names); name; name = strtok_r(NULL, ",", &names))
                snprintf(layer->inputs[layer->inputs_count++], BP_NAME_MAX, "%s", name);
        } else {
            strncat(rest, word, sizeof rest - strlen(rest) - 2);
            strncat(rest, " ", 2);
        }
    }
    test_values(&layer->ops->entry, layer->values, rest);
}

/* "huber delta=2", "layer: huber delta=2" or "layer*0.5: huber delta=2". */
static void set_output(struct bp_graph *graph, char *text) {
    struct bp_graph_output *output = &graph->outputs[graph->outputs_count++];
    char *colon = strchr(text, ':'), *loss = colon ? colon + 1 : text;
    while (*text == ' ') text++;
    if (colon) {
        *colon = 0;
        char *times = strchr(text, '*');
        if (times) output->weight = strtod(times + 1, NULL);
        snprintf(output->name, BP_NAME_MAX, "%.*s", times ? (int)(times - text) : BP_NAME_MAX - 1, text);
    }
    while (*loss == ' ') loss++;
    char *values = loss + strcspn(loss, " ");
    if (*values) *values++ = 0;
    output->loss = (const struct bp_loss_ops *)bp_family_find(&bp_losses, loss);
    ck_assert_msg(output->loss != NULL, "no loss %s", loss);
    bp_values_preset(&output->loss->entry, output->values);
    test_values(&output->loss->entry, output->values, values);
}

void test_add_layer(struct test_graph *graph, const char *text) {
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", text);
    ck_assert_int_lt(graph->graph.layers_count, TEST_LAYERS);
    memset(&graph->layers[graph->graph.layers_count], 0, sizeof *graph->layers);
    set_layer(&graph->layers[graph->graph.layers_count++], copy);
}

void test_add_output(struct test_graph *graph, const char *text) {
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text);
    set_output(&graph->graph, copy);
}

void test_graph(struct test_graph *graph, const char *text, const char *loss, struct bp_shape shape) {
    char copy[1024], *state = NULL;
    memset(graph, 0, sizeof *graph);
    snprintf(copy, sizeof copy, "%s", text);
    snprintf(graph->inputs[0].name, BP_NAME_MAX, "x");
    graph->inputs[0].shape = shape;
    graph->graph.inputs = graph->inputs;
    graph->graph.layers = graph->layers;
    graph->graph.inputs_count = 1;
    for (char *layer = strtok_r(copy, ";", &state); layer; layer = strtok_r(NULL, ";", &state)) test_add_layer(graph, layer);
    if (!loss || !*loss) return;
    snprintf(copy, sizeof copy, "%s", loss);
    for (char *one = strtok_r(copy, ";", &state); one; one = strtok_r(NULL, ";", &state)) test_add_output(graph, one);
    if (graph->graph.outputs_count == 1 && !graph->graph.outputs[0].name[0]) graph->graph.outputs_count = 0; /* the last layer */
}

struct bp_network *test_network(const char *text, const char *loss, struct bp_shape shape) {
    struct test_graph graph;
    struct bp_network *net = NULL;
    struct bp_error error = {0};
    test_graph(&graph, text, loss, shape);
    ck_assert_msg(bp_network_plan(&graph.graph, &net, &error) == 0, "%s: %s", text, error.message);
    return net;
}

void test_plan_fails(const struct test_graph *graph, struct bp_error *error) {
    struct bp_network *net = NULL;
    memset(error, 0, sizeof *error);
    ck_assert_int_eq(bp_network_plan(&graph->graph, &net, error), -1);
    ck_assert_ptr_null(net);
    ck_assert_str_ne(error->message, "");
}

double test_distance(const bp_real *got, const double *expected, size_t n) {
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - expected[i]);
        largest = fmax(largest, fabs(expected[i]));
        if (!(d <= worst)) worst = d;
    }
    return worst == 0 ? 0 : worst / (largest > 0 ? largest : 1);
}
