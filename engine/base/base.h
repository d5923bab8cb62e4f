/* base.h - what every file of the engine stands on: the number type, limits, shapes, errors.
 *
 * The engine is built twice from the same sources: in float32 (libengine.a), which trains and serves, and with
 * -DBP_DOUBLE in float64 (libengine_f64.a), where gradients are checked. In the double build every symbol bp_* is
 * renamed bp64_* after compilation (one rule of the Makefile), so that both live in one program. */
#ifndef BP_BASE_H
#define BP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef BP_DOUBLE
typedef double bp_real;
#else
typedef float bp_real;
#endif

enum {
    BP_RANK_MAX = 4,    /* dimensions of a sample, the batch dimension not counted */
    BP_NAME_MAX = 64,   /* bytes of a name of a layer or input, with its final NUL */
    BP_INPUTS_MAX = 16, /* inputs of one layer */
    BP_OUTPUTS_MAX = 8, /* outputs of a network */
    BP_TENSORS_MAX = 8, /* weight tensors of one layer */
    BP_VALUES_MAX = 16, /* parameters of one layer, loss or optimizer */
    BP_ALIGNMENT = 64   /* bytes: one cache line, one AVX-512 register */
};

/* What kind of fault an error is. What a caller does about it follows from the code, never from the words of the message. */
enum bp_error_code {
    BP_ERROR_INVALID,     /* the request, the definition or the data is wrong: the same again fails again */
    BP_ERROR_MEMORY,      /* out of memory: the same may succeed later, or with less */
    BP_ERROR_IO,          /* a file, a device or a system call failed */
    BP_ERROR_DAMAGED,     /* stored bytes are not what was written: a checksum or a size does not match */
    BP_ERROR_UNSUPPORTED, /* valid, but this machine or build cannot do it */
};

/* An error as a person will read it. The caller owns it and clears it (= {0}); it is set where the error is detected
 * and never overwritten, so the first cause survives. */
struct bp_error {
    enum bp_error_code code;
    char pointer[192]; /* JSON pointer of the value at fault, "" when there is none */
    char message[512]; /* what was received, what was expected, what to do; UTF-8; "" means no error */
};

/* Each sets error unless it is already set (error may be NULL), and returns -1, so that `return bp_error_set(...)` reads well.
 * bp_error_set is for invalid input, the others for the codes that they name. */
int bp_error_set(struct bp_error *error, const char *pointer, const char *format, ...) __attribute__((format(printf, 3, 4)));
int bp_error_memory(struct bp_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int bp_error_io(struct bp_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int bp_error_damaged(struct bp_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int bp_error_unsupported(struct bp_error *error, const char *pointer, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same fault in more words: with the code of its cause, and the pointer and message given here. */
int bp_error_wrap(struct bp_error *error, const struct bp_error *cause, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The shape of one sample. rank -1: nothing is known. A dimension of 0: that dimension is not known. */
struct bp_shape {
    int32_t rank;
    int32_t dims[BP_RANK_MAX];
};

/* Numbers in one sample: the product of the dimensions (1 for rank 0); 0 when unknown or too large for int32. */
int64_t bp_shape_size(const struct bp_shape *shape);
bool bp_shape_equal(const struct bp_shape *a, const struct bp_shape *b);
/* Writes "(28, 28, 1)" ("?" for unknown) into text and returns it. */
const char *bp_shape_text(const struct bp_shape *shape, char *text, size_t size);

/* n reals, aligned to BP_ALIGNMENT and zeroed; NULL when there is no memory or n overflows. Free with free(). */
bp_real *bp_reals_new(size_t n);
/* n rounded up so that the next buffer starts aligned. */
size_t bp_reals_round(size_t n);

/* base^n by squaring: the same bits on every machine, which pow of libm does not promise. */
double bp_power(double base, uint64_t n);

/* The weight of sample i: weights (B), or NULL for 1 each. */
static inline double bp_sample_weight(const bp_real *weights, size_t i) {
    return weights ? (double)weights[i] : 1;
}

/* Sets flush-to-zero and denormals-are-zero for the calling thread. Every computing thread calls it first: without it
 * Adam's moments of dead units turn subnormal and a step becomes ten times slower. */
void bp_flush_denormals(void);

#endif
