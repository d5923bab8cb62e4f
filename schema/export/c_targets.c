/* c_targets.c - from the outputs of the network to what a caller gets, as predict.c writes it: probabilities by class, values in the unit of the
 * target. Labels and thresholds are declared with the function and defined with it. */
#include "schema/export/c_writer.h"

#include "engine/metrics/metric.h"
#include "schema/preprocessing/preprocessing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sizes ----------------------------------------------------------------------------------------------------------------- */

static int32_t output_of(const struct schema_preprocessing *p, int32_t k) {
    int32_t o = 0;
    while (k >= p->outputs[o].first + p->outputs[o].count) o++;
    return o;
}

static int64_t width_of(const struct c_writer *w, int32_t o) {
    return bp_shape_size(&w->network->outputs[o].shape);
}

/* Numbers that target k gets in `out`. */
static int64_t target_size(const struct c_writer *w, int32_t k) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    const struct schema_target *t = &p->targets[k];
    const int32_t o = output_of(p, k);
    if (schema_output_multilabel(p, o)) return p->outputs[o].count > 1 ? 1 : width_of(w, o);
    if (t->classification) return schema_target_size(t) * t->labels_count;
    return schema_target_size(t);
}

int64_t c_targets_size(const struct c_writer *w) {
    int64_t size = 0;
    for (int32_t k = 0; k < w->model->training->preprocessing->targets_count; k++) size += target_size(w, k);
    return size;
}

/* ---- the output ------------------------------------------------------------------------------------------------------------ */

/* By the temperature of a calibrated version. */
static void heat(struct c_writer *w, int32_t o) {
    const struct schema_calibration *c = w->model->calibration;
    const double t = c ? c->targets[w->model->training->preprocessing->outputs[o].first].temperature : 1;
    if (t == 1) return;
    c_use(w, "temperature");
    schema_text_format(&w->body, "    temperature(y%d, %d, ", (int)o, (int)width_of(w, o));
    c_double(&w->body, t);
    schema_text_string(&w->body, ");\n");
}

/* From which probability on a label is predicted, of target t. */
static const double *thresholds_of(const struct c_writer *w, const struct schema_target *t) {
    const struct schema_calibration *c = w->model->calibration;
    return (c && c->thresholds ? c->thresholds : w->model->training->preprocessing->thresholds) + t->thresholds_at;
}

/* The head and the mean of members, on a copy: another layer may read the node. */
static int finish_output(struct c_writer *w, int32_t o) {
    const struct bp_output *output = &w->network->outputs[o];
    const struct bp_shape *shape = &w->network->nodes[output->node].out;
    const int64_t n = bp_shape_size(shape), width = shape->rank ? shape->dims[shape->rank - 1] : 1, size[2] = {n / width, width};
    static const double none[4];
    char a[24];
    snprintf(a, sizeof a, "y%d", (int)o);
    c_use(w, "copy");
    schema_text_format(&w->body, "    float *const y%d = work + %lld;\n    copy(%s, %lld, y%d);\n", (int)o, (long long)c_room(w, n),
                       w->values[output->node], (long long)n, (int)o);
    if (output->head && c_activation(w, output->head, none, -1, a, size) != 0) return -1;
    if (output->members) {
        c_use(w, "mean_of_members");
        schema_text_format(&w->body, "    mean_of_members(y%d, %d, %lld);\n", (int)o, (int)output->members, (long long)(n / output->members));
    }
    heat(w, o);
    return 0;
}

/* ---- numbers --------------------------------------------------------------------------------------------------------------- */

