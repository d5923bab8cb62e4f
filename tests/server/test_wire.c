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

START_TEST(frames_are_read_from_pieces) {
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

/* What is no JSON becomes an empty message, which says nothing and is passed over; the frame behind it is read. */
START_TEST(a_malformed_frame_does_not_hide_the_next) {
    static const char *const bad[] = {"", "{", "nonsense", "{\"kind\":\"done\"", "\xff\xfe", "{\"a\":1}{}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct schema_text buffer = {.limit = 1 << 20};
        open_pair();
        ck_assert_int_eq(wire_send_text(pair[0], bad[i], strlen(bad[i])), 0);
        ck_assert_int_eq(wire_send_text(pair[0], "{\"kind\":\"report\"}", 17), 0);
        ck_assert_int_eq(wire_read(pair[1], &buffer), 0);
        json_t *first = wire_take(&buffer), *second = wire_take(&buffer);
        ck_assert_msg(first && json_object_size(first) == 0, "%s", bad[i]);
        ck_assert_str_eq(json_string_value(json_object_get(second, "kind")), "report");
        ck_assert(!wire_pending(&buffer));
        json_decref(first);
        json_decref(second);
        free(buffer.bytes);
        /* a job process that gets such an order has none */
        ck_assert_int_eq(wire_send_text(pair[0], bad[i], strlen(bad[i])), 0);
        ck_assert_ptr_null(wire_receive(pair[1]));
        close(pair[0]);
        close(pair[1]);
    }
}
END_TEST

START_TEST(a_frame_that_is_cut_short_is_none) {
    struct schema_text buffer = {.limit = 1 << 20};
    open_pair();
    ck_assert_int_eq(write(pair[0], "\x10\x00\x00\x00{\"kind\"", 11), 11);
    close(pair[0]);
    ck_assert_int_eq(wire_read(pair[1], &buffer), -1);
    ck_assert(!wire_pending(&buffer));
    ck_assert_ptr_null(wire_take(&buffer));
    close(pair[1]);
    free(buffer.bytes);
}
END_TEST

START_TEST(a_descriptor_comes_with_its_frame) {
    int ends[2], file = -2;
    char byte;
    open_pair();
    ck_assert_int_eq(pipe(ends), 0);
    json_t *sent = json_pack("{s:s}", "command", "file");
    ck_assert_int_eq(wire_send_file(pair[0], "{\"command\":\"file\"}", 18, ends[1]), 0);
    ck_assert_int_eq(wire_send(pair[0], sent), 0);
    ck_assert_int_eq(wire_send_file(pair[0], "{\"command\":\"file\"}", 18, ends[1]), 0);
    close(ends[1]);
    json_t *got = wire_receive_file(pair[1], &file);
    ck_assert(json_equal(got, sent));
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, "x", 1), 1);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    close(file);
    json_t *without = wire_receive_file(pair[1], &file);
    ck_assert(json_equal(without, sent));
    ck_assert_int_eq(file, -1);
    json_t *unwanted = wire_receive(pair[1]); /* closed here: the pipe has no writer left */
    ck_assert(json_equal(unwanted, sent));
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    json_decref(sent), json_decref(got), json_decref(without), json_decref(unwanted);
    close(ends[0]), close(pair[0]), close(pair[1]);
}
END_TEST

Suite *suite_server_wire(void) {
    Suite *suite = suite_create("server/wire");
    TCase *tests = tcase_create("wire");
    tcase_add_test(tests, a_frame_arrives_whole);
    tcase_add_test(tests, frames_are_read_from_pieces);
    tcase_add_test(tests, a_buffer_has_its_maximum);
    tcase_add_test(tests, an_absurd_length_is_refused);
    tcase_add_test(tests, a_malformed_frame_does_not_hide_the_next);
    tcase_add_test(tests, a_frame_that_is_cut_short_is_none);
    tcase_add_test(tests, a_descriptor_comes_with_its_frame);
    suite_add_tcase(suite, tests);
    return suite;
}
