/* values.c - JSON to and from declared parameters.
 *
 * Sections: words for messages, decoding one value, decoding an object, encoding, families. */
#include "schema/json/values.h"

#include "schema/json/aliases.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTER_MAX = 512 };

/* ---- words for messages ----------------------------------------------------------------------------------------- */

const char *schema_json_text(const json_t *json, char *text, size_t size) {
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT: snprintf(text, size, "an object"); break;
    case JSON_ARRAY: snprintf(text, size, "an array of %zu", json_array_size(json)); break;
    case JSON_STRING: {
        const char *s = json_string_value(json);
        int n = (int)strlen(s) > 40 ? 40 : (int)strlen(s);
        while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80) n--;
        snprintf(text, size, "the string \"%.*s%s\"", n, s, s[n] ? "..." : "");
        break;
    }
    case JSON_INTEGER: snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(json)); break;
    case JSON_REAL: snprintf(text, size, "%.9g", json_real_value(json)); break;
    case JSON_TRUE: snprintf(text, size, "true"); break;
    case JSON_FALSE: snprintf(text, size, "false"); break;
    default: snprintf(text, size, "null");
    }
    return text;
}

const char *schema_pointer(const char *pointer, const char *name, char *out, size_t size) {
    size_t n = (size_t)snprintf(out, size, "%s/", pointer);
    for (const char *c = name; *c && n + 3 < size; c++) {
        if (*c == '~' || *c == '/') {
            out[n++] = '~';
            out[n++] = *c == '~' ? '0' : '1';
        } else {
            out[n++] = *c;
        }
    }
    if (n < size) out[n] = '\0';
    return out;
}

const char *schema_pointer_index(const char *pointer, size_t index, char *out, size_t size) {
    snprintf(out, size, "%s/%zu", pointer, index);
    return out;
}

/* "a number above 0 and at most 1": what a numeric parameter wants. */
static const char *describe_param(const struct bp_param *p, char *text, size_t size) {
    const char *noun = p->type == BP_PARAM_NUMBER                                   ? "a number"
                       : p->type == BP_PARAM_NUMBERS                                ? "a list of numbers, each"
                       : p->type == BP_PARAM_INTEGERS || p->type == BP_PARAM_CHOICE ? "a list of integers, each"
                                                                                    : "an integer";
    char low[48] = "", high[48] = "";
    if (isfinite(p->min)) snprintf(low, sizeof low, " %s %.16g", p->flags & BP_PARAM_MIN_OPEN ? "above" : "of at least", p->min);
    if (isfinite(p->max)) snprintf(high, sizeof high, " %s %.16g", p->flags & BP_PARAM_MAX_OPEN ? "below" : "at most", p->max);
    snprintf(text, size, "%s%s%s%s", noun, low, low[0] && high[0] ? " and" : "", high);
    return text;
}

/* ---- one value ------------------------------------------------------------------------------------------------------ */

static bool in_range(const struct bp_param *p, double v) {
    if (!isfinite(v)) return false;
    if (p->flags & BP_PARAM_MIN_OPEN ? v <= p->min : v < p->min) return false;
    return !(p->flags & BP_PARAM_MAX_OPEN ? v >= p->max : v > p->max);
}

static bool integer_of(const json_t *json, double *out) {
    if (json_is_integer(json)) return *out = (double)json_integer_value(json), true;
    if (json_is_real(json) && floor(json_real_value(json)) == json_real_value(json)) return *out = json_real_value(json), true;
    return false;
}

static int misfit(const struct bp_param *p, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char got[80], want[160];
    return schema_problem_add(problems, pointer, "%s must be %s, got %s", p->name, describe_param(p, want, sizeof want),
                              schema_json_text(json, got, sizeof got));
}

