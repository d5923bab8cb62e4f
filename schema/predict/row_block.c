/* row_block.c - see row_block.h. Sections: forms, opening, cells that are kept, columns of a prediction, numbers of an array, rows, blocks. */
#include "schema/predict/row_block.h"

#include "schema/text/number.h"
#include "schema/text/number_print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 4096,     /* of a block, failed ones included */
    TEXT_MAX = 64 << 20, /* of a block: what it keeps of its rows */
    PIECE = 256 << 10,   /* is written at once */
    LIMIT = 1 << 30,     /* of one text, which a row of 16 MB stays far below */
    VALUE_SHOWN = 80     /* bytes of a faulty value */
};

/* ---- forms ------------------------------------------------------------------------------------------------------------------------------ */

static const char *const forms[] = {
    [SCHEMA_FORM_CSV] = "csv", [SCHEMA_FORM_NDJSON] = "ndjson", [SCHEMA_FORM_JSON] = "json", [SCHEMA_FORM_NPY] = "npy"};

const char *schema_rows_form_name(enum schema_rows_form form) {
    return forms[form];
}

int schema_rows_form_of(const char *name) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i], name) == 0) return (int)i;
    return -1;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------------- */

static bool lists_labels(const struct schema_preprocessing *p, int32_t o) {
    return schema_output_multilabel(p, o) && p->outputs[o].count == 1;
}

static int32_t output_of_target(const struct schema_preprocessing *p, int32_t k) {
    int32_t o = 0;
    while (k >= p->outputs[o].first + p->outputs[o].count) o++;
    return o;
}

static void count_columns(struct schema_block *b);
static void add_csv(struct schema_text *out, const char *text, size_t size);

/* Labels are written in every row: with the quotes that they need. */
static int quote_labels(struct schema_block *b) {
    const struct schema_preprocessing *p = b->predictor->preprocessing;
    int32_t count = 0;
    for (int32_t k = 0; k < p->targets_count; k++) count += p->targets[k].labels_count;
    b->labels.limit = LIMIT;
    b->label = calloc((size_t)count + 1, sizeof *b->label);
    b->label_first = calloc((size_t)p->targets_count + 1, sizeof *b->label_first);
    if (!b->label || !b->label_first) return -1;
    for (int32_t k = 0, i = 0; k < p->targets_count; k++) {
        b->label_first[k] = i;
        for (int32_t c = 0; c < p->targets[k].labels_count; c++, i++) {
            const size_t at = b->labels.size;
            add_csv(&b->labels, p->targets[k].labels[c], strlen(p->targets[k].labels[c]));
            b->label[i] = (struct block_label){at, b->labels.size - at};
        }
    }
    return b->labels.failed ? -1 : 0;
}

int schema_block_open(struct schema_block *b, struct schema_predictor *predictor, const struct schema_rows_options *options,
                      struct schema_problems *problems) {
    const struct schema_preprocessing *p = predictor->preprocessing;
    *b = (struct schema_block){.predictor = predictor, .form = options->form, .apart = options->apart, .writer = options->writer};
    b->numbers = options->form == SCHEMA_FORM_NPY;
    if (b->numbers) b->form = SCHEMA_FORM_CSV;
    for (int32_t k = 0; k < p->targets_count && b->form == SCHEMA_FORM_CSV; k++)
        if (p->targets[k].shape.rank > 0 && !p->targets[k].multilabel)
            return schema_problem_add(problems, NULL, "the target \"%.80s\" is a tensor, which %s cannot hold; use JSON lines (application/x-ndjson)",
                                      p->targets[k].name, b->numbers ? "the columns of an array" : "CSV");
    if (b->numbers && options->thresholds)
        return schema_problem_add(problems, "/thresholds", "thresholds choose classes, and an array has the probabilities only; use csv or ndjson");
    struct schema_text *const texts[] = {&b->kept, &b->reasons, &b->out, &b->failures, &b->scratch};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) texts[i]->limit = LIMIT;
    b->rows = malloc(ROWS_MAX * sizeof *b->rows);
    if (!b->rows) return schema_problem_no_memory(problems);
    schema_predictor_reset(predictor, &b->out);
    if (options->thresholds && schema_predictor_thresholds(predictor, options->thresholds, "/thresholds", problems) != 0) return -1;
    if (options->coverage && schema_predictor_coverage(predictor, options->coverage, "/coverage", problems) != 0) return -1;
    if (b->form == SCHEMA_FORM_CSV) count_columns(b);
    if (b->form == SCHEMA_FORM_CSV && quote_labels(b) != 0) return schema_problem_no_memory(problems);
    if (b->numbers && !(b->row_numbers = calloc((size_t)b->columns + 1, sizeof *b->row_numbers))) return schema_problem_no_memory(problems);
    if (options->form == SCHEMA_FORM_JSON) schema_text_format(&b->out, "{%s\"predictions\":[", options->head ? options->head : "");
    return 0;
}

