/* dataset.c - opens column files and reads their cells. The file may be damaged or hostile: everything is checked once, at opening, and offsets
 * are not believed but computed again from the kinds of the blocks; a cell is then one division, one look into the group's directory, one read.
 * In this order: opening, cells, freeing. JSON is in dataset_json.c. */
#include "cell.h"
#include "cell_dictionary.h"
#include "column_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

enum { DIRECTORIES_MAPPED = 64 };

struct schema_dataset_map {
    const unsigned char *start;
    size_t size;
    int64_t rows_per_group, groups_count;
    const unsigned char *groups; /* struct column_file_group each, unaligned */
    int64_t *per_cell;           /* numbers in one cell, per column */
    bool texts;                  /* some column is TEXT: its bytes lie before the groups */
    struct schema_dictionary names;
};

static const char *const type_names[] = {"numeric", "categorical", "boolean", "tensor", "datetime", "text"};

const char *schema_type_name(enum schema_type type) {
    return type_names[type];
}

bool schema_type_parse(const char *name, enum schema_type *type) {
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (strcmp(name, type_names[i]) == 0) {
            *type = (enum schema_type)i;
            return true;
        }
    return false;
}

bool schema_type_is_number(enum schema_type type) {
    return type == SCHEMA_NUMERIC || type == SCHEMA_DATETIME;
}

/* ---- opening ---- */

/* A cursor over the footer that never leaves it. */
struct footer {
    const unsigned char *p, *end;
};

static const unsigned char *take(struct footer *f, uint64_t size) {
    if ((uint64_t)(f->end - f->p) < size) return NULL;
    const unsigned char *at = f->p;
    f->p += size;
    return at;
}

static bool take_copy(struct footer *f, void *out, size_t size) {
    const unsigned char *at = take(f, size);
    if (at) memcpy(out, at, size);
    return at != NULL;
}

/* A text of that size with its NUL, valid UTF-8; borrowed from the mapping. */
static char *take_text(struct footer *f, uint32_t size) {
    const char *text = (const char *)take(f, (uint64_t)size + 1);
    if (!text || text[size] != '\0' || schema_cell_utf8(text, size) != size) return NULL;
    return (char *)(uintptr_t)text; /* struct schema_column holds char *, constant once opened */
}

static uint32_t checksum(const void *bytes, size_t size) {
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, size);
}
static int damaged(struct bp_error *error, const char *what) {
    return bp_error_set(error, "", "the dataset file is damaged (%s)", what);
}

static bool shape_fits(struct schema_column *c, int64_t *per_cell) {
    *per_cell = 1;
    if (c->type != SCHEMA_TENSOR) return c->shape.rank == 0;
    if (c->shape.rank < 1 || c->shape.rank > BP_RANK_MAX) return false;
    for (int32_t d = 0; d < c->shape.rank; d++) {
        if (c->shape.dims[d] < 1 || *per_cell > INT32_MAX / c->shape.dims[d]) return false;
        *per_cell *= c->shape.dims[d];
    }
    return true;
}

static bool take_categories(struct footer *f, struct schema_column *c, int64_t rows) {
    int32_t n = c->categories_count;
    if (n < 0 || (n > 0 && c->type != SCHEMA_CATEGORICAL && c->type != SCHEMA_BOOLEAN && c->type != SCHEMA_DATETIME) ||
        (c->type == SCHEMA_BOOLEAN && n != 2) || (c->type == SCHEMA_DATETIME && n > 1))
        return false;
    if ((int64_t)n > (f->end - f->p) / 13) return false; /* 13: the smallest category */
    if (n == 0) return true;
    c->categories = calloc((size_t)n, sizeof *c->categories);
    if (!c->categories) return false;
    for (int32_t i = 0; i < n; i++) {
        uint32_t size;
        if (!take_copy(f, &c->categories[i].count, 8) || !take_copy(f, &size, 4)) return false;
        c->categories[i].value = take_text(f, size);
        if (!c->categories[i].value || c->categories[i].count < 0 || c->categories[i].count > rows) return false;
    }
    if (c->type != SCHEMA_DATETIME) return true;
    c->format = c->categories[0].value;
    c->categories_count = 0;
    return true;
}

