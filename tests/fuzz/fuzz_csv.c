/* fuzz_csv.c - any bytes as CSV: no crash, the same outcome whatever the pieces, files that open and verify. */
#include "tests/fuzz/fuzz_ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_both_ways("text/csv", data, size);
    return 0;
}