void schema_block_close(struct schema_block *b) {
    struct schema_text *const texts[] = {&b->kept, &b->reasons, &b->out, &b->failures, &b->scratch};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]->bytes);
    for (int32_t i = 0; i < b->names_count; i++) free(b->names[i]);
    free(b->names);
    free(b->cell_start);
    free(b->cell_size);
    free(b->labels.bytes);
    free(b->label);
    free(b->label_first);
    free(b->rows);
    free(b->row_numbers);
    *b = (struct schema_block){0};
}

int64_t schema_block_memory(const struct schema_block *b) {
    return (int64_t)(b->kept.capacity + b->reasons.capacity + b->out.capacity + b->failures.capacity + b->scratch.capacity +
                     ROWS_MAX * sizeof *b->rows + (size_t)b->names_room * (2 * sizeof *b->cell_start + sizeof *b->names));
}

int32_t schema_block_keep(struct schema_block *b, const char *name, size_t size) {
    if (b->names_count == b->names_room) {
        const int32_t room = b->names_room ? 2 * b->names_room : 16;
        char **names = realloc(b->names, (size_t)room * sizeof *names);
        if (names) b->names = names;
        size_t *start = names ? realloc(b->cell_start, (size_t)room * sizeof *start) : NULL;
        if (start) b->cell_start = start;
        size_t *sizes = start ? realloc(b->cell_size, (size_t)room * sizeof *sizes) : NULL;
        if (!sizes) return -1;
        b->cell_size = sizes, b->names_room = room;
    }
    char *copy = strndup(name, size);
    if (!copy) return -1;
    b->names[b->names_count] = copy;
    b->cell_size[b->names_count] = 0;
    return b->names_count++;
}

/* ---- cells that are kept ------------------------------------------------------------------------------------------------------------------ */

static void add_csv(struct schema_text *out, const char *text, size_t size) {
    bool plain = true;
    for (size_t i = 0; i < size && plain; i++) plain = text[i] != ',' && text[i] != '"' && text[i] != '\n' && text[i] != '\r';
    if (plain && (size == 0 || (text[0] != ' ' && text[size - 1] != ' '))) {
        schema_text_add(out, text, size);
        return;
    }
    schema_text_add(out, "\"", 1);
    for (const char *p = text, *end = text + size; p < end;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        schema_text_add(out, p, (size_t)((quote ? quote + 1 : end) - p));
        if (quote) schema_text_add(out, "\"", 1);
        p = quote ? quote + 1 : end;
    }
    schema_text_add(out, "\"", 1);
}

/* A JSON string of bytes that may hold NUL. */
static void add_json(struct schema_text *out, const char *text, size_t size) {
    static const char digits[] = "0123456789abcdef";
    schema_text_add(out, "\"", 1);
    for (size_t i = 0, from = 0; i <= size; i++) {
        const unsigned char c = i < size ? (unsigned char)text[i] : 0;
        if (i < size && c >= 0x20 && c != '"' && c != '\\') continue;
        schema_text_add(out, text + from, i - from);
        from = i + 1;
        if (i == size) break;
        char escape[7] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15], 0};
        if (c == '"' || c == '\\') schema_text_add(out, (char[]){'\\', (char)c}, 2);
        else schema_text_add(out, escape, 6);
    }
    schema_text_add(out, "\"", 1);
}

void schema_block_row(struct schema_block *b) {
    b->scratch.size = 0;
    b->whole = false;
    if (b->names_count) memset(b->cell_size, 0, (size_t)b->names_count * sizeof *b->cell_size);
}

/* A plain number of JSON, all of whose digits a reader keeps: not 00501, not an id of 20 digits. */
static bool is_number(const char *text, size_t size) {
    double number;
    return size > 0 && size <= 16 && schema_number_json(text, size, &number) == size;
}

