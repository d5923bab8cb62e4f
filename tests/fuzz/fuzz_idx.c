/* fuzz_idx.c - any bytes as IDX: no crash, the same outcome whatever the pieces, files that open and verify. */
#include "tests/fuzz/fuzz_ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_both_ways("application/x-idx", data, size);
    return 0;
}
