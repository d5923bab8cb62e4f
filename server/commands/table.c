/* table.c - see table.h. */
#include "server/commands/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH_MAX = 48 };

/* Characters of UTF-8. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static bool is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return strcmp(text, "-") == 0 || (*text && !*end);
}

static void print_row(const json_t *row, const int *widths, const bool *numbers) {
    const size_t count = json_array_size(row);
    for (size_t k = 0; k < count; k++) {
        const char *cell = json_string_value(json_array_get(row, k));
        const int pad = widths[k] - width_of(cell);
        if (numbers[k]) printf("%*s%s", pad > 0 ? pad : 0, "", cell);
        else printf("%s%*s", cell, k + 1 < count && pad > 0 ? pad : 0, "");
        fputs(k + 1 < count ? "  " : "\n", stdout);
    }
}

void table_print(const json_t *rows) {
    const size_t count = json_array_size(json_array_get(rows, 0));
    int *widths = calloc(count + 1, sizeof *widths);
    bool *numbers = malloc((count + 1) * sizeof *numbers);
    const json_t *row;
    size_t i;
    for (size_t k = 0; widths && numbers && k < count; k++) {
        numbers[k] = json_array_size(rows) > 1;
        json_array_foreach(rows, i, row) {
            const char *cell = json_string_value(json_array_get(row, k));
            const int width = width_of(cell);
            if (width > widths[k]) widths[k] = width < WIDTH_MAX ? width : WIDTH_MAX;
            if (i > 0) numbers[k] = numbers[k] && is_number(cell);
        }
    }
    if (widths && numbers) json_array_foreach(rows, i, row) print_row(row, widths, numbers);
    free(widths);
    free(numbers);
}

json_t *table_cell(const json_t *value) {
    char text[40];
    if (json_is_object(value)) {
        const json_t *name = json_object_get(value, "name"), *type = json_object_get(value, "type");
        if (json_is_integer(json_object_get(value, "version")))
            return json_sprintf("%s@%lld", json_string_value(name), (long long)json_integer_value(json_object_get(value, "version")));
        if (type || name) return table_cell(type ? type : name);
    }
    if (json_is_string(value)) return json_incref((json_t *)(uintptr_t)value);
    if (json_is_integer(value)) snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    else if (json_is_number(value)) snprintf(text, sizeof text, "%.6g", json_number_value(value));
    else if (json_is_boolean(value)) snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
    else if (!value || json_is_null(value)) snprintf(text, sizeof text, "-");
    else {
        char *json = json_dumps(value, JSON_COMPACT);
        json_t *cell = json_string(json ? json : "");
        free(json);
        return cell;
    }
    return json_string(text);
}

void url_query(struct schema_text *path, const char *name, const char *value) {
    static const char plain[] = "-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,";
    if (!value) return;
    schema_text_format(path, "%s%s=", path->bytes && strchr(path->bytes, '?') ? "&" : "?", name);
    for (; *value; value++) {
        if (strchr(plain, *value)) schema_text_add(path, value, 1);
        else schema_text_format(path, "%%%02X", (unsigned)(unsigned char)*value);
    }
}
