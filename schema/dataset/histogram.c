/* histogram.c - bins of equal width, with edges as numpy.linspace has them and numbers on an edge in the bin above. */
#include "schema/dataset/histogram.h"

#include <math.h>
#include <string.h>

static void by_value(struct schema_histogram *h, const double *values, int32_t count) {
    h->by_value = true, h->bins = count;
    memcpy(h->edges, values, (size_t)count * sizeof *values);
}

void schema_histogram_start(struct schema_histogram *h, const struct schema_column *c) {
    memset(h, 0, sizeof *h);
    if (!isfinite(c->min) || !isfinite(c->max)) return;
    const double range = c->max - c->min;
    const bool few = c->distinct_count > 0 && c->distinct_count <= SCHEMA_DISTINCT_MAX;
    if (few && c->integral) {
        by_value(h, c->distinct, c->distinct_count);
        return;
    }
    if (c->min == c->max) {
        by_value(h, &c->min, 1);
        return;
    }
    if (c->integral && range < SCHEMA_PROFILE_BINS) {
        h->by_value = true, h->bins = (int32_t)range + 1;
        for (int32_t i = 0; i < h->bins; i++) h->edges[i] = c->min + i;
        return;
    }
    h->bins = SCHEMA_PROFILE_BINS;
    if (isfinite(range)) {
        const double step = range / h->bins;
        for (int32_t i = 0; i < h->bins; i++) h->edges[i] = i * step + c->min;
        h->scale = h->bins / range;
    } else { /* in halves, which do not overflow */
        const double step = (c->max / 2 - c->min / 2) / h->bins;
        for (int32_t i = 0; i < h->bins; i++) h->edges[i] = 2 * (i * step + c->min / 2);
        h->scale = 0.5 / step;
    }
    h->edges[h->bins] = c->max;
    if (!isfinite(h->scale)) h->scale = 0; /* of a range of subnormals: the steps below do all of it */
}

static void add_values(struct schema_histogram *h, const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int32_t low = 0, high = h->bins;
        if (isnan(x[i])) continue;
        while (high - low > 1) {
            const int32_t middle = (low + high) / 2;
            if (h->edges[middle] <= x[i]) low = middle;
            else high = middle;
        }
        h->counts[low]++;
    }
}

void schema_histogram_add(struct schema_histogram *h, const double *x, int64_t n) {
    if (h->bins == 0) return;
    if (h->by_value) {
        add_values(h, x, n);
        return;
    }
    const double min = h->edges[0], last = h->bins - 1;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i])) continue;
        double place = x[i] * h->scale - min * h->scale; /* apart, as their difference may overflow */
        place = place < last ? place > 0 ? place : 0 : last;
        int32_t bin = (int32_t)place;
        /* Rounding may put it beside its bin: the edges decide. */
        while (bin > 0 && x[i] < h->edges[bin]) bin--;
        while (bin < h->bins - 1 && x[i] >= h->edges[bin + 1]) bin++;
        h->counts[bin]++;
    }
}
