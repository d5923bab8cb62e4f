/* binary_cross_entropy.c - -ln p of the true class out of two, p = sigmoid(z) the probability of class 1; z, y (B, 1); of an output (..., 1) each
 * position is a sample.
 * loss = max(z, 0) - z y + ln(1 + e^-|z|), which neither overflows nor cancels; dz = p - y.
 * Of shares: z, y (B, width), each y from 0 to 1 by itself; the mean over the numbers of a sample, as torch.nn.BCEWithLogitsLoss. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_sigmoid;

static int check(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    (void)values;
    char text[64];
    if (bp_shape_size(output) != 1 && output->dims[output->rank - 1] != 1)
        return bp_error_set(error, "",
                            "binary_cross_entropy needs a single output, the probability of the second class, but the output has the shape %s; "
                            "use 1 unit, or cross_entropy with one unit per class",
                            bp_shape_text(output, text, sizeof text));
    return 0;
}

enum { BLOCK = 64 }; /* samples at once */

/* e^-|z| of n samples. */
static void exponentials(size_t n, const bp_real *z, bp_real e[BLOCK]) {
    for (size_t i = 0; i < n; i++) e[i] = -(bp_real)fabs((double)z[i]);
    bp_kernels()->exp(n, e, e);
}

/* The loss of a sample but for its ln(1 + e^-|z|). */
static double without_logarithm(double z, double y) {
    return y == 0 || y == 1 ? (z > 0 ? z : 0) - z * y : (double)NAN;
}

/* The sum over samples that count alike. One logarithm serves all of them: of the product of 1 + e, which is at most 2 for each. What is multiplied
 * up is the product minus 1, so that a small loss keeps its digits. */
static double sum_alike(size_t n, const bp_real *z, const bp_real *y) {
    enum { LANES = 4 };
    bp_real e[BLOCK];
    double sum = 0, more[LANES] = {0}; /* products minus 1 */
    exponentials(n, z, e);
    for (size_t i = 0; i < n; i++) {
        sum += without_logarithm((double)z[i], (double)y[i]);
        more[i % LANES] += (double)e[i] + more[i % LANES] * (double)e[i];
    }
    for (int l = 1; l < LANES; l++) more[0] += more[l] + more[0] * more[l];
    return sum + log1p(more[0]);
}

static double sum_weighted(const struct bp_loss_call *call, size_t first, size_t n) {
    bp_real e[BLOCK];
    double sum = 0;
    exponentials(n, call->z + first, e);
    for (size_t i = 0; i < n; i++) {
        const double one = without_logarithm((double)call->z[first + i], (double)call->y[first + i]) + log1p((double)e[i]);
        sum += bp_sample_weight(call->weights, first + i) * one;
        bp_loss_count(call, first + i, one);
    }
    return sum;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t batch = (size_t)call->batch;
    const bool alike = !call->weights && !call->counts;
    double loss = 0;
    for (size_t first = 0; first < batch; first += BLOCK) {
        const size_t n = batch - first < BLOCK ? batch - first : BLOCK;
        loss += alike ? sum_alike(n, call->z + first, call->y + first) : sum_weighted(call, first, n);
    }
    if (alike && call->counted) *call->counted += loss;
    bp_kernels()->sigmoid(batch, call->z, call->z);
    for (size_t i = 0; call->d_z && i < batch; i++)
        call->d_z[i] = (call->z[i] - call->y[i]) * (bp_real)(call->scale * bp_sample_weight(call->weights, i));
    return loss;
}

static double number(const struct bp_value *values, double z, double y, double *slope) {
    (void)values;
    const double share = y >= 0 && y <= 1 ? y : (double)NAN, e = exp(-fabs(z));
    if (slope) *slope = (z > 0 ? 1 : e) / (1 + e) - share;
    return (z > 0 ? z : 0) - z * share + log1p(e);
}

static double evaluate_shares(const struct bp_value *values, const struct bp_loss_call *call) {
    const double loss = bp_loss_numbers(values, call, number);
    bp_kernels()->sigmoid((size_t)call->batch * (size_t)call->width, call->z, call->z);
    return loss;
}

static const struct bp_loss_ops of_shares = {
    .entry = {.name = "binary_cross_entropy", .summary = "Cross-entropy of sigmoid against shares in the target"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_PARTS,
    .head = &bp_activation_sigmoid,
    .evaluate = evaluate_shares,
};

extern const struct bp_loss_ops bp_loss_binary_cross_entropy;
const struct bp_loss_ops bp_loss_binary_cross_entropy = {
    .entry = {.name = "binary_cross_entropy",
              .summary = "Cross-entropy of sigmoid: for two classes and a single output, or for numbers from 0 to 1, each independent"},
    .target = BP_TARGET_CLASS,
    .shares = &of_shares,
    .head = &bp_activation_sigmoid,
    .check = check,
    .evaluate = evaluate,
};
