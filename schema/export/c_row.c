/* c_row.c - a row in C: the struct of its columns, and the statements that make the inputs of the network of them, as schema_transform does. */
#include "schema/export/c_writer.h"

#include "schema/json/values.h"
#include "schema/preprocessing/feature.h"
#include "schema/text/datetime.h"
#include "schema/text/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- where numbers go ------------------------------------------------------------------------------------------------------ */

/* The place of the feature's n-th number: "v0[7]". */
static const char *place(const struct schema_feature *f, int32_t n, char text[static 40]) {
    int32_t k = 0;
    while (k + 1 < f->places_count && n >= f->places[k].width) n -= f->places[k++].width;
    snprintf(text, 40, "v%d[%d]", (int)f->places[k].input, (int)(f->places[k].offset + n));
    return text;
}

/* ---- numbers --------------------------------------------------------------------------------------------------------------- */

/* The expression of a scaled number, of the variable v. */
static void scaled(struct c_writer *w, const struct schema_feature *f, int32_t knots, struct schema_text *out) {
    const bool clipped = f->clip > 0;
    if (clipped) {
        c_use(w, f->smooth ? "squash" : "clip");
        schema_text_string(out, f->smooth ? "squash(" : "clip(");
    }
    schema_text_string(out, "(");
    if (f->options.scale == SCHEMA_SCALE_LOG) {
        c_use(w, "symmetric_log");
        schema_text_string(out, "symmetric_log(v)");
    } else if (f->options.scale == SCHEMA_SCALE_QUANTILE && f->knots) {
        c_use(w, "quantile_of");
        schema_text_format(out, "quantile_of(w%d, %d, v)", (int)knots, SCHEMA_KNOTS);
    } else {
        schema_text_string(out, "v");
    }
    schema_text_string(out, " - ");
    c_double(out, f->mean);
    schema_text_string(out, ") / ");
    c_double(out, f->std);
    if (!clipped) return;
    schema_text_string(out, ", ");
    c_double(out, f->clip);
    schema_text_string(out, ")");
}

/* double v = the cell, or what a missing or constant one counts as. */
static void take_number(struct c_writer *w, const struct schema_feature *f, const char *column) {
    schema_text_format(&w->body, "        const double v = ");
    if (f->constant) c_double(&w->body, f->min);
    else {
        schema_text_format(&w->body, "isnan(row->%s) ? ", column);
        c_double(&w->body, f->fill);
        schema_text_format(&w->body, " : row->%s", column);
    }
    schema_text_string(&w->body, ";\n");
}

static void indicate(struct c_writer *w, const struct schema_feature *f, int32_t n, const char *column) {
    char at[40];
    if (f->indicator) schema_text_format(&w->body, "        %s = isnan(row->%s) ? 1 : 0;\n", place(f, n, at), column);
}

static int knots_of(struct c_writer *w, const struct schema_feature *f) {
    if (f->options.scale != SCHEMA_SCALE_QUANTILE || !f->knots) return 0;
    return c_doubles(w, f->knots, SCHEMA_KNOTS, f->name);
}

static void number(struct c_writer *w, const struct schema_feature *f, const char *column) {
    char at[40];
    const int32_t knots = knots_of(w, f);
    take_number(w, f, column);
    if (schema_type_of(f->type)->unscaled) schema_text_format(&w->body, "        %s = (float)v;\n", place(f, 0, at));
    else {
        c_use(w, "to_float");
        schema_text_format(&w->body, "        %s = to_float(", place(f, 0, at));
        scaled(w, f, knots, &w->body);
        schema_text_string(&w->body, ");\n");
    }
    indicate(w, f, 1, column);
}

static void date(struct c_writer *w, const struct schema_feature *f, const char *column) {
    static const int cycles[SCHEMA_PARTS] = {
        [SCHEMA_PART_YEAR] = 1, [SCHEMA_PART_MONTH] = 2, [SCHEMA_PART_WEEK] = 3, [SCHEMA_PART_DAY] = 4, [SCHEMA_PART_HOUR] = 5};
    char at[40], next[40];
    int32_t n = 0;
    const int32_t knots = knots_of(w, f);
    take_number(w, f, column);
    if (f->options.parts >> SCHEMA_PART_TIME & 1) {
        schema_text_format(&w->body, "        %s = (float)(", place(f, n++, at));
        scaled(w, f, knots, &w->body);
        schema_text_string(&w->body, ");\n");
    }
    for (int part = SCHEMA_PART_YEAR; part < SCHEMA_PARTS; part++, n += 2) {
        if (!(f->options.parts >> part & 1)) {
            n -= 2;
            continue;
        }
        c_use(w, "date");
        schema_text_format(&w->body,
                           "        %s = isnan(row->%s) ? 0 : (float)sin(2 * 3.14159265358979323846 * cycle(v, %d));\n"
                           "        %s = isnan(row->%s) ? 0 : (float)cos(2 * 3.14159265358979323846 * cycle(v, %d));\n",
                           place(f, n, at), column, cycles[part], place(f, n + 1, next), column, cycles[part]);
    }
    if (n == 0) schema_text_string(&w->body, "        (void)v;\n");
    indicate(w, f, n, column);
}