void schema_block_cell_text(struct schema_block *b, int32_t kept, const char *text, size_t size) {
    const size_t start = b->scratch.size;
    if (size == 0) return;
    if (b->form == SCHEMA_FORM_CSV) add_csv(&b->scratch, text, size);
    else add_json(&b->scratch, text, size);
    b->cell_start[kept] = start;
    b->cell_size[kept] = b->scratch.size - start;
}

void schema_block_cell_json(struct schema_block *b, int32_t kept, const char *json, size_t size) {
    const size_t start = b->scratch.size;
    if (b->form == SCHEMA_FORM_CSV) add_csv(&b->scratch, json, size);
    else schema_text_add(&b->scratch, json, size);
    b->cell_start[kept] = start;
    b->cell_size[kept] = b->scratch.size - start;
}

void schema_block_cell_csv(struct schema_block *b, int32_t kept, const char *text, size_t size) {
    if (b->form != SCHEMA_FORM_CSV && is_number(text, size)) schema_block_cell_json(b, kept, text, size);
    else schema_block_cell_text(b, kept, text, size);
}

void schema_block_cells(struct schema_block *b, const char *bytes, size_t size) {
    schema_text_add(&b->kept, bytes, size);
    b->whole = true;
}

/* The cells of the row, in the order of their columns. */
static void gather_cells(struct schema_block *b) {
    const bool csv = b->form == SCHEMA_FORM_CSV;
    for (int32_t i = 0; i < b->names_count; i++) {
        if (i) schema_text_add(&b->kept, ",", 1);
        if (!csv) add_json(&b->kept, b->names[i], strlen(b->names[i]));
        if (!csv) schema_text_add(&b->kept, ":", 1);
        if (b->cell_size[i]) schema_text_add(&b->kept, b->scratch.bytes + b->cell_start[i], b->cell_size[i]);
        else if (!csv) schema_text_add(&b->kept, "null", 4);
    }
}

/* ---- columns of a prediction -------------------------------------------------------------------------------------------------------------- */

/* Calls with the name of each column: "prediction", "probability_red". True: one of the calls has returned true. */
typedef bool with_name(void *context, const char *name);

struct naming {
    with_name *call;
    void *context;
    const char *target; /* NULL: there is one only */
    bool numbers;       /* only columns of numbers */
};

static bool call_name(const struct naming *n, const char *what, const char *label) {
    char name[2400];
    if (n->numbers && !label && (strcmp(what, "prediction") == 0 || strcmp(what, "set") == 0 || strcmp(what, "labels") == 0)) return false;
    snprintf(name, sizeof name, "%s%s%.1100s%s%.1100s", what, n->target ? "_" : "", n->target ? n->target : "", label ? "_" : "", label ? label : "");
    return n->call(n->context, name);
}

static bool name_labels(const struct schema_predictor *p, int32_t o, const struct naming *n) {
    if (call_name(n, "labels", NULL)) return true;
    for (int32_t j = 0; j < schema_output_labels(p->preprocessing, o); j++)
        if (call_name(n, "probability", schema_output_label(p->preprocessing, o, j))) return true;
    return false;
}

static enum schema_conformal method_of(const struct schema_predictor *p, int32_t k) {
    return p->model->calibration ? p->model->calibration->targets[k].method : SCHEMA_CONFORMAL_NONE;
}

/* The set or the interval of a calibrated model. */
static bool name_bounds(const struct schema_predictor *p, int32_t k, const struct naming *n) {
    const enum schema_conformal method = method_of(p, k);
    if (schema_conformal_is_set(method)) return call_name(n, "set", NULL);
    return method && (call_name(n, "low", NULL) || call_name(n, "high", NULL));
}

static bool name_target(const struct schema_predictor *p, int32_t k, const struct naming *n) {
    const struct schema_target *target = &p->preprocessing->targets[k];
    struct schema_predicted_detail detail;
    if (target->classification) {
        if (call_name(n, "prediction", NULL)) return true;
        for (int32_t c = 0; c < target->labels_count; c++)
            if (call_name(n, p->scores[output_of_target(p->preprocessing, k)] ? "score" : "probability", target->labels[c])) return true;
        return name_bounds(p, k, n);
    }
    if (call_name(n, "value", NULL)) return true;
    for (int32_t j = 0; schema_predict_detail(p, 0, k, j, &detail); j++)
        if (call_name(n, detail.kind, detail.name)) return true;
    return name_bounds(p, k, n);
}

