/* array.c - values of every kind become numbers, rows become cells. In this order: kinds of values, columns, rows, the stream. */
#include "schema/formats/array.h"
#include "schema/text/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 1 << 20, CODES_LOOKED_AT = 4096 };
static const uint64_t EXACT = UINT64_C(1) << 53; /* up to it doubles hold every integer */

/* ---- kinds of values ---- */

/* IEEE 754 binary16. */
static float half(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value = exponent == 31 ? (fraction ? NAN : INFINITY)
                  : exponent     ? ldexpf((float)(fraction + 1024), exponent - 25)
                                 : ldexpf((float)fraction, -24);
    return bits & 0x8000 ? -value : value;
}

static void swap(const unsigned char *from, size_t n, size_t bytes, unsigned char *to) {
    for (size_t i = 0; i < n; i++, from += bytes, to += bytes)
        for (size_t k = 0; k < bytes; k++) to[k] = from[bytes - 1 - k];
}

#define READ(T, R)                                                                                                                                   \
    for (int64_t i = 0; i < n; i++) {                                                                                                                \
        T value;                                                                                                                                     \
        memcpy(&value, from + (size_t)i * sizeof value, sizeof value);                                                                               \
        out[i] = (R)value;                                                                                                                           \
    }                                                                                                                                                \
    return

/* Little-endian values as numbers. `T` is what they become. */
#define READER(name, T)                                                                                                                              \
    static void name(const struct array *a, const unsigned char *from, int64_t n, T *out) {                                                          \
        switch (a->kind << 4 | a->bytes) {                                                                                                           \
        case 'b' << 4 | 1:                                                                                                                           \
            for (int64_t i = 0; i < n; i++) out[i] = from[i] ? 1 : 0;                                                                                \
            return;                                                                                                                                  \
        case 'u' << 4 | 1: READ(uint8_t, T);                                                                                                         \
        case 'u' << 4 | 2: READ(uint16_t, T);                                                                                                        \
        case 'u' << 4 | 4: READ(uint32_t, T);                                                                                                        \
        case 'u' << 4 | 8: READ(uint64_t, T);                                                                                                        \
        case 'i' << 4 | 1: READ(int8_t, T);                                                                                                          \
        case 'i' << 4 | 2: READ(int16_t, T);                                                                                                         \
        case 'i' << 4 | 4: READ(int32_t, T);                                                                                                         \
        case 'i' << 4 | 8: READ(int64_t, T);                                                                                                         \
        case 'f' << 4 | 4: READ(float, T);                                                                                                           \
        case 'f' << 4 | 8: READ(double, T);                                                                                                          \
        case 'f' << 4 | 2:                                                                                                                           \
            for (int64_t i = 0; i < n; i++) out[i] = (T)half((uint16_t)(from[2 * i] | from[2 * i + 1] << 8));                                        \
            return;                                                                                                                                  \
        default: return;                                                                                                                             \
        }                                                                                                                                            \
    }

READER(as_doubles, double)
READER(as_floats, float)

static bool kind_known(const struct array *a) {
    const int bytes = a->bytes;
    const bool whole = bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
    return a->kind == 'b' ? bytes == 1 : a->kind == 'f' ? whole && bytes > 1 : (a->kind == 'i' || a->kind == 'u') && whole;
}

/* ---- columns ---- */

int array_check(struct array *a, const char *what, struct schema_problems *problems) {
    if (!kind_known(a))
        return schema_problem_add(problems, NULL, "%s has an unsupported type of values; convert it to float32, float64, int or bool", what);
    if (a->rank < 1 || a->rank > ARRAY_RANK_MAX)
        return schema_problem_add(problems, NULL, "%s has %d dimensions, expected 1 to %d, the first being the rows", what, a->rank, ARRAY_RANK_MAX);
    a->per_row = 1;
    for (int32_t d = 0; d < a->rank; d++) {
        if (a->dims[d] == 0)
            return schema_problem_add(problems, NULL, d ? "%s has rows without values" : "%s has no rows; at least one is needed", what);
        if (a->dims[d] < 0 || (d > 0 && a->per_row > INT32_MAX / 8 / a->dims[d])) return schema_problem_add(problems, NULL, "%s is too large", what);
        if (d > 0) a->per_row *= a->dims[d];
    }
    if (array_row_bytes(a) > INGEST_RECORD_MAX)
        return schema_problem_add(problems, NULL, "a row of %s has %zu bytes, the limit is 16 MiB", what, array_row_bytes(a));
    if (a->dims[0] > INT64_MAX / (int64_t)array_row_bytes(a)) return schema_problem_add(problems, NULL, "%s is too large", what);
    if (a->rank == 1) a->fortran = false;
    return 0;
}

