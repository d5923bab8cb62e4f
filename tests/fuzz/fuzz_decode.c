/* fuzz_decode.c - any bytes as gzip (first byte even) or zstd of CSV, at most 1 MB when decoded: the same outcome whatever the pieces. */
#include "tests/fuzz/fuzz_ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const struct schema_ingest_options options = {.encoding = data[0] & 1 ? "zstd" : "gzip", .decoded_max = 1 << 20};
    fuzz_both_ways_with("text/csv", &options, data + 1, size - 1);
    return 0;
}
