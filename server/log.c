/* log.c - one write per line, so that lines of several threads do not mix. */
#include "server/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_SIZE = 2048 };

static size_t add_value(char *line, size_t n, const char *value) {
    bool plain = *value != '\0';
    for (const char *c = value; *c && plain; c++) plain = (unsigned char)*c > 0x20 && *c != '"' && *c != '=' && *c != '\\';
    if (!plain && n < LINE_MAX_SIZE - 4) line[n++] = '"';
    for (const char *c = value; *c && n < LINE_MAX_SIZE - 8; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) n += (size_t)snprintf(line + n, LINE_MAX_SIZE - n, "\\x%02x", (unsigned char)*c);
        else {
            if (*c == '"' || *c == '\\') line[n++] = '\\';
            line[n++] = *c;
        }
    }
    if (!plain) line[n++] = '"';
    return n;
}

void log_line(enum log_level level, const char *event, ...) {
    static const char *const names[] = {"info", "warning", "error"};
    char line[LINE_MAX_SIZE];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ level=%s event=%s", now.tv_nsec / 1000000, names[level], event);
    va_list arguments;
    va_start(arguments, event);
    for (const char *key; n < LINE_MAX_SIZE - 200 && (key = va_arg(arguments, const char *));) {
        const char *value = va_arg(arguments, const char *);
        n += (size_t)snprintf(line + n, sizeof line - n, " %.60s=", key);
        n = add_value(line, n, value ? value : "");
    }
    va_end(arguments);
    line[n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}
