/* csv_dialect.c - finds out how a file is written by reading its first records in every way that it could be.
 *
 * Separator: the comma if the first record has one outside quotes, else the more frequent of semicolon, tab and bar; but where another cuts all
 * records into equally many fields and the comma does not, or only within numbers with a decimal comma, it is the other. Decimal comma: with a
 * semicolon or tab, when there are numbers with a comma and none with a point. Apostrophes quote when no field is in double quotes and every field
 * that begins with one ends with one. Header: text above numbers names columns; numbers above numbers, or text that repeats below, do not. */
#include "schema/formats/csv_dialect.h"

#include "schema/text/number.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RECORDS_LOOKED_AT = 200 };

bool csv_comma_number(const char *text, size_t size, double *number) {
    char plain[128];
    size_t n = 0, i = 0, group = 0;
    bool grouped = false;
    if (size == 0 || size >= sizeof plain) return false;
    if (text[i] == '-' || text[i] == '+') plain[n++] = text[i++];
    for (; i < size; i++) {
        if (text[i] >= '0' && text[i] <= '9') plain[n++] = text[i], group++;
        else if (text[i] == '.' && (grouped ? group == 3 : group >= 1 && group <= 3)) grouped = true, group = 0;
        else break;
    }
    if (grouped && group != 3) return false;
    if (i < size && text[i] == ',') plain[n++] = '.', i++;
    for (; i < size; i++) {
        if (text[i] == '.' || text[i] == ',') return false;
        plain[n++] = text[i];
    }
    return schema_number_cell(plain, n, number);
}

/* ---- records read in one way ---- */

struct walk {
    const char *p, *end;
    char separator, quote;
    bool whole;  /* the text ends where the file does: its last record is not cut */
    bool broken; /* text has followed a closing quote */
};

struct field {
    const char *text;
    size_t size;
    bool quoted, last; /* last of its record */
};

static bool is_blank(const struct walk *w, char c) {
    return c == ' ' || c == '\r' || (c == '\t' && w->separator != '\t');
}

/* The field that was read last reaches to a cut. */
static bool is_cut(const struct walk *w) {
    return !w->whole && w->p > w->end;
}

