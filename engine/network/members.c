/* members.c - an output with members: networks side by side that have one target. What is minimised is the mean of their losses, each against the
 * same target; the prediction is the mean of theirs, after the head. B: samples, M: members, rows: of a sample for the loss (bp_output_rows). */
#include "engine/network/workspace.h"

#include <string.h>

static size_t rows_of(const struct bp_network *net, int32_t output, int32_t batch_max) {
    return (size_t)batch_max * (size_t)net->outputs[output].members * (size_t)bp_output_rows(net, output);
}

static size_t targets_of(const struct bp_network *net, int32_t output, int32_t batch_max) {
    const struct bp_output *out = &net->outputs[output];
    if (!out->loss) return 0;
    return (size_t)batch_max * (size_t)out->members * (size_t)bp_loss_target_width(out->loss, out->values, &out->shape);
}

static size_t mean_of(const struct bp_network *net, int32_t output, int32_t batch_max) {
    return bp_reals_round((size_t)batch_max * (size_t)bp_shape_size(&net->outputs[output].shape));
}

size_t bp_members_reals(const struct bp_network *network, int32_t output, int32_t batch_max) {
    if (!network->outputs[output].members) return 0;
    return mean_of(network, output, batch_max) + bp_reals_round(targets_of(network, output, batch_max)) +
           2 * bp_reals_round(rows_of(network, output, batch_max));
}

bp_real *bp_members_lay_out(struct bp_workspace *ws, int32_t output, bp_real *reals) {
    const struct bp_network *net = ws->network;
    struct bp_members *members = &ws->members[output];
    if (!net->outputs[output].members) return reals;
    members->mean = reals;
    members->y = members->mean + mean_of(net, output, ws->batch_max);
    members->weights = members->y + bp_reals_round(targets_of(net, output, ws->batch_max));
    members->counts = members->weights + bp_reals_round(rows_of(net, output, ws->batch_max));
    return members->counts + bp_reals_round(rows_of(net, output, ws->batch_max));
}

/* from (B, n) becomes to (B, M, n). */
static void repeat(int32_t batch, int32_t members, size_t n, const bp_real *from, bp_real *to) {
    for (int32_t i = 0; i < batch; i++, from += n)
        for (int32_t m = 0; m < members; m++, to += n) memcpy(to, from, n * sizeof *to);
}

void bp_members_average(const struct bp_workspace *ws, int32_t output, int32_t batch, const bp_real *a) {
    const struct bp_output *out = &ws->network->outputs[output];
    const size_t n = (size_t)bp_shape_size(&out->shape);
    const bp_real share = (bp_real)1 / (bp_real)out->members;
    bp_real *mean = ws->members[output].mean; /* (B, n) */
    for (int32_t i = 0; i < batch; i++, mean += n) {
        memcpy(mean, a, n * sizeof *mean);
        a += n;
        for (int32_t m = 1; m < out->members; m++, a += n)
            for (size_t j = 0; j < n; j++) mean[j] += a[j];
        for (size_t j = 0; j < n; j++) mean[j] *= share;
    }
}

double bp_members_loss(const struct bp_workspace *ws, int32_t output, struct bp_loss_call *call) {
    const struct bp_output *out = &ws->network->outputs[output];
    const struct bp_members *own = &ws->members[output];
    const int32_t rows = bp_output_rows(ws->network, output), samples = call->batch / rows;
    struct bp_loss_call all = *call;
    double counted = 0;
    repeat(samples, out->members, (size_t)bp_loss_target_width(out->loss, out->values, &out->shape), call->y, own->y);
    if (call->weights) repeat(samples, out->members, (size_t)rows, call->weights, own->weights);
    if (call->counts) repeat(samples, out->members, (size_t)rows, call->counts, own->counts);
    all.batch = call->batch * out->members;
    all.y = own->y;
    all.weights = call->weights ? own->weights : NULL;
    all.counts = call->counts ? own->counts : NULL;
    all.scale = call->scale / out->members;
    all.counted = call->counted ? &counted : NULL;
    const double loss = out->loss->evaluate(out->values, &all);
    if (call->counted) *call->counted += counted / out->members;
    bp_members_average(ws, output, samples, call->z);
    call->z = own->mean;
    return loss / out->members;
}
