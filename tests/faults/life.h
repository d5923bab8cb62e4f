/* life.h - everything that a store does, step by step: a dataset is uploaded and grows, a model and a job are made, the job runs, reports, writes
 * checkpoints and ends with a version, which aliases name, and all of it is deleted. And what is known of it, to be compared with what a folder
 * holds. */
#ifndef TESTS_FAULTS_LIFE_H
#define TESTS_FAULTS_LIFE_H

#include "server/store/store.h"

/* What a folder holds of a life; numbers, so that two can be compared. */
struct world {
    int rows[3];     /* of the versions 1 and 2 of the dataset, 0: there is none */
    int model;       /* 1: there is one */
    int version;     /* 1: the model has one, with its bytes */
    int aliases;     /* of the model: 1 for `default`, 10 for `production`, when they name its version */
    int job;         /* enum store_status + 1, 0: there is none */
    int events;      /* reports of metrics */
    int checkpoints; /* the epoch of the last one, whose file is whole; 0: none */
};

enum { LIFE_STEPS = 15 };

struct life {
    struct store *store;
    char job[STORE_ID_SIZE];
    int64_t attempt;
};

/* The world after a step that succeeds in the world before it. */
struct world life_after(int step, struct world world);
const char *life_step_name(int step);
/* STORE_OK, or what failed with its reason. */
enum store_result life_step(struct life *life, int step, struct bp_error *error);
/* What the store holds. -1: it holds something damaged, or half of something, which the text says. */
int life_look(struct store *store, const char *job, struct world *world, char text[static 600]);
/* The members of the worlds are, one by one, those of one or of the other. The text says which is neither. */
bool life_is_between(const struct world *found, const struct world *one, const struct world *other, char text[static 600]);

#endif
