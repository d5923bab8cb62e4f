/* test_gradcheck.c - backpropagation of every layer, activation and loss against finite differences in double, by walking the
 * registries; and that the check itself finds what is wrong and avoids kinks. */
#include "support.h"

#include "gradcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-6

static void check_text(const char *text, const char *loss, struct bp_shape shape) {
    struct test_graph graph;
    struct bp_gradcheck_report report;
    struct bp_error error = {{0}, {0}};
    test_graph(&graph, text, loss, shape);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ck_assert_msg(bp64_gradcheck(&graph.graph, 5, seed, 0, &report, &error) == 0, "%s, %s: %s", text, loss, error.message);
        ck_assert_int_gt(report.count, 0);
        for (int32_t i = 0; i < report.count; i++) {
            const struct bp_gradcheck_tensor *t = &report.tensors[i];
            ck_assert_msg(t->error <= TOLERANCE, "%s, %s, seed %d: %s is off by %g (backward %.9g, differences %.9g)", text, loss, (int)seed, t->name,
                          t->error, t->analytic, t->numeric);
            ck_assert_msg(t->checked > 0 && t->skipped <= (t->checked + t->skipped) / 10 + 1, "%s, %s: %s: %d checked, %d skipped", text, loss,
                          t->name, (int)t->checked, (int)t->skipped);
        }
        ck_assert(report.error <= TOLERANCE);
        free(report.tensors);
    }
}

START_TEST(every_activation) {
    char text[256];
    for (int32_t i = 0; i < bp_activations.count; i++) {
        const struct bp_entry *entry = bp_activations.entries[i];
        snprintf(text, sizeof text, "dense units=4 activation=%s; dense units=3", entry->name);
        check_text(text, "mse", (struct bp_shape){1, {5}});
        snprintf(text, sizeof text, "dense units=4; activation activation=%s; dense units=3", entry->name);
        check_text(text, "mse", (struct bp_shape){2, {2, 3}});
        for (int32_t p = 0; p < entry->params_count && p < 1; p++) {
            snprintf(text, sizeof text, "dense units=4 activation=%s:%g; dense units=3", entry->name,
                     entry->params[p].type == BP_PARAM_BOOLEAN ? 1 : 0.7);
            check_text(text, "mse", (struct bp_shape){1, {5}});
        }
    }
}
END_TEST

