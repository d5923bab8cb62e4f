/* predict.c - `backpropd predict`: rows of a file through a model file. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/predict/predict.h"
#include "server/commands/local_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL, DATA, FORMAT, THRESHOLDS, COVERAGE, FLAGS_COUNT };
static const char *const names[] = {"model", "data", "format", "thresholds", "coverage", NULL};
static const char *const switches[] = {NULL};

static void print_text(const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (const char *c = text; *c; c++) {
        if (*c == '"') putchar('"');
        putchar(*c);
    }
    putchar('"');
}

/* An output that learns several labels from one column. */
static bool lists_labels(const struct schema_preprocessing *p, int32_t o) {
    return schema_output_multilabel(p, o) && p->outputs[o].count == 1;
}

/* A cell of labels as JSON, which is how CSV is uploaded too. */
static void print_labels(const struct schema_predictor *predictor, const struct schema_preprocessing *p, int32_t o, int32_t row) {
    struct schema_text list = {.limit = 1 << 26};
    float probability;
    schema_text_string(&list, "[");
    for (int32_t j = 0; j < schema_output_labels(p, o); j++) {
        if (!schema_predict_label(predictor, row, o, j, &probability)) continue;
        if (schema_text_last(&list) != '[') schema_text_string(&list, ",");
        schema_text_json_string(&list, schema_output_label(p, o, j));
    }
    schema_text_string(&list, "]");
    print_text(list.bytes ? list.bytes : "");
    free(list.bytes);
    for (int32_t j = 0; j < schema_output_labels(p, o); j++) {
        schema_predict_label(predictor, row, o, j, &probability);
        printf(",%.9g", (double)probability);
    }
}

static void print_labels_header(const struct schema_preprocessing *p, int32_t o) {
    if (p->outputs_count > 1) print_text(p->targets[p->outputs[o].first].name);
    else fputs("labels", stdout);
    for (int32_t j = 0; j < schema_output_labels(p, o); j++) {
        struct schema_text name = {.limit = 1 << 21};
        schema_text_format(&name, "probability_%s", schema_output_label(p, o, j));
        putchar(',');
        print_text(name.bytes ? name.bytes : "");
        free(name.bytes);
    }
}

/* Of a calibrated model: the column of sets, or those of intervals. */
static void print_bounds_header(const struct schema_model *model, int32_t k) {
    const enum schema_conformal method = model->calibration ? model->calibration->targets[k].method : SCHEMA_CONFORMAL_NONE;
    char of[24] = "";
    if (model->training->preprocessing->targets_count > 1) snprintf(of, sizeof of, "_of_%d", (int)k + 1);
    if (schema_conformal_is_set(method)) printf(",set%s", of);
    else if (method) printf(",low%s,high%s", of, of);
}

/* A set as JSON, which is how a cell of labels is written too. */
static void print_set(const struct schema_target *target, const int32_t *classes, int32_t count) {
    struct schema_text list = {.limit = 1 << 26};
    schema_text_string(&list, "[");
    for (int32_t i = 0; i < count; i++) {
        if (i) schema_text_string(&list, ",");
        schema_text_json_string(&list, target->labels[classes[i]]);
    }
    schema_text_string(&list, "]");
    putchar(',');
    print_text(list.bytes ? list.bytes : "");
    free(list.bytes);
}

/* An end that there is not is an empty cell. */
static void print_bounds(const struct schema_model *model, struct schema_predictor *predictor, int32_t row, int32_t k) {
    const struct schema_target *target = &model->training->preprocessing->targets[k];
    const int32_t *classes;
    double ends[2];
    char text[40];
    const int32_t count = schema_predict_set(predictor, row, k, &classes);
    if (count >= 0) print_set(target, classes, count);
    else if (schema_predict_interval(predictor, row, k, &ends[0], &ends[1]))
        for (int i = 0; i < 2; i++) {
            const double step = schema_predict_target(predictor, row, k).step;
            putchar(',');
            if (isfinite(ends[i])) schema_predicted_text(ends[i], step, text), fputs(text, stdout);
        }
}