static bool each_name(const struct schema_block *b, with_name *call, void *context) {
    const struct schema_predictor *p = b->predictor;
    const struct schema_preprocessing *pre = p->preprocessing;
    for (int32_t k = 0; k < pre->targets_count; k++) {
        const int32_t o = output_of_target(pre, k);
        const struct naming n = {call, context, pre->targets_count > 1 ? pre->targets[k].name : NULL, b->numbers};
        if (lists_labels(pre, o) ? name_labels(p, o, &n) : name_target(p, k, &n)) return true;
    }
    return false;
}

static bool count_name(void *context, const char *name) {
    (void)name;
    ++*(int32_t *)context;
    return false;
}

static void count_columns(struct schema_block *b) {
    each_name(b, count_name, &b->columns);
}

static bool list_name(void *context, const char *name) {
    return json_array_append_new(context, json_string(name)) != 0;
}

json_t *schema_block_columns(const struct schema_block *b) {
    json_t *names = json_array();
    if (names && !each_name(b, list_name, names)) return names;
    json_decref(names);
    return NULL;
}

struct sought {
    const char *name;
    size_t size;
};

static bool is_sought(void *context, const char *name) {
    const struct sought *s = context;
    return strlen(name) == s->size && memcmp(name, s->name, s->size) == 0;
}

bool schema_block_has(const struct schema_block *b, const char *name, size_t size) {
    struct sought sought = {name, size};
    if (b->form != SCHEMA_FORM_CSV) return false;
    return is_sought(&sought, b->apart ? "row" : "error") || each_name(b, is_sought, &sought);
}

static bool write_name(void *context, const char *name) {
    struct schema_text *out = context;
    if (out->size && schema_text_last(out) != '\n') schema_text_add(out, ",", 1);
    add_csv(out, name, strlen(name));
    return false;
}

/* Version 1.0 of the format (NEP 1): its dictionary is filled up with spaces, so that the numbers begin at a multiple of 64 bytes. */
static void write_npy_header(struct schema_block *b) {
    enum { PREFIX = 10, ALIGNED = 64 };
    const char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    char text[160];
    const int size =
        snprintf(text, sizeof text, "{'descr': '%cf8', 'fortran_order': False, 'shape': (%lld, %d), }", order, (long long)b->total, (int)b->columns);
    const int whole = (PREFIX + size + 1 + ALIGNED - 1) / ALIGNED * ALIGNED - PREFIX;
    schema_text_add(&b->out, "\x93NUMPY\x01\x00", 8);
    schema_text_add(&b->out, (const char[]){(char)(whole & 255), (char)(whole >> 8)}, 2);
    schema_text_format(&b->out, "%s%*s", text, whole - size, "\n");
}

static void write_header(struct schema_block *b) {
    b->begun = true;
    if (b->form != SCHEMA_FORM_CSV) return;
    if (b->numbers) {
        write_npy_header(b);
    } else {
        if (b->apart) write_name(&b->out, "row");
        for (int32_t i = 0; i < b->names_count; i++) write_name(&b->out, b->names[i]);
        each_name(b, write_name, &b->out);
        if (!b->apart) write_name(&b->out, "error");
        schema_text_add(&b->out, "\n", 1);
    }
    if (b->apart) schema_text_string(&b->failures, "row,column,value,error\n");
}

/* False: a number is not finite. */
static bool write_number(struct schema_text *out, double value, double step) {
    char text[40];
    if (value - value != 0) return false;
    schema_text_add(out, text, (size_t)schema_predicted_text(value, step, text));
    return true;
}

static void write_labels(struct schema_block *b, int32_t o, int32_t row) {
    const struct schema_preprocessing *pre = b->predictor->preprocessing;
    struct schema_text list = {.limit = LIMIT};
    float probability;
    schema_text_string(&list, "[");
    for (int32_t j = 0; j < schema_output_labels(pre, o); j++) {
        if (!schema_predict_label(b->predictor, row, o, j, &probability)) continue;
        if (list.size > 1) schema_text_add(&list, ",", 1);
        schema_text_json_string(&list, schema_output_label(pre, o, j));
    }
    schema_text_string(&list, "]");
    add_csv(&b->out, list.bytes ? list.bytes : "", list.size);
    b->out.failed = b->out.failed || list.failed;
    free(list.bytes);
    for (int32_t j = 0; j < schema_output_labels(pre, o); j++) {
        schema_predict_label(b->predictor, row, o, j, &probability);
        schema_shares_write(&b->shares, &probability, 1, 0, &b->out);
    }
}

