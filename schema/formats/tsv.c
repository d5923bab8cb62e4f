/* tsv.c - tab-separated values: csv.c with a fixed separator. */
#include "schema/formats/csv_dialect.h"

static int tsv_open(struct schema_ingest *ingest, void **state, struct schema_problems *problems) {
    struct schema_csv_dialect dialect = ingest->options.csv;
    if (!dialect.separator) dialect.separator = '\t';
    return csv_open_as(ingest, state, &dialect, problems);
}

extern const struct schema_format_ops schema_format_tsv;
const struct schema_format_ops schema_format_tsv = {
    .entry = {.name = "tsv", .summary = "Tab-separated values, otherwise as csv"},
    .content_type = "text/tab-separated-values",
    .open = tsv_open,
    .feed = csv_feed,
    .finish = csv_finish,
    .close = csv_close,
};
