/* test_ingest_decode.c - gzip and zstd: the same file as without, several members, what is cut, damaged, followed by something, a bomb. */
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

Suite *suite_schema_ingest_decode(void);

static const char text[] = "a,b\n1,x\n2,\"y\nz\"\n3,\xC3\xA9\n";

static size_t pack(const char *encoding, const char *from, size_t size, char *to, size_t room) {
    if (strcmp(encoding, "zstd") == 0) {
        size_t n = ZSTD_compress(to, room, from, size, 3);
        ck_assert(!ZSTD_isError(n));
        return n;
    }
    z_stream z = {
        .next_in = (unsigned char *)(uintptr_t)from, .avail_in = (unsigned)size, .next_out = (unsigned char *)to, .avail_out = (unsigned)room};
    ck_assert_int_eq(Z_OK, deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY));
    ck_assert_int_eq(Z_STREAM_END, deflate(&z, Z_FINISH));
    size_t n = z.total_out;
    deflateEnd(&z);
    return n;
}

static struct loaded load(const char *encoding, const char *bytes, size_t size, size_t piece, int64_t max) {
    struct schema_ingest_options options = {.encoding = encoding, .decoded_max = max};
    return load_pieces("text/csv", bytes, size, piece, &options);
}

static void refused(struct loaded loaded, bool too_large, const char *words, int line) {
    ck_assert_msg(loaded.failed && loaded.problems.total == 1, "line %d: %lld problems", line, (long long)loaded.problems.total);
    ck_assert_msg(loaded.problems.too_large == too_large && strstr(loaded.problems.items[0].detail, words), "line %d: %s", line,
                  loaded.problems.items[0].detail);
    loaded_clear(&loaded);
}
#define REFUSED(loaded, too_large, words) refused(loaded, too_large, words, __LINE__)

static const char *const encodings[] = {"gzip", "zstd"};

START_TEST(same_file) {
    const char *encoding = encodings[_i];
    char packed[1000];
    struct loaded plain = load_csv(text, NULL);
    size_t half = pack(encoding, text, 9, packed, sizeof packed); /* two members, cut within a row */
    size_t size = half + pack(encoding, text + 9, sizeof text - 10, packed + half, sizeof packed - half);
    for (size_t piece = 1; piece <= size; piece++) {
        struct loaded loaded = load(encoding, packed, size, piece, 1000);
        ck_assert_msg(!loaded.failed, "%s", loaded.failed ? loaded.problems.items[0].detail : "");
        ck_assert_uint_eq(plain.file_size, loaded.file_size);
        ck_assert_mem_eq(plain.file, loaded.file, plain.file_size);
        loaded_clear(&loaded);
    }
    loaded_clear(&plain);
}
END_TEST

START_TEST(damage) {
    const char *encoding = encodings[_i];
    char packed[1000];
    size_t size = pack(encoding, text, sizeof text - 1, packed, sizeof packed);
    for (size_t cut = 1; cut < size; cut++) REFUSED(load(encoding, packed, cut, 7, 0), false, "is truncated after ");
    REFUSED(load(encoding, text, sizeof text - 1, 7, 0), false, "which Content-Encoding declares, or it is damaged");
    memcpy(packed + size, "tail", 4);
    REFUSED(load(encoding, packed, size + 4, 1000, 0), false, "bytes after the end of the ");
    packed[size] = 0;
    REFUSED(load(encoding, packed, size + 1, 1, 0), false,
            _i ? "bytes after the end" : "bytes after the end of the gzip stream are truncated, or not gzip");
    packed[size / 2] ^= 0x55;
    struct loaded loaded = load(encoding, packed, size, 1000, 0);
    ck_assert(_i || loaded.failed); /* zstd has a checksum only on request */
    loaded_clear(&loaded);
}
END_TEST

START_TEST(bombs) {
    const char *encoding = encodings[_i];
    const size_t size = 20 << 20;
    char *zeros = malloc(size), *packed = malloc(1 << 20);
    memset(zeros, '\n', size);
    memcpy(zeros, "a\n1\n", 4);
    size_t n = pack(encoding, zeros, size, packed, 1 << 20);
    REFUSED(load(encoding, packed, n, 1 << 16, 1 << 20), true, "is larger than the limit, 1048576 bytes (setting upload_max)");
    REFUSED(load(encoding, packed, n, 1 << 16, 0), true, "is more than 500 times as large as received");
    n = pack(encoding, zeros, 1000, packed, 1 << 20);
    struct loaded loaded = load(encoding, packed, n, 1 << 16, 1000); /* just within */
    ck_assert(!loaded.failed);
    loaded_clear(&loaded);
    free(zeros);
    free(packed);
}
END_TEST

START_TEST(large_window) {
    const size_t size = 1000;
    char packed[2000];
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 27);
    ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, 0);
    ZSTD_inBuffer in = {text, sizeof text - 1, 0};
    ZSTD_outBuffer out = {packed, sizeof packed, 0};
    ZSTD_compressStream2(z, &out, &in, ZSTD_e_flush);
    while (ZSTD_compressStream2(z, &out, &in, ZSTD_e_end) > 0) ck_assert_uint_lt(out.pos, size);
    ZSTD_freeCCtx(z);
    REFUSED(load("zstd", packed, out.pos, 100, 0), false, "a window of more than 32 MiB");
}
END_TEST

START_TEST(names) {
    ck_assert(schema_encoding_known("gzip") && schema_encoding_known("X-GZIP") && schema_encoding_known("zstd") && schema_encoding_known("identity"));
    ck_assert(schema_encoding_known(NULL) && schema_encoding_known("") && !schema_encoding_known("br") && !schema_encoding_known("gzip, zstd"));
    ck_assert(schema_encoding_identity(NULL) && schema_encoding_identity("Identity") && !schema_encoding_identity("gzip"));
}
END_TEST

Suite *suite_schema_ingest_decode(void) {
    Suite *suite = suite_create("schema ingest_decode");
    TCase *tests = tcase_create("ingest_decode");
    tcase_add_loop_test(tests, same_file, 0, 2);
    tcase_add_loop_test(tests, damage, 0, 2);
    tcase_add_loop_test(tests, bombs, 0, 2);
    tcase_add_test(tests, large_window);
    tcase_add_test(tests, names);
    suite_add_tcase(suite, tests);
    return suite;
}
