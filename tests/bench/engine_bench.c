/* engine_bench.c - the workloads of workloads.json through the engine, without a server: one step = forward, loss,
 * backward, Adam, in float32 on data in memory, and one forward pass of a single sample. One JSON line a workload, as floor_gemm.c and the peers
 * print. THREADS=2 cuts mini-batches into shards; MEASURE_SECONDS is the time of each of the five measures (0.5); KERNELS=base forces a table;
 * ONLY=mnist runs one workload; ONEDNN=auto (or on) starts oneDNN, PRECISION=bfloat16 computes large products in it. Built and run by bench.py; only
 * ratios taken side by side mean anything. */
#include "engine/kernels/kernels.h"
#include "engine/train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LAYERS_MAX = 8 };

#define INK 0.19 /* the share of MNIST's pixels that are not 0 */

struct workload {
    const char *name;
    struct bp_shape input;
    const char *layers[LAYERS_MAX]; /* "type number activation": units, filters or pool_size */
    int32_t classes, batch, rows;
};

static const struct workload workloads[] = {
    {"tiny", {1, {4}}, {"dense 16 relu", "dense 3 linear"}, 3, 16, 2048},
    {"tab", {1, {30}}, {"dense 64 relu", "dense 32 relu", "dense 2 linear"}, 2, 32, 8192},
    {"mnist", {1, {784}}, {"dense 512 relu", "dense 256 relu", "dense 10 linear"}, 10, 128, 16384},
    {"wide", {1, {1024}}, {"dense 2048 relu", "dense 2048 relu", "dense 1000 linear"}, 1000, 256, 4096},
    {"cnn",
     {3, {28, 28, 1}},
     {"conv2d 16 relu", "max_pool2d 2", "conv2d 32 relu", "max_pool2d 2", "flatten", "dense 128 relu", "dense 10 linear"},
     10,
     64,
     4096},
    {"lstm", {2, {32, 16}}, {"lstm 64", "dense 10 linear"}, 10, 32, 4096},
    {"members",
     {1, {20}},
     {"piecewise_linear_embedding 4", "ensemble 4", "dense 64 relu", "dropout", "dense 64 relu", "dropout", "ensemble_dense 2 linear"},
     2,
     32,
     4096},
    {"member", {1, {20}}, {"piecewise_linear_embedding 4", "dense 64 relu", "dropout", "dense 64 relu", "dropout", "dense 2 linear"}, 2, 32, 4096},
};

struct data {
    int32_t width;
    float *x, *y; /* (rows, width), (rows, 1) */
};

static clockid_t timer = CLOCK_PROCESS_CPUTIME_ID; /* of one thread: what else the machine does does not count; several: CLOCK_MONOTONIC */

