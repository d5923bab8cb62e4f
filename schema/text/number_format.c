/* number_format.c - see number_format.h. Decorations (sign, currency, percent, parentheses) are taken off, then the core is rewritten as a plain
 * number under each set of marks. */
#include "schema/text/number_format.h"

#include "schema/text/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CORE_MAX = 64 };

static const struct {
    char thousands, decimal;
    const char *words;
} marks[SCHEMA_MARKS] = {{0, '.', ""},
                         {',', '.', "thousands_comma"},
                         {' ', '.', "thousands_space"},
                         {'\'', '.', "thousands_apostrophe"},
                         {'.', ',', "thousands_point decimal_comma"},
                         {' ', ',', "thousands_space decimal_comma"}};

/* ---- decorations ---- */

/* Signs and codes of currencies; among codes the usual ones only, so that "12 ABC" stays text. */
static const char *const currencies[] = {"US$", "R$",  "$",   "€",   "£",   "¥",   "₹",   "₩",   "₽", "₺",   "₪",   "₫",   "₴",   "₦",   "฿",
                                         "USD", "EUR", "GBP", "JPY", "CNY", "CHF", "INR", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK",
                                         "HUF", "RON", "TRY", "BRL", "MXN", "ZAR", "KRW", "SGD", "HKD", "RUB", "ILS", "kr",  "zł",  "Kč",  NULL};

struct span {
    const char *p, *end;
};

static bool starts(const struct span *s, const char *with) {
    const size_t n = strlen(with);
    return (size_t)(s->end - s->p) >= n && memcmp(s->p, with, n) == 0;
}
static bool ends(const struct span *s, const char *with) {
    const size_t n = strlen(with);
    return (size_t)(s->end - s->p) >= n && memcmp(s->end - n, with, n) == 0;
}

/* Blanks, tabs, no-break spaces. */
static void trim(struct span *s) {
    static const char *const blanks[] = {" ", "\t", "\xC2\xA0", "\xE2\x80\xAF"};
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++) {
            if (starts(s, blanks[i])) s->p += strlen(blanks[i]), more = true;
            if (ends(s, blanks[i])) s->end -= strlen(blanks[i]), more = true;
        }
    }
}

/* A currency before or after the number. False: the column has another one. */
static bool take_currency(struct span *s, char currency[static 8]) {
    if (s->p < s->end && (unsigned char)(*s->p - '0') < 10 && (unsigned char)(s->end[-1] - '0') < 10) return true; /* most numbers */
    for (int i = 0; currencies[i]; i++) {
        const bool before = starts(s, currencies[i]), behind = !before && ends(s, currencies[i]);
        if (!before && !behind) continue;
        if (*currency) return false;
        snprintf(currency, 8, "%s", currencies[i]);
        if (before) s->p += strlen(currencies[i]);
        else s->end -= strlen(currencies[i]);
        trim(s);
        return true;
    }
    return true;
}

/* "-" and "+" before, U+2212 too. */
static bool take_sign(struct span *s, bool *negative, struct schema_number_spelling *spelling) {
    if (starts(s, "\xE2\x88\x92")) s->p += 3, *negative = !*negative, spelling->accounting = true;
    else if (starts(s, "-")) s->p++, *negative = !*negative;
    else if (starts(s, "+")) s->p++;
    else return false;
    trim(s);
    return true;
}

/* Leaves the core, which begins with a digit or a decimal mark. */
static bool undress(struct span *s, bool *negative, struct schema_number_spelling *spelling) {
    *negative = false;
    trim(s);
    if (starts(s, "(") && ends(s, ")") && s->end - s->p > 2) s->p++, s->end--, *negative = true, spelling->accounting = true, trim(s);
    bool sign = take_sign(s, negative, spelling);
    if (!take_currency(s, spelling->currency)) return false;
    if (!sign) sign = take_sign(s, negative, spelling);
    if (ends(s, "%")) s->end--, spelling->percent = true, trim(s);
    if (!sign && s->end - s->p > 1 && ends(s, "-")) s->end--, *negative = true, spelling->accounting = true, sign = true, trim(s);
    if (!*spelling->currency && !take_currency(s, spelling->currency)) return false;
    if (sign && *negative && spelling->accounting && starts(s, "(")) return false;
    return s->p < s->end && s->end - s->p <= CORE_MAX && ((*s->p >= '0' && *s->p <= '9') || *s->p == '.' || *s->p == ',');
}

/* ---- marks ---- */