/* A set is a JSON list, as labels are; an end that there is not is an empty cell. */
static void write_bounds(struct schema_block *b, int32_t k, int32_t row, double step) {
    const struct schema_target *target = &b->predictor->preprocessing->targets[k];
    struct schema_text list = {.limit = LIMIT};
    const int32_t *classes;
    double ends[2];
    const int32_t count = schema_predict_set(b->predictor, row, k, &classes);
    for (int i = 0; count < 0 && i < 2 && schema_predict_interval(b->predictor, row, k, &ends[0], &ends[1]); i++) {
        schema_text_add(&b->out, ",", 1);
        write_number(&b->out, ends[i], step);
    }
    if (count < 0) return;
    schema_text_string(&list, "[");
    for (int32_t i = 0; i < count; i++) {
        if (i) schema_text_add(&list, ",", 1);
        schema_text_json_string(&list, target->labels[classes[i]]);
    }
    schema_text_string(&list, "]");
    schema_text_add(&b->out, ",", 1);
    add_csv(&b->out, list.bytes ? list.bytes : "", list.size);
    b->out.failed = b->out.failed || list.failed;
    free(list.bytes);
}

/* How many shares of later rows follow those of this one in memory: in an output of one target with a number for each class. */
static int64_t follow(const struct schema_block *b, int32_t k, int32_t row) {
    const struct schema_preprocessing *pre = b->predictor->preprocessing;
    const int32_t o = output_of_target(pre, k), width = b->predictor->widths[o];
    return pre->outputs[o].count == 1 && width > 1 && width == pre->targets[k].labels_count ? (int64_t)(b->predictor->filled - row - 1) * width : 0;
}

static bool write_target(struct schema_block *b, int32_t k, int32_t row) {
    const struct schema_target *target = &b->predictor->preprocessing->targets[k];
    struct schema_predicted_detail detail;
    float pair[2];
    if (target->classification) {
        const float *shares;
        const struct block_label *label = &b->label[b->label_first[k] + schema_predict_class(b->predictor, row, k, pair, &shares)];
        schema_text_add(&b->out, b->labels.bytes + label->at, label->size);
        schema_shares_write(&b->shares, shares, target->labels_count, follow(b, k, row), &b->out);
        if (b->predictor->calibration) write_bounds(b, k, row, 0);
        return true;
    }
    const struct schema_predicted predicted = schema_predict_target(b->predictor, row, k);
    bool good = write_number(&b->out, predicted.value, predicted.step);
    for (int32_t j = 0; good && schema_predict_detail(b->predictor, row, k, j, &detail); j++) {
        schema_text_add(&b->out, ",", 1);
        good = write_number(&b->out, detail.value, detail.step);
    }
    if (good) write_bounds(b, k, row, predicted.step);
    return good;
}

/* The cells of a prediction; false: it is not finite. */
static bool write_cells(struct schema_block *b, int32_t row) {
    const struct schema_preprocessing *pre = b->predictor->preprocessing;
    if (!schema_predictor_finite(b->predictor, row)) return false;
    for (int32_t k = 0; k < pre->targets_count; k++) {
        const int32_t o = output_of_target(pre, k);
        if (k) schema_text_add(&b->out, ",", 1);
        if (lists_labels(pre, o)) write_labels(b, o, row);
        else if (!write_target(b, k, row)) {
            schema_predictor_spoil(b->predictor, row);
            return false;
        }
    }
    if (b->predictor->live) schema_predictor_count_outputs(b->predictor, row);
    return true;
}

/* ---- numbers of an array ------------------------------------------------------------------------------------------------------------------------
 */

/* The numbers of target k to `to`: how many; -1: one is not finite. An end that an interval does not have is not a number. */
static int32_t target_numbers(struct schema_block *b, int32_t k, int32_t row, double *to) {
    const struct schema_preprocessing *pre = b->predictor->preprocessing;
    const struct schema_target *target = &pre->targets[k];
    const int32_t o = output_of_target(pre, k);
    const enum schema_conformal method = method_of(b->predictor, k);
    struct schema_predicted_detail detail;
    int32_t n = 0;
    float pair[2];
    if (lists_labels(pre, o)) {
        for (int32_t j = 0; j < schema_output_labels(pre, o); j++) {
            schema_predict_label(b->predictor, row, o, j, pair);
            to[n++] = (double)pair[0];
        }
        return n;
    }
    if (target->classification) {
        const float *shares = schema_predict_shares(b->predictor, row, k, pair);
        for (int32_t c = 0; c < target->labels_count; c++) to[n++] = (double)shares[c];
    } else {
        to[n++] = schema_predict_target(b->predictor, row, k).value;
        for (int32_t j = 0; schema_predict_detail(b->predictor, row, k, j, &detail); j++) to[n++] = detail.value;
    }
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(to[i])) return -1;
    if (method == SCHEMA_CONFORMAL_NONE || schema_conformal_is_set(method)) return n;
    if (!schema_predict_interval(b->predictor, row, k, &to[n], &to[n + 1])) to[n] = to[n + 1] = (double)NAN;
    return n + 2;
}

