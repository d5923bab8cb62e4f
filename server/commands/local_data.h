/* local_data.h - a CSV (or JSON) file of this machine as a dataset, and command-line flags: and model files: shared by the commands that need no
 * server. */
#ifndef SERVER_LOCAL_DATA_H
#define SERVER_LOCAL_DATA_H

#include "schema/dataset/dataset.h"
#include "schema/ingest/ingest.h"
#include "schema/predict/model_file.h"

/* Types may name columns that the file does not have only when `may_lack`. Reads path ("-": standard input) into a temporary column file that
 * vanishes with the process. Prints problems on stderr. NULL on failure. */
struct schema_dataset *local_dataset(const char *command, const char *path, const struct schema_column_type *types, int32_t types_count,
                                     bool may_lack);
/* A model file, read. NULL with a message on stderr; the caller's. */
struct schema_model *local_model(const char *command, const char *path);
/* The rows at path, whose columns have the types that the model was trained with. NULL with a message on stderr; the caller's. */
struct schema_dataset *local_rows(const char *command, const struct schema_model *model, const char *path);
/* Whole file as text; the caller's. NULL with a message on stderr. */
char *local_text(const char *command, const char *path);
/* The Content-Type of a file by its first bytes, as for POST /v1/datasets/inspect, and by its name: .tsv means tabs. *encoding: of its compression,
 * or NULL. NULL with problems. */
const char *local_type(const char *path, const char *bytes, size_t size, const char **encoding, struct schema_problems *problems);
/* Prints problems on stderr, one per line, and clears them. */
void local_problems(const char *command, const char *file, struct schema_problems *problems);

/* --name VALUE pairs: fills values[i] for names[i] (NULL-terminated); flags[] take no value and get "". -1 with a message that names the nearest. */
int local_flags(const char *command, int argc, char **argv, const char *const *names, const char *const *flags, const char **values);

/* A whole number of a flag, from least to most; *out stays when text is NULL. -1 with a message. */
int local_whole(const char *command, const char *flag, const char *text, double least, double most, double *out);
/* A bar as long as the share (-1 to 1; of another number, none), of minus signs when it is negative; on a terminal only. */
void local_bar(double share);

#endif
