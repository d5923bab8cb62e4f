/* column_file.h - the layout of a column file, and its writer. The reader is dataset.c. Private to schema/.
 *
 *     header    64 bytes: magic, version
 *     sets      columns that came together, one set after the other:
 *     groups    before each the bytes of its rows' texts, in the order in which they came, when there are columns of texts
 *               each starts at a multiple of 64; every group but the last holds rows_per_group rows:
 *                   directory   one struct column_block per column, 8 bytes each
 *                   blocks      per column its values, then, when `bitmap`, a bit per row (1: missing); see column_block_size
 *     footer    counts, columns with statistics and dictionaries, then per set its counts and its groups: offset, size, size of the texts before it,
 *               checksum of the directory, of the whole
 *     trailer   64 bytes: where the footer is, its checksum, the size of the file, version, magic
 *
 * Little-endian throughout. A block of 64 bytes or more starts at a multiple of 64, a smaller one at a multiple of 8. Given the kinds, the layout
 * follows: the reader computes it again and refuses anything else, so no offset of a damaged file is trusted.
 * Each block is in the narrowest type that holds its values exactly. Missing values: NaN in f32 and f64, bitmap with the integers and tensors,
 * 0 in codes (which count from 1) and in references to texts. A list of labels is such a text: the code of each, from 1 on, seven bits a byte with
 * the lowest first and the eighth bit set where more follow (LEB128); a single 0 is an empty list. The checksum of a group takes in the texts before
 * it. A group holds at most GROUP_BYTES_MAX bytes, unless a single row is larger.
 *
 * Versions share a file: written bytes never change, and a later version of a dataset is written after the trailer of the previous one. Its footer
 * names the groups of both: full ones are not moved, the last one, with fewer rows, is rewritten with the rows that follow; a
 * column that is added is a set of its own. A dictionary only grows, so codes do not change. The caller that opens a version knows where it
 * ends. */
#ifndef SCHEMA_COLUMN_FILE_H
#define SCHEMA_COLUMN_FILE_H

#include "schema/dataset/dataset.h"

#define COLUMN_FILE_MAGIC "backpropd data\n" /* 16 bytes with its NUL */

enum { COLUMN_FILE_VERSION = 2, COLUMN_FILE_EDGE = 64, GROUP_BYTES_MAX = 4 << 20 };

enum block_kind { BLOCK_NONE, BLOCK_U8, BLOCK_I8, BLOCK_U16, BLOCK_I16, BLOCK_U32, BLOCK_I32, BLOCK_F32, BLOCK_F64, BLOCK_TEXT, BLOCK_KINDS };
/* A type says in its row which of them its columns may have: BLOCKS(U8) | ... */
#define BLOCKS(KIND) (1u << BLOCK_##KIND)
enum { BLOCKS_OF_NUMBERS = BLOCKS(NONE) | BLOCKS(U8) | BLOCKS(I8) | BLOCKS(U16) | BLOCKS(I16) | BLOCKS(I32) | BLOCKS(F32) | BLOCKS(F64) };

struct column_block {
    uint32_t offset; /* from the start of the group, in units of 8 bytes */
    uint8_t kind;    /* enum block_kind; BLOCK_NONE: every row is missing */
    uint8_t bitmap;  /* 1: a bitmap of missing rows follows the values, at the next multiple of 8 */
    uint8_t zero[2];
};

struct column_file_header {
    char magic[16];
    uint32_t version;
    uint8_t zero[44];
};

struct column_file_trailer {
    uint64_t footer_offset, footer_size, file_size;
    uint32_t footer_crc, version;
    uint8_t zero[12];
    uint32_t crc; /* of the 44 bytes before it */
    char magic[16];
};

/* Starts the footer; the columns and the groups follow, see column_file.c. */
struct column_file_counts {
    int64_t rows;
    int32_t columns, sets;
};

/* Starts a set in the footer; its groups follow. */
struct column_file_set {
    int64_t rows_per_group, groups;
    int32_t columns;
    uint32_t zero;
};

