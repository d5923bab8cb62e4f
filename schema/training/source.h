/* source.h - rows of a dataset as a source of batches for the trainer, and the split into training and validation rows. */
#ifndef SCHEMA_SOURCE_H
#define SCHEMA_SOURCE_H

#include "engine/train/train.h"
#include "schema/preprocessing/preprocessing.h"
#include "schema/preprocessing/view.h"

struct schema_split {
    int64_t train_count, validation_count;
    int64_t *train, *validation; /* row numbers, ascending; one allocation, freed with schema_split_free */
};

/* Splits rows[0..n), which ascend, by seed: `fraction` of them for validation. classes (n): class of each row for a stratified split, NULL for a
 * plain one. Every class keeps at least one training row; with a fraction above 0 and at least two rows, validation has at least one. A pure function
 * of its arguments. */
int schema_split_make(const int64_t *rows, int64_t n, const int32_t *classes, int32_t classes_count, double fraction, uint64_t seed,
                      struct schema_split *split, struct bp_error *error);
void schema_split_free(struct schema_split *split);

/* Batches from rows of a view. Up to SCHEMA_SOURCE_MEMORY bytes the transformed inputs and tensor targets are kept in memory; beyond that each batch
 * is transformed from the mapped file on demand, by the same code with the same bits. */
enum { SCHEMA_SOURCE_MEMORY = 64 << 20 };
struct schema_source;
struct schema_source_options {
    const struct schema_view *view;
    const int64_t *rows; /* [n], borrowed until schema_source_free */
    int64_t n;
    bool one_hot[BP_OUTPUTS_MAX]; /* the targets of that output are as wide as its labels */
    bool training; /* the rows are those that the preprocessing was fitted on: they count what their class does, besides what their sample weight
                      says, and target encodings leave their fold out */
    size_t memory_max;
};
int schema_source_new(const struct schema_source_options *options, struct schema_source **source, struct bp_error *error);
void schema_source_free(struct schema_source *source);
/* Samples first..first+n will be read soon, or not for a while: see dataset.h. No effect if they are in memory. Any thread may call it. */
void schema_source_advise(const struct schema_source *source, int64_t first, int64_t n, bool needed);
/* For the trainer; borrowed from the source. */
struct bp_source schema_source_batches(const struct schema_source *source);

#endif
