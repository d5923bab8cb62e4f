/* frequency.c - see frequency.h. */
#include "schema/dataset/frequency.h"

#include <stdlib.h>
#include <string.h>

struct counted {
    int64_t count;
    int32_t place;
};

static int more_frequent(const void *a, const void *b) {
    const struct counted *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

int32_t *schema_by_frequency(const int64_t *counts, size_t stride, int32_t n) {
    struct counted *sorted = malloc(((size_t)n + 1) * sizeof *sorted);
    int32_t *places = malloc(((size_t)n + 1) * sizeof *places);
    for (int32_t i = 0; sorted && i < n; i++) {
        sorted[i].place = i;
        memcpy(&sorted[i].count, (const char *)counts + (size_t)i * stride, sizeof sorted[i].count);
    }
    if (sorted) qsort(sorted, (size_t)n, sizeof *sorted, more_frequent);
    for (int32_t i = 0; sorted && places && i < n; i++) places[i] = sorted[i].place;
    if (!sorted) free(places), places = NULL;
    free(sorted);
    return places;
}
