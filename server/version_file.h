/* version_file.h - the model file of a version with the calibration that it has now: for all that takes it out of the store. */
#ifndef SERVER_VERSION_FILE_H
#define SERVER_VERSION_FILE_H

#include "server/store/store.h"

/* As store_version_blob. A version that was never calibrated has its file byte for byte. */
enum store_result version_file(struct store *store, const char *model, int64_t version, void **bytes, size_t *size, struct bp_error *error);

#endif