/* The mark of thousands at p: its bytes, 0: there is none. A space may be any that does not break. */
static size_t mark_at(const char *p, const char *end, char thousands, bool *narrow) {
    if (p == end || !thousands) return 0;
    if (*p == thousands) return 1;
    if (thousands == '\'' && end - p >= 3 && memcmp(p, "\xE2\x80\x99", 3) == 0) return 3;
    if (thousands != ' ') return 0;
    *narrow = true;
    if (end - p >= 2 && memcmp(p, "\xC2\xA0", 2) == 0) return 2;
    if (end - p >= 3 && (memcmp(p, "\xE2\x80\xAF", 3) == 0 || memcmp(p, "\xE2\x80\x89", 3) == 0)) return 3;
    return 0;
}

/* The core as a plain number, which is written to plain; 0: it is none under these marks, else its size. *groups: marks of thousands in it. */
static size_t plain_of(const struct span *s, enum schema_number_marks which, char plain[static CORE_MAX + 1], int *groups, bool *narrow,
                       bool *fraction) {
    const char thousands = marks[which].thousands, decimal = marks[which].decimal, *p = s->p, *group = p;
    size_t n = 0, mark;
    int twos = 0, threes = 0;
    bool spaced = false;
    *groups = 0, *fraction = false;
    for (; p < s->end; p++) {
        if (*p >= '0' && *p <= '9') {
            plain[n++] = *p;
            continue;
        }
        bool odd = false;
        if (!(mark = mark_at(p, s->end, thousands, &odd))) break;
        spaced = spaced || odd;
        const int digits = (int)(p - group);
        if (*groups == 0 ? digits < 1 || digits > 3 || *s->p == '0' : digits != 2 && digits != 3) return 0;
        if (*groups > 0) twos += digits == 2, threes += digits == 3;
        ++*groups;
        p += mark - 1, group = p + 1;
    }
    if (*groups > 0 && (p - group != 3 || (twos > 0 && threes > 0))) return 0; /* India: pairs, then a last group of three */
    if (twos > 0 && thousands != ',') return 0;
    if (p < s->end && *p == decimal) {
        *fraction = true;
        plain[n++] = '.';
        for (p++; p < s->end && *p >= '0' && *p <= '9'; p++) plain[n++] = *p;
    }
    if (p < s->end && (*p | 0x20) == 'e' && *groups == 0) {
        *fraction = true;
        for (; p < s->end; p++) plain[n++] = *p;
    }
    *narrow = *narrow || spaced;
    return p == s->end ? n : 0;
}

static bool number_of(const struct span *s, enum schema_number_marks which, bool negative, int *groups, bool *narrow, bool *fraction,
                      double *number) {
    char plain[CORE_MAX + 1];
    const size_t n = plain_of(s, which, plain, groups, narrow, fraction);
    if (n == 0 || !schema_number_cell(plain, n, number)) return false;
    if (negative) *number = -*number;
    return true;
}

/* Most texts are none at the first look. */
static bool has_digit(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] >= '0' && text[i] <= '9') return true;
    return false;
}

bool schema_number_spell(const char *text, size_t size, struct schema_number_spelling *spelling) {
    struct span s = {text, text + size};
    bool negative;
    *spelling = (struct schema_number_spelling){0};
    if (size == 0 || size > CORE_MAX + 32 || !has_digit(text, size) || !undress(&s, &negative, spelling)) return false;
    for (int m = 0; m < SCHEMA_MARKS; m++) {
        double number;
        int groups;
        bool fraction;
        if (!number_of(&s, (enum schema_number_marks)m, negative, &groups, &spelling->narrow, &fraction, &number)) continue;
        spelling->marks |= 1u << m;
        spelling->fraction = spelling->fraction || fraction;
        if (groups > 0) spelling->grouped |= 1u << m;
    }
    return spelling->marks != 0;
}

/* ---- reading ---- */

static bool read_in(const struct schema_number_format *format, const char *text, size_t size, double *number) {
    struct schema_number_spelling spelling = {0};
    struct span s = {text, text + size};
    bool negative, narrow = false, fraction;
    int groups;
    if (size == 0 || size > CORE_MAX + 32 || !undress(&s, &negative, &spelling)) return false;
    if ((spelling.percent && !format->percent) || (spelling.accounting && !format->accounting)) return false;
    if (*spelling.currency && strcmp(spelling.currency, format->currency) != 0) return false;
    if (number_of(&s, format->marks, negative, &groups, &narrow, &fraction, number) && (groups == 0 || format->grouped)) return true;
    return format->marks != SCHEMA_MARKS_PLAIN && number_of(&s, SCHEMA_MARKS_PLAIN, negative, &groups, &narrow, &fraction, number);
}

