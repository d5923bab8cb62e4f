/* c_source.c - the parts of an exported C source put together. Each layer is a call of a function of runtime.c99 with its sizes and weights; the
 * numbers between layers are in one working memory, whose layout is known here. */
#include "schema/export/c_writer.h"

#include "schema/export/c_runtime.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = INT32_MAX, ROOM_MAX = 1 << 28 };

/* ---- pieces -------------------------------------------------------------------------------------------------------------- */

int c_refuse(struct c_writer *w, const char *format, ...) {
    char text[480];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return bp_error_unsupported(w->error, "", "%s", text);
}

void c_use(struct c_writer *w, const char *section) {
    for (int i = 0; i < c_runtime_count; i++) {
        if (strcmp(c_runtime[i].name, section) != 0) continue;
        w->used[i] = true;
        if (*c_runtime[i].needs) c_use(w, c_runtime[i].needs);
    }
}

const char *c_section_text(const char *section) {
    int i = 0;
    while (i < c_runtime_count && strcmp(c_runtime[i].name, section) != 0) i++;
    return i < c_runtime_count ? c_runtime[i].text : "";
}

int64_t c_room(struct c_writer *w, int64_t n) {
    const int64_t at = w->room;
    w->room += n;
    return at;
}

static void with_point(char *text, size_t size) {
    if (!strpbrk(text, ".e")) snprintf(text + strlen(text), size - strlen(text), ".0");
}

void c_float(struct schema_text *out, float v) {
    char text[40];
    snprintf(text, sizeof text - 4, "%.9g", (double)v);
    with_point(text, sizeof text);
    schema_text_format(out, "%sf", text);
}

void c_double(struct schema_text *out, double v) {
    char text[48];
    if (!isfinite(v)) {
        schema_text_string(out, isnan(v) ? "(double)NAN" : v > 0 ? "HUGE_VAL" : "-HUGE_VAL");
        return;
    }
    snprintf(text, sizeof text - 4, "%.17g", v);
    with_point(text, sizeof text);
    schema_text_string(out, text);
}

void c_string(struct schema_text *out, const char *text) {
    schema_text_string(out, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') schema_text_format(out, "\\%c", *c);
        else if (*c < 32 || *c > 126 || *c == '?') schema_text_format(out, "\\%03o", *c);
        else schema_text_add(out, (const char *)c, 1);
    }
    schema_text_string(out, "\"");
}

void c_comment(struct schema_text *out, const char *text) {
    int n = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && n < 100; c++, n++) {
        const bool plain = *c >= 32 && *c <= 126 && *c != '*' && *c != '\\' && *c != '?';
        schema_text_add(out, plain ? (const char *)c : "_", 1);
    }
}

void c_name(const char *text, char name[static C_NAME_MAX]) {
    static const char *const words[] = {
        "auto",   "break",  "case",    "char",   "const",    "continue", "default",  "do",       "double", "else",  "enum",   "extern", "float",
        "for",    "goto",   "if",      "inline", "int",      "long",     "register", "restrict", "return", "short", "signed", "sizeof", "static",
        "struct", "switch", "typedef", "union",  "unsigned", "void",     "volatile", "while",    "NAN",    "main",  "asm",    "bool",   "true",
        "false",  "class",  "new",     "delete", "this",     "template", "operator", "linux",    "unix",   "isnan", NULL};
    size_t n = 0;
    if (!isalpha((unsigned char)*text)) name[n++] = 'x';
    for (; *text && n < 60; text++) name[n++] = isalnum((unsigned char)*text) && (unsigned char)*text < 128 ? *text : '_';
    name[n] = '\0';
    bool reserved = false;
    for (int i = 0; words[i]; i++) reserved = reserved || strcmp(words[i], name) == 0;
    if (reserved) name[n++] = '_';
    name[n] = '\0';
}

static int32_t begin_array(struct c_writer *w, const char *type, int64_t n, const char *what) {
    schema_text_string(&w->statics, "/* ");
    c_comment(&w->statics, what);
    schema_text_format(&w->statics, " */\nstatic const %s w%d[%lld] = {", type, w->statics_count, (long long)(n > 0 ? n : 1));
    return w->statics_count++;
}

static void end_array(struct c_writer *w, int64_t n) {
    schema_text_string(&w->statics, n > 0 ? "};\n" : "0};\n");
}

int32_t c_floats(struct c_writer *w, const float *v, int64_t n, const char *what) {
    const int32_t number = begin_array(w, "float", n, what);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) return c_refuse(w, "\"%.100s\" has a number that is not finite, which C cannot express; export it as bpd", what);
        if (i) schema_text_string(&w->statics, i % 12 ? ", " : ",\n    ");
        c_float(&w->statics, v[i]);
    }
    end_array(w, n);
    return number;
}

int32_t c_doubles(struct c_writer *w, const double *v, int64_t n, const char *what) {
    const int32_t number = begin_array(w, "double", n, what);
    for (int64_t i = 0; i < n; i++) {
        if (i) schema_text_string(&w->statics, i % 8 ? ", " : ",\n    ");
        c_double(&w->statics, v[i]);
    }
    end_array(w, n);
    return number;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

/* The columns' names in C, each once. */
static void name_columns(struct c_writer *w) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    for (int32_t i = 0; i < p->features_count; i++) {
        c_name(p->features[i].name, w->columns[i]);
        for (int32_t k = 0; k < i; k++)
            if (strcmp(w->columns[k], w->columns[i]) == 0) {
                snprintf(w->columns[i] + strlen(w->columns[i]), 12, "_%d", (int)i + 1);
                k = -1;
            }
    }
}

