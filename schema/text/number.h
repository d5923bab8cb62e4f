/* number.h - reading numbers from text: exact (correctly rounded), independent of the locale, fast for what people write. */
#ifndef SCHEMA_NUMBER_H
#define SCHEMA_NUMBER_H

#include "engine/base/base.h"

/* Reads a JSON number at text[0..size), strictly as RFC 8259 writes it. Returns the bytes read, 0 when there is none there. Up to 19 digits and an
 * exact power of ten are computed directly; the rest goes to strtod. Overflow gives infinity: the caller refuses it. */
size_t schema_number_json(const char *text, size_t size, double *number);
/* Reads a whole cell of a text file, blanks around it allowed, also "+1", ".5", "1.", "1e3"; not hexadecimal, "inf" or "nan".
 * False when it is not a number or not finite. */
bool schema_number_cell(const char *text, size_t size, double *number);

/* A number as text as in categories and labels: integers without a point, else the shortest that reads back exactly. size >= 32. */
const char *schema_number_text(double number, char *text, size_t size);
/* What categories are compared by: `6`, `6.0` and `6e0` have the same key "6". Returns text itself, or key when it is a number of at most
 * 15 significant digits (longer ones, such as ids, compare as text); *size is the key's. Not NUL-terminated when it is text. */
const char *schema_category_key(const char *text, size_t *size, char key[static 32]);

#endif
