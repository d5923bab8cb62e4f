/* validation_data.c - see validation_data.h. Whether its columns go with the training's is schema's business. */
#include "server/routes/validation_data.h"

#include "server/routes/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool reference_parse(const char *text, char name[STORE_NAME_SIZE], int64_t *version) {
    const char *at = strchr(text, '@');
    const size_t size = at ? (size_t)(at - text) : strlen(text);
    char *end = NULL;
    *version = 0;
    if (size >= STORE_NAME_SIZE) return false;
    snprintf(name, STORE_NAME_SIZE, "%.*s", (int)size, text);
    if (at) *version = strtoll(at + 1, &end, 10);
    return schema_name_valid(name) && (!at || (at[1] >= '1' && at[1] <= '9' && !*end));
}

int validation_data_open(struct store *store, struct schema_options *options, const struct store_dataset *training, struct store_dataset *row,
                         struct schema_dataset **dataset, struct schema_problems *problems) {
    static const char place[] = "/validation/dataset";
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct bp_error error = {0};
    *dataset = NULL;
    if (options->validation != SCHEMA_VALIDATION_DATASET) return 0;
    if (!reference_parse(options->validation_dataset, name, &version))
        return schema_problem_add(problems, place, "\"%.80s\" is not the name of a dataset", options->validation_dataset);
    enum store_result result = dataset_open(store, name, version, row, dataset, &error);
    if (result == STORE_NOT_FOUND)
        return schema_problem_add(problems, place, "there is no dataset \"%.80s\"; upload it first with POST /v1/datasets",
                                  options->validation_dataset);
    if (result != STORE_OK) return schema_problem_error(problems, place, &error);
    snprintf(options->validation_dataset, sizeof options->validation_dataset, "%s@%lld", row->name, (long long)row->version);
    if (training->version == 0 || strcmp(row->name, training->name) != 0 || row->version != training->version) return 0;
    return schema_problem_add(problems, place,
                              "%s is the training dataset: validation on training rows overestimates a model; use a fraction or folds",
                              options->validation_dataset);
}
