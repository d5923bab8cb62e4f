/* number_print.h - writing numbers as text: the shortest decimal that reads back as the same bits, fast. Reading is number.h. */
#ifndef SCHEMA_NUMBER_PRINT_H
#define SCHEMA_NUMBER_PRINT_H

#include "engine/base/base.h"

enum { SCHEMA_NUMBER_PRINTED = 32 /* more than any number needs */ };

/* Writes a finite number as JSON and CSV take it: integers below 1e17 without a point, otherwise digits with a point, or, far from 1, an exponent.
 * -0 keeps its sign. Not NUL-terminated; returns the bytes written. */
size_t schema_number_print(double number, char out[static SCHEMA_NUMBER_PRINTED]);
/* The same for a float32: shortest among those that read back as that float32, so that 0.1f is 0.1. */
size_t schema_number_print_float(float number, char out[static SCHEMA_NUMBER_PRINTED]);

/* A finite number as printf's "%.*g" writes it with that many significant digits, 1 to 17, but several times as fast. NUL-terminated; returns the
 * bytes before it. */
enum { SCHEMA_NUMBER_DIGITS = 40 };
size_t schema_number_print_digits(double number, int digits, char out[static SCHEMA_NUMBER_DIGITS]);
/* A finite float32 as "%.9g" writes it, faster still. Not NUL-terminated; any bytes of out may change. */
size_t schema_number_print_nine(float number, char out[static SCHEMA_NUMBER_DIGITS]);
/* The same of digits that are known: first (0..9) and rest (each in its byte, the first of them in the lowest) times 10^(exponent - 8), exponent from
 * -19 to 8. */
size_t schema_number_write_nine(uint64_t first, uint64_t rest, int32_t exponent, char out[static SCHEMA_NUMBER_DIGITS]);

#endif
