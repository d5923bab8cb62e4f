/* dot.c - the product of two inputs, summed over one axis of each: a[r, s] = sum over k of x[r, k] y[s, k], r and s all other axes of x and of y,
 * in their order, as in Keras; with `normalize` both are divided by their length along that axis first (cosine similarity). Without other axes
 * the output is one number.
 *
 * A side of shape (outer, k, inner) is `outer` matrices (k, inner); with inner 1 it is one matrix (outer, k). Each pair of matrices is a product. */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <math.h>
#include <string.h>

enum { AXES, NORMALIZE, PARAMS };

/* ---- plan -------------------------------------------------------------------------------------------------------- */

/* The axis of input i in a sample's shape, 0..rank-1; -1 when there is none. As in Keras the batch is axis 0. */
static int32_t axis_of(const struct bp_node *node, int32_t i) {
    const struct bp_value *axes = &node->values[AXES];
    const int32_t asked = axes->integers[axes->integers_count > 1 ? i : 0], rank = node->in[i].rank;
    const int32_t axis = asked < 0 ? rank + asked : asked - 1;
    return axis >= 0 && axis < rank ? axis : -1;
}

static int check_axes(const struct bp_node *node, struct bp_error *error) {
    char text[64], other[64];
    if (node->values[AXES].integers_count > 2)
        return bp_error_set(error, "/axes", "axes has %d integers; expected one for both inputs, or two: [of the first, of the second]",
                            (int)node->values[AXES].integers_count);
    for (int32_t i = 0; i < 2; i++)
        if (axis_of(node, i) < 0)
            return bp_error_set(error, "/axes",
                                "the axis of input %d is out of range for its shape %s: expected 1 to %d (0 is the batch), or -1 to -%d", (int)i,
                                bp_shape_text(&node->in[i], text, sizeof text), (int)node->in[i].rank, (int)node->in[i].rank);
    const int32_t a = node->in[0].dims[axis_of(node, 0)], b = node->in[1].dims[axis_of(node, 1)];
    if (a > 0 && b > 0 && a != b)
        return bp_error_set(error, "/axes", "the axes that are summed up must have the same size, but have %d in %s and %d in %s", (int)a,
                            bp_shape_text(&node->in[0], text, sizeof text), (int)b, bp_shape_text(&node->in[1], other, sizeof other));
    return 0;
}

static int plan(struct bp_node *node, struct bp_error *error) {
    if (node->in[0].rank < 0 || node->in[1].rank < 0) return 0;
    if (check_axes(node, error)) return -1;
    node->out.rank = 0;
    for (int32_t i = 0; i < 2; i++)
        for (int32_t k = 0; k < node->in[i].rank; k++) {
            if (k == axis_of(node, i)) continue;
            if (node->out.rank == BP_RANK_MAX)
                return bp_error_set(error, "/inputs", "the output would have more than %d axes; reshape an input first", BP_RANK_MAX);
            node->out.dims[node->out.rank++] = node->in[i].dims[k];
        }
    if (node->out.rank == 0) node->out = (struct bp_shape){.rank = 1, .dims = {1}};
    const size_t numbers = (size_t)bp_shape_size(&node->in[0]) + (size_t)bp_shape_size(&node->in[1]);
    if (node->values[NORMALIZE].number == 0) return 0;
    node->memo = node->scratch = 2 * numbers; /* the divided inputs, then 1 / length of each line; gradients of the divided ones */
    return 0;
}

/* ---- sides ------------------------------------------------------------------------------------------------------- */

struct side {
    size_t outer, inner, size; /* matrices; columns of each, numbers of a sample */
    int32_t k, rows;           /* rows: of what a matrix gives in the output, inner or, when inner is 1, outer */
    bool flat;                 /* inner is 1 */
};

static struct side side_of(const struct bp_node *node, int32_t i) {
    const struct bp_shape *in = &node->in[i];
    const int32_t axis = axis_of(node, i);
    struct side s = {.outer = 1, .inner = 1, .size = (size_t)bp_shape_size(in), .k = in->dims[axis]};
    for (int32_t k = 0; k < axis; k++) s.outer *= (size_t)in->dims[k];
    for (int32_t k = axis + 1; k < in->rank; k++) s.inner *= (size_t)in->dims[k];
    s.flat = s.inner == 1;
    s.rows = (int32_t)(s.flat ? s.outer : s.inner);
    if (s.flat) s.outer = 1;
    return s;
}