size_t array_row_bytes(const struct array *a) {
    return (size_t)a->per_row * a->bytes;
}

/* Problems of cells are reported with the row number, from 0, as a pointer. */
static void locate(const struct schema_ingest *ingest, int32_t column, int64_t place, char *pointer, size_t size) {
    (void)ingest, (void)column;
    snprintf(pointer, size, "/%lld", (long long)place);
}

static bool is_wide(const struct array *a) {
    return a->bytes == 8 && (a->kind == 'i' || a->kind == 'u');
}

/* An integer of 8 bytes as text; whether it is beyond 2^53, where a double may be another one. */
static bool wide_text(const struct array *a, const unsigned char *value, bool swapped, char text[static 32]) {
    unsigned char bytes[8];
    int64_t number;
    memcpy(bytes, value, 8);
    if (swapped) swap(value, 1, 8, bytes);
    memcpy(&number, bytes, 8);
    if (a->kind == 'u') snprintf(text, 32, "%" PRIu64, (uint64_t)number);
    else snprintf(text, 32, "%" PRId64, number);
    return a->kind == 'u' ? (uint64_t)number > EXACT : number > (int64_t)EXACT || number < -(int64_t)EXACT;
}

/* The type of a column of integers by its first rows: numbers; or codes, as texts if a dictionary of them would repeat the column. */
static enum schema_type type_of_wide(const struct array *a, const unsigned char *values, int64_t rows, int32_t column, char code[static 32]) {
    struct schema_dictionary different = {0};
    const int64_t stride = a->fortran ? 1 : a->per_row, first = a->fortran ? column * a->dims[0] : column;
    int64_t beyond = 0, looked_at = 0;
    for (int64_t i = 0; i < rows; i++) {
        char text[32];
        const bool is_beyond = wide_text(a, values + (size_t)(first + i * stride) * 8, a->big, text);
        if (is_beyond && beyond++ == 0) memcpy(code, text, sizeof text);
        if (looked_at == CODES_LOOKED_AT) continue;
        looked_at++;
        if (schema_dictionary_find(&different, text, strlen(text)) < 0) schema_dictionary_add(&different, text, strlen(text), text, strlen(text));
    }
    const bool many = looked_at >= 1000 && different.count * 2 > looked_at;
    schema_dictionary_clear(&different);
    return !beyond ? SCHEMA_NUMERIC : many ? SCHEMA_TEXT : SCHEMA_CATEGORICAL;
}

int array_declare(struct schema_ingest *ingest, struct array *a, const char *name, const unsigned char *values, int64_t rows,
                  struct schema_problems *problems) {
    a->tensor = a->rank > 2 || (a->rank == 2 && ingest->options.one_column);
    const enum schema_type usual = a->tensor ? SCHEMA_TENSOR : a->kind == 'b' ? SCHEMA_BOOLEAN : SCHEMA_NUMERIC;
    struct bp_shape shape = {.rank = a->rank - 1};
    ingest->locate = locate;
    for (int32_t d = 1; d < a->rank; d++) shape.dims[d - 1] = (int32_t)a->dims[d];
    a->first = ingest->columns_count;
    const bool several = a->rank == 2 && !a->tensor;
    a->columns = several ? (int32_t)a->dims[1] : 1;
    for (int32_t i = 0; i < a->columns; i++) {
        char numbered[INGEST_NAME_MAX + 32], code[32] = "";
        int n = several ? snprintf(numbered, sizeof numbered, "%s%d", name, i) : snprintf(numbered, sizeof numbered, "%s", name);
        const enum schema_type type = is_wide(a) && !a->tensor ? type_of_wide(a, values, rows, i, code) : usual;
        const int32_t at = schema_ingest_declare(ingest, numbered, (size_t)n, type, type == SCHEMA_TENSOR ? &shape : NULL, problems);
        if (at < 0) return -1;
        if (*code) schema_spelling_number(&ingest->columns[at].spelling, code, strlen(code), false);
    }
    return 0;
}

