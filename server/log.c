/* log.c - one write per line, so that lines of several threads do not mix. No write waits: a request is never held up by who reads the log. */
#include "server/log.h"

#include "engine/base/utf8.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 4096 /* a pipe takes it whole: PIPE_BUF */, VALUE_SIZE = 700, REST_SIZE = 100 };

static const char *const names[] = {"debug", "info", "warning", "error"};
static const int priorities[] = {7, 6, 4, 3}; /* of syslog */
static atomic_int least_level = LOG_INFO;
static bool with_priorities;
static atomic_uint_fast64_t lost;

void log_level_set(enum log_level least) {
    atomic_store(&least_level, (int)least);
}

void log_priorities(bool on) {
    with_priorities = on;
}

bool log_wants(enum log_level level) {
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *level) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *level = (enum log_level)i;
        return true;
    }
    return false;
}

/* One character of a value in quotes, at most 8 bytes: as it is, or so that neither a terminal nor a parser takes it for something else. Returns the
 * bytes read. */
static size_t put_character(char *line, size_t *n, const char *value, size_t left) {
    const unsigned char *c = (const unsigned char *)value;
    const size_t size = bp_utf8_character(value, left);
    if (*c == '"' || *c == '\\') *n += (size_t)snprintf(line + *n, 8, "\\%c", *c);
    else if (size == 0 || *c < 0x20 || *c == 0x7f) *n += (size_t)snprintf(line + *n, 8, "\\x%02x", *c);
    else if (size == 2 && c[0] == 0xC2 && c[1] < 0xA0) *n += (size_t)snprintf(line + *n, 8, "\\u%04x", c[1]); /* control characters, too */
    else {
        memcpy(line + *n, value, size);
        *n += size;
    }
    return size ? size : 1;
}

static size_t put_value(char *line, size_t n, const char *value) {
    const size_t size = strlen(value), end = n + VALUE_SIZE < LINE_SIZE - REST_SIZE ? n + VALUE_SIZE : LINE_SIZE - REST_SIZE;
    bool plain = size > 0;
    for (const char *c = value; *c && plain; c++) plain = *c > 0x20 && *c < 0x7f && *c != '"' && *c != '=' && *c != '\\';
    if (!plain) line[n++] = '"';
    size_t i = 0;
    while (i < size && n < end) i += put_character(line, &n, value + i, size - i);
    if (i < size) n += (size_t)snprintf(line + n, 4, "...");
    if (!plain) line[n++] = '"';
    return n;
}

/* "time level=info event=started". */
static size_t put_head(char *line, enum log_level level, const char *event) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = with_priorities ? (size_t)snprintf(line, LINE_SIZE, "<%d>", priorities[level]) : 0; /* sd-daemon(3) */
    n += strftime(line + n, LINE_SIZE - n, "%Y-%m-%dT%H:%M:%S", &utc);
    return n + (size_t)snprintf(line + n, LINE_SIZE - n, ".%03ldZ level=%s event=%s", now.tv_nsec / 1000000, names[level], event);
}

static bool write_line(const char *line, size_t size) {
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) return false;
    ssize_t ignored = write(STDERR_FILENO, line, size);
    (void)ignored;
    return true;
}

/* A pipe that nobody reads takes no line: it is counted, and no thread waits. One at a time, so that the room that poll reports is this line's. */
static void emit(const char *line, size_t size) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t missing;
    char report[LINE_SIZE];
    pthread_mutex_lock(&lock);
    if (missing > 0) {
        size_t n = put_head(report, LOG_WARNING, "log_lines_lost");
        n += (size_t)snprintf(report + n, sizeof report - n, " lines=%llu\n", (unsigned long long)missing);
        if (write_line(report, n)) missing = 0;
    }
    if (missing > 0 || !write_line(line, size)) {
        missing++;
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
}

uint64_t log_lost(void) {
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

void log_line(enum log_level level, const char *event, ...) {
    char line[LINE_SIZE];
    if (!log_wants(level)) return;
    size_t n = put_head(line, level, event);
    va_list arguments;
    va_start(arguments, event);
    for (const char *key; n < LINE_SIZE - 2 * REST_SIZE && (key = va_arg(arguments, const char *));) {
        const char *value = va_arg(arguments, const char *);
        n += (size_t)snprintf(line + n, sizeof line - n, " %.60s=", key);
        n = put_value(line, n, value ? value : "");
    }
    va_end(arguments);
    line[n++] = '\n';
    emit(line, n);
}
