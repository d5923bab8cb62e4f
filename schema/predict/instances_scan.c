/* instances_scan.c - the one-pass reader of predict bodies: {"instances":[ [..] | {..}, ... ]} with numbers written straight where they
 * belong. Whatever it does not expect - escapes, odd types, other layouts, errors - makes it give up, and the jansson reader decides. It therefore
 * never accepts what jansson refuses; a fuzzer compares the two. */
#include "schema/predict/scan.h"

#include "schema/text/number.h"

#include <math.h>
#include <string.h>

void schema_scan_blanks(struct schema_scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r')) s->at++;
}

/* Skips blanks, then takes c if it is there. */
bool schema_scan_take(struct schema_scan *s, char c) {
    schema_scan_blanks(s);
    if (s->at == s->end || *s->at != c) return false;
    s->at++;
    return true;
}

bool schema_scan_word(struct schema_scan *s, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0) return false;
    s->at += n;
    return true;
}

/* A string of plain ASCII without escapes. */
bool schema_scan_string(struct schema_scan *s, const char **text, size_t *size) {
    if (!schema_scan_take(s, '"')) return false;
    const char *start = s->at;
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at;
        if (c < 0x20 || c >= 0x80 || c == '\\') return false;
        s->at++;
    }
    if (s->at == s->end) return false;
    *text = start;
    *size = (size_t)(s->at - start);
    s->at++;
    return true;
}

bool schema_scan_number(struct schema_scan *s, double *number) {
    size_t n = schema_number_json(s->at, (size_t)(s->end - s->at), number);
    if (n == 0 || !isfinite(*number)) return false;
    /* 16 digits without a point are an integer to jansson, which has its own limit: let it decide about long ones. */
    if (n > 18) return false;
    s->at += n;
    return true;
}

/* Nested arrays of numbers that follow the shape, or one flat list of all of them. */
bool schema_scan_tensor(struct schema_scan *s, const struct bp_shape *shape, int32_t level, float **out) {
    if (!schema_scan_take(s, '[')) return false;
    int32_t count = shape->dims[level];
    for (int32_t i = 0; i < count; i++) {
        if (i > 0 && !schema_scan_take(s, ',')) return false;
        if (level + 1 < shape->rank) {
            if (!schema_scan_tensor(s, shape, level + 1, out)) return false;
            continue;
        }
        double v;
        schema_scan_blanks(s);
        if (!schema_scan_number(s, &v)) return false;
        *(*out)++ = (float)v;
    }
    return schema_scan_take(s, ']');
}

static bool take_cell(struct schema_scan *s, int32_t i) {
    schema_scan_blanks(s);
    if (s->at == s->end) return false;
    if (*s->at == 'n') {
        s->p->cells[i].kind = SCHEMA_VALUE_MISSING;
        return schema_scan_word(s, "null");
    }
    return schema_type_of(s->p->preprocessing->features[i].type)->scan(s, i);
}

static bool take_array(struct schema_scan *s) {
    int32_t count = s->p->preprocessing->features_count;
    s->at++;
    for (int32_t i = 0; i < count; i++) {
        if (i > 0 && !schema_scan_take(s, ',')) return false;
        if (!take_cell(s, i)) return false;
    }
    return schema_scan_take(s, ']');
}

/* The feature of that name; keys are mostly in the same order, so the one after the last is tried first. -1: none. */
static int32_t feature_of(const struct schema_preprocessing *pre, const char *name, size_t size, int32_t guess) {
    for (int32_t k = 0; k < pre->features_count; k++) {
        int32_t i = (guess + k) % pre->features_count;
        if (strncmp(pre->features[i].name, name, size) == 0 && pre->features[i].name[size] == '\0') return i;
    }
    return -1;
}

static bool take_object(struct schema_scan *s) {
    const struct schema_preprocessing *pre = s->p->preprocessing;
    const char *name, *text;
    size_t size, text_size;
    double number;
    int32_t guess = 0, seen = 0;
    uint64_t given = 0; /* keys already met: duplicates are for jansson to refuse */
    s->at++;
    for (int32_t i = 0; i < pre->features_count; i++) s->p->cells[i].kind = SCHEMA_VALUE_MISSING;
    if (pre->features_count > 64) return false;
    if (schema_scan_take(s, '}')) return false; /* empty: the other reader reports it */
    do {
        if (!schema_scan_string(s, &name, &size) || !schema_scan_take(s, ':')) return false;
        int32_t i = feature_of(pre, name, size, guess);
        if (i >= 0) {
            if (given >> i & 1) return false;
            given |= UINT64_C(1) << i;
            if (!take_cell(s, i)) return false;
            guess = (i + 1) % pre->features_count;
        } else {
            if (seen++) return false; /* two ignored keys might be the same one twice */
            schema_predictor_ignored(s->p, name, size);
            schema_scan_blanks(s);
            if (s->at == s->end) return false;
            if (*s->at == '"' ? !schema_scan_string(s, &text, &text_size)
                              : !schema_scan_word(s, "null") && !schema_scan_word(s, "true") && !schema_scan_word(s, "false") &&
                                    !schema_scan_number(s, &number))
                return false;
        }
    } while (schema_scan_take(s, ','));
    if (seen && given != UINT64_MAX >> (64 - pre->features_count)) return false; /* one may be meant for the other */
    return schema_scan_take(s, '}');
}

int schema_instances_scan(struct schema_predictor *p, const char *body, size_t size, int64_t rows_max) {
    struct schema_scan s = {p, body, body + size};
    const char *name;
    size_t name_size;
    bool tensor_only = p->preprocessing->features_count == 1 && schema_type_of(p->preprocessing->features[0].type)->value == SCHEMA_VALUE_TENSOR;
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) /* the error names the place */
        if (p->preprocessing->features[i].options.missing == SCHEMA_MISSING_ERROR ||
            p->preprocessing->features[i].options.unseen == SCHEMA_UNSEEN_ERROR)
            return -1;
    if (!schema_scan_take(&s, '{') || !schema_scan_string(&s, &name, &name_size) || name_size != 9 || memcmp(name, "instances", 9) != 0 ||
        !schema_scan_take(&s, ':') || !schema_scan_take(&s, '['))
        return -1;
    do {
        schema_scan_blanks(&s);
        if (s.at == s.end || p->rows == rows_max) return -1;
        bool good = *s.at == '{' ? take_object(&s) : *s.at != '[' ? false : tensor_only ? take_cell(&s, 0) : take_array(&s);
        if (!good || schema_predictor_row(p) >= 0) return -1;
    } while (schema_scan_take(&s, ','));
    if (!schema_scan_take(&s, ']') || !schema_scan_take(&s, '}')) return -1;
    schema_scan_blanks(&s);
    return s.at == s.end ? 0 : -1;
}