bool schema_number_read(const struct schema_number_format *format, const char *text, size_t size, double *number) {
    const bool point = format->marks == SCHEMA_MARKS_POINT_COMMA && format->grouped; /* 1.234 is no plain number there */
    if (!point && schema_number_cell(text, size, number)) return true;
    return read_in(format, text, size, number) || (point && schema_number_cell(text, size, number));
}

bool schema_number_read_as(const char *format, const char *text, size_t size, double *number) {
    struct schema_number_format f;
    if (!format || !schema_number_format_parse(format, &f)) return schema_number_cell(text, size, number);
    return schema_number_read(&f, text, size, number);
}

/* ---- formats as texts ---- */

static bool known_currency(const char *text) {
    for (int i = 0; currencies[i]; i++)
        if (strcmp(currencies[i], text) == 0) return true;
    return false;
}

bool schema_number_format_parse(const char *text, struct schema_number_format *f) {
    char word[32], thousands = 0, decimal = 0;
    *f = (struct schema_number_format){0};
    for (const char *p = text; *p;) {
        const size_t n = strcspn(p, " +");
        if (n >= sizeof word) return false;
        memcpy(word, p, n);
        word[n] = '\0';
        p += n + strspn(p + n, " +");
        const char mark = strcmp(word, "thousands_comma") == 0        ? ','
                          : strcmp(word, "thousands_point") == 0      ? '.'
                          : strcmp(word, "thousands_space") == 0      ? ' '
                          : strcmp(word, "thousands_apostrophe") == 0 ? '\''
                                                                      : 0;
        if (mark && thousands) return false;
        if (mark) thousands = mark;
        else if (strcmp(word, "decimal_comma") == 0) decimal = ',';
        else if (strcmp(word, "percent") == 0) f->percent = true;
        else if (strcmp(word, "accounting") == 0) f->accounting = true;
        else if (strncmp(word, "currency=", 9) == 0 && known_currency(word + 9)) snprintf(f->currency, sizeof f->currency, "%.7s", word + 9);
        else if (n && strcmp(word, "plain") != 0) return false;
    }
    f->grouped = thousands != 0;
    if (!thousands && decimal) f->marks = SCHEMA_MARKS_POINT_COMMA;
    else if (thousands == '.') f->marks = SCHEMA_MARKS_POINT_COMMA;
    else
        while (thousands && f->marks < SCHEMA_MARKS && (marks[f->marks].thousands != thousands || marks[f->marks].decimal != (decimal ? ',' : '.')))
            f->marks++;
    return f->marks < SCHEMA_MARKS;
}

const char *schema_number_format_text(const struct schema_number_format *f, char text[static SCHEMA_NUMBER_FORMAT_TEXT]) {
    const char *words = f->marks == SCHEMA_MARKS_PLAIN   ? ""
                        : f->grouped                     ? marks[f->marks].words
                        : marks[f->marks].decimal == ',' ? "decimal_comma"
                                                         : "";
    snprintf(text, SCHEMA_NUMBER_FORMAT_TEXT, " %s%s%s%s%s", words, f->percent ? " percent" : "", f->accounting ? " accounting" : "",
             *f->currency ? " currency=" : "", f->currency);
    size_t n = strspn(text, " ");
    memmove(text, text + n, strlen(text + n) + 1);
    for (size_t size = strlen(text); size > 0 && text[size - 1] == ' ';) text[--size] = '\0';
    return text;
}

/* ---- digits that a number does not keep ---- */

enum schema_number_loss schema_number_loss(const char *text, size_t size) {
    const char *p = text, *end = text + size;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    if (p < end && (*p == '-' || *p == '+')) p++;
    const char *first = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    if (p == first || p < end) return SCHEMA_LOSS_NONE;
    if (*first == '0' && end - first > 1) return SCHEMA_LOSS_ZEROS;
    while (p > first && p[-1] == '0') p--; /* 20000000000000000 is exact */
    double number;
    if (p - first <= 15 || !schema_number_cell(first, (size_t)(end - first), &number)) return SCHEMA_LOSS_NONE;
    if (number == 9007199254740992.0) return end - first == 16 && memcmp(first, "9007199254740992", 16) == 0 ? SCHEMA_LOSS_NONE : SCHEMA_LOSS_DIGITS;
    return number > 9007199254740992.0 ? SCHEMA_LOSS_DIGITS : SCHEMA_LOSS_NONE;
}
