/* answer.h - answers: JSON, bytes, problems (RFC 9457), documents that do not change. */
#ifndef SERVER_HTTP_ANSWER_H
#define SERVER_HTTP_ANSWER_H

#include "schema/json/problems.h"
#include "server/http/request.h"

enum problem {
#define PROBLEM(code, status, title) PROBLEM_##code,
#include "server/problems.def"
#undef PROBLEM
    PROBLEM_COUNT
};

void answer_json(struct request *request, int status, json_t *json); /* takes json */
/* The same with all digits of its numbers: for data of the user. */
void answer_json_exact(struct request *request, int status, json_t *json);
void answer_bytes(struct request *request, int status, const char *content_type, char *bytes, size_t size); /* takes bytes */
void answer_header(struct request *request, const char *name, const char *value);
/* What a replica cannot do: the address of the primary. */
void answer_read_only(struct request *request);
void answer_problem(struct request *request, enum problem code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* All problems of a request: 422, or 413/500 if they require it; clears them. */
void answer_problems(struct request *request, struct schema_problems *problems);
/* The message of an error, with the status that follows from its code: 422, 503 for memory, 507 for files. */
void answer_error(struct request *request, const struct bp_error *error);
/* A document that does not change while the program runs: with an ETag, gzipped if the client accepts it, 304 if the client has it. */
struct document {
    const char *bytes; /* borrowed for good */
    size_t size;
    unsigned char *gzip; /* by document_prepare; NULL: none */
    size_t gzip_size;
    char etag[40];
    const char *content_type; /* NULL: application/json */
};
void document_prepare(struct document *document);
void answer_document(struct request *request, const struct document *document);
/* A result of the store that is not STORE_OK. what: "dataset \"x\"". */
void answer_store(struct request *request, enum store_result result, const struct bp_error *error, const char *what_format, ...)
    __attribute__((format(printf, 4, 5)));
int problem_status(enum problem code);
/* The problem as JSON, for tests and streams. */
json_t *problem_json(const struct request *request, enum problem code, const char *detail, json_t *errors);

/* A page of a list: items side by side as the store gives them. */
struct listing {
    const void *items;
    size_t item_size;
    int32_t count;
    bool has_more, exact;                                         /* exact: as answer_json_exact */
    json_t *(*render)(struct request *request, const void *item); /* NULL: answered with a problem */
    const char *(*id)(const void *item, char text[24]);           /* what `after` takes; text may hold it */
};
#define LISTING(list) .items = (list).items, .item_size = sizeof *(list).items, .count = (list).count
void answer_list(struct request *request, const struct listing *list);

#endif