/* The fixed part of a column in the footer; then: name, NUL, distinct values, per category: count (i64), size (u32), text, NUL. */
struct column_file_column {
    uint32_t name_size;
    uint8_t type, bytes, integral, rank;
    int32_t dims[BP_RANK_MAX];
    int32_t distinct_count, categories_count;
    int64_t missing;
    double min, max, mean, std;
    /* What statistics and warnings of more rows go on from: the sum of squared differences; see struct ingest_trace. */
    int64_t count; /* of the numbers that the statistics are of */
    double m2, offset, last, sums[4];
    uint64_t codes; /* of columns without codes: the bits of what the mean leaves over, a double */
    uint8_t begun, uneven, clock, zero[5];
};

struct column_file_group {
    uint64_t offset, size, texts;
    uint32_t directory_crc, crc;
};

_Static_assert(sizeof(struct column_block) == 8 && sizeof(struct column_file_header) == 64 && sizeof(struct column_file_trailer) == 64 &&
                   sizeof(struct column_file_counts) == 16 && sizeof(struct column_file_set) == 24 && sizeof(struct column_file_column) == 152 &&
                   sizeof(struct column_file_group) == 32,
               "the column file has no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the column file is little-endian");

/* A text's place in the file, held in 64 bits: its size below, its offset above. */
enum { COLUMN_TEXT_SIZE_BITS = 21 }; /* a cell has at most 1 MiB */
struct column_text {
    uint64_t offset;
    size_t size;
};
static inline struct column_text column_text_place(uint64_t reference) {
    return (struct column_text){reference >> COLUMN_TEXT_SIZE_BITS, (size_t)(reference & ((1u << COLUMN_TEXT_SIZE_BITS) - 1))};
}

/* Bytes of one value. */
size_t column_kind_bytes(enum block_kind kind);
/* Bytes of a block: values, padding and bitmap. per_cell: numbers in one cell. */
size_t column_block_size(enum block_kind kind, bool bitmap, int64_t rows, int64_t per_cell);
/* Where a block of `size` bytes starts when the group is filled up to `end`. */
size_t column_block_start(size_t end, size_t size);
/* Whether a column of that type may hold blocks of that kind. */
bool column_kind_fits(enum schema_type type, enum block_kind kind);

/* ---- writer ---- */

/* The values of one column in the group being written. */
struct column_values {
    enum schema_type type;
    int64_t per_cell; /* numbers in one cell of a tensor, else 1 */
    /* by enum schema_storage: */
    const double *numbers; /* NaN is missing */
    const uint32_t *codes; /* 0 is missing */
    const float *tensors;
    const uint8_t *absent; /* of tensors: 1 is missing */
    const uint64_t *texts; /* bytes: what column_file_text gave, 0 when missing */
};

struct column_file;

/* Rows per group so that a group of these columns stays within GROUP_BYTES_MAX whatever the values; at least 1. */
int64_t column_file_rows_per_group(const struct column_values *columns, int32_t count);
/* Writes to fd from `end` on: 0 for a new file, otherwise after its content. */
int column_file_create(int fd, uint64_t end, struct column_file **file, struct bp_error *error);
/* Begins the next columns of the file. Its first groups, all full, may already be in the file. rows_per_group as computed above. */
int column_file_set(struct column_file *file, int32_t columns_count, int64_t rows_per_group, const struct column_file_group *groups,
                    int64_t groups_count, struct bp_error *error);
/* Puts a text of a row of the next group into the file. */
int column_file_text(struct column_file *file, const char *text, size_t size, uint64_t *reference, struct bp_error *error);
int column_file_group(struct column_file *file, const struct column_values *columns, int64_t rows, struct bp_error *error);
/* Fields of a column in the footer beside those of the reader. */
struct column_traces {
    int64_t count;
    double m2, offset, last, sums[4];
    uint64_t codes;
    bool begun, uneven, clock, floats; /* floats: a tensor that needed f32 in a reused group */
};
/* Writes the footer from columns (as the reader will return them; `bytes` is found out here) and makes everything durable. traces: NULL, or one for
 * each column. *size is where the file ends now. */
int column_file_finish(struct column_file *file, const struct schema_column *columns, const struct column_traces *traces, int64_t rows,
                       uint64_t *size, struct bp_error *error);
void column_file_free(struct column_file *file);

#endif
