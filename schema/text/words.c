/* words.c - see words.h. */
#include "schema/text/words.h"

#include "engine/base/utf8.h"

#include <string.h>
#include <wctype.h>

locale_t schema_words_locale(struct bp_error *error) {
    locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!locale) bp_error_set(error, "", "text columns need the locale C.UTF-8, which this machine lacks (package libc-bin)");
    return locale;
}

/* The character at p and how many bytes it has; 0 for a byte that is no part of one. */
static uint32_t character(const char *p, size_t left, size_t *size) {
    static const uint8_t first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const size_t n = bp_utf8_character(p, left);
    *size = n ? n : 1;
    if (n == 0) return 0;
    uint32_t c = (unsigned char)p[0] & first[n];
    for (size_t i = 1; i < n; i++) c = c << 6 | ((unsigned char)p[i] & 0x3F);
    return c;
}

static size_t put(uint32_t c, char *out) {
    if (c < 0x80) return out[0] = (char)c, 1;
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | c);
    return n;
}

/* Scripts that are written without blanks between words. */
static bool stands_alone(uint32_t c) {
    return (c >= 0x0E00 && c < 0x0F00) || (c >= 0x1000 && c < 0x10A0) || (c >= 0x1780 && c < 0x1800) || (c >= 0x3040 && c < 0x3100) ||
           (c >= 0x3400 && c < 0xA000) || (c >= 0xF900 && c < 0xFB00) || (c >= 0x20000 && c < 0x40000);
}

static bool is_letter(uint32_t c, locale_t locale) {
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    return iswalnum_l((wint_t)c, locale) != 0;
}

static uint32_t small(uint32_t c, locale_t locale) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
    return (uint32_t)towlower_l((wint_t)c, locale);
}

bool schema_words_next(struct schema_words *w) {
    size_t n;
    w->size = 0;
    while (w->at < w->end) {
        const uint32_t c = character(w->at, (size_t)(w->end - w->at), &n);
        const bool letter = c && is_letter(c, w->locale), alone = letter && stands_alone(c);
        if (w->size > 0 && (!letter || alone)) return true;
        w->at += n;
        if (!letter) continue;
        if (w->size < SCHEMA_WORD_MAX) w->size += put(small(c, w->locale), w->word + w->size);
        if (alone) return true;
    }
    return w->size > 0;
}
