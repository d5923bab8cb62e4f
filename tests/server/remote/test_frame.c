/* test_frame.c - the wire to another host: frames built byte by byte here, text before them, damage of every kind, random bytes; files with a digest
 * that is known from elsewhere; the cache of a node. */
#include "server/remote/cache.h"
#include "server/remote/frame.h"
#include "server/remote/object.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *suite_server_remote(void);

/* What the other side has written, and is gone then. */
static void begin(struct frame_link *link, const void *bytes, size_t size) {
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20);
    ck_assert_int_eq(write(pipes[1], bytes, size), (ssize_t)size);
    close(pipes[1]);
    frame_link_begin(link, pipes[0], -1);
}

/* CRC-32 by its definition, bit by bit. */
static uint32_t crc_by_bits(const unsigned char *bytes, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

static size_t build(unsigned char *out, uint32_t type, const char *content) {
    const uint32_t size = (uint32_t)strlen(content), numbers[] = {type, size, crc_by_bits((const unsigned char *)content, size)};
    memcpy(out,
           "\xB2"
           "bp1",
           4);
    for (int i = 0; i < 12; i++) out[4 + i] = (unsigned char)(numbers[i / 4] >> 8 * (i % 4));
    memcpy(out + 16, content, size);
    return 16 + size;
}

START_TEST(frames_come_after_other_text) {
    unsigned char bytes[400];
    struct frame_link link;
    struct frame frame;
    struct bp_error error = {0};
    size_t n = (size_t)sprintf((char *)bytes, "Welcome \xB2"
                                              "b\xB2"
                                              "bp to node 7\n");
    n += build(bytes + n, FRAME_TEXT, "{\"a\":1}");
    n += build(bytes + n, FRAME_PING, "");
    begin(&link, bytes, n);
    ck_assert_int_eq(frame_receive(&link, &frame, 0, &error), 0);
    json_t *json = frame_json(&frame);
    ck_assert_int_eq(frame.type, FRAME_TEXT);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "a")), 1);
    json_decref(json);
    frame_free(&frame);
    ck_assert_int_eq(link.noise_size, 24);
    ck_assert_mem_eq(link.noise, "Welcome ", 8);
    ck_assert_int_eq(frame_receive(&link, &frame, 0, &error), 0);
    ck_assert_int_eq(frame.type, FRAME_PING);
    frame_free(&frame);
    ck_assert_int_eq(frame_receive(&link, &frame, 0, &error), -1);
    ck_assert_str_eq(error.message, "the connection was closed");
    close(link.in);
}
END_TEST

START_TEST(what_is_sent_is_as_the_header_says) {
    unsigned char expected[100], got[100];
    struct frame_link link;
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    frame_link_begin(&link, -1, pipes[1]);
    ck_assert_int_eq(frame_send(&link, FRAME_DATA, "123456789", 9), 0);
    const size_t n = build(expected, FRAME_DATA, "123456789");
    ck_assert_int_eq(read(pipes[0], got, sizeof got), (ssize_t)n);
    ck_assert_mem_eq(got, expected, n);
    ck_assert_mem_eq(got + 12, "\x26\x39\xf4\xcb", 4); /* the check value of CRC-32, 0xcbf43926 */
    close(pipes[0]);
    close(pipes[1]);
}
END_TEST

/* Every bit of a frame flipped, and every length cut: never a frame with other content. */
START_TEST(damage_is_never_taken) {
    unsigned char whole[100], bytes[100];
    const char content[] = "{\"kind\":\"done\"}";
    const size_t n = build(whole, FRAME_TEXT, content);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        struct frame_link link;
        struct frame frame;
        struct bp_error error = {0};
        memcpy(bytes, whole, n);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        begin(&link, bytes, n);
        if (frame_receive(&link, &frame, 0, &error) == 0) { /* the type is not part of the checksum */
            ck_assert_uint_ge(bit, 32);
            ck_assert_uint_lt(bit, 64);
            ck_assert_str_eq(frame.bytes, content);
            frame_free(&frame);
        } else ck_assert(error.message[0]);
        close(link.in);
    }
    for (size_t size = 0; size < n; size++) {
        struct frame_link link;
        struct frame frame;
        struct bp_error error = {0};
        begin(&link, whole, size);
        ck_assert_int_eq(frame_receive(&link, &frame, 0, &error), -1);
        ck_assert_str_eq(error.message, "the connection was closed");
        close(link.in);
    }
}
END_TEST

START_TEST(random_bytes_end_in_words) {
    uint64_t state = 42;
    for (int round = 0; round < 3000; round++) {
        unsigned char bytes[600];
        struct frame_link link;
        struct frame frame;
        struct bp_error error = {0};
        const size_t n = build(bytes, FRAME_TEXT, "[1,2,3]");
        for (size_t i = n; i < sizeof bytes; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (unsigned char)(state >> 56);
            if ((state >> 40 & 63) == 0 && i + 24 < sizeof bytes) i += build(bytes + i, (uint32_t)(state >> 33 & 15), "{}") - 1;
        }
        begin(&link, bytes, sizeof bytes);
        while (frame_receive(&link, &frame, 0, &error) == 0) frame_free(&frame);
        ck_assert(error.message[0]);
        close(link.in);
    }
}
END_TEST

