/* drift_counts.c - counters in windows of time: rings of hours and of days. */
#include "server/drift.h"

#include <stdlib.h>
#include <string.h>

enum { HOUR = 3600, DAY = 24 * HOUR, SLOTS = DRIFT_HOURS + DRIFT_DAYS };
static const uint64_t mark = UINT64_C(0x3154464952445042); /* "BPDRIFT1" */

const char *const drift_window_names[DRIFT_WINDOWS] = {"hour", "day", "week"};

/* An hour or a day, by its number since 1970. */
struct slot {
    int64_t number, rows;
    uint64_t *counts; /* (bins), NULL: never used */
};
struct drift_counts {
    int32_t bins;
    struct slot slots[SLOTS]; /* the hours, then the days */
};

struct drift_counts *drift_counts_new(int32_t bins) {
    struct drift_counts *c = calloc(1, sizeof *c);
    if (c) c->bins = bins;
    return c;
}

void drift_counts_free(struct drift_counts *c) {
    if (!c) return;
    for (int i = 0; i < SLOTS; i++) free(c->slots[i].counts);
    free(c);
}

/* The slot of an hour or a day, emptied of an older one; NULL: a newer one is in its place, or no memory. */
static struct slot *slot_of(struct drift_counts *c, bool day, int64_t number) {
    struct slot *s = &c->slots[day ? DRIFT_HOURS + number % DRIFT_DAYS : number % DRIFT_HOURS];
    if (!s->counts && !(s->counts = calloc((size_t)c->bins + 1, sizeof *s->counts))) return NULL;
    if (s->number > number) return NULL;
    if (s->number < number) {
        memset(s->counts, 0, (size_t)c->bins * sizeof *s->counts);
        s->number = number;
        s->rows = 0;
    }
    return s;
}

static void add(struct drift_counts *c, bool day, int64_t number, int64_t rows, const uint64_t *of) {
    struct slot *s = slot_of(c, day, number);
    if (!s) return;
    s->rows += rows;
    for (int32_t i = 0; i < c->bins; i++)
        if (of[i]) s->counts[i] += of[i]; /* most are 0 for a row: their cache lines stay with other processors */
}

void drift_counts_add(struct drift_counts *c, int64_t at, int64_t rows, const uint64_t *of) {
    if (at < 0) return;
    add(c, false, at / HOUR, rows, of);
    add(c, true, at / DAY, rows, of);
}

/* The next slot of the window after `after` (-1: the first), -1: none. */
static int next_of(const struct drift_counts *c, enum drift_window window, int64_t at, int after) {
    const bool days = window == DRIFT_WEEK;
    const int64_t last = at / (days ? DAY : HOUR), first = last + 1 - (window == DRIFT_HOUR ? 1 : days ? DRIFT_DAYS : DRIFT_HOURS);
    const int from = days ? DRIFT_HOURS : 0, to = days ? SLOTS : DRIFT_HOURS;
    for (int i = after < from ? from : after + 1; i < to; i++)
        if (c->slots[i].counts && c->slots[i].number >= first && c->slots[i].number <= last) return i;
    return -1;
}

int64_t drift_counts_sum(const struct drift_counts *c, enum drift_window window, int64_t at, uint64_t *sums) {
    memset(sums, 0, (size_t)c->bins * sizeof *sums);
    for (int i = -1; (i = next_of(c, window, at, i)) >= 0;)
        for (int32_t k = 0; k < c->bins; k++) sums[k] += c->slots[i].counts[k];
    return drift_counts_rows(c, window, at);
}

int64_t drift_counts_rows(const struct drift_counts *c, enum drift_window window, int64_t at) {
    int64_t rows = 0;
    for (int i = -1; (i = next_of(c, window, at, i)) >= 0;) rows += c->slots[i].rows;
    return rows;
}

/* Words of 64 bits, in the order of the machine: mark, bins, and for each slot in use its place, number, rows and counts. */
void *drift_counts_pack(const struct drift_counts *c, size_t *size) {
    size_t used = 0, at = 0;
    for (int i = 0; i < SLOTS; i++) used += c->slots[i].counts != NULL;
    uint64_t *words = malloc((2 + used * (3 + (size_t)c->bins)) * sizeof *words);
    if (!words) return NULL;
    words[at++] = mark;
    words[at++] = (uint64_t)c->bins;
    for (int i = 0; i < SLOTS; i++) {
        const struct slot *s = &c->slots[i];
        if (!s->counts) continue;
        words[at++] = (uint64_t)i;
        words[at++] = (uint64_t)s->number;
        words[at++] = (uint64_t)s->rows;
        memcpy(words + at, s->counts, (size_t)c->bins * sizeof *words);
        at += (size_t)c->bins;
    }
    *size = at * sizeof *words;
    return words;
}

int drift_counts_unpack(struct drift_counts *c, const void *bytes, size_t size) {
    const size_t each = 3 + (size_t)c->bins, words = size / sizeof(uint64_t);
    uint64_t *copy = malloc(size + 1);
    if (!copy) return -1;
    memcpy(copy, bytes, size);
    const bool good = size % sizeof *copy == 0 && words >= 2 && copy[0] == mark && copy[1] == (uint64_t)c->bins && (words - 2) % each == 0;
    for (size_t at = 2; good && at < words; at += each)
        if (copy[at] < SLOTS) add(c, copy[at] >= DRIFT_HOURS, (int64_t)copy[at + 1], (int64_t)copy[at + 2], copy + at + 3);
    free(copy);
    return good ? 0 : -1;
}
