/* text.c - a growing buffer, JSON pieces, the nearest known name. Nothing here knows what the text is about. */
#include "schema/text/text.h"

#include "schema/text/number_print.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIRST_CAPACITY = 256, NEAREST_MAX = 64 };

/* ---- growing buffer ------------------------------------------------------------------------------------------- */

static bool reserve(struct schema_text *text, size_t more) {
    if (text->failed) return false;
    if (more > text->limit || text->size > text->limit - more) return text->failed = true, false;
    size_t need = text->size + more + 1;
    if (need <= text->capacity) return true;
    size_t capacity = text->capacity ? text->capacity : FIRST_CAPACITY;
    while (capacity < need) capacity *= 2;
    char *bytes = realloc(text->bytes, capacity);
    if (!bytes) return text->failed = true, false;
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

char *schema_text_room(struct schema_text *text, size_t more) {
    return reserve(text, more) ? text->bytes + text->size : NULL;
}

void schema_text_add(struct schema_text *text, const char *bytes, size_t size) {
    if (!reserve(text, size)) return;
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

char schema_text_last(const struct schema_text *text) {
    return text->bytes && text->size ? text->bytes[text->size - 1] : '\0';
}

void schema_text_string(struct schema_text *text, const char *string) {
    schema_text_add(text, string, strlen(string));
}

void schema_text_format(struct schema_text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size >= 0 && reserve(text, (size_t)size)) {
        vsnprintf(text->bytes + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

void schema_text_json_string(struct schema_text *text, const char *string) {
    schema_text_add(text, "\"", 1);
    const char *start = string;
    for (const char *c = string;; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        schema_text_add(text, start, (size_t)(c - start));
        if (!byte) break;
        if (byte == '"' || byte == '\\') {
            char escape[2] = {'\\', *c};
            schema_text_add(text, escape, 2);
        } else {
            schema_text_format(text, "\\u%04x", byte);
        }
        start = c + 1;
    }
    schema_text_add(text, "\"", 1);
}

void schema_text_json_float(struct schema_text *text, double value) {
    if (!isfinite(value)) {
        schema_text_add(text, "null", 4);
        return;
    }
    char *to = schema_text_room(text, SCHEMA_NUMBER_DIGITS);
    if (!to) return;
    text->size += (double)(float)value == value ? schema_number_print_nine((float)value, to) : schema_number_print_digits(value, 9, to);
    text->bytes[text->size] = '\0';
}

void schema_text_json_double(struct schema_text *text, double value) {
    char digits[40];
    if (!isfinite(value)) {
        schema_text_add(text, "null", 4);
        return;
    }
    int size = 0;
    for (int precision = 15; precision <= 17; precision++) {
        size = snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) break;
    }
    schema_text_add(text, digits, (size_t)size);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b, case ignored. Both shorter than NEAREST_MAX. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t rows[3][NEAREST_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_size; j++) above[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            size_t best = above[j - 1] + (x != y);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[b_size];
}

const char *schema_nearest(const char *name, const char *(*at)(const void *context, int32_t i), const void *context, int32_t count) {
    size_t size = strlen(name);
    if (size == 0 || size >= NEAREST_MAX) return NULL;
    size_t limit = size / 3 > 1 ? size / 3 : 1, best = limit + 1;
    const char *found = NULL;
    for (int32_t i = 0; i < count; i++) {
        const char *known = at(context, i);
        size_t known_size = strlen(known);
        if (known_size == 0 || known_size >= NEAREST_MAX) continue;
        size_t d = distance(name, size, known, known_size);
        bool prefix = size >= 3 && known_size > size && strncasecmp(name, known, size) == 0;
        if (prefix && d > limit) d = limit;
        if (d < best && d < size) { /* a name of one letter is near to nothing but itself */
            best = d;
            found = known;
        }
    }
    return found;
}

static const char *list_at(const void *context, int32_t i) {
    return ((const char *const *)context)[i];
}

const char *schema_nearest_in(const char *name, const char *const *names) {
    int32_t count = 0;
    while (names[count]) count++;
    return schema_nearest(name, list_at, names, count);
}

const char *schema_did_you_mean(const char *nearest, char *text, size_t size) {
    if (nearest) snprintf(text, size, ", did you mean \"%s\"?", nearest);
    else if (size) text[0] = '\0';
    return text;
}

bool schema_name_valid(const char *name) {
    size_t size = strlen(name);
    if (size < 1 || size > 63) return false;
    if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789", name[0])) return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}
