/* row_stream.c - rows of a text through a model as its bytes arrive. A format (schema/formats) gives the cells, one row after another; here they
 * become features or are kept, and a block takes the row. Sections: columns, cells, rows, open to close. */
#include "schema/predict/row_block.h"
#include "schema/predict/row_columns.h"

#include "schema/ingest/sink.h"
#include "schema/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What becomes of a column of the data. */
struct stream_column {
    int32_t feature; /* -1: it is none */
    int32_t kept;    /* -1: it is not written */
    int64_t seen;    /* JSON, of a column that is no feature: the last row that had it */
};

struct schema_row_stream {
    struct schema_predictor *p;
    const struct schema_rows_options *options;
    struct schema_block block;
    struct schema_row_columns held; /* numbers of the rows of the block */
    struct ingest_receiver receiver;
    struct schema_ingest *ingest;
    struct stream_column *columns;
    int32_t columns_room;
    bool records; /* of JSON: keys in any order, and some may be absent */
    char **keep;  /* the names to keep; NULL: by `keeps` */
    int32_t keep_count;
    enum { KEEP_EXTRA, KEEP_ALL, KEEP_NONE, KEEP_NAMED } keeps;
    bool refuses;             /* some feature refuses what is missing, or unknown */
    double *numbers;          /* (features_count) where formats put numbers themselves; NaN: missing */
    bool *direct;             /* (features_count) they do */
    int64_t *seen;            /* (features_count) the last row with a cell of it that came through cell() */
    int64_t *given;           /* (features_count) column of it + 1, 0: the data has none */
    struct schema_text texts; /* of the row's cells that are texts */
    size_t *text_at;          /* (features_count) where in texts */
    struct schema_column_type *types;
    /* the row that is being read */
    int64_t rows, line;
    bool open, faulty;
    char unknown[64]; /* a key that is no column, "" */
};

/* ---- columns ------------------------------------------------------------------------------------------------------------------------------- */

static int32_t feature_of(const struct schema_preprocessing *pre, const char *name) {
    for (int32_t i = 0; i < pre->features_count; i++)
        if (strcmp(pre->features[i].name, name) == 0) return i;
    return -1;
}

static bool is_kept(const struct schema_row_stream *s, const char *name, bool feature) {
    if (s->keeps != KEEP_NAMED) return s->keeps == KEEP_ALL || (s->keeps == KEEP_EXTRA && !feature);
    for (int32_t i = 0; i < s->keep_count; i++)
        if (strcmp(s->keep[i], name) == 0) return true;
    return false;
}

/* A column that the answer has under the same name is left out with a warning, or refused if it was asked for. */
static int keep_column(struct schema_row_stream *s, const struct ingest_column *c, struct stream_column *column, struct schema_problems *problems) {
    if (schema_block_has(&s->block, c->name, c->name_size)) {
        if (s->keeps == KEEP_NAMED)
            return schema_problem_add(problems, NULL,
                                      "the column \"%.60s\" cannot be kept: the answer has a column of that name; rename it, or leave it out of keep",
                                      c->name);
        schema_predictor_ignored(s->p, c->name, c->name_size);
        return 0;
    }
    column->kept = schema_block_keep(&s->block, c->name, c->name_size);
    return column->kept < 0 ? schema_problem_no_memory(problems) : 0;
}

static int grow(struct schema_row_stream *s, struct schema_problems *problems) {
    const int32_t room = s->ingest->columns_room;
    if (s->columns_room >= room) return 0;
    struct stream_column *columns = realloc(s->columns, (size_t)room * sizeof *columns);
    if (columns) s->columns = columns;
    double **numbers = columns ? realloc(s->ingest->numbers, (size_t)room * sizeof *numbers) : NULL;
    if (!numbers) return schema_problem_no_memory(problems);
    s->ingest->numbers = numbers;
    s->columns_room = room;
    return 0;
}

