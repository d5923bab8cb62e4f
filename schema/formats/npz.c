/* npz.c - several arrays as numpy.savez and savez_compressed write them: a ZIP archive of NPY files, stored or deflated. Each member gives its column
 * or columns under its own name; all have one row count.
 *
 * The archive is read sequentially as it arrives, never by its directory at the end. Members arrive one after the other, but rows span them: so
 * the decoded values are spooled (spool.h) until all have arrived. In this order: members, the archive, rows. */
#include "schema/checksum.h"
#include "schema/formats/npy_header.h"
#include "schema/formats/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MEMBERS_MAX = 10000, RELEASE = 2 << 20, PIECE = 1 << 16, RECORD_MAX = 1 << 18 /* a name, an extra field, a comment */ };

struct member {
    char *name; /* without ".npy" */
    struct array array;
    size_t start; /* of its values in the spool */
    bool known;   /* its header has been read */
};

/* What is read next. */
enum expect { EXPECT_RECORD, EXPECT_MEMBER, EXPECT_DESCRIPTOR, EXPECT_NOTHING };

struct npz {
    enum expect expect;
    unsigned char *record; /* the beginning of a record of the archive */
    size_t record_size;
    struct spool spool;
    size_t spooled;
    struct member *members;
    int32_t count;
    /* the member being read */
    char *header; /* its NPY header, so far */
    size_t header_size;
    z_stream inflate;
    bool inflating, deflated, later, wide; /* later: sizes follow the data; wide: with 8 bytes */
    uint64_t packed_left, unpacked, unpacked_expected;
    uint32_t crc, crc_expected;
    bool directory; /* the archive's directory has begun */
};

static int npz_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    struct npz *z = calloc(1, sizeof *z);
    if (!z) return schema_ingest_no_memory(problems);
    z->spool.fd = -1;
    z->record = malloc(RECORD_MAX), z->header = malloc(NPY_HEADER_MAX);
    *state = z;
    return z->record && z->header ? spool_open(&z->spool, ingest->fd, problems) : schema_ingest_no_memory(problems);
}

static void npz_close(void *state) {
    struct npz *z = state;
    if (z->inflating) inflateEnd(&z->inflate);
    for (int32_t i = 0; i < z->count; i++) free(z->members[i].name);
    free(z->members);
    free(z->record);
    free(z->header);
    spool_close(&z->spool);
    free(z);
}

/* ---- members ---- */

static struct member *current(const struct npz *z) {
    return &z->members[z->count - 1];
}

static const char *what(const struct member *m, char text[static 96]) {
    char name[64];
    snprintf(text, 96, "member \"%s\"", schema_ingest_short(m->name, strlen(m->name), name));
    return text;
}

static int damaged(struct schema_problems *problems, const char *how) {
    return schema_problem_add(problems, NULL, "the file is not an NPZ file, or it is damaged: %s", how);
}

/* Unpacked bytes of the current member: the header, then values, which are stored. */
static int take(struct schema_ingest *ingest, struct npz *z, const char *bytes, size_t size, struct schema_problems *problems) {
    struct member *m = current(z);
    char text[96];
    if (size == 0) return 0;
    z->crc = schema_crc32(z->crc, bytes, size);
    z->unpacked += size;
    if (!m->known) {
        const size_t before = z->header_size, n = NPY_HEADER_MAX - before < size ? NPY_HEADER_MAX - before : size;
        memcpy(z->header + before, bytes, n);
        z->header_size += n;
        int64_t header = npy_header(z->header, z->header_size, what(current(z), text), &m->array, problems);
        if (header <= 0) return (int)header;
        m->known = true, m->start = z->spooled;
        bytes += (size_t)header - before, size -= (size_t)header - before;
    }
    z->spooled += size;
    if (ingest->options.decoded_max > 0 && (int64_t)z->spooled > ingest->options.decoded_max) {
        problems->too_large = true;
        return schema_problem_add(problems, NULL, "the unpacked members are larger than the limit, %lld bytes (setting upload_max)",
                                  (long long)ingest->options.decoded_max);
    }
    return spool_add(&z->spool, bytes, size, problems);
}

