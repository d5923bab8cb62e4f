/* open.c - opens column files. The file may be damaged or hostile: everything is checked once, here, and offsets are not believed but
 * computed again from the kinds of the blocks. */
#include "engine/base/utf8.h"
#include "schema/checksum.h"
#include "schema/dataset/cell.h"
#include "schema/dataset/map.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORIES_MAPPED = 64 };

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
    if (!text || text[size] != '\0' || bp_utf8_valid(text, size) != size) return NULL;
    return (char *)(uintptr_t)text; /* struct schema_column holds char *, constant once opened */
}

static uint32_t checksum(const void *bytes, size_t size) {
    return schema_crc32(0, bytes, size);
}
/* The input was invalid or memory ran out; malloc's result distinguishes them. */
static int damaged(struct bp_error *error, const char *what) {
    if (errno == ENOMEM) return bp_error_memory(error, "out of memory while opening the dataset");
    return bp_error_damaged(error, "the dataset file is damaged (%s); restore the data folder from a backup, or upload the dataset again", what);
}

static bool shape_fits(struct schema_column *c, int64_t *per_cell) {
    *per_cell = 1;
    if (!schema_type_of(c->type)->has_shape) return c->shape.rank == 0;
    if (c->shape.rank < 1 || c->shape.rank > BP_RANK_MAX) return false;
    for (int32_t d = 0; d < c->shape.rank; d++) {
        if (c->shape.dims[d] < 1 || *per_cell > INT32_MAX / c->shape.dims[d]) return false;
        *per_cell *= c->shape.dims[d];
    }
    return true;
}

static bool take_categories(struct footer *f, struct schema_column *c, int64_t rows) {
    const struct schema_type_ops *type = schema_type_of(c->type);
    const int32_t n = c->categories_count;
    if (n < type->categories_min || n > (type->has_format ? 1 : type->categories_max)) return false;
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
    if (!type->has_format) return true; /* where there is one, it takes the place of a category */
    c->format = c->categories[0].value;
    c->categories_count = 0;
    return true;
}

static bool take_column(struct footer *f, struct schema_column *c, struct column_traces *t, int64_t rows, int64_t *per_cell) {
    struct column_file_column fixed;
    if (!take_copy(f, &fixed, sizeof fixed)) return false;
    c->name = take_text(f, fixed.name_size);
    if (!c->name || fixed.type >= SCHEMA_TYPES_COUNT || fixed.rank > BP_RANK_MAX || fixed.bytes > 1 || fixed.integral > 1) return false;
    c->type = (enum schema_type)fixed.type;
    c->shape.rank = fixed.rank;
    memcpy(c->shape.dims, fixed.dims, sizeof fixed.dims);
    const struct schema_type_ops *type = schema_type_of(c->type);
    if (type->set_flag) type->set_flag(c, fixed.bytes);
    c->integral = fixed.integral, c->missing = fixed.missing;
    *t = (struct column_traces){.count = fixed.count,
                                .m2 = fixed.m2,
                                .offset = fixed.offset,
                                .last = fixed.last,
                                .codes = fixed.codes,
                                .begun = fixed.begun == 1,
                                .uneven = fixed.uneven == 1,
                                .clock = fixed.clock == 1,
                                .floats = type->storage == SCHEMA_HELD_AS_TENSOR && !fixed.bytes};
    memcpy(t->sums, fixed.sums, sizeof t->sums);
    c->min = fixed.min, c->max = fixed.max, c->mean = fixed.mean, c->std = fixed.std;
    c->distinct_count = fixed.distinct_count, c->categories_count = fixed.categories_count;
    if (!shape_fits(c, per_cell) || c->missing < 0 || c->missing > rows || fixed.count < 0 || c->distinct_count < 0 ||
        c->distinct_count > SCHEMA_DISTINCT_MAX + 1)
        return false;
    size_t distinct = c->distinct_count <= SCHEMA_DISTINCT_MAX ? (size_t)c->distinct_count : 0;
    return take_copy(f, c->distinct, distinct * sizeof *c->distinct) && take_categories(f, c, rows);
}