static int on_column(void *context, int32_t k, struct schema_problems *problems) {
    struct schema_row_stream *s = context;
    const struct schema_preprocessing *pre = s->p->preprocessing;
    const struct ingest_column *c = &s->ingest->columns[k];
    if (grow(s, problems)) return -1;
    const int32_t feature = feature_of(pre, c->name);
    s->columns[k] = (struct stream_column){feature, -1, 0};
    s->ingest->numbers[k] = NULL;
    if (feature >= 0) s->given[feature] = k + 1;
    const bool kept = is_kept(s, c->name, feature >= 0);
    if (kept && keep_column(s, c, &s->columns[k], problems)) return -1;
    if (feature < 0 || s->columns[k].kept >= 0 || !schema_type_of(pre->features[feature].type)->plain_numbers) return 0;
    s->ingest->numbers[k] = &s->numbers[feature];
    s->direct[feature] = true;
    return 0;
}

static void on_unknown(void *context, const char *key, size_t size) {
    struct schema_row_stream *s = context;
    schema_predictor_ignored(s->p, key, size);
    if (s->unknown[0] || size >= sizeof s->unknown) return;
    memcpy(s->unknown, key, size);
    s->unknown[size] = '\0';
}

static const char *column_at(const void *context, int32_t i) {
    const struct schema_row_stream *s = context;
    return s->columns[i].feature >= 0 ? "" : s->ingest->columns[i].name;
}

/* The header is complete: the model needs all of its columns. */
static int check_header(struct schema_row_stream *s, struct schema_problems *problems) {
    const struct schema_preprocessing *pre = s->p->preprocessing;
    char meant[96];
    int32_t found = 0;
    for (int32_t i = 0; i < pre->features_count; i++) found += s->given[i] > 0;
    for (int32_t i = 0; i < s->keep_count; i++)
        if (schema_dictionary_find(&s->ingest->names, s->keep[i], strlen(s->keep[i])) < 0)
            schema_problem_add(problems, NULL, "keep names the column \"%.60s\", which the data does not have", s->keep[i]);
    if (found == 0)
        return schema_problem_add(problems, NULL, "none of the columns is a feature of this model; the features are \"%.60s\"%s%.60s%s",
                                  pre->features[0].name, pre->features_count > 1 ? ", \"" : "", pre->features_count > 1 ? pre->features[1].name : "",
                                  pre->features_count > 2   ? "\", ..."
                                  : pre->features_count > 1 ? "\""
                                                            : "");
    for (int32_t i = 0; i < pre->features_count && !s->options->lenient; i++) {
        if (s->given[i]) continue;
        const char *nearest = schema_nearest(pre->features[i].name, column_at, s, s->ingest->columns_count);
        schema_problem_cell(
            problems, 0, pre->features[i].name, NULL, 0,
            "the data has no column \"%.60s\", a feature of this model%s; add it, or send strict=false to take it as missing in every row",
            pre->features[i].name, schema_did_you_mean(nearest && *nearest ? nearest : NULL, meant, sizeof meant));
    }
    return problems->total ? -1 : 0;
}

/* ---- cells ----------------------------------------------------------------------------------------------------------------------------------- */

static void fault(struct schema_row_stream *s, const char *column, const char *value, size_t size, const char *detail) {
    const struct schema_preprocessing *pre = s->p->preprocessing;
    if (s->faulty) return; /* one reason is enough */
    s->faulty = true;
    for (int32_t i = 0; i < pre->features_count; i++) /* the row does not count */
        if (s->p->cells[i].kind == SCHEMA_VALUE_CATEGORY && s->p->cells[i].category < 0) s->p->unseen[i]--;
    const struct block_fault what = {.line = s->line, .column = column, .value = value, .value_size = size, .detail = detail};
    schema_block_reason(&s->block, &what);
}

static void on_fault(void *context, int32_t column, const char *value, size_t size, const char *detail) {
    struct schema_row_stream *s = context;
    fault(s, column >= 0 ? s->ingest->columns[column].name : NULL, value, size, detail);
}

