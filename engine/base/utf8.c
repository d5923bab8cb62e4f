/* utf8.c - see utf8.h. */
#include "engine/base/utf8.h"

#include <string.h>

size_t bp_utf8_character(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) return p[0] != 0;
    if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
    size_t length = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (n < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) return 0;
    return length;
}

size_t bp_utf8_valid(const char *text, size_t size) {
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;
    while (i < size) {
        if (p[i] - 1u < 0x7F) { /* ASCII without NUL */
            i++;
            continue;
        }
        size_t length = bp_utf8_character(text + i, size - i);
        if (length == 0) return i;
        i += length;
    }
    return size;
}

void bp_utf8_repair(char *text) {
    const size_t size = strlen(text);
    for (size_t i = bp_utf8_valid(text, size), n; i < size; i += n ? n : 1)
        if ((n = bp_utf8_character(text + i, size - i)) == 0) text[i] = '?';
}
