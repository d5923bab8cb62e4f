/* stream.c - one event stream: the head of its answer, then page after page, written to the socket without blocking. HTTP/1.1 clients get the chunked
 * coding, so that a stream that breaks off differs from one that has ended. */
#include "server/http/waiter.h"

#include "server/clock.h"
#include "server/http/direct.h"
#include "server/http/private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char still_here[] = "e\r\n: still here\n\n\r\n", end[] = "0\r\n\r\n";

bool stream_begin(struct waiter *w) {
    struct request *r = w->request;
    const int one = 1;
    w->head.limit = 16384;
    r->status = 200;
    r->content_type = "text/event-stream";
    guard_cors(r);
    answer_head(r, &w->head);
    schema_text_string(&w->head, "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"); /* nginx passes each event on at once */
    schema_text_string(&w->head, r->old_version ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n");
    connections_expect(http_connections(r->server->http), r->connection, EXPECT_READING);
    w->out = w->head.bytes;
    w->out_size = w->head.size;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return !w->head.failed;
}

void stream_end(struct waiter *w) {
    page_release(w->page);
    free(w->head.bytes);
    w->page = NULL;
}

void stream_keep_alive(struct waiter *w) {
    if (w->at < w->out_size) return;
    w->out = w->request->old_version ? still_here + 3 : still_here;
    w->out_size = w->request->old_version ? 14 : sizeof still_here - 1;
    w->at = 0;
}

/* False: the socket is full (errno EAGAIN) or broken. */
static bool flush(struct waiter *w) {
    while (w->at < w->out_size) {
        const ssize_t n = direct_send(w->request->connection, w->out + w->at, w->out_size - w->at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        w->at += (size_t)n;
        w->deadline = clock_ms() + KEEP_ALIVE_MS;
    }
    if (w->page) {
        w->last = w->page->last;
        page_release(w->page);
        w->page = NULL;
    }
    return true;
}

/* The next page, or the end, as what is sent. False: there is none. */
static bool next_page(struct waiter *w, struct pages *pages) {
    bool over = w->finished;
    if (!over && pages_get(pages, w->job, w->last, &w->page, &over) != STORE_OK) over = true;
    if (w->page) {
        w->out = w->request->old_version ? w->page->bytes + w->page->data : w->page->bytes;
        w->out_size = w->request->old_version ? w->page->data_size : w->page->size;
        w->finished = w->page->ends;
    } else if (over) {
        w->finished = true;
        w->out = end;
        w->out_size = w->request->old_version ? 0 : sizeof end - 1;
    }
    if (w->page || over) w->at = 0;
    return w->page || over;
}

enum stream_state stream_send(struct waiter *w, struct pages *pages) {
    for (int turns = 0; turns < 2; turns++) {
        if (!flush(w)) return errno == EAGAIN || errno == EWOULDBLOCK ? STREAM_BLOCKED : STREAM_OVER;
        if (w->finished && w->out == end) return STREAM_OVER;
        if (!next_page(w, pages)) return STREAM_IDLE;
    }
    return STREAM_MORE;
}
