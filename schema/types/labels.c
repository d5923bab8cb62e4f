/* labels.c - the column type "labels": lists of labels; a target, never a feature. Sections: features, stored columns, uploads, the type. */
#include "schema/dataset/column_file.h"
#include "schema/dataset/dataset.h"
#include "schema/dataset/json.h"
#include "schema/dataset/row_writer.h"
#include "schema/ingest/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- features ---- */

static const char *left_out(const struct schema_dataset *d, const struct schema_column *c, char *text, size_t size) {
    (void)d, (void)c, (void)text, (void)size;
    return "lists of labels can be a target, not a feature; give each label a column of false and true";
}

/* ---- stored columns ---- */

static void describe(const struct schema_column *c, json_t *object) {
    json_object_set_new(object, "labels", schema_show_range(c));
    schema_show_categories(c, object);
}

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    struct schema_label_walk walk;
    if (!schema_dataset_labels(dataset, column, row, &walk)) return json_null();
    json_t *list = json_array();
    for (int32_t code; (code = schema_label_next(&walk)) >= 0;)
        json_array_append_new(list, schema_show_text(dataset->columns[column].categories[code].value));
    return list;
}

/* A JSON list, in CSV with its quotes doubled. */
static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    struct schema_label_walk walk;
    struct schema_piece list = {0};
    if (!schema_dataset_labels(r->dataset, c->index, r->row, &walk)) {
        schema_rows_missing(r);
        return true;
    }
    schema_piece_byte(&list, '[');
    for (int32_t code; (code = schema_label_next(&walk)) >= 0;) {
        const char *label = c->column->categories[code].value;
        if (list.size > 1) schema_piece_byte(&list, ',');
        schema_piece_json_text(&list, label, strlen(label));
    }
    schema_piece_byte(&list, ']');
    r->piece.failed = r->piece.failed || list.failed;
    if (r->format != SCHEMA_ROWS_CSV) schema_piece_add(&r->piece, list.bytes, list.size);
    else if (!list.failed) schema_piece_csv_text(&r->piece, list.bytes, list.size);
    free(list.bytes);
    return true;
}

/* ---- uploads ---- */

/* Arrays that are mostly lists of texts, the empty ones apart; or texts of CSV that all are. */
static bool fits(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    (void)ingest, (void)v;
    const int64_t others = c->sample_arrays - c->sample_lists - c->sample_empty;
    if (c->sample_arrays) return c->sample_lists > others;
    return c->sample_lists && c->sample_lists + c->sample_empty == c->sample_texts && !c->sample_numbers && !c->sample_booleans;
}

static bool reason(const struct ingest_column *c, char *text, size_t size) {
    snprintf(text, size, "%lld cells are lists of texts", (long long)(c->sample_lists + c->sample_empty));
    return true;
}

static int32_t join(struct schema_ingest *ingest, int32_t column, const struct schema_column *from, int32_t code, struct schema_problems *problems) {
    return schema_ingest_label(ingest, column, from->categories[code].value, strlen(from->categories[code].value), problems);
}

static int copy(const struct ingest_copy *copy) {
    struct ingest_column *to = &copy->ingest->columns[copy->to];
    struct bp_error error = {0};
    for (int64_t i = 0; i < copy->n; i++) {
        struct schema_label_walk walk;
        uint64_t *slot = &to->texts[copy->ingest->group_row + i];
        unsigned char bytes[INGEST_LABELS_BYTES];
        size_t size = 0;
        double labels = 0;
        *slot = 0;
        if (!schema_dataset_labels(copy->from, copy->column, copy->first + i, &walk)) continue;
        for (int32_t code; (code = schema_label_next(&walk)) >= 0 && labels < INGEST_LABELS_MAX; labels++) {
            size = schema_ingest_label_put(bytes, size, copy->codes[code]);
            if (!copy->counted) to->counts[copy->codes[code]]++;
        }
        if (size == 0) bytes[size++] = 0;
        if (!copy->counted) schema_statistics_add(&to->statistics, &labels, 1);
        if (column_file_text(copy->ingest->file, (const char *)bytes, size, slot, &error) != 0) return -1;
    }
    return 0;
}

/* ---- the type ---- */

const struct schema_type_ops schema_type_labels = {
    .name = "labels",
    .summary = "Lists of labels, as a target",
    .storage = SCHEMA_HELD_AS_BYTES,
    .kinds = BLOCKS(NONE) | BLOCKS(TEXT),
    .categories_max = INT32_MAX,
    .describe = describe,
    .cell_json = cell_json,
    .write = write_cell,
    .category = schema_column_category,

    .fits = fits,
    .reason = reason,
    .store = schema_ingest_store_labels,
    .count = schema_ingest_count_bytes,
    .categories = schema_ingest_categories,
    .category_text = schema_ingest_category_text,
    .join = join,
    .copy = copy,

    .missing = UINT32_MAX,
    .not_feature = "holds lists of labels, which can be a target, not a feature; for a feature give each label a column of false and true",
    .left_out = left_out,

    .target = SCHEMA_TARGET_LABELS,
    .not_split = "holds lists of labels",
};
