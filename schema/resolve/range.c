/* range.c - outputs that cannot take every value: their target is scaled into the range that the activation has, instead of being
 * standardised around 0, where half of it would be out of reach. */
#include "schema/resolve/resolution.h"

#include <math.h>
#include <string.h>

/* What a value of the network may be; NaN: there is no such bound. */
struct range {
    double low, high;
};

static const struct {
    const char *name;
    struct range range;
} ranges[] = {
    {"relu", {0, NAN}},       {"relu6", {0, 6}},  {"softplus", {0, NAN}}, {"exponential", {0, NAN}}, {"sigmoid", {0, 1}},
    {"hard_sigmoid", {0, 1}}, {"tanh", {-1, 1}},  {"softmax", {0, 1}},    {"log_softmax", {NAN, 0}}, {"elu", {0, NAN}},
    {"selu", {0, NAN}},       {"gelu", {0, NAN}}, {"silu", {0, NAN}},     {"mish", {0, NAN}},        {"hard_swish", {0, NAN}},
    /* those of the last two lines reach a little below 0, but bend there: the line above it is what they are good for */
};

/* The range of an output; false: it takes every value. */
static bool range_of(const struct bp_network *net, const struct bp_output *output, struct range *range) {
    int32_t at = output->node;
    while (at >= net->inputs_count && net->nodes[at].ops->view) at = net->nodes[at].inputs[0];
    if (at < net->inputs_count) return false;
    const struct bp_node *node = &net->nodes[at];
    const char *name = output->head ? output->head->entry.name : node->activation ? node->activation->entry.name : NULL;
    const char *layer = node->ops->entry.name;
    if (!name && (strcmp(layer, "lstm") == 0 || strcmp(layer, "gru") == 0)) name = "tanh"; /* of their state */
    for (size_t i = 0; name && i < sizeof ranges / sizeof *ranges; i++)
        if (strcmp(ranges[i].name, name) == 0) {
            *range = ranges[i].range;
            return true;
        }
    return false;
}

/* Two bounds: the training rows fill all but a twentieth at each end, so that sigmoid and tanh need not go to infinity; as they are where they fill a
 * good part of the range already, as shares do. One bound: 0 stays 0 for what is not negative and reaches near it; the least value comes to lie at
 * the bound else. The unit is a deviation. */
static void scale_into(const struct range *range, struct schema_channel *c) {
    const double low = c->min, high = c->max, width = high - low;
    if (!isfinite(width) || !(width > 0)) return;
    if (!isnan(range->low) && !isnan(range->high)) {
        const double room = range->high - range->low, margin = room / 20;
        const bool as_is = low >= range->low && high <= range->high && width >= room / 4;
        c->std = as_is ? 1 : width / (room - 2 * margin);
        c->mean = as_is ? 0 : low - (range->low + margin) * c->std;
    } else if (!isnan(range->low)) {
        c->mean = low >= 0 && low <= width / 2 ? 0 : low;
    } else {
        c->mean = high <= 0 && -high <= width / 2 ? 0 : high;
    }
}

static void scale_target(const struct range *range, struct schema_target *t) {
    for (int32_t c = 0; c < t->channels_count; c++) scale_into(range, &t->channels[c]);
    if (t->channels_count > 0) return;
    struct schema_channel whole = {t->mean, t->std, t->min, t->max};
    scale_into(range, &whole);
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
        struct range range = {(double)NAN, (double)NAN};
        const struct schema_target *first = &p->targets[p->outputs[o].first];
        if (first->classification || first->shares || !net->outputs[o].loss) continue; /* shares are in the range of their head */
        const bool counts = net->outputs[o].loss->range == BP_RANGE_COUNTS;
        if (!counts && !range_of(net, &net->outputs[o], &range)) continue;
        for (int32_t k = p->outputs[o].first; k < p->outputs[o].first + p->outputs[o].count; k++)
            if (counts) scale_counts(&p->targets[k]);
            else scale_target(&range, &p->targets[k]);
    }
    schema_targets_units(p);
}
