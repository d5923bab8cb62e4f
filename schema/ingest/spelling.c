/* spelling.c - see spelling.h. */
#include "schema/ingest/spelling.h"

#include "schema/ingest/sink.h"
#include "schema/text/number.h"

#include <stdio.h>
#include <string.h>

static void show(char text[static INGEST_SHOWN], const char *from, size_t size) {
    if (!*text) schema_ingest_short(from, size, text);
}

static void note_loss(struct ingest_spelling *s, const char *text, size_t size) {
    const enum schema_number_loss loss = schema_number_loss(text, size);
    if (loss == SCHEMA_LOSS_NONE) return;
    *(loss == SCHEMA_LOSS_ZEROS ? &s->zeros : &s->digits) += 1;
    show(s->code, text, size);
}

/* A plain number with a point is invalid under a decimal comma, unless the point groups: 1.234. This is the common case. */
static void note_point(struct ingest_spelling *s, const char *text, const char *point, const char *end) {
    const char *p = text + (*text == '-' || *text == '+');
    const bool grouped = end - point == 4 && end[-2] != 'e' && end[-2] != 'E' && point - p >= 1 && point - p <= 3 && *p != '0';
    s->not_marks |= 1u << SCHEMA_MARKS_SPACE_COMMA | (grouped ? 0 : 1u << SCHEMA_MARKS_POINT_COMMA);
    if (grouped) s->ever_grouped |= 1u << SCHEMA_MARKS_POINT_COMMA;
}

void schema_spelling_number(struct ingest_spelling *s, const char *text, size_t size, bool string) {
    const char *p = text, *end = text + size, *point = NULL;
    bool digits = true, exponent = false, comma = false;
    for (; p < end; p++) {
        if (*p >= '0' && *p <= '9') continue;
        digits = false;
        if (*p == '.') point = p;
        else if (*p == ',') comma = true;
        else if ((*p | 0x20) == 'e') exponent = true;
    }
    if (comma) {
        struct schema_number_spelling spelling;
        if (schema_number_spell(text, size, &spelling)) s->not_marks |= ~spelling.marks, s->ever_grouped |= spelling.grouped;
    } else if (point) note_point(s, text, point, end);
    else if (!exponent && size > 1) {
        if (digits && size == 8 && schema_datetime_digits(text, size)) s->eights++;
        if (*text == '0' || size > 15 || !digits) note_loss(s, text, size);
    }
    s->fractions += point || comma || exponent;
    if (string) s->strings++, show(s->string, text, size);
}

void schema_spelling_text(struct ingest_spelling *s, const char *text, size_t size, int64_t place) {
    struct schema_number_spelling spelling;
    const struct schema_datetime_forms before = s->forms;
    double seconds;
    schema_datetime_narrow(&s->forms, text, size);
    if (schema_datetime_resembles(text, size)) {
        struct schema_datetime_forms alone = {UINT32_MAX, UINT32_MAX};
        s->resembling++;
        schema_datetime_narrow(&alone, text, size);
        if (!s->no_date[0] && !schema_datetime_parse(text, size, &seconds) && !(before.days && s->forms.days) && !(alone.days && alone.clocks)) {
            show(s->no_date, text, size);
            s->no_date_place = place;
        }
    }
    if (!schema_number_spell(text, size, &spelling)) return;
    s->written++;
    show(s->shown, text, size);
    s->not_marks |= ~spelling.marks;
    s->ever_grouped |= spelling.grouped;
    s->fractions += spelling.fraction;
    s->percents += spelling.percent;
    s->accounting = s->accounting || spelling.accounting;
    s->narrow = s->narrow || spelling.narrow;
    if (!*spelling.currency) return;
    if (!*s->currency) memcpy(s->currency, spelling.currency, sizeof s->currency);
    s->mixed = s->mixed || strcmp(s->currency, spelling.currency) != 0;
}

bool schema_spelling_format(const struct ingest_spelling *s, int64_t numbers, bool commas, struct schema_number_format *format) {
    const bool decorated = s->percents || s->accounting || *s->currency;
    *format = (struct schema_number_format){.percent = s->percents > 0, .accounting = s->accounting};
    memcpy(format->currency, s->currency, sizeof format->currency);
    if (s->mixed || (s->percents && s->percents < numbers + s->written)) return false; /* another unit */
    for (int m = 0; m < SCHEMA_MARKS; m++) {
        const bool grouped = s->ever_grouped >> m & 1, space = m == SCHEMA_MARKS_SPACE_POINT || m == SCHEMA_MARKS_SPACE_COMMA;
        if (s->not_marks >> m & 1) continue;
        /* "101 202" may be anything, "1,5" two numbers: these want a sign that they are numbers */
        if (space && grouped && !decorated && !s->narrow && !s->fractions) continue;
        if (m >= SCHEMA_MARKS_POINT_COMMA && !grouped && !decorated && !commas) continue;
        format->marks = (enum schema_number_marks)m, format->grouped = grouped;
        return true;
    }
    return false;
}