/* Columns label and probability, or value; named after their targets where there are several. */
static void print_header(const struct schema_model *model) {
    const struct schema_preprocessing *p = model->training->preprocessing;
    for (int32_t o = 0; o < p->outputs_count; o++)
        for (int32_t k = p->outputs[o].first; k < p->outputs[o].first + p->outputs[o].count; k++) {
            const char *share = schema_training_scores(model->training, o) ? "score" : "probability";
            if (k) putchar(',');
            if (lists_labels(p, o)) {
                print_labels_header(p, o);
                continue;
            }
            if (p->targets_count > 1) print_text(p->targets[k].name);
            else fputs(p->targets[k].classification ? "label" : "value", stdout);
            if (p->targets[k].classification && p->targets_count > 1) printf(",%s_of_%d", share, k + 1);
            else if (p->targets[k].classification) printf(",%s", share);
            print_bounds_header(model, k);
        }
    putchar('\n');
}

static void print_row(const struct schema_model *model, struct schema_predictor *predictor, int32_t row) {
    const struct schema_preprocessing *p = model->training->preprocessing;
    for (int32_t k = 0, o = 0; k < p->targets_count; k++) {
        while (k >= p->outputs[o].first + p->outputs[o].count) o++;
        if (k) putchar(',');
        if (lists_labels(p, o)) {
            print_labels(predictor, p, o, row);
            continue;
        }
        const struct schema_predicted predicted = schema_predict_target(predictor, row, k);
        if (predicted.label < 0) {
            char text[40];
            schema_predicted_text(predicted.value, predicted.step, text);
            fputs(text, stdout);
        } else {
            print_text(p->targets[k].labels[predicted.label]);
            printf(",%.9g", (double)predicted.share);
        }
        print_bounds(model, predictor, row, k);
    }
    putchar('\n');
}

static void say(void *context, const char *warning) {
    (void)context;
    fprintf(stderr, "backpropd predict: warning: %s\n", warning);
}

static bool has_column(const struct schema_dataset *dataset, const char *name) {
    for (int32_t i = 0; i < dataset->columns_count; i++)
        if (strcmp(dataset->columns[i].name, name) == 0) return true;
    return false;
}

/* As a request to the server: none of the features is an error, some missing ones and columns of no use are a warning. */
static int check_columns(const struct schema_preprocessing *p, const struct schema_dataset *dataset) {
    char text[300];
    int32_t found = 0;
    for (int32_t i = 0; i < p->features_count; i++) found += has_column(dataset, p->features[i].name);
    if (found == 0) {
        fprintf(stderr, "backpropd predict: none of the columns is a feature of this model; its features:");
        for (int32_t i = 0; i < p->features_count && i < 20; i++) fprintf(stderr, "%s %s", i ? "," : "", p->features[i].name);
        fprintf(stderr, "%s\n", p->features_count > 20 ? ", ..." : "");
        return -1;
    }
    for (int32_t i = 0; i < p->features_count; i++) {
        if (has_column(dataset, p->features[i].name)) continue;
        snprintf(text, sizeof text, "column \"%s\" is absent: it counts as missing in every row", p->features[i].name);
        say(NULL, text);
    }
    for (int32_t k = 0; k < dataset->columns_count; k++) {
        const char *name = dataset->columns[k].name;
        bool known = false;
        for (int32_t i = 0; i < p->features_count; i++) known = known || strcmp(p->features[i].name, name) == 0;
        for (int32_t i = 0; i < p->targets_count; i++) known = known || strcmp(p->targets[i].name, name) == 0;
        if (known) continue;
        snprintf(text, sizeof text, "column \"%s\" is not a feature of this model and was ignored", name);
        say(NULL, text);
    }
    return 0;
}

