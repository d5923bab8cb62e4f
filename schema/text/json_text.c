/* json_text.c - checks JSON text and steps over it. */
#include "schema/text/json_text.h"

#include "engine/base/utf8.h"
#include "schema/text/number_scan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *json_text_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    return p;
}

static const char *fail(struct json_text_fault *fault, const char *at, const char *what) {
    *fault = (struct json_text_fault){at, what};
    return NULL;
}

/* ---- the check ---- */

/* The four hexadecimal digits at p, -1 when they are not. */
static int32_t hex4(const char *p, const char *end) {
    int32_t value = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i], lower = (char)(c | 0x20);
        if (schema_number_digit(c)) value = value * 16 + (c - '0');
        else if (lower >= 'a' && lower <= 'f') value = value * 16 + (lower - 'a' + 10);
        else return -1;
    }
    return value;
}

/* The escape at p ('\\'). */
static const char *check_escape(const char *p, const char *end, struct json_text_fault *fault) {
    if (end - p < 2) return fail(fault, p, "the text ends inside a string");
    if (p[1] != 'u')
        return strchr("\"\\/bfnrt", p[1]) && p[1] ? p + 2
                                                  : fail(fault, p, "unknown escape in a string; allowed are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    int32_t unit = hex4(p + 2, end);
    if (unit < 0) return fail(fault, p, "\\u needs four hexadecimal digits");
    if (unit == 0) return fail(fault, p, "\\u0000 is not allowed");
    if (unit < 0xD800 || unit > 0xDFFF) return p + 6;
    int32_t low = unit < 0xDC00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8, end) : -1;
    return low >= 0xDC00 && low <= 0xDFFF ? p + 12 : fail(fault, p, "incomplete surrogate pair");
}

static const char *check_string(const char *p, const char *end, struct json_text_fault *fault) {
    const char *opened = p++;
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (c == '"') return p + 1;
        if (c == '\\') {
            p = check_escape(p, end, fault);
            if (!p) return NULL;
        } else if (c < 0x20) return fail(fault, p, c == 0 ? "a NUL byte" : "a control character in a string; write it as an escape");
        else if (c < 0x80) p++;
        else {
            size_t size = bp_utf8_character(p, (size_t)(end - p));
            if (size == 0) return fail(fault, p, "a byte that is not valid UTF-8");
            p += size;
        }
    }
    return fail(fault, opened, "this string is not closed");
}

/* The number at p. Its value matters only where it may be too large for double. */
static const char *check_number(const char *p, const char *end, struct json_text_fault *fault) {
    const char *s = p + (*p == '-'), *first = s;
    while (s < end && schema_number_digit(*s)) s++;
    bool good = s > first && (*first != '0' || s == first + 1);
    if (good && s < end && *s == '.') {
        const char *point = ++s;
        while (s < end && schema_number_digit(*s)) s++;
        good = s > point;
    }
    if (good && s - p < 300 && (s == end || (*s | 0x20) != 'e')) return s;
    double number;
    s = schema_number_scan(p, end, true, &number);
    if (!s) return fail(fault, p, "invalid JSON number");
    return isfinite(number) ? s : fail(fault, p, "a number too large for double");
}

static const char *check_scalar(const char *p, const char *end, struct json_text_fault *fault) {
    static const char *const words[] = {"true", "false", "null"};
    if (*p == '"') return check_string(p, end, fault);
    if (*p == '-' || schema_number_digit(*p)) return check_number(p, end, fault);
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(words[i]);
        if ((size_t)(end - p) >= size && memcmp(p, words[i], size) == 0) return p + size;
    }
    if (*p == 'N' || *p == 'I' || *p == 'n') return fail(fault, p, "expected a value; NaN and Infinity are not JSON, write null for a missing value");
    return fail(fault, p, *p == '\'' ? "expected a value; strings are in double quotes" : *p == '\0' ? "a NUL byte" : "expected a value");
}

/* The key at p and its colon. */
static const char *check_key(const char *p, const char *end, struct json_text_fault *fault) {
    p = json_text_blanks(p, end);
    if (p == end || *p != '"') return fail(fault, p, p == end ? "the text ends inside an object" : "expected a key in double quotes");
    p = check_string(p, end, fault);
    if (!p) return NULL;
    p = json_text_blanks(p, end);
    return p < end && *p == ':' ? p + 1 : fail(fault, p, p == end ? "the text ends inside an object" : "expected ':' after a key");
}

