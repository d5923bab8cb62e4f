/* metric_name.c - see metric_name.h. */
#include "schema/predict/metric_name.h"

#include "engine/metrics/metric.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <string.h>

static const char *name_at(const void *context, int32_t i) {
    (void)context;
    return i < bp_metrics.count ? bp_metrics.entries[i]->name : "loss";
}

const char *schema_metric_nearest(const char *name, char *text, size_t size) {
    const bool held = strncmp(name, "val_", 4) == 0;
    const char *nearest = schema_nearest(held ? name + 4 : name, name_at, NULL, bp_metrics.count + 1);
    if (!nearest) return NULL;
    snprintf(text, size, "%s%s", held ? "val_" : "", nearest);
    return text;
}

/* "val_digit_f1" ends with the metric f1, behind "_". */
static bool is_measured_by(const char *name, const char *metric) {
    const size_t size = strlen(name), end = strlen(metric);
    return size >= end && strcmp(name + size - end, metric) == 0 && (size == end || name[size - end - 1] == '_');
}

int schema_metric_direction(const char *name) {
    const struct bp_entry *found = NULL;
    for (int32_t i = 0; i < bp_metrics.count; i++) {
        const struct bp_entry *entry = bp_metrics.entries[i];
        if (is_measured_by(name, entry->name) && (!found || strlen(entry->name) > strlen(found->name))) found = entry;
    }
    if (found) return ((const struct bp_metric_ops *)(const void *)found)->higher_is_better ? 1 : -1;
    return is_measured_by(name, "loss") ? -1 : 0;
}