static int decode_choice(const struct bp_param *p, const json_t *json, const char *pointer, struct bp_value *value,
                         struct schema_problems *problems) {
    const char *name = json_string_value(json);
    for (int32_t i = 0; name && p->choices[i]; i++)
        if (strcmp(name, p->choices[i]) == 0) return value->number = i, 0;
    char list[200] = "", got[80], hint[80];
    for (int32_t i = 0; p->choices[i]; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s\"%s\"", i ? ", " : "", p->choices[i]);
    }
    return schema_problem_add(problems, pointer, "%s must be one of %s%s, got %s%s", p->name, list,
                              p->flags & BP_PARAM_OR_INTEGERS ? ", or integers" : "", schema_json_text(json, got, sizeof got),
                              schema_did_you_mean(name ? schema_nearest_in(name, p->choices) : NULL, hint, sizeof hint));
}

/* Whether it is a list of pairs, which is read as the numbers one after the other. */
static bool is_pairs(const struct bp_param *p, const json_t *json) {
    const size_t n = p->flags & BP_PARAM_PAIRS && json_is_array(json) ? json_array_size(json) : 0;
    size_t pairs = 0;
    while (pairs < n && json_array_size(json_array_get(json, pairs)) == 2) pairs++;
    return n > 0 && pairs == n;
}

static int decode_integers(const struct bp_param *p, const json_t *json, const char *pointer, struct bp_value *value,
                           struct schema_problems *problems) {
    const bool pairs = is_pairs(p, json);
    size_t n = json_is_array(json) ? json_array_size(json) * (pairs ? 2 : 1) : 1;
    if (n < 1 || n > BP_RANK_MAX) {
        char got[80];
        return schema_problem_add(problems, pointer, "%s must be a list of 1 to %d integers, got %s", p->name, BP_RANK_MAX,
                                  schema_json_text(json, got, sizeof got));
    }
    for (size_t i = 0; i < n; i++) {
        double v;
        const json_t *item = pairs ? json_array_get(json_array_get(json, i / 2), i % 2) : json_is_array(json) ? json_array_get(json, i) : json;
        if (!integer_of(item, &v) || !in_range(p, v)) return misfit(p, item, pointer, problems);
        value->integers[i] = (int32_t)v;
    }
    value->integers_count = (int32_t)n;
    return 0;
}

static int decode_numbers(const struct bp_param *p, const json_t *json, const char *pointer, struct bp_value *value,
                          struct schema_problems *problems) {
    size_t n = json_is_array(json) ? json_array_size(json) : 1;
    if (n < 1 || n > BP_NUMBERS_MAX) {
        char got[80];
        return schema_problem_add(problems, pointer, "%s must be a list of 1 to %d numbers, got %s", p->name, BP_NUMBERS_MAX,
                                  schema_json_text(json, got, sizeof got));
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_array(json) ? json_array_get(json, i) : json;
        if (!json_is_number(item) || !in_range(p, json_number_value(item))) return misfit(p, item, pointer, problems);
        value->numbers[i] = json_number_value(item);
    }
    value->numbers_count = (int32_t)n;
    return 0;
}

static int decode_value(const struct bp_param *p, const json_t *json, const char *pointer, struct bp_value *value, struct schema_problems *problems) {
    value->given = true;
    switch (p->type) {
    case BP_PARAM_BOOLEAN:
        if (!json_is_boolean(json)) {
            char got[80];
            return schema_problem_add(problems, pointer, "%s must be true or false, got %s", p->name, schema_json_text(json, got, sizeof got));
        }
        value->number = json_is_true(json);
        return 0;
    case BP_PARAM_INTEGER: {
        double v;
        if (!integer_of(json, &v) || !in_range(p, v)) return misfit(p, json, pointer, problems);
        value->number = v;
        return 0;
    }
    case BP_PARAM_NUMBER:
        if (!json_is_number(json) || !in_range(p, json_number_value(json))) return misfit(p, json, pointer, problems);
        value->number = json_number_value(json);
        return 0;
    case BP_PARAM_CHOICE:
        if (p->flags & BP_PARAM_OR_INTEGERS && (json_is_integer(json) || json_is_array(json)))
            return decode_integers(p, json, pointer, value, problems);
        return decode_choice(p, json, pointer, value, problems);
    case BP_PARAM_INTEGERS: return decode_integers(p, json, pointer, value, problems);
    case BP_PARAM_NUMBERS: return decode_numbers(p, json, pointer, value, problems);
    case BP_PARAM_ENTRY: {
        struct bp_value own[BP_VALUES_MAX];
        value->entry = schema_entry_decode(json, pointer, p->family, NULL, own, problems);
        if (!value->entry) return -1;
        for (int32_t i = 0; i < value->entry->params_count && i < 4; i++) value->entry_numbers[i] = own[i].number;
        return 0;
    }
    }
    return -1;
}

