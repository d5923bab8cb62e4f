/* join.h - the next version of a dataset: more rows below, or more columns beside. It shares the file of the one it is made from, which stays
 * as it is. */
#ifndef SCHEMA_INGEST_JOIN_H
#define SCHEMA_INGEST_JOIN_H

#include "schema/ingest/ingest.h"

enum schema_join { SCHEMA_JOIN_ROWS, SCHEMA_JOIN_COLUMNS };

/* Writes base with the rows (of the same columns, in any order) or the columns (of as many rows) of more behind what is in fd, the file of base, to
 * which has no other writer; *ingest is finished then, and the caller's to close, and the version ends at schema_ingest_bytes. After a failure what
 * was written after it may be truncated. Of the options the limits count. */
int schema_ingest_join(enum schema_join how, const struct schema_dataset *base, const struct schema_dataset *more,
                       const struct schema_ingest_options *options, int fd, struct schema_ingest **ingest, struct schema_problems *problems);
/* The types of a dataset's columns as a user would give them; *types is the caller's (schema_column_types_free). */
int schema_column_types_of(const struct schema_dataset *dataset, struct schema_column_type **types, int32_t *count, struct schema_problems *problems);

#endif