/* What a transform undoes, as an expression of g. */
static void invert(struct c_writer *w, const struct schema_target *t) {
    char lambda[48];
    snprintf(lambda, sizeof lambda, "%.17g", t->lambda);
    switch (t->transform) {
    case SCHEMA_TRANSFORM_LOG: schema_text_string(&w->body, "        double x = exp(g);\n"); break;
    case SCHEMA_TRANSFORM_LOG1P: schema_text_string(&w->body, "        double x = expm1(g);\n"); break;
    case SCHEMA_TRANSFORM_SQRT: schema_text_string(&w->body, "        double x = g > 0 ? g * g : 0;\n"); break;
    case SCHEMA_TRANSFORM_BOX_COX:
        c_use(w, "power_back");
        schema_text_format(&w->body, "        double x = exp(power_back(g, %s));\n", lambda);
        break;
    case SCHEMA_TRANSFORM_YEO_JOHNSON:
        c_use(w, "power_back");
        schema_text_format(&w->body, "        double x = g < 0 ? -expm1(power_back(-g, 2 - %s)) : expm1(power_back(g, %s));\n", lambda, lambda);
        break;
    default: schema_text_string(&w->body, "        double x = g;\n");
    }
    if (t->transform != SCHEMA_TRANSFORM_BOX_COX && t->transform != SCHEMA_TRANSFORM_YEO_JOHNSON) return;
    schema_text_string(&w->body, "        if (!(fabs(x) <= 1.7976931348623157e308)) x = g > ");
    c_double(&w->body, schema_transform_apply(t->transform, t->lambda, t->low));
    schema_text_string(&w->body, " ? ");
    c_double(&w->body, t->high);
    schema_text_string(&w->body, " : ");
    c_double(&w->body, t->low);
    schema_text_string(&w->body, ";\n");
}

/* The numbers of a target in its own unit. at: of its first number in y; each: numbers of the network for one. */
static int write_numbers(struct c_writer *w, int32_t o, int32_t k, int64_t at, int64_t to) {
    const struct schema_target *t = &w->model->training->preprocessing->targets[k];
    const struct bp_output *output = &w->network->outputs[o];
    const int64_t size = schema_target_size(t);
    const int32_t each = bp_loss_outputs_per_target(output->loss, output->values), point = bp_loss_point(output->loss, output->values);
    const int32_t channels = t->channels_count > 0 ? t->channels_count : 1;
    double *numbers = calloc(2 * (size_t)channels, sizeof *numbers);
    if (!numbers) return bp_error_memory(w->error, "no memory for the C source");
    for (int32_t c = 0; c < channels; c++) numbers[2 * c] = schema_target_unit(t, c), numbers[2 * c + 1] = schema_target_origin(t, c);
    const int32_t table = c_doubles(w, numbers, 2 * channels, t->name);
    free(numbers);
    schema_text_format(&w->body,
                       "    for (long i = 0; i < %lld; i++) {\n        const double g = (double)y%d[%lld + i * %d + %d] * w%d[i %% %d * 2] + w%d[i "
                       "%% %d * 2 + 1];\n",
                       (long long)size, (int)o, (long long)at, (int)each, (int)point, (int)table, (int)channels, (int)table, (int)channels);
    invert(w, t);
    if (t->clamp) {
        schema_text_string(&w->body, "        x = x < ");
        c_double(&w->body, t->low);
        schema_text_string(&w->body, " ? ");
        c_double(&w->body, t->low);
        schema_text_string(&w->body, " : x > ");
        c_double(&w->body, t->high);
        schema_text_string(&w->body, " ? ");
        c_double(&w->body, t->high);
        schema_text_string(&w->body, " : x;\n");
    }
    schema_text_format(&w->body, "        out[%lld + i] = (float)x;\n    }\n", (long long)to);
    return 0;
}

/* ---- classes --------------------------------------------------------------------------------------------------------------- */

/* Probabilities (or scores) of all classes, of each position; one number of the network may stand for two classes. */
static void write_classes(struct c_writer *w, int32_t o, int32_t k, int64_t to) {
    const struct schema_target *t = &w->model->training->preprocessing->targets[k];
    const int64_t positions = schema_target_size(t), each = width_of(w, o) / positions;
    const bool scores = schema_training_scores(w->model->training, o);
    if (each == 1)
        schema_text_format(&w->body, "    for (long i = 0; i < %lld; i++) out[%lld + 2 * i] = %sy%d[i], out[%lld + 2 * i + 1] = y%d[i];\n",
                           (long long)positions, (long long)to, scores ? "-" : "1 - ", (int)o, (long long)to, (int)o);
    else {
        c_use(w, "copy");
        schema_text_format(&w->body, "    copy(y%d, %lld, out + %lld);\n", (int)o, (long long)(positions * each), (long long)to);
    }
}