/* Computes the layout of a group from its kinds and compares. The group is within the file. */
static bool directory_fits(const struct schema_dataset *d, const struct dataset_set *set, const unsigned char *start, uint64_t group_size,
                           int64_t rows) {
    uint64_t end = (uint64_t)set->columns * sizeof(struct column_block);
    for (int32_t c = 0; c < set->columns; c++) {
        struct column_block block;
        const int64_t per_cell = d->map->per_cell[set->first + c];
        memcpy(&block, start + (size_t)c * sizeof block, sizeof block);
        if (block.kind >= BLOCK_KINDS || block.bitmap > 1 || !column_kind_fits(d->columns[set->first + c].type, (enum block_kind)block.kind))
            return false;
        if (block.kind != BLOCK_NONE && (uint64_t)rows > group_size / (uint64_t)per_cell) return false; /* no overflow below */
        size_t size = column_block_size((enum block_kind)block.kind, block.bitmap, rows, per_cell);
        size_t at = column_block_start(end, size);
        if (block.offset != at / 8 || size > group_size || at > group_size - size) return false;
        end = at + size;
    }
    return end == group_size;
}

/* Groups ascend without overlap; parts of other versions and sets may be between them. */
static int check_groups(const struct schema_dataset *d, const struct dataset_set *set, uint64_t footer_offset, struct bp_error *error) {
    uint64_t at = sizeof(struct column_file_header), directory = (uint64_t)set->columns * sizeof(struct column_block);
    for (int64_t g = 0; g < set->groups_count; g++) {
        const struct column_file_group group = dataset_group(set, g);
        if (group.offset < at || group.offset % 64 || group.offset > footer_offset || group.size < directory ||
            group.size > footer_offset - group.offset || group.texts > group.offset - at)
            return damaged(error, "position of a row group");
        const unsigned char *start = d->map->start + group.offset;
        if (checksum(start, (size_t)directory) != group.directory_crc) return damaged(error, "checksum of a row group's directory");
        if (!directory_fits(d, set, start, group.size, dataset_group_rows(d, set, g))) return damaged(error, "layout of a row group");
        at = group.offset + group.size;
        /* The system maps some pages around each directory: of a large file they would be tens of megabytes. */
        if (g % DIRECTORIES_MAPPED == DIRECTORIES_MAPPED - 1) madvise((void *)(uintptr_t)d->map->start, d->map->size, MADV_DONTNEED);
    }
    return 0;
}

static int read_sets(struct schema_dataset *d, struct footer *f, int32_t count, struct bp_error *error) {
    struct schema_dataset_map *map = d->map;
    if (!(map->sets = calloc((size_t)count + 1, sizeof *map->sets))) return bp_error_memory(error, "out of memory while opening the dataset");
    int32_t first = 0;
    for (; map->sets_count < count; map->sets_count++) {
        struct column_file_set fixed;
        struct dataset_set *set = &map->sets[map->sets_count];
        if (!take_copy(f, &fixed, sizeof fixed) || fixed.rows_per_group < 1 || fixed.rows_per_group > INT32_MAX || fixed.columns < 0 ||
            fixed.columns > d->columns_count - first || fixed.groups != d->rows / fixed.rows_per_group + (d->rows % fixed.rows_per_group > 0) ||
            fixed.groups > (f->end - f->p) / (int64_t)sizeof(struct column_file_group))
            return damaged(error, "list of row groups");
        *set = (struct dataset_set){.first = first, .columns = fixed.columns, .rows_per_group = fixed.rows_per_group, .groups_count = fixed.groups};
        set->groups = malloc(((size_t)fixed.groups + 1) * sizeof *set->groups);
        set->checked = calloc((size_t)fixed.groups + 1, sizeof *set->checked);
        if (!set->groups || !set->checked || !take_copy(f, set->groups, (size_t)fixed.groups * sizeof *set->groups))
            return bp_error_memory(error, "out of memory while opening the dataset");
        for (int32_t c = 0; c < fixed.columns; c++) map->set_of[first + c] = map->sets_count;
        first += fixed.columns;
    }
    return first == d->columns_count && f->p == f->end ? 0 : damaged(error, "list of row groups");
}