/* As jansson would have read it. NULL: it cannot be. */
static json_t *cell_json(const struct schema_cell *cell) {
    json_error_t where;
    switch (cell->kind) {
    case CELL_NUMBER:
    case CELL_ARRAY: {
        json_t *json = schema_json_load(cell->text, cell->size, JSON_DECODE_ANY, &where);
        return json || cell->kind == CELL_ARRAY ? json : json_stringn_nocheck(cell->text, cell->size);
    }
    case CELL_BOOLEAN: return json_boolean(*cell->text == 't');
    case CELL_TEXT:
        if (cell->size && *cell->text == '[') {
            json_t *json = schema_json_load(cell->text, cell->size, 0, &where);
            if (json) return json;
        }
        return json_stringn_nocheck(cell->text, cell->size);
    case CELL_STRING: return json_stringn_nocheck(cell->text, cell->size);
    default: return json_null();
    }
}

/* What is not plain. */
static void read_cell(struct schema_row_stream *s, int32_t feature, const struct schema_cell *cell) {
    const struct schema_feature *f = &s->p->preprocessing->features[feature];
    struct schema_problems found = {0};
    json_t *json = cell_json(cell);
    s->p->cells[feature].kind = SCHEMA_VALUE_MISSING;
    if (!json) schema_problem_add(&found, "", "column \"%.60s\" holds a value that cannot be read", f->name);
    else if (cell->size > 0 || cell->kind == CELL_STRING) schema_type_of(f->type)->read(s->p, feature, json, "", &found);
    if (found.total) fault(s, f->name, cell->text, cell->size, found.items[0].detail);
    schema_problems_clear(&found);
    json_decref(json);
}

static void take_feature(struct schema_row_stream *s, int32_t feature, const struct schema_cell *cell) {
    const struct schema_type_ops *type = schema_type_of(s->p->preprocessing->features[feature].type);
    struct schema_feature_value *value = &s->p->cells[feature];
    s->seen[feature] = s->rows;
    if (cell->kind == CELL_MISSING || (cell->kind == CELL_TEXT && cell->size == 0)) return;
    if (!type->take || !type->take(s->p, feature, cell)) read_cell(s, feature, cell);
    if (s->refuses && value->kind == SCHEMA_VALUE_CATEGORY && !s->faulty) {
        char text[400];
        const char *why = schema_predictor_refused(s->p, feature, cell->text, cell->size, text);
        if (why) fault(s, s->p->preprocessing->features[feature].name, cell->text, cell->size, why);
    }
    if (value->kind == SCHEMA_VALUE_NUMBER && s->direct[feature]) s->numbers[feature] = value->number;
    if (value->kind != SCHEMA_VALUE_TEXT) return;
    s->text_at[feature] = s->texts.size; /* the text is gone with the next cell */
    schema_text_add(&s->texts, value->text, value->size);
    if (value->size == 0) schema_text_string(&s->texts, "");
}

static void keep_cell(struct schema_row_stream *s, int32_t kept, const struct schema_cell *cell) {
    switch (cell->kind) {
    case CELL_TEXT: schema_block_cell_csv(&s->block, kept, cell->text, cell->size); break;
    case CELL_STRING: schema_block_cell_text(&s->block, kept, cell->text, cell->size); break;
    case CELL_NUMBER:
        s->records ? schema_block_cell_json(&s->block, kept, cell->text, cell->size) : schema_block_cell_csv(&s->block, kept, cell->text, cell->size);
        break;
    case CELL_BOOLEAN:
    case CELL_ARRAY: schema_block_cell_json(&s->block, kept, cell->text, cell->size); break;
    default: break;
    }
}

