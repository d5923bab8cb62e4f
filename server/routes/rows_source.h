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
/* "name@2", null for rows of the request. */
json_t *rows_source_name(const struct rows_source *source);

#endif
