/* split.h - which rows train and which validate, by a column. The split by seed alone is in source.h. */
#ifndef SCHEMA_SPLIT_H
#define SCHEMA_SPLIT_H

#include "options.h"
#include "source.h"

/* Splits rows[0..n) of the dataset as options say (not RANDOM). A pure function of its arguments. -1: nothing would train, or nothing would validate;
 * the error says why. */
int schema_split_by_column(const struct schema_dataset *dataset, const int64_t *rows, int64_t n, const struct schema_options *options,
                           struct schema_split *split, struct bp_error *error);
/* Whether the column can split in that way. */
int schema_split_check(const struct schema_dataset *dataset, int32_t column, enum schema_validation kind, struct bp_error *error);

#endif
