/* column_file.c - writes column files; the layout is described in column_file.h.
 * In this order: the arithmetic of the layout (shared with the reader), narrowing, groups, footer. */
#include "schema/dataset/column_file.h"

#include "schema/checksum.h"
#include "schema/dataset/pixel.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- layout ---- */

size_t column_kind_bytes(enum block_kind kind) {
    static const uint8_t bytes[BLOCK_KINDS] = {[BLOCK_U8] = 1,  [BLOCK_I8] = 1,  [BLOCK_U16] = 2, [BLOCK_I16] = 2, [BLOCK_U32] = 4,
                                               [BLOCK_I32] = 4, [BLOCK_F32] = 4, [BLOCK_F64] = 8, [BLOCK_TEXT] = 8};
    return bytes[kind];
}

static size_t align(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

size_t column_block_size(enum block_kind kind, bool bitmap, int64_t rows, int64_t per_cell) {
    size_t values = column_kind_bytes(kind) * (size_t)rows * (size_t)per_cell;
    return bitmap ? align(values, 8) + (size_t)(rows + 7) / 8 : values;
}

size_t column_block_start(size_t end, size_t size) {
    return align(end, size >= 64 ? 64 : 8);
}

bool column_kind_fits(enum schema_type type, enum block_kind kind) {
    return schema_type_of(type)->kinds >> kind & 1;
}

/* Whether a block of that kind can have a bitmap: where no value of it means missing. */
static bool may_have_bitmap(enum schema_storage storage, enum block_kind kind) {
    if (kind == BLOCK_NONE) return false;
    return storage == SCHEMA_HELD_AS_TENSOR || (storage == SCHEMA_HELD_AS_NUMBER && kind < BLOCK_F32);
}

/* The largest a group of that many rows can become. */
static size_t group_size_max(const struct column_values *columns, int32_t count, int64_t rows) {
    size_t end = (size_t)count * sizeof(struct column_block);
    for (int32_t c = 0; c < count; c++) {
        const struct schema_type_ops *type = schema_type_of(columns[c].type);
        size_t size = 0;
        for (unsigned kind = BLOCK_U8; kind < BLOCK_KINDS; kind++) {
            if (!(type->kinds >> kind & 1)) continue;
            const size_t of_kind = column_block_size(kind, may_have_bitmap(type->storage, kind), rows, columns[c].per_cell);
            if (of_kind > size) size = of_kind;
        }
        end = column_block_start(end, size) + size;
        if (end > (size_t)GROUP_BYTES_MAX * 2) break;
    }
    return end;
}

int64_t column_file_rows_per_group(const struct column_values *columns, int32_t count) {
    int64_t low = 1, high = GROUP_BYTES_MAX / 4;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (group_size_max(columns, count, middle) <= GROUP_BYTES_MAX) low = middle;
        else high = middle - 1;
    }
    return low >= 128 ? low / 64 * 64 : low;
}

/* ---- narrowing ---- */

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Compared by bits, so that -0 is not an integer and flush-to-zero changes nothing. */
static bool fits_integer(double v) {
    return v >= INT32_MIN && v <= INT32_MAX && bits_of((double)(int32_t)v) == bits_of(v);
}
/* 0, or a normal float32: an exponent within its range, and no bit beyond its 23 of fraction. */
static bool fits_float(double v) {
    const uint64_t bits = bits_of(v), magnitude = bits << 1 >> 1;
    return magnitude == 0 || ((bits & 0x1FFFFFFF) == 0 && magnitude - (UINT64_C(897) << 52) < UINT64_C(254) << 52);
}

static int64_t count_missing(const double *x, int64_t n) {
    int64_t absent = 0;
    for (int64_t i = 0; i < n; i++) absent += isnan(x[i]);
    return absent;
}