static int on_cell(void *context, const struct schema_cell *cell, struct schema_problems *problems) {
    struct schema_row_stream *s = context;
    struct stream_column *column = &s->columns[cell->column];
    (void)problems;
    if (column->feature < 0) column->seen = s->rows;
    if (column->kept >= 0) keep_cell(s, column->kept, cell);
    if (column->feature >= 0 && !s->faulty) take_feature(s, column->feature, cell);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------------------- */

/* The features that a record lacks. */
static const char *lacking_at(const void *context, int32_t i) {
    const struct schema_row_stream *s = context;
    return s->seen[i] == s->rows || (s->direct[i] && !isnan(s->numbers[i])) ? "" : s->p->preprocessing->features[i].name;
}

/* A key of the record that is no feature, but resembles one that it lacks. */
static void check_key(struct schema_row_stream *s, const char *key) {
    char text[400];
    const char *nearest = schema_predictor_meant(s->p->preprocessing, key, lacking_at, s);
    if (!nearest) return;
    snprintf(text, sizeof text, "\"%.60s\" is not a feature of this model, did you mean \"%.60s\", which is missing? Send strict=false to ignore it",
             key, nearest);
    fault(s, key, NULL, 0, text);
}

/* A record needs some feature, and a name that looks like a typo is one. */
static void check_record(struct schema_row_stream *s) {
    const struct schema_preprocessing *pre = s->p->preprocessing;
    char text[400];
    int32_t lacking = 0;
    for (int32_t i = 0; i < pre->features_count; i++) lacking += *lacking_at(s, i) != '\0';
    if (lacking == 0) return;
    if (lacking == pre->features_count) {
        snprintf(text, sizeof text, "no key of this record is a feature of the model; the first feature is \"%.60s\"", pre->features[0].name);
        fault(s, NULL, NULL, 0, text);
        return;
    }
    if (s->options->lenient) return;
    if (s->unknown[0]) check_key(s, s->unknown);
    for (int32_t k = 0; k < s->ingest->columns_count && !s->faulty; k++)
        if (s->columns[k].feature < 0 && s->columns[k].seen == s->rows) check_key(s, s->ingest->columns[k].name);
}

static void check_missing(struct schema_row_stream *s) {
    char text[400];
    for (int32_t i = 0; i < s->p->preprocessing->features_count && !s->faulty; i++) {
        const char *why = s->p->cells[i].kind == SCHEMA_VALUE_MISSING ? schema_predictor_refused(s->p, i, "", 0, text) : NULL;
        if (why) fault(s, s->p->preprocessing->features[i].name, NULL, 0, why);
    }
}

/* The row's cells are complete: into the workspace. Which value cannot be used is the row's fault. */
static int32_t put(struct schema_row_stream *s) {
    struct schema_predictor *p = s->p;
    const struct schema_preprocessing *pre = p->preprocessing;
    const char *texts = s->texts.bytes ? s->texts.bytes : "";
    if (p->filled == 0) row_columns_begin(&s->held, s->direct, s->refuses);
    const bool usable = row_columns_hold(&s->held, s->numbers, s->rows);
    for (int32_t i = 0; i < pre->features_count; i++) {
        struct schema_feature_value *cell = &p->cells[i];
        if (s->held.held[i] && usable) continue;
        if (cell->kind == SCHEMA_VALUE_TEXT) cell->text = texts + s->text_at[i];
        if (!s->direct[i]) continue;
        cell->kind = isnan(s->numbers[i]) ? SCHEMA_VALUE_MISSING : SCHEMA_VALUE_NUMBER;
        cell->number = s->numbers[i];
    }
    if (s->refuses) check_missing(s);
    if (s->faulty) return -1;
    p->row_at = s->rows;
    const int32_t unusable = schema_predictor_put_some(p, s->held.held, !usable);
    if (unusable < 0) return p->filled - 1;
    struct schema_problems why = {0};
    schema_predictor_refuse(p, unusable, "", &why);
    fault(s, pre->features[unusable].name, NULL, 0, why.total ? why.items[0].detail : "the value cannot be used");
    schema_problems_clear(&why);
    return -1;
}

/* -1 with problems, or without: the writer has refused. */
static int flush(struct schema_row_stream *s, struct schema_problems *problems) {
    struct bp_error error = {0};
    row_columns_run(&s->held);
    if (schema_block_flush(&s->block, &error) == 0) return 0;
    if (error.message[0]) schema_problem_error(problems, NULL, &error);
    return -1;
}

static int end_row(struct schema_row_stream *s, struct schema_problems *problems) {
    if (!s->open) return 0;
    s->open = false;
    if (s->records && !s->faulty) check_record(s);
    const int32_t slot = s->faulty ? -1 : put(s);
    if (slot >= 0) schema_block_good(&s->block, s->rows, slot);
    else schema_block_failed(&s->block, s->rows);
    return schema_block_full(&s->block) ? flush(s, problems) : 0;
}

static int on_row(void *context, int64_t place, struct schema_problems *problems) {
    struct schema_row_stream *s = context;
    const struct schema_preprocessing *pre = s->p->preprocessing;
    if (end_row(s, problems)) return -1;
    if (s->rows == 0 && !s->records) {
        s->receiver.in_row = false; /* what is wrong with the header is wrong with all */
        if (check_header(s, problems)) return -1;
        s->receiver.in_row = true;
    }
    s->rows++;
    s->line = place;
    s->open = true, s->faulty = false;
    s->unknown[0] = '\0';
    s->texts.size = 0;
    for (int32_t i = 0; i < pre->features_count; i++) {
        s->p->cells[i].kind = SCHEMA_VALUE_MISSING;
        s->numbers[i] = (double)NAN;
    }
    schema_block_row(&s->block);
    return 0;
}

/* ---- open to close ---------------------------------------------------------------------------------------------------------------------------- */

/* "id,\"with, comma\"" */
static int parse_names(struct schema_row_stream *s, const char *text, struct schema_problems *problems) {
    char *name = malloc(strlen(text) + 1);
    int failed = name ? 0 : schema_problem_no_memory(problems);
    for (const char *p = text; !failed; p++) {
        const bool quoted = *p == '"';
        size_t n = 0;
        for (p += quoted; *p && (quoted || *p != ','); p++) {
            if (quoted && *p == '"' && *++p != '"') break;
            name[n++] = *p;
        }
        name[n] = '\0';
        char **grown = realloc(s->keep, ((size_t)s->keep_count + 1) * sizeof *grown);
        if (grown) s->keep = grown;
        if (n == 0 || (*p && *p != ','))
            failed = schema_problem_add(problems, NULL,
                                        "keep is \"extra\", \"all\", \"none\" or names of columns with commas between them, got \"%.80s\"", text);
        else if (!grown || !(s->keep[s->keep_count] = strdup(name))) failed = schema_problem_no_memory(problems);
        else s->keep_count++;
        if (!*p) break;
    }
    free(name);
    return failed;
}

static int parse_keep(struct schema_row_stream *s, const char *text, struct schema_problems *problems) {
    static const char *const words[] = {"extra", "all", "none"};
    if (!text) return 0;
    for (int i = 0; i < 3; i++)
        if (strcmp(text, words[i]) == 0) {
            s->keeps = i == 0 ? KEEP_EXTRA : i == 1 ? KEEP_ALL : KEEP_NONE;
            return 0;
        }
    s->keeps = KEEP_NAMED;
    return parse_names(s, text, problems);
}

static int open_block(struct schema_row_stream *s, struct schema_problems *problems) {
    const struct schema_preprocessing *pre = s->p->preprocessing;
    const size_t features = (size_t)pre->features_count + 1;
    s->numbers = calloc(features, sizeof *s->numbers);
    s->direct = calloc(features, sizeof *s->direct);
    s->seen = calloc(features, sizeof *s->seen);
    s->given = calloc(features, sizeof *s->given);
    s->text_at = calloc(features, sizeof *s->text_at);
    s->texts.limit = 1 << 30;
    if (!s->numbers || !s->direct || !s->seen || !s->given || !s->text_at || row_columns_open(&s->held, s->p) != 0)
        return schema_problem_no_memory(problems);
    for (int32_t i = 0; i < pre->features_count; i++)
        s->refuses = s->refuses || pre->features[i].options.missing == SCHEMA_MISSING_ERROR || pre->features[i].options.unseen == SCHEMA_UNSEEN_ERROR;
    return schema_block_open(&s->block, s->p, s->options, problems) || parse_keep(s, s->options->keep, problems) ? -1 : 0;
}

/* Columns that records may have: the features, and what is to be kept. */
static int open_ingest(struct schema_row_stream *s, const struct schema_format_ops *format, struct schema_problems *problems) {
    const struct schema_preprocessing *pre = s->p->preprocessing;
    const struct schema_rows_options *o = s->options;
    struct schema_ingest_options options = {.csv = o->csv, .encoding = o->encoding, .rows_max = o->rows_max, .decoded_max = o->decoded_max};
    const char **names = calloc((size_t)pre->features_count + (size_t)s->keep_count + 1, sizeof *names);
    int32_t count = 0;
    options.types = s->types = schema_model_types(s->p->model, &options.types_count); /* their names tell a header */
    int failed = names && s->types ? 0 : schema_problem_no_memory(problems);
    for (int32_t i = 0; i < pre->features_count && !failed; i++) names[count++] = pre->features[i].name;
    for (int32_t i = 0; i < s->keep_count && !failed; i++)
        if (feature_of(pre, s->keep[i]) < 0) names[count++] = s->keep[i];
    if (!failed) failed = schema_ingest_receive(format, &options, &s->receiver, names, count, &s->ingest, problems);
    free(names);
    return failed;
}

struct schema_row_stream *schema_row_stream_open(struct schema_predictor *predictor, const struct schema_format_ops *format,
                                                 const struct schema_rows_options *options, struct schema_problems *problems) {
    struct schema_row_stream *s = calloc(1, sizeof *s);
    if (!s) {
        schema_problem_no_memory(problems);
        return NULL;
    }
    s->p = predictor, s->options = options;
    s->receiver =
        (struct ingest_receiver){.context = s, .column = on_column, .unknown = on_unknown, .row = on_row, .cell = on_cell, .fault = on_fault};
    s->records = strcmp(format->entry.name, "ndjson") == 0;
    if (open_block(s, problems) == 0 && open_ingest(s, format, problems) == 0) return s;
    schema_row_stream_close(s);
    return NULL;
}

int schema_row_stream_feed(struct schema_row_stream *s, const char *bytes, size_t size, struct schema_problems *problems) {
    return schema_ingest_feed(s->ingest, bytes, size, problems);
}

int schema_row_stream_finish(struct schema_row_stream *s, struct schema_problems *problems) {
    struct bp_error error = {0};
    if (schema_ingest_finish(s->ingest, problems) != 0 || end_row(s, problems) != 0) return -1;
    row_columns_run(&s->held);
    if (schema_block_finish(&s->block, &error) == 0) return 0;
    if (error.message[0]) schema_problem_error(problems, NULL, &error);
    return -1;
}

void schema_row_stream_close(struct schema_row_stream *s) {
    if (!s) return;
    schema_ingest_close(s->ingest);
    schema_block_close(&s->block);
    row_columns_close(&s->held);
    for (int32_t i = 0; i < s->keep_count; i++) free(s->keep[i]);
    free(s->keep);
    free(s->types);
    free(s->columns);
    free(s->numbers);
    free(s->direct);
    free(s->seen);
    free(s->given);
    free(s->text_at);
    free(s->texts.bytes);
    free(s);
}

void schema_row_stream_counts(const struct schema_row_stream *s, struct schema_rows_counts *counts) {
    *counts = (struct schema_rows_counts){s->block.good, s->block.failed};
}

int64_t schema_row_stream_memory(const struct schema_row_stream *s) {
    const size_t features = (size_t)s->p->preprocessing->features_count;
    return schema_ingest_memory(s->ingest) + schema_block_memory(&s->block) + row_columns_memory(&s->held) +
           (int64_t)(s->texts.capacity + features * 40 + (size_t)s->columns_room * (sizeof *s->columns + sizeof(double *)));
}