/* The current member has been read. */
static int member_end(struct npz *z, struct schema_problems *problems) {
    const struct member *m = current(z);
    char text[96];
    if (z->inflating) inflateEnd(&z->inflate);
    z->inflating = false;
    if (!m->known) return schema_problem_add(problems, NULL, "%s is truncated within its header", what(current(z), text));
    const size_t values = z->spooled - m->start, expected = array_row_bytes(&m->array) * (size_t)m->array.dims[0];
    if (values != expected)
        return schema_problem_add(problems, NULL, "%s is damaged: its header declares %zu bytes of values, it has %zu", what(current(z), text),
                                  expected, values);
    if (z->crc != z->crc_expected || z->unpacked != z->unpacked_expected)
        return schema_problem_add(problems, NULL, "%s is damaged: its checksum or size is wrong", what(current(z), text));
    z->expect = EXPECT_RECORD;
    return 0;
}

static int member_data(struct schema_ingest *ingest, struct npz *z, const char **p, const char *end, struct schema_problems *problems) {
    char piece[PIECE], text[96];
    if (!z->deflated) {
        const size_t n = z->packed_left < (uint64_t)(end - *p) ? (size_t)z->packed_left : (size_t)(end - *p);
        if (take(ingest, z, *p, n, problems)) return -1;
        *p += n, z->packed_left -= n;
        return z->packed_left == 0 ? member_end(z, problems) : 0;
    }
    z->inflate.next_in = (unsigned char *)(uintptr_t)*p, z->inflate.avail_in = (unsigned)(end - *p < PIECE ? end - *p : PIECE);
    if (!z->later && z->inflate.avail_in > z->packed_left) z->inflate.avail_in = (unsigned)z->packed_left;
    const unsigned before = z->inflate.avail_in;
    int result;
    do {
        z->inflate.next_out = (unsigned char *)piece, z->inflate.avail_out = PIECE;
        result = inflate(&z->inflate, Z_NO_FLUSH);
        if (take(ingest, z, piece, PIECE - z->inflate.avail_out, problems)) return -1;
        if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END)
            return schema_problem_add(problems, NULL, "%s is damaged (%s)", what(current(z), text), z->inflate.msg ? z->inflate.msg : "deflate");
    } while (result == Z_OK && z->inflate.avail_out == 0);
    const size_t used = before - z->inflate.avail_in;
    *p += used;
    z->packed_left -= z->later ? 0 : used;
    if (result != Z_STREAM_END) return !z->later && z->packed_left == 0 ? damaged(problems, "a member is longer than declared") : 0;
    if (z->later) {
        z->expect = EXPECT_DESCRIPTOR;
        return 0;
    }
    return z->packed_left ? damaged(problems, "a member is shorter than declared") : member_end(z, problems);
}

/* ---- the archive ---- */

static uint64_t number(const unsigned char *p, size_t bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | p[bytes];
    return value;
}

/* Sizes of 8 bytes are in an extra field. */
static void read_extra(struct npz *z, const unsigned char *p, size_t size, uint64_t packed) {
    z->packed_left = packed;
    while (size >= 4) {
        const size_t n = (size_t)number(p + 2, 2);
        if (n > size - 4) return;
        if (number(p, 2) == 1 && n >= 16) {
            z->wide = true;
            if (z->unpacked_expected == UINT32_MAX) z->unpacked_expected = number(p + 4, 8);
            if (packed == UINT32_MAX) z->packed_left = number(p + 12, 8);
        }
        p += 4 + n, size -= 4 + n;
    }
}

static int new_member(struct npz *z, const char *name, size_t size, struct schema_problems *problems) {
    char shown[64];
    if (z->count == MEMBERS_MAX) return schema_problem_add(problems, NULL, "there are more than %d members, the limit", MEMBERS_MAX);
    if (size < 5 || memcmp(name + size - 4, ".npy", 4) != 0 || memchr(name, '\0', size))
        return schema_problem_add(problems, NULL, "the archive holds \"%s\", which is not an array (NAME.npy); expected a file from numpy.savez",
                                  schema_ingest_short(name, size, shown));
    struct member *grown = realloc(z->members, ((size_t)z->count + 1) * sizeof *grown);
    if (!grown) return schema_ingest_no_memory(problems);
    z->members = grown;
    grown[z->count] = (struct member){.name = strndup(name, size - 4)};
    if (!grown[z->count].name) return schema_ingest_no_memory(problems);
    z->count++;
    return 0;
}