static bool take_column(struct footer *f, struct schema_column *c, int64_t rows, int64_t *per_cell) {
    struct column_file_column fixed;
    if (!take_copy(f, &fixed, sizeof fixed)) return false;
    c->name = take_text(f, fixed.name_size);
    if (!c->name || fixed.type > SCHEMA_TEXT || fixed.rank > BP_RANK_MAX || fixed.bytes > 1 || fixed.integral > 1) return false;
    c->type = (enum schema_type)fixed.type;
    c->shape.rank = fixed.rank;
    memcpy(c->shape.dims, fixed.dims, sizeof fixed.dims);
    c->bytes = fixed.bytes && c->type == SCHEMA_TENSOR, c->days = fixed.bytes && c->type == SCHEMA_DATETIME, c->integral = fixed.integral,
    c->missing = fixed.missing;
    c->min = fixed.min, c->max = fixed.max, c->mean = fixed.mean, c->std = fixed.std;
    c->distinct_count = fixed.distinct_count, c->categories_count = fixed.categories_count;
    if (!shape_fits(c, per_cell) || c->missing < 0 || c->missing > rows || c->distinct_count < 0 || c->distinct_count > SCHEMA_DISTINCT_MAX + 1)
        return false;
    size_t distinct = c->distinct_count <= SCHEMA_DISTINCT_MAX ? (size_t)c->distinct_count : 0;
    return take_copy(f, c->distinct, distinct * sizeof *c->distinct) && take_categories(f, c, rows);
}

static int64_t rows_of_group(const struct schema_dataset *d, int64_t g) {
    int64_t left = d->rows - g * d->map->rows_per_group;
    return left < d->map->rows_per_group ? left : d->map->rows_per_group;
}

static struct column_file_group group_at(const struct schema_dataset *d, int64_t g) {
    struct column_file_group group;
    memcpy(&group, d->map->groups + (size_t)g * sizeof group, sizeof group);
    return group;
}

/* Computes the layout of a group from its kinds and compares. The group lies within the file. */
static bool directory_fits(const struct schema_dataset *d, const unsigned char *start, uint64_t group_size, int64_t rows) {
    uint64_t end = (uint64_t)d->columns_count * sizeof(struct column_block);
    for (int32_t c = 0; c < d->columns_count; c++) {
        struct column_block block;
        memcpy(&block, start + (size_t)c * sizeof block, sizeof block);
        if (block.kind >= BLOCK_KINDS || block.bitmap > 1 || !column_kind_fits(d->columns[c].type, (enum block_kind)block.kind)) return false;
        if (block.kind != BLOCK_NONE && (uint64_t)rows > group_size / (uint64_t)d->map->per_cell[c]) return false; /* no overflow below */
        size_t size = column_block_size((enum block_kind)block.kind, block.bitmap, rows, d->map->per_cell[c]);
        size_t at = column_block_start(end, size);
        if (block.offset != at / 8 || size > group_size || at > group_size - size) return false;
        end = at + size;
    }
    return end == group_size;
}