/* The statement that returns the class. */
static void return_class(struct c_writer *w) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    const double threshold = *thresholds_of(w, &p->targets[0]);
    const int32_t classes = p->targets[0].labels_count;
    const bool scores = schema_training_scores(w->model->training, 0), one = width_of(w, 0) == 1;
    if (threshold > 0 && width_of(w, 0) <= 2) {
        schema_text_format(&w->body, "    return (double)y0[%d] >= ", one ? 0 : 1);
        c_double(&w->body, threshold);
        schema_text_string(&w->body, ";\n");
    } else if (one) {
        schema_text_format(&w->body, "    return y0[0] >= %s;\n", scores ? "0" : "0.5f");
    } else {
        schema_text_format(&w->body,
                           "    int best = 0;\n    for (int j = 1; j < %d; j++)\n        if (y0[j] > y0[best]) best = j;\n    return best;\n",
                           (int)classes);
    }
}

/* ---- declarations ---------------------------------------------------------------------------------------------------------- */

static bool one_class(const struct c_writer *w) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    return p->targets_count == 1 && p->targets[0].classification && !p->targets[0].multilabel && p->targets[0].shape.rank == 0;
}

/* What each part of `out` is. */
static void describe(const struct c_writer *w, int32_t k, int64_t to, struct schema_text *out) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    const struct schema_target *t = &p->targets[k];
    const int32_t o = output_of(p, k);
    const int64_t size = target_size(w, k);
    schema_text_format(out, "/* out[%lld..%lld]: \"", (long long)to, (long long)(to + size - 1));
    c_comment(out, t->name);
    if (schema_output_multilabel(p, o))
        schema_text_format(out, "\", the probability of %s; predicted from its threshold on */\n", p->outputs[o].count > 1 ? "a yes" : "each label");
    else if (t->classification)
        schema_text_format(out, "\", the %s of each class%s */\n", schema_training_scores(w->model->training, o) ? "score" : "probability",
                           t->shape.rank ? ", position by position" : "");
    else
        schema_text_format(out, "\", %s in its own unit%s */\n", size > 1 ? "numbers" : "a number",
                           bp_loss_outputs_per_target(w->network->outputs[o].loss, w->network->outputs[o].values) > 1 ? ": the point prediction"
                                                                                                                      : "");
}

/* Labels and thresholds of target k: declared in out, defined with the weights. */
static void declare(struct c_writer *w, int32_t k, struct schema_text *out) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    const struct schema_target *t = &p->targets[k];
    char suffix[16] = "";
    if (p->targets_count > 1) snprintf(suffix, sizeof suffix, "_%d", (int)k + 1);
    if (!t->classification) return;
    schema_text_format(out, "extern const char *const %s_labels%s[%d];\n", w->name, suffix, (int)t->labels_count);
    schema_text_format(&w->statics, "const char *const %s_labels%s[%d] = {", w->name, suffix, (int)t->labels_count);
    for (int32_t j = 0; j < t->labels_count; j++) {
        if (j) schema_text_string(&w->statics, ", ");
        c_string(&w->statics, t->labels[j]);
    }
    schema_text_string(&w->statics, "};\n");
    if (!schema_output_multilabel(p, output_of(p, k))) return;
    const int32_t count = t->multilabel ? t->labels_count : 1;
    schema_text_format(out, "extern const double %s_thresholds%s[%d];\n", w->name, suffix, (int)count);
    schema_text_format(&w->statics, "const double %s_thresholds%s[%d] = {", w->name, suffix, (int)count);
    for (int32_t j = 0; j < count; j++) {
        if (j) schema_text_string(&w->statics, ", ");
        c_double(&w->statics, thresholds_of(w, t)[j]);
    }
    schema_text_string(&w->statics, "};\n");
}