/* ---- rows ---- */

/* A value that is not simply a number of a numeric column. */
static int put_cell(struct schema_ingest *ingest, const struct array *a, int32_t column, double number, const unsigned char *value,
                    struct schema_problems *problems) {
    char text[32];
    struct schema_cell cell = {.column = column, .number = number, .text = text};
    if (isinf(number)) {
        snprintf(text, sizeof text, number > 0 ? "inf" : "-inf");
        return schema_ingest_problem(ingest, column, text, strlen(text), problems, "expected a finite number, or NaN for a missing one");
    }
    if (isnan(number)) cell.kind = CELL_MISSING;
    else if (a->kind == 'b') cell.kind = CELL_BOOLEAN, strncpy(text, number != 0 ? "true" : "false", sizeof text), cell.size = strlen(text);
    else if (is_wide(a)) {
        const bool beyond = wide_text(a, value, false, text);
        const struct ingest_column *c = &ingest->columns[column];
        if (beyond && schema_type_is_number(c->type) && !c->given)
            return schema_ingest_problem(ingest, column, text, strlen(text), problems,
                                         "expected an integer up to 2^53, the exact range of a number; if the column holds identifiers, send it with "
                                         "types=%s:categorical",
                                         c->name);
        cell.kind = CELL_NUMBER, cell.size = strlen(text);
    } else cell.kind = CELL_NUMBER, schema_number_text(number, text, sizeof text), cell.size = strlen(text);
    return schema_ingest_cell(ingest, &cell, problems);
}

static int put_tensor(struct schema_ingest *ingest, const struct array *a, const unsigned char *row, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[a->first];
    float *out = c->tensors + ingest->group_row * a->per_row;
    as_floats(a, row, a->per_row, out);
    c->absent[ingest->group_row] = 0;
    if (a->kind != 'f') return 0;
    float sum = 0; /* NaN as soon as one of them is infinite or missing */
    for (int64_t i = 0; i < a->per_row; i++) sum += out[i] * 0;
    if (sum != 0) c->gaps++;
    for (int64_t i = 0; sum != 0 && i < a->per_row; i++)
        if (isinf(out[i]))
            return schema_ingest_problem(ingest, a->first, NULL, 0, problems,
                                         "the array holds an infinite number, or one too large for float32; use NaN for a missing one");
    return 0;
}

/* Values of columns, a few at a time. */
static int put_columns(struct schema_ingest *ingest, const struct array *a, const unsigned char *row, struct schema_problems *problems) {
    enum { FEW = 256 };
    double numbers[FEW];
    for (int32_t from = 0; from < a->columns; from += FEW) {
        const int32_t n = a->columns - from < FEW ? a->columns - from : FEW;
        as_doubles(a, row + (size_t)from * a->bytes, n, numbers);
        for (int32_t i = 0; i < n; i++) {
            double *place = ingest->numbers[a->first + from + i];
            const bool exact = a->kind == 'f' ? !isinf(numbers[i]) : fabs(numbers[i]) < (double)EXACT;
            if (place && exact) place[ingest->group_row] = numbers[i];
            else if (put_cell(ingest, a, a->first + from + i, numbers[i], row + (size_t)(from + i) * a->bytes, problems)) return -1;
        }
    }
    return 0;
}

int array_put(struct schema_ingest *ingest, const struct array *a, const unsigned char *row, struct schema_problems *problems) {
    unsigned char few[4096], *swapped = NULL;
    const size_t size = array_row_bytes(a);
    if (a->big && a->bytes > 1) {
        swapped = size <= sizeof few ? few : malloc(size);
        if (!swapped) return schema_ingest_no_memory(problems);
        swap(row, (size_t)a->per_row, a->bytes, swapped);
        row = swapped;
    }
    const int failed = a->tensor ? put_tensor(ingest, a, row, problems) : put_columns(ingest, a, row, problems);
    if (swapped != few) free(swapped);
    return failed;
}

