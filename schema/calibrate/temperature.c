/* temperature.c - the temperature with the least log loss. */
#include "schema/calibrate/calibrate.h"

#include <math.h>
#include <stdlib.h>

/* ln p as schema_temperature_apply takes it; of one number those of both classes. */
static void logs_of(const float *p, int32_t width, double *out) {
    static const double least = 1.17549435e-38, half_ulp = 2.9802322387695312e-08;
    if (width == 1) {
        out[0] = log(fmax(1 - (double)p[0], half_ulp));
        out[1] = log(fmax((double)p[0], least));
        return;
    }
    for (int32_t c = 0; c < width; c++) out[c] = log(fmax((double)p[c], least));
}

/* d/d beta of -ln softmax(beta l)_y, summed over the rows: E[l] - l_y. */
static double slope(const double *l, const int32_t *truth, int64_t n, int32_t classes, double beta) {
    double total = 0;
    for (int64_t i = 0; i < n; i++, l += classes) {
        double most = l[0], sum = 0, mean = 0;
        for (int32_t c = 1; c < classes; c++) most = fmax(most, l[c]);
        for (int32_t c = 0; c < classes; c++) {
            const double e = exp(beta * (l[c] - most));
            sum += e;
            mean += e * (l[c] - l[truth[i]]);
        }
        total += mean / sum;
    }
    return total;
}

double schema_temperature_fit(const float *p, const int32_t *truth, int64_t n, int32_t width, bool *edge) {
    const int32_t classes = width == 1 ? 2 : width;
    double low = 1 / SCHEMA_TEMPERATURE_MAX, high = 1 / SCHEMA_TEMPERATURE_MIN;
    double *logs = malloc(((size_t)n * (size_t)classes + 1) * sizeof *logs);
    *edge = true;
    if (!logs) return (double)NAN;
    for (int64_t i = 0; i < n; i++) logs_of(p + i * width, width, logs + i * classes);
    if (n > 0 && slope(logs, truth, n, classes, low) < 0 && slope(logs, truth, n, classes, high) > 0) {
        *edge = false;
        for (int step = 0; step < 60; step++) { /* 2^-60 of the range: all that double holds */
            const double middle = sqrt(low * high);
            if (slope(logs, truth, n, classes, middle) < 0) low = middle;
            else high = middle;
        }
    }
    free(logs);
    return *edge ? 1 : 1 / sqrt(low * high);
}