static int check_groups(const struct schema_dataset *d, uint64_t footer_offset, struct bp_error *error) {
    uint64_t at = sizeof(struct column_file_header), directory = (uint64_t)d->columns_count * sizeof(struct column_block);
    for (int64_t g = 0; g < d->map->groups_count; g++) {
        struct column_file_group group = group_at(d, g);
        if (d->map->texts && group.offset > at && group.offset <= footer_offset && group.offset % 64 == 0) at = group.offset;
        if (group.offset != at || group.size < directory || group.size > footer_offset - at) return damaged(error, "a row group is out of place");
        if (checksum(d->map->start + at, (size_t)directory) != group.directory_crc) return damaged(error, "checksum of a row group's directory");
        if (!directory_fits(d, d->map->start + at, group.size, rows_of_group(d, g))) return damaged(error, "layout of a row group");
        at += (group.size + 63) / 64 * 64;
        if (at > footer_offset) return damaged(error, "a row group is out of place");
        /* The system maps some pages around each directory: of a large file they would be tens of megabytes. */
        if (g % DIRECTORIES_MAPPED == DIRECTORIES_MAPPED - 1) madvise((void *)(uintptr_t)d->map->start, d->map->size, MADV_DONTNEED);
    }
    return at == footer_offset ? 0 : damaged(error, "the footer is out of place");
}

static int read_footer(struct schema_dataset *d, struct footer f, struct bp_error *error) {
    struct schema_dataset_map *map = d->map;
    struct column_file_counts counts;
    if (!take_copy(&f, &counts, sizeof counts)) return damaged(error, "footer");
    if (counts.rows < 0 || counts.rows > INT64_MAX / 64 || counts.rows_per_group < 1 || counts.rows_per_group > INT32_MAX || counts.groups < 0 ||
        counts.columns < 0 || counts.groups != counts.rows / counts.rows_per_group + (counts.rows % counts.rows_per_group > 0) ||
        counts.columns > (f.end - f.p) / (int64_t)sizeof(struct column_file_column))
        return damaged(error, "footer");
    d->rows = counts.rows;
    map->rows_per_group = counts.rows_per_group, map->groups_count = counts.groups;
    d->columns = calloc((size_t)counts.columns + 1, sizeof *d->columns);
    map->per_cell = calloc((size_t)counts.columns + 1, sizeof *map->per_cell);
    if (!d->columns || !map->per_cell) return bp_error_set(error, "", "out of memory while opening the dataset");
    d->columns_count = counts.columns;
    for (int32_t c = 0; c < d->columns_count; c++) {
        if (!take_column(&f, &d->columns[c], d->rows, &map->per_cell[c])) return damaged(error, "description of a column");
        const char *name = d->columns[c].name;
        size_t size = strlen(name);
        map->texts = map->texts || d->columns[c].type == SCHEMA_TEXT;
        if (schema_dictionary_find(&map->names, name, size) >= 0) return damaged(error, "two columns of one name");
        if (schema_dictionary_add(&map->names, name, size, name, size) < 0) return bp_error_set(error, "", "out of memory while opening the dataset");
    }
    if ((uint64_t)(f.end - f.p) % sizeof(struct column_file_group) || (f.end - f.p) / (int64_t)sizeof(struct column_file_group) != map->groups_count)
        return damaged(error, "list of row groups");
    map->groups = f.p;
    return 0;
}

static int check_file(struct schema_dataset *d, struct bp_error *error) {
    const struct schema_dataset_map *map = d->map;
    struct column_file_header header;
    struct column_file_trailer trailer;
    memcpy(&header, map->start, sizeof header);
    memcpy(&trailer, map->start + map->size - sizeof trailer, sizeof trailer);
    if (memcmp(header.magic, COLUMN_FILE_MAGIC, sizeof header.magic) != 0) return bp_error_set(error, "", "this is not a dataset file of backpropd");
    if (header.version > COLUMN_FILE_VERSION && header.version < 1000)
        return bp_error_set(error, "", "the dataset file has format %u, this program reads up to %d: use a newer backpropd", header.version,
                            COLUMN_FILE_VERSION);
    if (header.version != COLUMN_FILE_VERSION) return damaged(error, "version");
    if (memcmp(trailer.magic, COLUMN_FILE_MAGIC, sizeof trailer.magic) != 0)
        return bp_error_set(error, "", "the dataset file is cut short: its end is missing");
    if (trailer.crc != checksum(&trailer, offsetof(struct column_file_trailer, crc)) || trailer.version != COLUMN_FILE_VERSION)
        return damaged(error, "trailer");
    uint64_t before = map->size - sizeof trailer;
    if (trailer.file_size != map->size || trailer.footer_offset < sizeof header || trailer.footer_offset > before ||
        trailer.footer_size != before - trailer.footer_offset)
        return damaged(error, "sizes");
    const unsigned char *footer = map->start + trailer.footer_offset;
    if (checksum(footer, (size_t)trailer.footer_size) != trailer.footer_crc) return damaged(error, "checksum of the footer");
    if (read_footer(d, (struct footer){footer, footer + trailer.footer_size}, error)) return -1;
    return check_groups(d, trailer.footer_offset, error);
}

