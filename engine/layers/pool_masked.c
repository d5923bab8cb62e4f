/* pool_masked.c - pooling over padded sequences: steps that are hidden do not count, as cells of padding do not (pool.c). x (B, steps, C), a (B, out,
 * C). A window over nothing but hidden steps gives 0, and is hidden in the output. */
#include "engine/layers/pool.h"

#include <string.h>

/* One window: its steps from..until-1 within the sequence, of sample `image`. */
struct stretch {
    size_t first; /* step 0 of the sample, in rows of C */
    int32_t from, until;
};

static struct stretch stretch_at(const struct bp_window *w, const struct bp_place *place) {
    const int32_t end = place->column + w->size[1];
    return (struct stretch){
        .first = (size_t)place->image * (size_t)w->in[1], .from = place->column < 0 ? 0 : place->column, .until = end < w->in[1] ? end : w->in[1]};
}

static int32_t count_of(const struct stretch *s, const bp_real *mask) {
    int32_t count = 0;
    for (int32_t i = s->from; i < s->until; i++) count += mask[s->first + (size_t)i] != 0;
    return count;
}

void bp_masked_max_forward(const struct bp_window *w, const struct bp_pass *pass) {
    const size_t C = (size_t)w->channels, positions = (size_t)pass->batch * (size_t)w->out[1];
    struct bp_place place = bp_window_place(w, 0);
    for (size_t position = 0; position < positions; position++, bp_window_advance(w, &place)) {
        const struct stretch s = stretch_at(w, &place);
        bp_real *a = pass->a + position * C, *which = pass->memo ? pass->memo + position * C : NULL; /* (C) */
        bool any = false;
        memset(a, 0, C * sizeof *a);
        for (size_t c = 0; which && c < C; c++) which[c] = -1;
        for (int32_t i = s.from; i < s.until; i++) {
            const bp_real *x = pass->x[0] + (s.first + (size_t)i) * C; /* (C) */
            if (pass->mask[0][s.first + (size_t)i] == 0) continue;
            for (size_t c = 0; c < C; c++)
                if (!any || x[c] > a[c]) {
                    a[c] = x[c];
                    if (which) which[c] = (bp_real)(i - s.from);
                }
            any = true;
        }
        pass->mask_out[position] = any;
    }
}

void bp_masked_max_backward(const struct bp_window *w, const struct bp_pass *pass) {
    const size_t C = (size_t)w->channels, positions = (size_t)pass->batch * (size_t)w->out[1];
    struct bp_place place = bp_window_place(w, 0);
    for (size_t position = 0; position < positions; position++, bp_window_advance(w, &place)) {
        const struct stretch s = stretch_at(w, &place);
        const bp_real *d_a = pass->d_a + position * C, *which = pass->memo + position * C; /* (C) */
        for (size_t c = 0; c < C; c++)
            if (which[c] >= 0) pass->d_x[0][(s.first + (size_t)(s.from + (int32_t)which[c])) * C + c] += d_a[c];
    }
}

void bp_masked_average_forward(const struct bp_window *w, const struct bp_pass *pass) {
    const size_t C = (size_t)w->channels, positions = (size_t)pass->batch * (size_t)w->out[1];
    struct bp_place place = bp_window_place(w, 0);
    for (size_t position = 0; position < positions; position++, bp_window_advance(w, &place)) {
        const struct stretch s = stretch_at(w, &place);
        const int32_t count = count_of(&s, pass->mask[0]);
        bp_real *a = pass->a + position * C; /* (C) */
        memset(a, 0, C * sizeof *a);
        for (int32_t i = s.from; i < s.until; i++)
            for (size_t c = 0; pass->mask[0][s.first + (size_t)i] != 0 && c < C; c++) a[c] += pass->x[0][(s.first + (size_t)i) * C + c];
        for (size_t c = 0; count && c < C; c++) a[c] /= (bp_real)count;
        pass->mask_out[position] = count > 0;
    }
}

void bp_masked_average_backward(const struct bp_window *w, const struct bp_pass *pass) {
    const size_t C = (size_t)w->channels, positions = (size_t)pass->batch * (size_t)w->out[1];
    struct bp_place place = bp_window_place(w, 0);
    for (size_t position = 0; position < positions; position++, bp_window_advance(w, &place)) {
        const struct stretch s = stretch_at(w, &place);
        const int32_t count = count_of(&s, pass->mask[0]);
        const bp_real *d_a = pass->d_a + position * C; /* (C) */
        for (int32_t i = s.from; i < s.until; i++)
            for (size_t c = 0; pass->mask[0][s.first + (size_t)i] != 0 && c < C; c++)
                pass->d_x[0][(s.first + (size_t)i) * C + c] += d_a[c] / (bp_real)count;
    }
}
