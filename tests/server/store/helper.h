/* helper.h - what the tests of the store share: a store in a folder of its own for each test, things to put in it, the raw database beside it.
 * Check runs each test in a process of its own, so these globals are fresh each time. */
#ifndef TESTS_STORE_HELPER_H
#define TESTS_STORE_HELPER_H

#include "server/store/store.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char folder[256];
extern struct store *store;
extern struct store_options options;
extern struct bp_error error;

/* The result that is expected, and for failures a message. */
#define GIVES(expected, call)                                                                                                                        \
    do {                                                                                                                                             \
        memset(&error, 0, sizeof error);                                                                                                             \
        enum store_result got_ = (call);                                                                                                             \
        ck_assert_msg(got_ == (expected), "%s gave %d (%s), expected %s", #call, (int)got_, error.message, #expected);                               \
    } while (0)
#define OK(call)   GIVES(STORE_OK, call)
#define SAYS(part) ck_assert_msg(strstr(error.message, part) != NULL, "the message \"%s\" lacks \"%s\"", error.message, part)

/* Into an array. */
#define COPY(to, from) ((void)snprintf(to, sizeof(to), "%s", from))
#define TEXT(literal)  ((char *)(uintptr_t)(literal))

/* Polls until the condition holds, for 60 s at most: it bounds a hang, it measures nothing. */
#define EVENTUALLY(condition)                                                                                                                        \
    do {                                                                                                                                             \
        int64_t deadline_ = store_now() + 60000;                                                                                                     \
        while (!(condition) && store_now() < deadline_) nap();                                                                                       \
        ck_assert_msg(condition, "%s did not come true in 60 s", #condition);                                                                        \
    } while (0)
void nap(void); /* 2 ms between two polls */

void folder_make(void); /* fixtures: an empty folder; with an open store in it; and their ends */
void folder_remove(void);
void setup(void);
void teardown(void);
void reopen(void);
/* A suite of one case with these tests, the store opened for each. */
TCase *store_case(Suite *suite, const char *name);

/* An empty file in datasets/ or checkpoints/. */
void file_make(const char *kind, const char *name);
bool file_there(const char *kind, const char *name);
int64_t file_size(const char *name); /* of a file of the folder; -1: none */

/* The database through a separate connection, without the store. */
bool raw(const char *sql);       /* false: it failed */
int64_t number(const char *sql); /* the integer it gives; -1: none */

void dataset_put(const char *name); /* next version of a named dataset, in file <name>-<n>.bpc */
void model_put(const char *name);
/* Files a job on dataset "d" and model "m", made on first use. */
void job_new(char id[STORE_ID_SIZE], int64_t attempts_max);
void job_claim(char id[STORE_ID_SIZE]); /* the next one; its attempt through job_attempt */
int64_t job_attempt(const char *id);
enum store_status status_of(const char *id);
#define IS(id, expected) ck_assert_str_eq(store_status_name(status_of(id)), expected)
/* "status:queued status:running end:..." : the events of a job, types, and statuses where there is one. */
const char *events_of(const char *id);

/* One of each test file. */
Suite *suite_store_allocations(void);
Suite *suite_store_files(void);
Suite *suite_store_folder(void);
Suite *suite_store_datasets(void);
Suite *suite_store_models(void);
Suite *suite_store_versions(void);
Suite *suite_store_jobs(void);
Suite *suite_store_reports(void);
Suite *suite_store_attempts(void);
Suite *suite_store_events(void);
Suite *suite_store_writer(void);
Suite *suite_store_disk(void);

extern const struct store_ending success, failure, cancelled;

#endif