/* A network in which each layer of the registry stands; a new one must be added here. */
START_TEST(every_layer) {
    static const struct {
        const char *name, *text;
        struct bp_shape shape;
    } networks[] = {
        {"activation", "dense units=3; activation activation=tanh; activation activation=softmax; dense units=2", {1, {4}}},
        {"average_pool1d", "dense units=3 activation=tanh; average_pool1d pool_size=3 strides=2 padding=same; dense units=2", {2, {6, 2}}},
        {"average_pool2d",
         "dense units=3 activation=tanh name=a; average_pool2d padding=1 strides=1 name=p; dense units=3 in=a; average_pool2d padding=1 strides=1 "
         "name=q;"
         "add in=p,q; average_pool2d pool_size=2,3",
         {3, {3, 4, 2}}},
        {"batch_norm", "dense units=4 activation=tanh; batch_norm; dense units=2", {1, {4}}},
        {"batch_norm",
         "dense units=3 name=a; batch_norm in=a scale=0 epsilon=0.1 name=b; batch_norm in=a center=0 name=c; add in=b,c,a",
         {2, {3, 2}}},
        {"batch_norm", "masking; dense units=3; batch_norm; lstm units=3", {2, {4, 2}}},
        {"masking", "masking; dense units=3 activation=tanh; lstm units=3; dense units=2", {2, {4, 2}}},
        {"masking", "masking; gru units=2 return_sequences=1 bidirectional=1; layer_norm; global_average_pool", {2, {4, 2}}},
        {"masking", "masking; rnn units=3 return_sequences=1 bidirectional=1; rnn units=2 bidirectional=1", {2, {5, 2}}},
        {"masking", "masking; dense units=4; multi_head_attention num_heads=2; dense units=3; global_max_pool", {2, {4, 2}}},
        {"masking", "masking name=m; dense units=2 activation=tanh name=d; add in=m,d; dense units=2", {2, {4, 2}}},
        {"masking", "masking mask_value=0; multi_head_attention num_heads=1 use_causal_mask=1; dense units=2", {2, {4, 2}}},
        {"embedding", "embedding input_dim=4 output_dim=3 mask_zero=1; lstm units=3; dense units=2", {1, {6}}},
        {"gaussian_noise", "gaussian_noise stddev=0.5; dense units=4 activation=tanh; gaussian_noise stddev=2; dense units=2", {1, {4}}},
        {"global_average_pool",
         "dense units=3 activation=tanh name=a; global_average_pool name=p; dense units=3 in=a; global_average_pool name=q; add in=p,q",
         {2, {4, 2}}},
        {"global_max_pool",
         "dense units=3 activation=tanh name=a; global_max_pool name=p; dense units=3 in=a; global_max_pool name=q; add in=p,q",
         {3, {2, 3, 2}}},
        {"max_pool1d", "dense units=5; max_pool1d pool_size=3 strides=2 padding=same; dense units=2", {2, {6, 2}}},
        {"max_pool2d",
         "dense units=3 activation=tanh name=a; max_pool2d padding=1 strides=1 name=p; dense units=3 in=a; max_pool2d padding=1 strides=1 name=q;"
         "add in=p,q; max_pool2d pool_size=2,3",
         {3, {3, 4, 2}}},
        {"positional_encoding", "dense units=5; positional_encoding; dense units=4 activation=tanh; dense units=2", {2, {4, 3}}},
        {"add", "dense units=4 activation=tanh name=a; dense units=4 name=b; add in=a,b,a; dense units=2", {1, {3}}},
        {"concatenate", "dense units=3 activation=tanh name=a; dense units=2 name=b; concatenate in=b,a,x; dense units=2", {2, {3, 4}}},
        {"concatenate",
         "dense units=4 activation=tanh name=a; concatenate in=x,a,a axis=2; dense units=4 name=b; concatenate in=b,b,b axis=-3; dense units=1",
         {3, {2, 3, 4}}},
        {"conv1d",
         "conv1d filters=3 kernel_size=3 activation=tanh; conv1d filters=4 kernel_size=2 strides=2 padding=same; flatten; dense units=2",
         {2, {7, 2}}},
        {"conv1d",
         "dense units=4; conv1d filters=4 kernel_size=3 groups=4 dilation_rate=2 padding=2; conv1d filters=6 kernel_size=1 groups=2 activation=gelu",
         {2, {5, 4}}},
        {"conv2d",
         "conv2d filters=3 kernel_size=3 activation=tanh; conv2d filters=2 kernel_size=2,1 strides=2,1 padding=same; flatten; dense units=2",
         {3, {5, 6, 2}}},
        {"conv2d",
         "conv2d filters=4 kernel_size=3 groups=2 padding=1 activation=silu; conv2d filters=8 kernel_size=3 groups=4 strides=2 padding=same;"
         "conv2d filters=8 kernel_size=2 groups=8 padding=1,0 use_bias=0; conv2d filters=1 kernel_size=1",
         {3, {4, 5, 2}}},
        {"conv2d",
         "dense units=2 activation=tanh name=a; conv2d filters=2 kernel_size=3 padding=same name=c; add in=a,c,a; conv2d filters=2 kernel_size=1 "
         "name=d;"
         "add in=d,a; conv2d filters=1 kernel_size=2 dilation_rate=2,1",
         {3, {4, 3, 1}}},
        {"dense", "dense units=7 activation=gelu; dense units=6 activation=silu use_bias=0; dense units=1", {1, {4}}},
        {"dense", "dense units=4 activation=tanh; dense units=3", {3, {2, 2, 3}}},
        {"dropout", "dense units=9 activation=tanh; dropout rate=0.4; dense units=3", {1, {4}}},
        {"embedding", "embedding input_dim=6 output_dim=3; dense units=4 activation=tanh; dense units=2", {1, {5}}},
        {"embedding",
         "embedding input_dim=2 output_dim=4 name=e; dense units=4 activation=tanh name=d; add in=e,d; flatten; dense units=2",
         {1, {3}}},
        {"flatten", "dense units=3 activation=tanh; flatten; dense units=2", {2, {3, 2}}},
        {"layer_norm", "dense units=5 activation=tanh; layer_norm; dense units=2", {2, {3, 4}}},
        {"layer_norm", "layer_norm center=0 name=a; layer_norm in=x scale=0 epsilon=0.1 name=b; add in=a,b; dense units=2", {1, {7}}},
        {"multi_head_attention", "multi_head_attention num_heads=2; dense units=2", {2, {5, 4}}},
        {"multi_head_attention",
         "dense units=3 name=a; multi_head_attention num_heads=2 key_dim=2 use_causal_mask=1 use_bias=0 name=m; add in=m,a name=s;"
         "multi_head_attention num_heads=1 in=a name=n; add in=s,n,a; layer_norm epsilon=0.1; global_average_pool",
         {2, {4, 2}}},
        {"multi_head_attention", "dense units=4 name=a; multi_head_attention num_heads=4", {2, {1, 3}}},
        {"multiply", "dense units=4 activation=tanh name=a; dense units=4 name=b; multiply in=a,b; dense units=2", {1, {3}}},
        {"multiply", "dense units=3 activation=tanh name=a; multiply in=a,x,a,x; dense units=2", {2, {2, 3}}},
        {"gru", "gru units=3; dense units=2", {2, {4, 2}}},
        {"gru",
         "dense units=3 name=a; gru units=2 return_sequences=1 bidirectional=1 in=a; dense units=3 name=b; add in=a,b; gru units=2 bidirectional=1",
         {2, {3, 2}}},
        {"gru",
         "dense units=4 name=a; gru units=4 return_sequences=1 in=a name=l; gru units=4 return_sequences=1 in=a name=m; add in=l,m,a; gru units=3",
         {2, {1, 2}}},
        {"lstm", "lstm units=3; dense units=2", {2, {4, 2}}},
        {"lstm",
         "dense units=3 name=a; lstm units=2 return_sequences=1 bidirectional=1 in=a; dense units=3 name=b; add in=a,b; lstm units=2 bidirectional=1",
         {2, {3, 2}}},
        {"lstm",
         "dense units=4 name=a; lstm units=4 return_sequences=1 in=a name=l; lstm units=4 return_sequences=1 in=a name=m; add in=l,m,a; lstm units=3",
         {2, {1, 2}}},
        {"rnn", "rnn units=3; dense units=2", {2, {4, 2}}},
        {"rnn",
         "dense units=3 name=a; rnn units=2 return_sequences=1 bidirectional=1 in=a; dense units=3 name=b; add in=a,b; rnn units=2 bidirectional=1",
         {2, {3, 2}}},
        {"rnn",
         "dense units=4 name=a; rnn units=4 return_sequences=1 in=a name=l; rnn units=4 return_sequences=1 in=a name=m; add in=l,m,a; rnn units=3",
         {2, {1, 2}}},
        {"reshape", "dense units=6 activation=tanh; reshape target_shape=2,-1; dense units=2; reshape target_shape=4", {1, {3}}},
    };
    for (int32_t i = 0; i < bp_layers.count; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof networks / sizeof *networks; k++)
            if (!strcmp(networks[k].name, bp_layers.entries[i]->name)) {
                check_text(networks[k].text, "mse", networks[k].shape);
                found = true;
            }
        ck_assert_msg(found, "the layer %s has no gradient check", bp_layers.entries[i]->name);
    }
}
END_TEST