bool schema_spelling_codes(const struct ingest_spelling *s) {
    return (s->zeros || s->digits) && !s->fractions;
}

/* ---- advice for the user ---- */

void schema_ingest_advise(struct schema_ingest *ingest, const struct ingest_column *c, const char *type, const char *purpose, const char *what) {
    char name[64], hint[300];
    schema_ingest_short(c->name, c->name_size, name);
    schema_ingest_override(ingest, c, type, hint, sizeof hint);
    schema_ingest_warn(ingest, "column \"%s\" %s; %s, send it with %s", name, what, purpose, hint);
}

bool schema_ingest_guessed(const struct ingest_column *c) {
    return !c->given && (!c->declared || c->spelling.digits);
}

bool schema_ingest_review_codes(struct schema_ingest *ingest, const struct ingest_column *c) {
    const struct ingest_spelling *s = &c->spelling;
    char what[300];
    if (!schema_ingest_guessed(c) || c->sample_texts || c->sample_booleans || (!s->zeros && !s->digits)) return false;
    snprintf(what, sizeof what, "is inferred as %s: a number would lose %s of \"%s\"", schema_type_name(c->type),
             s->zeros ? "the zeros" : "the last digits", s->code);
    schema_ingest_advise(ingest, c, "numeric", "if its values are numbers", what);
    return true;
}

/* ---- dates among categories ---- */

/* How many categories are dates of the format (NULL: ISO and the like), and the first that is none. */
static int64_t count_dates(const struct schema_dictionary *d, const char *format, const char **misfit) {
    int64_t count = 0;
    *misfit = NULL;
    for (int32_t i = 0; i < d->count; i++) {
        double seconds;
        const char *text = schema_dictionary_value(d, i);
        if (schema_datetime_parse_as(format, text, strlen(text), &seconds)) count++;
        else if (!*misfit && !schema_cell_is_missing(text, strlen(text))) *misfit = text;
    }
    return count;
}

/* The format of most categories, and how many; false: they are no dates. *known: not the usual one. */
static int64_t most_dates(const struct schema_dictionary *d, char best[static SCHEMA_DATETIME_TEXT], const char **misfit) {
    struct schema_datetime_forms first = {UINT32_MAX, UINT32_MAX};
    char format[SCHEMA_DATETIME_TEXT];
    const char *text = schema_dictionary_value(d, 0), *other;
    int64_t most = count_dates(d, NULL, misfit);
    *best = '\0';
    schema_datetime_narrow(&first, text, strlen(text));
    for (int k = 0; most < d->count && schema_datetime_form(&first, k, format); k++) {
        const int64_t count = count_dates(d, format, &other);
        if (count <= most) continue;
        most = count, *misfit = other;
        memcpy(best, format, sizeof format);
    }
    return most;
}

bool schema_ingest_review_dates(struct schema_ingest *ingest, const struct ingest_column *c) {
    const struct schema_dictionary *d = &c->dictionary;
    char best[SCHEMA_DATETIME_TEXT], name[64], type[SCHEMA_DATETIME_TEXT + 16], hint[300], place[40] = "", second[SCHEMA_DATETIME_TEXT];
    const char *misfit;
    if (c->given || d->count == 0 || c->spelling.resembling + 1 < c->sample_texts) {
        if (c->given || d->count == 0 || c->spelling.forms.days == 0) return false;
    }
    const int64_t dates = most_dates(d, best, &misfit);
    schema_ingest_short(c->name, c->name_size, name);
    if (dates * 3 < (int64_t)d->count * 2 || dates == 0) return false; /* fewer than two of three */
    snprintf(type, sizeof type, "datetime%s%s", *best ? ":" : "", best);
    schema_ingest_override(ingest, c, type, hint, sizeof hint);
    if (misfit) {
        char shown[64];
        schema_ingest_short(misfit, strlen(misfit), shown);
        if (!ingest->locate && strcmp(shown, c->spelling.no_date) == 0)
            snprintf(place, sizeof place, " in line %lld", (long long)c->spelling.no_date_place);
        schema_ingest_warn(
            ingest,
            "column \"%s\" is inferred as categorical: its values are dates%s%s, but \"%s\"%s is none; correct it or leave it empty, and "
            "send the column with %s",
            name, *best ? " of the format " : "", best, shown, place, hint);
        return true;
    }
    struct schema_datetime_forms forms = {UINT32_MAX, UINT32_MAX};
    for (int32_t i = 0; i < d->count; i++) schema_datetime_narrow(&forms, schema_dictionary_value(d, i), strlen(schema_dictionary_value(d, i)));
    const bool either = schema_datetime_form(&forms, 1, second);
    schema_ingest_warn(ingest, "column \"%s\" holds dates as text (\"%s\"), each of which is a category of its own; send it with %s%s%s%s", name,
                       schema_dictionary_value(d, 0), hint, either ? ", or with " : "", either ? second : "",
                       either ? " if they are written so" : "");
    return true;
}
