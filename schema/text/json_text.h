/* json_text.h - JSON as contiguous text: one strict check of all of it, then cheap steps over what is known to be well-formed. Private to formats/.
 *
 * The check follows jansson (json_loadb with JSON_DECODE_INT_AS_REAL): RFC 8259, UTF-8 without overlong forms and surrogates, no \u0000,
 * surrogate escapes in pairs, no number beyond double; and no deeper than JSON_TEXT_DEPTH_MAX. Duplicate keys are for the reader of the objects to
 * find. */
#ifndef SCHEMA_JSON_TEXT_H
#define SCHEMA_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_TEXT_DEPTH_MAX = 64 };

/* What is wrong, and where. */
struct json_text_fault {
    const char *at;
    const char *what;
};

/* Called during the check for each comma with at most three arrays or objects open: depth of them, p the byte after it. May be NULL. */
struct json_text_progress {
    void (*done)(void *context, const char *p, int depth);
    void *context;
};

const char *json_text_blanks(const char *p, const char *end);
/* Checks one value at p (blanks before it allowed): the byte after it, or NULL with *fault set. */
const char *json_text_check(const char *p, const char *end, const struct json_text_progress *progress, struct json_text_fault *fault);

/* ---- only on checked text ---- */

/* The byte after the value at p. */
const char *json_text_skip(const char *p, const char *end);

/* Holds a string whose escapes are undone. Zero-initialise, free bytes. */
struct json_text_buffer {
    char *bytes;
    size_t room;
};

/* Reads the string at p ('"'): the byte after it, NULL without memory. *text is borrowed from the text or from the buffer. */
const char *json_text_string(const char *p, const char *end, struct json_text_buffer *buffer, const char **text, size_t *size);

/* After a member of an array or object: moves over the comma to the next member; at the closing bracket stays there. */
const char *json_text_next(const char *p, const char *end);

#endif
