/* pass.c - forward through the nodes in order, backward in reverse. Both cannot fail and allocate nothing.
 * Gradients of a node with several readers: the first gradient is stored, the others are added (`written`). */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/network/workspace.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double no_numbers[4];

/* A view with its own buffer (at the output): the numbers are copied. */
static void copy_view(const struct bp_workspace *ws, int32_t node, int32_t batch) {
    if (ws->owner[node] == node)
        memcpy(ws->a[node], ws->passes[node].x[0], (size_t)batch * (size_t)bp_shape_size(&ws->network->nodes[node].out) * sizeof(bp_real));
}

/* The mask of a layer that joins sequences with different masks: where all of them are there. */
static void join_masks(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = (size_t)pass->batch * (size_t)node->out.dims[0];
    for (size_t i = 0; i < n; i++) pass->mask_out[i] = 1;
    for (int32_t k = 0; k < node->inputs_count; k++)
        for (size_t i = 0; pass->mask[k] && i < n; i++) pass->mask_out[i] *= pass->mask[k][i];
}

/* Masked steps of an input become 0: other readers of the input skip them. */
static void clear_hidden(const struct bp_node *node, const struct bp_pass *pass, int32_t k, bp_real *x) {
    const size_t steps = (size_t)node->in[k].dims[0], width = (size_t)bp_shape_size(&node->in[k]) / steps;
    for (size_t i = 0; i < (size_t)pass->batch * steps; i++)
        if (pass->mask[k][i] == 0) memset(x + i * width, 0, width * sizeof *x);
}

/* ---- some samples at a time ---------------------------------------------------------------------------------------
 *
 * Layers that follow one another and treat each sample by itself (by_sample) do so for as many samples as leave their numbers in the second cache,
 * instead of each layer for the whole mini-batch. */

enum { STRETCH_BYTES = 3 << 19 };

/* A convolution that oneDNN takes gets the whole mini-batch. */
static bool taken(const struct bp_workspace *ws, const struct bp_node *node, int32_t batch) {
    const struct bp_tensor *kernel = &node->tensors[0];
    if (!node->tensors_count || kernel->product != BP_PRODUCT_CONVOLUTION) return false;
    const int64_t work = bp_shape_size(&kernel->shape) * node->positions * batch;
    return bp_onednn_takes(true, false, work) || (ws->bfloat16 && bp_onednn_takes(true, true, work));
}

static bool by_sample(const struct bp_workspace *ws, int32_t i, int32_t batch) {
    const struct bp_node *node = &ws->network->nodes[i];
    return node->ops->by_sample && node->inputs_count == 1 && !ws->passes[i].mask[0] && !ws->passes[i].mask_out && !taken(ws, node, batch);
}

/* Whether node i goes on with the stretch of the node before it. */
static bool goes_on(const struct bp_workspace *ws, int32_t i, int32_t batch) {
    return !ws->layer_by_layer && i > ws->network->inputs_count && by_sample(ws, i, batch) && ws->network->nodes[i].inputs[0] == i - 1 &&
           by_sample(ws, i - 1, batch);
}

/* Numbers of the nodes from..end-1 that samples may have in that cache, each so many times. */
static int32_t samples_at_once(const struct bp_workspace *ws, int32_t from, int32_t end, int64_t times) {
    int64_t reals = 0;
    for (int32_t i = from; i < end; i++) reals += times * bp_shape_size(&ws->network->nodes[i].out) + (int64_t)ws->network->nodes[i].memo;
    const int64_t most = STRETCH_BYTES / (int64_t)sizeof(bp_real) / reals;
    return most < 1 ? 1 : most > ws->batch_max ? ws->batch_max : (int32_t)most;
}

