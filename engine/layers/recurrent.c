/* recurrent.c - a cell walked along a sequence: x (B, T, F), W (F, G H), U (H, G H), b (G H), a (B, T, H) or, of the last step only, (B, H).
 * The products with W of all steps are one product, done first; those with U follow step by step. Bidirectional: a second walk, from the end
 * and with weights of its own, writes its H numbers after the first one's (its last step is step 0). A masked step leaves the state as
 * it was. Dropout (Gal, Ghahramani 2016): x, and h where U multiplies it, are multiplied by masks that hold for all steps of a sample.
 * Order: parameters, plan, walks, steps, passes. */
#include "engine/layers/recurrent.h"

#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/drop.h"
#include "engine/layers/gradient.h"
#include "engine/layers/linear.h"

#include <string.h>

enum { UNITS, RETURN_SEQUENCES, BIDIRECTIONAL, KERNEL_INITIALIZER, RECURRENT_INITIALIZER, DROPOUT, RECURRENT_DROPOUT };
enum { KERNEL, RECURRENT, BIAS, TENSORS }; /* of one direction */

/* ---- parameters -------------------------------------------------------------------------------------------------- */

const struct bp_param bp_recurrent_params[BP_RECURRENT_PARAMS] = {
    [UNITS] = {.name = "units", .type = BP_PARAM_INTEGER, .help = "Size of the state", .min = 1, .max = 65536, .flags = BP_PARAM_REQUIRED},
    [RETURN_SEQUENCES] = {.name = "return_sequences", .type = BP_PARAM_BOOLEAN, .help = "Return the state of every step, not only of the last"},
    [BIDIRECTIONAL] = {.name = "bidirectional",
                       .type = BP_PARAM_BOOLEAN,
                       .help = "Run from the end too, with separate weights, and return both states"},
    [KERNEL_INITIALIZER] = {.name = "kernel_initializer",
                            .type = BP_PARAM_ENTRY,
                            .help = "Initial weights of the input",
                            .family = &bp_initializers,
                            .preset_name = "auto"},
    [RECURRENT_INITIALIZER] = {.name = "recurrent_initializer",
                               .type = BP_PARAM_ENTRY,
                               .help = "Initial weights of the state",
                               .family = &bp_initializers,
                               .preset_name = "auto"},
    [DROPOUT] = {.name = "dropout",
                 .type = BP_PARAM_NUMBER,
                 .help = "Fraction of the features of a sequence that are set to 0 in training, at all its steps",
                 .min = 0,
                 .max = 1,
                 .flags = BP_PARAM_MAX_OPEN},
    [RECURRENT_DROPOUT] = {.name = "recurrent_dropout",
                           .type = BP_PARAM_NUMBER,
                           .help = "Likewise of the state, where its weights multiply it",
                           .min = 0,
                           .max = 1,
                           .flags = BP_PARAM_MAX_OPEN},
};

/* ---- plan -------------------------------------------------------------------------------------------------------- */

static void add_tensors(struct bp_node *node, const struct bp_cell *cell, int32_t features, bool backwards) {
    static const char *const names[2][TENSORS] = {{"kernel", "recurrent_kernel", "bias"},
                                                  {"backward_kernel", "backward_recurrent_kernel", "backward_bias"}};
    const int32_t H = (int32_t)node->values[UNITS].number, all = cell->gates * H;
    struct bp_tensor *kernel = bp_node_tensor(node, names[backwards][KERNEL], 2, (const int32_t[]){features, all});
    struct bp_tensor *recurrent = bp_node_tensor(node, names[backwards][RECURRENT], 2, (const int32_t[]){H, all});
    struct bp_tensor *bias = bp_node_tensor(node, names[backwards][BIAS], cell->apart ? 2 : 1, cell->apart ? (const int32_t[]){2, all} : &all);
    bp_tensor_initialize(kernel, &node->values[KERNEL_INITIALIZER]);
    kernel->fan_in = features;
    bp_tensor_initialize(recurrent, &node->values[RECURRENT_INITIALIZER]);
    recurrent->fan_in = H;
    kernel->fan_out = recurrent->fan_out = H; /* of each gate */
    kernel->penalised = recurrent->penalised = true;
    kernel->product = recurrent->product = BP_PRODUCT_MATRIX;
    bias->bias = true;
    bias->initializer = cell->first_biases;
    bias->fan_in = features;
    bias->fan_out = all;
}

