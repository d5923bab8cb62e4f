/* version_file.c - see version_file.h. */
#include "server/version_file.h"

#include "schema/memory.h"
#include "schema/predict/model_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* All bytes of the file, the caller's. */
static void *read_all(int fd, size_t *size, struct bp_error *error) {
    const off_t length = lseek(fd, 0, SEEK_END);
    char *bytes = length < 0 ? NULL : malloc((size_t)length + 1);
    if (!bytes) return bp_error_memory(error, "no memory for the model file"), NULL;
    for (*size = 0; *size < (size_t)length;) {
        const ssize_t n = pread(fd, bytes + *size, (size_t)length - *size, (off_t)*size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return free(bytes), bp_error_io(error, "the model file cannot be read back: %s", strerror(errno)), NULL;
        *size += (size_t)n;
    }
    return bytes;
}

void *version_file_rewrite(const void *bytes, size_t size, const json_t *calibration, size_t *made, struct bp_error *error) {
    const int fd = memfd_create("backpropd-model", MFD_CLOEXEC);
    void *rewritten = NULL;
    if (fd < 0) return bp_error_io(error, "cannot make a temporary file: %s", strerror(errno)), NULL;
    if (schema_model_rewrite(fd, bytes, size, calibration, error) == 0) rewritten = read_all(fd, made, error);
    close(fd);
    return rewritten;
}

enum store_result version_file(struct store *store, const char *model, int64_t version, void **bytes, size_t *size, struct bp_error *error) {
    struct store_calibration c = {0};
    enum store_result result = store_version_blob(store, model, version, bytes, size, error);
    if (result == STORE_OK) result = store_calibration_get(store, model, version, &c, error);
    if (result == STORE_OK && c.change == 0) return STORE_OK;
    void *blob = *bytes;
    *bytes = NULL;
    json_t *document = c.document ? schema_json_load(c.document, strlen(c.document), 0, NULL) : NULL;
    if (result == STORE_OK && !(*bytes = version_file_rewrite(blob, *size, document, size, error))) result = STORE_FAILED;
    json_decref(document);
    store_calibration_free(&c);
    free(blob);
    return result;
}