/* The pass for `most` samples from `first` on, or those that are left. */
static struct bp_pass samples_of(const struct bp_node *node, const struct bp_pass *pass, int32_t first, int32_t most) {
    struct bp_pass part = *pass;
    const size_t at = (size_t)first, in = at * (size_t)bp_shape_size(&node->in[0]), out = at * (size_t)bp_shape_size(&node->out);
    part.batch = pass->batch - first < most ? pass->batch - first : most;
    part.first += first;
    part.x[0] += in;
    part.a += out;
    part.memo = pass->memo ? pass->memo + at * node->memo : NULL;
    part.d_a = pass->d_a ? pass->d_a + out : NULL;
    part.d_x[0] = pass->d_x[0] ? pass->d_x[0] + in : NULL;
    part.keep_W = pass->keep_W || first > 0;
    return part;
}

/* ---- forward ------------------------------------------------------------------------------------------------------ */

static void prepare_forward(const struct bp_workspace *ws, const bp_real *weights, int32_t i, int32_t batch, const struct bp_draw *draw) {
    const struct bp_node *node = &ws->network->nodes[i];
    struct bp_pass *pass = &ws->passes[i];
    pass->batch = batch;
    pass->training = draw != NULL;
    pass->predicting = ws->predicting;
    pass->bfloat16 = pass->training && ws->bfloat16;
    if (draw) {
        pass->seed = draw->seed;
        pass->step = draw->step;
        pass->first = draw->first;
        pass->eased = draw->eased;
        pass->share = draw->share > 0 ? draw->share : 1;
    }
    for (int32_t t = 0; t < node->tensors_count; t++) pass->W[t] = weights + node->tensors[t].offset;
    if (pass->mask_out && node->mask == BP_MASK_PASS) join_masks(node, pass);
    for (int32_t k = 0; node->mask == BP_MASK_ZERO && k < node->inputs_count; k++)
        if (pass->mask[k]) clear_hidden(node, pass, k, ws->a[node->inputs[k]]);
}

static void forward_stretch(const struct bp_workspace *ws, int32_t from, int32_t end, int32_t batch) {
    const int32_t most = samples_at_once(ws, from, end, 1);
    for (int32_t first = 0; first < batch; first += most)
        for (int32_t i = from; i < end; i++) {
            const struct bp_pass part = samples_of(&ws->network->nodes[i], &ws->passes[i], first, most);
            ws->network->nodes[i].ops->forward(&ws->network->nodes[i], &part);
        }
}

/* Through the nodes before `to`. */
static void forward(const bp_real *weights, struct bp_workspace *ws, int32_t batch, int32_t to, const struct bp_draw *draw) {
    const struct bp_network *net = ws->network;
    for (int32_t i = net->inputs_count, end; i < to; i = end) {
        end = i + 1;
        if (net->nodes[i].ops->view) {
            copy_view(ws, i, batch);
            continue;
        }
        while (end < to && goes_on(ws, end, batch)) end++;
        for (int32_t k = i; k < end; k++) prepare_forward(ws, weights, k, batch, draw);
        if (end == i + 1) net->nodes[i].ops->forward(&net->nodes[i], &ws->passes[i]);
        else forward_stretch(ws, i, end, batch);
    }
}

const bp_real *bp_predict(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, int32_t batch) {
    bp_flush_denormals();
    workspace->predicting = true;
    forward(weights, workspace, batch, network->nodes_count, NULL);
    workspace->predicting = false;
    for (int32_t i = 0; i < network->outputs_count; i++) {
        const struct bp_output *output = &network->outputs[i];
        const struct bp_shape *out = &network->nodes[output->node].out;
        bp_real *a = workspace->a[output->node]; /* (B, out...) */
        const size_t width = out->rank ? (size_t)out->dims[out->rank - 1] : 1;
        if (output->head) output->head->forward(no_numbers, (size_t)batch * (size_t)bp_shape_size(out) / width, width, a, a);
        if (output->members) bp_members_average(workspace, i, batch, a);
    }
    return bp_workspace_output(workspace, 0);
}

/* Whether a step of `width` numbers is there: none is missing. Missing ones become 0 in the copy, which losses read. */
static bool copy_step(const bp_real *y, int32_t width, bp_real *copy) {
    bool there = true;
    for (int32_t j = 0; j < width; j++) there = there && !isnan(y[j]);
    for (int32_t j = 0; j < width; j++) copy[j] = there ? y[j] : 0;
    return there;
}