static enum block_kind narrowest(const double *x, int64_t n, bool *missing) {
    const int64_t absent = count_missing(x, n);
    int64_t i = 0;
    double min = INFINITY, max = -INFINITY;
    *missing = absent > 0;
    if (absent == n) return BLOCK_NONE;
    for (; i < n && (isnan(x[i]) || fits_integer(x[i])); i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    if (i == n) {
        if (min >= 0 && max <= UINT8_MAX) return BLOCK_U8;
        if (min >= INT8_MIN && max <= INT8_MAX) return BLOCK_I8;
        if (min >= 0 && max <= UINT16_MAX) return BLOCK_U16;
        if (min >= INT16_MIN && max <= INT16_MAX) return BLOCK_I16;
        return BLOCK_I32;
    }
    for (i = 0; i < n; i++)
        if (!fits_float(x[i]) && !isnan(x[i])) return BLOCK_F64;
    return BLOCK_F32;
}

static enum block_kind narrowest_codes(const uint32_t *codes, int64_t n) {
    uint32_t max = 0;
    for (int64_t i = 0; i < n; i++) max = codes[i] > max ? codes[i] : max;
    return max == 0 ? BLOCK_NONE : max <= UINT8_MAX ? BLOCK_U8 : max <= UINT16_MAX ? BLOCK_U16 : BLOCK_U32;
}

static bool all_bytes(const float *x, int64_t n) {
    uint32_t other = 0;
    for (int64_t k = 0; k < n; k++) schema_pixel(x[k], &other);
    return other == 0;
}

static enum block_kind narrowest_tensors(const struct column_values *v, int64_t rows, bool *missing) {
    int64_t absent = 0;
    for (int64_t i = 0; i < rows; i++) absent += v->absent[i];
    *missing = absent > 0;
    if (absent == rows) return BLOCK_NONE;
    for (int64_t i = 0; i < rows; i++) {
        if (v->absent[i]) continue;
        const float *x = v->tensors + i * v->per_cell;
        if (!all_bytes(x, v->per_cell)) return BLOCK_F32;
    }
    return BLOCK_U8;
}

#define NARROW(T)                                                                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                                                                \
        double v = x[i];                                                                                                                             \
        ((T *)out)[i] = isnan(v) ? 0 : (T)v;                                                                                                         \
    }

static void put_numbers(const double *x, int64_t n, enum block_kind kind, void *out) {
    switch (kind) {
    case BLOCK_U8: NARROW(uint8_t) break;
    case BLOCK_I8: NARROW(int8_t) break;
    case BLOCK_U16: NARROW(uint16_t) break;
    case BLOCK_I16: NARROW(int16_t) break;
    case BLOCK_I32: NARROW(int32_t) break;
    case BLOCK_F32:
        for (int64_t i = 0; i < n; i++) ((float *)out)[i] = (float)x[i];
        break;
    case BLOCK_F64: memcpy(out, x, (size_t)n * sizeof *x); break;
    default: break;
    }
}

static void put_codes(const uint32_t *codes, int64_t n, enum block_kind kind, void *out) {
    for (int64_t i = 0; i < n; i++) {
        if (kind == BLOCK_U8) ((uint8_t *)out)[i] = (uint8_t)codes[i];
        else if (kind == BLOCK_U16) ((uint16_t *)out)[i] = (uint16_t)codes[i];
        else if (kind == BLOCK_U32) ((uint32_t *)out)[i] = codes[i];
    }
}

static void put_tensors(const struct column_values *v, int64_t rows, enum block_kind kind, void *out) {
    for (int64_t i = 0; i < rows; i++) {
        if (v->absent[i]) continue; /* stays zero */
        const float *x = v->tensors + i * v->per_cell;
        if (kind == BLOCK_F32) memcpy((float *)out + i * v->per_cell, x, (size_t)v->per_cell * sizeof *x);
        else if (kind == BLOCK_U8)
            for (int64_t k = 0; k < v->per_cell; k++) ((uint8_t *)out)[i * v->per_cell + k] = (uint8_t)(int32_t)x[k];
    }
}

/* ---- writing ---- */

enum { TEXTS_HELD = 1 << 20 };

struct set {
    int32_t first, columns;
    int64_t rows_per_group;
    struct column_file_group *groups;
    int64_t groups_count, groups_room;
};

struct column_file {
    int fd;
    uint64_t end;     /* where the next byte goes */
    struct set *sets; /* the last one is being written */
    int32_t sets_count, columns_count;
    bool *floats;          /* per column: a tensor that needed f32 in some group */
    unsigned char *buffer; /* the group or footer being put together */
    size_t buffer_size, buffer_room;
    char *texts; /* [TEXTS_HELD] texts that are not in the file yet, and go to its end; NULL: there were none */
    size_t texts_size;
    uint64_t texts_written; /* bytes of texts and padding since the last group, and their checksum */
    uint32_t texts_crc;
};

static int no_memory(struct bp_error *error) {
    return bp_error_memory(error, "out of memory while writing the dataset");
}

