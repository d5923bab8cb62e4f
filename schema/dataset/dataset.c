/* dataset.c - reads the cells of an open column file: a cell is one division, one look into the group's directory, one read. JSON is in
 * json.c. */
#include "schema/dataset/cell.h"
#include "schema/dataset/map.h"
#include "schema/text/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool schema_type_is_number(enum schema_type type) {
    return schema_type_of(type)->storage == SCHEMA_HELD_AS_NUMBER;
}

bool schema_type_serves(enum schema_type stored, enum schema_type requested) {
    return stored == requested || (schema_type_of(stored)->serves >> requested & 1);
}

bool schema_column_serves(const struct schema_column *c, int64_t rows, enum schema_type requested) {
    return schema_type_serves(c->type, requested) || (schema_type_of(c->type)->is_of_empty && c->missing == rows);
}

/* ---- cells ---- */

/* One column within one group. */
struct block {
    enum block_kind kind;
    const unsigned char *values, *bits; /* bits: NULL without a bitmap */
    int64_t rows;
};

static struct block place_of(const struct schema_dataset *d, int32_t column, int64_t g) {
    const struct dataset_set *set = dataset_set(d, column);
    const unsigned char *start = d->map->start + dataset_group(set, g).offset;
    struct column_block entry;
    memcpy(&entry, start + (size_t)(column - set->first) * sizeof entry, sizeof entry);
    struct block b = {.kind = (enum block_kind)entry.kind, .values = start + (size_t)entry.offset * 8, .rows = dataset_group_rows(d, set, g)};
    if (entry.bitmap) b.bits = b.values + column_block_size(b.kind, true, b.rows, d->map->per_cell[column]) - (size_t)(b.rows + 7) / 8;
    return b;
}

