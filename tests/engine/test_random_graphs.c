/* test_random_graphs.c - backpropagation through random graphs against finite differences in double: residual joins, several inputs, several outputs,
 * outputs that are read on, masks, every layer of the registry beside every other. */
#include "tests/engine/support.h"

#include "engine/gradcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-5

/* How each layer is used in one; %s is a smooth activation. Add new layers here. */
static const struct {
    const char *name;
    int inputs;
    const char *texts[3];
} pieces[] = {
    {"activation", 1, {"activation activation=%s"}},
    {"add", 2, {"add"}},
    {"average", 2, {"average"}},
    {"average_pool1d", 1, {"average_pool1d", "average_pool1d pool_size=3 strides=1 padding=1"}},
    {"average_pool2d", 1, {"average_pool2d pool_size=2,1", "average_pool2d strides=1 padding=same"}},
    {"batch_norm", 1, {"batch_norm epsilon=0.1", "batch_norm scale=0 epsilon=0.3"}},
    {"concatenate", 2, {"concatenate", "concatenate axis=1"}},
    {"conv1d",
     1,
     {"conv1d filters=2 kernel_size=2 activation=%s", "conv1d filters=3 kernel_size=3 padding=same",
      "conv1d filters=2 kernel_size=3 padding=causal"}},
    {"conv1d_transpose",
     1,
     {"conv1d_transpose filters=2 kernel_size=3 padding=same activation=%s", "conv1d_transpose filters=2 kernel_size=2 strides=2"}},
    {"conv2d", 1, {"conv2d filters=2 kernel_size=2 activation=%s", "conv2d filters=2 kernel_size=3 padding=same"}},
    {"conv2d_transpose", 1, {"conv2d_transpose filters=2 kernel_size=2", "conv2d_transpose filters=1 kernel_size=3 strides=1,2 padding=same"}},
    {"cropping1d", 1, {"cropping1d", "cropping1d cropping=1,0"}},
    {"cropping2d", 1, {"cropping2d cropping=0,1,1,0", "cropping2d cropping=0,1"}},
    {"dense", 1, {"dense units=3 activation=%s", "dense units=2", "dense units=4 activation=%s use_bias=0 parametrization=ntk"}},
    {"depthwise_conv1d", 1, {"depthwise_conv1d kernel_size=2 activation=%s", "depthwise_conv1d kernel_size=3 padding=same depth_multiplier=2"}},
    {"depthwise_conv2d", 1, {"depthwise_conv2d kernel_size=2", "depthwise_conv2d kernel_size=3 padding=same activation=%s"}},
    {"dot", 2, {"dot axes=1", "dot axes=-1 normalize=1", "dot axes=-1,1"}},
    {"dropout", 1, {"dropout rate=0.3"}},
    {"embedding", 1, {"embedding input_dim=4 output_dim=3", "embedding input_dim=4 output_dim=2 mask_zero=1"}},
    {"ensemble", 1, {"ensemble members=2"}},
    {"ensemble_dense", 1, {"ensemble_dense units=2 activation=%s"}},
    {"flatten", 1, {"flatten"}},
    {"gaussian_noise", 1, {"gaussian_noise stddev=0.3"}},
    {"global_average_pool", 1, {"global_average_pool"}},
    {"global_max_pool", 1, {"global_max_pool"}},
    {"group_norm", 1, {"group_norm groups=1 epsilon=0.1", "group_norm groups=-1 epsilon=0.3", "group_norm groups=2 epsilon=0.1"}},
    {"gru", 1, {"gru units=2", "gru units=2 return_sequences=1 bidirectional=1", "gru units=2 dropout=0.2 recurrent_dropout=0.2"}},
    {"layer_norm", 1, {"layer_norm epsilon=0.1"}},
    {"lstm", 1, {"lstm units=2 bidirectional=1", "lstm units=3 return_sequences=1", "lstm units=2 recurrent_dropout=0.3 return_sequences=1"}},
    {"masking", 1, {"masking"}},
    {"max_pool1d", 1, {"max_pool1d"}},
    {"max_pool2d", 1, {"max_pool2d pool_size=1,2"}},
    {"maximum", 2, {"maximum"}},
    {"minimum", 2, {"minimum"}},
    {"multi_head_attention", 1, {"multi_head_attention num_heads=1", "multi_head_attention num_heads=2 key_dim=2 use_causal_mask=1"}},
    {"multi_head_attention", 2, {"multi_head_attention num_heads=1 key_dim=2", "multi_head_attention num_heads=1 dropout=0.3"}},
    {"multiply", 2, {"multiply"}},
    {"periodic_embedding", 1, {"periodic_embedding frequencies=2 output_dim=2 activation=%s"}},
    {"piecewise_linear_embedding",
     1,
     {"piecewise_linear_embedding bins=3 output_dim=2", "piecewise_linear_embedding bins=2 output_dim=1 activation=%s"}},
    {"permute", 1, {"permute dims=2,1", "permute dims=2,3,1"}},
    {"position_embedding", 1, {"position_embedding"}},
    {"positional_encoding", 1, {"positional_encoding"}},
    {"random_flip", 1, {"random_flip", "random_flip mode=both"}},
    {"random_rotation", 1, {"random_rotation factor=0.2"}},
    {"random_translation", 1, {"random_translation height_factor=0.3 width_factor=0.3 fill=constant fill_value=0.5"}},
    {"repeat_vector", 1, {"repeat_vector n=3"}},
    {"reshape", 1, {"reshape target_shape=2,-1", "reshape target_shape=-1,1"}},
    {"rms_norm", 1, {"rms_norm epsilon=0.1"}},
    {"rnn", 1, {"rnn units=2 bidirectional=1", "rnn units=2 return_sequences=1"}},
    {"separable_conv1d", 1, {"separable_conv1d filters=2 kernel_size=2 activation=%s", "separable_conv1d filters=3 kernel_size=3 padding=causal"}},
    {"separable_conv2d", 1, {"separable_conv2d filters=2 kernel_size=2 depth_multiplier=2", "separable_conv2d filters=1 kernel_size=3 padding=same"}},
    {"spatial_dropout", 1, {"spatial_dropout rate=0.3"}},
    {"subtract", 2, {"subtract"}},
    {"upsampling1d", 1, {"upsampling1d"}},
    {"upsampling2d", 1, {"upsampling2d size=1,2", "upsampling2d interpolation=bilinear"}},
    {"zero_padding1d", 1, {"zero_padding1d", "zero_padding1d padding=0,1"}},
    {"zero_padding2d", 1, {"zero_padding2d padding=0,1", "zero_padding2d padding=1,0,0,0"}},
    {"weighted_average", 2, {"weighted_average"}},
    {"scale", 1, {"scale", "scale axes=2"}},
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
            {"focal", 3},   {"cosine", 3},        {"mse", 1},
            {"tweedie", 2}, {"gamma", 2},         {"msle", 2},
            {"dice", 3},    {"ordinal", 4}};

