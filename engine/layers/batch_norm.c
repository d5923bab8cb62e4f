/* batch_norm.c - a = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance of each channel over the mini-batch (Ioffe, Szegedy 2015);
 * x, a (B, ..., C); gamma, beta, moving_mean, moving_variance (C). In inference, and when frozen, the moving statistics replace the mini-batch's.
 *
 * R = B times the cells of a sample. Each shard of a mini-batch takes the statistics of its own rows; the moving ones are renewed from their mean
 * over the shards: moving = m moving + (1 - m) new, m = min(momentum, t / (t + 1)) at mini-batch t (from 0), a plain average at first, so that they
 * are of use from the first epoch on. The moving variance is the unbiased one, as in PyTorch. Steps that a mask hides do not count. A single value of
 * a channel has no variance: as a shard of a mini-batch it does not change the moving one, as a whole mini-batch (the last of an epoch) both. */
#include "engine/initializers/initializer.h"
#include "engine/layers/gradient.h"
#include "engine/layers/norm.h"

#include <math.h>
#include <string.h>

enum { MOMENTUM, EPSILON, CENTER, SCALE, PARAMS };
enum { MEAN, VARIANCE, GAMMA }; /* beta follows gamma, or takes its place */
enum { BLOCK = 64 };            /* rows summed up before they are added to the total: keeps float sums exact enough */

extern const struct bp_initializer_ops bp_initializer_ones, bp_initializer_zeros;

static int plan(struct bp_node *node, struct bp_error *error) {
    const struct bp_shape *in = &node->in[0];
    node->out = *in;
    if (in->rank < 0) return 0;
    if (in->rank == 0) return bp_error_set(error, "", "batch_norm needs an input of at least one axis, but got a single number ()");
    const int32_t C = in->dims[in->rank - 1];
    if (C <= 0) return 0;
    struct bp_tensor *mean = bp_node_tensor(node, "moving_mean", 1, &C), *variance = bp_node_tensor(node, "moving_variance", 1, &C);
    mean->initializer = &bp_initializer_zeros;
    variance->initializer = &bp_initializer_ones;
    mean->state = variance->state = true;
    if (node->values[SCALE].number != 0) bp_node_tensor(node, "gamma", 1, &C)->initializer = &bp_initializer_ones;
    if (node->values[CENTER].number != 0) bp_node_tensor(node, "beta", 1, &C)->initializer = &bp_initializer_zeros;
    node->memo = (size_t)bp_shape_size(in); /* the normed x */
    node->kept = 5 * (size_t)C;             /* see struct norm */
    return 0;
}

struct norm {
    size_t rows, C, steps, inner;                     /* rows R; a mask has `steps` a sample, each `inner` rows */
    const bp_real *mask;                              /* (B, steps) or NULL */
    bp_real count;                                    /* rows that are there */
    bool fresh;                                       /* statistics of this mini-batch, not the moving ones */
    bp_real *normed;                                  /* (R, C) */
    bp_real *mean, *variance, *inverse, *sum, *block; /* (C) each: inverse is 1 / deviation, the last two are for summing */
    const bp_real *gamma, *beta;                      /* (C) or NULL */
    bp_real *d_gamma, *d_beta;
};

static bp_real there(const struct norm *n, size_t row) {
    return n->mask ? n->mask[row / n->inner] : 1;
}

