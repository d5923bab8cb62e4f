/* evaluate.c - `backpropd evaluate`: a model file on rows whose targets are known. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/evaluate/evaluate.h"
#include "schema/memory.h"
#include "server/commands/local_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL, DATA, SLICES, COMPARE, POSITIVE_CLASS, BOOTSTRAP, SEED, JSON, FLAGS_COUNT };
static const char *const names[] = {"model", "data", "slices", "compare", "positive-class", "bootstrap", "seed", NULL};
static const char *const switches[] = {"json", NULL};

/* "region,age" as columns of the dataset; -1 with a message. */
static int32_t find_slices(const struct schema_dataset *dataset, const char *text, int32_t slices[static SCHEMA_EVALUATE_SLICES_MAX]) {
    char name[300];
    int32_t count = 0;
    while (text && *text) {
        const size_t size = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)size, text);
        const int32_t column = schema_dataset_find(dataset, name);
        const int held = column < 0 ? SCHEMA_HELD_AS_BYTES : (int)schema_type_of(dataset->columns[column].type)->storage;
        if (column < 0 || (held != SCHEMA_HELD_AS_CODE && held != SCHEMA_HELD_AS_NUMBER) || count == SCHEMA_EVALUATE_SLICES_MAX) {
            fprintf(stderr, "backpropd evaluate: --slices: %s \"%s\"\n",
                    column < 0                            ? "the data has no column"
                    : count == SCHEMA_EVALUATE_SLICES_MAX ? "too many columns from"
                                                          : "rows are grouped by categories, booleans, numbers and times, not by",
                    name);
            return -1;
        }
        slices[count++] = column;
        text += size + (text[size] == ',');
    }
    return count;
}

/* ---- for people ------------------------------------------------------------------------------------------------------------------------------- */

static double number(const json_t *json, const char *name) {
    return json_number_value(json_object_get(json, name));
}

static void print_metrics(const json_t *metrics) {
    const char *name;
    json_t *metric;
    printf("%-28s %12s   95 %% interval\n", "metric", "value");
    json_object_foreach((json_t *)(uintptr_t)metrics, name, metric) {
        if (!json_is_number(json_object_get(metric, "value"))) {
            printf("%-28s %12s\n", name, "-");
            continue;
        }
        printf("%-28s %12.6g", name, number(metric, "value"));
        if (json_is_number(json_object_get(metric, "low"))) printf("   %.5g to %.5g", number(metric, "low"), number(metric, "high"));
        putchar('\n');
    }
}

static void print_coverage(const json_t *target) {
    const json_t *conformal = json_object_get(target, "conformal");
    if (!json_is_number(json_object_get(conformal, "coverage"))) return;
    printf("\n%s: the %s have the truth in %.4g of the rows (95 %% interval %.4g to %.4g); calibrated for %.4g\n",
           json_string_value(json_object_get(target, "target")), json_object_get(conformal, "mean_size") ? "sets" : "intervals",
           number(conformal, "coverage"), number(conformal, "coverage_low"), number(conformal, "coverage_high"), number(conformal, "requested"));
}

static void print_target(const json_t *target) {
    const json_t *matrix = json_object_get(target, "confusion_matrix"), *labels = json_object_get(matrix, "labels"), *item;
    size_t i, k;
    if (json_array_size(labels) > 0 && json_array_size(labels) <= 12) {
        printf("\n%s: rows are the true classes, columns the predicted ones\n%-16s", json_string_value(json_object_get(target, "target")), "");
        json_array_foreach((json_t *)(uintptr_t)labels, i, item) printf(" %10.10s", json_string_value(item));
        putchar('\n');
        json_array_foreach((json_t *)(uintptr_t)labels, i, item) {
            const json_t *row = json_array_get(json_object_get(matrix, "rows"), i);
            printf("%-16.16s", json_string_value(item));
            for (k = 0; k < json_array_size(row); k++) printf(" %10.6g", json_number_value(json_array_get(row, k)));
            local_bar(number(json_array_get(json_object_get(target, "classes"), i), "recall"));
            putchar('\n');
        }
    }
    print_coverage(target);
    const json_t *residuals = json_object_get(target, "residuals");
    if (!residuals) return;
    printf("\n%s: truth minus prediction\n", json_string_value(json_object_get(target, "target")));
    json_array_foreach(json_object_get(residuals, "quantiles"), i, item)
        printf("  %5.0f %%  %12.6g\n", 100 * number(item, "quantile"), number(item, "value"));
}

