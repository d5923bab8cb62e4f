/* contract.c - build tool: the OpenAPI document as a C source, from openapi.yaml as JSON (yaml2json) and the program's own tables. For every layer,
 * activation, initializer, loss, metric, optimizer and schedule it adds a schema with its parameters, and for each family the union of them: `Layer`
 * is a name or a `LayerDefinition`, distinguished by `type`. So the contract always matches the tables. Usage: contract openapi.json [--source
 * HEADER]
 * --source: C that defines openapi_json and openapi_json_size, which HEADER declares; else JSON
 */
#include "engine/base/registry.h"
#include "schema/catalog/catalog.h"
#include "schema/json/values.h"
#include "schema/preprocessing/options.h"
#include "schema/training/options.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *reference(const char *name) {
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name));
}

/* "max_pool2d", "Layer" -> "MaxPool2dLayer" */
static const char *camel(const char *name, const char *ending, char *text, size_t size) {
    size_t n = 0;
    bool up = true;
    for (; *name && n + 1 < size; name++) {
        if (*name == '_') up = true;
        else text[n++] = (char)(up ? toupper((unsigned char)*name) : *name), up = false;
    }
    text[n] = '\0';
    strncat(text, ending, size - n - 1);
    return text;
}

/* "layers" -> "Layer", "losses" -> "Loss" */
static const char *family_type(const struct bp_family *family, char *text, size_t size) {
    return camel(family->noun, "", text, size);
}

static json_t *bounded(const struct bp_param *p, const char *type) {
    json_t *schema = json_pack("{s:s}", "type", type);
    if (isfinite(p->min)) json_object_set_new(schema, p->flags & BP_PARAM_MIN_OPEN ? "exclusiveMinimum" : "minimum", schema_number_encode(p->min));
    if (isfinite(p->max)) json_object_set_new(schema, p->flags & BP_PARAM_MAX_OPEN ? "exclusiveMaximum" : "maximum", schema_number_encode(p->max));
    return schema;
}

static json_t *list_of(json_t *items, int most) {
    return json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", items, "minItems", 1, "maxItems", most);
}

static json_t *choices(const struct bp_param *p) {
    json_t *list = json_array();
    for (int32_t i = 0; p->choices[i]; i++) json_array_append_new(list, json_string(p->choices[i]));
    return json_pack("{s:s, s:o}", "type", "string", "enum", list);
}

static json_t *param_schema(const struct bp_family *family, const struct bp_param *p) {
    char name[80];
    switch (p->type) {
    case BP_PARAM_BOOLEAN: return json_pack("{s:s}", "type", "boolean");
    case BP_PARAM_INTEGER: return bounded(p, "integer");
    case BP_PARAM_NUMBER:
        if (family == &bp_optimizers && strcmp(p->name, "learning_rate") == 0)
            return json_pack("{s:[o, {s:s, s:s}]}", "oneOf", bounded(p, "number"), "type", "string", "const", "auto");
        return bounded(p, "number");
    case BP_PARAM_INTEGERS:
        if (p->flags & BP_PARAM_PAIRS)
            return json_pack("{s:[o, o, {s:s, s:o, s:i, s:i}]}", "oneOf", bounded(p, "integer"), list_of(bounded(p, "integer"), BP_RANK_MAX), "type",
                             "array", "items",
                             json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", bounded(p, "integer"), "minItems", 2, "maxItems", 2),
                             "minItems", 1, "maxItems", 2);
        return json_pack("{s:[o, o]}", "oneOf", bounded(p, "integer"), list_of(bounded(p, "integer"), BP_RANK_MAX));
    case BP_PARAM_NUMBERS: return json_pack("{s:[o, o]}", "oneOf", bounded(p, "number"), list_of(bounded(p, "number"), BP_NUMBERS_MAX));
    case BP_PARAM_CHOICE:
        if (p->flags & BP_PARAM_OR_INTEGERS)
            return json_pack("{s:[o, o, o]}", "oneOf", choices(p), bounded(p, "integer"), list_of(bounded(p, "integer"), BP_RANK_MAX));
        return choices(p);
    case BP_PARAM_ENTRY: return reference(family_type(p->family, name, sizeof name));
    }
    return NULL;
}

/* The default goes into the words: with the keyword, generators of clients make the member one that is always there. */
static json_t *described(json_t *schema, const struct bp_param *p, const json_t *catalog_param) {
    char *preset = p->flags & BP_PARAM_REQUIRED ? NULL : json_dumps(json_object_get(catalog_param, "default"), JSON_COMPACT | JSON_ENCODE_ANY);
    char help[600];
    snprintf(help, sizeof help, "%c%s.%s%s%s", toupper((unsigned char)p->help[0]), p->help + 1, preset ? " Default: " : "", preset ? preset : "",
             preset ? "." : "");
    free(preset);
    json_object_set_new(schema, "description", json_string(help));
    return schema;
}

