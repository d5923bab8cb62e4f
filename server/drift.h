/* drift.h - counts what versions predict, by the bins of their training rows (schema/predict/reference.h), in windows of time, and compares the two.
 *
 * A request adds its counts under one lock, some hundred nanoseconds after its rows are predicted; it never waits for the store. The
 * counts of each hour of the last 24, and of each day (UTC) of the last 7, are in memory. A thread writes those that have changed to the store every
 * drift_save_seconds, and at the end: a server that is killed loses that much. The versions that predicted last are kept, at most DRIFT_VERSIONS. */
#ifndef SERVER_DRIFT_H
#define SERVER_DRIFT_H

#include "server/store/store.h"

enum { DRIFT_VERSIONS = 500, DRIFT_HOURS = 24, DRIFT_DAYS = 7 };

/* The counters of one version: pure of clocks and stores. bins: of its reference. */
struct drift_counts;
struct drift_counts *drift_counts_new(int32_t bins);
void drift_counts_free(struct drift_counts *counts);
/* Adds rows and (bins) counts that were predicted at that time, seconds since 1970. Silently nothing without memory. */
void drift_counts_add(struct drift_counts *counts, int64_t at, int64_t rows, const uint64_t *of);
/* The sums of a window that ends at that time: the current hour, the last 24 hours, the last 7 days. Returns its rows. */
enum drift_window { DRIFT_HOUR, DRIFT_DAY, DRIFT_WEEK, DRIFT_WINDOWS };
extern const char *const drift_window_names[DRIFT_WINDOWS];
int64_t drift_counts_sum(const struct drift_counts *counts, enum drift_window window, int64_t at, uint64_t *sums);
int64_t drift_counts_rows(const struct drift_counts *counts, enum drift_window window, int64_t at);
/* To bytes, the caller's, and back: adds what they hold. -1: not of these bins, damaged, no memory. */
void *drift_counts_pack(const struct drift_counts *counts, size_t *size);
int drift_counts_unpack(struct drift_counts *counts, const void *bytes, size_t size);

struct drift;
struct drift *drift_new(struct store *store);
/* Starts the thread that stores. Changes how often it does. */
int drift_start(struct drift *drift, int64_t save_seconds, struct bp_error *error);
void drift_limit(struct drift *drift, int64_t save_seconds);
/* Stores what has changed; ends the thread. */
void drift_stop(struct drift *drift);
void drift_free(struct drift *drift);

/* Rows of a request. Any thread; takes no store, no file. */
void drift_add(struct drift *drift, const char *model, int64_t version, int32_t bins, int64_t rows, const uint64_t *counts);

/* For /metrics: those that predicted last, at most `most`, are given one by one. */
struct drift_seen {
    char model[STORE_NAME_SIZE];
    int64_t version;
    int64_t rows; /* of the last 24 hours */
};
int drift_seen(struct drift *drift, struct drift_seen *seen, int most);
#endif