/* The row of the array; false: it is not finite. */
static bool write_numbers(struct schema_block *b, int32_t row) {
    const size_t size = (size_t)b->columns * sizeof(double);
    if (!schema_predictor_finite(b->predictor, row)) return false;
    for (int32_t k = 0, n = 0, more; k < b->predictor->preprocessing->targets_count; k++, n += more)
        if ((more = target_numbers(b, k, row, b->row_numbers + n)) < 0) {
            schema_predictor_spoil(b->predictor, row);
            return false;
        }
    schema_text_add(&b->out, (const char *)b->row_numbers, size);
    if (b->predictor->live) schema_predictor_count_outputs(b->predictor, row);
    return true;
}

/* All rows of the block at once, where the outputs of the network are the array: the shares of one target. False: row by row. */
static bool write_all_numbers(struct schema_block *b) {
    const struct schema_predictor *p = b->predictor;
    const struct schema_target *target = &p->preprocessing->targets[0];
    const size_t n = (size_t)b->columns * (size_t)b->count;
    float pair[2];
    if (p->live || !p->finite || p->preprocessing->targets_count > 1 || !target->classification || b->columns != target->labels_count) return false;
    if (b->count < 2 || follow(b, 0, 0) != (int64_t)(b->count - 1) * b->columns) return false;
    const float *shares = schema_predict_shares(p, 0, 0, pair);
    char *to = schema_text_room(&b->out, n * sizeof(double) + 1);
    for (size_t i = 0; to && i < n; i++, to += sizeof(double)) memcpy(to, &(double){(double)shares[i]}, sizeof(double));
    if (!to) return true; /* the text has failed */
    *to = '\0';
    b->out.size += n * sizeof(double);
    b->good += b->count;
    return true;
}

