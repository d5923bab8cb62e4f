/* process.h - private to process*.c: the job process while it works. */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "server/worker/advice.h"
#include "server/worker/cross_validation.h"
#include "server/worker/run.h"

#include <stdatomic.h>

enum command { COMMAND_NONE, COMMAND_CANCEL, COMMAND_STOP };

struct process {
    json_t *order; /* the first frame */
    const char *job;
    int64_t attempt;
    struct schema_training *training;       /* as the spec has it */
    struct schema_training *fit;            /* what is being trained: the same, or that of a fold */
    struct schema_dataset *dataset, *other; /* other: that validates, or NULL */
    struct cross_validation folds;
    struct run run;
    atomic_int command;
    /* content of the next report */
    json_t *events, *metrics, *notes;
    json_t *warnings; /* the job's, and what was added to them */
    bool warned;      /* since the last report */
    bool folds_ended; /* since the last report, or the attempt has just begun */
    struct advice advice;
    int64_t resumed_from; /* -1: already reported, or never */
    int64_t reported_ms;
    int64_t epochs;          /* of this fit */
    int64_t epoch, position; /* finished epochs of this fit, samples into the current one */
    double started;          /* seconds, monotonic */
    int64_t started_samples;
    int64_t last_emitted; /* epoch of the last metrics event */
    /* checkpoints */
    int64_t checkpoint_ms, checkpoint_epoch, checkpoint_cost_ms, checkpoints;
};

/* report.c: what the supervisor gets to know. */
void process_say(const json_t *message);
void process_event(struct process *p, const char *type, const char *level, int64_t epoch, const char *message, json_t *data);
/* A warning of the training: an event, and one of the job's warnings; a warning with the same text up to its first number is not repeated. */
void process_warn(void *context, const char *text);
/* Samples trained on so far, in all fits. */
int64_t process_samples(const struct process *p);
/* The body of a report; empties what was gathered. */
json_t *process_gather(struct process *p);
void process_report(struct process *p);
__attribute__((format(printf, 3, 4))) int process_fail(struct process *p, const char *code, const char *format, ...);
/* Ends the job with the code that follows from the kind of fault, and its message. */
int process_fail_error(struct process *p, const struct bp_error *error);

/* checkpoint.c */
struct saved {
    void *bytes; /* the file, mapped; NULL: there is none */
    size_t size;
    struct bp_trainer_state state;
    json_t *notes;
};
void process_checkpoint(struct process *p);
/* Every checkpoint_every_epochs: as asked when the user said so, else no oftener than a second or ten times what writing takes; in long epochs every
 * minute. */
bool process_checkpoint_due(const struct process *p, bool epoch_ended);
/* Reads the checkpoint that this attempt resumes from, and its fold. */
void process_saved_open(struct process *p, struct saved *saved);
/* Loads it into the trainer; -1: it does not fit, and a warning reports it. */
int process_saved_restore(struct process *p, const struct saved *saved);
void process_saved_close(struct saved *saved);

#endif