static struct norm norm_of(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t C = (size_t)node->out.dims[node->out.rank - 1], total = (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
    const int32_t gamma = node->values[SCALE].number != 0 ? GAMMA : -1, beta = node->values[CENTER].number != 0 ? GAMMA + (gamma > 0) : -1;
    struct norm n = {.rows = total / C, .C = C, .mask = pass->mask[0], .fresh = pass->training && !node->frozen, .normed = pass->memo};
    n.steps = node->out.rank > 1 ? (size_t)node->out.dims[0] : 1;
    n.inner = n.rows / ((size_t)pass->batch * n.steps);
    n.count = (bp_real)n.rows;
    if (n.mask) {
        n.count = 0;
        for (size_t i = 0; i < (size_t)pass->batch * n.steps; i++) n.count += n.mask[i] * (bp_real)n.inner;
    }
    if (pass->kept) {
        n.mean = pass->kept;
        n.variance = n.mean + C;
        n.inverse = n.variance + C;
        n.sum = n.inverse + C;
        n.block = n.sum + C;
    }
    n.gamma = gamma > 0 ? pass->W[gamma] : NULL;
    n.beta = beta > 0 ? pass->W[beta] : NULL;
    n.d_gamma = gamma > 0 ? pass->d_W[gamma] : NULL;
    n.d_beta = beta > 0 ? pass->d_W[beta] : NULL;
    return n;
}

/* total[c] = sum over the rows that are there of (x - centre) y, y = x - centre when y is NULL; without a centre and y: of x. */
static void sum_rows(const struct norm *n, const bp_real *x, const bp_real *centre, const bp_real *y, bp_real *total) {
    memset(total, 0, n->C * sizeof *total);
    for (size_t first = 0; first < n->rows; first += BLOCK) {
        const size_t last = first + BLOCK < n->rows ? first + BLOCK : n->rows;
        bp_real *restrict block = n->block;
        memset(block, 0, n->C * sizeof *block);
        for (size_t i = first; i < last; i++) {
            const bp_real *restrict row = x + i * n->C;
            if (there(n, i) == 0) continue;
            if (y)
                for (size_t c = 0; c < n->C; c++) block[c] += row[c] * y[i * n->C + c];
            else if (centre)
                for (size_t c = 0; c < n->C; c++) block[c] += (row[c] - centre[c]) * (row[c] - centre[c]);
            else
                for (size_t c = 0; c < n->C; c++) block[c] += row[c];
        }
        for (size_t c = 0; c < n->C; c++) total[c] += block[c];
    }
}

static void take_statistics(const struct bp_node *node, const struct bp_pass *pass, struct norm *n) {
    const bp_real epsilon = (bp_real)node->values[EPSILON].number, share = n->count > 0 ? 1 / n->count : 0;
    if (n->fresh) {
        sum_rows(n, pass->x[0], NULL, NULL, n->mean);
        for (size_t c = 0; c < n->C; c++) n->mean[c] *= share;
        sum_rows(n, pass->x[0], n->mean, NULL, n->variance);
        for (size_t c = 0; c < n->C; c++) n->variance[c] *= share;
    } else {
        memcpy(n->mean, pass->W[MEAN], n->C * sizeof *n->mean);
        memcpy(n->variance, pass->W[VARIANCE], n->C * sizeof *n->variance);
    }
    for (size_t c = 0; c < n->C; c++) n->inverse[c] = (bp_real)(1 / sqrt((double)(n->variance[c] + epsilon)));
}

/* Inference without stored values: a = x s + (beta - mean s), s = gamma / deviation. */
static void forward_moving(const struct bp_node *node, const struct bp_pass *pass, const struct norm *n) {
    const bp_real epsilon = (bp_real)node->values[EPSILON].number, *mean = pass->W[MEAN], *variance = pass->W[VARIANCE];
    for (size_t c = 0; c < n->C; c++) {
        const bp_real slope = (n->gamma ? n->gamma[c] : 1) * (bp_real)(1 / sqrt((double)(variance[c] + epsilon)));
        const bp_real beta = n->beta ? n->beta[c] : 0;
        for (size_t i = c; i < n->rows * n->C; i += n->C) pass->a[i] = (pass->x[0][i] - mean[c]) * slope + beta;
    }
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    struct norm n = norm_of(node, pass);
    if (!n.mean) {
        forward_moving(node, pass, &n);
        return;
    }
    take_statistics(node, pass, &n);
    for (size_t i = 0; i < n.rows; i++) {
        const bp_real *restrict x = pass->x[0] + i * n.C, *restrict mean = n.mean, *restrict inverse = n.inverse;
        bp_real *restrict normed = n.normed + i * n.C, *restrict a = pass->a + i * n.C;
        for (size_t c = 0; c < n.C; c++) normed[c] = (x[c] - mean[c]) * inverse[c];
        for (size_t c = 0; c < n.C; c++) a[c] = (n.gamma ? normed[c] * n.gamma[c] : normed[c]) + (n.beta ? n.beta[c] : 0);
    }
}

/* For update_statistics. */
static void report_statistics(const struct bp_pass *pass, const struct norm *n) {
    const bool any = n->count > 1 || (n->count > 0 && pass->share < 1), spread = n->count > 1; /* a single value of a shard has a mean */
    const bp_real *mean = any ? n->mean : pass->W[MEAN], *variance = spread ? n->variance : pass->W[VARIANCE];
    const bp_real share = (bp_real)pass->share, unbiased = spread ? n->count / (n->count - 1) : 1;
    for (size_t c = 0; c < n->C; c++) {
        pass->d_W[MEAN][c] = share * mean[c];
        pass->d_W[VARIANCE][c] = share * unbiased * variance[c];
    }
}

/* With d_n = d_a gamma, n the normed x and sums over the rows that are there:  d_x = (d_n - (sum d_n + n sum d_n n) / count) / deviation. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    struct norm n = norm_of(node, pass);
    const size_t C = n.C;
    const bp_real share = n.fresh && n.count > 0 ? 1 / n.count : 0;
    bp_real *along = n.variance, *sum = n.sum; /* (C): the variance is used first, then its memory is free */
    if (n.fresh) report_statistics(pass, &n);
    sum_rows(&n, pass->d_a, NULL, NULL, sum);
    sum_rows(&n, pass->d_a, NULL, n.normed, along);
    for (size_t c = 0; n.d_gamma && c < C; c++) bp_gradient_put(pass->keep_W, along[c], &n.d_gamma[c]);
    for (size_t c = 0; n.d_beta && c < C; c++) bp_gradient_put(pass->keep_W, sum[c], &n.d_beta[c]);
    if (!pass->d_x[0]) return;
    for (size_t i = 0; i < n.rows; i++) {
        const bp_real *restrict d_a = pass->d_a + i * C, *restrict normed = n.normed + i * C;
        bp_real *restrict d_x = pass->d_x[0] + i * C;
        const bp_real part = share * there(&n, i);
        for (size_t c = 0; c < C; c++) {
            const bp_real one = (n.gamma ? n.gamma[c] : 1) * n.inverse[c] * (d_a[c] - part * (sum[c] + normed[c] * along[c]));
            bp_gradient_put(pass->keep_x[0], one, &d_x[c]);
        }
    }
}

