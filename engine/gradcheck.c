/* gradcheck.c - backpropagation against central differences, in double.
 *
 * With f the loss of a random batch and h a small step along one number, D(h) = (f(+h) - f(-h)) / 2h and, extrapolated,
 * (4 D(h/2) - D(h)) / 3, wrong by order h^4. A kink (of relu, of an absolute value) within the step shows: either D changes from
 * h to h/2, or S(h) = (f(+h) - 2 f(0) + f(-h)) / h does not halve. Such an entry is left out and counted.
 * The graph comes from the float32 side of the program: its ops are replaced by those of the same name here, first of all. */
#include "engine/gradcheck.h"

#include "engine/double_graph.h"
#include "engine/network/workspace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP 1e-4
#define KINK 1e-7 /* of the largest entry */
#define ZERO 1e-5 /* a gradient below this drowns in the rounding of the differences, some 1e-12 */

/* What one check works with. */
struct check {
    struct bp_layer *layers;
    struct bp_graph graph;
    struct bp_network *net;
    struct bp_workspace *ws;
    int32_t batch;
    bp_real *weights, *gradient, *targets[BP_OUTPUTS_MAX];
    bp_real *inputs[BP_INPUTS_MAX];
    double *analytic, *numeric, *kink; /* [entries of one tensor] */
    struct bp_draw draw;
};

static int resolve_graph(struct check *check, const struct bp_graph *graph, struct bp_error *error) {
    return bp_double_graph(graph, &check->graph, &check->layers, error);
}

/* ---- the random batch -------------------------------------------------------------------------------------------- */

/* Whether a masking layer reads input i, so that padding is worth having in it. */
static bool masks(const struct bp_network *net, int32_t i) {
    for (int32_t k = net->inputs_count; k < net->nodes_count; k++)
        if (net->nodes[k].inputs[0] == i && net->nodes[k].mask == BP_MASK_MAKE && !net->nodes[k].indices) return true;
    return false;
}

/* Sequences of 1, 2, 3, ... steps, the rest 0. */
static void pad(struct check *check, int32_t i) {
    const int32_t steps = check->net->nodes[i].out.dims[0];
    const size_t size = (size_t)bp_shape_size(&check->net->nodes[i].out), width = size / (size_t)steps;
    for (int32_t b = 0; b < check->batch; b++) {
        const size_t length = (size_t)(1 + b % steps) * width;
        memset(check->inputs[i] + (size_t)b * size + length, 0, (size - length) * sizeof(bp_real));
    }
}

/* Makes normal numbers what the loss takes. */
static void suit_targets(enum bp_range range, bp_real *y, int32_t batch, int32_t width) {
    for (int32_t i = 0; range != BP_RANGE_ANY && i < batch; i++, y += width) {
        double sum = bp_range_from_zero(range);
        for (int32_t j = 0; j < width && range == BP_RANGE_PARTS; j++) sum = fmax(sum, fabs(y[j]));
        for (int32_t j = 0; j < width && range == BP_RANGE_SHARES; j++) sum += fabs(y[j]);
        for (int32_t j = 0; j < width; j++) y[j] = range != BP_RANGE_SIGNS ? fabs(y[j]) / sum : y[j] < 0 ? -1 : 1;
    }
}

static int draw_targets(struct check *check, int32_t k, struct bp_random *random, struct bp_error *error) {
    const struct bp_output *output = &check->net->outputs[k];
    const int32_t wide = bp_loss_target_width(output->loss, output->values, &output->shape);
    const bool classes = output->loss->target == BP_TARGET_CLASS;
    const int32_t width = (int32_t)bp_shape_size(&output->shape) / bp_loss_positions(output->loss, &output->shape);
    bp_real *y = check->targets[k] = bp_reals_new((size_t)check->batch * (size_t)wide);
    if (!y) return bp_error_memory(error, "no memory for a gradient check");
    for (int32_t i = 0; i < check->batch * wide; i++)
        y[i] = classes ? (double)bp_random_below(random, width == 1 ? 2 : (uint64_t)width) : bp_random_normal(random);
    if (!classes) suit_targets(output->loss->range, y, check->batch, wide);
    return 0;
}