int schema_dataset_open(int fd, struct schema_dataset **dataset, struct bp_error *error) {
    struct stat st;
    if (fstat(fd, &st)) return bp_error_set(error, "", "cannot read the dataset file: %s", strerror(errno));
    if (st.st_size < (off_t)(sizeof(struct column_file_header) + sizeof(struct column_file_trailer)))
        return bp_error_set(error, "", "this is not a dataset file of backpropd, or it is cut short: %lld bytes", (long long)st.st_size);
    struct schema_dataset *d = calloc(1, sizeof *d);
    struct schema_dataset_map *map = calloc(1, sizeof *map);
    if (!d || !map) {
        free(d), free(map);
        return bp_error_set(error, "", "out of memory while opening the dataset");
    }
    d->map = map;
    d->bytes = st.st_size;
    map->size = (size_t)st.st_size;
    void *start = mmap(NULL, map->size, PROT_READ, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED) {
        map->size = 0;
        bp_error_set(error, "", "cannot map the dataset file: %s", strerror(errno));
    } else {
        map->start = start;
        if (check_file(d, error) == 0) {
            *dataset = d;
            return 0;
        }
    }
    schema_dataset_free(d);
    return -1;
}

void schema_dataset_free(struct schema_dataset *d) {
    if (!d) return;
    for (int32_t c = 0; c < d->columns_count; c++) free(d->columns[c].categories);
    free(d->columns);
    free(d->map->per_cell);
    schema_dictionary_clear(&d->map->names);
    if (d->map->size) munmap((void *)(uintptr_t)d->map->start, d->map->size);
    free(d->map);
    free(d);
}

int schema_dataset_verify(const struct schema_dataset *d, struct bp_error *error) {
    uint64_t end = sizeof(struct column_file_header); /* of what was checked */
    for (int64_t g = 0; g < d->map->groups_count; g++) {
        struct column_file_group group = group_at(d, g);
        const uint64_t from = d->map->texts ? end : group.offset;
        end = group.offset + group.size;
        if (checksum(d->map->start + from, (size_t)(end - from)) != group.crc)
            return bp_error_set(error, "", "the dataset file is damaged: the checksum of rows %lld to %lld does not match",
                                (long long)(g * d->map->rows_per_group + 1), (long long)(g * d->map->rows_per_group + rows_of_group(d, g)));
    }
    return 0;
}

/* ---- cells ---- */

/* One column within one group. */
struct block {
    enum block_kind kind;
    const unsigned char *values, *bits; /* bits: NULL without a bitmap */
    int64_t rows;
};

static struct block block_at(const struct schema_dataset *d, int32_t column, int64_t g) {
    const unsigned char *start = d->map->start + group_at(d, g).offset;
    struct column_block entry;
    memcpy(&entry, start + (size_t)column * sizeof entry, sizeof entry);
    struct block b = {.kind = (enum block_kind)entry.kind, .values = start + (size_t)entry.offset * 8, .rows = rows_of_group(d, g)};
    if (entry.bitmap) b.bits = b.values + column_block_size(b.kind, true, b.rows, d->map->per_cell[column]) - (size_t)(b.rows + 7) / 8;
    return b;
}

