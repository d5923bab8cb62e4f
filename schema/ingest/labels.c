/* labels.c - cells that are lists of labels: a JSON array of texts, in CSV also as Python prints a list (['red', 'round']). Each label gets a
 * number of the column's dictionary; a cell is stored as the numbers of its labels, in their order. */
#include "schema/ingest/sink.h"
#include "schema/text/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNDONE_MAX = 1 << 20 };

/* ---- a list ---- */

/* A list that is walked. json: the text is well-formed JSON; else as Python prints it. */
struct walk {
    const char *p, *end;
    bool json;
    struct json_text_buffer text; /* a label whose escapes are undone */
};

static const char *blanks(const char *p, const char *end) {
    return json_text_blanks(p, end);
}

/* A text in single or double quotes, as Python prints it. Returns what is wrong with it. */
static const char *python_text(struct walk *w, const char **text, size_t *size) {
    const char quote = *w->p;
    size_t n = 0;
    if (quote != '\'' && quote != '"') return "something in it is not a text";
    const size_t room = (size_t)(w->end - w->p);
    if (w->text.room < room) {
        char *grown = realloc(w->text.bytes, room);
        if (!grown) return "there is no memory to read it";
        w->text.bytes = grown, w->text.room = room;
    }
    for (w->p++; w->p < w->end && *w->p != quote; w->p++) {
        if (*w->p == '\\' && (++w->p == w->end || !strchr("\\'\"", *w->p)))
            return "a text in it has an escape that is not read here; write it as JSON";
        w->text.bytes[n++] = *w->p;
    }
    if (w->p == w->end) return "a text in it does not end";
    w->p++;
    *text = w->text.bytes, *size = n;
    return NULL;
}

/* Moves to the next label; *text is NULL at the end of the list. Returns NULL, or what is wrong. */
static const char *next_label(struct walk *w, bool first, const char **text, size_t *size) {
    *text = NULL;
    w->p = blanks(w->p, w->end);
    if (w->p < w->end && *w->p == ']') return blanks(w->p + 1, w->end) == w->end ? NULL : "something follows the list";
    if (!first) {
        if (w->p == w->end || *w->p != ',') return "it does not end with ]";
        w->p = blanks(w->p + 1, w->end);
    }
    if (w->p == w->end) return "it does not end with ]";
    if (*w->p == '[') return "there is a list within the list";
    if (!w->json) return python_text(w, text, size);
    if (*w->p != '"') return *w->p == 'n' ? "null is among them; leave it out" : "something in it is not a text; put labels in quotes";
    w->p = json_text_string(w->p, w->end, &w->text, text, size);
    return w->p ? NULL : "there is no memory to read it";
}

/* Begins a list; what is wrong when it is none. checked: the text is JSON already. */
static const char *open_list(struct walk *w, const char *text, size_t size, bool checked) {
    struct json_text_fault fault;
    *w = (struct walk){.p = blanks(text, text + size), .end = text + size, .json = true};
    if (w->p == w->end || *w->p != '[') return "it is not a list";
    if (!checked) {
        const char *after = json_text_check(w->p, w->end, NULL, &fault);
        w->json = after && blanks(after, w->end) == w->end;
    }
    w->p++;
    return NULL;
}

enum ingest_list schema_ingest_list(const char *text, size_t size) {
    struct walk w;
    const char *label;
    size_t n, labels = 0;
    if (open_list(&w, text, size, false)) return INGEST_NO_LIST;
    const char *wrong = next_label(&w, true, &label, &n);
    for (; !wrong && label; labels++) wrong = next_label(&w, false, &label, &n);
    free(w.text.bytes);
    return wrong ? INGEST_NO_LIST : labels ? INGEST_LIST : INGEST_EMPTY_LIST;
}

/* ---- a cell ---- */

size_t schema_ingest_label_put(unsigned char *bytes, size_t size, int32_t code) {
    uint32_t number = (uint32_t)code + 1;
    for (; number >= 0x80; number >>= 7) bytes[size++] = (unsigned char)(number | 0x80);
    bytes[size++] = (unsigned char)number;
    return size;
}

static int compare(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The first code that is there twice, -1: none. The codes are sorted then. */
static int32_t doubled(int32_t *codes, int32_t count) {
    qsort(codes, (size_t)count, sizeof *codes, compare);
    for (int32_t i = 1; i < count; i++)
        if (codes[i] == codes[i - 1]) return codes[i];
    return -1;
}

static int bad_list(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems, const char *wrong) {
    return schema_ingest_problem(ingest, cell->column, cell->text, cell->size, problems,
                                 "expected a list of labels such as [\"red\",\"round\"], [] for none, or null where they are not known; but %s",
                                 wrong);
}

/* The labels of a cell as codes; how many, -1: they are not good, -2: the upload cannot go on. */
static int32_t read_labels(struct schema_ingest *ingest, const struct schema_cell *cell, int32_t *codes, struct schema_problems *problems) {
    struct walk w;
    const char *label = NULL, *wrong = open_list(&w, cell->text, cell->size, cell->kind == CELL_ARRAY);
    int32_t count = 0;
    size_t size;
    for (bool first = true; !wrong; first = false) {
        wrong = next_label(&w, first, &label, &size);
        if (wrong || !label) break;
        if (size == 0) wrong = "a label in it is empty";
        else if (size > UNDONE_MAX) wrong = "a label in it has more than 1 MiB";
        else if (count == INGEST_LABELS_MAX) wrong = "it has more than 10,000 labels";
        else if ((codes[count++] = schema_ingest_label(ingest, cell->column, label, size, problems)) < 0) count = -2;
        if (count < 0) break;
    }
    free(w.text.bytes);
    if (wrong) count = bad_list(ingest, cell, problems, wrong) ? -2 : -1;
    return count;
}

int schema_ingest_store_labels(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell,
                               struct schema_problems *problems) {
    uint64_t *slot = &c->texts[ingest->group_row];
    const bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    int32_t codes[INGEST_LABELS_MAX];
    unsigned char bytes[INGEST_LABELS_BYTES];
    struct bp_error error = {0};
    size_t size = 0;
    *slot = 0;
    if (cell->kind == CELL_MISSING || (text && schema_cell_is_missing(cell->text, cell->size))) return 0;
    if (cell->kind != CELL_ARRAY && !text) return bad_list(ingest, cell, problems, "it is a single value");
    const int32_t count = read_labels(ingest, cell, codes, problems);
    if (count < 0) return count == -1 ? 0 : -1;
    for (int32_t i = 0; i < count; i++) {
        size = schema_ingest_label_put(bytes, size, codes[i]);
        c->counts[codes[i]]++;
    }
    if (size == 0) bytes[size++] = 0;
    const double labels = count;
    const int32_t twice = count > 1 ? doubled(codes, count) : -1;
    if (twice >= 0) {
        char shown[64], wrong[100];
        const char *label = schema_dictionary_value(&c->dictionary, twice);
        snprintf(wrong, sizeof wrong, "\"%s\" is in it twice", schema_ingest_short(label, strlen(label), shown));
        return bad_list(ingest, cell, problems, wrong);
    }
    schema_statistics_add(&c->statistics, &labels, 1);
    if (problems->total > 0 || column_file_text(ingest->file, (const char *)bytes, size, slot, &error) == 0) return 0;
    return schema_problem_error(problems, NULL, &error);
}
