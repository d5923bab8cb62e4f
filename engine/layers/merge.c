/* merge.c - see merge.h. Order: shapes, one input and its gradient, sums. */
#include "engine/layers/merge.h"

#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"

#include <string.h>

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* Dimension k of a shape that is aligned at the end of one of that rank: 1 where it is missing. */
static int32_t dim_of(const struct bp_shape *shape, int32_t rank, int32_t k) {
    const int32_t at = k - (rank - shape->rank);
    return at < 0 ? 1 : shape->dims[at];
}

int bp_merge_shape(const struct bp_node *node, struct bp_shape *shape, struct bp_error *error) {
    char first[64], other[64];
    *shape = node->in[0];
    for (int32_t i = 1; i < node->inputs_count; i++) {
        const struct bp_shape *in = &node->in[i], before = *shape;
        if (before.rank < 0 || in->rank < 0) { /* any input may turn out to be larger than what is known */
            shape->rank = -1;
            continue;
        }
        shape->rank = before.rank > in->rank ? before.rank : in->rank;
        for (int32_t k = 0; k < shape->rank; k++) {
            const int32_t a = dim_of(&before, shape->rank, k), b = dim_of(in, shape->rank, k);
            if (a > 1 && b > 1 && a != b)
                return bp_error_set(
                    error, "/inputs",
                    "the inputs of %s must have the same shape, or sizes of 1 that are repeated (aligned at the last axis), but input 0 "
                    "has %s and input %d has %s",
                    node->ops->entry.name, bp_shape_text(&node->in[0], first, sizeof first), (int)i, bp_shape_text(in, other, sizeof other));
            shape->dims[k] = a > 1 ? a : b > 1 ? b : a < b ? a : b; /* unknown (0) beside 1 is unknown */
        }
    }
    return 0;
}

size_t bp_merge_size(const struct bp_node *node, const struct bp_pass *pass) {
    return (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
}

bool bp_merge_repeats(const struct bp_node *node, int32_t i) {
    return bp_shape_size(&node->in[i]) != bp_shape_size(&node->out);
}

bool bp_merge_any_repeats(const struct bp_node *node) {
    for (int32_t i = 0; i < node->inputs_count; i++)
        if (bp_merge_repeats(node, i)) return true;
    return false;
}

/* ---- one input and its gradient ---------------------------------------------------------------------------------- */

/* The output's axes as groups of adjacent ones, the last first, all of a group repeated or none: numbers along it, and the distance of their sources
 * in a sample of the input, 0 when repeated. */
struct groups {
    size_t count[BP_RANK_MAX], step[BP_RANK_MAX], in, out; /* in, out: numbers of a sample */
};

static struct groups groups_of(const struct bp_node *node, int32_t i) {
    struct groups g = {.in = (size_t)bp_shape_size(&node->in[i]), .out = (size_t)bp_shape_size(&node->out)};
    size_t at = 0, inner = 1;
    for (int32_t k = 0; k < BP_RANK_MAX; k++) g.count[k] = 1;
    for (int32_t k = node->out.rank - 1; k >= 0; k--) {
        const size_t n = (size_t)node->out.dims[k], m = (size_t)dim_of(&node->in[i], node->out.rank, k);
        const bool repeated = m < n;
        if (n == 1) continue;
        if (g.count[at] > 1 && repeated != (g.step[at] == 0)) at++;
        if (g.count[at] == 1) g.step[at] = repeated ? 0 : inner;
        g.count[at] *= n;
        inner *= m;
    }
    return g;
}

/* Where in a sample of the input the stretch of the output begins that is number `stretch` of those of count[0] numbers. */
static size_t source_of(const struct groups *g, size_t stretch) {
    size_t at = 0;
    for (int32_t k = 1; k < BP_RANK_MAX; k++) {
        at += stretch % g->count[k] * g->step[k];
        stretch /= g->count[k];
    }
    return at;
}

const bp_real *bp_merge_operand(const struct bp_node *node, const struct bp_pass *pass, int32_t i, bp_real *room) {
    if (!bp_merge_repeats(node, i)) return pass->x[i];
    const struct groups g = groups_of(node, i);
    const size_t n = g.count[0];
    bp_real *to = room;
    for (size_t sample = 0; sample < (size_t)pass->batch; sample++)
        for (size_t stretch = 0; stretch < g.out / n; stretch++, to += n) {
            const bp_real *from = pass->x[i] + sample * g.in + source_of(&g, stretch);
            if (g.step[0]) memcpy(to, from, n * sizeof *to);
            else
                for (size_t k = 0; k < n; k++) to[k] = *from;
        }
    return room;
}

void bp_merge_gradient(const struct bp_node *node, const struct bp_pass *pass, int32_t i, const bp_real *d) {
    if (!pass->d_x[i]) return;
    if (!bp_merge_repeats(node, i)) {
        bp_gradient_write(pass->keep_x[i], bp_merge_size(node, pass), d, pass->d_x[i]);
        return;
    }
    const struct groups g = groups_of(node, i);
    const size_t n = g.count[0];
    bp_gradient_begin(pass->keep_x[i], (size_t)pass->batch * g.in, pass->d_x[i]);
    for (size_t sample = 0; sample < (size_t)pass->batch; sample++)
        for (size_t stretch = 0; stretch < g.out / n; stretch++, d += n) {
            bp_real *to = pass->d_x[i] + sample * g.in + source_of(&g, stretch);
            double sum = 0;
            if (g.step[0]) {
                bp_kernels()->scaled_add(n, 1, d, to);
                continue;
            }
            for (size_t k = 0; k < n; k++) sum += (double)d[k];
            *to += (bp_real)sum;
        }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

int bp_merge_sum_plan(struct bp_node *node, struct bp_error *error) {
    if (bp_merge_shape(node, &node->out, error)) return -1;
    if (bp_merge_any_repeats(node)) node->scratch = (size_t)bp_shape_size(&node->out); /* a repeated input */
    return 0;
}

void bp_merge_sum_forward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_merge_sum *sum) {
    const size_t n = bp_merge_size(node, pass);
    const bp_real *first = bp_merge_operand(node, pass, 0, pass->a);
    if (first != pass->a) memcpy(pass->a, first, n * sizeof *pass->a);
    for (int32_t i = 1; i < node->inputs_count; i++) bp_kernels()->scaled_add(n, sum->rest, bp_merge_operand(node, pass, i, pass->scratch), pass->a);
    if (sum->scale != 1) bp_kernels()->scale(n, sum->scale, pass->a);
}

void bp_merge_sum_backward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_merge_sum *sum) {
    const size_t n = bp_merge_size(node, pass);
    if (sum->scale != 1) bp_kernels()->scale(n, sum->scale, pass->d_a);
    bp_merge_gradient(node, pass, 0, pass->d_a);
    if (sum->rest != 1) bp_kernels()->scale(n, sum->rest, pass->d_a);
    for (int32_t i = 1; i < node->inputs_count; i++) bp_merge_gradient(node, pass, i, pass->d_a);
}
