/* validation_data.h - the stored dataset that a job validates with. */
#ifndef SERVER_VALIDATION_DATA_H
#define SERVER_VALIDATION_DATA_H

#include "schema/dataset/dataset.h"
#include "schema/training/options.h"
#include "server/http/answer.h"
#include "server/http/request.h"

/* Parses a dataset or model of a request: "name" or "name@3", version 0 without. false: it is neither. */
bool reference_parse(const char *text, char name[STORE_NAME_SIZE], int64_t *version);
/* With options->validation_dataset: opens it, and writes its version out there and in *row. training: the dataset that the job trains with (version
 * 0: not stored yet). *dataset is the caller's, NULL when no dataset is requested. -1 with problems. */
int validation_data_open(struct store *store, struct schema_options *options, const struct store_dataset *training, struct store_dataset *row,
                         struct schema_dataset **dataset, struct schema_problems *problems);

#endif
