/* test_files.c - drafts of datasets, and the files of job processes. */
#include "server/store/files.h"
#include "tests/server/store/helper.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[STORE_FILE_SIZE]; /* a finished file of 6 bytes, "rows1\n" */

static void write_text(int fd, const char *text) {
    ck_assert_int_eq(pwrite(fd, text, strlen(text), lseek(fd, 0, SEEK_END)), (ssize_t)strlen(text));
}

static void make_base(void) {
    struct dataset_draft draft;
    setup();
    ck_assert_int_eq(dataset_draft_new(store, &draft, &error), 0);
    write_text(draft.fd, "rows1\n");
    ck_assert_int_eq(dataset_draft_place(&draft, &error), 0);
    COPY(base, draft.name);
    dataset_draft_keep(&draft);
    dataset_draft_discard(&draft);
    ck_assert(file_there("datasets", base));
}

static void text_of(const char *file, char text[64]) {
    const int fd = dataset_file_open(store, file, &error);
    ck_assert_int_ge(fd, 0);
    const ssize_t n = read(fd, text, 63);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    close(fd);
}

START_TEST(a_draft_that_is_not_kept_leaves_nothing) {
    struct dataset_draft draft;
    char temporary[STORE_FILE_SIZE], name[STORE_FILE_SIZE];
    ck_assert_int_eq(dataset_draft_new(store, &draft, &error), 0);
    COPY(temporary, draft.temporary);
    COPY(name, draft.name);
    ck_assert(file_there("datasets", temporary));
    ck_assert_int_eq(dataset_draft_place(&draft, &error), 0);
    ck_assert(!file_there("datasets", temporary));
    ck_assert(file_there("datasets", name));
    dataset_draft_discard(&draft); /* in place, but without a row */
    ck_assert(!file_there("datasets", name));
    ck_assert_int_eq(draft.fd, -1);
    dataset_draft_discard(&draft);
}
END_TEST

START_TEST(an_extended_file_is_shared_and_cut_off_when_it_is_not_kept) {
    struct dataset_draft draft;
    char text[64];
    for (int kept = 0; kept < 2; kept++) {
        ck_assert_int_eq(dataset_draft_extend(store, base, 6, &draft, &error), 0);
        ck_assert_int_eq(draft.shared, 6);
        write_text(draft.fd, "rows2\n");
        ck_assert_int_eq(dataset_draft_place(&draft, &error), 0);
        char name[STORE_FILE_SIZE];
        COPY(name, draft.name);
        if (kept) dataset_draft_keep(&draft);
        dataset_draft_discard(&draft);
        ck_assert_int_eq(file_there("datasets", name), kept);
        text_of(base, text);
        ck_assert_str_eq(text, kept ? "rows1\nrows2\n" : "rows1\n");
    }
}
END_TEST

START_TEST(a_base_that_is_gone_says_so) {
    struct dataset_draft draft;
    ck_assert_int_eq(dataset_draft_extend(store, "dat_gone.col", 6, &draft, &error), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(error.message, "the dataset was deleted in the meantime");
    dataset_draft_discard(&draft);
    memset(&error, 0, sizeof error);
    ck_assert_int_eq(dataset_file_open(store, "dat_gone.col", &error), -1);
    SAYS("No such file");
}
END_TEST

START_TEST(a_file_of_a_job_process_is_new) {
    char file[STORE_FILE_SIZE];
    checkpoint_file_name("job_1", 3, "7", file);
    ck_assert_str_eq(file, "job_1.3.7.tmp");
    const int fd = checkpoint_file_create(store, file);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
    ck_assert_int_eq(checkpoint_file_create(store, file), -1);
    ck_assert_int_eq(errno, EEXIST);
}
END_TEST

START_TEST(leftovers_of_one_attempt_are_removed) {
    file_make("checkpoints", "job_1.3.model.tmp");
    file_make("checkpoints", "job_1.3.7.tmp");
    file_make("checkpoints", "job_1.30.7.tmp");
    file_make("checkpoints", "job_12.3.7.tmp");
    checkpoint_files_remove_leftovers(store, "job_1", 3);
    ck_assert(!file_there("checkpoints", "job_1.3.model.tmp"));
    ck_assert(!file_there("checkpoints", "job_1.3.7.tmp"));
    ck_assert(file_there("checkpoints", "job_1.30.7.tmp"));
    ck_assert(file_there("checkpoints", "job_12.3.7.tmp"));
    size_t size = 9;
    ck_assert_int_eq(checkpoint_file_rename(store, "job_1.30.7.tmp", "ckp_1.safetensors"), 0);
    void *bytes = checkpoint_file_read(store, "ckp_1.safetensors", &size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(size, 0);
    free(bytes);
    checkpoint_file_remove(store, "ckp_1.safetensors");
    ck_assert_ptr_null(checkpoint_file_read(store, "ckp_1.safetensors", &size));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

Suite *suite_store_files(void) {
    Suite *suite = suite_create("files");
    TCase *tests = tcase_create("files");
    tcase_add_checked_fixture(tests, make_base, teardown);
    tcase_add_test(tests, a_draft_that_is_not_kept_leaves_nothing);
    tcase_add_test(tests, an_extended_file_is_shared_and_cut_off_when_it_is_not_kept);
    tcase_add_test(tests, a_base_that_is_gone_says_so);
    tcase_add_test(tests, a_file_of_a_job_process_is_new);
    tcase_add_test(tests, leftovers_of_one_attempt_are_removed);
    suite_add_tcase(suite, tests);
    return suite;
}