/* ---- an object -------------------------------------------------------------------------------------------------------- */

/* All names that an object may have: the entry's parameters, then `others`. */
struct names {
    const struct bp_entry *entry;
    const struct schema_names *others;
};

static const char *name_at(const void *context, int32_t i) {
    const struct names *names = context;
    if (i < names->entry->params_count) return names->entry->params[i].name;
    i -= names->entry->params_count;
    for (const struct schema_names *o = names->others; o; o = o->more)
        for (int32_t k = 0; o->list && o->list[k]; k++)
            if (i-- == 0) return o->list[k];
    return NULL;
}

static int32_t count_of(const struct names *names) {
    int32_t count = names->entry->params_count;
    while (name_at(names, count)) count++;
    return count;
}

bool schema_names_have(const struct schema_names *names, const char *name) {
    for (const struct schema_names *o = names; o; o = o->more)
        for (int32_t i = 0; o->list && o->list[i]; i++)
            if (strcmp(o->list[i], name) == 0) return true;
    return false;
}

static int unknown(const struct bp_entry *entry, const struct schema_names *others, const char *name, const char *pointer,
                   struct schema_problems *problems) {
    struct names names = {entry, others};
    const int32_t count = count_of(&names);
    char list[500] = "", hint[120];
    for (int32_t i = 0; i < count; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", n < sizeof list - 80 ? name_at(&names, i) : "...");
        if (n >= sizeof list - 80) break;
    }
    char alias[400];
    if (*schema_alias_hint("field", name, alias, sizeof alias))
        return schema_problem_add(problems, pointer, "unknown field \"%.60s\"%s", name, alias);
    const char *nearest = schema_nearest(name, name_at, &names, count);
    if (nearest) return schema_problem_add(problems, pointer, "unknown field \"%.60s\"%s", name, schema_did_you_mean(nearest, hint, sizeof hint));
    return schema_problem_add(problems, pointer, "unknown field \"%.60s\"; %s knows: %s", name, entry->name, list[0] ? list : "no fields");
}

int schema_values_decode(const json_t *object, const char *pointer, const struct bp_entry *entry, const struct schema_names *others,
                         struct bp_value *values, struct schema_problems *problems) {
    int64_t before = problems->total;
    char place[POINTER_MAX];
    bp_values_preset(entry, values);
    const char *name;
    json_t *json;
    json_object_foreach((json_t *)object, name, json) {
        int32_t i = 0;
        while (i < entry->params_count && strcmp(entry->params[i].name, name) != 0) i++;
        if (i < entry->params_count) decode_value(&entry->params[i], json, schema_pointer(pointer, name, place, sizeof place), &values[i], problems);
        else if (!schema_names_have(others, name)) unknown(entry, others, name, schema_pointer(pointer, name, place, sizeof place), problems);
    }
    for (int32_t i = 0; i < entry->params_count; i++)
        if (entry->params[i].flags & BP_PARAM_REQUIRED && !json_object_get(object, entry->params[i].name)) {
            char want[160];
            describe_param(&entry->params[i], want, sizeof want);
            schema_problem_add(problems, pointer, "%s needs \"%s\"%s%s", entry->name, entry->params[i].name,
                               entry->params[i].type <= BP_PARAM_NUMBER ? ": " : "", entry->params[i].type <= BP_PARAM_NUMBER ? want : "");
        }
    return problems->total == before ? 0 : -1;
}

static const char *entry_at(const void *context, int32_t i) {
    return ((const struct bp_family *)context)->entries[i]->name;
}

static const char *a_noun(const struct bp_family *family, char *text, size_t size) {
    snprintf(text, size, "%s %s", strchr("aeiou", family->noun[0]) ? "an" : "a", family->noun);
    return text;
}

