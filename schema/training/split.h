/* split.h - which rows train and which validate, by a column. The split by seed alone is in source.h. */
#ifndef SCHEMA_SPLIT_H
#define SCHEMA_SPLIT_H

#include "schema/training/options.h"
#include "schema/training/source.h"

/* Splits rows[0..n) of the dataset as options say (not RANDOM). A pure function of its arguments. -1: nothing would train, or nothing would validate;
 * the error gives the reason. */
int schema_split_by_column(const struct schema_dataset *dataset, const int64_t *rows, int64_t n, const struct schema_options *options,
                           struct schema_split *split, struct bp_error *error);
/* Rows by the value they have in a column. Those without a value are in no group. */
struct schema_keyed {
    double key;
    int64_t at; /* index in rows */
};
struct schema_groups {
    int64_t count, rows;        /* rows: in groups */
    struct schema_keyed *keyed; /* (rows) by group; group g from starts[g] to starts[g + 1] */
    int64_t *starts;            /* (count + 1) */
};
int schema_groups_find(const struct schema_dataset *dataset, int32_t column, const int64_t *rows, int64_t n, struct schema_groups *groups,
                       struct bp_error *error);
void schema_groups_free(struct schema_groups *groups);
/* Whether the column can split in that way. */
int schema_split_check(const struct schema_dataset *dataset, int32_t column, enum schema_validation kind, struct bp_error *error);

#endif
