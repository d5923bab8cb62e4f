/* exposition.c - see exposition.h. */
#include "server/ops/exposition.h"

#include "schema/text/number_print.h"

#include <math.h>

static void add_number(struct schema_text *out, double value) {
    char text[SCHEMA_NUMBER_PRINTED];
    if (isfinite(value)) schema_text_add(out, text, schema_number_print(value, text));
    else schema_text_string(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
}

static void add_escaped(struct schema_text *out, const char *value) {
    for (const char *c = value; *c; c++) {
        if (*c == '\\' || *c == '"') schema_text_add(out, "\\", 1);
        if (*c == '\n') schema_text_string(out, "\\n");
        else schema_text_add(out, c, 1);
    }
}

/* "name_suffix{labels,le="bound"} ". le NULL: without. */
static void add_series(struct schema_text *out, const char *name, const char *suffix, exposition_labels labels, const double *le) {
    const char *before = "{";
    schema_text_string(out, name);
    schema_text_string(out, suffix);
    for (; labels && labels[0]; labels += 2, before = ",") {
        schema_text_format(out, "%s%s=\"", before, labels[0]);
        add_escaped(out, labels[1]);
        schema_text_string(out, "\"");
    }
    if (le) {
        schema_text_format(out, "%sle=\"", before);
        add_number(out, *le);
        schema_text_string(out, "\"");
        before = ",";
    }
    schema_text_string(out, *before == ',' ? "} " : " ");
}

static void add_sample(struct schema_text *out, double value) {
    add_number(out, value);
    schema_text_string(out, "\n");
}

void exposition_begin(struct schema_text *out, const char *name, const char *type, const char *help) {
    schema_text_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_value(struct schema_text *out, const char *name, exposition_labels labels, double value) {
    add_series(out, name, "", labels, NULL);
    add_sample(out, value);
}

void exposition_histogram(struct schema_text *out, const char *name, exposition_labels labels, const int64_t bounds[HISTOGRAM_BOUNDS],
                          const struct histogram_values *values) {
    uint64_t below = 0;
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        const double le = i < HISTOGRAM_BOUNDS ? (double)bounds[i] / 1e9 : HUGE_VAL;
        add_series(out, name, "_bucket", labels, &le);
        add_sample(out, (double)(below += values->counts[i]));
    }
    add_series(out, name, "_sum", labels, NULL);
    add_sample(out, (double)values->sum_ns / 1e9);
    add_series(out, name, "_count", labels, NULL);
    add_sample(out, (double)values->total);
}
