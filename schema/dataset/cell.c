/* cell.c - parsing of cells, arrays in cells, and the buffer of the first megabyte. */
#include "schema/dataset/cell.h"

#include "schema/text/number_scan.h"

#include <math.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- parsing one text ---- */

static bool says(const char *text, size_t size, const char *word) {
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

bool schema_cell_is_missing(const char *text, size_t size) {
    switch (size) {
    case 0: return true;
    case 1: return *text == '?' || *text == '-' || *text == '.';
    case 2: return says(text, size, "na") || says(text, size, "--");
    case 3:
        return says(text, size, "nan") || says(text, size, "n/a") || says(text, size, "nil") || says(text, size, "nat") || says(text, size, "#na");
    case 4:
        return says(text, size, "null") || says(text, size, "none") || says(text, size, "<na>") || says(text, size, "-nan") ||
               says(text, size, "#n/a");
    case 7: return says(text, size, "missing");
    default: return false;
    }
}

int schema_cell_boolean(const char *text, size_t size) {
    return says(text, size, "true") ? 1 : says(text, size, "false") ? 0 : -1;
}

int64_t schema_cell_words(const char *text, size_t size) {
    int64_t words = 0;
    bool blank = true;
    for (size_t i = 0; i < size; i++) {
        const bool now = (unsigned char)text[i] <= ' ';
        words += blank && !now;
        blank = now;
    }
    return words;
}

/* ---- arrays ---- */

struct array_walk {
    struct bp_shape shape;
    int64_t counts[BP_RANK_MAX]; /* members so far of the open array at each depth */
    bool closed[BP_RANK_MAX];    /* an array at this depth has been closed: its length is known */
    int32_t depth, rank;         /* rank: depth of the numbers, 0: unknown */
};

static const char *blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

/* Closes the array at the current depth; its length must be that of its sisters. */
static const char *close_array(struct array_walk *w) {
    int32_t d = --w->depth;
    if (w->counts[d] == 0) return "an array in it is empty; for lists of labels give the column the type labels";
    if (w->closed[d] && w->counts[d] != w->shape.dims[d]) return "its rows differ in length";
    if (w->counts[d] > INT32_MAX) return "it is too large";
    w->closed[d] = true, w->shape.dims[d] = (int32_t)w->counts[d];
    return NULL;
}

const char *schema_cell_array(const char *text, size_t size, float *out, int64_t room, struct bp_shape *shape, int64_t *count) {
    struct array_walk w = {.depth = 0};
    const char *p = blanks(text, text + size), *end = text + size;
    int64_t n = 0;
    if (p == end || *p != '[') return "it is not an array";
    bool value_next = true; /* a value is expected; otherwise a comma or a bracket */
    do {
        p = blanks(p, end);
        if (p == end) return "its brackets do not match";
        if (value_next && *p == '[') {
            if (w.depth == BP_RANK_MAX) return "it is nested deeper than 4 levels";
            if (w.rank && w.depth == w.rank) return "it mixes numbers and arrays";
            if (w.depth > 0) w.counts[w.depth - 1]++;
            w.counts[w.depth++] = 0;
            p = blanks(p + 1, end);
            if (p < end && *p == ']') return "an array in it is empty; for lists of labels give the column the type labels";
        } else if (value_next) {
            double value = NAN;
            const bool missing = end - p >= 4 && memcmp(p, "null", 4) == 0;
            p = missing ? p + 4 : schema_number_scan(p, end, true, &value);
            if (!p) return "it contains a value that is not a number";
            if (w.rank == 0) w.rank = w.depth;
            if (w.rank != w.depth) return "it mixes numbers and arrays";
            float narrow = (float)value;
            if (!missing && !isfinite(narrow)) return "it holds a number too large for float32";
            if (out && n < room) out[n] = narrow;
            n++, w.counts[w.depth - 1]++;
            value_next = false;
        } else if (*p == ',') {
            p++;
            value_next = true;
        } else if (*p == ']') {
            p++;
            const char *wrong = close_array(&w);
            if (wrong) return wrong;
        } else return "it is not valid JSON";
    } while (w.depth > 0);
    if (blanks(p, end) != end) return "bytes follow its last bracket";
    w.shape.rank = w.rank;
    if (n > INT32_MAX / 8) return "it is too large";
    *shape = w.shape, *count = n;
    return NULL;
}

/* ---- base64 ---- */

const char *schema_cell_base64(const char *text, size_t size, int64_t count, float *out) {
    const size_t bytes = (size_t)count;
    struct base64_decode_ctx context;
    size_t n = BASE64_DECODE_LENGTH(size);
    uint8_t *decoded = malloc(n + 1);
    if (!decoded) return "out of memory";
    base64_decode_init(&context);
    const bool good = base64_decode_update(&context, &n, decoded, size, text) && base64_decode_final(&context);
    const char *wrong = good ? NULL : "it is neither an array nor base64";
    if (!wrong && n == bytes)
        for (size_t i = 0; i < bytes; i++) out[i] = decoded[i];
    else if (!wrong && n == bytes * sizeof *out) memcpy(out, decoded, n);
    else if (!wrong) wrong = "its base64 has neither one nor four bytes per number";
    for (size_t i = 0; !wrong && i < bytes; i++)
        if (isinf(out[i])) wrong = "it holds an infinite number";
    free(decoded);
    return wrong;
}

/* ---- buffer ---- */

struct packed {
    double number;
    uint32_t size;
    int32_t column;
    uint32_t kind, zero;
};

int schema_cells_put(struct schema_cells *cells, const struct schema_cell *cell) {
    size_t need = sizeof(struct packed) + ((cell->size + 7) & ~(size_t)7);
    if (cells->size + need > cells->room) {
        size_t room = cells->room * 2 > cells->size + need ? cells->room * 2 : cells->size + need + 65536;
        char *bytes = realloc(cells->bytes, room);
        if (!bytes) return -1;
        cells->bytes = bytes, cells->room = room;
    }
    struct packed packed = {.number = cell->number, .size = (uint32_t)cell->size, .column = cell->column, .kind = (uint32_t)cell->kind};
    memcpy(cells->bytes + cells->size, &packed, sizeof packed);
    if (cell->size) memcpy(cells->bytes + cells->size + sizeof packed, cell->text, cell->size);
    cells->size += need;
    cells->input += (int64_t)cell->size + 1;
    return 0;
}

bool schema_cells_next(const struct schema_cells *cells, size_t *at, struct schema_cell *cell) {
    if (*at >= cells->size) return false;
    struct packed packed;
    memcpy(&packed, cells->bytes + *at, sizeof packed);
    *cell = (struct schema_cell){.kind = (enum schema_cell_kind)packed.kind,
                                 .column = packed.column,
                                 .text = cells->bytes + *at + sizeof packed,
                                 .size = packed.size,
                                 .number = packed.number};
    *at += sizeof packed + ((packed.size + 7u) & ~(size_t)7);
    return true;
}

void schema_cells_clear(struct schema_cells *cells) {
    free(cells->bytes);
    memset(cells, 0, sizeof *cells);
}
