/* options.h - the options of a column in a job: how it becomes numbers. */
#ifndef SCHEMA_COLUMN_OPTIONS_H
#define SCHEMA_COLUMN_OPTIONS_H

#include "schema/dataset/dataset.h"
#include "schema/json/problems.h"

/* What becomes of missing values: AUTO is INDICATOR where training rows have some, else MEAN; categories have BUCKET. DROP leaves their rows out of
 * the training (in a prediction they become the mean, or go to the bucket), ERROR refuses them, here and there. */
enum schema_missing {
    SCHEMA_MISSING_AUTO,
    SCHEMA_MISSING_MEAN,
    SCHEMA_MISSING_MEDIAN,
    SCHEMA_MISSING_CONSTANT,
    SCHEMA_MISSING_INDICATOR,
    SCHEMA_MISSING_BUCKET,
    SCHEMA_MISSING_DROP,
    SCHEMA_MISSING_ERROR
};
/* Clipped z = (g(v) - mean) / std, with the mean and deviation of g(v) over the training rows for STANDARD (g = v) and LOG (g = sign(v) ln(1 + |v|)),
 * the least and the range for MINMAX, median and interquartile range for ROBUST (half the range where that is 0), 0 and 1 for NONE; QUANTILE: v's
 * place among the quantiles, 0 to 1, standardised; GLOBAL: of a tensor, one mean and deviation for all its numbers. */
enum schema_scale {
    SCHEMA_SCALE_STANDARD,
    SCHEMA_SCALE_MINMAX,
    SCHEMA_SCALE_ROBUST,
    SCHEMA_SCALE_QUANTILE,
    SCHEMA_SCALE_LOG,
    SCHEMA_SCALE_NONE,
    SCHEMA_SCALE_GLOBAL
};
/* Of categories. COMPACT: two categories become one number, -1 and 1, with 0 for unseen and missing ones; more or fewer are one-hot.
 * ORDINAL: one number, the category's place in sorted order, standardised. EMBEDDING: an input of the column's name, of shape [1]: its
 * place from 1 on, 0 for unseen and missing ones. TARGET: the mean target of the training rows of that category, drawn towards that of all the more,
 * the fewer they are; the encoding of a training row is fitted without the rows of its fold (means.c). Of texts. BAG_OF_WORDS: (1 + ln count)
 * idf of each word of the vocabulary, the whole scaled to length 1; idf = ln((1 + n) / (1 + rows with it)) + 1 (Manning, Raghavan, Schuetze,
 * Introduction to Information Retrieval, 6.4; the idf as scikit-learn smooths it). HASHED: the same without idf and vocabulary, words added or
 * subtracted in buckets by a hash (Weinberger et al. 2009). TOKENS: an input of the column's name, of shape [length]: the number of each word in
 * turn, from 2 on, 1 for one not in the vocabulary, 0 after the last. */
enum schema_encode {
    SCHEMA_ENCODE_ONE_HOT,
    SCHEMA_ENCODE_ORDINAL,
    SCHEMA_ENCODE_EMBEDDING,
    SCHEMA_ENCODE_TARGET,
    SCHEMA_ENCODE_COMPACT,
    SCHEMA_ENCODE_BAG_OF_WORDS,
    SCHEMA_ENCODE_HASHED,
    SCHEMA_ENCODE_TOKENS
};
enum schema_unseen { SCHEMA_UNSEEN_BUCKET, SCHEMA_UNSEEN_IGNORE, SCHEMA_UNSEEN_ERROR };

/* The options of a column in a job. Zeros are the defaults. */
struct schema_column_options {
    enum schema_missing missing;
    double constant;
    enum schema_scale scale;
    double clip; /* in deviations; negative: none, 0: SCHEMA_CLIP where the scale has one */
    enum schema_encode encode;
    enum schema_unseen unseen;
    int32_t categories_max;       /* categories: number of most frequent categories that get a code; the others are treated as unknown */
    int32_t categories_min_count; /* categories: training rows that one needs to get a code; 0 as 1 */
    int32_t vocabulary;           /* texts: words at most */
    int32_t length;               /* TOKENS: of the sequence */
    int32_t buckets;              /* HASHED */
    double smoothing;             /* TARGET: rows that the mean of all counts for in that of a category */
    uint32_t parts;               /* datetimes: a bit for each enum schema_time_part */
};

enum { SCHEMA_CATEGORIES_MAX = 1000, SCHEMA_VOCABULARY = 2000, SCHEMA_BUCKETS = 1024, SCHEMA_SMOOTHING = 10, SCHEMA_CLIP = 8 /* defaults */ };

/* The rows of options.def; `1u << SCHEMA_OPTION_scale` is one of struct schema_type_ops' options. */
enum schema_column_option {
#define COLUMN_OPTION(field, ...) SCHEMA_OPTION_##field,
#include "schema/preprocessing/options.def"
#undef COLUMN_OPTION
};

struct schema_feature;
/* {"missing":"median","scale":"robust"} of a column, from a request. -1 with problems. */
int schema_column_options_decode(const json_t *json, const char *pointer, const struct schema_column *column, struct schema_column_options *options,
                                 struct schema_problems *problems);
/* What a fitted feature uses, for answers: every option that its type and encode have. */
json_t *schema_column_options_encode(const struct schema_feature *feature);
/* For the catalog: each column type with its options, and of their choices those that it has. */
json_t *schema_column_types_encode(void);
/* For the OpenAPI document: the properties of all options. */
json_t *schema_column_options_contract(void);

#endif