/* Each step or position becomes a row of its own, that counts what its sample does, times its class; hidden and missing ones and those without a
 * class get no weight, and the class or the target 0. Returns what all rows weigh; *counted: what they count without classes. */
static double weigh_rows(const struct bp_workspace *ws, int32_t output, struct bp_loss_call *call, double *counted) {
    const struct bp_output *out = &ws->network->outputs[output];
    const int32_t rows = bp_output_rows(ws->network, output), steps = out->shape.dims[0];
    const int32_t width = out->steps ? bp_loss_target_width(out->loss, out->values, &out->shape) / rows : 1; /* of a row in y */
    const bp_real *mask = ws->mask[out->node], *y = call->y;                       /* (B, steps) or NULL, (B, rows, width) */
    bp_real *weights = ws->row_weights[output], *copies = ws->row_classes[output]; /* (B, rows), (B, rows, width) or NULL */
    bp_real *row_counts = ws->row_counts[output];                                  /* (B, rows): the weights without those of classes */
    double sum = 0;
    *counted = 0;
    call->width /= rows;
    for (int32_t i = 0; i < call->batch; i++) {
        const double sample = bp_sample_weight(call->weights, (size_t)i), count = bp_sample_weight(call->counts, (size_t)i);
        for (int32_t r = 0; r < rows; r++) {
            const int64_t at = (int64_t)i * rows + r;
            bool counts = !mask || mask[(int64_t)i * steps + r / (rows / steps)] != 0;
            double weight = sample;
            if (out->steps) {
                counts = copy_step(y + at * width, width, copies + at * width) && counts;
            } else if (copies) {
                const bp_real label = y[at];
                counts = counts && !(label < 0);
                copies[at] = counts ? label : 0;
                if (call->class_weights && label >= 0 && label < (bp_real)call->width) weight *= call->class_weights[(int32_t)label];
            }
            weights[at] = counts ? (bp_real)weight : 0;
            row_counts[at] = counts ? (bp_real)count : 0;
            sum += (double)weights[at];
            *counted += (double)row_counts[at];
        }
    }
    if (copies) call->y = copies;
    call->weights = weights;
    call->counts = row_counts;
    call->batch *= rows;
    return sum;
}

double bp_output_rows_weight(const struct bp_workspace *workspace, int32_t output, const struct bp_loss_call *call, double *counted) {
    struct bp_loss_call rows = *call;
    rows.width = (int32_t)bp_shape_size(&workspace->network->outputs[output].shape);
    return weigh_rows(workspace, output, &rows, counted);
}

/* The weights of the rows by themselves, or so that those of this call weigh as much as its samples: each row the same. Their counts likewise, by
 * the factor that is returned. */
static double share_rows(const struct bp_workspace *ws, int32_t output, struct bp_loss_call *call) {
    double samples = 0, sample_counts = 0, row_counts, share = call->row_share, count_share = call->count_share;
    for (int32_t i = 0; i < call->batch; i++) {
        samples += bp_sample_weight(call->weights, (size_t)i);
        sample_counts += bp_sample_weight(call->counts, (size_t)i);
    }
    const double rows = weigh_rows(ws, output, call, &row_counts);
    if (share <= 0) share = rows > 0 ? samples / rows : 0;
    if (count_share <= 0) count_share = row_counts > 0 ? sample_counts / row_counts : 0;
    if (share != 1) bp_kernels()->scale((size_t)call->batch, (bp_real)share, ws->row_weights[output]);
    return count_share;
}

void bp_workspace_forward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, int32_t batch,
                          const struct bp_draw *draw) {
    workspace->batch = batch;
    forward(weights, workspace, batch, network->nodes_count, draw);
}

void bp_workspace_forward_to(const bp_real *weights, struct bp_workspace *workspace, int32_t batch, int32_t to) {
    forward(weights, workspace, batch, to, NULL);
}

/* The loss of an output whose numbers are averages of what the head gave: of the numbers before the head that would give them. Those of an order are
 * not unique; its loss is the cross-entropy. */