static void print_slices(const json_t *slices) {
    enum { SHOWN = 15 };
    const json_t *slice;
    size_t i;
    double worst = 0;
    if (json_array_size(slices) == 0) return;
    printf("\n%-40s %8s %12s %12s\n", "slice, the worst first", "rows", "loss", "difference");
    json_array_foreach((json_t *)(uintptr_t)slices, i, slice) {
        char name[300];
        const json_t *range = json_object_get(slice, "range");
        const char *column = json_string_value(json_object_get(slice, "column")), *value = json_string_value(json_object_get(slice, "value"));
        if (i == SHOWN) break;
        if (range)
            snprintf(name, sizeof name, "%s %.4g to %.4g", column, json_number_value(json_array_get(range, 0)),
                     json_number_value(json_array_get(range, 1)));
        else snprintf(name, sizeof name, "%s %s", column, value ? value : json_object_get(slice, "missing") ? "(missing)" : "(others)");
        if (i == 0) worst = number(slice, "loss");
        printf("%-40.40s %8lld %12.5g %+12.5g", name, (long long)json_integer_value(json_object_get(slice, "rows")), number(slice, "loss"),
               number(slice, "loss_difference"));
        local_bar(worst > 0 ? number(slice, "loss") / worst : 0);
        putchar('\n');
    }
}

static void print_comparison(const json_t *comparison) {
    const char *name;
    json_t *metric;
    size_t i;
    if (!comparison) return;
    printf("\n%-28s %12s %12s   %-24s %s\n", "compared on the same rows", "this", "other", "difference", "p-value");
    json_object_foreach(json_object_get(comparison, "metrics"), name, metric) {
        char interval[80] = "";
        if (json_is_number(json_object_get(metric, "low")))
            snprintf(interval, sizeof interval, "%.4g to %.4g", number(metric, "low"), number(metric, "high"));
        printf("%-28s %12.6g %12.6g   %-24s %.3g\n", name, number(metric, "value"), number(metric, "other"), interval, number(metric, "p_value"));
    }
    json_array_foreach(json_object_get(comparison, "mcnemar"), i, metric)
        printf("%s: only this model is right in %lld, only the other in %lld; McNemar's exact test: p = %.3g\n",
               json_string_value(json_object_get(metric, "target")), (long long)json_integer_value(json_object_get(metric, "only_this_right")),
               (long long)json_integer_value(json_object_get(metric, "only_other_right")), number(metric, "p_value"));
}

static void print_report(const json_t *report) {
    const json_t *target;
    size_t i;
    printf("%lld rows", (long long)json_integer_value(json_object_get(report, "rows")));
    if (json_integer_value(json_object_get(report, "skipped_rows")) > 0)
        printf("; %lld more lack a target, or have a label that the model does not know",
               (long long)json_integer_value(json_object_get(report, "skipped_rows")));
    printf("\n\n");
    print_metrics(json_object_get(report, "metrics"));
    json_array_foreach(json_object_get(report, "targets"), i, target) print_target(target);
    print_slices(json_object_get(report, "slices"));
    print_comparison(json_object_get(report, "comparison"));
}

/* ---- the command ------------------------------------------------------------------------------------------------------------------------------- */

static int run(const char **values, struct schema_model *model, struct schema_model *other, const struct schema_dataset *dataset) {
    int32_t slices[SCHEMA_EVALUATE_SLICES_MAX];
    double bootstrap = 1000, seed = 0;
    struct bp_error error = {0};
    const int32_t count = find_slices(dataset, values[SLICES], slices);
    if (count < 0 || local_whole("evaluate", "bootstrap", values[BOOTSTRAP], 0, SCHEMA_EVALUATE_BOOTSTRAP_MAX, &bootstrap) != 0 ||
        local_whole("evaluate", "seed", values[SEED], 0, 9007199254740992.0, &seed) != 0)
        return 2;
    json_t *report = schema_evaluate(&(struct schema_evaluation){.model = model,
                                                                 .other = other,
                                                                 .dataset = dataset,
                                                                 .bootstrap = (int32_t)bootstrap,
                                                                 .seed = (uint64_t)seed,
                                                                 .points = 200,
                                                                 .positive_class = values[POSITIVE_CLASS],
                                                                 .slices = slices,
                                                                 .slices_count = count},
                                     &error);
    if (!report) {
        fprintf(stderr, "backpropd evaluate: %s\n", error.message);
        return 1;
    }
    if (values[JSON]) {
        char *text = schema_json_dump(report, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        printf("%s\n", text ? text : "{}");
        free(text);
    } else {
        print_report(report);
    }
    json_decref(report);
    return 0;
}

int command_evaluate(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    if (local_flags("evaluate", argc, argv, names, switches, values) != 0) return 2;
    if (!values[MODEL] || !values[DATA]) {
        fprintf(stderr, "backpropd evaluate: --model FILE.bpd and --data FILE.csv (or -) are required; see `backpropd help evaluate`\n");
        return 2;
    }
    bp_engine_start();
    bp_flush_denormals();
    struct schema_model *model = local_model("evaluate", values[MODEL]);
    struct schema_model *other = model && values[COMPARE] ? local_model("evaluate", values[COMPARE]) : NULL;
    struct schema_dataset *dataset = model && (!values[COMPARE] || other) ? local_rows("evaluate", model, values[DATA]) : NULL;
    const int status = dataset ? run(values, model, other, dataset) : 1;
    schema_dataset_free(dataset);
    schema_model_free(other);
    schema_model_free(model);
    return status;
}