/* ---- files ------------------------------------------------------------------------------------------------------------------------------------ */

/* FIPS 180-4, example of one block. */
static const char abc_digest[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static int scratch(const char *text) {
    char path[] = "/tmp/test-frame-XXXXXX";
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

START_TEST(digests_are_sha_256) {
    char digest[OBJECT_DIGEST_SIZE];
    struct bp_error error = {0};
    const int fd = scratch("abcdef");
    ck_assert_int_eq(object_digest(fd, 3, digest, &error), 0); /* of the first three bytes */
    ck_assert_str_eq(digest, abc_digest);
    ck_assert_int_eq(object_digest(fd, 7, digest, &error), -1);
    ck_assert(strstr(error.message, "fewer than its 7 bytes"));
    close(fd);
}
END_TEST

static json_t *head_of(const char *digest, int bytes) {
    return json_pack("{s:s, s:i}", "sha256", digest, "bytes", bytes);
}

START_TEST(a_file_arrives_whole_or_not_at_all) {
    struct object_incoming o;
    struct bp_error error = {0};
    char got[4] = "";
    json_t *head = head_of(abc_digest, 3);
    const int fd = scratch("");
    ck_assert_int_eq(object_begin(&o, head, fd, &error), 0);
    ck_assert_int_eq(object_add(&o, "a", 1, &error), 0);
    ck_assert_int_eq(object_add(&o, "bc", 2, &error), 1);
    ck_assert_int_eq(pread(fd, got, 3, 0), 3);
    ck_assert_str_eq(got, "abc");
    ck_assert_int_eq(object_begin(&o, head, fd, &error), 0);
    ck_assert_int_eq(object_add(&o, "abx", 3, &error), -1);
    ck_assert(strstr(error.message, "arrived damaged"));
    error = (struct bp_error){0};
    ck_assert_int_eq(object_begin(&o, head, fd, &error), 0);
    ck_assert_int_eq(object_add(&o, "abcd", 4, &error), -1);
    ck_assert_str_eq(error.message, "more data came than was announced");
    json_decref(head);
    for (int i = 0; i < 3; i++) {
        error = (struct bp_error){0};
        json_t *wrong = i == 0 ? head_of("abc", 3) : i == 1 ? head_of(abc_digest, -1) : json_object();
        ck_assert_int_eq(object_begin(&o, wrong, fd, &error), -1);
        ck_assert(error.message[0]);
        json_decref(wrong);
    }
    close(fd);
}
END_TEST

/* ---- the cache -------------------------------------------------------------------------------------------------------------------------------- */

START_TEST(the_cache_finds_what_it_keeps_and_is_private) {
    char folder[] = "/tmp/test-cache-XXXXXX", deep[100], path[300];
    struct cache cache;
    struct bp_error error = {0};
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    ck_assert_int_eq(cache_open(&cache, deep, 0, &error), 0);
    ck_assert_int_lt(cache_find(&cache, abc_digest, 3), 0);
    const int fd = cache_new(&cache, &error);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "abc", 3), 3);
    cache_keep(&cache, fd, abc_digest);
    const int found = cache_find(&cache, abc_digest, 3);
    ck_assert_int_ge(found, 0);
    ck_assert_int_eq(write(found, "x", 1), -1); /* read only */
    ck_assert_int_lt(cache_find(&cache, abc_digest, 4), 0);
    ck_assert_int_lt(cache_find(&cache, "../../../../etc/passwd", 3), 0);
    close(fd);
    close(found);
    ck_assert_int_eq(chmod(deep, 0777), 0);
    ck_assert_int_eq(cache_open(&cache, deep, 0, &error), -1);
    ck_assert(strstr(error.message, "nobody else may write to it"));
    error = (struct bp_error){0};
    ck_assert_int_eq(cache_open(&cache, "relative", 0, &error), -1);
    snprintf(path, sizeof path, "%s/%s", deep, abc_digest);
    unlink(path);
    rmdir(deep);
    snprintf(path, sizeof path, "%s/a", folder);
    rmdir(path);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

Suite *suite_server_remote(void) {
    Suite *suite = suite_create("server/remote");
    TCase *tests = tcase_create("remote");
    tcase_add_test(tests, frames_come_after_other_text);
    tcase_add_test(tests, what_is_sent_is_as_the_header_says);
    tcase_add_test(tests, damage_is_never_taken);
    tcase_add_test(tests, random_bytes_end_in_words);
    tcase_add_test(tests, digests_are_sha_256);
    tcase_add_test(tests, a_file_arrives_whole_or_not_at_all);
    tcase_add_test(tests, the_cache_finds_what_it_keeps_and_is_private);
    suite_add_tcase(suite, tests);
    return suite;
}
