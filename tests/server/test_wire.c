/* test_wire.c - frames between supervisor and job process: whole, in pieces, too large, cut short. */
#include "server/jobs/wire.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

Suite *suite_server_wire(void);

static int pair[2];

static void open_pair(void) {
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

START_TEST(a_frame_arrives_whole) {
    open_pair();
    json_t *sent = json_pack("{s:s, s:i}", "kind", "report", "n", 7);
    ck_assert_int_eq(wire_send(pair[0], sent), 0);
    json_t *got = wire_receive(pair[1]);
    ck_assert(json_equal(sent, got));
    json_decref(sent);
    json_decref(got);
    close(pair[0]);
    ck_assert_ptr_null(wire_receive(pair[1]));
    close(pair[1]);
}
END_TEST

START_TEST(frames_come_out_of_pieces) {
    struct schema_text buffer = {.limit = 1 << 20};
    static const char bytes[] = "\x07\x00\x00\x00{\"a\":1}\x02\x00\x00\x00{}\x09\x00";
    int frames = 0;
    open_pair();
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        ck_assert_int_eq(write(pair[0], bytes + i, 1), 1);
        ck_assert_int_eq(wire_read(pair[1], &buffer), 0);
        json_t *frame = wire_take(&buffer);
        if (!frame) continue;
        if (frames++ == 0) ck_assert_int_eq(json_integer_value(json_object_get(frame, "a")), 1);
        else ck_assert_uint_eq(json_object_size(frame), 0);
        json_decref(frame);
    }
    ck_assert_int_eq(frames, 2);
    ck_assert_uint_eq(buffer.size, 2);
    close(pair[0]);
    ck_assert_int_eq(wire_read(pair[1], &buffer), -1);
    close(pair[1]);
    free(buffer.bytes);
}
END_TEST

START_TEST(a_buffer_has_its_maximum) {
    struct schema_text buffer = {.limit = 100};
    char bytes[200] = {0};
    open_pair();
    ck_assert_int_eq(write(pair[0], bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(wire_read(pair[1], &buffer), -1);
    close(pair[0]);
    close(pair[1]);
    free(buffer.bytes);
}
END_TEST

START_TEST(an_absurd_length_is_refused) {
    open_pair();
    ck_assert_int_eq(write(pair[0], "\xff\xff\xff\xff{}", 6), 6);
    ck_assert_ptr_null(wire_receive(pair[1]));
    close(pair[0]);
    close(pair[1]);
}
END_TEST

Suite *suite_server_wire(void) {
    Suite *suite = suite_create("server/wire");
    TCase *tests = tcase_create("wire");
    tcase_add_test(tests, a_frame_arrives_whole);
    tcase_add_test(tests, frames_come_out_of_pieces);
    tcase_add_test(tests, a_buffer_has_its_maximum);
    tcase_add_test(tests, an_absurd_length_is_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
