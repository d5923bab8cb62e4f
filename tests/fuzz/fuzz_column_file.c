/* fuzz_column_file.c - any bytes as a column file, as they are and with the checksums made right: an error or a dataset that reads, never a crash. */
#include "tests/fuzz/column_file_repair.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_file(const void *bytes, size_t size) {
    struct schema_dataset *data = NULL;
    struct bp_error error = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (pwrite(fd, bytes, size, 0) != (ssize_t)size) abort();
    if (schema_dataset_open(fd, 0, &data, &error) == 0) {
        double numbers[16];
        json_decref(schema_dataset_columns_json(data));
        for (int64_t row = 0; row < data->rows && row < 20; row++) {
            json_decref(schema_dataset_row_json(data, row));
            json_decref(schema_dataset_row_json(data, data->rows - 1 - row));
            for (int32_t c = 0; c < data->columns_count && c < 20; c++) {
                size_t length;
                const char *text = schema_dataset_text(data, c, row, &length);
                char sum = 0;
                for (size_t i = 0; text && i < length; i++) sum = (char)(sum ^ text[i]); /* all of it can be read */
                numbers[0] = sum;
                schema_dataset_numbers(data, c, row, 16, numbers);
            }
        }
        schema_dataset_verify(data, &error);
    } else if (!error.message[0]) abort();
    schema_dataset_free(data);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 1 << 20) return 0;
    read_file(data, size);
    char *copy = malloc(size + 1);
    if (!copy) return 0;
    memcpy(copy, data, size);
    column_file_repair(copy, size);
    read_file(copy, size);
    free(copy);
    return 0;
}