static json_t *entry_schema(const struct bp_family *family, const struct bp_entry *entry, const json_t *listed) {
    json_t *properties = json_pack("{s:{s:s, s:s}}", "type", "type", "string", "const", entry->name), *required = json_pack("[s]", "type");
    if (family == &bp_layers) {
        json_object_set_new(properties, "name", reference("LayerName"));
        json_object_set_new(properties, "inputs", reference("LayerInputs"));
        json_object_set_new(properties, "trainable",
                            json_pack("{s:s, s:s}", "type", "boolean", "description", "False freezes its weights. Default: true."));
        json_object_set_new(properties, "learning_rate_factor", reference("LearningRateFactor"));
        json_object_set_new(properties, "bias_learning_rate_factor", reference("BiasLearningRateFactor"));
        json_object_set_new(properties, "weight_decay_factor", reference("WeightDecayFactor"));
    }
    for (int32_t i = 0; i < entry->params_count; i++) {
        const struct bp_param *p = &entry->params[i];
        json_object_set_new(properties, p->name, described(param_schema(family, p), p, json_array_get(json_object_get(listed, "params"), (size_t)i)));
        if (p->flags & BP_PARAM_REQUIRED) json_array_append_new(required, json_string(p->name));
    }
    return json_pack("{s:s, s:s+, s:o, s:o, s:b}", "type", "object", "description", entry->summary, ".", "required", required, "properties",
                     properties, "additionalProperties", 0);
}

static void add_family(json_t *schemas, const struct bp_family *family, const json_t *listed) {
    char type[80], name[120], union_name[120], names_name[120];
    json_t *names = json_array(), *members = json_array(), *mapping = json_object();
    family_type(family, type, sizeof type);
    snprintf(union_name, sizeof union_name, "%sDefinition", type);
    snprintf(names_name, sizeof names_name, "%sType", type);
    for (int32_t i = 0; i < family->count; i++) {
        const struct bp_entry *entry = family->entries[i];
        camel(entry->name, type, name, sizeof name);
        json_object_set_new(schemas, name, entry_schema(family, entry, json_array_get(listed, (size_t)i)));
        json_array_append_new(names, json_string(entry->name));
        json_array_append_new(members, reference(name));
        json_object_set_new(mapping, entry->name, json_sprintf("#/components/schemas/%s", name));
    }
    json_object_set_new(schemas, names_name,
                        json_pack("{s:s, s:o, s:s+++}", "type", "string", "enum", names, "description", "The name of ",
                                  strchr("aeiou", family->noun[0]) ? "an " : "a ", family->noun, ": it with its defaults."));
    json_object_set_new(schemas, union_name,
                        json_pack("{s:s, s:s++, s:o, s:{s:s, s:o}}", "type", "object", "description", "One of the ", family->name,
                                  " of the catalog with its parameters.", "oneOf", members, "discriminator", "propertyName", "type", "mapping",
                                  mapping));
    json_object_set_new(schemas, type,
                        json_pack("{s:s++, s:[o, o]}", "description", "The name of ", strchr("aeiou", family->noun[0]) ? "an " : "a ", family->noun,
                                  "oneOf", reference(names_name), reference(union_name)));
    json_object_set_new(json_object_get(schemas, type), "description",
                        json_sprintf("The name of %s %s, or an object with its `type` and its parameters.",
                                     strchr("aeiou", family->noun[0]) ? "an" : "a", family->noun));
}

/* Adds the rows of options.def to the schema of a request, with their help, or of an answer, where all are there. */
static void add_options(json_t *schema, const json_t *listed, bool request) {
    const struct bp_entry *job = bp_family_find(&schema_options_family, "job");
    json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    for (int32_t i = 0; i < job->params_count; i++) {
        const struct bp_param *p = &job->params[i];
        json_t *one = param_schema(&schema_options_family, p);
        if (request) described(one, p, json_array_get(json_object_get(listed, "params"), (size_t)i));
        else json_array_append_new(required, json_string(p->name));
        json_object_set_new(properties, p->name, one);
    }
}

static int print_source(const json_t *document, const char *header) {
    char *text = json_dumps(document, JSON_COMPACT);
    if (!text) return 1;
    printf("/* Generated by schema/tools/contract.c: do not edit. */\n#include \"%s\"\n\nconst char openapi_json[] =", header);
    for (const char *at = text; *at;) {
        printf("\n    \"");
        for (int i = 0; i < 120 && *at; i++, at++) {
            if (*at == '"' || *at == '\\') putchar('\\');
            putchar(*at);
        }
        putchar('"');
    }
    printf(";\nconst size_t openapi_json_size = sizeof openapi_json - 1;\n");
    free(text);
    return 0;
}

int main(int count, char **arguments) {
    json_error_t where;
    json_t *document = count > 1 ? json_load_file(arguments[1], JSON_REJECT_DUPLICATES, &where) : NULL, *catalog = schema_catalog();
    json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    if (!schemas) {
        fprintf(stderr, "contract: %s: %s\n", count > 1 ? arguments[1] : "no file", document ? "it has no components.schemas" : where.text);
        return 1;
    }
    for (int32_t i = 0; i < bp_families_count; i++) add_family(schemas, bp_families[i], json_object_get(catalog, bp_families[i]->name));
    size_t i;
    json_t *options;
    json_array_foreach(json_object_get(catalog, schema_options_family.name), i, options) {
        if (strcmp(json_string_value(json_object_get(options, "name")), "job") != 0) continue;
        add_options(json_object_get(schemas, "JobRequest"), options, true);
        add_options(json_object_get(schemas, "Options"), options, false);
    }
    json_object_set_new(json_object_get(schemas, "ColumnOptions"), "properties", schema_column_options_contract());
    int failed = 0;
    if (count > 3) failed = print_source(document, arguments[3]);
    else json_dumpf(document, stdout, JSON_INDENT(2));
    json_decref(catalog);
    json_decref(document);
    return failed || fflush(stdout) != 0;
}