const struct bp_entry *schema_entry_decode(const json_t *json, const char *pointer, const struct bp_family *family, const char *const *others,
                                           struct bp_value *values, struct schema_problems *problems) {
    const json_t *type = json_is_object(json) ? json_object_get(json, "type") : json;
    char place[POINTER_MAX], got[80], hint[120], noun[40];
    if (json_is_object(json)) schema_pointer(pointer, "type", place, sizeof place);
    else snprintf(place, sizeof place, "%s", pointer);
    if (json_is_object(json) && !type) {
        schema_problem_add(problems, pointer, "this object needs a \"type\": the name of %s", a_noun(family, noun, sizeof noun));
        return NULL;
    }
    if (!json_is_string(type)) {
        schema_problem_add(problems, place, "expected the name of %s, or an object with its \"type\", got %s", a_noun(family, noun, sizeof noun),
                           schema_json_text(type, got, sizeof got));
        return NULL;
    }
    const struct bp_entry *entry = bp_family_find(family, json_string_value(type));
    if (!entry) {
        const char *nearest = schema_nearest(json_string_value(type), entry_at, family, family->count);
        char list[400] = "", alias[400];
        if (*schema_alias_hint(family->noun, json_string_value(type), alias, sizeof alias)) {
            schema_problem_add(problems, place, "there is no %s \"%.60s\"%s", family->noun, json_string_value(type), alias);
            return NULL;
        }
        for (int32_t i = 0; i < family->count && !nearest; i++) {
            size_t n = strlen(list);
            snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "; known: ", family->entries[i]->name);
        }
        schema_problem_add(problems, place, "there is no %s \"%.60s\"%s%s", family->noun, json_string_value(type),
                           schema_did_you_mean(nearest, hint, sizeof hint), list);
        return NULL;
    }
    static const char *const own[] = {"type", NULL};
    const struct schema_names more = {others, NULL}, known = {own, &more};
    json_t *empty = json_is_object(json) ? NULL : json_object();
    int failed = schema_values_decode(empty ? empty : json, pointer, entry, &known, values, problems);
    json_decref(empty);
    return failed ? NULL : entry;
}

/* ---- encoding ------------------------------------------------------------------------------------------------------------ */

void schema_json_write(struct schema_text *text, const json_t *json) {
    const char *name;
    json_t *member;
    size_t i;
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        schema_text_add(text, "{", 1);
        json_object_foreach((json_t *)(uintptr_t)json, name, member) {
            if (schema_text_last(text) != '{') schema_text_add(text, ",", 1);
            schema_text_json_string(text, name);
            schema_text_add(text, ":", 1);
            schema_json_write(text, member);
            if (text->failed) return;
        }
        schema_text_add(text, "}", 1);
        break;
    case JSON_ARRAY:
        schema_text_add(text, "[", 1);
        json_array_foreach(json, i, member) {
            if (i) schema_text_add(text, ",", 1);
            schema_json_write(text, member);
        }
        schema_text_add(text, "]", 1);
        break;
    case JSON_STRING: schema_text_json_string(text, json_string_value(json)); break;
    case JSON_INTEGER: schema_text_format(text, "%" JSON_INTEGER_FORMAT, json_integer_value(json)); break;
    case JSON_REAL: schema_text_json_double(text, json_real_value(json)); break;
    case JSON_TRUE: schema_text_string(text, "true"); break;
    case JSON_FALSE: schema_text_string(text, "false"); break;
    default: schema_text_string(text, "null");
    }
}

json_t *schema_number_encode(double number) {
    if (!isfinite(number)) return json_null();
    if (floor(number) == number && fabs(number) < 9007199254740992.0) return json_integer((json_int_t)number);
    return json_real(number);
}

