/* health.c - how each layer does, on the last mini-batch of an epoch: norms of weights, gradient and update, and what its activations look
 * like. It costs one more look at buffers that are there anyway, once an epoch; nothing of it goes back into the training. */
#include "engine/train/trainer.h"

#include "engine/kernels/kernels.h"
#include "engine/network/workspace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOUND 0.01 /* of the range of an activation: nearer to an end than that is saturated */

static int32_t units_of(const struct bp_node *node) {
    return node->out.rank > 0 ? node->out.dims[node->out.rank - 1] : 1;
}

void bp_health_clear(struct bp_trainer *trainer) {
    const double none = (double)NAN;
    for (int32_t i = 0; i < trainer->health_count; i++)
        trainer->health[i] = (struct bp_health){trainer->health[i].layer, none, none, none, none, none, none, none, none};
}

int bp_health_new(struct bp_trainer *trainer, struct bp_error *error) {
    const struct bp_network *net = trainer->network;
    int32_t widest = 1;
    trainer->health = calloc((size_t)net->nodes_count, sizeof *trainer->health);
    trainer->health_nodes = calloc((size_t)net->nodes_count, sizeof *trainer->health_nodes);
    if (!trainer->health || !trainer->health_nodes) return bp_error_memory(error, "no memory for a trainer");
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        if (node->ops->view) continue;
        if (units_of(node) > widest) widest = units_of(node);
        trainer->health_nodes[trainer->health_count] = i;
        trainer->health[trainer->health_count++].layer = node->name;
    }
    bp_health_clear(trainer);
    trainer->looks = calloc(BP_LOOKS + (size_t)widest, sizeof *trainer->looks);
    return trainer->looks ? 0 : bp_error_memory(error, "no memory for a trainer");
}

/* Sums over the activations of one layer, of the shards of this process. */
static void sum_activations(struct bp_trainer *trainer, int32_t at) {
    const struct bp_node *node = &trainer->network->nodes[at];
    const struct bp_activation_ops *f = node->activation;
    const size_t units = (size_t)units_of(node), size = (size_t)bp_shape_size(&node->out);
    const bool rectifies = f && f->rectifies, bounded = f && f->saturates;
    const double edge = bounded ? (f->bounds.high - f->bounds.low) * BOUND : 0;
    double *looks = trainer->looks, *alive = looks + BP_LOOKS;
    double sum = 0, squares = 0, count = 0, outside = 0;
    memset(alive, 0, units * sizeof *alive);
    for (int32_t s = 0; s < trainer->work.active; s++) {
        const bp_real *a = trainer->shard[s].workspace->a[at]; /* (count, ..., units) */
        const size_t rows = (size_t)trainer->shard[s].count * size / units;
        for (size_t i = 0; i < rows; i++, a += units) {
            double row = 0, row_squares = 0;
            for (size_t j = 0; j < units; j++) {
                row += (double)a[j];
                row_squares += (double)a[j] * (double)a[j];
            }
            for (size_t j = 0; rectifies && j < units; j++) alive[j] += a[j] != 0;
            for (size_t j = 0; bounded && j < units; j++) outside += (double)a[j] < f->bounds.low + edge || (double)a[j] > f->bounds.high - edge;
            sum += row;
            squares += row_squares;
        }
        count += (double)(rows * units);
    }
    looks[BP_LOOK_SUM] = sum;
    looks[BP_LOOK_SQUARES] = squares;
    looks[BP_LOOK_COUNT] = count;
    looks[BP_LOOK_OUTSIDE] = outside;
}

static void look_at(struct bp_trainer *trainer, int32_t at, struct bp_health *health) {
    const struct bp_node *node = &trainer->network->nodes[at];
    const size_t units = (size_t)units_of(node);
    const double *looks = trainer->looks, *alive = looks + BP_LOOKS;
    double dead = 0;
    sum_activations(trainer, at);
    bp_reduce_numbers(trainer, trainer->looks, BP_LOOKS + units);
    const double count = looks[BP_LOOK_COUNT];
    health->mean = looks[BP_LOOK_SUM] / count;
    const double variance = looks[BP_LOOK_SQUARES] / count - health->mean * health->mean;
    health->spread = sqrt(variance > 0 ? variance : 0);
    if (node->activation && node->activation->saturates) health->saturated = looks[BP_LOOK_OUTSIDE] / count;
    for (size_t j = 0; j < units; j++) dead += !(alive[j] > 0);
    if (node->activation && node->activation->rectifies) health->dead = dead / (double)units;
}

void bp_health_look(struct bp_trainer *trainer) {
    for (int32_t i = 0; i < trainer->health_count; i++) look_at(trainer, trainer->health_nodes[i], &trainer->health[i]);
}

void bp_health_before(struct bp_trainer *trainer) {
    const double factor = trainer->options.optimizer->search ? 1 : trainer->work.clip;
    int32_t t = 0;
    for (int32_t i = 0; i < trainer->health_count; i++) {
        struct bp_health *health = &trainer->health[i];
        double weights = 0, gradient = 0;
        const int32_t first = t;
        for (; t < trainer->tensors_count && trainer->tensors[t].node == trainer->health_nodes[i]; t++) {
            const struct bp_tensor *tensor = trainer->tensors[t].tensor;
            const size_t n = (size_t)bp_shape_size(&tensor->shape);
            weights += bp_kernels()->sum_squares(n, trainer->weights + tensor->offset);
            gradient += bp_kernels()->sum_squares(n, trainer->shard[0].gradient + tensor->offset);
        }
        if (t == first) continue;
        health->weight_norm = sqrt(weights);
        health->gradient_norm = factor * sqrt(gradient);
    }
}

void bp_health_after(struct bp_trainer *trainer) {
    int32_t t = 0;
    for (int32_t i = 0; i < trainer->health_count; i++) {
        struct bp_health *health = &trainer->health[i];
        double changes = 0;
        const int32_t first = t;
        for (; t < trainer->tensors_count && trainer->tensors[t].node == trainer->health_nodes[i]; t++)
            for (int32_t s = 0; s < trainer->options.threads; s++) changes += trainer->shard[s].changes[t];
        if (t == first) continue;
        health->update_norm = sqrt(changes);
        health->ratio = health->weight_norm > 0 ? health->update_norm / health->weight_norm : (double)NAN;
    }
}
