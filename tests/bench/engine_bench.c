/* engine_bench.c - the dense workloads of workloads.json (tiny, tab, mnist, wide) through the engine, without a server: one step = forward, loss,
 * backward, Adam, in float32 on data in memory, and one forward pass of a single sample. One JSON line a workload, as floor_gemm.c and the peers
 * print. THREADS=2 cuts mini-batches into shards; MEASURE_SECONDS is the time of each of the five measures (0.5); KERNELS=base forces a table;
 * ONLY=mnist runs one workload. Built and run by bench.py; only ratios taken side by side mean anything. */
#include "kernels/kernels.h"
#include "train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct workload {
    const char *name;
    int32_t sizes[6], layers, batch, rows;
};

static const struct workload workloads[] = {
    {"tiny", {4, 16, 3}, 2, 16, 2048},
    {"tab", {30, 64, 32, 2}, 3, 32, 8192},
    {"mnist", {784, 512, 256, 10}, 3, 128, 16384},
    {"wide", {1024, 2048, 2048, 1000}, 3, 256, 4096},
};

struct data {
    int32_t width;
    float *x, *y; /* (rows, width), (rows, 1) */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    const struct data *data = context;
    const size_t width = (size_t)data->width;
    for (int32_t i = 0; i < n; i++) {
        memcpy(batch->inputs[0] + (size_t)i * width, data->x + (size_t)rows[i] * width, width * sizeof(float));
        batch->targets[i] = data->y[rows[i]];
    }
}

static struct bp_network *build(const struct workload *w, struct bp_error *error) {
    const struct bp_layer_ops *dense = (const struct bp_layer_ops *)bp_family_find(&bp_layers, "dense");
    struct bp_layer layers[4] = {0};
    struct bp_input input = {.name = "features", .shape = {1, {w->sizes[0]}}};
    for (int32_t l = 0; l < w->layers; l++) {
        layers[l].ops = dense;
        bp_values_preset(&dense->entry, layers[l].values);
        layers[l].values[0].number = w->sizes[l + 1];
        if (l + 1 < w->layers) layers[l].values[1].entry = bp_family_find(&bp_activations, "relu");
    }
    struct bp_graph graph = {.inputs_count = 1,
                             .inputs = &input,
                             .layers_count = w->layers,
                             .layers = layers,
                             .outputs[0].loss = (const struct bp_loss_ops *)bp_family_find(&bp_losses, "cross_entropy")};
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

/* Seconds of a forward pass of one sample. */
static double predict_one(const struct bp_network *net) {
    struct bp_error error = {{0}, {0}};
    struct bp_workspace *workspace = NULL;
    double times[5];
    bp_real *weights = bp_reals_new(net->weights_count);
    if (!weights || bp_workspace_new(net, 1, false, &workspace, &error)) {
        free(weights);
        return 0;
    }
    bp_network_initialize(net, 1, weights);
    memset(bp_workspace_input(workspace, 0), 0, (size_t)bp_shape_size(&net->nodes[0].out) * sizeof(bp_real));
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
    struct bp_error error = {{0}, {0}};
    struct bp_network *net = build(w, &error);
    struct bp_trainer *trainer = NULL;
    struct bp_random random = bp_random_open(1, BP_STREAM_USER, 0);
    const size_t width = (size_t)w->sizes[0], rows = (size_t)w->rows;
    struct data data = {.width = w->sizes[0], .x = malloc(rows * width * sizeof(float)), .y = malloc(rows * sizeof(float))};
    struct bp_source source = {.context = &data, .rows = w->rows, .fill = fill};
    struct bp_train_options options = {.epochs = INT32_MAX,
                                       .batch_size = w->batch,
                                       .threads = threads,
                                       .seed = 1,
                                       .classes = w->sizes[w->layers],
                                       .optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, "adam")};
    bp_values_preset(&options.optimizer->entry, options.optimizer_values);
    for (size_t i = 0; i < rows * width; i++) data.x[i] = (float)bp_random_uniform(&random) - 0.5f;
    for (size_t i = 0; i < rows; i++) data.y[i] = (float)bp_random_below(&random, (uint64_t)w->sizes[w->layers]);
    int failed = !net || bp_trainer_new(net, &options, &source, NULL, &trainer, &error);
    if (failed) {
        fprintf(stderr, "%s: %s\n", w->name, error.message);
    } else {
        const double step = median_step(trainer);
        printf("{\"peer\": \"backpropd\", \"workload\": \"%s\", \"samples_per_s\": %.0f, \"us_per_step\": %.2f, \"us_predict_batch1\": %.3f, "
               "\"threads\": %d, \"kernels\": \"%s\"}\n",
               w->name, w->batch / step, step * 1e6, predict_one(net) * 1e6, threads, bp_kernels_name());
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
    if (getenv("MEASURE_SECONDS")) seconds = strtod(getenv("MEASURE_SECONDS"), NULL);
    if (kernels && bp_kernels_force(kernels)) {
        fprintf(stderr, "KERNELS=%s: not for this CPU\n", kernels);
        return 2;
    }
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (!only || !strcmp(only, workloads[i].name)) failed |= run(&workloads[i], threads ? (int32_t)strtol(threads, NULL, 10) : 1);
    return failed;
}
