/* version_file.h - the model file of a version with the calibration that it has now: for all that takes it out of the store. */
#ifndef SERVER_VERSION_FILE_H
#define SERVER_VERSION_FILE_H

#include "server/store/store.h"

#include <jansson.h>

/* As store_version_blob. A version that was never calibrated has its file byte for byte. */
enum store_result version_file(struct store *store, const char *model, int64_t version, void **bytes, size_t *size, struct bp_error *error);
/* The model file with that calibration, NULL: without. The caller's; NULL with the error. */
void *version_file_rewrite(const void *bytes, size_t size, const json_t *calibration, size_t *made, struct bp_error *error);

#endif