void array_gather(const struct array *a, const unsigned char *start, int64_t i, unsigned char *row) {
    int64_t index[ARRAY_RANK_MAX] = {0};
    for (int64_t k = 0; k < a->per_row; k++) {
        int64_t at = 0;
        for (int32_t d = a->rank - 1; d > 0; d--) at = at * a->dims[d] + index[d];
        memcpy(row + (size_t)k * a->bytes, start + (size_t)(at * a->dims[0] + i) * a->bytes, a->bytes);
        for (int32_t d = a->rank - 1; d > 0 && ++index[d] == a->dims[d]; d--) index[d] = 0;
    }
}

/* ---- the stream ---- */

int array_stream_begin(struct schema_ingest *ingest, struct array_stream *s, const unsigned char *values, int64_t rows,
                       struct schema_problems *problems) {
    s->begun = true;
    if (array_declare(ingest, &s->array, ingest->options.column ? ingest->options.column : "x", values, rows, problems)) return -1;
    return schema_ingest_start(ingest, 0, problems);
}

int array_stream_start(struct schema_ingest *ingest, struct array_stream *s, struct schema_problems *problems) {
    s->held = malloc(array_row_bytes(&s->array));
    if (!s->held) return schema_ingest_no_memory(problems);
    if (!is_wide(&s->array)) return array_stream_begin(ingest, s, NULL, 0, problems);
    if (!s->array.fortran && !(s->sample = malloc(SAMPLE))) return schema_ingest_no_memory(problems);
    return 0;
}

static int whole_row(struct schema_ingest *ingest, struct array_stream *s, const unsigned char *row, struct schema_problems *problems) {
    if (schema_ingest_row_begin(ingest, s->rows, problems) || array_put(ingest, &s->array, row, problems)) return -1;
    s->rows++;
    return schema_ingest_row_end(ingest, problems);
}

static int feed_rows(struct schema_ingest *ingest, struct array_stream *s, const unsigned char *p, size_t size, struct schema_problems *problems) {
    const unsigned char *end = p + size;
    const size_t row = array_row_bytes(&s->array);
    while (p < end) {
        if (s->rows == s->array.dims[0])
            return schema_problem_add(problems, NULL, "the file is damaged: bytes follow the last of the %lld rows", (long long)s->rows);
        if (s->held_size == 0 && (size_t)(end - p) >= row) {
            if (whole_row(ingest, s, p, problems)) return -1;
            p += row;
            continue;
        }
        const size_t n = row - s->held_size < (size_t)(end - p) ? row - s->held_size : (size_t)(end - p);
        memcpy(s->held + s->held_size, p, n);
        s->held_size += n, p += n;
        if (s->held_size < row) return 0;
        s->held_size = 0;
        if (whole_row(ingest, s, s->held, problems)) return -1;
    }
    return 0;
}

/* The sample is complete: infers the columns and replays its rows. */
static int end_sample(struct schema_ingest *ingest, struct array_stream *s, struct schema_problems *problems) {
    const int64_t there = (int64_t)(s->sample_size / array_row_bytes(&s->array));
    const int64_t rows = there < s->array.dims[0] ? there : s->array.dims[0];
    return array_stream_begin(ingest, s, s->sample, rows, problems) ? -1 : feed_rows(ingest, s, s->sample, s->sample_size, problems);
}

int array_stream_feed(struct schema_ingest *ingest, struct array_stream *s, const char *bytes, size_t size, struct schema_problems *problems) {
    if (!s->begun) {
        const size_t n = SAMPLE - s->sample_size < size ? SAMPLE - s->sample_size : size;
        memcpy(s->sample + s->sample_size, bytes, n);
        s->sample_size += n, bytes += n, size -= n;
        if (s->sample_size < SAMPLE) return 0;
        if (end_sample(ingest, s, problems)) return -1;
    }
    return feed_rows(ingest, s, (const unsigned char *)bytes, size, problems);
}

int array_stream_finish(struct schema_ingest *ingest, struct array_stream *s, struct schema_problems *problems) {
    if (!s->begun && end_sample(ingest, s, problems)) return -1;
    if (s->rows == s->array.dims[0] || (ingest->options.part && s->rows > 0)) return 0;
    return schema_problem_add(problems, NULL, "the file is truncated: its header declares %lld rows, it has %lld", (long long)s->array.dims[0],
                              (long long)s->rows);
}

void array_stream_clear(struct array_stream *s) {
    free(s->held);
    free(s->sample);
}