static int prepare(struct check *check, int32_t batch, uint64_t seed, struct bp_error *error) {
    if (bp_network_plan(&check->graph, &check->net, error) || bp_workspace_new(check->net, batch, true, &check->ws, error)) return -1;
    const struct bp_network *net = check->net;
    struct bp_random random = bp_random_open(seed, BP_STREAM_USER, 0);
    check->batch = batch;
    check->draw = (struct bp_draw){.seed = seed};
    check->weights = bp_reals_new(net->weights_count);
    check->gradient = bp_reals_new(net->weights_count);
    if (!check->weights || !check->gradient) return bp_error_memory(error, "no memory for a gradient check");
    bp_network_initialize(net, seed, check->weights);
    for (int32_t i = 0; i < net->nodes_count; i++)
        for (int32_t t = 0; t < net->nodes[i].tensors_count; t++) {
            const struct bp_tensor *tensor = &net->nodes[i].tensors[t];
            for (int64_t k = 0; !tensor->state && k < bp_shape_size(&tensor->shape); k++) /* away from zeros, where kinks are at home */
                check->weights[tensor->offset + (size_t)k] += 0.05 * bp_random_normal(&random);
        }
    for (int32_t i = 0; i < net->inputs_count; i++) {
        const size_t n = (size_t)batch * (size_t)bp_shape_size(&net->nodes[i].out);
        check->inputs[i] = bp_workspace_input(check->ws, i);
        const int32_t indices = bp_network_indices(net, i);
        for (size_t k = 0; k < n; k++)
            check->inputs[i][k] = indices ? (double)bp_random_below(&random, (uint64_t)indices) : bp_random_normal(&random);
        if (masks(net, i)) pad(check, i);
    }
    for (int32_t k = 0; k < net->outputs_count; k++)
        if (draw_targets(check, k, &random, error)) return -1;
    return 0;
}

/* Mean loss of the batch, always with the same dropout masks. */
static double loss_of(struct check *check, bool gradients) {
    struct bp_loss_call calls[BP_OUTPUTS_MAX];
    for (int32_t k = 0; k < check->net->outputs_count; k++)
        calls[k] = (struct bp_loss_call){.batch = check->batch, .y = check->targets[k], .scale = 1.0 / check->batch};
    return bp_loss_forward(check->net, check->weights, check->ws, &check->draw, calls, gradients) / check->batch;
}

/* ---- one tensor -------------------------------------------------------------------------------------------------- */

static double at_offset(struct check *check, bp_real *x, double h) {
    const bp_real held = *x;
    *x = held + h;
    const double loss = loss_of(check, false);
    *x = held;
    return loss;
}

static void differ(struct check *check, bp_real *x, double centre, double *numeric, double *kink) {
    const double up = at_offset(check, x, STEP), down = at_offset(check, x, -STEP);
    const double up_half = at_offset(check, x, STEP / 2), down_half = at_offset(check, x, -STEP / 2);
    const double slope = (up - down) / (2 * STEP), slope_half = (up_half - down_half) / STEP;
    const double bend = (up - 2 * centre + down) / STEP, bend_half = (up_half - 2 * centre + down_half) / (STEP / 2);
    *numeric = (4 * slope_half - slope) / 3;
    *kink = fmax(fabs(slope - slope_half), fabs(bend - 2 * bend_half));
}

/* entries of x[0..n) that are compared: all, or `most` evenly spread. */
static void check_tensor(struct check *check, bp_real *x, const bp_real *gradient, int64_t n, int64_t most, struct bp_gradcheck_tensor *out) {
    const int64_t count = most > 0 && most < n ? most : n;
    const double centre = loss_of(check, false);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = (int64_t)((double)i * (double)n / (double)count);
        check->analytic[i] = gradient[at];
        differ(check, &x[at], centre, &check->numeric[i], &check->kink[i]);
        out->largest = fmax(out->largest, fmax(fabs(check->analytic[i]), check->kink[i] > 1e-3 ? 0 : fabs(check->numeric[i])));
    }
    const double floor = out->largest > ZERO ? out->largest : ZERO; /* a gradient of zero: compared absolutely */
    double worst = -1;
    for (int64_t i = 0; i < count; i++) {
        if (check->kink[i] > fmax(KINK * floor, 1e-10)) {
            out->skipped++;
            continue;
        }
        const double error = fabs(check->analytic[i] - check->numeric[i]) / floor;
        out->checked++;
        if (!(error <= worst)) {
            worst = error;
            out->analytic = check->analytic[i];
            out->numeric = check->numeric[i];
        }
    }
    out->error = worst < 0 ? 0 : worst;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static int make_room(struct check *check, struct bp_gradcheck_report *report, int64_t entries_max, struct bp_error *error) {
    const struct bp_network *net = check->net;
    int64_t largest = 1;
    int32_t tensors = net->inputs_count;
    for (int32_t i = 0; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        if (!node->ops && bp_shape_size(&node->out) * check->batch > largest) largest = bp_shape_size(&node->out) * check->batch;
        for (int32_t t = 0; t < node->tensors_count; t++, tensors++)
            if (bp_shape_size(&node->tensors[t].shape) > largest) largest = bp_shape_size(&node->tensors[t].shape);
    }
    if (entries_max > 0 && entries_max < largest) largest = entries_max;
    check->analytic = calloc((size_t)largest, sizeof *check->analytic);
    check->numeric = calloc((size_t)largest, sizeof *check->numeric);
    check->kink = calloc((size_t)largest, sizeof *check->kink);
    report->tensors = calloc((size_t)tensors, sizeof *report->tensors);
    if (!check->analytic || !check->numeric || !check->kink || !report->tensors) return bp_error_memory(error, "no memory for a gradient check");
    return 0;
}

