/* metric_name.h - what the name of a reported metric says: val_accuracy, val_<output>_f1, loss. */
#ifndef SCHEMA_METRIC_NAME_H
#define SCHEMA_METRIC_NAME_H

#include <stddef.h>

/* 1: higher is better; -1: lower is better; 0: it is no metric of the catalog, and no loss. */
int schema_metric_direction(const char *name);
/* The metric of the catalog, or loss, that a mistyped name is nearest to, with its val_; NULL: none is near. In text. */
const char *schema_metric_nearest(const char *name, char *text, size_t size);

#endif
