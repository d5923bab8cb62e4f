/* stream.h - any number of rows through a model with bounded memory: rows of a text (CSV, JSON lines) as its bytes arrive, and rows of a dataset.
 * What comes out goes to a writer piece by piece. A row that cannot be predicted does not end it: its reason is written in its place, or apart.
 *
 * CSV out has a header, and for each row the cells that are kept, the columns of the prediction, and `error`, which is empty for a prediction:
 *     prediction, probability_LABEL ...    a class (score_LABEL where the model has no probabilities)
 *     value, quantiles_0.1 ...             a number, and further ones of its loss
 *     labels, probability_LABEL ...        a list of labels
 * and of a calibrated model `set`, or `low` and `high`;
 * with "_TARGET" behind each name where there are several targets. JSON lines are {"row":1,"input":{kept},"prediction":{...}}, or "error" in the
 * place of "prediction"; JSON is {...,"predictions":[...],"rows","failed","warnings"} with {"error":...} in the place of a prediction.
 *
 * NPY, of a batch only, is an array of NumPy of float64 (rows, columns): the columns of CSV that are numbers. Nothing is kept beside them; a row that
 * failed is not a number in all of them, and its reason is apart, as in CSV. */
#ifndef SCHEMA_PREDICT_STREAM_H
#define SCHEMA_PREDICT_STREAM_H

#include "schema/ingest/ingest.h"
#include "schema/predict/predict.h"

enum schema_rows_form { SCHEMA_FORM_CSV, SCHEMA_FORM_NDJSON, SCHEMA_FORM_JSON, SCHEMA_FORM_NPY };
/* "csv", "ndjson", "json", "npy". */
const char *schema_rows_form_name(enum schema_rows_form form);
/* The form of that name, -1: there is none. */
int schema_rows_form_of(const char *name);

/* Takes what is written; failures: of rows that are kept apart. False: it cannot, and nothing more is written. */
struct schema_rows_writer {
    bool (*write)(void *context, bool failures, const char *bytes, size_t size);
    void *context;
};

struct schema_rows_options {
    enum schema_rows_form form;
    bool apart;                    /* failed rows go apart; then each row has its number */
    const char *keep;              /* columns of the rows that are written, too: "extra" (NULL: the same), those that the model does not use;
                                    * "all"; "none"; or names, as in "id,\"with, comma\"" */
    bool lenient;                  /* a column that the data lacks is a missing value in each row, and names that look like typos pass */
    const char *head;              /* JSON: the first members of the document, with a comma behind them; "" */
    const json_t *thresholds;      /* instead of the model's, or NULL */
    const json_t *coverage;        /* instead of the calibration's, or NULL */
    const char *encoding;          /* Content-Encoding, or NULL */
    struct schema_csv_dialect csv; /* as far as it is known */
    int64_t rows_max, decoded_max; /* 0: no limit */
    struct schema_rows_writer writer;
};

/* What has come of it so far. */
struct schema_rows_counts {
    int64_t good, failed;
};

/* ---- rows of a text ---- */

struct schema_row_stream;
/* The predictor and the options are borrowed until close (encoding: until this returns). format: csv, tsv or ndjson. NULL with problems. */
struct schema_row_stream *schema_row_stream_open(struct schema_predictor *predictor, const struct schema_format_ops *format,
                                                 const struct schema_rows_options *options, struct schema_problems *problems);
/* -1 with problems: what is wrong with the data as a whole; without: the writer has refused. */
int schema_row_stream_feed(struct schema_row_stream *stream, const char *bytes, size_t size, struct schema_problems *problems);
int schema_row_stream_finish(struct schema_row_stream *stream, struct schema_problems *problems);
void schema_row_stream_close(struct schema_row_stream *stream);
void schema_row_stream_counts(const struct schema_row_stream *stream, struct schema_rows_counts *counts);
/* About how many bytes of memory it takes, its predictor apart. */
int64_t schema_row_stream_memory(const struct schema_row_stream *stream);

#endif
