/* document.c - answers that stay the same while the program runs: compressed once, with an ETag (RFC 9110, 8.8.3 and 13.1.2). */
#include "server/http/private.h"

#include "schema/gzip.h"
#include "server/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void document_prepare(struct document *d) {
    const char *out;
    size_t size, room = d->size + 1024;
    hex_sha256(d->bytes, d->size, 16, d->etag);
    struct schema_gzip *gzip = schema_gzip_new();
    d->gzip = malloc(room);
    for (int end = 0; end < 2 && d->gzip; end++) {
        if (gzip && schema_gzip_add(gzip, d->bytes, end ? 0 : d->size, &out, &size) == 0 && d->gzip_size + size <= room) {
            memcpy(d->gzip + d->gzip_size, out, size);
            d->gzip_size += size;
        } else { /* it is sent unchanged */
            free(d->gzip);
            d->gzip = NULL;
        }
    }
    schema_gzip_free(gzip);
}

/* Whether If-None-Match has this tag, quoted, weak or "*". */
static bool has_tag(const char *list, const char *tag) {
    return list && (strcmp(list, "*") == 0 || strstr(list, tag));
}

void answer_document(struct request *r, const struct document *d) {
    const bool gzip = d->gzip && request_takes_gzip(r);
    char tag[48];
    if (!d->bytes) {
        answer_problem(r, PROBLEM_overloaded, "no memory for this document");
        return;
    }
    snprintf(tag, sizeof tag, "\"%s%s\"", d->etag, gzip ? "-gzip" : ""); /* a strong tag is of one encoding */
    answer_header(r, "ETag", tag);
    answer_header(r, "Vary", "Accept-Encoding");
    answer_header(r, "Cache-Control", "no-cache"); /* requested again, answered with 304 */
    if (has_tag(request_header(r, "If-None-Match"), d->etag)) {
        answer_bytes(r, 304, NULL, NULL, 0);
        return;
    }
    if (gzip) answer_header(r, "Content-Encoding", "gzip");
    r->status = 200;
    r->content_type = d->content_type ? d->content_type : "application/json";
    r->stream = gzip ? MHD_create_response_from_buffer(d->gzip_size, d->gzip, MHD_RESPMEM_PERSISTENT)
                     : MHD_create_response_from_buffer(d->size, (void *)(uintptr_t)d->bytes, MHD_RESPMEM_PERSISTENT);
    if (!r->stream) answer_problem(r, PROBLEM_overloaded, "no memory for the response");
}
