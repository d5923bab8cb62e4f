/* ranks.c - sorting by radix: keys of 64 bits, 11 at a time. */
#include "schema/dataset/ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGIT = 11, BUCKETS = 1 << DIGIT, PASSES = 6, FEW = 256 };

/* The bits of a double, such that unsigned order is the order of the numbers. */
static uint64_t key_of(double x) {
    const uint64_t sign = UINT64_C(1) << 63;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (bits == sign) bits = 0;
    return bits & sign ? ~bits : bits | sign;
}

static int compare(const void *a, const void *b) {
    const struct schema_ranked *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

int64_t schema_ranks_sort(const double *x, int64_t n, struct schema_ranked *sorted, struct schema_ranked *spare) {
    uint32_t counts[PASSES][BUCKETS];
    struct schema_ranked *from = sorted, *to = spare;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(x[i])) sorted[count++] = (struct schema_ranked){key_of(x[i]), (uint32_t)i};
    if (count < FEW) {
        qsort(sorted, (size_t)count, sizeof *sorted, compare);
        return count;
    }
    memset(counts, 0, sizeof counts);
    for (int64_t i = 0; i < count; i++)
        for (int p = 0; p < PASSES; p++) counts[p][sorted[i].key >> (p * DIGIT) & (BUCKETS - 1)]++;
    for (int p = 0; p < PASSES; p++) {
        uint32_t at = 0;
        if (counts[p][from[0].key >> (p * DIGIT) & (BUCKETS - 1)] == (uint32_t)count) continue; /* all alike here */
        for (int b = 0; b < BUCKETS; b++) {
            const uint32_t here = counts[p][b];
            counts[p][b] = at, at += here;
        }
        for (int64_t i = 0; i < count; i++) to[counts[p][from[i].key >> (p * DIGIT) & (BUCKETS - 1)]++] = from[i];
        struct schema_ranked *const other = from;
        from = to, to = other;
    }
    if (from != sorted) memcpy(sorted, from, (size_t)count * sizeof *sorted);
    return count;
}

void schema_ranks(const struct schema_ranked *sorted, int64_t count, const double *with, double *out) {
    int64_t before = 0; /* ranks given out */
    for (int64_t i = 0, end; i < count; i = end) {
        int64_t equal = 0;
        for (end = i; end < count && sorted[end].key == sorted[i].key; end++) equal += !isnan(with[sorted[end].at]);
        const double rank = (double)before + ((double)equal + 1) / 2;
        for (int64_t k = i; k < end; k++)
            if (!isnan(with[sorted[k].at])) out[sorted[k].at] = rank;
        before += equal;
    }
}
