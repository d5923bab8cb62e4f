/* explain.c - `backpropd explain`: what a model file's predictions depend on. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/explain/explain.h"
#include "schema/memory.h"
#include "schema/text/text.h"
#include "server/commands/local_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL, DATA, METHOD, BACKGROUND, TARGET, CLASS, METRIC, COLUMNS, ROWS, REPEATS, SAMPLES, STEPS, SEED, JSON, FLAGS_COUNT };
static const char *const names[] = {"model",   "data", "method",  "background", "target", "class", "metric",
                                    "columns", "rows", "repeats", "samples",    "steps",  "seed",  NULL};
static const char *const switches[] = {"json", NULL};

enum { COLUMNS_MAX = 1000 };

static double number(const json_t *json, const char *name) {
    return json_number_value(json_object_get(json, name));
}
static const char *text(const json_t *json, const char *name) {
    return json_string_value(json_object_get(json, name));
}

static void print_importance(const json_t *report) {
    const json_t *column;
    size_t i;
    double most = 0;
    printf("%s of %lld rows: %.6g; how much worse with a column shuffled\n", text(report, "metric"),
           (long long)json_integer_value(json_object_get(report, "rows")), number(report, "value"));
    json_array_foreach(json_object_get(report, "columns"), i, column) {
        if (i == 0) most = fabs(number(column, "importance"));
        printf("%-32.32s %12.5g +- %-10.3g", text(column, "column"), number(column, "importance"), number(column, "std"));
        local_bar(most > 0 ? number(column, "importance") / most : 0);
        putchar('\n');
    }
}

static void print_dependence(const json_t *report) {
    const json_t *column, *curve, *value;
    size_t i, c, v;
    json_array_foreach(json_object_get(report, "columns"), i, column) {
        printf("%s%s\n%-20s", i ? "\n" : "", text(column, "column"), "");
        json_array_foreach(json_object_get(column, "curves"), c, curve)
            printf(" %12.12s", text(curve, "class") ? text(curve, "class") : "prediction");
        putchar('\n');
        json_array_foreach(json_object_get(column, "values"), v, value) {
            if (json_is_string(value)) printf("%-20.20s", json_string_value(value));
            else printf("%-20.8g", json_number_value(value));
            json_array_foreach(json_object_get(column, "curves"), c, curve)
                printf(" %12.6g", json_number_value(json_array_get(json_object_get(curve, "mean"), v)));
            putchar('\n');
        }
    }
}

static void print_rows(const json_t *report) {
    const json_t *row, *attribution;
    size_t i, k;
    json_array_foreach(json_object_get(report, "explanations"), i, row) {
        double most = 0;
        printf("%srow %lld: %s%s%.6g, baseline %.6g\n", i ? "\n" : "", (long long)json_integer_value(json_object_get(row, "row")),
               text(row, "class") ? text(row, "class") : "", text(row, "class") ? " " : "", number(row, "prediction"), number(row, "baseline"));
        json_array_foreach(json_object_get(row, "attributions"), k, attribution) most = fmax(most, fabs(number(attribution, "value")));
        json_array_foreach(json_object_get(row, "attributions"), k, attribution) {
            printf("  %-30.30s %+12.5g", text(attribution, "column"), number(attribution, "value"));
            local_bar(most > 0 ? number(attribution, "value") / most : 0);
            putchar('\n');
        }
    }
}

/* "a,b" in place; how many. */
static int32_t split(char *list, const char **out) {
    int32_t count = 0;
    while (list && *list && count < COLUMNS_MAX) {
        char *end = list + strcspn(list, ",");
        out[count++] = list;
        list = *end ? end + 1 : end;
        *end = '\0';
    }
    return count;
}

static int run(const char **values, struct schema_explanation *e) {
    struct bp_error error = {0};
    double rows = e->method <= SCHEMA_EXPLAIN_PARTIAL_DEPENDENCE ? 2000 : 5, repeats = 5, samples = 64, steps = 64, seed = 0;
    if (local_whole("explain", "rows", values[ROWS], 1, 100000, &rows) != 0 ||
        local_whole("explain", "repeats", values[REPEATS], 1, 100, &repeats) != 0 ||
        local_whole("explain", "samples", values[SAMPLES], 1, 100000, &samples) != 0 ||
        local_whole("explain", "steps", values[STEPS], 1, 10000, &steps) != 0 ||
        local_whole("explain", "seed", values[SEED], 0, 9007199254740992.0, &seed) != 0)
        return 2;
    e->rows_max = (int64_t)rows, e->repeats = (int32_t)repeats, e->samples = (int32_t)samples, e->steps = (int32_t)steps, e->seed = (uint64_t)seed;
    e->grid_points = 20;
    json_t *report = schema_explain(e, &error);
    if (!report) {
        fprintf(stderr, "backpropd explain: %s\n", error.message);
        return 1;
    }
    if (values[JSON]) {
        char *json = schema_json_dump(report, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        printf("%s\n", json ? json : "{}");
        free(json);
    } else if (e->method == SCHEMA_EXPLAIN_PERMUTATION_IMPORTANCE) print_importance(report);
    else if (e->method == SCHEMA_EXPLAIN_PARTIAL_DEPENDENCE) print_dependence(report);
    else print_rows(report);
    json_decref(report);
    return 0;
}

/* -1 with a message. */
static int method_of(const char *given) {
    char hint[80];
    for (int i = 0; schema_explain_methods[i]; i++)
        if (!given || strcmp(given, schema_explain_methods[i]) == 0) return i;
    fprintf(stderr, "backpropd explain: there is no method \"%s\"%s; see `backpropd help explain`\n", given,
            schema_did_you_mean(schema_nearest_in(given, schema_explain_methods), hint, sizeof hint));
    return -1;
}

int command_explain(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0}, *columns[COLUMNS_MAX];
    if (local_flags("explain", argc, argv, names, switches, values) != 0) return 2;
    const int method = method_of(values[METHOD]);
    if (method < 0) return 2;
    if (!values[MODEL] || !values[DATA]) {
        fprintf(stderr, "backpropd explain: --model FILE.bpd and --data FILE.csv (or -) are required; see `backpropd help explain`\n");
        return 2;
    }
    bp_engine_start();
    bp_flush_denormals();
    struct schema_model *model = local_model("explain", values[MODEL]);
    struct schema_dataset *dataset = model ? local_rows("explain", model, values[DATA]) : NULL;
    struct schema_dataset *background = dataset && values[BACKGROUND] ? local_rows("explain", model, values[BACKGROUND]) : NULL;
    char *list = values[COLUMNS] ? strdup(values[COLUMNS]) : NULL;
    struct schema_explanation e = {.model = model,
                                   .dataset = dataset,
                                   .background = background,
                                   .method = (enum schema_explain_method)method,
                                   .target = values[TARGET],
                                   .label = values[CLASS],
                                   .metric = values[METRIC]};
    e.names_count = split(list, columns);
    e.names = e.names_count ? columns : NULL;
    const int status = dataset && (background || !values[BACKGROUND]) ? run(values, &e) : 1;
    free(list);
    schema_dataset_free(background);
    schema_dataset_free(dataset);
    schema_model_free(model);
    return status;
}