static json_t *encode_value(const struct bp_param *p, const struct bp_value *v) {
    switch (p->type) {
    case BP_PARAM_BOOLEAN: return json_boolean(v->number != 0);
    case BP_PARAM_CHOICE:
        if (v->integers_count == 0) return json_string(p->choices[(int)v->number]);
        __attribute__((fallthrough));
    case BP_PARAM_INTEGERS: {
        json_t *list = json_array();
        for (int32_t i = 0; i < v->integers_count; i++) json_array_append_new(list, json_integer(v->integers[i]));
        return list;
    }
    case BP_PARAM_NUMBERS: {
        json_t *list = json_array();
        for (int32_t i = 0; i < v->numbers_count; i++) json_array_append_new(list, schema_number_encode(v->numbers[i]));
        return list;
    }
    case BP_PARAM_ENTRY: return v->entry ? schema_member_encode(v->entry, v->entry_numbers) : json_null();
    default: return schema_number_encode(v->number);
    }
}

json_t *schema_member_encode(const struct bp_entry *entry, const double *numbers) {
    if (entry->params_count == 0) return json_string(entry->name);
    json_t *object = json_pack("{s:s}", "type", entry->name);
    for (int32_t i = 0; i < entry->params_count && i < 4; i++) {
        struct bp_value own = {.number = numbers[i]};
        json_object_set_new(object, entry->params[i].name, encode_value(&entry->params[i], &own));
    }
    return object;
}

void schema_values_encode(const struct bp_entry *entry, const struct bp_value *values, bool all, json_t *object) {
    for (int32_t i = 0; i < entry->params_count; i++)
        if (all || values[i].given) json_object_set_new(object, entry->params[i].name, encode_value(&entry->params[i], &values[i]));
}

json_t *schema_entry_encode(const struct bp_entry *entry, const struct bp_value *values) {
    json_t *object = json_pack("{s:s}", "type", entry->name);
    schema_values_encode(entry, values, true, object);
    return object;
}

/* ---- families, for the catalog ------------------------------------------------------------------------------------------------------------ */

static json_t *param_json(const struct bp_param *p) {
    static const char *const types[] = {
        [BP_PARAM_BOOLEAN] = "boolean",   [BP_PARAM_INTEGER] = "integer", [BP_PARAM_NUMBER] = "number", [BP_PARAM_CHOICE] = "choice",
        [BP_PARAM_INTEGERS] = "integers", [BP_PARAM_NUMBERS] = "numbers", [BP_PARAM_ENTRY] = "entry"};
    json_t *object = json_pack("{s:s, s:s, s:s}", "name", p->name, "type", types[p->type], "help", p->help);
    if (p->flags & BP_PARAM_REQUIRED) {
        json_object_set_new(object, "required", json_true());
    } else {
        struct bp_value preset;
        struct bp_entry alone = {.name = "", .params = p, .params_count = 1};
        bp_values_preset(&alone, &preset);
        json_object_set_new(object, "default", encode_value(p, &preset));
    }
    if (p->type == BP_PARAM_INTEGER || p->type == BP_PARAM_NUMBER || p->type == BP_PARAM_INTEGERS || p->type == BP_PARAM_NUMBERS ||
        p->flags & BP_PARAM_OR_INTEGERS) {
        if (isfinite(p->min)) json_object_set_new(object, p->flags & BP_PARAM_MIN_OPEN ? "above" : "minimum", schema_number_encode(p->min));
        if (isfinite(p->max)) json_object_set_new(object, p->flags & BP_PARAM_MAX_OPEN ? "below" : "maximum", schema_number_encode(p->max));
    }
    if (p->type == BP_PARAM_CHOICE) {
        json_t *choices = json_array();
        for (int32_t i = 0; p->choices[i]; i++) json_array_append_new(choices, json_string(p->choices[i]));
        json_object_set_new(object, "choices", choices);
        if (p->flags & BP_PARAM_OR_INTEGERS) json_object_set_new(object, "integers", json_true());
    }
    if (p->type == BP_PARAM_ENTRY) json_object_set_new(object, "family", json_string(p->family->name));
    return object;
}

json_t *schema_family_encode(const struct bp_family *family) {
    json_t *list = json_array();
    for (int32_t i = 0; i < family->count; i++) {
        const struct bp_entry *entry = family->entries[i];
        json_t *params = json_array();
        for (int32_t k = 0; k < entry->params_count; k++) json_array_append_new(params, param_json(&entry->params[k]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", entry->name, "summary", entry->summary, "params", params));
    }
    return list;
}