/* The local header of a member, whole at r. */
static int begin_member(struct npz *z, const unsigned char *r, struct schema_problems *problems) {
    const unsigned flags = (unsigned)number(r + 6, 2), method = (unsigned)number(r + 8, 2);
    const size_t name = (size_t)number(r + 26, 2), extra = (size_t)number(r + 28, 2);
    char text[96];
    if (new_member(z, (const char *)r + 30, name, problems)) return -1;
    z->header_size = 0, z->unpacked = 0, z->crc = 0;
    z->crc_expected = (uint32_t)number(r + 14, 4), z->unpacked_expected = number(r + 22, 4);
    z->later = flags & 8, z->wide = false, z->deflated = method == 8;
    read_extra(z, r + 30 + name, extra, number(r + 18, 4));
    if (flags & 1) return schema_problem_add(problems, NULL, "%s is encrypted; save it without a password", what(current(z), text));
    if (method != 0 && method != 8)
        return schema_problem_add(problems, NULL, "%s is compressed by method %u; stored and deflated members are supported", what(current(z), text),
                                  method);
    if (z->later && !z->deflated)
        return schema_problem_add(problems, NULL, "%s was written to a pipe and has no size before the data; save to a file and send that",
                                  what(current(z), text));
    if (z->deflated) {
        z->inflate = (z_stream){.next_in = NULL};
        if (inflateInit2(&z->inflate, -15) != Z_OK) return schema_ingest_no_memory(problems);
        z->inflating = true;
    }
    z->expect = EXPECT_MEMBER;
    return z->deflated || z->packed_left > 0 ? 0 : member_end(z, problems);
}

/* Bytes of the record that begins at r, as far as size bytes determine them; 0: it is not a record. */
static size_t record_bytes(const struct npz *z, const unsigned char *r, size_t size) {
    static const struct {
        char mark[2];
        uint8_t fixed, lengths[3]; /* positions of lengths of 2 bytes, 0: none */
    } kinds[] = {{{3, 4}, 30, {26, 28, 0}}, {{1, 2}, 46, {28, 30, 32}}, {{6, 7}, 20, {0, 0, 0}}, {{5, 6}, 22, {20, 0, 0}}};
    if (z->expect == EXPECT_DESCRIPTOR) {
        const size_t plain = z->wide ? 20 : 12;
        return size < 4 ? 4 : memcmp(r, "PK\7\10", 4) == 0 ? plain + 4 : plain;
    }
    if (memcmp(r, "PK", size < 2 ? size : 2) != 0) return 0;
    if (size < 4) return 4;
    if (r[2] == 6 && r[3] == 6) { /* its own size is written with 8 bytes */
        if (size < 12) return 12;
        const uint64_t rest = number(r + 4, 8);
        return rest < RECORD_MAX - 12 ? (size_t)rest + 12 : 0;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (r[2] != kinds[k].mark[0] || r[3] != kinds[k].mark[1]) continue;
        size_t n = kinds[k].fixed;
        for (int i = 0; i < 3 && size >= kinds[k].fixed; i++)
            if (kinds[k].lengths[i]) n += (size_t)number(r + kinds[k].lengths[i], 2);
        return n;
    }
    return 0;
}

/* A whole record. */
static int take_record(struct npz *z, struct schema_problems *problems) {
    const unsigned char *r = z->record;
    if (z->expect == EXPECT_DESCRIPTOR) {
        const bool marked = memcmp(r, "PK\7\10", 4) == 0;
        r += marked ? 4 : 0;
        z->crc_expected = (uint32_t)number(r, 4), z->unpacked_expected = z->wide ? number(r + 12, 8) : number(r + 8, 4);
        return member_end(z, problems);
    }
    if (r[2] == 3) return z->directory ? damaged(problems, "a member follows the directory") : begin_member(z, r, problems);
    z->directory = true;
    if (r[2] == 5) z->expect = EXPECT_NOTHING;
    return 0;
}

