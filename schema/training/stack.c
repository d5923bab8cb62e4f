/* stack.c - see stack.h. */
#include "schema/training/stack.h"

#include <math.h>
#include <string.h>

enum { MAX = SCHEMA_STACK_MAX };

/* Sums of products: of the families' predictions with each other, with the targets, and of the targets. */
struct sums {
    double with[MAX][MAX], target[MAX], squared, rows;
};

static double target_of(const struct schema_stack *s, int64_t i, int32_t j) {
    if (!s->classes) return (double)s->y[i * s->width + j];
    return (int32_t)s->y[i] == (s->width == 1 ? 1 : j);
}

static void add_row(const struct schema_stack *s, int64_t i, struct sums *sums) {
    const double weight = s->weights ? s->weights[i] : 1;
    for (int32_t j = 0; j < s->width; j++) {
        const double y = target_of(s, i, j);
        for (int32_t a = 0; a < s->families; a++) {
            const double p = weight * (double)s->predictions[a][i * s->width + j];
            for (int32_t b = 0; b <= a; b++) sums->with[a][b] += p * (double)s->predictions[b][i * s->width + j];
            sums->target[a] += p * y;
        }
        sums->squared += weight * y * y;
    }
    sums->rows += weight;
}

static double error_of(const struct sums *sums, int32_t m, const double *w) {
    double error = sums->squared;
    for (int32_t a = 0; a < m; a++) {
        error -= 2 * w[a] * sums->target[a];
        for (int32_t b = 0; b < m; b++) error += w[a] * w[b] * sums->with[a][b];
    }
    return error;
}

/* Solves A x = b (n) by elimination with pivots; false: A is singular. Both are used up. */
static bool solve(int32_t n, double A[MAX + 1][MAX + 1], double *b) {
    for (int32_t k = 0; k < n; k++) {
        int32_t best = k;
        for (int32_t i = k + 1; i < n; i++) best = fabs(A[i][k]) > fabs(A[best][k]) ? i : best;
        if (!(fabs(A[best][k]) > 1e-300)) return false;
        for (int32_t i = 0; i < n; i++) {
            const double swap = A[k][i];
            A[k][i] = A[best][i];
            A[best][i] = swap;
        }
        const double swap = b[k];
        b[k] = b[best];
        b[best] = swap;
        for (int32_t i = k + 1; i < n; i++) {
            const double factor = A[i][k] / A[k][k];
            for (int32_t j = k; j < n; j++) A[i][j] -= factor * A[k][j];
            b[i] -= factor * b[k];
        }
    }
    for (int32_t k = n; k-- > 0;) {
        for (int32_t j = k + 1; j < n; j++) b[k] -= A[k][j] * b[j];
        b[k] /= A[k][k];
    }
    return true;
}

/* The least squares over a set of families whose weights have the sum 1, by a multiplier; false: some are negative. */
static bool fit_set(const struct sums *sums, int32_t m, unsigned set, double *w) {
    double A[MAX + 1][MAX + 1] = {{0}}, b[MAX + 1] = {0};
    int32_t n = 0, which[MAX];
    for (int32_t a = 0; a < m; a++)
        if (set >> a & 1) which[n++] = a;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) A[i][j] = sums->with[which[i]][which[j]];
        A[i][n] = A[n][i] = 1;
        b[i] = sums->target[which[i]];
    }
    b[n] = 1;
    memset(w, 0, (size_t)m * sizeof *w);
    if (!solve(n + 1, A, b)) return false;
    for (int32_t i = 0; i < n; i++) {
        if (!(b[i] >= 0)) return false;
        w[which[i]] = b[i];
    }
    return true;
}

/* As if the rows of PULL more, each with the least error of a family, asked for equal weights. */
static void pull(struct sums *sums, int32_t m) {
    double least = -1;
    for (int32_t a = 0; a < m; a++) {
        const double error = sums->squared - 2 * sums->target[a] + sums->with[a][a];
        least = least < 0 || error < least ? error : least;
    }
    const double strength = (double)SCHEMA_STACK_PULL * (least > 0 ? least : 0) / sums->rows;
    for (int32_t a = 0; a < m; a++) {
        sums->with[a][a] += strength;
        sums->target[a] += strength / m;
    }
    sums->squared += strength / m;
}

void schema_stack_weights(const struct schema_stack *s, uint8_t except, double *weights) {
    struct sums sums = {.rows = 0};
    const int32_t m = s->families;
    double best = -1, tried[MAX];
    for (int32_t a = 0; a < m; a++) weights[a] = 1.0 / m;
    for (int64_t i = 0; i < s->n; i++)
        if (s->fold[i] && s->fold[i] != except) add_row(s, i, &sums);
    for (int32_t a = 0; a < m; a++)
        for (int32_t b = a + 1; b < m; b++) sums.with[a][b] = sums.with[b][a];
    if (!(sums.rows > 0) || !isfinite(sums.squared)) return;
    pull(&sums, m);
    for (unsigned set = 1; set < 1u << m; set++) {
        if (!fit_set(&sums, m, set, tried)) continue;
        const double error = error_of(&sums, m, tried);
        if (!isfinite(error) || (best >= 0 && error >= best)) continue;
        best = error;
        memcpy(weights, tried, (size_t)m * sizeof *weights);
    }
}

void schema_stack_combine(const struct schema_stack *s, const double *weights, int64_t i, float *out) {
    for (int32_t j = 0; j < s->width; j++) {
        double sum = 0;
        for (int32_t a = 0; a < s->families; a++) sum += weights[a] * (double)s->predictions[a][i * s->width + j];
        out[j] = (float)sum;
    }
}
