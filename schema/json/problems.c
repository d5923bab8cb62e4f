/* problems.c - the list of everything wrong with a request. */
#include "schema/json/problems.h"

#include "engine/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_SHOWN = 60, DETAIL_MAX = 600 };

static struct schema_problem *next(struct schema_problems *problems) {
    problems->total++;
    return problems->count < SCHEMA_PROBLEMS_MAX ? &problems->items[problems->count++] : NULL;
}

/* At most VALUE_SHOWN bytes of it, cut between characters, with "..." when cut. */
static char *shortened(const char *value, size_t size) {
    size_t n = size < VALUE_SHOWN ? size : VALUE_SHOWN;
    while (n < size && n > 0 && ((unsigned char)value[n] & 0xC0) == 0x80) n--;
    char *text = malloc(n + 4);
    if (!text) return NULL;
    for (size_t i = 0; i < n; i++) text[i] = value[i] == '\0' ? '?' : value[i];
    memcpy(text + n, n < size ? "..." : "", n < size ? 4 : 1);
    return text;
}

int schema_problem_add(struct schema_problems *problems, const char *pointer, const char *format, ...) {
    struct schema_problem *p = next(problems);
    if (!p) return -1;
    char detail[DETAIL_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    bp_utf8_repair(detail);
    p->pointer = pointer ? strdup(pointer) : NULL;
    p->detail = strdup(detail);
    if (!p->detail) problems->code = BP_ERROR_MEMORY;
    return -1;
}

/* Memory before damage before files before all that the sender can change. */
static void weigh(struct schema_problems *problems, enum bp_error_code code) {
    static const int gravity[] = {
        [BP_ERROR_IO] = 1, [BP_ERROR_DAMAGED] = 2, [BP_ERROR_MEMORY] = 3, [BP_ERROR_UNSUPPORTED] = 0, [BP_ERROR_INVALID] = 0};
    if (gravity[code] > gravity[problems->code]) problems->code = code;
}

int schema_problem_error(struct schema_problems *problems, const char *pointer, const struct bp_error *error) {
    weigh(problems, error->code);
    return schema_problem_add(problems, pointer, "%s", error->message);
}

int schema_problem_io(struct schema_problems *problems, const char *format, ...) {
    char detail[DETAIL_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    weigh(problems, BP_ERROR_IO);
    return schema_problem_add(problems, NULL, "%s", detail);
}

int schema_problem_no_memory(struct schema_problems *problems) {
    weigh(problems, BP_ERROR_MEMORY);
    return schema_problem_add(problems, NULL, "out of memory");
}

int schema_problem_cell(struct schema_problems *problems, int64_t line, const char *column, const char *value, size_t value_size, const char *format,
                        ...) {
    struct schema_problem *p = next(problems);
    if (!p) return -1;
    char detail[DETAIL_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    p->line = line;
    p->column = column ? shortened(column, strlen(column)) : NULL;
    p->value = value ? shortened(value, value_size) : NULL;
    p->detail = strdup(detail);
    if (!p->detail) problems->code = BP_ERROR_MEMORY;
    return -1;
}

void schema_problems_clear(struct schema_problems *problems) {
    for (int32_t i = 0; i < problems->count; i++) {
        free(problems->items[i].pointer);
        free(problems->items[i].column);
        free(problems->items[i].value);
        free(problems->items[i].detail);
    }
    memset(problems, 0, sizeof *problems);
}

json_t *schema_problem_text(const char *text) {
    json_t *s = json_string(text);
    char *copy = s ? NULL : strdup(text);
    if (!copy) return s ? s : json_null();
    bp_utf8_repair(copy);
    s = json_string(copy);
    free(copy);
    return s ? s : json_null();
}

json_t *schema_problems_json(const struct schema_problems *problems) {
    json_t *list = json_array();
    for (int32_t i = 0; i < problems->count; i++) {
        const struct schema_problem *p = &problems->items[i];
        json_t *item = json_object();
        if (p->pointer) json_object_set_new(item, "pointer", schema_problem_text(p->pointer));
        if (p->line > 0) json_object_set_new(item, "line", json_integer(p->line));
        if (p->column) json_object_set_new(item, "column", schema_problem_text(p->column));
        if (p->value) json_object_set_new(item, "value", schema_problem_text(p->value));
        json_object_set_new(item, "detail", schema_problem_text(p->detail ? p->detail : "out of memory"));
        json_array_append_new(list, item);
    }
    return list;
}
