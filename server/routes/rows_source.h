/* rows_source.h - rows that a request names or brings, to be read by a model. */
#ifndef SERVER_ROWS_SOURCE_H
#define SERVER_ROWS_SOURCE_H

#include "schema/predict/model_file.h"
#include "server/routes/upload.h"

struct rows_source {
    struct store_dataset row;
    struct schema_dataset *dataset;
    struct upload *upload; /* NULL: it is stored */
};
/* value: "name", "name@2", or an object with rows, whose columns have the types that the model was trained with. Adds problems at the pointer;
 * released by rows_source_close in any case. */
void rows_source_open(struct request *request, const json_t *value, const char *pointer, const struct schema_model *model, struct rows_source *source,
                      struct schema_problems *problems);
void rows_source_close(struct rows_source *source);
/* "name" or "name@2"; on success row and dataset are the caller's. Adds problems at the pointer. */
void rows_stored(struct store *store, const char *text, const char *pointer, struct store_dataset *row, struct schema_dataset **dataset,
                 struct schema_problems *problems);
/* The rows of an object inside a request become a dataset that is not stored yet; upload, row and dataset are the caller's in any case. More may say
 * which types columns have. Adds problems, those of the rows at places below the pointer. */
void rows_sent(const struct server *server, const json_t *object, const char *pointer, const struct upload_request *more, struct upload **upload,
               struct store_dataset *row, struct schema_dataset **dataset, struct schema_problems *problems);
/* "name@2", null for rows of the request. */
json_t *rows_source_name(const struct rows_source *source);

#endif
