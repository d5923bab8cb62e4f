/* shares.c - see shares.h. */
#include "schema/predict/shares.h"

#include "engine/kernels/kernels.h"
#include "schema/text/number_print.h"

#include <math.h>
#include <string.h>

enum { FEW = 3 /* numbers that are not worth a call */ };

void schema_shares_clear(struct schema_shares *s) {
    s->from = NULL;
    s->n = 0;
}

/* Where the digits of the numbers begin; -1: they are printed one by one. */
static int32_t find(struct schema_shares *s, const float *numbers, int32_t count, int64_t behind) {
    const uintptr_t at = (uintptr_t)numbers, from = (uintptr_t)s->from;
    if (s->n > 0 && at >= from && at + (size_t)count * sizeof *numbers <= from + (size_t)s->n * sizeof *numbers)
        return (int32_t)((at - from) / sizeof *numbers);
    if (count + behind <= FEW) return -1;
    s->from = numbers;
    s->n = count + behind > SHARES_AT_ONCE ? SHARES_AT_ONCE : (int32_t)(count + behind);
    bp_kernels()->nine(&(struct bp_nine){(size_t)s->n, numbers, s->digits, s->exponents, s->first, s->rest});
    return 0;
}

static size_t print(float number, char *to) {
    if (isfinite(number)) return schema_number_print_nine(number, to);
    memcpy(to, "null", 4);
    return 4;
}

/* At most SHARES_AT_ONCE. */
static void write_some(struct schema_shares *s, const float *numbers, int32_t count, int64_t behind, struct schema_text *out) {
    char *const start = schema_text_room(out, (size_t)count * (SCHEMA_NUMBER_DIGITS + 1)), *to = start;
    const int32_t at = start ? find(s, numbers, count, behind) : -1;
    if (!start) return;
    for (int32_t c = 0; c < count; c++) {
        *to++ = ',';
        if (at >= 0 && s->digits[at + c]) to += schema_number_write_nine(s->first[at + c], s->rest[at + c], s->exponents[at + c], to);
        else to += print(numbers[c], to);
    }
    *to = '\0';
    out->size += (size_t)(to - start);
}

void schema_shares_write(struct schema_shares *s, const float *numbers, int32_t count, int64_t behind, struct schema_text *out) {
    for (int32_t c = 0; c < count; c += SHARES_AT_ONCE) {
        const int32_t some = count - c < SHARES_AT_ONCE ? count - c : SHARES_AT_ONCE;
        write_some(s, numbers + c, some, behind + count - c - some, out);
    }
}