/* ---- categories ------------------------------------------------------------------------------------------------------------ */

/* The categories as they are compared. */
static void list_categories(struct c_writer *w, int32_t i, const struct schema_feature *f) {
    schema_text_format(&w->statics, "static const char *const categories_%d[] = {", (int)i);
    for (int32_t k = 0; k < f->categories_count; k++) {
        char key[32], copy[40];
        size_t size = strlen(f->categories[k]);
        const char *text = schema_category_key(f->categories[k], &size, key);
        if (k) schema_text_string(&w->statics, k % 8 ? ", " : ",\n    ");
        if (text == key) snprintf(copy, sizeof copy, "%.*s", (int)size, key);
        c_string(&w->statics, text == key ? copy : text);
    }
    schema_text_string(&w->statics, f->categories_count ? "};\n" : "NULL};\n");
}

/* The numbers of each category, and at the end those of an unknown one. */
static int write_means(struct c_writer *w, const struct schema_feature *f) {
    const size_t n = ((size_t)f->categories_count + 1) * (size_t)f->means_width;
    float *values = malloc((n + 1) * sizeof *values);
    if (!values) return bp_error_memory(w->error, "no memory for the C source");
    for (size_t k = 0; k < n; k++) values[k] = (float)((f->means[k] - f->mean) / f->std);
    const int32_t table = c_floats(w, values, (int64_t)n, f->name);
    free(values);
    return table;
}

static int category(struct c_writer *w, const struct schema_feature *f, int32_t i, const char *column) {
    char at[40];
    const enum schema_encode how = f->options.encode;
    list_categories(w, i, f);
    c_use(w, "category");
    if (f->constant) schema_text_format(&w->body, "        const int k = 0;\n");
    else schema_text_format(&w->body, "        const int k = category(row->%s, categories_%d, %d);\n", column, (int)i, (int)f->categories_count);
    if (f->constant) schema_text_format(&w->body, "        (void)categories_%d, (void)category;\n", (int)i);
    if (how == SCHEMA_ENCODE_EMBEDDING) schema_text_format(&w->body, "        %s = (float)(k + 1);\n", place(f, 0, at));
    else if (how == SCHEMA_ENCODE_TARGET) {
        const int32_t table = write_means(w, f);
        if (table < 0) return -1;
        for (int32_t n = 0; n < f->means_width; n++)
            schema_text_format(&w->body, "        %s = w%d[(k < 0 ? %d : k) * %d + %d];\n", place(f, n, at), (int)table, (int)f->categories_count,
                               (int)f->means_width, (int)n);
    } else if (how == SCHEMA_ENCODE_ORDINAL) {
        schema_text_format(&w->body, "        %s = k < 0 ? 0 : (float)((k - ", place(f, 0, at));
        c_double(&w->body, f->mean);
        schema_text_string(&w->body, ") / ");
        c_double(&w->body, f->std);
        schema_text_string(&w->body, ");\n");
    } else if (how == SCHEMA_ENCODE_COMPACT && f->categories_count == 2) {
        schema_text_format(&w->body, "        %s = k < 0 ? 0 : k ? 1 : -1;\n", place(f, 0, at));
    } else if (f->places_count > 0) {
        const struct schema_place *p = &f->places[0]; /* the last number is for unknown ones, where there is one more than categories */
        char known[40] = "k";
        if (f->options.unseen != SCHEMA_UNSEEN_IGNORE) snprintf(known, sizeof known, "(k < 0 ? %d : k)", (int)f->categories_count);
        schema_text_format(&w->body, "        for (int j = 0; j < %d; j++) v%d[%d + j] = j == %s ? 1 : 0;\n", (int)p->width, (int)p->input,
                           (int)p->offset, known);
    } else {
        schema_text_string(&w->body, "        (void)k;\n");
    }
    return 0;
}

