/* search.h - a list of jobs by what is in them: conditions on metrics, options and metadata, and an order by any of them. Part of store_job_filter.
 *
 * Names and values are bound, never printed into SQL. A job without a value meets no condition on it and comes last in any order. */
#ifndef SERVER_STORE_SEARCH_H
#define SERVER_STORE_SEARCH_H

#include "server/store/store.h"

/* What of a job. */
enum store_subject_kind {
    STORE_JOB_FIELD,   /* name: one of store_job_fields */
    STORE_JOB_METRIC,  /* of the version's epoch, before the end of the latest one */
    STORE_JOB_FINAL,   /* a metric of the last epoch */
    STORE_JOB_OPTION,  /* name: a path of SQLite's JSON functions into the view, $.options."optimizer"."type" */
    STORE_JOB_METADATA /* texts; an order compares their first 200 characters */
};
enum { STORE_SUBJECT_SIZE = 300, STORE_VALUE_SIZE = 804, STORE_SORT_MAX = 4, STORE_CONDITIONS_MAX = 16 };
struct store_subject {
    enum store_subject_kind kind;
    char name[STORE_SUBJECT_SIZE];
};
/* NULL-terminated: created_at, duration, ... */
extern const char *const store_job_fields[];

struct store_value {
    enum { STORE_VALUE_NONE, STORE_VALUE_NUMBER, STORE_VALUE_TEXT } kind;
    double number;
    char text[STORE_VALUE_SIZE];
};
/* Numbers compare with numbers, texts with texts byte by byte; a value of the other kind does not meet the condition. */
enum store_comparing { STORE_EQUAL, STORE_UNEQUAL, STORE_LESS, STORE_AT_MOST, STORE_GREATER, STORE_AT_LEAST, STORE_COMPARING_COUNT };
struct store_condition {
    struct store_subject subject;
    enum store_comparing compare;
    struct store_value value;
};
struct store_sort {
    struct store_subject subject;
    bool descending;
};
/* Where a page of an order ended: the values of its last job, one for each key. Jobs that are equal in all keys are listed from the newest. */
struct store_cursor {
    struct store_value values[STORE_SORT_MAX];
    char id[STORE_ID_SIZE];
};
struct store_search {
    unsigned statuses;                    /* a bit for each; 0: any */
    int64_t created_since, created_until; /* ms; until is not included; 0: any */
    struct store_condition conditions[STORE_CONDITIONS_MAX];
    int32_t conditions_count;
    struct store_sort sort[STORE_SORT_MAX]; /* the filter's `after` is not used with one */
    int32_t sort_count;
    bool has_after;
    struct store_cursor after;
    struct store_cursor last; /* output, with sort: of the last job of the list */
};

#endif
