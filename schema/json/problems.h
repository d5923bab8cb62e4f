/* problems.h - all errors of a request: a bounded list of problems with their places. */
#ifndef SCHEMA_PROBLEMS_H
#define SCHEMA_PROBLEMS_H

#include "engine/base/base.h"
#include <jansson.h>

enum { SCHEMA_PROBLEMS_MAX = 20 };

struct schema_problem {
    char *pointer; /* JSON pointer into the request, or NULL */
    int64_t line;  /* physical line of a text upload, from 1, header included; 0: does not apply */
    char *column;  /* column name, or NULL */
    char *value;   /* what was got, shortened, or NULL */
    char *detail;  /* what was expected and what to do */
};

/* Zero-initialise; free with schema_problems_clear. Beyond the first SCHEMA_PROBLEMS_MAX only `total` grows. */
struct schema_problems {
    int32_t count;
    int64_t total;
    struct schema_problem items[SCHEMA_PROBLEMS_MAX];
    bool too_large;          /* the problem is size: answered with 413 */
    enum bp_error_code code; /* the gravest: MEMORY (503, perhaps without words), then DAMAGED (500), then IO (507), neither the sender's fault, else
                                INVALID (422) */
};

/* Both always return -1. pointer may be NULL. */
int schema_problem_add(struct schema_problems *problems, const char *pointer, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* For a cell or record of an upload. column and value may be NULL; value is cut to a readable length. */
int schema_problem_cell(struct schema_problems *problems, int64_t line, const char *column, const char *value, size_t value_size, const char *format,
                        ...) __attribute__((format(printf, 6, 7)));
/* Out of memory; a file or device failed. Return -1. */
int schema_problem_no_memory(struct schema_problems *problems);
int schema_problem_io(struct schema_problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds the message of an error, with its code. Returns -1. */
int schema_problem_error(struct schema_problems *problems, const char *pointer, const struct bp_error *error);
/* A JSON string of text that may be external or truncated inside a character: invalid UTF-8 is shown as "?". */
json_t *schema_problem_text(const char *text);
void schema_problems_clear(struct schema_problems *problems);
/* The `errors` array of an answer: [{"pointer"|"line","column","value","detail"}]. */
json_t *schema_problems_json(const struct schema_problems *problems);

#endif
