/* output.c - see output.h. A process may write anything, and without end: the memory that it takes here is fixed, the lines in the server's log are
 * limited, and all bytes that are no text are replaced. */
#include "server/jobs/output.h"

#include "engine/base/utf8.h"
#include "server/log.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* UTF-8 without control characters other than line ends and tabs. The caller's; NULL: no memory. */
static char *safe_text(const char *from, const char *end) {
    static const char unknown[] = "\xEF\xBF\xBD"; /* U+FFFD */
    char *text = malloc((size_t)(end - from) * 3 + 1), *to = text;
    while (text && from < end) {
        const unsigned char c = (unsigned char)*from;
        const size_t n = bp_utf8_character(from, (size_t)(end - from));
        const bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)from[1] < 0xa0);
        memcpy(to, n == 0 || control ? unknown : from, n == 0 || control ? 3 : n);
        to += n == 0 || control ? 3 : n;
        from += n ? n : 1;
    }
    if (text) *to = '\0';
    return text;
}

static void log_output(struct output *o, const char *job) {
    char *text = o->line_size > 0 && o->logged < OUTPUT_LINES_LOGGED ? safe_text(o->line, o->line + o->line_size) : NULL;
    if (o->line_size > 0 && o->logged == OUTPUT_LINES_LOGGED)
        log_line(LOG_WARNING, "job_output_limited", "job", job, "consequence", "its further lines are in the log of the job only", NULL);
    else if (text) log_line(LOG_INFO, "job_output", "job", job, "line", text, NULL);
    if (o->line_size > 0 && o->logged <= OUTPUT_LINES_LOGGED) o->logged++;
    o->line_size = 0;
    free(text);
}

static void add(struct output *o, const char *bytes, size_t size, const char *job) {
    const size_t overflow = o->size + size > OUTPUT_KEPT ? o->size + size - OUTPUT_KEPT : 0; /* size is at most OUTPUT_KEPT */
    if (overflow) {
        memmove(o->kept, o->kept + overflow, o->size - overflow);
        o->size -= overflow;
        o->cut = true;
    }
    memcpy(o->kept + o->size, bytes, size);
    o->size += size;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n') o->line[o->line_size++] = bytes[i];
        if (bytes[i] == '\n' || o->line_size == OUTPUT_LINE) log_output(o, job);
    }
}

void output_read(struct output *o, const char *job) {
    char piece[4096];
    for (int i = 0; o->fd >= 0 && i < 64; i++) { /* one that writes without end does not keep the supervisor here */
        const ssize_t n = read(o->fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (n > 0) {
            add(o, piece, (size_t)n, job);
            continue;
        }
        close(o->fd);
        o->fd = -1;
    }
}

void output_end(struct output *o, const char *job) {
    output_read(o, job);
    log_output(o, job);
    if (o->fd >= 0) close(o->fd);
    o->fd = -1;
}

char *output_text(const struct output *o) {
    const char *line = o->cut ? memchr(o->kept, '\n', o->size) : NULL;
    return safe_text(line ? line + 1 : o->kept, o->kept + o->size);
}
