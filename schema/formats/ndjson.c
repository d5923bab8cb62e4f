/* ndjson.c - one JSON object a line. Lines are read as they come: each is checked on its own, so that a faulty one is named by its number and the
 * rest is still looked at. Blank lines are skipped. Only a line that straddles pieces is copied. */
#include "schema/formats/json_record.h"

#include <stdlib.h>
#include <string.h>

struct ndjson {
    struct json_reader reader;
    char *held; /* the beginning of a line whose end has not arrived yet */
    size_t held_size, held_room;
    int64_t line; /* of the next byte, from 1 */
    int64_t records;
    bool marked; /* the first line has been looked at for a byte order mark */
};

static int fault_problem(struct schema_ingest *ingest, const char *line, const char *end, const struct json_text_fault *fault,
                         struct schema_problems *problems) {
    int64_t column = 1;
    for (const char *p = line; p < fault->at; p++) column += ((unsigned char)*p & 0xC0) != 0x80;
    size_t size = (size_t)(end - fault->at);
    return schema_ingest_problem(ingest, -1, size ? fault->at : NULL, size < 20 ? size : 20, problems, "not valid JSON at column %lld: %s",
                                 (long long)column, fault->what);
}

static int too_long(const struct ndjson *n, const char *text, size_t size, struct schema_problems *problems) {
    return schema_problem_cell(problems, n->line, NULL, text, size, "the line is longer than 16 MiB, the limit; expected one JSON object per line");
}

/* A whole line, without its newline. */
static int take_line(struct ndjson *n, const char *text, size_t size, struct schema_problems *problems) {
    struct schema_ingest *ingest = n->reader.ingest;
    const char *end = text + size;
    if (!n->marked && size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
    n->marked = true;
    const char *p = json_text_blanks(text, end);
    if (p == end) return 0;
    if (size > INGEST_RECORD_MAX) return too_long(n, text, size, problems);
    ingest->place = n->line;
    if (ingest->receiver && schema_ingest_row_begin(ingest, n->line, problems)) return -1; /* a faulty line is a row, too */
    struct json_text_fault fault;
    const char *after = json_text_check(p, end, NULL, &fault);
    if (after && json_text_blanks(after, end) < end)
        fault =
            (struct json_text_fault){
                json_text_blanks(after, end),
                "bytes follow the object; put each object on its own line (curl -d removes line ends, --data-binary keeps them)"},
        after = NULL;
    if (!after) return fault_problem(ingest, text, end, &fault, problems);
    if (*p != '{')
        return schema_ingest_problem(ingest, -1, p, (size_t)(after - p), problems,
                                     "expected an object, such as {\"length\":39.1,\"island\":\"Biscoe\"}");
    n->reader.end = end;
    if (!ingest->receiver && schema_ingest_row_begin(ingest, n->line, problems)) return -1;
    if (!json_record(&n->reader, p, n->records++, problems)) return ingest->receiver && problems->total == 0 ? 0 : -1;
    return schema_ingest_row_end(ingest, problems);
}

static int hold(struct ndjson *n, const char *bytes, size_t size, struct schema_problems *problems) {
    if (n->held_size + size > INGEST_RECORD_MAX + 2) return too_long(n, n->held, n->held_size, problems);
    if (n->held_size + size > n->held_room) {
        size_t room = n->held_room * 2 > n->held_size + size ? n->held_room * 2 : n->held_size + size + 4096;
        char *grown = realloc(n->held, room);
        if (!grown) return schema_ingest_no_memory(problems);
        n->held = grown, n->held_room = room;
    }
    if (size) memcpy(n->held + n->held_size, bytes, size);
    n->held_size += size;
    return 0;
}

static int ndjson_feed(struct schema_ingest *ingest, void *state, const char *bytes, size_t size, struct schema_problems *problems) {
    struct ndjson *n = state;
    const char *p = bytes, *end = bytes + size;
    (void)ingest;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (!newline) return hold(n, p, (size_t)(end - p), problems);
        const char *text = p;
        size_t length = (size_t)(newline - p);
        if (n->held_size) {
            if (hold(n, p, length, problems)) return -1;
            text = n->held, length = n->held_size;
        }
        if (take_line(n, text, length, problems)) return -1;
        n->held_size = 0, n->line++;
        p = newline + 1;
    }
    return 0;
}

static int ndjson_finish(struct schema_ingest *ingest, void *state, struct schema_problems *problems) {
    struct ndjson *n = state;
    if (ingest->options.part && ingest->rows > 0) n->held_size = 0; /* perhaps cut */
    if (n->held_size && take_line(n, n->held, n->held_size, problems)) return -1;
    if (ingest->rows == 0 && ingest->problems_found == 0)
        return schema_problem_add(problems, NULL,
                                  "the data has no rows; expected one JSON object per line, such as {\"length\":39.1,\"island\":\"Biscoe\"}");
    return 0;
}

static void ndjson_close(void *state) {
    struct ndjson *n = state;
    json_reader_clear(&n->reader);
    free(n->held);
    free(n);
}

static int ndjson_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    struct ndjson *n = calloc(1, sizeof *n);
    if (!n) return schema_ingest_no_memory(problems);
    n->reader.ingest = ingest, n->line = 1;
    ingest->sparse = true;
    *state = n;
    return 0;
}

extern const struct schema_format_ops schema_format_ndjson;
const struct schema_format_ops schema_format_ndjson = {
    .entry = {.name = "ndjson", .summary = "One JSON object per line"},
    .content_type = "application/x-ndjson",
    .also = "application/jsonl",
    .open = ndjson_open,
    .feed = ndjson_feed,
    .finish = ndjson_finish,
    .close = ndjson_close,
};
