/* fuzz_npy.c - any bytes as NumPy arrays: no crash, the same outcome whatever the pieces, files that open and verify. */
#include "tests/fuzz/fuzz_ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_both_ways("application/x-npy", data, size);
    return 0;
}
