/* options.c - the options of a column: from a request, in answers, in the model, for the catalog. All from the rows of options.def; which of them a
 * column has is said by its type. */
#include "schema/preprocessing/options.h"
#include "schema/json/values.h"
#include "schema/preprocessing/feature.h"
#include "schema/text/datetime.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the enums. */
static const char *const missing_names[] = {"auto", "mean", "median", "constant", "indicator", "bucket", "drop", "error", NULL};
static const char *const scale_names[] = {"standard", "minmax", "robust", "quantile", "log", "none", "global", NULL};
static const char *const encode_names[] = {"one_hot", "ordinal", "embedding", "target", "compact", "bag_of_words", "hashed", "tokens", NULL};
static const char *const unseen_names[] = {"bucket", "ignore", "error", NULL};

enum option_kind { CHOICE, CHOICE_OR_NUMBER, INTEGER, NUMBER, NUMBER_OR_ZERO, SET };
enum field_type { FIELD_INT32, FIELD_UINT32, FIELD_DOUBLE };

static const struct option {
    const char *name;
    enum option_kind kind;
    enum field_type field;
    size_t offset;              /* in struct schema_column_options */
    const char *help;           /* a sentence without its full stop */
    const char *const *choices; /* CHOICE, SET: NULL-terminated */
    double usual, min, max;     /* of numbers; usual: the default, 0: it depends on the column */
    double preset;              /* what is held when a request does not have it */
    const char *whom;           /* INTEGER, NUMBER, SET: "categories", for messages */
    uint32_t encodes;           /* bits of the encodes that it is for, 0: any */
} options[] = {
#define COLUMN_OPTION(member, held, read, text, ...)                                                                                                 \
    {.name = #member, .kind = read, .field = FIELD_##held, .offset = offsetof(struct schema_column_options, member), .help = text, __VA_ARGS__},
#include "schema/preprocessing/options.def"
#undef COLUMN_OPTION
};
enum { COUNT = sizeof options / sizeof *options };

/* ---- fields ------------------------------------------------------------------------------------------------------------------ */

static void set(struct schema_column_options *o, const struct option *option, double value) {
    void *at = (char *)o + option->offset;
    switch (option->field) {
    case FIELD_INT32: *(int32_t *)at = (int32_t)value; break;
    case FIELD_UINT32: *(uint32_t *)at = (uint32_t)value; break;
    case FIELD_DOUBLE: *(double *)at = value; break;
    }
}

static double get(const struct schema_column_options *o, const struct option *option) {
    const void *at = (const char *)o + option->offset;
    switch (option->field) {
    case FIELD_INT32: return *(const int32_t *)at;
    case FIELD_UINT32: return *(const uint32_t *)at;
    case FIELD_DOUBLE: return *(const double *)at;
    }
    return 0;
}

static int find_name(const char *const *names, const char *text) {
    for (int i = 0; text && names[i]; i++)
        if (strcmp(names[i], text) == 0) return i;
    return -1;
}

static bool is_choice(const struct option *option) {
    return option->kind == CHOICE || option->kind == CHOICE_OR_NUMBER;
}

/* ---- what a type has -------------------------------------------------------------------------------------------------------- */

enum schema_encode schema_encode_of(const struct schema_type_ops *type, const struct schema_column_options *o) {
    return o->encode || !type->encodes ? o->encode : (enum schema_encode)__builtin_ctz(type->encodes);
}

static bool has(const struct schema_type_ops *type, int i) {
    return type->options >> i & 1;
}

static bool applies(const struct schema_type_ops *type, const struct schema_column_options *o, int i) {
    return has(type, i) && (!options[i].encodes || options[i].encodes >> schema_encode_of(type, o) & 1);
}

/* Which choices of the option the type has. */
static uint32_t choices_of(const struct schema_type_ops *type, int i) {
    switch (i) {
    case SCHEMA_OPTION_missing: return type->missing;
    case SCHEMA_OPTION_scale: return type->scales;
    case SCHEMA_OPTION_encode: return type->encodes;
    default: return UINT32_MAX;
    }
}

static void check(const struct schema_column *c, const struct schema_column_options *o, const char *pointer, struct schema_problems *problems) {
    const struct schema_type_ops *type = schema_type_of(c->type);
    char place[512];
    if (!(type->missing >> o->missing & 1))
        schema_problem_add(problems, schema_pointer(pointer, "missing", place, sizeof place),
                           "missing \"%s\" does not apply to column \"%.60s\", which is %s", missing_names[o->missing], c->name, type->name);
    if (o->scale != SCHEMA_SCALE_STANDARD && !(type->scales >> o->scale & 1))
        schema_problem_add(problems, schema_pointer(pointer, "scale", place, sizeof place), "scale \"%s\" is for %s, but column \"%.60s\" is %s",
                           scale_names[o->scale], o->scale == SCHEMA_SCALE_GLOBAL ? "tensors" : "numbers", c->name, type->name);
    const bool bounded = o->scale == SCHEMA_SCALE_NONE || o->scale == SCHEMA_SCALE_QUANTILE;
    if (o->clip != 0 && (bounded || !has(type, SCHEMA_OPTION_clip)))
        schema_problem_add(problems, schema_pointer(pointer, "clip", place, sizeof place),
                           "clip is for numbers and tensors that are standardised, but column \"%.60s\" is %s%s%s", c->name, type->name,
                           bounded ? " with the scale " : "", bounded ? scale_names[o->scale] : "");
    if (o->encode != SCHEMA_ENCODE_ONE_HOT && !(type->encodes >> o->encode & 1))
        schema_problem_add(problems, schema_pointer(pointer, "encode", place, sizeof place), "encode \"%s\" is for %s, but column \"%.60s\" is %s",
                           encode_names[o->encode], o->encode >= SCHEMA_ENCODE_BAG_OF_WORDS ? "texts" : "categories", c->name, type->name);
    if (o->unseen != SCHEMA_UNSEEN_BUCKET && !has(type, SCHEMA_OPTION_unseen))
        schema_problem_add(problems, schema_pointer(pointer, "unseen", place, sizeof place),
                           "unseen \"%s\" is for categories, but column \"%.60s\" is %s", unseen_names[o->unseen], c->name, type->name);
    if (o->missing == SCHEMA_MISSING_ERROR && c->missing > 0)
        schema_problem_add(problems, schema_pointer(pointer, "missing", place, sizeof place),
                           "column \"%.60s\" has %lld missing cells, and missing is \"error\"; use \"drop\" to leave out those rows", c->name,
                           (long long)c->missing);
}

/* ---- from a request ---------------------------------------------------------------------------------------------------------- */

/* One member of a request that is there. */
struct given {
    const struct option *option;
    const json_t *json;
    const char *column; /* pointer to the options of the column */
    char pointer[512], got[80];
    struct schema_problems *problems;
};

static void read_choice(struct given *g, struct schema_column_options *o) {
    char list[160] = "";
    const int found = find_name(g->option->choices, json_string_value(g->json));
    if (g->option->kind == CHOICE_OR_NUMBER && json_is_number(g->json)) { /* a number is its own value */
        o->missing = SCHEMA_MISSING_CONSTANT;
        o->constant = json_number_value(g->json);
    } else if (found == SCHEMA_MISSING_CONSTANT && g->option->kind == CHOICE_OR_NUMBER) {
        schema_problem_add(g->problems, g->column, "for a constant give the number itself: {\"%s\":0}", g->option->name);
    } else if (found >= 0) {
        set(o, g->option, found);
    } else {
        for (int i = 0; g->option->choices[i]; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", g->option->choices[i]);
        schema_problem_add(g->problems, g->pointer, "%s is one of %s, got %s", g->option->name, list, g->got);
    }
}

static void read_number(struct given *g, struct schema_column_options *o) {
    const struct option *option = g->option;
    const bool whole = option->kind == INTEGER;
    const double number = json_number_value(g->json);
    if ((whole ? json_is_integer(g->json) : json_is_number(g->json)) && number >= option->min && number <= option->max) set(o, option, number);
    else
        schema_problem_add(g->problems, g->pointer, "%s must be a%s number from %.0f to %.0f, got %s", option->name, whole ? " whole" : "",
                           option->min, option->max, g->got);
}

/* A width in deviations, or 0, which is held as -1: 0 is the default. */
static void read_clip(struct given *g, struct schema_column_options *o) {
    const double number = json_number_value(g->json);
    if (json_is_number(g->json) && (number == 0 || (number >= g->option->min && number <= g->option->max)))
        set(o, g->option, number == 0 ? -1 : number);
    else schema_problem_add(g->problems, g->pointer, "clip must be a number of deviations from 1 to 1e6, or 0 for none, got %s", g->got);
}

/* A list of choices, a bit each. */
static void read_set(struct given *g, struct schema_column_options *o) {
    uint32_t bits = 0;
    bool known = json_is_array(g->json);
    char list[160] = "";
    for (size_t i = 0; i < json_array_size(g->json); i++) {
        const int found = find_name(g->option->choices, json_string_value(json_array_get(g->json, i)));
        known = known && found >= 0;
        if (found >= 0) bits |= 1u << found;
    }
    set(o, g->option, bits);
    if (known && bits) return;
    for (int i = 0; g->option->choices[i]; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", !i ? "" : g->option->choices[i + 1] ? ", " : " or ", g->option->choices[i]);
    schema_problem_add(g->problems, g->pointer, "%s must be a list of %s, got %s", g->option->name, list, g->got);
}

static void read_option(struct given *g, int i, const struct schema_column *c, struct schema_column_options *o) {
    const struct schema_type_ops *type = schema_type_of(c->type);
    switch (g->option->kind) {
    case CHOICE:
    case CHOICE_OR_NUMBER: read_choice(g, o); break;
    case NUMBER_OR_ZERO: read_clip(g, o); break;
    case INTEGER:
    case NUMBER:
        if (applies(type, o, i)) read_number(g, o);
        else schema_problem_add(g->problems, g->pointer, "%s is for %s", g->option->name, g->option->whom);
        break;
    case SET:
        if (has(type, i)) read_set(g, o);
        else
            schema_problem_add(g->problems, g->pointer, "%s are for %s, but column \"%.60s\" is %s", g->option->name, g->option->whom, c->name,
                               type->name);
    }
}

int schema_column_options_decode(const json_t *json, const char *pointer, const struct schema_column *column, struct schema_column_options *out,
                                 struct schema_problems *problems) {
    static const struct bp_entry entry = {.name = "a column"};
    const int64_t before = problems->total;
    const char *known[COUNT + 1] = {NULL};
    char got[80];
    struct bp_value none[1];
    *out = (struct schema_column_options){0};
    if (!json_is_object(json))
        return schema_problem_add(problems, pointer, "column options must be an object like {\"missing\":\"median\",\"scale\":\"robust\"}, got %s",
                                  schema_json_text(json, got, sizeof got));
    for (int i = 0; i < COUNT; i++) {
        known[i] = options[i].name;
        set(out, &options[i], options[i].preset);
    }
    schema_values_decode(json, pointer, &entry, &(struct schema_names){.list = known}, none, problems);
    for (int i = 0; i < COUNT; i++) {
        struct given g = {.option = &options[i], .json = json_object_get(json, options[i].name), .column = pointer, .problems = problems};
        if (!is_choice(&options[i]) && problems->total != before) return -1;
        if (!g.json || json_is_null(g.json)) continue;
        schema_pointer(pointer, g.option->name, g.pointer, sizeof g.pointer);
        schema_json_text(g.json, g.got, sizeof g.got);
        read_option(&g, i, column, out);
    }
    check(column, out, pointer, problems);
    return problems->total == before ? 0 : -1;
}

/* ---- in answers and in the model ----------------------------------------------------------------------------------------------- */

/* The effective scale of the feature: an embedding's input is not scaled. */
static const char *scale_name(const struct schema_feature *f) {
    const struct schema_type_ops *type = schema_type_of(f->type);
    const bool as_is = type->storage == SCHEMA_HELD_AS_TENSOR
                           ? f->channels_count == 0
                           : f->mean == 0 && f->std == 1 && f->clip == 0 && f->options.scale == SCHEMA_SCALE_STANDARD;
    return as_is || type->unscaled ? "none" : scale_names[f->options.scale];
}

/* The effective policy for missing cells, NULL: the type has no name for it. */
static json_t *missing_json(const struct schema_feature *f) {
    const enum schema_missing asked = f->options.missing;
    if (asked == SCHEMA_MISSING_CONSTANT) return schema_number_encode(f->options.constant);
    if (asked != SCHEMA_MISSING_AUTO) return json_string(missing_names[asked]);
    const enum schema_missing usual = f->indicator                              ? SCHEMA_MISSING_INDICATOR
                                      : f->options.scale == SCHEMA_SCALE_ROBUST ? SCHEMA_MISSING_MEDIAN
                                                                                : (enum schema_missing)schema_type_of(f->type)->missing_auto;
    return usual == SCHEMA_MISSING_AUTO ? NULL : json_string(missing_names[usual]);
}

static json_t *option_json(const struct schema_feature *f, int i) {
    const double value = get(&f->options, &options[i]);
    switch (options[i].kind) {
    case CHOICE_OR_NUMBER: return missing_json(f);
    case CHOICE: return json_string(i == SCHEMA_OPTION_scale ? scale_name(f) : options[i].choices[(int)value]);
    case INTEGER: return json_integer((json_int_t)value);
    case NUMBER: return schema_number_encode(value);
    case NUMBER_OR_ZERO: return schema_number_encode(f->clip);
    case SET: break;
    }
    json_t *list = json_array();
    for (int k = 0; options[i].choices[k]; k++)
        if ((uint32_t)value >> k & 1) json_array_append_new(list, json_string(options[i].choices[k]));
    return list;
}

void schema_option_put(const struct schema_feature *f, enum schema_column_option option, json_t *json) {
    json_t *value = option_json(f, (int)option);
    if (value) json_object_set_new(json, options[option].name, value);
}

void schema_missing_put(const struct schema_feature *f, const char *usual, json_t *json) {
    const enum schema_missing asked = f->options.missing;
    if (asked != SCHEMA_MISSING_AUTO && asked != SCHEMA_MISSING_INDICATOR) usual = missing_names[asked];
    if (usual) json_object_set_new(json, "missing", json_string(usual));
}

json_t *schema_column_options_encode(const struct schema_feature *f) {
    json_t *json = json_object();
    for (int i = 0; i < COUNT; i++)
        if (applies(schema_type_of(f->type), &f->options, i)) schema_option_put(f, (enum schema_column_option)i, json);
    return json;
}

int schema_column_options_restore(const json_t *json, struct schema_column_options *o) {
    for (int i = 0; i < COUNT; i++) {
        const json_t *value = json_object_get(json, options[i].name);
        uint32_t bits = 0;
        if (is_choice(&options[i])) {
            const int found = find_name(options[i].choices, json_string_value(value));
            if (found >= 0) set(o, &options[i], found);
        } else if (options[i].kind == SET) {
            for (size_t k = 0; k < json_array_size(value); k++) {
                const int found = find_name(options[i].choices, json_string_value(json_array_get(value, k)));
                if (found < 0) return -1;
                bits |= 1u << found;
            }
            set(o, &options[i], bits);
        } else if (options[i].kind != NUMBER_OR_ZERO) {
            set(o, &options[i], json_number_value(value));
        }
    }
    if (o->missing == SCHEMA_MISSING_MEAN && o->scale != SCHEMA_SCALE_ROBUST)
        o->missing = SCHEMA_MISSING_AUTO;                                /* the default without missing values is the same */
    if (o->scale == SCHEMA_SCALE_NONE) o->scale = SCHEMA_SCALE_STANDARD; /* mean 0 and std 1 are there */
    return 0;
}

/* ---- for the catalog and the contract --------------------------------------------------------------------------------------------- */

static json_t *choices_json(const struct option *option, uint32_t which) {
    json_t *list = json_array();
    for (int k = 0; option->choices[k]; k++)
        if (which >> k & 1 && !(option->kind == CHOICE_OR_NUMBER && k == SCHEMA_MISSING_CONSTANT))
            json_array_append_new(list, json_string(option->choices[k]));
    return list;
}

static json_t *option_entry(const struct schema_type_ops *type, int i) {
    static const char *const kinds[] = {[CHOICE] = "choice", [CHOICE_OR_NUMBER] = "choice", [INTEGER] = "integer",
                                        [NUMBER] = "number", [NUMBER_OR_ZERO] = "number",   [SET] = "choices"};
    const struct option *option = &options[i];
    json_t *json = json_pack("{s:s, s:s, s:s}", "name", option->name, "type", kinds[option->kind], "help", option->help);
    if (option->choices) {
        json_t *choices = choices_json(option, choices_of(type, i));
        json_object_set(json, "default", is_choice(option) ? json_array_get(choices, 0) : json_null());
        json_object_set_new(json, "choices", choices);
        if (option->kind == CHOICE_OR_NUMBER && type->missing >> SCHEMA_MISSING_CONSTANT & 1) json_object_set_new(json, "number", json_true());
        return json;
    }
    json_object_set_new(json, "default", option->usual ? schema_number_encode(option->usual) : json_null());
    json_object_set_new(json, "minimum", schema_number_encode(option->min));
    json_object_set_new(json, "maximum", schema_number_encode(option->max));
    if (option->kind == NUMBER_OR_ZERO) json_object_set_new(json, "zero", json_true());
    return json;
}

json_t *schema_column_types_encode(void) {
    json_t *types = json_array();
    for (int t = 0; t < SCHEMA_TYPES_COUNT; t++) {
        const struct schema_type_ops *type = schema_type_of((enum schema_type)t);
        json_t *params = json_array();
        for (int i = 0; i < COUNT; i++)
            if (has(type, i)) json_array_append_new(params, option_entry(type, i));
        json_array_append_new(types, json_pack("{s:s, s:s, s:o}", "name", type->name, "summary", type->summary, "params", params));
    }
    return types;
}

static json_t *option_contract(const struct option *option) {
    json_t *range = option->choices ? json_pack("{s:o}", "enum", choices_json(option, UINT32_MAX))
                                    : json_pack("{s:s, s:o, s:o}", "type", option->kind == INTEGER ? "integer" : "number", "minimum",
                                                schema_number_encode(option->min), "maximum", schema_number_encode(option->max));
    switch (option->kind) {
    case CHOICE_OR_NUMBER: return json_pack("{s:[o, {s:s}]}", "oneOf", range, "type", "number");
    case NUMBER_OR_ZERO: return json_pack("{s:[{s:i}, o]}", "oneOf", "const", 0, range);
    case SET: return json_pack("{s:s, s:i, s:o}", "type", "array", "minItems", 1, "items", range);
    default: return range;
    }
}

json_t *schema_column_options_contract(void) {
    json_t *properties = json_object();
    for (int i = 0; i < COUNT; i++) {
        json_t *schema = option_contract(&options[i]);
        char usual[48] = "";
        if (options[i].usual) snprintf(usual, sizeof usual, " Default: %.9g.", options[i].usual);
        json_object_set_new(schema, "description", json_sprintf("%c%s.%s", options[i].help[0] - 'a' + 'A', options[i].help + 1, usual));
        json_object_set_new(properties, options[i].name, schema);
    }
    return properties;
}