static int write_all(struct column_file *file, const void *bytes, size_t size, struct bp_error *error) {
    const char *p = bytes;
    while (size > 0) {
        ssize_t n = pwrite(file->fd, p, size, (off_t)file->end);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return bp_error_io(error, "cannot write the dataset: %s; free space in the data folder and send it again",
                               strerror(n < 0 ? errno : ENOSPC));
        p += n, size -= (size_t)n, file->end += (uint64_t)n;
    }
    return 0;
}

/* Makes room for `size` more bytes in the buffer. */
static int reserve(struct column_file *file, size_t size, struct bp_error *error) {
    size_t need = file->buffer_size + size;
    if (need < size) return no_memory(error);
    if (need <= file->buffer_room) return 0;
    size_t room = file->buffer_room * 2 > need ? file->buffer_room * 2 : need;
    unsigned char *grown = realloc(file->buffer, room);
    if (!grown) return no_memory(error);
    file->buffer = grown, file->buffer_room = room;
    return 0;
}

static int append(struct column_file *file, const void *bytes, size_t size, struct bp_error *error) {
    if (reserve(file, size, error)) return -1;
    if (size) memcpy(file->buffer + file->buffer_size, bytes, size);
    file->buffer_size += size;
    return 0;
}

static uint32_t checksum(const void *bytes, size_t size) {
    return schema_crc32(0, bytes, size);
}

int column_file_create(int fd, uint64_t end, struct column_file **file, struct bp_error *error) {
    struct column_file *f = calloc(1, sizeof *f);
    if (!f) return no_memory(error);
    f->fd = fd, f->end = end;
    const struct column_file_header header = {.magic = COLUMN_FILE_MAGIC, .version = COLUMN_FILE_VERSION};
    if (end == 0 && write_all(f, &header, sizeof header, error)) {
        column_file_free(f);
        return -1;
    }
    *file = f;
    return 0;
}

int column_file_set(struct column_file *file, int32_t columns_count, int64_t rows_per_group, const struct column_file_group *groups,
                    int64_t groups_count, struct bp_error *error) {
    struct set *sets = realloc(file->sets, ((size_t)file->sets_count + 1) * sizeof *sets);
    if (sets) file->sets = sets;
    const size_t before = (size_t)file->columns_count, after = before + (size_t)columns_count;
    bool *floats = sets ? realloc(file->floats, (after + 1) * sizeof *floats) : NULL;
    if (!floats) return no_memory(error);
    memset(floats + before, 0, (size_t)columns_count * sizeof *floats);
    file->floats = floats;
    struct set *set = &file->sets[file->sets_count];
    *set = (struct set){.first = (int32_t)before, .columns = columns_count, .rows_per_group = rows_per_group};
    if (groups_count > 0) {
        if (!(set->groups = malloc((size_t)groups_count * sizeof *groups))) return no_memory(error);
        memcpy(set->groups, groups, (size_t)groups_count * sizeof *groups);
        set->groups_count = set->groups_room = groups_count;
    }
    file->sets_count++;
    file->columns_count = (int32_t)after;
    return 0;
}

/* Writes texts, or the padding after them. */
static int write_texts(struct column_file *file, const void *bytes, size_t size, struct bp_error *error) {
    if (size == 0) return 0;
    file->texts_crc = schema_crc32(file->texts_crc, bytes, size);
    file->texts_written += size;
    return write_all(file, bytes, size, error);
}

int column_file_text(struct column_file *file, const char *text, size_t size, uint64_t *reference, struct bp_error *error) {
    if (!file->texts && !(file->texts = malloc(TEXTS_HELD))) return no_memory(error);
    if (size > TEXTS_HELD) return bp_error_set(error, "", "a text is too large to store");
    if (file->texts_size + size > TEXTS_HELD) {
        if (write_texts(file, file->texts, file->texts_size, error)) return -1;
        file->texts_size = 0;
    }
    *reference = size ? (file->end + file->texts_size) << COLUMN_TEXT_SIZE_BITS | size : 0;
    memcpy(file->texts + file->texts_size, text, size);
    file->texts_size += size;
    return 0;
}

static bool any_texts(const uint64_t *texts, int64_t rows) {
    int64_t row = 0;
    while (row < rows && texts[row] == 0) row++;
    return row < rows;
}

