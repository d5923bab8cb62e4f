/* lbfgs.c - limited-memory BFGS (Liu, Nocedal 1989; Nocedal, Wright: "Numerical Optimization", 2nd ed., algorithms 7.4 and 7.5): the direction comes
 * from the last `history_size` pairs s = change of W, y = change of the gradient; the step along it from a line search by bisection for the weak
 * Wolfe conditions (Lewis, Overton 2013), which also holds at kinks: f(t) <= f(0) + 1e-4 t f'(0)  and  f'(t) >= 0.9 f'(0). Near the end, where
 * losses differ by less than their rounding, the slopes alone decide (Hager, Zhang 2005): f'(t) <= -0.9998 f'(0) stands for the first. It looks at
 * the whole training set each time it is called (optimizer.h, `search`); learning_rate is the first step length tried, 1 as it should be for a
 * quasi-Newton step. When no step of the search is acceptable, it returns to the start and restarts with the gradient only. */
#include "engine/kernels/kernels.h"
#include "engine/optimizers/optimizer.h"

#include <math.h>
#include <string.h>

enum { LEARNING_RATE, HISTORY_SIZE, PARAMS };
enum { START, DIRECTION, GRADIENT, HISTORY }; /* slots: W and gradient of the last point found, the direction; then s, y, s, y, ... */
enum { STATE, PAIRS, LAST, LOSS, SLOPE, STEP, LOW, HIGH, TRIES }; /* memory: see below */
enum { BEGIN, SEARCHING, RETURNING, SETTLED };                    /* STATE */
enum { TRIES_MAX = 25, HISTORY_MAX = 10 };
#define DECREASE  1e-4
#define CURVATURE 0.9
#define ROUNDING  (sizeof(bp_real) < sizeof(double) ? 1e-6 : 1e-14) /* of a loss, relative */

static int32_t slots(const struct bp_value *values) {
    return HISTORY + 2 * (int32_t)values[HISTORY_SIZE].number;
}

static double dot(size_t n, const bp_real *x, const bp_real *y) {
    enum { LANES = 8 };
    double lanes[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) lanes[l] += (double)x[i + l] * (double)y[i + l];
    for (; i < n; i++) sum += (double)x[i] * (double)y[i];
    for (size_t l = 0; l < LANES; l++) sum += lanes[l];
    return sum;
}

/* The slot of the k-th last pair's s; its y follows. */
static int32_t pair_at(const struct bp_search *search, int32_t k) {
    const int32_t most = (int32_t)search->values[HISTORY_SIZE].number, last = (int32_t)search->memory[LAST];
    return HISTORY + 2 * ((last - k + most) % most);
}

/* d = -H g by the two loops over the pairs; H starts from s.y / y.y of the last one. */
static void find_direction(const struct bp_search *search) {
    const size_t n = search->n;
    bp_real *d = search->slots[DIRECTION];
    const int32_t pairs = (int32_t)search->memory[PAIRS];
    double alpha[HISTORY_MAX];
    for (size_t i = 0; i < n; i++) d[i] = -search->slots[GRADIENT][i];
    for (int32_t k = 0; k < pairs; k++) {
        const bp_real *s = search->slots[pair_at(search, k)], *y = search->slots[pair_at(search, k) + 1];
        alpha[k] = dot(n, s, d) / dot(n, s, y);
        bp_kernels()->scaled_add(n, (bp_real)-alpha[k], y, d);
    }
    if (pairs > 0) {
        const bp_real *s = search->slots[pair_at(search, 0)], *y = search->slots[pair_at(search, 0) + 1];
        bp_kernels()->scale(n, (bp_real)(dot(n, s, y) / dot(n, y, y)), d);
    }
    for (int32_t k = pairs - 1; k >= 0; k--) {
        const bp_real *s = search->slots[pair_at(search, k)], *y = search->slots[pair_at(search, k) + 1];
        const double beta = dot(n, y, d) / dot(n, s, y);
        bp_kernels()->scaled_add(n, (bp_real)(alpha[k] - beta), s, d);
    }
}

/* W = start + step d. */
static void try_step(const struct bp_search *search, double step) {
    memcpy(search->W, search->slots[START], search->n * sizeof *search->W);
    bp_kernels()->scaled_add(search->n, (bp_real)step, search->slots[DIRECTION], search->W);
    search->memory[STEP] = step;
}