const char *json_text_check(const char *p, const char *end, const struct json_text_progress *progress, struct json_text_fault *fault) {
    uint64_t objects = 0; /* bit d: what is open at depth d is an object */
    int depth = 0;
    for (;;) {
        p = json_text_blanks(p, end);
        if (p == end) return fail(fault, p, depth ? "the text ends where a value is expected" : "the text is empty");
        if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            if (depth == JSON_TEXT_DEPTH_MAX) return fail(fault, p, "nested deeper than 64 levels");
            objects = object ? objects | UINT64_C(1) << depth : objects & ~(UINT64_C(1) << depth);
            depth++;
            p = json_text_blanks(p + 1, end);
            if (p == end || *p != (object ? '}' : ']')) {
                if (object && !(p = check_key(p, end, fault))) return NULL;
                continue;
            }
            p++, depth--;
        } else {
            p = check_scalar(p, end, fault);
            if (!p) return NULL;
        }
        for (;;) { /* after a value */
            if (depth == 0) return p;
            bool object = objects >> (depth - 1) & 1;
            p = json_text_blanks(p, end);
            if (p == end) return fail(fault, p, object ? "the text ends inside an object" : "the text ends inside an array");
            if (*p == ',') break;
            if (*p != (object ? '}' : ']')) return fail(fault, p, object ? "expected ',' or '}'" : "expected ',' or ']'");
            p++, depth--;
        }
        p++;
        if (progress && depth <= 3) progress->done(progress->context, p, depth);
        if (objects >> (depth - 1) & 1 && !(p = check_key(p, end, fault))) return NULL;
    }
}

/* ---- steps over checked text ---- */

/* The position after the string at p. */
static const char *skip_string(const char *p, const char *end) {
    for (p++; p < end; p++) {
        if (*p == '"') return p + 1;
        if (*p == '\\') p++;
    }
    return end;
}

const char *json_text_skip(const char *p, const char *end) {
    int depth = 0;
    p = json_text_blanks(p, end);
    while (p < end) {
        char c = *p;
        if (c == '"') p = skip_string(p, end);
        else if (c == '[' || c == '{') depth++, p++;
        else if (c == ']' || c == '}') {
            if (depth == 0) return p;
            depth--, p++;
        } else if (depth == 0)
            while (p < end && *p != ',' && *p != ']' && *p != '}' && *p != ' ' && *p != '\n' && *p != '\t' && *p != '\r') p++;
        else p++;
        if (depth == 0) return p;
    }
    return end;
}

static size_t put_utf8(char *out, int32_t c) {
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3F)), 2;
    if (c < 0x10000) return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3F)), out[2] = (char)(0x80 | (c & 0x3F)), 3;
    out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 0x3F)), out[2] = (char)(0x80 | (c >> 6 & 0x3F)),
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* Undoes the escapes of from[0..size) into out, which is as large. */
static size_t unescape(const char *from, size_t size, char *out) {
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *end = from + size;
    size_t n = 0;
    while (from < end) {
        if (*from != '\\' || end - from < 2) {
            out[n++] = *from++;
            continue;
        }
        if (from[1] != 'u') {
            const char *letter = strchr(letters, from[1]);
            out[n++] = letter && *letter ? meanings[letter - letters] : from[1];
            from += 2;
            continue;
        }
        int32_t c = hex4(from + 2, end);
        from += 6;
        if (c >= 0xD800 && c < 0xDC00) {
            c = 0x10000 + ((c - 0xD800) << 10) + (hex4(from + 2, end) - 0xDC00);
            from += 6;
        }
        n += put_utf8(out + n, c);
    }
    return n;
}

const char *json_text_string(const char *p, const char *end, struct json_text_buffer *buffer, const char **text, size_t *size) {
    const char *after = skip_string(p, end), *from = p + 1;
    size_t n = (size_t)(after - 1 - from);
    if (!memchr(from, '\\', n)) {
        *text = from, *size = n;
        return after;
    }
    if (n > buffer->room) {
        char *grown = realloc(buffer->bytes, n);
        if (!grown) return NULL;
        buffer->bytes = grown, buffer->room = n;
    }
    *text = buffer->bytes;
    *size = unescape(from, n, buffer->bytes);
    return after;
}

const char *json_text_next(const char *p, const char *end) {
    p = json_text_blanks(p, end);
    return p < end && *p == ',' ? json_text_blanks(p + 1, end) : p;
}