/* Numbers of a sample that dropout stores: the mask of x, x times it, and the mask of h. */
static size_t dropped_of(const struct bp_node *node, int64_t T, int64_t F, int64_t H) {
    return (size_t)((node->values[DROPOUT].number > 0 ? F + T * F : 0) + (node->values[RECURRENT_DROPOUT].number > 0 ? H : 0));
}

int bp_recurrent_plan(struct bp_node *node, struct bp_error *error) {
    const struct bp_cell *cell = node->ops->cell;
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t H = (int32_t)node->values[UNITS].number, walks = node->values[BIDIRECTIONAL].number != 0 ? 2 : 1;
    node->mask = node->values[RETURN_SEQUENCES].number != 0 ? BP_MASK_PASS : BP_MASK_USE;
    if (in->rank < 0) return 0;
    if (in->rank != 2)
        return bp_error_set(error, "", "%s needs an input (steps, features), but got %s%s", node->ops->entry.name,
                            bp_shape_text(in, text, sizeof text), in->rank == 1 ? "; add a reshape layer before it to split it into steps" : "");
    const int64_t T = in->dims[0], F = in->dims[1], most = F > H ? F : H, all = (int64_t)cell->gates * H;
    node->out = (struct bp_shape){.rank = 1, .dims = {walks * H}};
    if (node->values[RETURN_SEQUENCES].number != 0) node->out = (struct bp_shape){.rank = 2, .dims = {in->dims[0], walks * H}};
    if (most * all > INT32_MAX || T * all > INT32_MAX)
        return bp_error_set(error, "/units", "%d units over an input of %s have more than 2^31 - 1 numbers; use fewer units", (int)H,
                            bp_shape_text(in, text, sizeof text));
    node->bounds = cell->bounds;
    node->positions = (int32_t)T;
    if (T <= 0 || F <= 0) return 0;
    for (int32_t i = 0; i < walks; i++) add_tensors(node, cell, in->dims[1], i > 0);
    node->draws = node->values[DROPOUT].number > 0 || node->values[RECURRENT_DROPOUT].number > 0;
    const size_t kept = (size_t)(T * (all + 2 * H)), dropped = dropped_of(node, T, F, H);
    node->memo = (size_t)walks * (kept + dropped);
    node->scratch = (size_t)(all + 2 * H) + (kept > (size_t)(2 * T * all) ? kept : (size_t)(2 * T * all));
    node->shared_scratch = (size_t)H; /* the zeros before the first step */
    return 0;
}

/* ---- walks ------------------------------------------------------------------------------------------------------- */

/* One walk along the sequences of a batch. */
struct walk {
    const struct bp_cell *cell;
    int32_t B, T, F, H, all; /* all: G H */
    bool backwards, sequences;
    int32_t across;           /* numbers of a step of a: H, or 2 H */
    bp_real *gates, *h, *c;   /* (B, T, G H), (B, T, H), (B, T, H): kept for backward */
    bp_real *mask_x, *x;      /* (B, F), (B, T, F): x dropped out; NULL without dropout */
    bp_real *mask_h;          /* (B, H), or NULL */
    bp_real *work;            /* the rest of scratch */
    const bp_real *zeros;     /* (H) */
    const bp_real *W, *U, *b; /* (F, G H), (H, G H), (G H) or (2, G H) */
    bp_real *d_W, *d_U, *d_b;
};