/* Sets out from the point whose loss and gradient are known. */
static void set_out(const struct bp_search *search) {
    double *memory = search->memory;
    find_direction(search);
    memory[SLOPE] = dot(search->n, search->slots[DIRECTION], search->slots[GRADIENT]);
    if (!(memory[SLOPE] < 0)) { /* rounding has spoilt the pairs */
        memory[PAIRS] = 0;
        find_direction(search);
        memory[SLOPE] = dot(search->n, search->slots[DIRECTION], search->slots[GRADIENT]);
    }
    if (!(memory[SLOPE] < -0.1 * ROUNDING * ROUNDING * fabs(memory[LOSS]))) return; /* no gradient is left but rounding: it stays where it is */
    const double length = sqrt(-memory[SLOPE]);                                     /* of the gradient, while there are no pairs */
    memory[LOW] = 0;
    memory[HIGH] = INFINITY;
    memory[TRIES] = 0;
    memory[STATE] = SEARCHING;
    try_step(search, search->learning_rate * (memory[PAIRS] > 0 || !(length > 1) ? 1 : 1 / length));
}

/* Makes the point at W the last one found; stores the pair of the step. */
static void arrive(const struct bp_search *search) {
    const size_t n = search->n, bytes = n * sizeof(bp_real);
    double *memory = search->memory;
    const int32_t most = (int32_t)search->values[HISTORY_SIZE].number;
    if (memory[STATE] == SEARCHING) {
        const int32_t next = ((int32_t)memory[LAST] + 1) % most;
        bp_real *s = search->slots[HISTORY + 2 * next], *y = search->slots[HISTORY + 2 * next + 1];
        for (size_t i = 0; i < n; i++) {
            s[i] = search->W[i] - search->slots[START][i];
            y[i] = search->g[i] - search->slots[GRADIENT][i];
        }
        const double curvature = dot(n, s, y);
        if (curvature > 1e-10 * dot(n, y, y)) {
            memory[LAST] = next;
            memory[PAIRS] = memory[PAIRS] < most ? memory[PAIRS] + 1 : most;
        } else if ((int32_t)memory[PAIRS] == most) {
            memory[PAIRS]--; /* the oldest, whose place it took */
        }
    }
    memcpy(search->slots[START], search->W, bytes);
    memcpy(search->slots[GRADIENT], search->g, bytes);
    memory[LOSS] = search->loss;
}

static bool falls_enough(const struct bp_search *search, double slope) {
    const double *memory = search->memory, before = memory[LOSS];
    if (search->loss <= before + DECREASE * memory[STEP] * memory[SLOPE]) return true;
    return search->loss <= before + ROUNDING * fabs(before) && slope <= (2 * DECREASE - 1) * memory[SLOPE];
}

static bool search_step(const struct bp_search *search) {
    double *memory = search->memory;
    const int state = (int)memory[STATE];
    if (!search->g) { /* an epoch begins */
        if (state == SETTLED) set_out(search);
        return false;
    }
    if (state == BEGIN) {
        arrive(search);
        set_out(search);
        return memory[STATE] == BEGIN;
    }
    if (state == RETURNING) memory[PAIRS] = 0;
    if (state != SEARCHING) {
        memory[STATE] = SETTLED;
        return true;
    }
    const double step = memory[STEP], slope = dot(search->n, search->slots[DIRECTION], search->g);
    if (!falls_enough(search, slope)) {
        memory[HIGH] = step;
    } else if (slope < CURVATURE * memory[SLOPE]) {
        memory[LOW] = step;
    } else {
        arrive(search);
        memory[STATE] = SETTLED;
        return true;
    }
    if (++memory[TRIES] >= TRIES_MAX) {
        memcpy(search->W, search->slots[START], search->n * sizeof *search->W);
        memory[STATE] = RETURNING;
        return false;
    }
    try_step(search, isinf(memory[HIGH]) ? 2 * memory[LOW] : (memory[LOW] + memory[HIGH]) / 2);
    return false;
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] =
        {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "First step length tried along a direction", .preset = 1, .min = 0, .max = 1e6},
    [HISTORY_SIZE] = {.name = "history_size",
                      .type = BP_PARAM_INTEGER,
                      .help = "Number of stored pairs of changes",
                      .preset = HISTORY_MAX,
                      .min = 1,
                      .max = HISTORY_MAX},
};

extern const struct bp_optimizer_ops bp_optimizer_lbfgs;
const struct bp_optimizer_ops bp_optimizer_lbfgs = {
    .entry = {.name = "lbfgs",
              .summary = "Quasi-Newton steps over the whole training set at once: for small data and small networks",
              .params = params,
              .params_count = PARAMS},
    .slots = slots,
    .search = search_step,
};
