/* ordinal.c - -ln p of the true class of K that have an order, p the activation `ordinal` of z (B, classes); y (B, 1) class numbers; of an output
 * (..., classes) each position is a sample (a cumulative link model: McCullagh 1980).
 *
 * With g_k = z_0 - z_1 - softplus(z_2) - ... - softplus(z_k), p(class >= k) = sigmoid(g_k); of class y, a = g_y and b = g_y+1, a > b:
 * ln p = ln sigmoid(a) + ln sigmoid(-b) + ln(1 - e^(b - a)), of the first class without a, of the last without b. */
#include "engine/activations/activation.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_ordinal;
extern const struct bp_loss_ops bp_loss_ordinal;

static int check(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    (void)values;
    return bp_loss_check_classes(&bp_loss_ordinal, output, error);
}

static double softplus(double z) {
    return (z > 0 ? z : 0) + log1p(exp(-fabs(z)));
}

static double sigmoid(double z) {
    const double e = exp(-fabs(z));
    return (z > 0 ? 1 : e) / (1 + e);
}

/* -ln p of class y of z (K); d (K), unless NULL, its derivatives. */
static double one(const bp_real *z, size_t K, size_t y, double factor, bp_real *d) {
    double g = (double)z[0] - (double)z[1], loss = 0, d_a = 0, d_b = 0; /* g_1 */
    for (size_t k = 2; k <= y; k++) g -= softplus((double)z[k]);
    const bool first = y == 0, last = y + 1 == K;
    const double step = first || last ? 0 : softplus((double)z[y + 1]), b = g - step;
    if (!first) {
        loss += softplus(-g);
        d_a -= sigmoid(-g);
    }
    if (!last) {
        loss += softplus(b);
        d_b += sigmoid(b);
    }
    if (!first && !last) loss -= log(-expm1(-step));
    if (!d) return loss;
    /* g_k falls by z_1 and by softplus(z_j) for each j from 2 to k; the distance of a and b is softplus(z_y+1) alone. */
    d[0] = (bp_real)(factor * (d_a + d_b));
    d[1] = (bp_real)(-factor * (d_a + d_b));
    for (size_t j = 2; j < K; j++) d[j] = j <= y ? (bp_real)(-factor * (d_a + d_b) * sigmoid((double)z[j])) : 0;
    if (!first && !last) d[y + 1] = (bp_real)(-factor * sigmoid((double)z[y + 1]) * (d_b + 1 / expm1(step)));
    return loss;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const bp_real *z = call->z + i * width, y = call->y[i]; /* (classes) */
        const double weight = bp_sample_weight(call->weights, i);
        const bool known = y >= 0 && y < (bp_real)width;
        const double found = one(z, width, known ? (size_t)y : 0, weight * call->scale, call->d_z ? call->d_z + i * width : NULL);
        double whole = known ? found : (double)NAN;
        for (size_t j = 0; j < width; j++)
            if (z[j] != z[j]) whole = (double)NAN; /* of a number that this class does not need, too */
        loss += weight * whole;
        bp_loss_count(call, i, whole);
    }
    bp_activation_ordinal.forward(NULL, (size_t)call->batch, width, call->z, call->z);
    return loss;
}

const struct bp_loss_ops bp_loss_ordinal = {
    .entry = {.name = "ordinal", .summary = "For classes that have an order, that of their values: a near miss costs less than a far one"},
    .target = BP_TARGET_CLASS,
    .ordered = true,
    .head = &bp_activation_ordinal,
    .check = check,
    .evaluate = evaluate,
};