static bool absent(const struct block *b, int64_t i) {
    return b->kind == BLOCK_NONE || (b->bits && (b->bits[i / 8] >> (i % 8) & 1));
}

#define WIDEN(T)                                                                                                                                     \
    for (int64_t i = 0; i < n; i++) out[i] = (double)((const T *)(const void *)b->values)[first + i];                                                \
    break;

/* Rows first..first+n of a block, which holds them. */
static void read_numbers(const struct block *b, int64_t first, int64_t n, double *out) {
    switch (b->kind) {
    case BLOCK_U8: WIDEN(uint8_t)
    case BLOCK_I8: WIDEN(int8_t)
    case BLOCK_U16: WIDEN(uint16_t)
    case BLOCK_I16: WIDEN(int16_t)
    case BLOCK_I32: WIDEN(int32_t)
    case BLOCK_F32: WIDEN(float)
    case BLOCK_F64: memcpy(out, b->values + (size_t)first * 8, (size_t)n * 8); break;
    default:
        for (int64_t i = 0; i < n; i++) out[i] = NAN;
    }
    if (!b->bits) return;
    for (int64_t i = 0; i < n; i++)
        if (absent(b, first + i)) out[i] = NAN;
}

/* 0 when missing, else the code counted from 1. */
static uint32_t raw_code(const struct block *b, int64_t i) {
    switch (b->kind) {
    case BLOCK_U8: return b->values[i];
    case BLOCK_U16: return ((const uint16_t *)(const void *)b->values)[i];
    case BLOCK_U32: return ((const uint32_t *)(const void *)b->values)[i];
    default: return 0;
    }
}

static bool holds(const struct schema_dataset *d, int32_t column, int64_t row) {
    return column >= 0 && column < d->columns_count && row >= 0 && row < d->rows;
}

int32_t schema_dataset_find(const struct schema_dataset *d, const char *name) {
    return schema_dictionary_find(&d->map->names, name, strlen(name));
}

/* The block that holds rows[0], the number of the block's first row, and how many of the rows[0..n) lie in it before one does not; 0: rows[0] does
 * not exist. */
static int64_t block_of(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n, struct block *b, int64_t *first) {
    int64_t m = 1;
    if (!holds(d, column, rows[0])) return 0;
    const int64_t g = rows[0] / d->map->rows_per_group;
    *first = g * d->map->rows_per_group;
    *b = block_at(d, column, g);
    while (m < n && rows[m] >= *first && rows[m] - *first < b->rows) m++;
    return m;
}

void schema_dataset_gather_codes(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n, int32_t *out) {
    const struct schema_column *c = column >= 0 && column < d->columns_count ? &d->columns[column] : NULL;
    const bool coded = c && (c->type == SCHEMA_CATEGORICAL || c->type == SCHEMA_BOOLEAN);
    while (n > 0) {
        struct block b;
        int64_t first = 0, m = coded ? block_of(d, column, rows, n, &b, &first) : 0;
        for (int64_t i = 0; i < m; i++) {
            const uint32_t code = raw_code(&b, rows[i] - first);
            out[i] = code <= (uint32_t)c->categories_count ? (int32_t)code - 1 : -1;
        }
        if (m == 0) out[m++] = -1;
        rows += m, n -= m, out += m;
    }
}

int32_t schema_dataset_code(const struct schema_dataset *d, int32_t column, int64_t row) {
    int32_t code;
    schema_dataset_gather_codes(d, column, &row, 1, &code);
    return code;
}

double schema_dataset_number(const struct schema_dataset *d, int32_t column, int64_t row) {
    double number = NAN;
    if (holds(d, column, row)) schema_dataset_numbers(d, column, row, 1, &number);
    return number;
}

