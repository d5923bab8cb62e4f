/* types.c - what a user says of the data: types of columns, "col:categorical,col2:numeric" in a query, {"col":"categorical"} in a body; and
 * how CSV is written. */
#include "schema/ingest/sink.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The names of the types that `with` has (NULL: all), as "a, b and c". */
static const char *type_names(const enum schema_type *types, bool (*with)(const struct schema_type_ops *ops), char *text, size_t size) {
    const char *names[SCHEMA_TYPES_COUNT];
    int n = 0;
    size_t used = 0;
    for (int i = 0; i < SCHEMA_TYPES_COUNT; i++)
        if (!with || with(schema_type_of(types[i]))) names[n++] = schema_type_name(types[i]);
    *text = '\0';
    for (int i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : i == n - 1 ? " and " : ", ", names[i]);
    return text;
}

static int unknown_type(const char *pointer, const char *column, const char *type, struct schema_problems *problems) {
    char shown[64], name[64], meant[96], list[256];
    const char *known[SCHEMA_TYPES_COUNT + 1] = {NULL};
    enum schema_type types[SCHEMA_TYPES_COUNT];
    schema_ingest_short(type, strlen(type), shown);
    schema_ingest_short(column, strlen(column), name);
    for (int i = 0; i < SCHEMA_TYPES_COUNT; i++) types[i] = schema_type_at(i), known[i] = schema_type_name(types[i]);
    const char *near = schema_nearest_in(type, known);
    return schema_problem_add(problems, pointer, "\"%s\" is not a column type (column \"%s\")%s%s Types are %s", shown, name,
                              schema_did_you_mean(near, meant, sizeof meant), near ? "" : ".", type_names(types, NULL, list, sizeof list));
}

/* Adds a type for a column to the list; name is taken over. */
static struct schema_column_type *append(struct schema_column_type **types, int32_t *count, char *name) {
    struct schema_column_type *grown = realloc(*types, ((size_t)*count + 1) * sizeof *grown);
    if (!grown || !name) {
        if (grown) *types = grown;
        free(name);
        return NULL;
    }
    *types = grown;
    grown[*count] = (struct schema_column_type){.name = name, .hwc = true};
    return &grown[(*count)++];
}

static bool doubled(const struct schema_column_type *types, int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++)
        if (strcmp(types[i].name, name) == 0) return true;
    return false;
}

/* The column name at *p, quoted or up to the colon; *p is left behind it. NULL: no memory. */
static char *take_name(const char **p) {
    const char *s = *p;
    char *name = malloc(strlen(s) + 1);
    size_t n = 0;
    if (!name) return NULL;
    if (*s == '"') {
        for (s++; *s && !(s[0] == '"' && s[1] != '"'); s++) {
            if (*s == '"') s++;
            name[n++] = *s;
        }
        s += *s == '"';
    } else {
        while (*s && *s != ':' && *s != ',') name[n++] = *s++;
        while (n > 0 && name[n - 1] == ' ') n--;
    }
    name[n] = '\0';
    *p = s;
    return name;
}

static bool has_format(const struct schema_type_ops *ops) {
    return ops->has_format;
}

static int set_format(struct schema_column_type *type, const char *format, const char *pointer, struct schema_problems *problems) {
    char list[256];
    enum schema_type types[SCHEMA_TYPES_COUNT];
    schema_types_by_precedence(types);
    if (!schema_type_of(type->type)->has_format)
        return schema_problem_add(problems, pointer, "a format is for the types %s only", type_names(types, has_format, list, sizeof list));
    if (schema_type_of(type->type)->check_format(format, pointer, problems)) return -1;
    type->format = strdup(format);
    return type->format ? 0 : schema_ingest_no_memory(problems);
}

/* One "column:type" at *p; *p is left at the comma or the end. */
static int take_type(const char **p, struct schema_column_type **types, int32_t *count, struct schema_problems *problems) {
    char *name = take_name(p), shown[64], type[96];
    if (!name) return schema_ingest_no_memory(problems);
    schema_ingest_short(name, strlen(name), shown);
    *p += strspn(*p, " ");
    if (**p != ':' || !*name) {
        free(name);
        return schema_problem_add(
            problems, NULL, "types: expected column:type,column:type, got \"%s\"; put a column name with a comma or colon in double quotes", shown);
    }
    *p += 1 + strspn(*p + 1, " ");
    size_t n = strcspn(*p, ",");
    size_t kept = n;
    while (kept > 0 && (*p)[kept - 1] == ' ') kept--;
    if (kept >= sizeof type) kept = sizeof type - 1;
    memcpy(type, *p, kept);
    type[kept] = '\0';
    *p += n;
    if (doubled(*types, *count, name)) {
        free(name);
        return schema_problem_add(problems, NULL, "types names the column \"%s\" twice", shown);
    }
    enum schema_type parsed;
    char *format = strchr(type, ':'); /* datetime:%d/%m/%Y */
    if (format) *format++ = '\0';
    if (!schema_type_parse(type, &parsed)) {
        unknown_type(NULL, name, type, problems);
        free(name);
        return -1;
    }
    struct schema_column_type *added = append(types, count, name);
    if (!added) return schema_ingest_no_memory(problems);
    added->type = parsed;
    return format ? set_format(added, format, NULL, problems) : 0;
}