static double now(void) {
    struct timespec t;
    clock_gettime(timer, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    const struct data *data = context;
    const size_t width = (size_t)data->width;
    for (int32_t i = 0; i < n; i++) {
        memcpy(batch->inputs[0] + (size_t)i * width, data->x + (size_t)rows[i] * width, width * sizeof(float));
        batch->targets[0][i] = data->y[rows[i]];
    }
}

static struct bp_value *value_of(struct bp_layer *layer, const char *name) {
    for (int32_t i = 0; i < layer->ops->entry.params_count; i++)
        if (!strcmp(layer->ops->entry.params[i].name, name)) return &layer->values[i];
    fprintf(stderr, "%s has no parameter %s\n", layer->ops->entry.name, name);
    exit(2);
}

/* Convolutions are 3 x 3 and keep the size, as in peer_torch.py; the vectors of embedded numbers are as wide as there are members. */
static void set_layer(struct bp_layer *layer, const char *text) {
    char type[32] = "", activation[32] = "";
    int number = 0;
    sscanf(text, "%31s %d %31s", type, &number, activation);
    layer->ops = (const struct bp_layer_ops *)bp_family_find(&bp_layers, type);
    bp_values_preset(&layer->ops->entry, layer->values);
    if (!strcmp(type, "max_pool2d")) {
        value_of(layer, "pool_size")->integers[0] = number;
    } else if (!strcmp(type, "conv2d")) {
        value_of(layer, "filters")->number = number;
        *value_of(layer, "kernel_size") = (struct bp_value){.integers = {3}, .integers_count = 1};
        value_of(layer, "padding")->number = 1; /* same */
    } else if (!strcmp(type, "piecewise_linear_embedding")) {
        value_of(layer, "output_dim")->number = number;
    } else if (!strcmp(type, "ensemble")) {
        value_of(layer, "members")->number = value_of(layer, "group_size")->number = number;
    } else if (!strcmp(type, "dropout")) {
        value_of(layer, "rate")->number = 0.1;
    } else if (number) {
        value_of(layer, "units")->number = number;
    }
    if (*activation) value_of(layer, "activation")->entry = bp_family_find(&bp_activations, activation);
}

static struct bp_network *build(const struct workload *w, struct bp_error *error) {
    struct bp_layer layers[LAYERS_MAX] = {0};
    struct bp_input input = {.name = "features", .shape = w->input};
    struct bp_graph graph = {.inputs_count = 1,
                             .inputs = &input,
                             .layers = layers,
                             .outputs[0].loss = (const struct bp_loss_ops *)bp_family_find(&bp_losses, "cross_entropy")};
    for (; graph.layers_count < LAYERS_MAX && w->layers[graph.layers_count]; graph.layers_count++)
        set_layer(&layers[graph.layers_count], w->layers[graph.layers_count]);
    struct bp_network *net = NULL;
    bp_network_plan(&graph, &net, error);
    return net;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double seconds = 0.5; /* of one measure */

static double median_step(struct bp_trainer *trainer) {
    double times[5];
    long steps = 0;
    for (double start = now(); now() - start < seconds; steps++) bp_trainer_step(trainer);
    for (int r = 0; r < 5; r++) {
        const double start = now();
        for (long i = 0; i < steps; i++) bp_trainer_step(trainer);
        times[r] = (now() - start) / (double)steps;
    }
    qsort(times, 5, sizeof *times, compare);
    return times[2];
}

/* Seconds of a forward pass of one sample, whose numbers are not 0 in that share. */
static double predict_one(const struct bp_network *net, double ink) {
    struct bp_error error = {0};
    struct bp_workspace *workspace = NULL;
    double times[5];
    bp_real *weights = bp_reals_new(net->weights_count);
    if (!weights || bp_workspace_new(net, 1, false, &workspace, &error)) {
        free(weights);
        return 0;
    }
    bp_network_initialize(net, 1, weights);
    struct bp_random random = bp_random_open(2, BP_STREAM_USER, 0);
    for (int64_t i = 0; i < bp_shape_size(&net->nodes[0].out); i++) {
        const double x = bp_random_normal(&random);
        bp_workspace_input(workspace, 0)[i] = bp_random_uniform(&random) < ink ? (bp_real)x : 0;
    }
    for (int r = 0; r < 5; r++) {
        long passes = 0;
        const double start = now();
        for (; now() - start < seconds / 5; passes++) bp_predict(net, weights, workspace, 1);
        times[r] = (now() - start) / (double)passes;
    }
    qsort(times, 5, sizeof *times, compare);
    bp_workspace_free(workspace);
    free(weights);
    return times[2];
}

static int run(const struct workload *w, int32_t threads) {
    struct bp_error error = {0};
    struct bp_network *net = build(w, &error);
    struct bp_trainer *trainer = NULL;
    struct bp_random random = bp_random_open(1, BP_STREAM_USER, 0);
    const size_t width = (size_t)bp_shape_size(&w->input), rows = (size_t)w->rows;
    struct data data = {.width = (int32_t)width, .x = malloc(rows * width * sizeof(float)), .y = malloc(rows * sizeof(float))};
    struct bp_source source = {.context = &data, .rows = w->rows, .fill = fill};
    struct bp_train_options options = {.epochs = INT32_MAX,
                                       .batch_size = w->batch,
                                       .threads = threads,
                                       .precision = getenv("PRECISION") ? BP_PRECISION_BFLOAT16 : BP_PRECISION_FLOAT32,
                                       .seed = 1,
                                       .tasks[0].classes = w->classes,
                                       .optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, "adam")};
    bp_values_preset(&options.optimizer->entry, options.optimizer_values);
    for (size_t i = 0; i < rows * width; i++) data.x[i] = (float)bp_random_uniform(&random) - 0.5f;
    for (size_t i = 0; i < rows; i++) data.y[i] = (float)bp_random_below(&random, (uint64_t)w->classes);
    int failed = !net || bp_trainer_new(net, &options, &source, NULL, &trainer, &error);
    if (failed) {
        fprintf(stderr, "%s: %s\n", w->name, error.message);
    } else {
        const double step = median_step(trainer);
        printf("{\"peer\": \"backpropd\", \"workload\": \"%s\", \"samples_per_s\": %.0f, \"us_per_step\": %.2f, \"us_predict_batch1\": %.3f, "
               "\"us_predict_picture\": %.3f, "
               "\"threads\": %d, \"kernels\": \"%s\"}\n",
               w->name, w->batch / step, step * 1e6, predict_one(net, 1) * 1e6, predict_one(net, INK) * 1e6, threads, bp_kernels_name());
    }
    bp_trainer_free(trainer);
    bp_network_free(net);
    free(data.x);
    free(data.y);
    return failed;
}

int main(void) {
    const char *threads = getenv("THREADS"), *kernels = getenv("KERNELS"), *only = getenv("ONLY");
    int failed = 0;
    if (threads && strtol(threads, NULL, 10) > 1) timer = CLOCK_MONOTONIC;
    if (getenv("MEASURE_SECONDS")) seconds = strtod(getenv("MEASURE_SECONDS"), NULL);
    if (kernels && bp_kernels_force(kernels)) {
        fprintf(stderr, "KERNELS=%s: not for this CPU\n", kernels);
        return 2;
    }
    if (getenv("ONEDNN") || getenv("PRECISION")) {
        struct bp_error without = {0};
        const bool on = getenv("ONEDNN") && !strcmp(getenv("ONEDNN"), "on");
        bp_bfloat16_force(on);
        if (bp_onednn_start(on ? BP_ONEDNN_ON : BP_ONEDNN_AUTO, getenv("PRECISION") != NULL, &without)) {
            fprintf(stderr, "without oneDNN: %s\n", without.message);
            return 3;
        }
    }
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (!only || !strcmp(only, workloads[i].name)) failed |= run(&workloads[i], threads ? (int32_t)strtol(threads, NULL, 10) : 1);
    return failed;
}
