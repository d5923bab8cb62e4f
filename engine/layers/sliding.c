/* sliding.c - see sliding.h. */
#include "engine/layers/sliding.h"

#include <string.h>

enum { STRIPE_REALS = 32768, STRIPE_REALS_MAX = 131072, WEIGHTS_MAX = 131072 };
enum { POSITIONS_MIN = sizeof(bp_real) == sizeof(float) ? 32 : 1 }; /* in double nothing is fast; there small shapes are checked */

/* Lines of the image under `rows` rows of windows, and the cells of one under a row of them. */
static int64_t lines_under(const struct bp_window *w, int64_t rows) {
    return (rows - 1) * w->stride[0] + (int64_t)(w->size[0] - 1) * w->dilation[0] + 1;
}

static int64_t cells_under(const struct bp_window *w) {
    return (int64_t)(w->out[1] - 1) * w->stride[1] + w->size[1];
}

/* Rows of the output whose stripe has STRIPE_REALS, or one of STRIPE_REALS_MAX at most; 0: not one. */
static int32_t stripe_rows(const struct bp_window *w) {
    const int64_t line = cells_under(w) * w->channels, lines = STRIPE_REALS / line, first = lines_under(w, 1);
    if (lines < first) return first * line <= STRIPE_REALS_MAX;
    const int64_t rows = (lines - first) / w->stride[0] + 1;
    return rows < w->out[0] ? (int32_t)rows : w->out[0];
}

static size_t stripe_reals(const struct bp_window *w) {
    return (size_t)(lines_under(w, stripe_rows(w)) * cells_under(w) * w->channels);
}

/* The window that slides over d_y to give d_x. */
static struct bp_window turned(const struct bp_window *w, int32_t filters) {
    struct bp_window back = *w;
    back.channels = filters;
    for (int k = 0; k < 2; k++) {
        back.in[k] = w->out[k];
        back.out[k] = w->in[k];
        back.before[k] = (w->size[k] - 1) * w->dilation[k] - w->before[k];
    }
    return back;
}

static size_t weights_of(const struct bp_window *w, int32_t filters) {
    return (size_t)w->size[0] * (size_t)w->size[1] * (size_t)w->channels * (size_t)filters;
}

/* d_x is a convolution, too, when the window moves by one cell. */
static bool turns(const struct bp_window *w, int32_t filters) {
    const struct bp_window back = turned(w, filters);
    return w->stride[0] == 1 && w->stride[1] == 1 && stripe_rows(&back) > 0;
}

bool bp_slides(const struct bp_window *window, int32_t filters) {
    if (window->out[0] * (int64_t)window->out[1] < POSITIONS_MIN || window->in[0] <= 0 || window->in[1] <= 0 || window->channels <= 0 ||
        window->dilation[1] > 1)
        return false;
    return (int64_t)window->size[0] * window->size[1] * window->channels * filters <= WEIGHTS_MAX && stripe_rows(window) > 0;
}

/* W turned round lies before the stripes, where vectors of it are aligned. */
static bp_real *stripes_of(const struct bp_window *w, int32_t filters, bp_real *scratch) {
    return scratch + weights_of(w, filters);
}

size_t bp_slide_scratch(const struct bp_window *window, int32_t filters) {
    const struct bp_window back = turned(window, filters);
    const size_t forward = stripe_reals(window), input = turns(window, filters) ? stripe_reals(&back) : 0;
    return weights_of(window, filters) + (forward > input ? forward : input);
}

/* Vectors of four floats are left to the BLAS. */
static bool fits(int32_t filters) {
    const struct bp_kernels *kernels = bp_kernels();
    if (sizeof(bp_real) == sizeof(float) && kernels->lanes < 8) return false;
    return kernels->any_filters || filters % kernels->lanes == 0;
}

bool bp_slides_ready(const struct bp_window *window, int32_t filters) {
    return bp_slides(window, filters) && fits(filters);
}

/* The convolution computes whole vectors of channels at all positions of x, also where zeros are multiplied; the matrix has the channels at those of
 * y, and is added to x, which takes about as long as SCATTER filters. */
static bool pays(const struct bp_window *w, int32_t filters) {
    enum { SCATTER = 24 };
    const int64_t lanes = bp_kernels()->lanes, channels = (w->channels + lanes - 1) / lanes * lanes;
    return channels * w->in[0] * w->in[1] * filters <= (int64_t)w->channels * w->out[0] * w->out[1] * (filters + SCATTER);
}