int schema_column_types_parse(const char *text, struct schema_column_type **types, int32_t *count, struct schema_problems *problems) {
    *types = NULL, *count = 0;
    int failed = 0;
    const char *p = text + strspn(text, " ");
    while (*p && !failed) {
        failed = take_type(&p, types, count, problems);
        if (*p == ',') p += 1 + strspn(p + 1, " ");
    }
    if (failed) {
        schema_column_types_free(*types, *count);
        *types = NULL, *count = 0;
    }
    return failed;
}

static int decode_shape(json_t *shape, const char *pointer, struct schema_column_type *type, struct schema_problems *problems) {
    size_t rank = json_array_size(shape);
    char at[600];
    strncpy(at, pointer, sizeof at - 1), at[sizeof at - 1] = '\0';
    schema_ingest_pointer(at, sizeof at, "shape", 5);
    if (!json_is_array(shape) || rank < 1 || rank > BP_RANK_MAX)
        return schema_problem_add(problems, at, "expected a list of 1 to %d dimensions, such as [28,28,1]", BP_RANK_MAX);
    int64_t size = 1;
    type->shape.rank = (int32_t)rank;
    for (size_t d = 0; d < rank; d++) {
        json_t *dim = json_array_get(shape, d);
        json_int_t value = json_integer_value(dim);
        if (!json_is_integer(dim) || value < 1 || value > INT32_MAX || size > INT32_MAX / 8 / value)
            return schema_problem_add(problems, at, "expected positive integers with a product of at most %d", INT32_MAX / 8);
        size *= value;
        type->shape.dims[d] = (int32_t)value;
    }
    return 0;
}

/* {"type":"tensor","shape":[28,28,1],"layout":"hwc"} or {"type":"datetime","format":"%d/%m/%Y"}, {"type":"numeric","format":"thousands_comma"} */
static int decode_object(json_t *value, const char *pointer, struct schema_column_type *type, struct schema_problems *problems) {
    static const char *const fields[] = {"type", "shape", "layout", "format", NULL};
    int failed = 0;
    const char *key;
    json_t *member;
    json_object_foreach(value, key, member) {
        bool known = false;
        for (int i = 0; fields[i]; i++) known = known || strcmp(key, fields[i]) == 0;
        if (known) continue;
        char at[600], shown[64], meant[96];
        strncpy(at, pointer, sizeof at - 1), at[sizeof at - 1] = '\0';
        schema_ingest_pointer(at, sizeof at, key, strlen(key));
        const char *near = schema_nearest_in(key, fields);
        failed = schema_problem_add(problems, at, "unknown field \"%s\"%s%s A type has type, shape, layout and format",
                                    schema_ingest_short(key, strlen(key), shown), schema_did_you_mean(near, meant, sizeof meant), near ? "" : ".");
    }
    const json_t *format = json_object_get(value, "format");
    if (format && type->format) return schema_problem_add(problems, pointer, "the format is given twice");
    if (format && !json_is_string(format)) return schema_problem_add(problems, pointer, "format is a text like \"%%d/%%m/%%Y\"");
    if (format && set_format(type, json_string_value(format), pointer, problems)) failed = -1;
    json_t *shape = json_object_get(value, "shape"), *layout = json_object_get(value, "layout");
    if ((shape || layout) && !schema_type_of(type->type)->has_shape)
        return schema_problem_add(problems, pointer, "shape and layout are for the type tensor only");
    if (shape && decode_shape(shape, pointer, type, problems)) failed = -1;
    const char *text = json_string_value(layout);
    if (layout && (!text || (strcmp(text, "hwc") != 0 && strcmp(text, "chw") != 0)))
        return schema_problem_add(problems, pointer, "layout is \"hwc\" (height, width, channels) or \"chw\"");
    type->hwc = !text || strcmp(text, "hwc") == 0;
    return failed;
}

