/* npy_header.h - the header of NumPy's files: magic, version, and a dictionary written as Python. Private to formats/. */
#ifndef SCHEMA_NPY_HEADER_H
#define SCHEMA_NPY_HEADER_H

#include "schema/formats/array.h"

enum { NPY_HEADER_MAX = 1 << 16 };

/* Reads the header at bytes[0..size). Returns its size with *array set and checked; 0: more bytes are needed; -1 with a problem. what: "the array",
 * "member \"x\"". */
int64_t npy_header(const char *bytes, size_t size, const char *what, struct array *array, struct schema_problems *problems);

#endif