/* Where the walk has its masks, from `at` on, when there are any. */
static void take_dropped(const struct bp_node *node, const struct bp_pass *pass, struct walk *w, bp_real *at) {
    if (!pass->training || !pass->memo) return;
    if (node->values[DROPOUT].number > 0) {
        w->mask_x = at;
        w->x = at + (size_t)w->B * (size_t)w->F;
        at = w->x + (size_t)w->B * (size_t)w->T * (size_t)w->F;
    }
    if (node->values[RECURRENT_DROPOUT].number > 0) w->mask_h = at;
}

static struct walk walk_of(const struct bp_node *node, const struct bp_pass *pass, int32_t which) {
    const struct bp_cell *cell = node->ops->cell;
    const int32_t H = (int32_t)node->values[UNITS].number, first = which * TENSORS;
    struct walk w = {.cell = cell, .B = pass->batch, .T = node->in[0].dims[0], .F = node->in[0].dims[1], .H = H, .all = cell->gates * H};
    const size_t steps = (size_t)w.B * (size_t)w.T, kept = steps * (size_t)(w.all + 2 * H);
    w.backwards = which == 1;
    w.sequences = node->values[RETURN_SEQUENCES].number != 0;
    w.across = node->out.dims[node->out.rank - 1];
    w.gates = pass->memo ? pass->memo + (size_t)which * (kept + (size_t)w.B * dropped_of(node, w.T, w.F, H)) : pass->scratch;
    w.h = w.gates + steps * (size_t)w.all;
    w.c = w.h + steps * (size_t)H;
    take_dropped(node, pass, &w, w.c + steps * (size_t)H);
    w.work = pass->memo ? pass->scratch : pass->scratch + kept;
    memset(pass->shared_scratch, 0, (size_t)H * sizeof(bp_real));
    w.zeros = pass->shared_scratch;
    w.W = pass->W[first + KERNEL];
    w.U = pass->W[first + RECURRENT];
    w.b = pass->W[first + BIAS];
    w.d_W = pass->d_W[first + KERNEL];
    w.d_U = pass->d_W[first + RECURRENT];
    w.d_b = pass->d_W[first + BIAS];
    return w;
}

/* Where the walk is at its step s: s steps from its beginning. */
static int32_t time_at(const struct walk *w, int32_t s) {
    return w->backwards ? w->T - 1 - s : s;
}

/* Row t of sample i in a buffer (B, T, width). */
static size_t row_at(const struct walk *w, int32_t i, int32_t t, int32_t width) {
    return ((size_t)i * (size_t)w->T + (size_t)t) * (size_t)width;
}

/* The state that step s starts from, of sample i. */
static const bp_real *before(const struct walk *w, const bp_real *states, int32_t i, int32_t s) {
    return s ? states + row_at(w, i, time_at(w, s - 1), w->H) : w->zeros;
}

/* Where a, or its gradient, holds the state of sample i at time t; at any other than the last step only for sequences. */
static size_t output_at(const struct walk *w, int32_t i, int32_t t) {
    const size_t row = w->sequences ? row_at(w, i, t, w->across) : (size_t)i * (size_t)w->across;
    return row + (size_t)(w->backwards ? w->H : 0);
}

static bool hidden(const struct walk *w, const struct bp_pass *pass, int32_t i, int32_t t) {
    return pass->mask[0] && pass->mask[0][(size_t)i * (size_t)w->T + (size_t)t] == 0;
}

/* x W + b of all steps at once. */
static struct bp_linear input_of(const struct walk *w, const struct bp_pass *pass) {
    struct bp_linear input = bp_linear_of(pass, w->B * w->T, w->F, w->all);
    input.x = w->x ? w->x : pass->x[0];
    input.W = w->W;
    return input;
}

/* One step of one sample: the gates that only add what comes from the input and from the state are added up here, the rest is the cell's. */
static void step(const struct walk *w, bp_real *z, const bp_real *r, const bp_real *h_before, const bp_real *c_before, bp_real *h, bp_real *c) {
    const size_t H = (size_t)w->H, joined = (size_t)w->cell->joined * H;
    for (size_t j = 0; j < joined; j++) z[j] += r[j];
    w->cell->forward(H, z, r, h_before, c_before, h, c);
}

