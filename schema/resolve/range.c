/* range.c - outputs that cannot take every value: their target is scaled into the range that the activation has, instead of being
 * standardised around 0, where half of it would be out of reach. */
#include "schema/resolve/resolution.h"

#include <math.h>
#include <string.h>

/* The bounds of an output; without any it takes every value. */
static struct bp_bounds bounds_of(const struct bp_network *net, const struct bp_output *output) {
    int32_t at = output->node;
    while (at >= net->inputs_count && net->nodes[at].ops->view) at = net->nodes[at].inputs[0];
    if (at < net->inputs_count) return (struct bp_bounds){.low = 0};
    const struct bp_activation_ops *f = output->head ? output->head : net->nodes[at].activation;
    return f ? f->bounds : net->nodes[at].bounds;
}

/* Two bounds: the training rows fill all but a twentieth at each end, so that sigmoid and tanh need not go to infinity; as they are where they fill a
 * good part of the range already, as shares do. One bound: 0 stays 0 for what is not negative and reaches near it; the least value comes to lie at
 * the bound else. The unit is a deviation. */
static void scale_into(const struct bp_bounds *bounds, struct schema_channel *c) {
    const double low = c->min, high = c->max, width = high - low;
    if (!isfinite(width) || !(width > 0)) return;
    if (bounds->has_low && bounds->has_high) {
        const double room = bounds->high - bounds->low, margin = room / 20;
        const bool as_is = low >= bounds->low && high <= bounds->high && width >= room / 4;
        c->std = as_is ? 1 : width / (room - 2 * margin);
        c->mean = as_is ? 0 : low - (bounds->low + margin) * c->std;
    } else if (bounds->has_low) {
        c->mean = low >= 0 && low <= width / 2 ? 0 : low;
    } else {
        c->mean = high <= 0 && -high <= width / 2 ? 0 : high;
    }
}

static void scale_target(const struct bp_bounds *bounds, struct schema_target *t) {
    for (int32_t c = 0; c < t->channels_count; c++) scale_into(bounds, &t->channels[c]);
    if (t->channels_count > 0) return;
    struct schema_channel whole = {t->mean, t->std, t->min, t->max};
    scale_into(bounds, &whole);
    t->mean = whole.mean;
    t->std = whole.std;
}

/* Counts that are far from 1 on average would need a logarithm that training is long in reaching: they are learned in units of their mean. The loss
 * is the same but for that unit and a constant. */
static void scale_counts(struct schema_target *t) {
    const double mean = t->counts_mean;
    if (isfinite(mean) && mean > 0 && (mean < 0.25 || mean > 4)) schema_target_rescale(t, 0, mean);
}

void resolving_target_range(struct resolving *r) {
    const struct bp_network *net = r->training->network;
    struct schema_preprocessing *p = r->training->preprocessing;
    for (int32_t o = 0; o < p->outputs_count && o < net->outputs_count; o++) {
        const struct schema_target *first = &p->targets[p->outputs[o].first];
        if (first->classification || first->shares || !net->outputs[o].loss) continue; /* shares are in the range of their head */
        const enum bp_range range = net->outputs[o].loss->range;
        const bool counts = bp_range_from_zero(range);
        const struct bp_bounds bounds = bounds_of(net, &net->outputs[o]);
        if (!counts && !bounds.has_low && !bounds.has_high) continue;
        for (int32_t k = p->outputs[o].first; k < p->outputs[o].first + p->outputs[o].count; k++)
            if (counts && range != BP_RANGE_AMOUNTS) scale_counts(&p->targets[k]);
            else if (!counts) scale_target(&bounds, &p->targets[k]);
    }
    schema_targets_units(p);
}
