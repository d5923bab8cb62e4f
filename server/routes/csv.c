/* csv.c - see csv.h. */
#include "server/routes/csv.h"

#include "schema/memory.h"
#include "server/http/answer.h"

#include <stdlib.h>
#include <string.h>

void csv_text(struct schema_text *text, const char *cell, bool first) {
    if (!first) schema_text_add(text, ",", 1);
    if (!strpbrk(cell, ",\"\r\n")) {
        schema_text_string(text, cell);
        return;
    }
    schema_text_add(text, "\"", 1);
    for (const char *c = cell; *c; c++) schema_text_add(text, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    schema_text_add(text, "\"", 1);
}

void csv_value(struct schema_text *text, const json_t *value, bool first) {
    if (json_is_string(value) || json_is_null(value) || !value) {
        csv_text(text, json_is_string(value) ? json_string_value(value) : "", first);
        return;
    }
    char *json = schema_json_dump(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (json) csv_text(text, json, first);
    else text->failed = true;
    free(json);
}

void csv_line(struct schema_text *text) {
    schema_text_add(text, "\n", 1);
}

bool csv_wanted(const struct request *r) {
    static const char *const csv[] = {"text/csv", "text/*", NULL}, *const json[] = {"application/json", "application/*", "*/*", NULL};
    const char *accept = request_header(r, "Accept");
    return request_weight(accept, csv) > request_weight(accept, json);
}

void csv_answer(struct request *r, struct schema_text *text) {
    answer_header(r, "Vary", "Accept");
    if (!text->failed) {
        answer_bytes(r, 200, "text/csv; charset=utf-8", text->bytes, text->size);
        return;
    }
    free(text->bytes);
    answer_problem(r, PROBLEM_overloaded, "out of memory");
}