static double loss_of_predictions(const struct bp_output *out, const struct bp_loss_call *call) {
    const bool each = out->loss->head->probabilities == BP_PROBABILITIES_EACH;
    const size_t n = (size_t)call->batch * (size_t)call->width;
    for (size_t i = 0; i < n; i++) {
        double p = (double)call->z[i];
        if (p < (double)FLT_MIN) p = (double)FLT_MIN;
        if (each && p > 1 - (double)FLT_EPSILON / 2) p = 1 - (double)FLT_EPSILON / 2;
        call->z[i] = (bp_real)(each ? log(p) - log1p(-p) : log(p));
    }
    if (!out->loss->ordered) return out->loss->evaluate(out->values, call);
    const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_family_find(&bp_losses, "cross_entropy");
    struct bp_value values[BP_VALUES_MAX];
    bp_values_preset(&loss->entry, values);
    return loss->evaluate(values, call);
}

static double loss_of(const struct bp_workspace *workspace, int32_t output, struct bp_loss_call *call) {
    const struct bp_output *out = &workspace->network->outputs[output];
    if (out->members) return bp_members_loss(workspace, output, call);
    return out->predictions ? loss_of_predictions(out, call) : out->loss->evaluate(out->values, call);
}

double bp_output_loss(struct bp_workspace *workspace, int32_t output, struct bp_loss_call *call, bool gradients) {
    const struct bp_output *out = &workspace->network->outputs[output];
    call->width = (int32_t)bp_shape_size(&out->shape);
    if (!call->z) call->z = workspace->a[out->node];
    if (!call->d_z) call->d_z = gradients ? workspace->d[out->node] : NULL;
    call->scale *= out->weight;
    double counted = 0;
    const double count_share = workspace->row_weights[output] ? share_rows(workspace, output, call) : 1;
    call->counted = call->apart ? &counted : NULL;
    call->loss = loss_of(workspace, output, call);
    call->counted = NULL;
    call->reported = call->apart ? counted * count_share : call->loss;
    return out->weight * call->loss;
}

double bp_loss_forward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, const struct bp_draw *draw,
                       struct bp_loss_call *calls, bool gradients) {
    double loss = 0;
    bp_workspace_forward(network, weights, workspace, calls[0].batch, draw);
    for (int32_t i = 0; i < network->outputs_count; i++) {
        calls[i].z = calls[i].d_z = NULL;
        loss += bp_output_loss(workspace, i, &calls[i], gradients);
    }
    return loss;
}

/* The gradient returns through a view with its own buffer. */
static void backward_view(struct bp_workspace *ws, int32_t at, int32_t batch) {
    const int32_t from = ws->network->nodes[at].inputs[0], owner = ws->owner[from];
    const size_t n = (size_t)batch * (size_t)bp_shape_size(&ws->network->nodes[at].out);
    if (ws->owner[at] != at) return;
    bp_gradient_write(ws->written[owner], n, ws->d[at], ws->d[from]);
    ws->written[owner] = true;
}

static void prepare_backward(struct bp_workspace *ws, int32_t i, bp_real *gradient, bool keep, bool input_gradients) {
    const struct bp_node *node = &ws->network->nodes[i];
    struct bp_pass *pass = &ws->passes[i];
    for (int32_t k = 0; k < node->inputs_count; k++) {
        const int32_t from = node->inputs[k], owner = ws->owner[from];
        const bool needed = ws->learns[from] || input_gradients;
        pass->d_x[k] = needed ? ws->d[from] : NULL;
        pass->keep_x[k] = ws->written[owner];
        ws->written[owner] = ws->written[owner] || needed;
    }
    for (int32_t t = 0; t < node->tensors_count; t++) pass->d_W[t] = gradient + node->tensors[t].offset;
    pass->keep_W = keep;
}