/* Goes over blank lines. */
static void to_record(struct walk *w) {
    for (const char *p = w->p; p < w->end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'); p++)
        if (*p == '\n') w->p = p + 1;
}

static bool next_field(struct walk *w, struct field *f) {
    const char *p = w->p;
    if (p > w->end) return false;
    while (p < w->end && is_blank(w, *p)) p++;
    *f = (struct field){.text = p, .quoted = p < w->end && *p == w->quote};
    if (f->quoted) {
        for (f->text = ++p; p < w->end && (*p != w->quote || (p + 1 < w->end && p[1] == w->quote)); p++)
            if (*p == w->quote) p++;
        f->size = (size_t)(p - f->text);
        if (p == w->end) w->broken = true;
        for (p += p < w->end; p < w->end && *p != w->separator && *p != '\n'; p++)
            if (!is_blank(w, *p)) w->broken = true;
    } else {
        while (p < w->end && *p != w->separator && *p != '\n') p++;
        const char *after = p;
        while (after > f->text && is_blank(w, after[-1])) after--;
        f->size = (size_t)(after - f->text);
    }
    f->last = p == w->end || *p == '\n';
    w->p = p + 1;
    if (f->last) to_record(w);
    return true;
}

/* What all the records are like, read in one way. */
struct facts {
    int64_t records, quoted;
    int32_t fields;                 /* of the first record */
    bool even, broken;              /* even: all records have as many fields */
    int64_t commas, decimals;       /* after the first record: fields with a comma; of these, numbers */
    int64_t with_comma, with_point; /* numbers that are so only with a decimal comma; only with a point, as 1,234.5 and 12,345,678 are too */
};

/* A number with a decimal point, and perhaps commas that group its digits. */
static bool has_point(const struct field *f) {
    struct schema_number_spelling spelling;
    double number;
    if (schema_number_cell(f->text, f->size, &number)) return true;
    return schema_number_spell(f->text, f->size, &spelling) && (spelling.marks >> SCHEMA_MARKS_COMMA_POINT & 1);
}

static struct facts read_as(struct walk w, char separator, char quote) {
    struct facts facts = {.even = true};
    struct field f;
    int32_t fields = 0;
    w.separator = separator, w.quote = quote;
    while (w.p < w.end && facts.records < RECORDS_LOOKED_AT && next_field(&w, &f) && !is_cut(&w)) {
        facts.broken = w.broken;
        double number;
        bool comma = f.size && memchr(f.text, ',', f.size), point = f.size && memchr(f.text, '.', f.size);
        bool decimal = comma && csv_comma_number(f.text, f.size, &number);
        fields++, facts.quoted += f.quoted;
        facts.with_comma += decimal;
        facts.with_point += (point || comma) && !decimal && !csv_comma_number(f.text, f.size, &number) && has_point(&f);
        if (facts.records > 0) facts.commas += comma && !f.quoted, facts.decimals += decimal && !f.quoted;
        if (!f.last) continue;
        if (facts.records++ == 0) facts.fields = fields;
        facts.even = facts.even && fields == facts.fields;
        fields = 0;
    }
    return facts;
}

/* ---- separator and quote ---- */

/* By the first record alone. */
static char usual_separator(const char *text, size_t size, char quote) {
    static const char others[] = ";\t|";
    int64_t commas = 0, counts[3] = {0};
    bool inside = false;
    for (size_t i = 0; i < size && (inside || text[i] != '\n'); i++) {
        inside ^= text[i] == quote;
        if (inside) continue;
        commas += text[i] == ',';
        for (int k = 0; k < 3; k++) counts[k] += text[i] == others[k];
    }
    int most = 0;
    for (int k = 1; k < 3; k++)
        if (counts[k] > counts[most]) most = k;
    return commas || counts[most] == 0 ? ',' : others[most];
}

static char find_separator(struct walk w, char quote) {
    char usual = usual_separator(w.p, (size_t)(w.end - w.p), quote);
    struct facts facts = read_as(w, usual, quote);
    if (usual == '|' && !facts.even) return ',';
    if (usual != ',') return usual;
    for (const char *other = ";\t|"; *other; other++) {
        struct facts f = read_as(w, *other, quote);
        bool decimal_commas = *other != '|' && f.commas > 0 && f.commas == f.decimals;
        if (f.even && f.fields > 1 && f.records > 1 && (!facts.even || decimal_commas)) return *other;
    }
    return ',';
}

/* Apostrophes around fields, where there are no double quotes. */
static char find_quote(struct walk w, char separator) {
    char with = separator ? separator : find_separator(w, '"');
    if (read_as(w, with, '"').quoted > 0) return '"';
    with = separator ? separator : find_separator(w, '\'');
    struct facts single = read_as(w, with, '\'');
    return single.quoted > 1 && !single.broken && single.even ? '\'' : '"';
}

/* ---- header ---- */

enum kind { KIND_NONE, KIND_NUMBER, KIND_BOOLEAN, KIND_TEXT };

struct column {
    const char *first;
    size_t size;
    enum kind kind;
    bool below[KIND_TEXT + 1]; /* what there is in later records */
    bool again;                /* the first cell repeats below */
};

static enum kind kind_of(const struct field *f, bool comma) {
    double number;
    if (f->size == 0 || schema_cell_is_missing(f->text, f->size)) return KIND_NONE;
    if (comma ? csv_comma_number(f->text, f->size, &number) : schema_number_cell(f->text, f->size, &number)) return KIND_NUMBER;
    struct schema_number_spelling spelling;
    if (schema_number_spell(f->text, f->size, &spelling) &&
        (comma ? spelling.marks >= 1u << SCHEMA_MARKS_POINT_COMMA : spelling.marks & ((1u << SCHEMA_MARKS_POINT_COMMA) - 1)))
        return KIND_NUMBER;
    return schema_cell_boolean(f->text, f->size) >= 0 ? KIND_BOOLEAN : KIND_TEXT;
}

static void look_at_columns(struct walk w, struct column *columns, int32_t count, bool comma) {
    struct field f;
    int32_t c = 0, record = 0;
    for (; w.p < w.end && record < RECORDS_LOOKED_AT && next_field(&w, &f) && !is_cut(&w); c++) {
        if (c < count) {
            struct column *column = &columns[c];
            enum kind kind = kind_of(&f, comma);
            if (record == 0) column->first = f.text, column->size = f.size, column->kind = kind;
            else column->below[kind] = true;
            column->again = column->again || (record > 0 && column->size == f.size && memcmp(column->first, f.text, f.size) == 0);
        }
        if (f.last) c = -1, record++;
    }
}

/* Numbers that are names all the same: 0, 1, 2, ... as pandas writes them, or years beside a name. */
static bool numbers_that_name(const struct column *columns, int32_t count, bool named) {
    bool sequence = count > 2, years = named;
    for (int32_t c = 0; c < count; c++) {
        double number = -1;
        if (columns[c].kind != KIND_NUMBER) {
            sequence = false;
            continue;
        }
        if (!schema_number_cell(columns[c].first, columns[c].size, &number)) number = -1;
        sequence = sequence && number == c;
        years = years && number >= 1000 && number < 3000 && (double)(int)number == number;
    }
    return sequence || years;
}

static bool is_given(const struct column *c, const struct schema_ingest_options *given) {
    for (int32_t i = 0; i < given->types_count; i++)
        if (strlen(given->types[i].name) == c->size && memcmp(given->types[i].name, c->first, c->size) == 0) return true;
    return false;
}

static bool find_header(struct walk w, int32_t count, bool comma, const struct schema_ingest_options *given) {
    struct column *columns = calloc((size_t)count + 1, sizeof *columns);
    if (!columns) return true;
    look_at_columns(w, columns, count, comma);
    int32_t names = 0, data = 0, again = 0, fresh = 0;
    bool known = false;
    for (int32_t i = 0; i < count; i++) {
        const struct column *c = &columns[i];
        bool numbers = c->below[KIND_NUMBER] && !c->below[KIND_TEXT] && !c->below[KIND_BOOLEAN];
        bool booleans = c->below[KIND_BOOLEAN] && !c->below[KIND_TEXT] && !c->below[KIND_NUMBER];
        bool nothing = !c->below[KIND_BOOLEAN] && !c->below[KIND_TEXT] && !c->below[KIND_NUMBER];
        names += c->kind == KIND_TEXT && (numbers || booleans);
        data += (c->kind == KIND_NUMBER && (numbers || nothing)) || (c->kind == KIND_BOOLEAN && booleans);
        again += c->kind == KIND_TEXT && c->again;
        fresh += c->kind == KIND_TEXT && !c->again;
        known = known || is_given(c, given);
    }
    bool header = known || names > 0 || numbers_that_name(columns, count, fresh > 0 && again == 0);
    if (!header) header = data == 0 && (count < 2 || again * 2 < count);
    free(columns);
    return header;
}

/* ---- lines before and after the table ---- */

static size_t count_in(const char *p, const char *end, char c) {
    size_t n = 0;
    for (; p < end; p++) n += *p == c;
    return n;
}

static const char *line_end(const char *p, const char *end) {
    const char *newline = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return newline ? newline : end;
}

/* A line that begins with # names the columns when it has as many fields as the line after it. */
static bool names_columns(const char *line, const char *next, const char *end, char separator) {
    const char *stop = line_end(line, end), *below = line_end(next, end),
               any[] = {separator ? separator : ',', separator ? '\0' : ';', '\t', '|', '\0'};
    for (const char *c = any; *c; c++) {
        const size_t fields = count_in(next, below, *c);
        if (fields > 0) return count_in(line, stop, *c) == fields;
    }
    return line + 1 < stop && line[1] != ' ' && line[1] != '#'; /* one column */
}

const char *csv_preamble(const char *text, const char *end, struct schema_csv_dialect *dialect, int *comments) {
    *comments = 0;
    if (end - text >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
    const char *newline = line_end(text, end);
    const size_t size = (size_t)(newline - text) - (newline > text && newline[-1] == '\r');
    if (newline < end && size == 5 && strncasecmp(text, "sep=", 4) == 0 && strchr(",;\t|", text[4])) {
        if (!dialect->separator) dialect->separator = text[4];
        text = newline + 1;
    }
    const char *last = NULL, *p = text;
    while (p < end && *p == '#' && line_end(p, end) < end) last = p, p = line_end(p, end) + 1, ++*comments;
    if (last && p < end && names_columns(last, p, end, dialect->separator)) p = last, --*comments;
    if (p == end) *comments = 0;
    return p < end ? p : text;
}

bool csv_dialect_trailing(const struct schema_csv_dialect *d, const char *text, size_t size, bool whole) {
    struct walk w = {.p = text, .end = text + size, .separator = d->separator, .quote = d->quote, .whole = whole};
    struct field f;
    int32_t records = 0, fields = 0, expected = 0;
    to_record(&w);
    while (w.p < w.end && records < RECORDS_LOOKED_AT && next_field(&w, &f) && !is_cut(&w)) {
        fields++;
        if (!f.last) continue;
        const bool empty = f.size == 0 && !f.quoted;
        if (records == 0) expected = d->header == SCHEMA_CSV_HEADER && !empty ? fields + 1 : fields;
        if (fields != expected && records > 0) return false;
        if (!empty && (records > 0 || d->header != SCHEMA_CSV_HEADER)) return false;
        records++, fields = 0;
    }
    return records > 1 && expected > 1;
}

/* ---- all of it ---- */

void csv_dialect_find(struct schema_csv_dialect *d, const char *text, size_t size, bool whole, const struct schema_ingest_options *given) {
    struct walk w = {.p = text, .end = text + size, .whole = whole};
    to_record(&w);
    if (!d->quote) d->quote = find_quote(w, d->separator);
    if (!d->separator) d->separator = find_separator(w, d->quote);
    struct facts facts = read_as(w, d->separator, d->quote);
    bool may = d->separator == ';' || d->separator == '\t';
    if (!d->decimal) d->decimal = may && facts.with_comma > 0 && facts.with_point == 0 ? ',' : '.';
    w.separator = d->separator, w.quote = d->quote;
    if (!d->header) d->header = find_header(w, facts.fields, d->decimal == ',', given) ? SCHEMA_CSV_HEADER : SCHEMA_CSV_NO_HEADER;
}

json_t *csv_dialect_json(const struct schema_csv_dialect *d) {
    char separator[2] = {d->separator, '\0'}, decimal[2] = {d->decimal, '\0'}, quote[2] = {d->quote == SCHEMA_CSV_NO_QUOTE ? '\0' : d->quote, '\0'};
    return json_pack("{s:s, s:s, s:s, s:b}", "separator", separator, "decimal", decimal, "quote", quote, "header", d->header == SCHEMA_CSV_HEADER);
}
