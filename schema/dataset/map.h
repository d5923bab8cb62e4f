/* map.h - a column file in memory, as open.c has checked it and dataset.c reads it. Private to them and to the writers that append to it. */
#ifndef SCHEMA_DATASET_MAP_H
#define SCHEMA_DATASET_MAP_H

#include "schema/dataset/cell_dictionary.h"
#include "schema/dataset/column_file.h"
#include "schema/dataset/map_guard.h"

#include <stdatomic.h>
#include <string.h>

/* Columns that came together: see column_file.h. */
struct dataset_set {
    int32_t first, columns;
    int64_t rows_per_group, groups_count;
    struct column_file_group *groups; /* a copy: the layout holds even when the file loses its end */
    atomic_uchar *checked;            /* per group: enum dataset_checked */
};

/* A group is checked when something is read from it for the first time. */
enum dataset_checked { DATASET_UNCHECKED, DATASET_INTACT, DATASET_DAMAGED };

struct schema_dataset_map {
    const unsigned char *start;
    size_t size;
    struct map_guard guard;
    int32_t sets_count;
    struct dataset_set *sets;
    int32_t *set_of;              /* per column */
    int64_t *per_cell;            /* numbers in one cell, per column */
    struct column_traces *traces; /* per column */
    struct schema_dictionary names;
    atomic_bool damaged;        /* some group that was read is damaged: it reads as missing cells */
    atomic_llong first_damaged; /* its first row */
};

/* Whether the group is as it was written. Any number of threads may ask at once. */
bool dataset_group_intact(const struct schema_dataset *dataset, const struct dataset_set *set, int64_t g);

static inline const struct dataset_set *dataset_set(const struct schema_dataset *d, int32_t column) {
    return &d->map->sets[d->map->set_of[column]];
}

static inline int64_t dataset_group_rows(const struct schema_dataset *d, const struct dataset_set *set, int64_t g) {
    const int64_t left = d->rows - g * set->rows_per_group;
    return left < set->rows_per_group ? left : set->rows_per_group;
}

static inline struct column_file_group dataset_group(const struct dataset_set *set, int64_t g) {
    return set->groups[g];
}

#endif