static int npz_feed(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems) {
    struct npz *z = state;
    const char *p = bytes, *end = bytes + size;
    while (p < end) {
        if (z->expect == EXPECT_NOTHING) return damaged(problems, "bytes follow the end of the archive");
        if (z->expect == EXPECT_MEMBER) {
            if (member_data(ingest, z, &p, end, problems)) return -1;
            continue;
        }
        size_t need = record_bytes(z, z->record, z->record_size);
        while (p < end && need > z->record_size) {
            const size_t n = need - z->record_size < (size_t)(end - p) ? need - z->record_size : (size_t)(end - p);
            memcpy(z->record + z->record_size, p, n);
            z->record_size += n, p += n;
            if (z->record_size == need) need = record_bytes(z, z->record, z->record_size);
        }
        if (need == 0) return damaged(problems, "expected a member of the archive here");
        if (need > z->record_size) return 0;
        if (take_record(z, problems)) return -1;
        z->record_size = 0;
    }
    return 0;
}

/* ---- rows ---- */

static int rows(struct schema_ingest *ingest, struct npz *z, unsigned char *row, struct schema_problems *problems) {
    const unsigned char *start = (const unsigned char *)z->spool.start;
    size_t done = 0;
    for (int64_t i = 0; i < z->members[0].array.dims[0]; i++) {
        if (schema_ingest_row_begin(ingest, i, problems)) return -1;
        for (int32_t k = 0; k < z->count; k++) {
            const struct member *m = &z->members[k];
            const size_t size = array_row_bytes(&m->array);
            const unsigned char *from = start + m->start + (size_t)i * size;
            if (m->array.fortran) array_gather(&m->array, start + m->start, i, row), from = row;
            if (array_put(ingest, &m->array, from, problems)) return -1;
            done += size;
        }
        if (schema_ingest_row_end(ingest, problems)) return -1;
        if (done > RELEASE) spool_release(&z->spool, z->spool.start, z->spool.end), done = 0;
    }
    return 0;
}

static int npz_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems) {
    struct npz *z = state;
    char text[96], name[64];
    if (z->expect != EXPECT_NOTHING && ingest->options.part && z->count)
        return schema_problem_add(problems, NULL,
                                  "the archive does not end within the first part, so it cannot be inspected in part: upload the whole file");
    if (z->expect != EXPECT_NOTHING)
        return z->count || z->record_size ? schema_problem_add(problems, NULL, "the file is truncated: its end is missing")
                                          : schema_problem_add(problems, NULL, "the file is empty; expected an archive of arrays");
    if (z->count == 0) return schema_problem_add(problems, NULL, "the archive is empty; expected at least one array");
    size_t largest = 1;
    if (spool_map(&z->spool, problems)) return -1;
    for (int32_t k = 0; k < z->count; k++) {
        struct member *m = &z->members[k];
        if (m->array.dims[0] != z->members[0].array.dims[0])
            return schema_problem_add(problems, NULL, "%s has %lld rows, \"%s\" has %lld; all arrays must have the same number of rows",
                                      what(m, text), (long long)m->array.dims[0],
                                      schema_ingest_short(z->members[0].name, strlen(z->members[0].name), name),
                                      (long long)z->members[0].array.dims[0]);
        if (array_declare(ingest, &m->array, m->name, (const unsigned char *)z->spool.start + m->start, m->array.dims[0], problems)) return -1;
        if (array_row_bytes(&m->array) > largest) largest = array_row_bytes(&m->array);
    }
    if (schema_ingest_start(ingest, 0, problems)) return -1;
    unsigned char *row = malloc(largest);
    const int failed = row ? rows(ingest, z, row, problems) : schema_ingest_no_memory(problems);
    free(row);
    return failed;
}

extern const struct schema_format_ops schema_format_npz;
const struct schema_format_ops schema_format_npz = {
    .entry = {.name = "npz", .summary = "Arrays of NumPy in one archive: each gives its column or columns under its name"},
    .content_type = "application/x-npz",
    .open = npz_open,
    .feed = npz_feed,
    .finish = npz_finish,
    .close = npz_close,
};
