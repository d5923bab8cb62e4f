/* exposition.h - writing Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). */
#ifndef SERVER_OPS_EXPOSITION_H
#define SERVER_OPS_EXPOSITION_H

#include "schema/text/text.h"
#include "server/histogram.h"

/* Pairs of name and value, ended by NULL; NULL: no labels. */
typedef const char *const *exposition_labels;
#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The HELP and TYPE lines before the samples of a metric. */
void exposition_begin(struct schema_text *out, const char *name, const char *type, const char *help);
void exposition_value(struct schema_text *out, const char *name, exposition_labels labels, double value);
/* Its cumulative buckets, sum and count. */
void exposition_histogram(struct schema_text *out, const char *name, exposition_labels labels, const int64_t bounds[HISTOGRAM_BOUNDS],
                          const struct histogram_values *values);

#endif
