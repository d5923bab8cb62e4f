/* c_writer.h - private to c_*.c: a C source under way. */
#ifndef SCHEMA_C_WRITER_H
#define SCHEMA_C_WRITER_H

#include "engine/layers/window.h"
#include "schema/export/c_source.h"

enum { C_SECTIONS_MAX = 100, C_NAME_MAX = 72 };

struct c_writer {
    const struct schema_model *model;
    const struct bp_network *network;
    struct schema_text statics;  /* weights, tables */
    struct schema_text body;     /* statements of the function */
    bool used[C_SECTIONS_MAX];   /* sections of the runtime */
    int64_t room;                /* floats of the working memory so far */
    int32_t statics_count;       /* arrays so far: they are called w0, w1, ... */
    char (*values)[24];          /* [nodes] the pointer to its numbers: "v3" */
    char name[C_NAME_MAX];       /* of the model, as a C name */
    char (*columns)[C_NAME_MAX]; /* [features] members of the row */
    struct bp_error *error;
};

/* ---- c_source.c ---- */
/* A section of the runtime, and what it needs, is part of the source. */
void c_use(struct c_writer *w, const char *section);
const char *c_section_text(const char *section);
/* n floats of the working memory: their offset. */
int64_t c_room(struct c_writer *w, int64_t n);
/* An array of floats; its number, -1 with the error: one is not finite. what: for a comment. */
int32_t c_floats(struct c_writer *w, const float *v, int64_t n, const char *what);
/* The same of doubles. */
int32_t c_doubles(struct c_writer *w, const double *v, int64_t n, const char *what);
/* Appends a number as C reads it back exactly: a float ("1.5f"), a double. */
void c_float(struct schema_text *out, float v);
void c_double(struct schema_text *out, double v);
/* A string with its quotes; text for a comment, in ASCII, cut. */
void c_string(struct schema_text *out, const char *text);
void c_comment(struct schema_text *out, const char *text);
/* A C name of a text: letters, digits and "_", not a word of C, at most 60 bytes. */
void c_name(const char *text, char name[static C_NAME_MAX]);
/* What cannot be expressed. */
__attribute__((format(printf, 2, 3))) int c_refuse(struct c_writer *w, const char *format, ...);

/* ---- c_layers.c ---- */
/* The statements of a node, whose inputs have their values. -1 with the error. */
int c_layer(struct c_writer *w, int32_t node);
/* Applies an activation to rows of numbers at the expression a. slopes: of prelu, the number of an array. */
int c_activation(struct c_writer *w, const struct bp_activation_ops *f, const double *numbers, int32_t slopes, const char *a, const int64_t size[2]);
/* ---- c_row.c ---- */
/* The struct of a row goes to out; the statements that fill the inputs to the body. */
int c_row(struct c_writer *w, struct schema_text *out);
/* ---- c_targets.c ---- */
/* The statements from the outputs to `out`, and the return; declarations of labels and thresholds go to out. */
int c_targets(struct c_writer *w, struct schema_text *out);
/* How many numbers the function writes. */
int64_t c_targets_size(const struct c_writer *w);
/* The program that reads CSV, if it can. */
void c_main(struct c_writer *w, struct schema_text *out);

#endif
