/* npy_header.c - {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), } behind ten or twelve bytes; the format is NumPy's NEP 1. */
#include "schema/formats/npy_header.h"

#include <string.h>

static const char *blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* Goes over a character, blanks around it allowed; NULL when it is not there. */
static const char *over(const char *p, const char *end, char c) {
    p = p ? blanks(p, end) : end;
    return p < end && *p == c ? blanks(p + 1, end) : NULL;
}

/* A string in quotes of either kind, without escapes. */
static const char *string(const char *p, const char *end, const char **text, size_t *size) {
    if (!p || p == end || (*p != '\'' && *p != '"')) return NULL;
    const char *close = memchr(p + 1, *p, (size_t)(end - p - 1));
    if (!close) return NULL;
    *text = p + 1, *size = (size_t)(close - p - 1);
    return blanks(close + 1, end);
}

static bool is(const char *text, size_t size, const char *word) {
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

/* '<f8', '|u1', '>i4', '|b1'. */
static const char *read_descr(const char *p, const char *end, struct array *a) {
    const char *text;
    size_t size;
    p = string(p, end, &text, &size);
    if (!p) return NULL; /* a list: a structured type */
    a->kind = '?';       /* refused by array_check, which lists the supported types */
    if (size != 3 || !strchr("<>|=", text[0]) || !strchr("biuf", text[1]) || !strchr("1248", text[2])) return p;
    a->big = text[0] == '>', a->kind = text[1], a->bytes = (uint8_t)(text[2] - '0');
    return p;
}

static const char *read_order(const char *p, const char *end, struct array *a) {
    a->fortran = end - p >= 4 && memcmp(p, "True", 4) == 0;
    if (a->fortran) return blanks(p + 4, end);
    return end - p >= 5 && memcmp(p, "False", 5) == 0 ? blanks(p + 5, end) : NULL;
}

/* (3, 4), (3,), (). */
static const char *read_shape(const char *p, const char *end, struct array *a) {
    p = over(p, end, '(');
    a->rank = 0;
    while (p && p < end && *p >= '0' && *p <= '9') {
        int64_t dim = 0;
        for (; p < end && *p >= '0' && *p <= '9'; p++) {
            if (dim > INT64_MAX / 10 - 10) return NULL;
            dim = dim * 10 + (*p - '0');
        }
        if (p < end && *p == 'L') p++; /* Python 2 */
        if (a->rank < ARRAY_RANK_MAX) a->dims[a->rank] = dim;
        a->rank++;
        p = blanks(p, end);
        if (p < end && *p == ',') p = blanks(p + 1, end);
        else break;
    }
    return over(p, end, ')');
}

static bool read_dictionary(const char *p, const char *end, struct array *a) {
    bool seen[3] = {false};
    p = over(p, end, '{');
    while (p && p < end && *p != '}') {
        const char *key;
        size_t size;
        p = over(string(p, end, &key, &size), end, ':');
        if (!p) return false;
        int which = is(key, size, "descr") ? 0 : is(key, size, "fortran_order") ? 1 : is(key, size, "shape") ? 2 : 3;
        if (which == 3 || seen[which]) return false;
        seen[which] = true;
        p = which == 0 ? read_descr(p, end, a) : which == 1 ? read_order(p, end, a) : read_shape(p, end, a);
        if (!p) return false;
        if (p < end && *p == ',') p = blanks(p + 1, end);
        else break;
    }
    p = over(p, end, '}');
    return p == end && seen[0] && seen[1] && seen[2];
}

int64_t npy_header(const char *bytes, size_t size, const char *what, struct array *a, struct schema_problems *problems) {
    static const char magic[] = "\x93NUMPY";
    const unsigned char *b = (const unsigned char *)bytes;
    const size_t compared = size < 6 ? size : 6;
    if (memcmp(bytes, magic, compared) != 0)
        return schema_problem_add(problems, NULL, "%s is not an NPY file: it does not begin with \\x93NUMPY", what);
    if (size < 8) return 0;
    if (b[6] < 1 || b[6] > 3)
        return schema_problem_add(problems, NULL, "%s has NPY version %d.%d; versions 1.0 to 3.0 are supported", what, b[6], b[7]);
    const size_t front = b[6] == 1 ? 10 : 12;
    if (size < front) return 0;
    size_t length = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (length > NPY_HEADER_MAX - front) return schema_problem_add(problems, NULL, "the header of %s has %zu bytes, too many", what, length);
    if (size < front + length) return 0;
    *a = (struct array){.rank = 0};
    if (!read_dictionary(bytes + front, bytes + front + length, a))
        return schema_problem_add(problems, NULL, "the header of %s is not supported: expected a plain array, not a record or object (pickled) array",
                                  what);
    return array_check(a, what, problems) ? -1 : (int64_t)(front + length);
}