static void spoil(bp_real *x, size_t n) {
    for (size_t k = 0; x && k < n; k++) x[k] = NAN;
}

/* What is read before it was written, or added to instead of stored, shows. */
static void spoil_buffers(struct check *check) {
    const struct bp_network *net = check->net;
    const size_t batch = (size_t)check->batch;
    for (int32_t i = 0; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        const struct bp_pass *pass = &check->ws->passes[i];
        const size_t n = batch * (size_t)bp_shape_size(&node->out);
        spoil(check->ws->d[i], n);
        if (check->ws->owner[i] >= net->inputs_count) spoil(check->ws->a[i], n);
        spoil(pass->memo, batch * node->memo);
        spoil(pass->kept, node->kept);
        spoil(pass->scratch, batch * node->scratch);
        spoil(pass->shared_scratch, node->shared_scratch);
    }
    spoil(check->gradient, net->weights_count);
}

static void check_all(struct check *check, struct bp_gradcheck_report *report, int64_t entries_max) {
    const struct bp_network *net = check->net;
    spoil_buffers(check);
    loss_of(check, true);
    bp_loss_backward(net, check->weights, check->ws, check->gradient, false, true);
    for (int32_t i = 0; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        for (int32_t t = 0; t < node->tensors_count; t++) {
            const struct bp_tensor *tensor = &node->tensors[t];
            if (tensor->state) continue;
            struct bp_gradcheck_tensor *out = &report->tensors[report->count++];
            snprintf(out->name, sizeof out->name, "%s/%s", node->name, tensor->name);
            check_tensor(check, check->weights + tensor->offset, check->gradient + tensor->offset, bp_shape_size(&tensor->shape), entries_max, out);
        }
        if (!node->ops && !bp_network_indices(net, i) && !masks(net, i)) { /* a padding step on its path would appear */
            struct bp_gradcheck_tensor *out = &report->tensors[report->count++];
            snprintf(out->name, sizeof out->name, "%s", node->name);
            check_tensor(check, check->inputs[i], bp_workspace_input_gradient(check->ws, i), bp_shape_size(&node->out) * check->batch, entries_max,
                         out);
        }
    }
    for (int32_t i = 0; i < report->count; i++)
        if (!(report->tensors[i].error <= report->error)) report->error = report->tensors[i].error;
}

int bp64_gradcheck(const struct bp_graph *graph, int32_t batch, uint64_t seed, int64_t entries_max, struct bp_gradcheck_report *report,
                   struct bp_error *error) {
    struct check check = {.batch = batch};
    memset(report, 0, sizeof *report);
    int result = resolve_graph(&check, graph, error);
    if (!result) result = prepare(&check, batch, seed, error);
    if (!result) result = make_room(&check, report, entries_max, error);
    if (!result) check_all(&check, report, entries_max);
    bp_workspace_free(check.ws);
    bp_network_free(check.net);
    free(check.layers);
    free(check.weights);
    free(check.gradient);
    for (int32_t k = 0; k < BP_OUTPUTS_MAX; k++) free(check.targets[k]);
    free(check.analytic);
    free(check.numeric);
    free(check.kink);
    return result;
}