/* ---- tensors --------------------------------------------------------------------------------------------------------------- */

static int tensor(struct c_writer *w, const struct schema_feature *f, const char *column) {
    const int32_t count = f->channels_count > 0 ? f->channels_count : 1;
    double *mean = calloc((size_t)count, sizeof *mean), *std = calloc((size_t)count, sizeof *std);
    int32_t means = -1, stds = -1;
    for (int32_t c = 0; mean && std && c < count; c++) {
        const struct schema_channel *channel = f->channels_count > 0 ? &f->channels[c] : NULL;
        mean[c] = channel ? channel->mean : 0;
        std[c] = !channel ? 1 : channel->min == channel->max ? 0 : channel->std;
    }
    if (mean && std && (means = c_doubles(w, mean, count, f->name)) >= 0) stds = c_doubles(w, std, count, f->name);
    free(mean);
    free(std);
    if (stds < 0) return bp_error_memory(w->error, "no memory for the C source");
    c_use(w, "tensor");
    schema_text_format(&w->body, "        tensor(row->%s, %lld, %d, w%d, w%d, ", column, (long long)bp_shape_size(&f->shape), (int)count, (int)means,
                       (int)stds);
    c_double(&w->body, f->channels_count > 0 ? f->clip : 0);
    schema_text_format(&w->body, ", v%d);\n", (int)f->places[0].input);
    return 0;
}

/* ---- the row --------------------------------------------------------------------------------------------------------------- */

static void describe(const struct schema_feature *f, const char *column, struct schema_text *out) {
    const struct schema_type_ops *type = schema_type_of(f->type);
    char shape[64];
    if (type->value == SCHEMA_VALUE_TENSOR) schema_text_format(out, "    const float *%s; ", column);
    else schema_text_format(out, type->value == SCHEMA_VALUE_CATEGORY ? "    const char *%s; " : "    double %s; ", column);
    schema_text_string(out, "/* \"");
    c_comment(out, f->name);
    schema_text_format(out, "\": %s", type->name);
    if (f->type == SCHEMA_BOOLEAN) schema_text_string(out, ", 0 or 1; missing: NAN");
    else if (f->type == SCHEMA_DATETIME) schema_text_string(out, ", seconds since 1970-01-01T00:00:00Z; missing: NAN");
    else if (type->value == SCHEMA_VALUE_TENSOR)
        schema_text_format(out, " %s; missing: NULL, or NAN for a number", bp_shape_text(&f->shape, shape, sizeof shape));
    else if (type->value == SCHEMA_VALUE_CATEGORY) schema_text_string(out, ", a text; missing: NULL");
    else schema_text_string(out, "; missing: NAN");
    schema_text_string(out, " */\n");
}

static int feature(struct c_writer *w, int32_t i) {
    const struct schema_feature *f = &w->model->training->preprocessing->features[i];
    const struct schema_type_ops *type = schema_type_of(f->type);
    const char *column = w->columns[i];
    int failed = 0;
    if (type->value == SCHEMA_VALUE_TEXT)
        return c_refuse(
            w,
            "column \"%.80s\" is text, whose words the C source cannot separate; leave it out of features, or give it the type categorical, and "
            "train again",
            f->name);
    if (f->places_count == 0) return 0;
    schema_text_string(&w->body, "    { /* ");
    c_comment(&w->body, f->name);
    schema_text_string(&w->body, " */\n");
    if (type->value == SCHEMA_VALUE_TENSOR) failed = tensor(w, f, column);
    else if (type->value == SCHEMA_VALUE_CATEGORY) failed = category(w, f, i, column);
    else if (f->type == SCHEMA_DATETIME) date(w, f, column);
    else number(w, f, column);
    schema_text_string(&w->body, "    }\n");
    return failed;
}

int c_row(struct c_writer *w, struct schema_text *out) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    schema_text_format(out, "/* A row, by column. */\nstruct %s_row {\n", w->name);
    for (int32_t i = 0; i < p->features_count; i++) describe(&p->features[i], w->columns[i], out);
    schema_text_string(out, "};\n\n");
    for (int32_t k = 0; p->empty >> k; k++)
        if (p->empty >> k & 1) schema_text_format(&w->body, "    v%d[0] = 0;\n", (int)k);
    for (int32_t i = 0; i < p->features_count; i++)
        if (feature(w, i) != 0) return -1;
    return 0;
}
