/* output.h - what a job process writes to standard error: its end is kept, and goes to the server's log line by line. */
#ifndef SERVER_OUTPUT_H
#define SERVER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

enum { OUTPUT_KEPT = 16384, OUTPUT_LINE = 1000, OUTPUT_LINES_LOGGED = 200 };

struct output {
    int fd; /* of a pipe, not blocking; -1: it has ended */
    char kept[OUTPUT_KEPT];
    size_t size;
    bool cut; /* what came before is not kept */
    char line[OUTPUT_LINE];
    size_t line_size;
    int logged; /* lines, in the server's log */
};

/* Reads what is there without waiting. */
void output_read(struct output *output, const char *job);
/* Reads the rest, logs an unfinished line, closes. */
void output_end(struct output *output, const char *job);
/* What is kept, from the start of a line: UTF-8 without control characters other than line ends and tabs. The caller's; NULL: no memory. */
char *output_text(const struct output *output);

#endif