/* A number, or JSON as in the body of a request. */
static int set_thresholds(struct schema_predictor *predictor, const char *text) {
    struct schema_problems problems = {0};
    json_error_t where;
    json_t *json = schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!json) schema_problem_add(&problems, "", "--thresholds is a number such as 0.3, or numbers by label as {\"red\":0.3}, got %.60s", text);
    else schema_predictor_thresholds(predictor, json, "/thresholds", &problems);
    const int failed = problems.total ? -1 : 0;
    if (failed) local_problems("predict", NULL, &problems);
    json_decref(json);
    return failed;
}

static int set_coverage(struct schema_predictor *predictor, const char *text) {
    struct schema_problems problems = {0};
    json_t *json = schema_json_load(text, strlen(text), JSON_DECODE_ANY, NULL);
    if (!json) schema_problem_add(&problems, "", "--coverage is a share of rows between 0 and 1, such as 0.9, got %.60s", text);
    else schema_predictor_coverage(predictor, json, "/coverage", &problems);
    const int failed = problems.total ? -1 : 0;
    if (failed) local_problems("predict", NULL, &problems);
    json_decref(json);
    return failed;
}

static int predict(const struct schema_model *model, const struct schema_dataset *dataset, const char **values) {
    const bool json = values[FORMAT] && strcmp(values[FORMAT], "json") == 0;
    struct bp_error error = {0};
    const struct schema_preprocessing *p = model->training->preprocessing;
    if (check_columns(p, dataset) != 0) return -1;
    for (int32_t k = 0; !json && k < p->targets_count; k++)
        if (p->targets[k].shape.rank > 0 && !p->targets[k].multilabel)
            bp_error_set(&error, "", "the target \"%.80s\" is a tensor, which CSV cannot hold; use --format json", p->targets[k].name);
    struct schema_view *view = error.message[0] ? NULL : schema_view_new(p, dataset, false, &error);
    struct schema_predictor *predictor = view ? schema_predictor_new(model, &error) : NULL;
    int failed = predictor ? 0 : -1;
    if (predictor && ((values[THRESHOLDS] && set_thresholds(predictor, values[THRESHOLDS]) != 0) ||
                      (values[COVERAGE] && set_coverage(predictor, values[COVERAGE]) != 0))) {
        schema_predictor_free(predictor);
        schema_view_free(view);
        return -1;
    }
    if (!failed && !json) print_header(model);
    for (int64_t row = 0; !failed && row < dataset->rows; row += 16) {
        int32_t n = dataset->rows - row < 16 ? (int32_t)(dataset->rows - row) : 16;
        if (json) {
            struct schema_text out = {.limit = 1 << 30};
            failed = schema_predict_rows(predictor, &(struct schema_view_rows){view, row, n}, "\n", &out, &error);
            fputs(out.bytes ? out.bytes : "", stdout);
            free(out.bytes);
            continue;
        }
        n = schema_predict_gather(predictor, &(struct schema_view_rows){view, row, n}, &error);
        failed = n < 0 ? -1 : schema_dataset_intact(dataset, &error);
        for (int32_t i = 0; i < n; i++) print_row(model, predictor, i);
    }
    if (failed) fprintf(stderr, "backpropd predict: %s\n", error.message);
    else schema_predict_warnings(predictor, say, NULL);
    schema_predictor_free(predictor);
    schema_view_free(view);
    return failed;
}

int command_predict(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    if (local_flags("predict", argc, argv, names, switches, values) != 0) return 2;
    if (!values[MODEL] || !values[DATA] || (values[FORMAT] && strcmp(values[FORMAT], "csv") != 0 && strcmp(values[FORMAT], "json") != 0)) {
        fprintf(stderr, "backpropd predict: --model FILE.bpd and --data FILE.csv (or -) are required, and --format must be csv or json; see "
                        "`backpropd help predict`\n");
        return 2;
    }
    bp_engine_start();
    bp_flush_denormals();
    struct schema_model *model = local_model("predict", values[MODEL]);
    struct schema_dataset *dataset = model ? local_rows("predict", model, values[DATA]) : NULL;
    int failed = dataset ? predict(model, dataset, values) : -1;
    schema_dataset_free(dataset);
    schema_model_free(model);
    return failed ? 1 : 0;
}