/* The narrowest kind for a column's values in the group; *missing: some are. */
static enum block_kind narrowest_of(const struct column_values *v, int64_t rows, bool *missing) {
    *missing = false;
    switch (schema_type_of(v->type)->storage) {
    case SCHEMA_HELD_AS_NUMBER: return narrowest(v->numbers, rows, missing);
    case SCHEMA_HELD_AS_CODE: return narrowest_codes(v->codes, rows);
    case SCHEMA_HELD_AS_TENSOR: return narrowest_tensors(v, rows, missing);
    case SCHEMA_HELD_AS_BYTES: break;
    }
    return any_texts(v->texts, rows) ? BLOCK_TEXT : BLOCK_NONE;
}

/* Fills a block, which is zero, with the values. */
static void put_values(const struct column_values *v, int64_t rows, enum block_kind kind, unsigned char *out) {
    switch (schema_type_of(v->type)->storage) {
    case SCHEMA_HELD_AS_NUMBER: put_numbers(v->numbers, rows, kind, out); break;
    case SCHEMA_HELD_AS_CODE: put_codes(v->codes, rows, kind, out); break;
    case SCHEMA_HELD_AS_TENSOR: put_tensors(v, rows, kind, out); break;
    case SCHEMA_HELD_AS_BYTES:
        if (kind == BLOCK_TEXT) memcpy(out, v->texts, (size_t)rows * sizeof *v->texts);
        break;
    }
}

/* Appends one column's block to the buffer; the buffer's new bytes are zero. */
static int put_block(struct column_file *file, const struct column_values *v, int64_t rows, struct column_block *block, struct bp_error *error) {
    bool missing;
    const enum schema_storage storage = schema_type_of(v->type)->storage;
    const enum block_kind kind = narrowest_of(v, rows, &missing);
    const bool bitmap = missing && may_have_bitmap(storage, kind);
    size_t size = column_block_size(kind, bitmap, rows, v->per_cell), start = column_block_start(file->buffer_size, size);
    size_t grow = start + size - file->buffer_size;
    if (start / 8 > UINT32_MAX) return bp_error_set(error, "", "a row is too large to store");
    if (reserve(file, grow, error)) return -1;
    memset(file->buffer + file->buffer_size, 0, grow);
    unsigned char *out = file->buffer + start;
    put_values(v, rows, kind, out);
    if (bitmap) {
        unsigned char *bits = out + size - (size_t)(rows + 7) / 8;
        for (int64_t i = 0; i < rows; i++)
            if (storage == SCHEMA_HELD_AS_NUMBER ? isnan(v->numbers[i]) : v->absent[i]) bits[i / 8] |= (unsigned char)(1u << (i % 8));
    }
    file->buffer_size = start + size;
    *block = (struct column_block){.offset = (uint32_t)(start / 8), .kind = (uint8_t)kind, .bitmap = bitmap};
    return 0;
}

int column_file_group(struct column_file *file, const struct column_values *columns, int64_t rows, struct bp_error *error) {
    static const char zeros[64];
    struct set *set = &file->sets[file->sets_count - 1];
    if (write_texts(file, file->texts, file->texts_size, error)) return -1;
    const size_t fill = align(file->end, 64) - file->end;
    if (file->texts_written ? write_texts(file, zeros, fill, error) : write_all(file, zeros, fill, error)) return -1;
    file->texts_size = 0;
    if (set->groups_count == set->groups_room) {
        int64_t room = set->groups_room ? set->groups_room * 2 : 64;
        struct column_file_group *grown = realloc(set->groups, (size_t)room * sizeof *grown);
        if (!grown) return no_memory(error);
        set->groups = grown, set->groups_room = room;
    }
    size_t directory = (size_t)set->columns * sizeof(struct column_block);
    file->buffer_size = 0;
    if (reserve(file, directory, error)) return -1;
    file->buffer_size = directory;
    for (int32_t c = 0; c < set->columns; c++) {
        struct column_block block = {0};
        if (put_block(file, &columns[c], rows, &block, error)) return -1;
        memcpy(file->buffer + (size_t)c * sizeof block, &block, sizeof block);
        if (block.kind == BLOCK_F32) file->floats[set->first + c] = true;
    }
    set->groups[set->groups_count++] = (struct column_file_group){.offset = file->end,
                                                                  .size = file->buffer_size,
                                                                  .texts = file->texts_written,
                                                                  .directory_crc = checksum(file->buffer, directory),
                                                                  .crc = schema_crc32(file->texts_crc, file->buffer, file->buffer_size)};
    file->texts_crc = 0, file->texts_written = 0;
    return write_all(file, file->buffer, file->buffer_size, error);
}

