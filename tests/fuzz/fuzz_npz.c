/* fuzz_npz.c - any bytes as archives of arrays: no crash, the same outcome whatever the pieces, files that open and verify. */
#include "tests/fuzz/fuzz_ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct schema_ingest_options options = {.decoded_max = 1 << 20};
    fuzz_both_ways_with("application/x-npz", &options, data, size);
    return 0;
}
