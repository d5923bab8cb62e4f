/* upload.h - a body becoming a dataset: a column file under a temporary name, then in place, then its row. More rows or columns go behind the version
 * that they belong to, into the same file, which gets a second name. */
#ifndef SERVER_UPLOAD_H
#define SERVER_UPLOAD_H

#include "schema/dataset/dataset.h"
#include "schema/ingest/ingest.h"
#include "schema/ingest/join.h"
#include "server/http/answer.h"
#include "server/http/request.h"
#include "server/store/files.h"

struct upload {
    struct store *store;
    struct schema_ingest *ingest;
    struct schema_column_type *types;
    int32_t types_count;
    int64_t rows_max;
    /* rows or a column for a dataset that there is */
    enum schema_join how;
    struct schema_dataset *base;   /* NULL: a dataset of its own */
    struct store_dataset base_row; /* name and version */
    struct schema_problems problems;
    bool failed;
    struct dataset_draft draft;
};

/* What a request declares about its body. */
struct upload_request {
    const char *content_type, *encoding;       /* encoding: known, or NULL */
    const char *types;                         /* the query parameter, or NULL */
    const struct schema_column_type *expected; /* instead: of columns that may be there; borrowed until the upload ends */
    int32_t expected_count;
    const char *column; /* of an array, or NULL; borrowed until the upload ends */
    struct schema_csv_dialect csv;
    enum schema_join how;
    struct schema_dataset *base;   /* taken over, also when the upload is refused; or NULL */
    struct store_dataset base_row; /* name and version */
};

/* A new upload with its file. NULL with problems. */
struct upload *upload_open(const struct server *server, const struct upload_request *request, struct schema_problems *problems);
/* All bytes at once, for datasets inside a job. */
void upload_bytes(struct upload *upload, const char *bytes, size_t size);
/* Ends the ingest, puts the file in place, opens it, fills row (file, rows, bytes, description). The dataset is the caller's. -1 with problems. */
int upload_finish(struct upload *upload, struct store_dataset *row, struct schema_dataset **dataset, struct schema_problems *problems);
/* The row is committed: the file stays. Without this upload_free removes it. */
void upload_keep(struct upload *upload);
void upload_free(struct upload *upload);

/* A body that becomes a dataset, rows or a column: request->sink is a struct upload. */
extern const struct body_sink upload_sink;

/* The column file of a stored dataset, opened. The caller's. */
enum store_result dataset_open(struct store *store, const char *name, int64_t version, struct store_dataset *row, struct schema_dataset **dataset,
                               struct bp_error *error);

#endif