static int put_category(struct column_file *file, int64_t count, const char *text, struct bp_error *error) {
    const uint32_t size = (uint32_t)strlen(text);
    return append(file, &count, 8, error) || append(file, &size, 4, error) || append(file, text, size + 1, error) ? -1 : 0;
}

static int put_column(struct column_file *file, const struct schema_column *c, const struct column_traces *t, bool floats, struct bp_error *error) {
    struct schema_column stored = *c;
    stored.bytes = !floats;
    const struct schema_type_ops *type = schema_type_of(c->type);
    struct column_file_column fixed = {.name_size = (uint32_t)strlen(c->name),
                                       .type = (uint8_t)c->type,
                                       .bytes = type->flag && type->flag(&stored),
                                       .integral = c->integral,
                                       .rank = (uint8_t)c->shape.rank,
                                       .distinct_count = c->distinct_count,
                                       .categories_count = c->format ? 1 : c->categories_count,
                                       .missing = c->missing,
                                       .min = c->min,
                                       .max = c->max,
                                       .mean = c->mean,
                                       .std = c->std,
                                       .count = t->count,
                                       .m2 = t->m2,
                                       .offset = t->offset,
                                       .last = t->last,
                                       .codes = t->codes,
                                       .begun = t->begun,
                                       .uneven = t->uneven,
                                       .clock = t->clock};
    memcpy(fixed.sums, t->sums, sizeof fixed.sums);
    for (int32_t d = 0; d < c->shape.rank; d++) fixed.dims[d] = c->shape.dims[d];
    int32_t distinct = c->distinct_count <= SCHEMA_DISTINCT_MAX ? c->distinct_count : 0;
    if (append(file, &fixed, sizeof fixed, error) || append(file, c->name, fixed.name_size + 1, error) ||
        append(file, c->distinct, (size_t)distinct * sizeof *c->distinct, error))
        return -1;
    if (c->format && put_category(file, 0, c->format, error)) return -1;
    for (int32_t i = 0; i < c->categories_count; i++)
        if (put_category(file, c->categories[i].count, c->categories[i].value, error)) return -1;
    return 0;
}

int column_file_finish(struct column_file *file, const struct schema_column *columns, const struct column_traces *traces, int64_t rows,
                       uint64_t *size, struct bp_error *error) {
    static const char zeros[64];
    static const struct column_traces none;
    const struct column_file_counts counts = {.rows = rows, .columns = file->columns_count, .sets = file->sets_count};
    file->buffer_size = 0;
    if (write_all(file, zeros, align(file->end, 64) - file->end, error) || append(file, &counts, sizeof counts, error)) return -1;
    for (int32_t c = 0; c < file->columns_count; c++) {
        const struct column_traces *t = traces ? &traces[c] : &none;
        if (put_column(file, &columns[c], t, file->floats[c] || t->floats, error)) return -1;
    }
    for (int32_t i = 0; i < file->sets_count; i++) {
        const struct set *set = &file->sets[i];
        const struct column_file_set fixed = {.rows_per_group = set->rows_per_group, .groups = set->groups_count, .columns = set->columns};
        if (append(file, &fixed, sizeof fixed, error) || append(file, set->groups, (size_t)set->groups_count * sizeof *set->groups, error)) return -1;
    }
    struct column_file_trailer trailer = {.footer_offset = file->end,
                                          .footer_size = file->buffer_size,
                                          .file_size = file->end + file->buffer_size + sizeof trailer,
                                          .footer_crc = checksum(file->buffer, file->buffer_size),
                                          .version = COLUMN_FILE_VERSION,
                                          .magic = COLUMN_FILE_MAGIC};
    trailer.crc = checksum(&trailer, offsetof(struct column_file_trailer, crc));
    if (write_all(file, file->buffer, file->buffer_size, error) || write_all(file, &trailer, sizeof trailer, error)) return -1;
    *size = file->end;
    if (fsync(file->fd) && errno != EINVAL && errno != EROFS) return bp_error_io(error, "cannot make the dataset durable: %s", strerror(errno));
    return 0;
}

void column_file_free(struct column_file *file) {
    if (!file) return;
    for (int32_t i = 0; i < file->sets_count; i++) free(file->sets[i].groups);
    free(file->sets);
    free(file->texts);
    free(file->floats);
    free(file->buffer);
    free(file);
}