/* What is multiplied: the inputs, or their divided copies; and where the gradients of those go. */
struct operands {
    struct side side[2];
    const bp_real *x[2];
    bp_real *d[2], *inverse[2]; /* inverse: 1 / length of the lines of each */
    bool keep[2];
};

static struct operands operands_of(const struct bp_node *node, const struct bp_pass *pass) {
    struct operands o = {.side = {side_of(node, 0), side_of(node, 1)}};
    bp_real *kept = pass->memo ? pass->memo : pass->scratch, *d = pass->scratch;
    for (int32_t i = 0; i < 2; i++) {
        const size_t n = (size_t)pass->batch * o.side[i].size;
        o.x[i] = pass->x[i];
        o.d[i] = pass->d_x[i];
        o.keep[i] = pass->keep_x[i];
        if (node->values[NORMALIZE].number == 0) continue;
        o.x[i] = kept;
        o.inverse[i] = kept + n;
        kept += 2 * n;
        o.d[i] = pass->d_x[i] ? d : NULL;
        o.keep[i] = false;
        d += n;
    }
    return o;
}

/* ---- normalize --------------------------------------------------------------------------------------------------- */

/* Number k of line `line` (one for each place along the other axes) of all samples. */
static size_t number_at(const struct side *s, size_t line, size_t k) {
    const size_t inner = s->flat ? 1 : s->inner;
    return line / inner * inner * (size_t)s->k + k * inner + line % inner;
}

static void divide(const struct side *s, size_t batch, const bp_real *x, bp_real *to, bp_real *inverse) {
    const size_t K = (size_t)s->k;
    for (size_t line = 0; line < batch * s->size / K; line++) {
        double squares = 0;
        for (size_t k = 0; k < K; k++) squares += (double)x[number_at(s, line, k)] * (double)x[number_at(s, line, k)];
        inverse[line] = squares == 0 ? 1 : (bp_real)(1 / sqrt(squares));
        for (size_t k = 0; k < K; k++) to[number_at(s, line, k)] = x[number_at(s, line, k)] * inverse[line];
    }
}