/* to (B, T, F) = from times the mask of x, or added to what is there. */
static void drop_x(const struct walk *w, const bp_real *from, bp_real *to, bool keep) {
    const size_t F = (size_t)w->F, T = (size_t)w->T;
    for (size_t row = 0; row < (size_t)w->B * T; row++) bp_kernels()->multiply(F, from + row * F, w->mask_x + row / T * F, to + row * F, keep);
}

static void draw_masks(const struct bp_node *node, const struct bp_pass *pass, const struct walk *w) {
    const uint32_t which = 2 * (uint32_t)w->backwards + 1;
    if (w->mask_x) {
        bp_drop_mask(node, pass, node->values[DROPOUT].number, which, (size_t)w->F, w->mask_x);
        drop_x(w, pass->x[0], w->x, false);
    }
    if (w->mask_h) bp_drop_mask(node, pass, node->values[RECURRENT_DROPOUT].number, which + 1, (size_t)w->H, w->mask_h);
}

/* What U multiplies at step s, which is not the first: the states before it, or in `room` (B, H) those times their mask. *across: from one to the
 * next. */
static const bp_real *states_before(const struct walk *w, int32_t s, bp_real *room, int32_t *across) {
    const bp_real *states = w->h + row_at(w, 0, time_at(w, s - 1), w->H);
    const size_t H = (size_t)w->H;
    *across = w->mask_h ? w->H : w->T * w->H;
    for (size_t i = 0; w->mask_h && i < (size_t)w->B; i++)
        bp_kernels()->multiply(H, states + i * (size_t)w->T * H, w->mask_h + i * H, room + i * H, false);
    return w->mask_h ? room : states;
}

static void walk_forward(const struct walk *w, const struct bp_pass *pass) {
    const size_t all = (size_t)w->all, H = (size_t)w->H;
    bp_real *r = w->work; /* (B, G H) */
    const struct bp_linear input = input_of(w, pass);
    bp_linear_forward(&input, NULL, w->b, w->gates);
    for (int32_t s = 0; s < w->T; s++) {
        const int32_t t = time_at(w, s);
        if (s == 0) {
            memset(r, 0, (size_t)w->B * all * sizeof *r);
        } else {
            int32_t across;
            const bp_real *states = states_before(w, s, r + (size_t)w->B * all, &across);
            const struct bp_gemm state = {
                .m = w->B, .n = w->all, .k = w->H, .A = states, .lda = across, .B = w->U, .ldb = w->all, .C = r, .ldc = w->all};
            bp_gemm(&state);
        }
        if (w->cell->apart) bp_kernels()->add_bias((size_t)w->B, all, w->b + all, r);
        for (int32_t i = 0; i < w->B; i++) {
            bp_real *h = w->h + row_at(w, i, t, w->H);
            const bp_real *h_before = before(w, w->h, i, s), *c_before = before(w, w->c, i, s);
            bp_real *c = w->c + row_at(w, i, t, w->H);
            if (hidden(w, pass, i, t)) {
                memcpy(h, h_before, H * sizeof *h);
                memcpy(c, c_before, H * sizeof *c);
            } else {
                step(w, w->gates + row_at(w, i, t, w->all), r + (size_t)i * all, h_before, c_before, h, c);
            }
            if (w->sequences || s + 1 == w->T) memcpy(pass->a + output_at(w, i, t), h, H * sizeof *h);
        }
    }
}

