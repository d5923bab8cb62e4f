/* row_writer.c - see row_writer.h. Sections: the growing piece, texts, cells. */
#include "schema/dataset/row_writer.h"

#include "schema/text/number_print.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIECE_MAX = INT32_MAX / 2, /* of one row; uploads have no longer ones */
    PRINTED_MAX = 1 << 20      /* bytes of the categories of one column */
};

/* ---- the growing piece ---- */

char *schema_piece_grow(struct schema_piece *p, size_t more) {
    if (p->failed || more > PIECE_MAX || p->size > PIECE_MAX) return p->failed = true, NULL;
    size_t room = p->room ? p->room : SCHEMA_ROWS_PIECE + (SCHEMA_ROWS_PIECE >> 2);
    while (room - p->size < more) room *= 2;
    char *bytes = realloc(p->bytes, room);
    if (!bytes) return p->failed = true, NULL;
    p->bytes = bytes, p->room = room;
    return bytes + p->size;
}

void schema_piece_number(struct schema_piece *p, double number) {
    char *to = schema_piece_space(p, SCHEMA_NUMBER_PRINTED);
    if (to) p->size += schema_number_print(number, to);
}

void schema_piece_float(struct schema_piece *p, float number) {
    char *to = schema_piece_space(p, SCHEMA_NUMBER_PRINTED);
    if (to) p->size += schema_number_print_float(number, to);
}

/* ---- texts ---- */

/* What CSV has to quote, and the separators and quotes that readers guess from; blanks at the ends would be taken for padding. */
static bool needs_quotes(const char *text, size_t size) {
    if (size == 0 || text[0] == ' ' || text[size - 1] == ' ') return true;
    for (size_t i = 0; i < size; i++) switch (text[i]) {
        case ',':
        case '"':
        case '\n':
        case '\r':
        case '\t':
        case ';':
        case '|':
        case '\'': return true;
        default: break;
        }
    return false;
}

void schema_piece_csv_text(struct schema_piece *p, const char *text, size_t size) {
    if (!needs_quotes(text, size)) {
        schema_piece_add(p, text, size);
        return;
    }
    schema_piece_byte(p, '"');
    const char *from = text, *const end = text + size;
    for (const char *quote; (quote = memchr(from, '"', (size_t)(end - from))); from = quote + 1) {
        schema_piece_add(p, from, (size_t)(quote + 1 - from));
        schema_piece_byte(p, '"');
    }
    schema_piece_add(p, from, (size_t)(end - from));
    schema_piece_byte(p, '"');
}

void schema_piece_json_text(struct schema_piece *p, const char *text, size_t size) {
    static const char hex[] = "0123456789abcdef";
    schema_piece_byte(p, '"');
    const char *from = text;
    for (const char *c = text; c < text + size; c++) {
        const unsigned char byte = (unsigned char)*c;
        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        schema_piece_add(p, from, (size_t)(c - from));
        const char escape[] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, plain[] = {'\\', *c};
        if (byte < 0x20) schema_piece_add(p, escape, sizeof escape);
        else schema_piece_add(p, plain, sizeof plain);
        from = c + 1;
    }
    schema_piece_add(p, from, (size_t)(text + size - from));
    schema_piece_byte(p, '"');
}

/* ---- cells ---- */

static void add_text(struct schema_piece *p, enum schema_rows_format format, const char *text, size_t size) {
    if (format == SCHEMA_ROWS_CSV) schema_piece_csv_text(p, text, size);
    else schema_piece_json_text(p, text, size);
}

void schema_rows_text(struct schema_rows *r, const char *text, size_t size) {
    add_text(&r->piece, r->format, text, size);
}

bool schema_rows_print_categories(const struct schema_rows *r, struct rows_column *c) {
    const int32_t count = c->column->categories_count;
    size_t bytes = (size_t)count * sizeof *c->category_ends;
    for (int32_t k = 0; k < count && bytes <= PRINTED_MAX; k++) bytes += strlen(c->column->categories[k].value);
    if (count == 0 || bytes > PRINTED_MAX) return true;
    c->category_ends = malloc((size_t)count * sizeof *c->category_ends);
    if (!c->category_ends) return false;
    for (int32_t k = 0; k < count && !c->categories.failed; k++) {
        const char *text = c->column->categories[k].value;
        add_text(&c->categories, r->format, text, strlen(text));
        c->category_ends[k] = (uint32_t)c->categories.size;
    }
    return !c->categories.failed;
}

void schema_rows_category(struct schema_rows *r, const struct rows_column *c, int32_t code) {
    if (c->category_ends) {
        const uint32_t from = code ? c->category_ends[code - 1] : 0;
        schema_piece_add(&r->piece, c->categories.bytes + from, c->category_ends[code] - from);
        return;
    }
    const char *text = c->column->categories[code].value;
    schema_rows_text(r, text, strlen(text));
}

/* A row of a single empty cell would be a blank line, which readers skip. */
void schema_rows_missing(struct schema_rows *r) {
    if (r->format != SCHEMA_ROWS_CSV) schema_piece_add(&r->piece, "null", 4);
    else if (r->columns_count == 1) schema_piece_add(&r->piece, "\"\"", 2);
}