START_TEST(every_loss) {
    for (int32_t i = 0; i < bp_losses.count; i++) {
        const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_losses.entries[i];
        const bool single = loss->head && !strcmp(loss->head, "sigmoid");
        struct bp_value values[BP_VALUES_MAX];
        bp_values_preset(&loss->entry, values);
        const int32_t outputs = bp_loss_outputs_per_target(loss, values), units = single ? 1 : outputs > 1 ? 2 * outputs : 3;
        char text[128];
        snprintf(text, sizeof text, "dense units=5 activation=tanh; dense units=%d", (int)units);
        check_text(text, loss->entry.name, (struct bp_shape){1, {4}});
        if (loss->head) snprintf(text, sizeof text, "dense units=%d; activation activation=%s; flatten", (int)units, loss->head);
        else snprintf(text, sizeof text, "dense units=5 activation=tanh; dense units=%d activation=sigmoid", (int)units);
        check_text(text, loss->entry.name, loss->head ? (struct bp_shape){1, {4}} : (struct bp_shape){2, {2, 4}});
    }
}
END_TEST

START_TEST(parameters_of_losses) {
    static const char *const losses[] = {
        "cross_entropy label_smoothing=0.2", "focal gamma=0", "focal gamma=0.5", "huber delta=0.3", "quantile quantiles=0.3",
        "quantile quantiles=0.05,0.5,0.8"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        check_text("dense units=5 activation=tanh; dense units=3", losses[i], (struct bp_shape){1, {4}});
}
END_TEST

/* ---- random graphs ------------------------------------------------------------------------------------------------ */

/* How each layer may stand in one; %s stands for a smooth activation. A new layer must be added here. */
static const struct {
    const char *name;
    int inputs;
    const char *texts[3];
} pieces[] = {
    {"activation", 1, {"activation activation=%s"}},
    {"add", 2, {"add"}},
    {"average_pool1d", 1, {"average_pool1d", "average_pool1d pool_size=3 strides=1 padding=1"}},
    {"average_pool2d", 1, {"average_pool2d pool_size=2,1", "average_pool2d strides=1 padding=same"}},
    {"batch_norm", 1, {"batch_norm epsilon=0.1", "batch_norm scale=0 epsilon=0.3"}},
    {"concatenate", 2, {"concatenate", "concatenate axis=1"}},
    {"conv1d", 1, {"conv1d filters=2 kernel_size=2 activation=%s", "conv1d filters=3 kernel_size=3 padding=same"}},
    {"conv2d", 1, {"conv2d filters=2 kernel_size=2 activation=%s", "conv2d filters=2 kernel_size=3 padding=same"}},
    {"dense", 1, {"dense units=3 activation=%s", "dense units=2", "dense units=4 activation=%s use_bias=0"}},
    {"dropout", 1, {"dropout rate=0.3"}},
    {"embedding", 1, {"embedding input_dim=4 output_dim=3", "embedding input_dim=4 output_dim=2 mask_zero=1"}},
    {"flatten", 1, {"flatten"}},
    {"gaussian_noise", 1, {"gaussian_noise stddev=0.3"}},
    {"global_average_pool", 1, {"global_average_pool"}},
    {"global_max_pool", 1, {"global_max_pool"}},
    {"gru", 1, {"gru units=2", "gru units=2 return_sequences=1 bidirectional=1"}},
    {"layer_norm", 1, {"layer_norm epsilon=0.1"}},
    {"lstm", 1, {"lstm units=2 bidirectional=1", "lstm units=3 return_sequences=1"}},
    {"masking", 1, {"masking"}},
    {"max_pool1d", 1, {"max_pool1d"}},
    {"max_pool2d", 1, {"max_pool2d pool_size=1,2"}},
    {"multi_head_attention", 1, {"multi_head_attention num_heads=1", "multi_head_attention num_heads=2 key_dim=2 use_causal_mask=1"}},
    {"multiply", 2, {"multiply"}},
    {"positional_encoding", 1, {"positional_encoding"}},
    {"reshape", 1, {"reshape target_shape=2,-1", "reshape target_shape=-1,1"}},
    {"rnn", 1, {"rnn units=2 bidirectional=1", "rnn units=2 return_sequences=1"}},
};
enum { PIECES = sizeof pieces / sizeof *pieces };

static const char *const smooth[] = {"tanh", "sigmoid", "gelu", "silu", "softplus", "softmax", "mish", "elu"};
/* Losses of an output of its own, with the units that its layer needs. */
static const struct {
    const char *text;
    int units;
} ends[] = {{"mse", 2},     {"cross_entropy", 3}, {"binary_cross_entropy", 1},
            {"huber", 2},   {"gaussian_nll", 4},  {"quantile quantiles=0.2,0.7", 2},
            {"poisson", 2}, {"kl_divergence", 3}, {"log_cosh", 2},
            {"focal", 3},   {"cosine", 3},        {"mse", 1}};

struct growth {
    struct test_graph graph;
    struct bp_random random;
    struct bp_shape shapes[4 + TEST_LAYERS];
    bool read[4 + TEST_LAYERS];
};

static int32_t draw(struct growth *g, size_t below) {
    return (int32_t)bp_random_below(&g->random, below);
}

static const char *name_of(const struct growth *g, int32_t at) {
    return at < g->graph.graph.inputs_count ? g->graph.inputs[at].name : g->graph.layers[at - g->graph.graph.inputs_count].name;
}

/* Adds the layer when it can stand there. */
static bool grow(struct growth *g, const char *text, int inputs, int32_t from, int32_t other) {
    char whole[256], *end = whole;
    struct bp_graph *graph = &g->graph.graph;
    struct bp_network *net = NULL;
    const int32_t at = graph->inputs_count + graph->layers_count;
    end += snprintf(end, sizeof whole, text, smooth[draw(g, sizeof smooth / sizeof *smooth)]);
    snprintf(end, (size_t)(whole + sizeof whole - end), " name=n%d in=%s%s%s", (int)at, name_of(g, from), inputs > 1 ? "," : "",
             inputs > 1 ? name_of(g, other) : "");
    test_add_layer(&g->graph, whole);
    graph->any_readers = true;
    bool fits = bp_network_plan(graph, &net, NULL) == 0;
    for (int32_t i = graph->inputs_count; fits && i < net->nodes_count; i++)
        if (net->layer_of[i] == graph->layers_count - 1) g->shapes[at] = net->nodes[i].out;
    fits = fits && bp_shape_size(&g->shapes[at]) <= 40;
    bp_network_free(net);
    if (!fits) graph->layers_count--;
    else g->read[from] = g->read[inputs > 1 ? other : from] = true;
    return fits;
}

/* Another node of the shape of `from`, or itself. */
static int32_t partner(struct growth *g, int32_t from) {
    const int32_t count = g->graph.graph.inputs_count + g->graph.graph.layers_count;
    for (int32_t i = 0; i < count; i++) {
        const int32_t at = (from + 1 + i) % count;
        if (bp_shape_equal(&g->shapes[at], &g->shapes[from])) return at;
    }
    return from;
}

static void end_branch(struct growth *g, int32_t at) {
    char text[96], name[16];
    const size_t end = (size_t)draw(g, sizeof ends / sizeof *ends);
    const struct bp_graph *graph = &g->graph.graph;
    if (g->shapes[at].rank > 1 && (grow(g, draw(g, 2) ? "global_average_pool" : "flatten", 1, at, at) || grow(g, "global_max_pool", 1, at, at)))
        at = graph->inputs_count + graph->layers_count - 1;
    if (g->shapes[at].rank != 1) return;
    snprintf(text, sizeof text, "dense units=%d", ends[end].units);
    ck_assert(grow(g, text, 1, at, at));
    snprintf(name, sizeof name, "%s", name_of(g, graph->inputs_count + graph->layers_count - 1));
    snprintf(text, sizeof text, "%s*%g: %s", name, 0.5 + 0.5 * draw(g, 4), ends[end].text);
    test_add_output(&g->graph, text);
}

/* A graph of some layers over four inputs (numbers, indices, a sequence, an image), with residual joins, ended by an output for each loose end, and
 * sometimes with a layer in the middle that is an output too. used: counts the kinds of layers. False: more loose ends than outputs. */
static bool random_graph(struct growth *g, uint32_t index, int *used) {
    static const struct bp_input inputs[4] = {{"x", {1, {4}}}, {"i", {1, {4}}}, {"s", {2, {4, 2}}}, {"p", {3, {3, 4, 2}}}};
    struct bp_graph *graph = &g->graph.graph;
    memset(g, 0, sizeof *g);
    g->random = bp_random_open(17, BP_STREAM_USER, index);
    graph->inputs = g->graph.inputs;
    graph->layers = g->graph.layers;
    const int32_t first = draw(g, 4), second = draw(g, 4);
    for (int32_t i = 0; i < 4; i++)
        if (i == first || i == second) {
            g->shapes[graph->inputs_count] = inputs[i].shape;
            g->graph.inputs[graph->inputs_count++] = inputs[i];
        }
    for (int32_t i = 0; i < graph->inputs_count; i++) /* indices are for an embedding only */
        if (!strcmp(g->graph.inputs[i].name, "i")) {
            ck_assert(grow(g, pieces[10].texts[draw(g, 2)], 1, i, i));
            used[10]++;
        }
    for (int32_t tries = 0, wanted = 4 + draw(g, 6); tries < 400 && graph->layers_count < wanted; tries++) {
        const size_t piece = (size_t)draw(g, PIECES);
        const int32_t from = draw(g, (size_t)(graph->inputs_count + graph->layers_count));
        int texts = 0;
        while (texts < 3 && pieces[piece].texts[texts]) texts++;
        if (!strcmp(pieces[piece].name, "embedding") || !strcmp(name_of(g, from), "i")) continue;
        if (!strcmp(pieces[piece].name, "masking") && strcmp(name_of(g, from), "s")) continue; /* only there is padding */
        used[piece] += grow(g, pieces[piece].texts[draw(g, (size_t)texts)], pieces[piece].inputs, from, partner(g, from));
    }
    const int32_t count = graph->inputs_count + graph->layers_count;
    for (int32_t at = 0; at < count; at++)
        if (!g->read[at] && graph->outputs_count < BP_OUTPUTS_MAX) end_branch(g, at);
    for (int32_t at = graph->inputs_count; at < count; at++) {
        char text[64];
        if (!g->read[at] || draw(g, 4) || graph->outputs_count == BP_OUTPUTS_MAX) continue;
        snprintf(text, sizeof text, "%s*0.7: mse", name_of(g, at));
        test_add_output(&g->graph, text);
    }
    graph->any_readers = false;
    for (int32_t at = 0; at < count; at++)
        if (!g->read[at]) return false;
    return true;
}

static void describe(const struct growth *g, char *text, size_t size) {
    *text = 0;
    for (int32_t i = 0; i < g->graph.graph.layers_count; i++) {
        const struct bp_layer *layer = &g->graph.layers[i];
        const size_t used = strlen(text);
        snprintf(text + used, size - used, "%s=%s(%s%s%s); ", layer->name, layer->ops->entry.name, layer->inputs[0],
                 layer->inputs_count > 1 ? "," : "", layer->inputs_count > 1 ? layer->inputs[1] : "");
    }
    for (int32_t k = 0; k < g->graph.graph.outputs_count; k++) {
        const size_t used = strlen(text);
        snprintf(text + used, size - used, "%s: %s; ", g->graph.graph.outputs[k].name, g->graph.graph.outputs[k].loss->entry.name);
    }
}

START_TEST(random_graphs) {
    static struct growth g;
    int used[PIECES] = {0}, checked = 0, several = 0;
    for (int32_t i = 0; i < bp_layers.count; i++) {
        bool found = false;
        for (size_t k = 0; k < PIECES; k++) found = found || !strcmp(pieces[k].name, bp_layers.entries[i]->name);
        ck_assert_msg(found, "the layer %s stands in no random graph", bp_layers.entries[i]->name);
    }
    ck_assert_str_eq(pieces[10].name, "embedding");
    for (uint32_t index = 0; index < 150; index++) {
        char text[2000];
        struct bp_gradcheck_report report;
        struct bp_error error = {{0}, {0}};
        if (!random_graph(&g, index, used)) continue;
        describe(&g, text, sizeof text);
        ck_assert_msg(bp64_gradcheck(&g.graph.graph, 4, index, 9, &report, &error) == 0, "graph %d: %s %s", (int)index, text, error.message);
        for (int32_t i = 0; i < report.count; i++) {
            const struct bp_gradcheck_tensor *t = &report.tensors[i];
            ck_assert_msg(t->error <= 10 * TOLERANCE, "graph %d: %s %s is off by %g (backward %.9g, differences %.9g)", (int)index, text, t->name,
                          t->error, t->analytic, t->numeric);
            checked += (int)t->checked;
        }
        several += g.graph.graph.outputs_count > 1;
        free(report.tensors);
    }
    ck_assert_int_gt(checked, 5000);
    ck_assert_int_gt(several, 50);
    for (size_t k = 0; k < PIECES; k++) ck_assert_msg(used[k] > 0, "%s was never drawn", pieces[k].name);
}
END_TEST

/* Several outputs, finite differences over their weighted sum; one of them read on by the next. */
START_TEST(several_outputs) {
    check_text("dense units=5 activation=tanh name=t; dense units=3 name=a; dense units=2 in=t name=b; dense units=1 in=t name=c",
               "a: cross_entropy; b*0.3: mse; c*2: binary_cross_entropy", (struct bp_shape){1, {4}});
    check_text("dense units=4 activation=tanh name=a; dense units=3 activation=gelu name=b; flatten name=f; dense units=2 name=c",
               "b: log_cosh; c*5: huber; a*0.1: mse", (struct bp_shape){1, {3}});
    check_text("masking; gru units=3 return_sequences=1 name=g; global_max_pool; dense units=2 name=c", "g: mse; c*3: cross_entropy",
               (struct bp_shape){2, {4, 2}});
    check_text("dense units=3 name=d; reshape target_shape=3,1 name=r; reshape target_shape=3; dense units=2 name=e",
               "e: mse; r*2: mse; d*0.5: cosine", (struct bp_shape){1, {4}});
}
END_TEST

/* Weights of 0 put every unit of relu exactly on its kink: all entries but the last bias are left out, none is wrong. */
START_TEST(kinks_are_left_out) {
    struct test_graph graph;
    struct bp_gradcheck_report report;
    test_graph(&graph, "activation activation=relu; dense units=3", "mse", (struct bp_shape){1, {1000}});
    ck_assert_int_eq(bp64_gradcheck(&graph.graph, 20, 1, 0, &report, NULL), 0);
    int64_t skipped = 0;
    for (int32_t i = 0; i < report.count; i++) skipped += report.tensors[i].skipped;
    ck_assert_int_ge(skipped, 1); /* of 20,000 normal numbers about two lie within 1e-4 of 0 */
    ck_assert_int_le(skipped, 20);
    ck_assert_double_le(report.error, TOLERANCE);
    free(report.tensors);
}
END_TEST

START_TEST(report_names_and_counts) {
    struct test_graph graph;
    struct bp_gradcheck_report report;
    struct bp_error error = {{0}, {0}};
    test_graph(&graph, "dense units=5 name=hidden activation=tanh; dense units=2", "cross_entropy", (struct bp_shape){1, {30}});
    ck_assert_int_eq(bp64_gradcheck(&graph.graph, 4, 1, 7, &report, &error), 0);
    ck_assert_int_eq(report.count, 5);
    ck_assert_str_eq(report.tensors[0].name, "x");
    ck_assert_str_eq(report.tensors[1].name, "hidden/kernel");
    ck_assert_str_eq(report.tensors[4].name, "dense_1/bias");
    ck_assert_int_eq(report.tensors[1].checked, 7);
    ck_assert_int_eq(report.tensors[4].checked, 2);
    ck_assert(report.tensors[1].largest > 0 && report.tensors[1].analytic != 0);
    free(report.tensors);
    graph.graph.outputs[0].loss = NULL;
    ck_assert_int_eq(bp64_gradcheck(&graph.graph, 4, 1, 7, &report, &error), -1);
    ck_contains(error.message, "needs a loss");
    ck_assert_ptr_null(report.tensors);
}
END_TEST

Suite *suite_gradcheck(void);
Suite *suite_gradcheck(void) {
    Suite *suite = suite_create("gradcheck");
    TCase *tests = tcase_create("gradcheck");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_activation);
    tcase_add_test(tests, every_layer);
    tcase_add_test(tests, every_loss);
    tcase_add_test(tests, parameters_of_losses);
    tcase_add_test(tests, several_outputs);
    tcase_add_test(tests, random_graphs);
    tcase_add_test(tests, kinks_are_left_out);
    tcase_add_test(tests, report_names_and_counts);
    suite_add_tcase(suite, tests);
    return suite;
}