static void write_no_numbers(struct schema_block *b) {
    const double none = (double)NAN;
    for (int32_t i = 0; i < b->columns; i++) schema_text_add(&b->out, (const char *)&none, sizeof none);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------------------- */

/* A value that may be long and end anywhere. */
static size_t shown(const char *value, size_t size) {
    size_t n = size < VALUE_SHOWN ? size : VALUE_SHOWN;
    while (n < size && n > 0 && ((unsigned char)value[n] & 0xC0) == 0x80) n--;
    return n;
}

static void add_member(struct schema_text *out, const char *key, const char *text, size_t size) {
    if (schema_text_last(out) != '{') schema_text_add(out, ",", 1);
    schema_text_format(out, "\"%s\":", key);
    add_json(out, text, size);
}

/* The reason of a row as it is written. */
static void write_reason(const struct schema_block *b, struct schema_text *out, const struct block_fault *f) {
    const size_t size = f->value ? shown(f->value, f->value_size) : 0;
    if (b->form == SCHEMA_FORM_CSV && !b->apart) {
        add_csv(out, f->detail, strlen(f->detail));
    } else if (b->form == SCHEMA_FORM_CSV) {
        if (f->column) add_csv(out, f->column, strlen(f->column));
        schema_text_add(out, ",", 1);
        if (f->value) add_csv(out, f->value, size);
        schema_text_add(out, ",", 1);
        add_csv(out, f->detail, strlen(f->detail));
    } else {
        schema_text_add(out, "{", 1);
        if (f->line) schema_text_format(out, "\"line\":%lld", (long long)f->line);
        if (f->column) add_member(out, "column", f->column, strlen(f->column));
        if (f->value) add_member(out, "value", f->value, size);
        add_member(out, "detail", f->detail, strlen(f->detail));
        schema_text_add(out, "}", 1);
    }
}

static void add_row(struct schema_block *b, int64_t row, int32_t slot) {
    if (!b->whole) gather_cells(b);
    b->rows[b->count++] = (struct block_row){row, slot, b->kept.size, b->reasons.size};
}

void schema_block_good(struct schema_block *b, int64_t row, int32_t slot) {
    add_row(b, row, slot);
}

bool schema_block_all_good(struct schema_block *b, int64_t row, int32_t n) {
    if (!b->numbers || b->count > 0 || n > ROWS_MAX) return false;
    for (int32_t i = 0; i < n; i++) b->rows[i] = (struct block_row){row + i, i, 0, 0};
    b->count = n;
    b->all = true;
    return true;
}

void schema_block_reason(struct schema_block *b, const struct block_fault *fault) {
    write_reason(b, &b->reasons, fault);
}

void schema_block_failed(struct schema_block *b, int64_t row) {
    add_row(b, row, -1);
}

bool schema_block_full(const struct schema_block *b) {
    return b->predictor->filled == b->predictor->batch_max || b->count == ROWS_MAX || b->kept.size + b->reasons.size > TEXT_MAX;
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------------------------------- */

static bool write_out(struct schema_block *b, bool all) {
    struct schema_text *const texts[] = {&b->out, &b->failures};
    for (int i = 0; i < 2 && !b->broken && b->writer.write; i++) {
        if (texts[i]->size == 0 || (!all && texts[i]->size < PIECE)) continue;
        b->broken = !b->writer.write(b->writer.context, i == 1, texts[i]->bytes, texts[i]->size);
        texts[i]->size = 0;
    }
    return !b->broken;
}

static void write_whole(struct schema_text *out, int64_t n) {
    char text[SCHEMA_NUMBER_PRINTED];
    schema_text_add(out, text, schema_number_print((double)n, text));
}

/* CSV in front of a prediction: the number of the row, if failed rows are apart, and its kept cells. */
static void begin_cells(const struct schema_block *b, const struct block_row *r, const char *kept, size_t size, struct schema_text *out) {
    char *const start = schema_text_room(out, SCHEMA_NUMBER_PRINTED + size + 2), *to = start;
    if (!start) return;
    if (b->apart) to += schema_number_print((double)r->row, to), *to++ = ',';
    memcpy(to, kept, size);
    to += size;
    if (b->names_count) *to++ = ',';
    *to = '\0';
    out->size += (size_t)(to - start);
}

/* The head of a line: its row, and the values that are kept. */
static void begin_line(const struct schema_block *b, const struct block_row *r, struct schema_text *out, const char *kept, size_t kept_size) {
    schema_text_string(out, "{\"row\":");
    write_whole(out, r->row);
    schema_text_add(out, ",", 1);
    if (b->names_count == 0) return;
    schema_text_string(out, "\"input\":{");
    schema_text_add(out, kept, kept_size);
    schema_text_string(out, "},");
}

/* A failed row: in the place of its prediction, or apart. */
static void write_failed(struct schema_block *b, const struct block_row *r, const char *kept, size_t kept_size, const char *reason, size_t size) {
    struct schema_text *out = b->apart ? &b->failures : &b->out;
    b->failed++;
    if (b->numbers) write_no_numbers(b);
    if (b->form == SCHEMA_FORM_CSV && b->apart) {
        schema_text_format(out, "%lld,", (long long)r->row);
    } else if (b->form == SCHEMA_FORM_CSV) {
        schema_text_add(out, kept, kept_size);
        if (b->names_count) schema_text_add(out, ",", 1);
        for (int32_t i = 0; i < b->columns; i++) schema_text_add(out, ",", 1);
    } else if (b->form == SCHEMA_FORM_NDJSON) {
        begin_line(b, r, out, kept, kept_size);
        schema_text_string(out, "\"error\":");
    } else {
        schema_text_string(out, "{\"error\":");
    }
    schema_text_add(out, reason, size);
    schema_text_string(out, b->form == SCHEMA_FORM_CSV ? "\n" : b->form == SCHEMA_FORM_NDJSON ? "}\n" : "}");
}

/* False: the prediction is not finite, and nothing was written. */
static bool write_good(struct schema_block *b, const struct block_row *r, const char *kept, size_t kept_size) {
    struct schema_text *out = &b->out;
    const size_t before = out->size;
    bool good;
    if (b->numbers) {
        good = write_numbers(b, r->slot);
    } else if (b->form == SCHEMA_FORM_CSV) {
        begin_cells(b, r, kept, kept_size, out);
        good = write_cells(b, r->slot);
        schema_text_add(out, b->apart ? "\n" : ",\n", b->apart ? 1 : 2);
    } else if (b->form == SCHEMA_FORM_NDJSON) {
        begin_line(b, r, out, kept, kept_size);
        schema_text_string(out, "\"prediction\":");
        good = schema_predictor_write(b->predictor, r->slot);
        schema_text_string(out, "}\n");
    } else {
        good = schema_predictor_write(b->predictor, r->slot);
    }
    if (good) b->good++;
    else if (!out->failed) out->size = before;
    return good;
}

static void write_row(struct schema_block *b, const struct block_row *r, size_t kept_from, size_t reason_from) {
    const char *kept = b->kept.bytes ? b->kept.bytes + kept_from : "", *reason = b->reasons.bytes ? b->reasons.bytes + reason_from : "";
    const size_t kept_size = r->kept_end - kept_from;
    char why[300];
    if (b->form == SCHEMA_FORM_JSON && b->good + b->failed > 0) schema_text_add(&b->out, ",", 1);
    if (r->slot >= 0 && write_good(b, r, kept, kept_size)) return;
    if (r->slot < 0) {
        write_failed(b, r, kept, kept_size, reason, r->reason_end - reason_from);
        return;
    }
    struct schema_text text = {.limit = LIMIT};
    const int32_t suspect = b->predictor->suspect;
    const struct block_fault fault = {.column = suspect >= 0 ? b->predictor->preprocessing->features[suspect].name : NULL,
                                      .detail = schema_predictor_not_finite(b->predictor, why)};
    write_reason(b, &text, &fault);
    write_failed(b, r, kept, kept_size, text.bytes ? text.bytes : "", text.size);
    b->out.failed = b->out.failed || text.failed;
    free(text.bytes);
}

int schema_block_flush(struct schema_block *b, struct bp_error *error) {
    size_t kept = 0, reason = 0;
    if (!b->begun) write_header(b);
    b->predictor->out = &b->out;
    schema_predictor_run(b->predictor);
    schema_shares_clear(&b->shares);
    const bool written = b->all && write_all_numbers(b);
    if (written) write_out(b, false);
    for (int32_t i = 0; i < b->count && !b->broken && !written; i++) {
        write_row(b, &b->rows[i], kept, reason);
        kept = b->rows[i].kept_end, reason = b->rows[i].reason_end;
        write_out(b, false);
    }
    const bool failed = b->kept.failed || b->reasons.failed || b->out.failed || b->failures.failed || b->scratch.failed;
    b->count = b->predictor->filled = 0;
    b->all = false;
    b->kept.size = b->reasons.size = 0;
    if (failed) return bp_error_memory(error, "no memory for the predictions");
    return b->broken ? -1 : 0;
}

static void write_warning(void *context, const char *warning) {
    struct schema_text *out = context;
    if (schema_text_last(out) != '[') schema_text_add(out, ",", 1);
    schema_text_json_string(out, warning);
}

/* The other's text behind this one; mostly there is none, and they change places. */
static void take_text(struct schema_text *text, struct schema_text *other) {
    const struct schema_text own = *text;
    if (own.size > 0) {
        schema_text_add(text, other->bytes ? other->bytes : "", other->size);
        text->failed = text->failed || other->failed;
    } else {
        *text = *other;
        *other = own;
    }
    other->size = 0;
}

void schema_block_take(struct schema_block *b, struct schema_block *other) {
    if (!b->begun) write_header(b);
    take_text(&b->out, &other->out);
    take_text(&b->failures, &other->failures);
    b->good += other->good, b->failed += other->failed;
    other->good = other->failed = 0;
}

int schema_block_write(struct schema_block *b, struct bp_error *error) {
    if (b->out.failed || b->failures.failed) return bp_error_memory(error, "no memory for the predictions");
    return write_out(b, true) ? 0 : -1;
}

int schema_block_finish(struct schema_block *b, struct bp_error *error) {
    if (schema_block_flush(b, error) != 0) return -1;
    if (b->form == SCHEMA_FORM_JSON) {
        schema_text_format(&b->out, "],\"rows\":%lld,\"failed\":%lld,\"warnings\":[", (long long)(b->good + b->failed), (long long)b->failed);
        schema_predict_warnings(b->predictor, write_warning, &b->out);
        schema_text_string(&b->out, "]}\n");
    }
    return schema_block_write(b, error);
}
