/* trace.c - `backpropd trace`: a mini-batch through a network, forward and backward, with every number. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/trace/trace.h"
#include "server/commands/local_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL, DATA, ROWS, DEFINITION, BATCH, OPTIMIZER, JSON, FLAGS_COUNT };
static const char *const names[] = {"model", "data", "rows", "definition", "batch", "optimizer", NULL};
static const char *const switches[] = {"json", NULL};

/* ---- for people ------------------------------------------------------------------------------------------------------------------------------- */

/* Numbers as rows of a matrix, the last dimension across; at most so many of each. */
static void print_numbers(const char *name, const json_t *json) {
    enum { MOST = 8 };
    const json_t *first = json_array_get(json, 0);
    if (!json_is_array(json)) return;
    if (!json_is_array(first)) {
        printf("    %-18s", name);
        for (size_t i = 0; i < json_array_size(json) && i < MOST; i++) printf(" %11.5g", json_number_value(json_array_get(json, i)));
        printf("%s\n", json_array_size(json) > MOST ? " ..." : "");
        return;
    }
    for (size_t i = 0; i < json_array_size(json) && i < MOST; i++) print_numbers(i ? "" : name, json_array_get(json, i));
    if (json_array_size(json) > MOST) printf("    %-18s ...\n", "");
}

static void print_layer(const json_t *layer) {
    static const char *const parts[] = {"z", "a", "delta", NULL};
    static const char *const of_parameters[] = {"value", "gradient", "numeric_gradient", NULL};
    const json_t *formula, *parameter;
    size_t i;
    printf("\n%s (%s)\n", json_string_value(json_object_get(layer, "name")), json_string_value(json_object_get(layer, "type")));
    json_array_foreach(json_object_get(layer, "formulas"), i, formula) printf("  %s\n", json_string_value(formula));
    for (const char *const *part = parts; *part; part++)
        if (json_object_get(layer, *part)) print_numbers(*part, json_object_get(layer, *part));
    json_array_foreach(json_object_get(layer, "parameters"), i, parameter) {
        const char *name;
        json_t *value;
        printf("  %s\n", json_string_value(json_object_get(parameter, "name")));
        for (const char *const *part = of_parameters; *part; part++)
            if (json_object_get(parameter, *part)) print_numbers(*part, json_object_get(parameter, *part));
        json_object_foreach(json_object_get(parameter, "update"), name, value) {
            char text[80];
            snprintf(text, sizeof text, "%s %s", strcmp(name, "value") == 0 ? "new" : "update", name);
            print_numbers(text, value);
        }
    }
}

static void print_report(const json_t *report) {
    const json_t *layer;
    size_t i;
    printf("%lld samples, %lld parameters, loss %.10g; the largest difference of a gradient from its central difference is %.2g\n",
           (long long)json_integer_value(json_object_get(report, "batch")), (long long)json_integer_value(json_object_get(report, "parameters")),
           json_number_value(json_object_get(report, "loss")), json_number_value(json_object_get(report, "largest_difference")));
    json_array_foreach(json_object_get(report, "layers"), i, layer) print_layer(layer);
}

/* ---- the command ------------------------------------------------------------------------------------------------------------------------------- */

/* What the flags open. */
struct opened {
    struct schema_tracing tracing;
    struct schema_model *model;
    struct schema_dataset *dataset;
    struct schema_definition *definition;
    json_t *batch;
    struct bp_value optimizer_values[BP_VALUES_MAX];
};

static json_t *read_json(const char *path) {
    json_error_t where;
    char *text = local_text("trace", path);
    json_t *json = text ? schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where) : NULL;
    if (text && !json) fprintf(stderr, "backpropd trace: %s is not JSON: %s (line %d, column %d)\n", path, where.text, where.line, where.column);
    free(text);
    return json;
}

static int open_optimizer(struct opened *o, const char *text) {
    struct schema_problems problems = {0};
    json_error_t where;
    json_t *json = text[0] == '{' ? schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where) : json_string(text);
    if (!json) {
        fprintf(stderr, "backpropd trace: --optimizer is a name, or JSON: {\"type\":\"adam\",\"learning_rate\":0.01}\n");
        return -1;
    }
    o->tracing.optimizer =
        (const struct bp_optimizer_ops *)schema_entry_decode(json, "/optimizer", &bp_optimizers, NULL, o->optimizer_values, &problems);
    o->tracing.optimizer_values = o->optimizer_values;
    json_decref(json);
    if (o->tracing.optimizer) return 0;
    local_problems("trace", NULL, &problems);
    return -1;
}

static int open_inputs(struct opened *o, const char **values) {
    static const char *const others[] = {"name", NULL};
    struct schema_problems problems = {0};
    if (values[OPTIMIZER] && open_optimizer(o, values[OPTIMIZER]) != 0) return -1;
    if (values[MODEL]) {
        o->tracing.model = o->model = local_model("trace", values[MODEL]);
        o->tracing.dataset = o->dataset = o->model ? local_rows("trace", o->model, values[DATA]) : NULL;
        return o->dataset ? 0 : -1;
    }
    json_t *definition = read_json(values[DEFINITION]);
    o->tracing.numbers = o->batch = definition ? read_json(values[BATCH]) : NULL;
    o->tracing.definition = o->definition = o->batch ? schema_definition_decode(definition, "", others, &problems) : NULL;
    if (problems.total) local_problems("trace", values[DEFINITION], &problems);
    json_decref(definition);
    return o->definition ? 0 : -1;
}

static int run(struct opened *o, bool as_json) {
    struct schema_problems problems = {0};
    json_t *report = schema_trace(&o->tracing, &problems);
    if (!report) {
        local_problems("trace", NULL, &problems);
        return 1;
    }
    if (as_json) {
        char *text = schema_json_dump(report, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        printf("%s\n", text ? text : "{}");
        free(text);
    } else {
        print_report(report);
    }
    json_decref(report);
    return 0;
}

int command_trace(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    struct opened o = {0};
    double rows = 1;
    if (local_flags("trace", argc, argv, names, switches, values) != 0) return 2;
    if (!(values[MODEL] && values[DATA]) && !(values[DEFINITION] && values[BATCH])) {
        fprintf(stderr, "backpropd trace: --model FILE.bpd with --data FILE.csv, or --definition FILE.json with --batch FILE.json, are required; see "
                        "`backpropd help trace`\n");
        return 2;
    }
    if (local_whole("trace", "rows", values[ROWS], 1, SCHEMA_TRACE_BATCH_MAX, &rows) != 0) return 2;
    o.tracing.rows = (int32_t)rows;
    bp_engine_start();
    bp_flush_denormals();
    const int status = open_inputs(&o, values) == 0 ? run(&o, values[JSON] != NULL) : 1;
    schema_dataset_free(o.dataset);
    schema_model_free(o.model);
    schema_definition_free(o.definition);
    json_decref(o.batch);
    return status;
}