int c_targets(struct c_writer *w, struct schema_text *out) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    int64_t to = 0;
    if (w->model->calibration && w->model->calibration->quantiles_count)
        schema_text_string(out, "/* The sets and intervals of this version are not in this source; its temperature and thresholds are. */\n");
    for (int32_t o = 0; o < p->outputs_count; o++)
        if (finish_output(w, o) != 0) return -1;
    for (int32_t k = 0; k < p->targets_count; to += target_size(w, k++)) {
        const int32_t o = output_of(p, k);
        const struct schema_target *t = &p->targets[k];
        const int32_t each = bp_loss_outputs_per_target(w->network->outputs[o].loss, w->network->outputs[o].values);
        const int64_t at = (int64_t)(k - p->outputs[o].first) * each;
        describe(w, k, to, out);
        declare(w, k, out);
        if (schema_output_multilabel(p, o)) {
            c_use(w, "copy");
            schema_text_format(&w->body, "    copy(y%d + %lld, %lld, out + %lld);\n", (int)o, (long long)(k - p->outputs[o].first),
                               (long long)target_size(w, k), (long long)to);
        } else if (t->classification) write_classes(w, o, k, to);
        else if (write_numbers(w, o, k, at, to) != 0) return -1;
    }
    schema_text_format(
        &w->body, "    for (long i = 0; i < %s_OUTPUTS; i++)\n        if (!(fabs((double)out[i]) <= 3.4028234663852886e38)) return -1;\n", w->name);
    if (one_class(w)) return_class(w);
    else schema_text_string(&w->body, "    return 0;\n");
    return 0;
}

/* ---- the program ----------------------------------------------------------------------------------------------------------- */

static void print_loop(const struct c_writer *w, struct schema_text *out) {
    schema_text_format(out, "        const int k = %s_predict(&row, out);\n", w->name);
    schema_text_string(out, "        if (k < 0) return fprintf(stderr, \"a row cannot be used\\n\"), 1;\n");
    if (one_class(w)) schema_text_format(out, "        printf(\"%%s\", %s_labels[k]);\n", w->name);
    schema_text_format(out, "        for (int i = 0; i < %s_OUTPUTS; i++) printf(%s\"%%.9g\", (double)out[i]);\n        printf(\"\\n\");\n", w->name,
                       one_class(w) ? "\",\" " : "i ? \",%.9g\" : ");
}

void c_main(struct c_writer *w, struct schema_text *out) {
    const struct schema_preprocessing *p = w->model->training->preprocessing;
    for (int32_t i = 0; i < p->features_count; i++)
        if (schema_type_of(p->features[i].type)->value == SCHEMA_VALUE_TENSOR) return; /* CSV has no such cells */
    schema_text_format(out, "\n#ifdef %s_MAIN\n%s\nint main(void) {\n", w->name, c_section_text("main"));
    schema_text_format(
        out,
        "    static char line[1 << 20], names[1 << 20];\n    static int column[1 << 16];\n    char *at = names, *cell;\n    int columns = 0;\n"
        "    float out[%s_OUTPUTS];\n    if (!fgets(names, sizeof names, stdin)) return 1;\n    while (columns < 1 << 16 && (cell = csv_cell(&at))) "
        "{\n        column[columns] = -1;\n",
        w->name);
    for (int32_t i = 0; i < p->features_count; i++) {
        schema_text_string(out, "        if (strcmp(cell, ");
        c_string(out, p->features[i].name);
        schema_text_format(out, ") == 0) column[columns] = %d;\n", (int)i);
    }
    schema_text_format(out, "        columns++;\n    }\n    while (fgets(line, sizeof line, stdin)) {\n        struct %s_row row = {", w->name);
    for (int32_t i = 0; i < p->features_count; i++)
        schema_text_string(out, schema_type_of(p->features[i].type)->value == SCHEMA_VALUE_CATEGORY ? (i ? ", NULL" : "NULL") : i ? ", NAN" : "NAN");
    schema_text_string(
        out, "};\n        at = line;\n        for (int i = 0; i < columns && (cell = csv_cell(&at)); i++) {\n            if (!*cell) continue;\n");
    for (int32_t i = 0; i < p->features_count; i++)
        schema_text_format(out, "            if (column[i] == %d) row.%s = %s;\n", (int)i, w->columns[i],
                           schema_type_of(p->features[i].type)->value == SCHEMA_VALUE_CATEGORY ? "cell" : "csv_number(cell)");
    schema_text_string(out, "        }\n");
    print_loop(w, out);
    schema_text_format(out, "    }\n    return 0;\n}\n#endif\n");
}