static void backward_node(const struct bp_node *node, const struct bp_pass *pass) {
    node->ops->backward(node, pass);
    for (int32_t k = 0; node->mask == BP_MASK_ZERO && k < node->inputs_count; k++)
        if (pass->mask[k] && pass->d_x[k]) clear_hidden(node, pass, k, pass->d_x[k]);
}

/* Gradients that only pass on within the stretch all take the place of the first samples'. */
static void backward_stretch(const struct bp_workspace *ws, int32_t from, int32_t end) {
    const int32_t most = samples_at_once(ws, from, end, 2);
    for (int32_t first = 0; first < ws->batch; first += most)
        for (int32_t i = end - 1; i >= from; i--) {
            struct bp_pass part = samples_of(&ws->network->nodes[i], &ws->passes[i], first, most);
            if (i + 1 < end && !ws->passes[i + 1].keep_x[0]) part.d_a = ws->d[i];
            if (i > from && !part.keep_x[0]) part.d_x[0] = ws->d[i - 1];
            ws->network->nodes[i].ops->backward(&ws->network->nodes[i], &part);
        }
}

void bp_loss_backward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, bp_real *gradient, bool keep,
                      bool input_gradients) {
    struct bp_workspace *ws = workspace;
    (void)weights; /* forward has set them */
    memset(ws->written, 0, (size_t)network->nodes_count * sizeof *ws->written);
    for (int32_t i = 0; i < network->outputs_count; i++) ws->written[network->outputs[i].node] = true; /* by the losses */
    for (int32_t i = network->nodes_count - 1, from; i >= network->inputs_count; i = from - 1) {
        from = i;
        if (!ws->learns[i] && !input_gradients) continue;
        if (ws->watch) ws->watch(ws->watcher, i);
        if (network->nodes[i].ops->view) {
            backward_view(ws, i, ws->batch);
            continue;
        }
        while (goes_on(ws, from, ws->batch) && (ws->learns[from - 1] || input_gradients)) from--;
        for (int32_t k = i; k >= from; k--) prepare_backward(ws, k, gradient, keep, input_gradients);
        if (from == i) backward_node(&network->nodes[i], &ws->passes[i]);
        else backward_stretch(ws, from, i + 1);
    }
}

/* d (B, shape) of the predictions as that of the output's node (B, members, shape), before the head. -1: no memory. */
static int spread_gradient(const struct bp_workspace *ws, const struct bp_output *out, int32_t batch, const bp_real *d) {
    const size_t n = (size_t)bp_shape_size(&out->shape), width = out->shape.rank ? (size_t)out->shape.dims[out->shape.rank - 1] : 1;
    const int32_t members = out->members ? out->members : 1;
    const size_t numbers = (size_t)batch * (size_t)members * n;
    bp_real *d_z = ws->d[out->node], *z = ws->a[out->node];
    for (int32_t i = 0; i < batch; i++)
        for (int32_t m = 0; m < members; m++)
            for (size_t j = 0; j < n; j++) d_z[((size_t)i * (size_t)members + (size_t)m) * n + j] = d[(size_t)i * n + j] / (bp_real)members;
    if (!out->head) return 0;
    bp_real *a = malloc((numbers + 1) * sizeof *a);
    if (!a) return -1;
    out->head->forward(no_numbers, numbers / width, width, z, a);
    out->head->backward(no_numbers, numbers / width, width, out->head->needs_z ? z : NULL, a, d_z, d_z);
    free(a);
    return 0;
}

int bp_predict_gradient(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, int32_t batch, int32_t output,
                        const bp_real *d, bp_real *gradient) {
    bp_flush_denormals();
    bp_workspace_forward(network, weights, workspace, batch, NULL);
    for (int32_t i = 0; i < network->outputs_count; i++) {
        const struct bp_output *out = &network->outputs[i];
        const size_t n = (size_t)batch * (size_t)bp_shape_size(&network->nodes[out->node].out);
        memset(workspace->d[out->node], 0, n * sizeof(bp_real));
    }
    if (spread_gradient(workspace, &network->outputs[output], batch, d) != 0) return -1;
    bp_loss_backward(network, weights, workspace, gradient, false, true);
    return 0;
}
