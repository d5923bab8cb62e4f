/* fuzz_json_dataset.c - any bytes as a JSON dataset; and json_text_check accepts exactly what jansson accepts (to a depth of 64). */
#include "schema/text/json_text.h"
#include "tests/fuzz/fuzz_ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Numbers as strtod reads them. */
static void same_number(const char *p, const char *after, double got) {
    char text[64] = "";
    if (after - p >= (ptrdiff_t)sizeof text) return;
    memcpy(text, p, (size_t)(after - p));
    FUZZ_REQUIRE(strtod(text, NULL) == got);
}

/* Strings as jansson reads them. */
static void same_strings(const char *p, const char *end) {
    struct json_text_buffer buffer = {0};
    const char *text;
    size_t n;
    const char *after = json_text_string(p, end, &buffer, &text, &n);
    json_t *string = json_loadb(p, (size_t)(after - p), JSON_DECODE_ANY, NULL);
    FUZZ_REQUIRE(string && json_string_length(string) == n && memcmp(json_string_value(string), text, n) == 0);
    json_decref(string);
    free(buffer.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = text + size;
    struct json_text_fault fault = {NULL, NULL};
    const char *after = json_text_check(text, end, NULL, &fault);
    int ours = after && json_text_blanks(after, end) == end;
    json_error_t error;
    json_t *theirs = json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
    /* jansson takes a NUL byte between values for the end of the text; we refuse it */
    bool not_comparable = (!after && strstr(fault.what, "64 levels")) || (!ours && memchr(text, '\0', size));
    if (not_comparable) json_decref(theirs);
    else {
        FUZZ_REQUIRE(ours == (theirs != NULL));
        if (ours) {
            const char *first = json_text_blanks(text, end);
            FUZZ_REQUIRE(json_text_skip(first, end) == after);
            if (*first == '"') same_strings(first, end);
            if (json_is_number(theirs)) same_number(first, after, json_number_value(theirs));
        }
        json_decref(theirs);
    }
    fuzz_both_ways("application/json", data, size);
    return 0;
}
