/* body.c - the body of a request on its way to the handler: Content-Encoding undone as it arrives, a byte order mark before JSON left out. Data for a
 * dataset takes another way: an ingest decodes it itself (routes/upload.c), an inspection wants the first bytes as they are. */
#include "server/http/private.h"

#include "schema/ingest/decode.h"
#include "schema/ingest/ingest.h"

#include <stdlib.h>
#include <string.h>

static int keep(void *context, const char *bytes, size_t size, struct schema_problems *problems) {
    struct request *r = context;
    if (!memory_for_body(r, (int64_t)(r->body.size + size))) return -1;
    schema_text_add(&r->body, bytes, size);
    if (!r->body.failed) return 0;
    return schema_problem_no_memory(problems);
}

/* Answers for a body that could not be decoded: 413 when it is too large, 400 when it is damaged. */
static bool refuse(struct request *r, struct schema_problems *problems) {
    if (!problems->total && r->status) return false; /* answered: out of memory */
    if (problems->code == BP_ERROR_MEMORY) answer_problem(r, PROBLEM_overloaded, "no memory for the body");
    else if (problems->too_large) answer_problem(r, PROBLEM_too_large, "%s", problems->items[0].detail);
    else answer_problem(r, PROBLEM_bad_request, "%s", problems->items[0].detail);
    schema_problems_clear(problems);
    return false;
}

bool body_begin(struct request *r) {
    struct schema_problems problems = {0};
    const char *encoding = request_header(r, "Content-Encoding");
    if (r->feeds || r->route->body != ROUTE_JSON || schema_encoding_identity(encoding)) return true;
    if (schema_decoder_open(encoding, r->body_limit, "body_max", &r->decoder, &problems) == 0) return true;
    return refuse(r, &problems);
}

bool body_add(struct request *r, const char *bytes, size_t size) {
    struct schema_problems problems = {0};
    const int failed = r->decoder ? schema_decoder_feed(r->decoder, bytes, size, keep, r, &problems) : keep(r, bytes, size, &problems);
    return failed == 0 || refuse(r, &problems);
}

bool body_end(struct request *r) {
    struct schema_problems problems = {0};
    if (r->decoder && schema_decoder_finish(r->decoder, &problems) != 0) return refuse(r, &problems);
    body_free(r);
    if (r->route->body == ROUTE_JSON && r->body.size >= 3 && memcmp(r->body.bytes, "\xEF\xBB\xBF", 3) == 0) {
        r->body.size -= 3;
        memmove(r->body.bytes, r->body.bytes + 3, r->body.size + 1); /* including the NUL */
    }
    return true;
}

void body_free(struct request *r) {
    schema_decoder_close(r->decoder);
    r->decoder = NULL;
}