struct growth {
    struct test_graph graph;
    struct bp_random random;
    struct bp_shape shapes[4 + TEST_LAYERS];
    bool read[4 + TEST_LAYERS];
};

static int32_t draw(struct growth *g, size_t below) {
    return (int32_t)bp_random_below(&g->random, below);
}

/* PIECES: there is none of that name. */
static size_t piece_of(const char *name) {
    size_t k = 0;
    while (k < PIECES && strcmp(pieces[k].name, name)) k++;
    return k;
}

static const char *name_of(const struct growth *g, int32_t at) {
    return at < g->graph.graph.inputs_count ? g->graph.inputs[at].name : g->graph.layers[at - g->graph.graph.inputs_count].name;
}

/* Adds the layer when it fits there. */
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
    fits = fits && bp_shape_size(&g->shapes[at]) <= 50;
    bp_network_free(net);
    if (!fits) graph->layers_count--;
    else g->read[from] = g->read[inputs > 1 ? other : from] = true;
    return fits;
}

/* Another node of the shape of `from`, or itself; sometimes any that is no index, whose shape may fit by repetition. */
static int32_t partner(struct growth *g, int32_t from) {
    const int32_t count = g->graph.graph.inputs_count + g->graph.graph.layers_count;
    const int32_t any = draw(g, (size_t)count);
    if (draw(g, 3) == 0 && strcmp(name_of(g, any), "i")) return any;
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
            const size_t embedding = piece_of("embedding");
            ck_assert(grow(g, pieces[embedding].texts[draw(g, 2)], 1, i, i));
            used[embedding]++;
        }
    for (int32_t tries = 0, wanted = 4 + draw(g, 6); tries < 400 && graph->layers_count < wanted; tries++) {
        const size_t piece = (size_t)draw(g, PIECES);
        const int32_t from = draw(g, (size_t)(graph->inputs_count + graph->layers_count));
        int texts = 0;
        while (texts < 3 && pieces[piece].texts[texts]) texts++;
        if (!strcmp(pieces[piece].name, "embedding") || !strcmp(name_of(g, from), "i")) continue;
        if (!strcmp(pieces[piece].name, "masking") && strcmp(name_of(g, from), "s")) continue; /* only there is padding */
        const bool grown = grow(g, pieces[piece].texts[draw(g, (size_t)texts)], pieces[piece].inputs, from, partner(g, from));
        used[piece] += grown;
        if (!grown || strcmp(pieces[piece].name, "ensemble")) continue;
        const int32_t members = graph->inputs_count + graph->layers_count - 1; /* little else can read them */
        used[piece_of("ensemble_dense")] += grow(g, pieces[piece_of("ensemble_dense")].texts[0], 1, members, members);
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
        ck_assert_msg(piece_of(bp_layers.entries[i]->name) < PIECES, "the layer %s stands in no random graph", bp_layers.entries[i]->name);
    }
    for (uint32_t index = 0; index < 240; index++) {
        char text[2000];
        struct bp_gradcheck_report report;
        struct bp_error error = {0};
        if (!random_graph(&g, index, used)) continue;
        describe(&g, text, sizeof text);
        ck_assert_msg(bp64_gradcheck(&g.graph.graph, 4, index, 9, &report, &error) == 0, "graph %d: %s %s", (int)index, text, error.message);
        for (int32_t i = 0; i < report.count; i++) {
            const struct bp_gradcheck_tensor *t = &report.tensors[i];
            ck_assert_msg(t->error <= TOLERANCE, "graph %d: %s %s is off by %g (backward %.9g, differences %.9g)", (int)index, text, t->name,
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

Suite *suite_random_graphs(void);
Suite *suite_random_graphs(void) {
    Suite *suite = suite_create("random_graphs");
    TCase *tests = tcase_create("random_graphs");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, random_graphs);
    suite_add_tcase(suite, tests);
    return suite;
}