static int expected_type(const char *pointer, struct schema_problems *problems) {
    char list[256] = "";
    size_t used = 0;
    for (int shaped = 0; shaped < 2; shaped++) /* those of a shape last, for the example is one of them */
        for (int i = 0; i < SCHEMA_TYPES_COUNT && used < sizeof list; i++) {
            const struct schema_type_ops *ops = schema_type_of(schema_type_at(i));
            if (ops->has_shape == shaped) used += (size_t)snprintf(list + used, sizeof list - used, "%s\"%s\"", used ? ", " : "", ops->name);
        }
    return schema_problem_add(problems, pointer, "expected a type: %s or {\"type\":\"tensor\",\"shape\":[28,28,1]}", list);
}

static int decode_one(const char *name, json_t *value, const char *pointer, struct schema_column_type **types, int32_t *count,
                      struct schema_problems *problems) {
    json_t *text = json_is_object(value) ? json_object_get(value, "type") : value;
    enum schema_type parsed;
    if (!json_is_string(text)) return expected_type(pointer, problems);
    char word[128]; /* "datetime:%d/%m/%Y" */
    snprintf(word, sizeof word, "%s", json_string_value(text));
    char *format = strchr(word, ':');
    if (format) *format++ = '\0';
    if (!schema_type_parse(word, &parsed)) return unknown_type(pointer, name, json_string_value(text), problems);
    struct schema_column_type *added = append(types, count, strdup(name));
    if (!added) return schema_ingest_no_memory(problems);
    added->type = parsed;
    if (format && set_format(added, format, pointer, problems)) return -1;
    return json_is_object(value) ? decode_object(value, pointer, added, problems) : 0;
}

int schema_column_types_decode(json_t *object, const char *pointer, struct schema_column_type **types, int32_t *count,
                               struct schema_problems *problems) {
    *types = NULL, *count = 0;
    if (!json_is_object(object)) return schema_problem_add(problems, pointer, "expected an object of column types, such as {\"age\":\"numeric\"}");
    int failed = 0;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        char at[512];
        strncpy(at, pointer, sizeof at - 1), at[sizeof at - 1] = '\0';
        schema_ingest_pointer(at, sizeof at, name, strlen(name));
        if (decode_one(name, value, at, types, count, problems)) failed = -1;
    }
    if (failed) {
        schema_column_types_free(*types, *count);
        *types = NULL, *count = 0;
    }
    return failed;
}

void schema_column_types_free(struct schema_column_type *types, int32_t count) {
    for (int32_t i = 0; i < count; i++) free(types[i].name), free(types[i].format);
    free(types);
}

/* ---- CSV ---- */

struct csv_word {
    const char *word;
    char meaning;
};

/* One parameter; the list of words ends with NULL. */
static int one_of(const char *parameter, const char *text, const struct csv_word *words, char *meaning, const char *allowed,
                  struct schema_problems *problems) {
    if (!text) return 0;
    for (; words->word; words++)
        if (strcasecmp(text, words->word) == 0) {
            *meaning = words->meaning;
            return 0;
        }
    char shown[64];
    return schema_problem_add(problems, NULL, "%s is \"%s\", expected %s", parameter, schema_ingest_short(text, strlen(text), shown), allowed);
}

int schema_csv_dialect_parse(const char *separator, const char *decimal, const char *quote, const char *header, struct schema_csv_dialect *dialect,
                             struct schema_problems *problems) {
    static const struct csv_word separators[] = {{",", ','},    {"comma", ','}, {";", ';'}, {"semicolon", ';'}, {"\t", '\t'},
                                                 {"\\t", '\t'}, {"tab", '\t'},  {"|", '|'}, {"pipe", '|'},      {NULL, 0}};
    static const struct csv_word decimals[] = {{".", '.'}, {"point", '.'}, {",", ','}, {"comma", ','}, {NULL, 0}};
    static const struct csv_word quotes[] = {{"\"", '"'}, {"double", '"'}, {"'", '\''}, {"single", '\''}, {"", '\n'}, {"none", '\n'}, {NULL, 0}};
    static const struct csv_word headers[] = {
        {"true", SCHEMA_CSV_HEADER}, {"1", SCHEMA_CSV_HEADER}, {"false", SCHEMA_CSV_NO_HEADER}, {"0", SCHEMA_CSV_NO_HEADER}, {NULL, 0}};
    int failed = one_of("separator", separator, separators, &dialect->separator, "comma, semicolon, tab or pipe, or the character itself", problems);
    if (one_of("decimal", decimal, decimals, &dialect->decimal, "point or comma, or the character itself", problems)) failed = -1;
    if (one_of("quote", quote, quotes, &dialect->quote, "double, single or none, or the character itself", problems)) failed = -1;
    if (one_of("header", header, headers, &dialect->header, "true or false", problems)) failed = -1;
    return failed;
}