static void banner(const struct c_writer *w, const char *name, struct schema_text *out) {
    const char *n = w->name;
    schema_text_string(out, "/* The model \"");
    c_comment(out, name);
    schema_text_format(out,
                       "\", exported by backpropd as C99. It needs nothing but the C library and its mathematics (-lm).\n"
                       " *\n"
                       " *     cc -std=c99 -O2 -c %s.c                                compiles it into a program of yours\n"
                       " *     cc -std=c99 -O2 -D%s_MAIN %s.c -o %s -lm     a program: CSV with a header in, predictions out\n"
                       " *\n"
                       " * Another source gets the declarations alone with  #define %s_DECLARATIONS  before it includes this file.\n"
                       " * Results are those of the server up to the rounding of float: it adds up in another order. */\n"
                       "#ifndef %s_H\n#define %s_H\n\n#include <math.h>\n#include <stddef.h>\n#include <string.h>\n\n",
                       n, n, n, n, n, n, n);
}

static void predict_comment(const struct c_writer *w, struct schema_text *out) {
    schema_text_format(
        out,
        "/* Predicts a row. out: (%s_OUTPUTS) numbers, described below. Returns the index of the predicted class where the model predicts one class "
        "of\n"
        " * several (see %s_labels), else 0; -1: the row cannot be used, a value is no index of an embedding, or a result is not finite.\n"
        " * Its working memory of %lld floats is %s. */\n"
        "int %s_predict(const struct %s_row *row, float *out);\n",
        w->name, w->name, (long long)(w->room ? w->room : 1),
        w->room <= 16384 ? "on the stack: any number of threads may call it"
                         : "static, so that one thread may call it at a time; NAME_STORAGE, for example _Thread_local, is put before it instead",
        w->name, w->name);
}

static int write_body(struct c_writer *w) {
    for (int32_t i = 0; i < w->network->inputs_count; i++) {
        snprintf(w->values[i], sizeof *w->values, "v%d", (int)i);
        const int64_t at = c_room(w, bp_shape_size(&w->network->nodes[i].out));
        schema_text_format(&w->body, "    float *const v%d = work + %lld;\n", (int)i, (long long)at);
    }
    return 0;
}

static int write_layers(struct c_writer *w) {
    for (int32_t i = w->network->inputs_count; i < w->network->nodes_count; i++)
        if (c_layer(w, i) != 0) return -1;
    if (w->room <= ROOM_MAX) return 0;
    return c_refuse(w, "a prediction takes %lld MB of memory, which is too much for a C source; export it as bpd", (long long)(w->room >> 18));
}

/* All parts are there: in their order. */
static void join(struct c_writer *w, const char *name, const struct schema_text parts[2], struct schema_text *out) {
    banner(w, name, out);
    schema_text_add(out, parts[0].bytes, parts[0].size);
    schema_text_format(out, "#define %s_OUTPUTS %lld\n", w->name, (long long)c_targets_size(w));
    predict_comment(w, out);
    schema_text_add(out, parts[1].bytes, parts[1].size);
    schema_text_format(out, "\n#endif\n\n#ifndef %s_DECLARATIONS\n\n", w->name);
    schema_text_add(out, w->statics.bytes ? w->statics.bytes : "", w->statics.size);
    schema_text_string(out, "\n");
    for (int i = 0; i < c_runtime_count; i++)
        if (w->used[i]) schema_text_format(out, "%s\n", c_runtime[i].text);
    if (w->room > 16384) schema_text_format(out, "#ifndef %s_STORAGE\n#define %s_STORAGE\n#endif\n\n", w->name, w->name);
    schema_text_format(out, "int %s_predict(const struct %s_row *row, float *out) {\n", w->name, w->name);
    if (w->room > 16384) schema_text_format(out, "    static %s_STORAGE float work[%lld];\n", w->name, (long long)w->room);
    else schema_text_format(out, "    float work[%lld];\n", (long long)(w->room ? w->room : 1));
    schema_text_add(out, w->body.bytes ? w->body.bytes : "", w->body.size);
    schema_text_string(out, "}\n");
    c_main(w, out);
    schema_text_string(out, "\n#endif\n");
}

int schema_c_source(const struct schema_model *model, const char *name, struct schema_text *out, struct bp_error *error) {
    const struct bp_network *network = model->training->network;
    struct c_writer w = {.model = model, .network = network, .error = error};
    struct schema_text parts[2] = {{.limit = TEXT_MAX}, {.limit = TEXT_MAX}}; /* the row; labels and what `out` is */
    w.statics.limit = w.body.limit = TEXT_MAX;
    w.values = calloc((size_t)network->nodes_count, sizeof *w.values);
    w.columns = calloc((size_t)model->training->preprocessing->features_count + 1, sizeof *w.columns);
    c_name(name, w.name);
    int failed = w.values && w.columns ? 0 : bp_error_memory(error, "no memory for the C source");
    if (!failed) name_columns(&w);
    if (!failed) failed = write_body(&w) || c_row(&w, &parts[0]) || write_layers(&w) || c_targets(&w, &parts[1]);
    if (!failed) join(&w, name, parts, out);
    if (!failed && (parts[0].failed || parts[1].failed || w.statics.failed || w.body.failed))
        failed = bp_error_memory(error, "no memory for the C source");
    for (int i = 0; i < 2; i++) free(parts[i].bytes);
    free(w.statics.bytes);
    free(w.body.bytes);
    free(w.values);
    free(w.columns);
    return failed ? -1 : 0;
}
