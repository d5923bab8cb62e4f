/* utf8.h - whether bytes are UTF-8 (RFC 3629), and text that a person reads made so. */
#ifndef BP_UTF8_H
#define BP_UTF8_H

#include <stddef.h>

/* Valid UTF-8 without NUL. Returns the offset of the first bad byte, size when all is well. */
size_t bp_utf8_valid(const char *text, size_t size);
/* Bytes of the UTF-8 character at text[0..size), size > 0; 0 when it is none (overlong, a surrogate, beyond U+10FFFF, cut, NUL). */
size_t bp_utf8_character(const char *text, size_t size);
/* Replaces each byte of a string that is no UTF-8 with '?'. */
void bp_utf8_repair(char *text);

#endif
