/* submission.h - the body of a job on its way to a training: decoded, its dataset opened or ingested, its model found, all of it resolved. Shared by
 * POST /v1/jobs, which stores it then, and POST /v1/models/validate, which does not. */
#ifndef SERVER_SUBMISSION_H
#define SERVER_SUBMISSION_H

#include "schema/resolve/auto.h"
#include "server/http/answer.h"
#include "server/http/request.h"
#include "server/routes/upload.h"

/* What a submission gathers. */
struct submission {
    struct request *request;
    const json_t *body;        /* borrowed */
    const json_t *model;       /* a name or a definition; borrowed from the body */
    const char *model_pointer; /* its place in the body */
    struct schema_problems problems;
    struct store_job job;
    struct schema_options options;
    struct schema_training_request asked;
    /* dataset */
    struct store_dataset row;
    struct schema_dataset *dataset;
    struct upload *upload; /* inline */
    bool replace;
    struct store_dataset other_row; /* that validates */
    struct schema_dataset *other;
    /* model */
    struct schema_definition *definition;
    char *new_definition; /* inline */
    bool hidden_model;
    bool automatic; /* there is no network: one is chosen */
    bool ensemble;  /* its folds become one version */
    enum schema_effort effort;
    struct schema_ensemble *members; /* of an automatic choice or an ensemble, else NULL */
    char why[300];                   /* the choice, in words */
    struct {
        json_t *name, *document, *features; /* "model@3", of the version, names that the request leaves out */
        struct schema_preprocessing *kept;
        void *blob;
        size_t blob_size;
        json_t *spec, *shown;         /* for the job's process; for people */
    } init;                           /* init_from; document NULL: none */
    json_t *calibrate;                /* how the version is to be calibrated, or NULL */
    json_t *rungs;                    /* of a trial: epochs after which its sweep decides; the caller's; NULL: none */
    struct schema_training *training; /* NULL: there are problems. Of `members` the first family's */
};

/* Decodes and resolves the whole body. The caller has set request, body, model, model_pointer and job.id. With problems afterwards it is refused. The
 * rest is released by submission_close. */
void submission_open(struct submission *submission);
void submission_close(struct submission *submission);
/* Fills the documents of the job, when there are no problems: job_submit.c. */
void submission_describe(struct submission *submission);
/* Whether a version is served at once: true, false or "if_better"; otherwise: when it is not said. Adds a problem. */
enum store_publish publish_decode(const json_t *publish, enum store_publish otherwise, struct schema_problems *problems);
/* "metadata" of a job or a sweep as JSON text, the caller's. Adds problems. */
char *metadata_decode(const json_t *metadata, struct schema_problems *problems);
/* submission_init.c: the steps of init_from in the order of submission_open. */
void submission_init_open(struct submission *submission);
void submission_init_freeze(struct submission *submission);
void submission_init_resolved(struct submission *submission);
void submission_init_close(struct submission *submission);
/* Estimated bytes of the job's process. */
int64_t submission_bytes(const struct submission *submission);
/* What is trained, for people: families, members, the choice in words. With members only. The caller's. */
json_t *submission_ensemble_json(const struct submission *submission);
/* The priority of a job, at its submission and later. */
#define JOB_PRIORITY_PARAM                                                                                                                           \
    { .name = "priority", .type = BP_PARAM_INTEGER, .min = -100, .max = 100, .help = "queued jobs with a higher priority run first" }

#endif