void schema_dataset_numbers(const struct schema_dataset *d, int32_t column, int64_t first, int64_t n, double *out) {
    bool numeric = column >= 0 && column < d->columns_count && schema_type_is_number(d->columns[column].type);
    bool boolean = column >= 0 && column < d->columns_count && d->columns[column].type == SCHEMA_BOOLEAN;
    while (n > 0) {
        int64_t m = n, at = 0;
        if (first < 0 || first >= d->rows || !(numeric || boolean)) {
            for (int64_t i = 0; i < n; i++) out[i] = NAN;
            return;
        }
        struct block b = block_at(d, column, first / d->map->rows_per_group);
        at = first % d->map->rows_per_group;
        if (m > b.rows - at) m = b.rows - at;
        if (numeric) read_numbers(&b, at, m, out);
        else
            for (int64_t i = 0; i < m; i++) {
                uint32_t code = raw_code(&b, at + i);
                out[i] = code == 1 || code == 2 ? (double)(code - 1) : NAN;
            }
        first += m, n -= m, out += m;
    }
}

#define PICK(T)                                                                                                                                      \
    for (int64_t i = 0; i < n; i++) out[i] = (double)((const T *)(const void *)b->values)[rows[i] - first];                                          \
    break;

/* rows[0..n) of a block of numbers that starts with row `first`. */
static void pick_numbers(const struct block *b, const int64_t *rows, int64_t first, int64_t n, double *out) {
    switch (b->kind) {
    case BLOCK_U8: PICK(uint8_t)
    case BLOCK_I8: PICK(int8_t)
    case BLOCK_U16: PICK(uint16_t)
    case BLOCK_I16: PICK(int16_t)
    case BLOCK_I32: PICK(int32_t)
    case BLOCK_F32: PICK(float)
    case BLOCK_F64: PICK(double)
    default:
        for (int64_t i = 0; i < n; i++) out[i] = NAN;
    }
    for (int64_t i = 0; b->bits && i < n; i++)
        if (absent(b, rows[i] - first)) out[i] = NAN;
}

/* Rows far apart each wait for memory: the waits overlap when all are asked for first. */
static void ask_for(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        struct block b;
        int64_t first;
        if (block_of(d, column, rows + i, 1, &b, &first) > 0) __builtin_prefetch(b.values + (size_t)(rows[i] - first) * column_kind_bytes(b.kind));
    }
}

void schema_dataset_gather(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n, double *out) {
    const bool numeric = column >= 0 && column < d->columns_count && schema_type_is_number(d->columns[column].type);
    if (!numeric) { /* a boolean is one of two codes; what is neither has no number */
        int32_t code;
        const bool boolean = column >= 0 && column < d->columns_count && d->columns[column].type == SCHEMA_BOOLEAN;
        for (int64_t i = 0; i < n; i++) {
            if (boolean) schema_dataset_gather_codes(d, column, rows + i, 1, &code);
            out[i] = boolean && code >= 0 ? code : (double)NAN;
        }
        return;
    }
    const bool scattered = n > 1 && n <= 256 && (rows[n - 1] < rows[0] || rows[n - 1] - rows[0] > 64 * n);
    if (scattered) ask_for(d, column, rows, n);
    while (n > 0) {
        struct block b;
        int64_t first = 0, m = block_of(d, column, rows, n, &b, &first);
        if (m > 0) pick_numbers(&b, rows, first, m, out);
        else out[m++] = NAN;
        rows += m, n -= m, out += m;
    }
}

/* Where a text of a block lies in the file; false: it is missing. */
static bool text_place(const struct schema_dataset *d, const struct block *b, int64_t i, struct column_text *place) {
    uint64_t reference = 0;
    if (b->kind == BLOCK_TEXT) memcpy(&reference, b->values + (size_t)i * sizeof reference, sizeof reference);
    *place = column_text_place(reference);
    return place->size > 0 && place->size <= d->map->size && place->offset <= d->map->size - place->size;
}