static int read_footer(struct schema_dataset *d, struct footer f, struct bp_error *error) {
    errno = 0;
    struct schema_dataset_map *map = d->map;
    struct column_file_counts counts;
    if (!take_copy(&f, &counts, sizeof counts)) return damaged(error, "footer");
    if (counts.rows < 0 || counts.rows > INT64_MAX / 64 || counts.columns < 0 || counts.sets < 0 ||
        counts.columns > (f.end - f.p) / (int64_t)sizeof(struct column_file_column) ||
        counts.sets > (f.end - f.p) / (int64_t)sizeof(struct column_file_set))
        return damaged(error, "footer");
    const size_t columns = (size_t)counts.columns + 1;
    d->rows = counts.rows;
    d->columns = calloc(columns, sizeof *d->columns);
    map->per_cell = calloc(columns, sizeof *map->per_cell);
    map->set_of = calloc(columns, sizeof *map->set_of);
    map->traces = calloc(columns, sizeof *map->traces);
    if (!d->columns || !map->per_cell || !map->set_of || !map->traces) return bp_error_memory(error, "out of memory while opening the dataset");
    d->columns_count = counts.columns;
    for (int32_t c = 0; c < d->columns_count; c++) {
        if (!take_column(&f, &d->columns[c], &map->traces[c], d->rows, &map->per_cell[c])) return damaged(error, "description of a column");
        const char *name = d->columns[c].name;
        size_t size = strlen(name);
        if (schema_dictionary_find(&map->names, name, size) >= 0) return damaged(error, "two columns with the same name");
        if (schema_dictionary_add(&map->names, name, size, name, size) < 0) return bp_error_memory(error, "out of memory while opening the dataset");
    }
    return read_sets(d, &f, counts.sets, error);
}

static int check_file(struct schema_dataset *d, struct bp_error *error) {
    const struct schema_dataset_map *map = d->map;
    struct column_file_header header;
    struct column_file_trailer trailer;
    memcpy(&header, map->start, sizeof header);
    memcpy(&trailer, map->start + map->size - sizeof trailer, sizeof trailer);
    if (memcmp(header.magic, COLUMN_FILE_MAGIC, sizeof header.magic) != 0) return bp_error_io(error, "this is not a dataset file of backpropd");
    if (header.version > COLUMN_FILE_VERSION && header.version < 1000)
        return bp_error_io(error, "the dataset file has format %u, but this program reads up to %d; use a newer backpropd", header.version,
                           COLUMN_FILE_VERSION);
    if (header.version == 1) return bp_error_io(error, "the dataset file has format 1, which is no longer supported; upload the dataset again");
    if (header.version != COLUMN_FILE_VERSION) return damaged(error, "version");
    if (memcmp(trailer.magic, COLUMN_FILE_MAGIC, sizeof trailer.magic) != 0)
        return bp_error_damaged(
            error, "the dataset file is truncated: its end is missing; restore the data folder from a backup, or upload the dataset again");
    if (trailer.crc != checksum(&trailer, offsetof(struct column_file_trailer, crc)) || trailer.version != COLUMN_FILE_VERSION)
        return damaged(error, "trailer");
    uint64_t before = map->size - sizeof trailer;
    if (trailer.file_size != map->size || trailer.footer_offset < sizeof header || trailer.footer_offset > before ||
        trailer.footer_size != before - trailer.footer_offset)
        return damaged(error, "sizes");
    const unsigned char *footer = map->start + trailer.footer_offset;
    if (checksum(footer, (size_t)trailer.footer_size) != trailer.footer_crc) return damaged(error, "checksum of the footer");
    if (read_footer(d, (struct footer){footer, footer + trailer.footer_size}, error)) return -1;
    for (int32_t i = 0; i < map->sets_count; i++)
        if (check_groups(d, &map->sets[i], trailer.footer_offset, error)) return -1;
    return 0;
}