/* With u = x / |x|:  d_x = (d_u - u (d_u . u)) / |x|. */
static void divide_back(const struct side *s, size_t batch, const struct operands *o, int32_t i, const struct bp_pass *pass) {
    const size_t K = (size_t)s->k;
    for (size_t line = 0; line < batch * s->size / K; line++) {
        double along = 0;
        for (size_t k = 0; k < K; k++) along += (double)o->d[i][number_at(s, line, k)] * (double)o->x[i][number_at(s, line, k)];
        for (size_t k = 0; k < K; k++) {
            const size_t at = number_at(s, line, k);
            bp_gradient_put(pass->keep_x[i], (o->d[i][at] - o->x[i][at] * (bp_real)along) * o->inverse[i][line], &pass->d_x[i][at]);
        }
    }
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

/* a block (rows of x, rows of y) = X Y^T, of matrix p of x and q of y. */
static void product(const struct operands *o, const bp_real *x, const bp_real *y, bp_real *a, int32_t across) {
    const struct side *l = &o->side[0], *r = &o->side[1];
    bp_gemm(&(const struct bp_gemm){.transpose_a = !l->flat,
                                    .transpose_b = r->flat,
                                    .m = l->rows,
                                    .n = r->rows,
                                    .k = l->k,
                                    .A = x,
                                    .lda = l->flat ? l->k : l->rows,
                                    .B = y,
                                    .ldb = r->flat ? r->k : r->rows,
                                    .C = a,
                                    .ldc = across});
}

/* d of matrix `to` of side i += D times the other side's matrix, D (rows of x, rows of y) the block of d_a. */
static void product_back(const struct operands *o, int32_t i, const bp_real *d_a, int32_t across, const bp_real *other, bp_real *to) {
    const struct side *s = &o->side[i], *t = &o->side[1 - i];
    const bool second = i == 1; /* D is then needed transposed */
    struct bp_gemm call = {.add = true, .C = to};
    if (s->flat) { /* (rows, k) = D (rows, rows of t) T (rows of t, k) */
        call.transpose_a = second;
        call.transpose_b = !t->flat;
        call.m = s->rows, call.n = s->k, call.k = t->rows;
        call.A = d_a, call.lda = across;
        call.B = other, call.ldb = t->flat ? t->k : t->rows;
        call.ldc = s->k;
    } else { /* (k, rows) = T^T (k, rows of t) D^T (rows of t, rows) */
        call.transpose_a = t->flat;
        call.transpose_b = !second;
        call.m = s->k, call.n = s->rows, call.k = t->rows;
        call.A = other, call.lda = t->flat ? t->k : t->rows;
        call.B = d_a, call.ldb = across;
        call.ldc = s->rows;
    }
    bp_gemm(&call);
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct operands o = operands_of(node, pass);
    const struct side *l = &o.side[0], *r = &o.side[1];
    const size_t left = (size_t)l->k * (size_t)l->rows, right = (size_t)r->k * (size_t)r->rows; /* numbers of a matrix */
    const size_t across = r->outer * (size_t)r->rows, size = (size_t)bp_shape_size(&node->out);
    for (int32_t i = 0; i < 2 && o.inverse[i]; i++) divide(&o.side[i], (size_t)pass->batch, pass->x[i], (bp_real *)(uintptr_t)o.x[i], o.inverse[i]);
    for (size_t sample = 0; sample < (size_t)pass->batch; sample++)
        for (size_t p = 0; p < l->outer; p++)
            for (size_t q = 0; q < r->outer; q++)
                product(&o, o.x[0] + sample * l->size + p * left, o.x[1] + sample * r->size + q * right,
                        pass->a + sample * size + p * (size_t)l->rows * across + q * (size_t)r->rows, (int32_t)across);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct operands o = operands_of(node, pass);
    const struct side *l = &o.side[0], *r = &o.side[1];
    const size_t left = (size_t)l->k * (size_t)l->rows, right = (size_t)r->k * (size_t)r->rows;
    const size_t across = r->outer * (size_t)r->rows, size = (size_t)bp_shape_size(&node->out);
    for (int32_t i = 0; i < 2; i++) {
        if (!o.d[i]) continue;
        bp_gradient_begin(o.keep[i], (size_t)pass->batch * o.side[i].size, o.d[i]);
        for (size_t sample = 0; sample < (size_t)pass->batch; sample++)
            for (size_t p = 0; p < l->outer; p++)
                for (size_t q = 0; q < r->outer; q++) {
                    const size_t at[2] = {sample * l->size + p * left, sample * r->size + q * right};
                    product_back(&o, i, pass->d_a + sample * size + p * (size_t)l->rows * across + q * (size_t)r->rows, (int32_t)across,
                                 o.x[1 - i] + at[1 - i], o.d[i] + at[i]);
                }
        if (o.inverse[i]) divide_back(&o.side[i], (size_t)pass->batch, &o, i, pass);
    }
}

static const struct bp_param params[PARAMS] = {
    [AXES] = {.name = "axes",
              .type = BP_PARAM_INTEGERS,
              .help = "Axis that is summed up, in both inputs, or one for each; -1 is the last; 0, the batch, is not allowed",
              .min = -BP_RANK_MAX,
              .max = BP_RANK_MAX,
              .flags = BP_PARAM_REQUIRED},
    [NORMALIZE] = {.name = "normalize", .type = BP_PARAM_BOOLEAN, .help = "Divide both inputs by their length along the axis: cosine similarity"},
};

extern const struct bp_layer_ops bp_layer_dot;
const struct bp_layer_ops bp_layer_dot = {
    .entry = {.name = "dot", .summary = "The dot product of two inputs along an axis of each", .params = params, .params_count = PARAMS},
    .inputs_min = 2,
    .inputs_max = 2,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
