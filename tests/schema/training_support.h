/* training_support.h - resolves trainings from texts, for the tests of training, source, model_file and predict. */
#ifndef TESTS_TRAINING_SUPPORT_H
#define TESTS_TRAINING_SUPPORT_H

#include "schema/resolve/training.h"
#include "tests/schema/ingest_support.h"

struct resolved {
    struct loaded loaded;
    struct schema_training *training; /* NULL: refused */
    struct schema_problems problems;
};

/* csv: an upload; definition and job: JSON texts ("target" and options in job). */
struct resolved resolve_text(const char *csv, const char *definition, const char *job);
struct resolved resolve_json(const char *dataset, const char *definition, const char *job);
void resolved_clear(struct resolved *resolved);
/* The first problem as "pointer: detail", "" when there is none. Borrowed. */
const char *first_problem(const struct resolved *resolved);

/* 12 rows: x numeric with one missing cell, colour of three categories, label a or b. */
extern const char colours_csv[];

#endif
