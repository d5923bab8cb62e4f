/* fuzz_number.c - numbers from text against jansson and strtod: the same ones accepted, the same bits; any double to text and back. */
#include "schema/dataset/dataset.h"
#include "schema/text/number.h"
#include "tests/fuzz/fuzz_model.h"

#include <errno.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_bits(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

/* text[0..n) as strtod reads it; it must read all of it. */
static double reference(const char *text, size_t n) {
    char *copy = malloc(n + 1), *end;
    FUZZ_REQUIRE(copy);
    memcpy(copy, text, n);
    copy[n] = '\0';
    double value = strtod(copy, &end);
    FUZZ_REQUIRE(end == copy + n);
    free(copy);
    return value;
}

static void json_number(const char *text, size_t size) {
    double number = NAN;
    size_t n = schema_number_json(text, size, &number);
    FUZZ_REQUIRE(n <= size);
    if (n > 0) {
        json_t *json = json_loadb(text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
        FUZZ_REQUIRE(same_bits(number, reference(text, n)));
        FUZZ_REQUIRE(isfinite(number) == (json != NULL)); /* jansson refuses what overflows, as our callers do */
        FUZZ_REQUIRE(!json || same_bits(json_number_value(json), number));
        json_decref(json);
    }
    json_t *all = size > 0 && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) && text[size - 1] > ' '
                      ? json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL)
                      : NULL;
    FUZZ_REQUIRE(!json_is_number(all) || n == size || memchr(text, '\0', size)); /* jansson stops at a NUL */
    json_decref(all);
}

/* A cell: what strtod reads to its end, of the characters that people write. */
static void cell(const char *text, size_t size) {
    double number = NAN;
    bool taken = schema_number_cell(text, size, &number), digits = false, plain = true;
    while (size > 0 && (*text == ' ' || *text == '\t')) text++, size--;
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t')) size--;
    for (size_t i = 0; i < size; i++) {
        digits |= text[i] >= '0' && text[i] <= '9';
        plain &= text[i] != '\0' && strchr("0123456789+-.eE", text[i]) != NULL;
    }
    FUZZ_REQUIRE(!taken || (plain && digits && isfinite(number) && same_bits(number, reference(text, size))));
    if (taken || !plain || !digits) return;
    char *copy = strndup(text, size), *end;
    double value = strtod(copy, &end);
    FUZZ_REQUIRE(*end || !isfinite(value));
    free(copy);
}

static void back_from_text(const uint8_t *data, size_t size) {
    double number = 0, back = 0;
    char text[40];
    memcpy(&number, data, size < sizeof number ? size : sizeof number);
    if (!isfinite(number)) return;
    schema_number_text(number, text, sizeof text);
    FUZZ_REQUIRE(schema_number_cell(text, strlen(text), &back) && same_bits(number, back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char key[32];
    size_t key_size = size;
    if (size > 4000) return 0;
    json_number((const char *)data, size);
    cell((const char *)data, size);
    back_from_text(data, size);
    const char *once = schema_category_key((const char *)data, &key_size, key);
    if (once == key) { /* the key of a key is itself */
        char again[32];
        size_t again_size = key_size;
        const char *twice = schema_category_key(key, &again_size, again);
        FUZZ_REQUIRE(again_size == key_size && memcmp(once, twice, key_size) == 0);
    }
    return 0;
}
