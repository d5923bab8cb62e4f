/* words.h - a text cut into words: the longest runs of letters and digits, in small letters; every character of a script without blanks between words
 * (Han, Hiragana, Katakana, Thai, ...) is a separate word. The C library's C.UTF-8 locale defines letters. */
#ifndef SCHEMA_WORDS_H
#define SCHEMA_WORDS_H

#include "engine/base/base.h"

#include <locale.h>

enum { SCHEMA_WORD_MAX = 64 }; /* bytes; of a longer word only these count */

struct schema_words {
    const char *at, *end;
    locale_t locale;
    char word[SCHEMA_WORD_MAX + 8]; /* the word, UTF-8, `size` bytes, valid until the next one */
    size_t size;
};

/* The locale that words are cut by: the caller's, freed with freelocale(); 0 with error. */
locale_t schema_words_locale(struct bp_error *error);
/* Moves on to the next word; false: there is none. Start with at and end set. Bytes that are not UTF-8 are no letters. */
bool schema_words_next(struct schema_words *words);

#endif