int schema_dataset_open(int fd, int64_t bytes, struct schema_dataset **dataset, struct bp_error *error) {
    struct stat st;
    if (fstat(fd, &st)) return bp_error_io(error, "cannot read the dataset file: %s", strerror(errno));
    if (bytes > st.st_size)
        return bp_error_damaged(
            error, "the dataset file is truncated: its end is missing; restore the data folder from a backup, or upload the dataset again");
    if ((bytes > 0 ? bytes : st.st_size) < (off_t)(sizeof(struct column_file_header) + sizeof(struct column_file_trailer)))
        return bp_error_io(error, "this is not a dataset file of backpropd, or it is truncated: %lld bytes", (long long)st.st_size);
    struct schema_dataset *d = calloc(1, sizeof *d);
    struct schema_dataset_map *map = calloc(1, sizeof *map);
    if (!d || !map) {
        free(d), free(map);
        return bp_error_memory(error, "out of memory while opening the dataset");
    }
    d->map = map;
    d->bytes = bytes > 0 && bytes < st.st_size ? bytes : st.st_size;
    map->size = (size_t)d->bytes;
    void *start = mmap(NULL, map->size, PROT_READ, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED) {
        map->size = 0;
        bp_error_io(error, "cannot map the dataset file: %s", strerror(errno));
    } else {
        map->start = start;
        map_guard_add(&map->guard, start, map->size);
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
    free(d->map->set_of);
    free(d->map->traces);
    for (int32_t i = 0; d->map->sets && i <= d->map->sets_count; i++) free(d->map->sets[i].checked), free(d->map->sets[i].groups);
    free(d->map->sets);
    schema_dictionary_clear(&d->map->names);
    map_guard_remove(&d->map->guard);
    if (d->map->size) munmap((void *)(uintptr_t)d->map->start, d->map->size);
    free(d->map);
    free(d);
}

/* Of a large file the pages of a group leave this process again: the reader may need one column of them. */
bool dataset_group_intact(const struct schema_dataset *d, const struct dataset_set *set, int64_t g) {
    enum { LARGE = 64 << 20 };
    const unsigned char known = atomic_load_explicit(&set->checked[g], memory_order_acquire);
    if (known != DATASET_UNCHECKED) return known == DATASET_INTACT;
    const struct column_file_group group = dataset_group(set, g);
    const unsigned char *start = d->map->start + group.offset - group.texts;
    const size_t size = (size_t)(group.texts + group.size);
    const bool good = checksum(start, size) == group.crc;
    if (d->map->size > LARGE) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)start % page;
        madvise((void *)((uintptr_t)start - before), before + size, MADV_DONTNEED);
    }
    if (!good && !atomic_exchange(&d->map->damaged, true)) atomic_store(&d->map->first_damaged, (long long)(g * set->rows_per_group));
    atomic_store_explicit(&set->checked[g], good ? DATASET_INTACT : DATASET_DAMAGED, memory_order_release);
    return good;
}

int schema_dataset_intact(const struct schema_dataset *d, struct bp_error *error) {
    static const char advice[] = "restore the data folder from a backup, or upload the dataset again";
    if (!d) return 0;
    if (atomic_load(&d->map->guard.cut)) return bp_error_damaged(error, "the dataset file was cut short while it was read; %s", advice);
    if (!atomic_load(&d->map->damaged)) return 0;
    return bp_error_damaged(error, "the dataset file is damaged: the checksum of the rows from %lld on does not match; %s",
                            (long long)atomic_load(&d->map->first_damaged) + 1, advice);
}

int schema_dataset_verify(const struct schema_dataset *d, struct bp_error *error) {
    for (int32_t i = 0; i < d->map->sets_count; i++)
        for (int64_t g = 0; g < d->map->sets[i].groups_count; g++) dataset_group_intact(d, &d->map->sets[i], g);
    return schema_dataset_intact(d, error);
}