/* The same for reading: what is damaged has no values. */
static struct block block_at(const struct schema_dataset *d, int32_t column, int64_t g) {
    if (dataset_group_intact(d, dataset_set(d, column), g)) return place_of(d, column, g);
    return (struct block){.kind = BLOCK_NONE, .rows = dataset_group_rows(d, dataset_set(d, column), g)};
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
    for (int64_t i = 0; b->bits && i < n; i++) {
        if ((first + i) % 8 == 0 && i + 8 <= n && b->bits[(first + i) / 8] == 0) i += 7; /* eight at once, none of them missing */
        else if (absent(b, first + i)) out[i] = NAN;
    }
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

/* The entry of a column's type, NULL: there is no such column. */
static const struct schema_type_ops *type_of(const struct schema_dataset *d, int32_t column) {
    return column >= 0 && column < d->columns_count ? schema_type_of(d->columns[column].type) : NULL;
}

/* Whether cells of the column are held so. */
static bool held_as(const struct schema_dataset *d, int32_t column, enum schema_storage storage) {
    const struct schema_type_ops *type = type_of(d, column);
    return type && type->storage == storage;
}

/* Whether they are codes that are numbers as well. */
static bool has_numbers_for_codes(const struct schema_dataset *d, int32_t column) {
    const struct schema_type_ops *type = type_of(d, column);
    return type && type->codes_are_numbers;
}

int32_t schema_dataset_find(const struct schema_dataset *d, const char *name) {
    return schema_dictionary_find(&d->map->names, name, strlen(name));
}

/* The block that holds rows[0], the number of the block's first row, and how many of the rows[0..n) lie in it before one does not; 0: rows[0] does
 * not exist. */
static int64_t block_of(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n, struct block *b, int64_t *first) {
    int64_t m = 1;
    if (!holds(d, column, rows[0])) return 0;
    const int64_t rows_per_group = dataset_set(d, column)->rows_per_group, g = rows[0] / rows_per_group;
    *first = g * rows_per_group;
    *b = block_at(d, column, g);
    while (m < n && rows[m] >= *first && rows[m] - *first < b->rows) m++;
    return m;
}

void schema_dataset_gather_codes(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n, int32_t *out) {
    const bool coded = held_as(d, column, SCHEMA_HELD_AS_CODE);
    const uint32_t count = coded ? (uint32_t)d->columns[column].categories_count : 0;
    while (n > 0) {
        struct block b;
        int64_t first = 0, m = coded ? block_of(d, column, rows, n, &b, &first) : 0;
        for (int64_t i = 0; i < m; i++) {
            const uint32_t code = raw_code(&b, rows[i] - first);
            out[i] = code <= count ? (int32_t)code - 1 : -1;
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
    const bool numeric = held_as(d, column, SCHEMA_HELD_AS_NUMBER), coded = has_numbers_for_codes(d, column);
    while (n > 0) {
        int64_t m = n, at = 0;
        if (first < 0 || first >= d->rows || !(numeric || coded)) {
            for (int64_t i = 0; i < n; i++) out[i] = NAN;
            return;
        }
        const int64_t rows_per_group = dataset_set(d, column)->rows_per_group;
        struct block b = block_at(d, column, first / rows_per_group);
        at = first % rows_per_group;
        if (m > b.rows - at) m = b.rows - at;
        if (numeric) read_numbers(&b, at, m, out);
        else
            for (int64_t i = 0; i < m; i++) {
                uint32_t code = raw_code(&b, at + i);
                out[i] = code > 0 && code <= (uint32_t)d->columns[column].categories_count ? (double)(code - 1) : NAN;
            }
        first += m, n -= m, out += m;
    }
}

const double *schema_dataset_numbers_at(const struct schema_dataset *d, int32_t column, int64_t first, int64_t n, double *out) {
    if (n > 0 && held_as(d, column, SCHEMA_HELD_AS_NUMBER) && holds(d, column, first)) {
        const int64_t rows_per_group = dataset_set(d, column)->rows_per_group, at = first % rows_per_group;
        const struct block b = block_at(d, column, first / rows_per_group);
        if (b.kind == BLOCK_F64 && !b.bits && n <= b.rows - at) return (const double *)(const void *)b.values + at;
    }
    schema_dataset_numbers(d, column, first, n, out);
    return out;
}

void schema_dataset_prefetch(const struct schema_dataset *d, int32_t column, int64_t first, int64_t n) {
    enum { LINE = 64 };
    if (!held_as(d, column, SCHEMA_HELD_AS_NUMBER) || !holds(d, column, first)) return;
    const int64_t rows_per_group = dataset_set(d, column)->rows_per_group, at = first % rows_per_group;
    const struct block b = place_of(d, column, first / rows_per_group);
    const size_t each = column_kind_bytes(b.kind), bytes = each * (size_t)(n < b.rows - at ? n : b.rows - at);
    for (size_t i = 0; i < bytes; i += LINE) __builtin_prefetch(b.values + (size_t)at * each + i, 0, 2 /* into the second cache */);
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

/* Rows far apart each wait for memory: the waits overlap when all are prefetched first. */
static void prefetch_rows(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n) {
    struct block b = {.rows = 0};
    int64_t first = 0;
    size_t bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] < first || rows[i] - first >= b.rows) {
            if (block_of(d, column, rows + i, 1, &b, &first) == 0) {
                b.rows = 0;
                continue;
            }
            bytes = column_kind_bytes(b.kind);
        }
        __builtin_prefetch(b.values + (size_t)(rows[i] - first) * bytes);
    }
}

void schema_dataset_gather(const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n, double *out) {
    if (!held_as(d, column, SCHEMA_HELD_AS_NUMBER)) { /* a code may be a number; what is neither has none */
        int32_t code;
        const bool coded = has_numbers_for_codes(d, column);
        for (int64_t i = 0; i < n; i++) {
            if (coded) schema_dataset_gather_codes(d, column, rows + i, 1, &code);
            out[i] = coded && code >= 0 ? code : (double)NAN;
        }
        return;
    }
    const bool scattered = n > 1 && n <= 256 && (rows[n - 1] < rows[0] || rows[n - 1] - rows[0] > 64 * n);
    if (scattered) prefetch_rows(d, column, rows, n);
    while (n > 0) {
        struct block b;
        int64_t first = 0, m = block_of(d, column, rows, n, &b, &first);
        if (m > 0) pick_numbers(&b, rows, first, m, out);
        else out[m++] = NAN;
        rows += m, n -= m, out += m;
    }
}

/* Whether a cell is bytes: a text, or the codes of its labels. */
static bool is_bytes(const struct schema_dataset *d, int32_t column, int64_t row, bool labels) {
    return holds(d, column, row) && held_as(d, column, SCHEMA_HELD_AS_BYTES) && (type_of(d, column)->categories_max > 0) == labels;
}

/* The position of a text of a block in the file; false: it is missing. */
static bool text_place(const struct schema_dataset *d, const struct block *b, int64_t i, struct column_text *place) {
    uint64_t reference = 0;
    if (b->kind == BLOCK_TEXT) memcpy(&reference, b->values + (size_t)i * sizeof reference, sizeof reference);
    *place = column_text_place(reference);
    return place->size > 0 && place->size <= d->map->size && place->offset <= d->map->size - place->size;
}

const char *schema_dataset_text(const struct schema_dataset *d, int32_t column, int64_t row, size_t *size) {
    struct column_text place;
    *size = 0;
    if (!is_bytes(d, column, row, false)) return NULL;
    const int64_t rows_per_group = dataset_set(d, column)->rows_per_group;
    const struct block b = block_at(d, column, row / rows_per_group);
    if (!text_place(d, &b, row % rows_per_group, &place)) return NULL;
    *size = place.size;
    return (const char *)d->map->start + place.offset;
}

bool schema_dataset_labels(const struct schema_dataset *d, int32_t column, int64_t row, struct schema_label_walk *walk) {
    struct column_text place;
    *walk = (struct schema_label_walk){0};
    if (!is_bytes(d, column, row, true)) return false;
    const int64_t rows_per_group = dataset_set(d, column)->rows_per_group;
    const struct block b = block_at(d, column, row / rows_per_group);
    if (!text_place(d, &b, row % rows_per_group, &place)) return false;
    walk->at = d->map->start + place.offset;
    walk->end = walk->at + place.size;
    walk->count = d->columns[column].categories_count;
    return true;
}

int32_t schema_label_next(struct schema_label_walk *walk) {
    uint32_t number = 0;
    for (int shift = 0; walk->at < walk->end; shift += 7) {
        const unsigned char byte = *walk->at++;
        if (shift > 28) break; /* a damaged file */
        number |= (uint32_t)(byte & 0x7F) << shift;
        if (byte & 0x80) continue;
        if (number == 0) return -1;
        return number <= (uint32_t)walk->count ? (int32_t)number - 1 : -1;
    }
    return -1;
}

void schema_dataset_tensor(const struct schema_dataset *d, int32_t column, int64_t row, float *out) {
    if (!held_as(d, column, SCHEMA_HELD_AS_TENSOR)) return;
    int64_t size = d->map->per_cell[column];
    if (holds(d, column, row)) {
        const int64_t rows_per_group = dataset_set(d, column)->rows_per_group, i = row % rows_per_group;
        struct block b = block_at(d, column, row / rows_per_group);
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

/* The bytes of texts are in the order of rows, with those of other columns between them. */
static void advise_texts(const struct schema_dataset *d, const struct block *b, int64_t first, int64_t n, bool needed) {
    struct column_text start = {0, 0}, last = {0, 0};
    int64_t end = first + n;
    while (first < end && !text_place(d, b, first, &start)) first++;
    while (end > first && !text_place(d, b, end - 1, &last)) end--;
    if (first < end && start.offset <= last.offset) advise(d, d->map->start + start.offset, d->map->start + last.offset + last.size, needed);
}

void schema_dataset_advise(const struct schema_dataset *d, int32_t column, int64_t first, int64_t n, bool needed) {
    while (n > 0 && holds(d, column, first)) {
        const int64_t rows_per_group = dataset_set(d, column)->rows_per_group, at = first % rows_per_group;
        const struct block b = place_of(d, column, first / rows_per_group);
        const int64_t m = n < b.rows - at ? n : b.rows - at;
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
    const struct schema_type_ops *type = schema_type_of(column->type);
    return type->category ? type->category(column, text, size) : -1;
}

int32_t schema_column_category(const struct schema_column *column, const char *text, size_t size) {
    char key[32], other[32];
    const char *requested = schema_category_key(text, &size, key);
    for (int32_t i = 0; i < column->categories_count; i++) {
        size_t n = strlen(column->categories[i].value);
        const char *have = schema_category_key(column->categories[i].value, &n, other);
        if (n == size && memcmp(have, requested, n) == 0) return i;
    }
    return -1;
}