static void update_statistics(const struct bp_node *node, uint64_t step, bp_real *const *W, bp_real *const *statistics) {
    const double plain = (double)step / ((double)step + 1), momentum = node->values[MOMENTUM].number;
    const bp_real m = (bp_real)(momentum < plain ? momentum : plain);
    const size_t C = (size_t)node->out.dims[node->out.rank - 1];
    for (size_t c = 0; c < C; c++) {
        W[MEAN][c] = m * W[MEAN][c] + (1 - m) * statistics[MEAN][c];
        W[VARIANCE][c] = m * W[VARIANCE][c] + (1 - m) * statistics[VARIANCE][c];
    }
}

static const struct bp_param params[PARAMS] = {
    [MOMENTUM] = {.name = "momentum",
                  .type = BP_PARAM_NUMBER,
                  .help = "Decay of the moving statistics per update",
                  .preset = 0.99,
                  .min = 0,
                  .max = 1,
                  .flags = BP_PARAM_MAX_OPEN},
    [EPSILON] = BP_NORM_EPSILON_PARAM,
    [CENTER] = BP_NORM_CENTER_PARAM,
    [SCALE] = BP_NORM_SCALE_PARAM,
};

extern const struct bp_layer_ops bp_layer_batch_norm;
const struct bp_layer_ops bp_layer_batch_norm = {
    .entry = {.name = "batch_norm",
              .summary = "Mean 0 and variance 1 of each channel over the mini-batch, then a trainable scale and offset",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .update_statistics = update_statistics,
};