/* From the last step back: d_z and d_r of every step, d_U on the way. */
static void walk_backward(const struct walk *w, const struct bp_pass *pass, bp_real *d_z, bp_real *d_r) {
    const size_t all = (size_t)w->all, H = (size_t)w->H, states = (size_t)w->B * H;
    bp_real *d_h = w->work + 2 * (size_t)w->B * (size_t)w->T * all, *d_c = d_h + states; /* (B, H) */
    memset(d_h, 0, 2 * states * sizeof *d_h);
    bp_gradient_begin(pass->keep_W, H * all, w->d_U);
    for (int32_t s = w->T - 1; s >= 0; s--) {
        const int32_t t = time_at(w, s);
        for (int32_t i = 0; i < w->B; i++) {
            const size_t at = row_at(w, i, t, w->all);
            if (w->sequences || s + 1 == w->T) bp_kernels()->scaled_add(H, 1, pass->d_a + output_at(w, i, t), d_h + (size_t)i * H);
            if (hidden(w, pass, i, t)) {
                memset(d_z + at, 0, all * sizeof *d_z);
                memset(d_r + at, 0, all * sizeof *d_r);
                continue;
            }
            w->cell->backward(H, w->gates + at, before(w, w->h, i, s), before(w, w->c, i, s), w->c + row_at(w, i, t, w->H), d_h + (size_t)i * H,
                              d_c + (size_t)i * H, d_z + at, d_r + at);
        }
        if (s == 0) break; /* the state before is 0 and not ours */
        const size_t step = row_at(w, 0, t, w->all);
        int32_t across;
        bp_real *room = d_c + states; /* (B, H) */
        const bp_real *h_before = states_before(w, s, room, &across);
        const struct bp_gemm state = {.transpose_b = true,
                                      .add = !w->mask_h,
                                      .m = w->B,
                                      .n = w->H,
                                      .k = w->all,
                                      .A = d_r + step,
                                      .lda = w->T * w->all,
                                      .B = w->U,
                                      .ldb = w->all,
                                      .C = w->mask_h ? room : d_h,
                                      .ldc = w->H};
        const struct bp_gemm weights = {.transpose_a = true,
                                        .add = true,
                                        .m = w->H,
                                        .n = w->all,
                                        .k = w->B,
                                        .A = h_before,
                                        .lda = across,
                                        .B = d_r + step,
                                        .ldb = w->T * w->all,
                                        .C = w->d_U,
                                        .ldc = w->all};
        bp_gemm(&weights);
        bp_gemm(&state); /* may overwrite h_before */
        if (w->mask_h) bp_kernels()->multiply(states, room, w->mask_h, d_h, true);
    }
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

static int32_t walks_of(const struct bp_node *node) {
    return node->values[BIDIRECTIONAL].number != 0 ? 2 : 1;
}

void bp_recurrent_forward(const struct bp_node *node, const struct bp_pass *pass) {
    for (int32_t i = 0; i < walks_of(node); i++) {
        const struct walk w = walk_of(node, pass, i);
        draw_masks(node, pass, &w);
        walk_forward(&w, pass);
    }
}

/* db = column sums of dz; dW = x^T dz; dx = dz W^T, over all steps at once. */
void bp_recurrent_backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_cell *cell = node->ops->cell;
    for (int32_t i = 0; i < walks_of(node); i++) {
        const struct walk w = walk_of(node, pass, i);
        const int32_t steps = w.B * w.T;
        const size_t all = (size_t)w.all;
        bp_real *d_z = w.work, *d_r = cell->apart ? d_z + (size_t)steps * all : d_z; /* (B, T, G H) */
        walk_backward(&w, pass, d_z, d_r);
        bp_kernels()->column_sums((size_t)steps, all, d_z, w.d_b, pass->keep_W);
        if (cell->apart) bp_kernels()->column_sums((size_t)steps, all, d_r, w.d_b + all, pass->keep_W);
        const struct bp_linear input = input_of(&w, pass);
        bp_linear_weights(&input, pass->keep_W, d_z, w.d_W);
        if (!pass->d_x[0]) continue;
        const bool keep = pass->keep_x[0] || i > 0;
        bp_linear_input(&input, keep && !w.x, d_z, w.x ? w.x : pass->d_x[0]); /* x is needed no more */
        if (w.x) drop_x(&w, w.x, pass->d_x[0], keep);
    }
}