const char *schema_dataset_text(const struct schema_dataset *d, int32_t column, int64_t row, size_t *size) {
    struct column_text place;
    *size = 0;
    if (!holds(d, column, row) || d->columns[column].type != SCHEMA_TEXT) return NULL;
    const struct block b = block_at(d, column, row / d->map->rows_per_group);
    if (!text_place(d, &b, row % d->map->rows_per_group, &place)) return NULL;
    *size = place.size;
    return (const char *)d->map->start + place.offset;
}

void schema_dataset_tensor(const struct schema_dataset *d, int32_t column, int64_t row, float *out) {
    if (column < 0 || column >= d->columns_count || d->columns[column].type != SCHEMA_TENSOR) return;
    int64_t size = d->map->per_cell[column];
    if (holds(d, column, row)) {
        struct block b = block_at(d, column, row / d->map->rows_per_group);
        int64_t i = row % d->map->rows_per_group;
        if (!absent(&b, i)) {
            const unsigned char *values = b.values + (size_t)(i * size) * column_kind_bytes(b.kind);
            if (b.kind == BLOCK_F32) memcpy(out, values, (size_t)size * sizeof *out);
            else
                for (int64_t k = 0; k < size; k++) out[k] = (float)values[k];
            return;
        }
    }
    for (int64_t k = 0; k < size; k++) out[k] = NAN;
}

/* ---- what is resident ---- */

enum { AROUND = 64 << 10 }; /* the kernel maps pages in such pieces around a fault */

static void advise(const struct schema_dataset *d, const unsigned char *from, const unsigned char *to, bool needed) {
    size_t first = (size_t)(from - d->map->start) / AROUND * AROUND, last = ((size_t)(to - d->map->start) + AROUND - 1) / AROUND * AROUND;
    if (last > d->map->size) last = d->map->size;
    madvise((void *)(uintptr_t)(d->map->start + first), last - first, needed ? MADV_WILLNEED : MADV_DONTNEED);
}

/* The bytes of texts lie in the order of rows, with those of other columns between them. */
static void advise_texts(const struct schema_dataset *d, const struct block *b, int64_t first, int64_t n, bool needed) {
    struct column_text start = {0, 0}, last = {0, 0};
    int64_t end = first + n;
    while (first < end && !text_place(d, b, first, &start)) first++;
    while (end > first && !text_place(d, b, end - 1, &last)) end--;
    if (first < end && start.offset <= last.offset) advise(d, d->map->start + start.offset, d->map->start + last.offset + last.size, needed);
}

void schema_dataset_advise(const struct schema_dataset *d, int32_t column, int64_t first, int64_t n, bool needed) {
    while (n > 0 && holds(d, column, first)) {
        const struct block b = block_at(d, column, first / d->map->rows_per_group);
        const int64_t at = first % d->map->rows_per_group, m = n < b.rows - at ? n : b.rows - at;
        const size_t bytes = column_kind_bytes(b.kind) * (size_t)d->map->per_cell[column];
        if (b.kind == BLOCK_TEXT) advise_texts(d, &b, at, m, needed);
        if (b.kind != BLOCK_NONE) advise(d, b.values + (size_t)at * bytes, b.values + (size_t)(at + m) * bytes, needed);
        if (b.bits) advise(d, b.bits + at / 8, b.bits + (at + m + 7) / 8, needed);
        first += m, n -= m;
    }
}

void schema_dataset_release(const struct schema_dataset *d) {
    madvise((void *)(uintptr_t)d->map->start, d->map->size, MADV_DONTNEED);
}

int32_t schema_dataset_category(const struct schema_column *column, const char *text, size_t size) {
    if (column->type == SCHEMA_BOOLEAN) return schema_cell_boolean(text, size);
    char key[32], other[32];
    const char *wanted = schema_category_key(text, &size, key);
    for (int32_t i = 0; i < column->categories_count; i++) {
        size_t n = strlen(column->categories[i].value);
        const char *have = schema_category_key(column->categories[i].value, &n, other);
        if (n == size && memcmp(have, wanted, n) == 0) return i;
    }
    return -1;
}
