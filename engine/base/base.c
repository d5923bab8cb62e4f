/* base.c - errors, shapes, aligned memory, and the floating-point mode of a computing thread. */
#include "engine/base/base.h"

#include "engine/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void set(struct bp_error *error, enum bp_error_code code, const char *pointer, const char *format, va_list arguments) {
    if (!error || error->message[0]) return;
    error->code = code;
    snprintf(error->pointer, sizeof error->pointer, "%s", pointer ? pointer : "");
    vsnprintf(error->message, sizeof error->message, format, arguments);
    bp_utf8_repair(error->pointer); /* both may quote a damaged file, and both are cut at their size */
    bp_utf8_repair(error->message);
}

/* A function with `...` for each code: set() with the arguments behind `format`. */
#define SET(code, pointer)                                                                                                                           \
    do {                                                                                                                                             \
        va_list arguments;                                                                                                                           \
        va_start(arguments, format);                                                                                                                 \
        set(error, code, pointer, format, arguments);                                                                                                \
        va_end(arguments);                                                                                                                           \
        return -1;                                                                                                                                   \
    } while (0)

int bp_error_set(struct bp_error *error, const char *pointer, const char *format, ...) {
    SET(BP_ERROR_INVALID, pointer);
}

int bp_error_memory(struct bp_error *error, const char *format, ...) {
    SET(BP_ERROR_MEMORY, "");
}

int bp_error_io(struct bp_error *error, const char *format, ...) {
    SET(BP_ERROR_IO, "");
}

int bp_error_damaged(struct bp_error *error, const char *format, ...) {
    SET(BP_ERROR_DAMAGED, "");
}

int bp_error_unsupported(struct bp_error *error, const char *pointer, const char *format, ...) {
    SET(BP_ERROR_UNSUPPORTED, pointer);
}

int bp_error_wrap(struct bp_error *error, const struct bp_error *cause, const char *pointer, const char *format, ...) {
    SET(cause->code, pointer);
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

int64_t bp_shape_size(const struct bp_shape *shape) {
    if (shape->rank < 0 || shape->rank > BP_RANK_MAX) return 0;
    int64_t size = 1;
    for (int32_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] <= 0) return 0;
        size *= shape->dims[i];
        if (size > INT32_MAX) return 0;
    }
    return size;
}

bool bp_shape_equal(const struct bp_shape *a, const struct bp_shape *b) {
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

const char *bp_shape_text(const struct bp_shape *shape, char *text, size_t size) {
    if (shape->rank < 0) {
        snprintf(text, size, "?");
        return text;
    }
    char part[16];
    size_t used = 0;
    snprintf(text, size, "(");
    for (int32_t i = 0; i < shape->rank && i < BP_RANK_MAX; i++) {
        if (shape->dims[i] > 0) snprintf(part, sizeof part, "%s%d", i ? ", " : "", (int)shape->dims[i]);
        else snprintf(part, sizeof part, "%s?", i ? ", " : "");
        used = strlen(text);
        snprintf(text + used, size - used, "%s", part);
    }
    used = strlen(text);
    snprintf(text + used, size - used, ")");
    return text;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

size_t bp_reals_round(size_t n) {
    const size_t lane = BP_ALIGNMENT / sizeof(bp_real);
    return (n + lane - 1) / lane * lane;
}

bp_real *bp_reals_new(size_t n) {
    if (n > SIZE_MAX / sizeof(bp_real) / 2) return NULL;
    size_t bytes = bp_reals_round(n ? n : 1) * sizeof(bp_real);
    bp_real *reals = aligned_alloc(BP_ALIGNMENT, bytes);
    if (reals) memset(reals, 0, bytes);
    return reals;
}

/* ---- floating-point mode ----------------------------------------------------------------------------------------- */

void bp_flush_denormals(void) {
#if defined(__x86_64__)
    const unsigned int flush = 0x8040; /* flush-to-zero, denormals-are-zero */
    unsigned int mode = _mm_getcsr();
    if ((mode & flush) != flush) _mm_setcsr(mode | flush);
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    if (!(mode & (UINT64_C(1) << 24))) __asm__ volatile("msr fpcr, %0" : : "r"(mode | (UINT64_C(1) << 24)));
#endif
}

double bp_power(double base, uint64_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}
