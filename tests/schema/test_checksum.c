/* test_checksum.c - CRC-32 against zlib, for every size around the steps of the fast method, any alignment, and in pieces. */
#include "schema/checksum.h"

#include <check.h>
#include <stdlib.h>
#include <zlib.h>

Suite *suite_schema_checksum(void);

enum { SIZE = 4096 };

static unsigned char bytes[SIZE];

static void fill(void) {
    uint32_t state = 1;
    for (size_t i = 0; i < SIZE; i++) state = state * 1664525u + 1013904223u, bytes[i] = (unsigned char)(state >> 24);
}

START_TEST(as_zlib_computes_it) {
    fill();
    for (size_t from = 0; from < 17; from++)
        for (size_t size = 0; size < 400; size++)
            for (uint32_t crc = 0; crc < 3; crc++) {
                const uint32_t begun = crc * 0x9E3779B9u;
                ck_assert_uint_eq(schema_crc32(begun, bytes + from, size), crc32_z(begun, bytes + from, size));
            }
    ck_assert_uint_eq(schema_crc32(0, bytes, SIZE), crc32_z(0, bytes, SIZE));
    ck_assert_uint_eq(schema_crc32(0, "123456789", 9), 0xCBF43926u); /* the check value of its definition */
    ck_assert_uint_eq(schema_crc32(0x12345678, NULL, 0), 0x12345678);
}
END_TEST

START_TEST(in_pieces) {
    fill();
    for (size_t cut = 0; cut <= SIZE; cut += 37) {
        const uint32_t first = schema_crc32(0, bytes, cut);
        ck_assert_uint_eq(schema_crc32(first, bytes + cut, SIZE - cut), crc32_z(0, bytes, SIZE));
    }
}
END_TEST

Suite *suite_schema_checksum(void) {
    Suite *suite = suite_create("checksum");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, as_zlib_computes_it);
    tcase_add_test(tcase, in_pieces);
    suite_add_tcase(suite, tcase);
    return suite;
}