bool bp_slides_input(const struct bp_window *window, int32_t filters) {
    return turns(window, filters) && fits(window->channels) && pays(window, filters);
}

/* n cells of a line of the image, from `column` on, which may lie beside it, where zeros are. */
static void copy_cells(const struct bp_window *w, const bp_real *line, int32_t column, int32_t n, bp_real *to) {
    const size_t C = (size_t)w->channels;
    const int32_t from = column < 0 ? (-column < n ? -column : n) : 0;
    int32_t until = w->in[1] - column < n ? w->in[1] - column : n;
    if (until < from) until = from;
    memset(to, 0, (size_t)from * C * sizeof *to);
    if (until > from) memcpy(to + (size_t)from * C, line + (size_t)(column + from) * C, (size_t)(until - from) * C * sizeof *to);
    memset(to + (size_t)until * C, 0, (size_t)(n - until) * C * sizeof *to);
}

static void copy_stripe(const struct bp_window *w, const bp_real *x, int32_t row, int32_t lines, bp_real *to) {
    const int32_t cells = (int32_t)cells_under(w);
    const size_t line = (size_t)cells * (size_t)w->channels;
    for (int32_t i = 0; i < lines; i++, row++, to += line) {
        if (row < 0 || row >= w->in[0]) memset(to, 0, line * sizeof *to);
        else copy_cells(w, x + (size_t)row * (size_t)w->in[1] * (size_t)w->channels, -w->before[1], cells, to);
    }
}

/* The whole image: in place when no window reaches over its border, else stripe by stripe. */
static void slide_over(const struct bp_window *w, const bp_real *x, const struct bp_slide *given, void (*kernel)(const struct bp_slide *),
                       bp_real *scratch) {
    const bool inside = !w->before[0] && !w->before[1] && lines_under(w, w->out[0]) <= w->in[0] && cells_under(w) <= w->in[1];
    const size_t C = (size_t)w->channels, line = (inside ? (size_t)w->in[1] : (size_t)cells_under(w)) * C;
    const int32_t rows = inside ? w->out[0] : stripe_rows(w);
    struct bp_slide call = *given;
    call.columns = w->out[1];
    call.lines = w->size[0];
    call.line = w->size[1] * w->channels;
    call.down = (size_t)w->stride[0] * line;
    call.across = (size_t)w->stride[1] * C;
    call.apart = (size_t)w->dilation[0] * line;
    call.x = inside ? x : scratch;
    for (int32_t row = 0; row < w->out[0]; row += rows) {
        const size_t at = (size_t)row * (size_t)w->out[1] * (size_t)call.filters;
        call.rows = w->out[0] - row < rows ? w->out[0] - row : rows;
        if (!inside) copy_stripe(w, x, row * w->stride[0] - w->before[0], (int32_t)lines_under(w, call.rows), scratch);
        call.y = given->y ? given->y + at : NULL;
        call.d_y = given->d_y ? given->d_y + at : NULL;
        kernel(&call);
    }
}

void bp_slide_forward(const struct bp_window *window, const bp_real *x, const struct bp_slide *call, bp_real *scratch) {
    slide_over(window, x, call, bp_kernels()->slide, stripes_of(window, call->filters, scratch));
}

void bp_slide_weights(const struct bp_window *window, const bp_real *x, const struct bp_slide *call, bp_real *scratch) {
    slide_over(window, x, call, bp_kernels()->slide_back, stripes_of(window, call->filters, scratch));
}

/* W (cells, channels, filters) -> (cells from the last to the first, filters, channels). */
void bp_slide_turn(const struct bp_window *window, int32_t filters, const bp_real *W, bp_real *scratch) {
    const size_t cells = (size_t)window->size[0] * (size_t)window->size[1], C = (size_t)window->channels, F = (size_t)filters;
    bp_real *restrict to = scratch;
    for (size_t cell = cells; cell-- > 0;)
        for (size_t f = 0; f < F; f++)
            for (size_t c = 0; c < C; c++) *to++ = W[(cell * C + c) * F + f];
}

void bp_slide_input(const struct bp_window *window, int32_t filters, const bp_real *d_y, bool add, bp_real *d_x, bp_real *scratch) {
    const struct bp_window back = turned(window, filters);
    const struct bp_slide call = {.filters = window->channels, .W = scratch, .add = add, .y = d_x};
    slide_over(&back, d_y, &call, bp_kernels()->slide, stripes_of(window, filters, scratch));
}
