/* inspect.c - detects the type of a file with guess.c, then reads it with an ingest that allows truncated data. */
#include "schema/ingest/inspect.h"

#include "schema/ingest/guess.h"
#include "schema/ingest/sink.h"
#include "schema/text/json_text.h"

#include <stdlib.h>
#include <string.h>

enum { PREVIEW_ROWS = 10, UNPACKED_MAX = 64 << 20 /* bytes of an archive */ };

/* ---- encodings ---- */

struct decoded {
    char *bytes;
    size_t size;
};

static int keep(void *context, const char *bytes, size_t size, struct schema_problems *problems) {
    struct decoded *d = context;
    (void)problems;
    size_t n = SCHEMA_INSPECT_MAX - d->size < size ? SCHEMA_INSPECT_MAX - d->size : size;
    memcpy(d->bytes + d->size, bytes, n);
    d->size += n;
    return d->size == SCHEMA_INSPECT_MAX ? -1 : 0; /* enough */
}

static int decode(const char *encoding, const char *bytes, size_t size, struct decoded *d, struct schema_problems *problems) {
    struct schema_decoder *decoder = NULL;
    d->bytes = malloc(SCHEMA_INSPECT_MAX);
    if (!d->bytes) return schema_ingest_no_memory(problems);
    int failed = schema_decoder_open(encoding, 0, "", &decoder, problems);
    if (!failed) failed = schema_decoder_feed(decoder, bytes, size, keep, d, problems);
    schema_decoder_close(decoder);
    return failed && problems->total > 0 ? -1 : 0;
}

const char *schema_guess_type(const char *bytes, size_t size, const char **encoding, struct schema_problems *problems) {
    struct decoded decoded = {.size = 0};
    *encoding = schema_guess_encoding(bytes, size);
    if (*encoding) {
        if (decode(*encoding, bytes, size, &decoded, problems)) {
            free(decoded.bytes);
            return NULL;
        }
        bytes = decoded.bytes, size = decoded.size;
    }
    const char *refusal = schema_guess_refusal(bytes, size), *kind = schema_guess_kind(bytes, size);
    if (refusal) schema_problem_add(problems, NULL, "%s", refusal);
    free(decoded.bytes);
    return refusal ? NULL : kind;
}

/* ---- JSON that is cut ---- */

/* Ends a cut {"records":[{...},{... behind the last whole record; *size is that of the result, which is the caller's. NULL: it cannot be done, or the
 * fault is before the cut. */
static char *close_json(const char *bytes, size_t *size, const char *fault) {
    const char *end = bytes + *size, *p = bytes, *whole = NULL;
    int depth = 0;
    for (bool inside = false; p < end; p++) {
        if (inside) {
            if (*p == '\\') p++;
            else if (*p == '"') inside = false;
        } else if (*p == '"') inside = true;
        else if (*p == '{' || *p == '[') depth++;
        else if (*p == '}' || *p == ']') {
            depth--;
            if (depth == 2 && *p == '}') whole = p + 1;
        }
    }
    char *text = whole && depth > 0 && fault >= whole ? malloc((size_t)(whole - bytes) + 2) : NULL;
    if (!text) return NULL;
    memcpy(text, bytes, (size_t)(whole - bytes));
    memcpy(text + (whole - bytes), "]}", 2);
    *size = (size_t)(whole - bytes) + 2;
    return text;
}

/* ---- the answer ---- */

static json_t *answer(const struct schema_ingest *ingest, const struct schema_dataset *data) {
    json_t *preview = json_array(), *reasons = json_object();
    for (int64_t i = 0; i < data->rows && i < PREVIEW_ROWS; i++) json_array_append_new(preview, schema_dataset_row_json(data, i));
    for (int32_t i = 0; i < ingest->columns_count; i++) {
        char reason[200];
        schema_ingest_reason(ingest, i, reason, sizeof reason);
        json_object_set_new(reasons, ingest->columns[i].name, schema_problem_text(reason));
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "object", "inspection", "format", ingest->format->entry.name, "content_type",
                             ingest->format->content_type, "rows", (json_int_t)data->rows, "columns", schema_dataset_columns_json(data), "reasons",
                             reasons, "preview", preview, "warnings", schema_ingest_warnings(ingest));
    json_t *details = schema_ingest_details(ingest);
    if (json) json_object_update(json, details);
    json_decref(details);
    return json;
}

static json_t *read(const struct schema_format_ops *format, const char *bytes, size_t size, const struct schema_ingest_options *options, int fd,
                    struct schema_problems *problems) {
    struct schema_ingest *ingest = NULL;
    struct schema_dataset *data = NULL;
    struct bp_error error = {0};
    json_t *json = NULL;
    int failed = schema_ingest_open(format, options, fd, &ingest, problems);
    if (!failed) failed = schema_ingest_feed(ingest, bytes, size, problems);
    if (!failed) failed = schema_ingest_finish(ingest, problems);
    if (!failed && schema_dataset_open(fd, 0, &data, &error) != 0) schema_problem_error(problems, NULL, &error);
    if (data) json = answer(ingest, data);
    schema_dataset_free(data);
    schema_ingest_close(ingest);
    return json;
}

json_t *schema_inspect(const char *bytes, size_t size, const struct schema_ingest_options *options, int fd, struct schema_problems *problems) {
    const char *encoding = schema_guess_encoding(bytes, size);
    const size_t looked_at = size;
    struct decoded decoded = {.size = 0};
    json_t *json = NULL;
    char *closed = NULL;
    if (encoding) {
        if (decode(encoding, bytes, size, &decoded, problems)) goto done;
        bytes = decoded.bytes, size = decoded.size;
    }
    const char *refusal = schema_guess_refusal(bytes, size), *kind = schema_guess_kind(bytes, size);
    if (refusal) {
        schema_problem_add(problems, NULL, "%s", refusal);
        goto done;
    }
    struct schema_ingest_options part = *options;
    part.part = true, part.encoding = NULL, part.decoded_max = UNPACKED_MAX;
    struct json_text_fault fault;
    if (strcmp(kind, "application/json") == 0 && !json_text_check(bytes, bytes + size, NULL, &fault)) {
        closed = close_json(bytes, &size, fault.at);
        if (closed) bytes = closed;
    }
    json = read(schema_format_for(kind), bytes, size, &part, fd, problems);
    if (json) {
        json_object_set_new(json, "encoding", encoding ? json_string(encoding) : json_null());
        json_object_set_new(json, "bytes", json_integer((json_int_t)looked_at));
    }
done:
    free(closed);
    free(decoded.bytes);
    return json;
}
