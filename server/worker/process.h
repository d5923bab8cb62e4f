/* process.h - private to process*.c: the job process while it works. */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "server/worker/advice.h"
#include "server/worker/calibrate.h"
#include "server/worker/cross_validation.h"
#include "server/worker/ensemble.h"
#include "server/worker/run.h"
#include "server/worker/team.h"

#include <pthread.h>
#include <stdatomic.h>

enum command { COMMAND_NONE, COMMAND_CANCEL, COMMAND_STOP };

/* The file that is written next, draft.c. fd and number are the training thread's unless one is requested. */
struct draft {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fd; /* -1: none */
    int64_t number;
    bool requested;
    int cause; /* errno of a refusal */
    char refusal[300];
};

/* The version that is served, process_compare.c. */
struct served {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool arrived;
    int fd; /* -1: none is served */
    int64_t version;
    char refusal[400];
};

struct process {
    json_t *order; /* the first frame */
    const char *job;
    int64_t attempt;
    struct team *team;                      /* the processes that train together; NULL: it is the only one */
    bool together;                          /* they are in lockstep, see together.c */
    enum command agreed;                    /* then: what they end by */
    bool damage;                            /* one of them has read damaged data */
    char problem[400];                      /* of a follower: why it cannot go on */
    struct schema_training *training;       /* as the spec has it */
    struct schema_training *fit;            /* what is being trained: the same, or that of a fold */
    struct schema_dataset *dataset, *other; /* other: that validates, or NULL */
    struct cross_validation folds;
    struct ensemble *ensemble; /* the job trains one; then `run` and `folds` are not used */
    struct run run;
    json_t *calibration; /* of the version, or NULL */
    atomic_int command;
    const json_t *rungs; /* of a trial: epochs after which its sweep decides whether it goes on; NULL: none */
    size_t rung;         /* the next of them */
    atomic_int verdict;  /* enum verdict: the answer at a rung */
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
    double started;          /* seconds, monotonic; 0: not yet */
    double trained_before;   /* seconds of training in earlier attempts */
    double limit;            /* seconds of training in all attempts, for this fit; 0: none */
    int64_t started_samples;
    double started_fraction;                   /* of an ensemble */
    int64_t reported_epochs, reported_samples; /* of all fits */
    int64_t last_emitted;                      /* epoch of the last metrics event */
    /* checkpoints */
    int64_t checkpoint_ms, checkpoint_epoch, checkpoint_cost_ms;
    struct draft draft;
    struct served served;
};

/* Whether this is a process that the job's own one has train with it: it reports nothing and writes no file. */
static inline bool process_follows(const struct process *p) {
    return p->team && team_rank(p->team) > 0;
}

/* report.c: what the supervisor gets to know. */
/* A line for the log of the attempt, to standard error. */
__attribute__((format(printf, 1, 2))) void process_note(const char *format, ...);
void process_say(const json_t *message);
void process_event(struct process *p, const char *type, const char *level, int64_t epoch, const char *message, json_t *data);
/* A warning of the training: an event, and one of the job's warnings; a warning with the same text up to its first number is not repeated. */
void process_warn(void *context, const char *text);
/* Seconds of training so far, in all attempts. */
double process_seconds(const struct process *p);
/* Samples trained on so far, in all fits. */
int64_t process_samples(const struct process *p);
/* The body of a report; empties what was gathered. */
json_t *process_gather(struct process *p);
void process_report(struct process *p);
__attribute__((format(printf, 3, 4))) int process_fail(struct process *p, const char *code, const char *format, ...);
/* Ends the job with the code that follows from the kind of fault, and its message. */
int process_fail_error(struct process *p, const struct bp_error *error);

/* process.c */
/* Whether a damaged part of the data was read: then nothing that came of it is kept. */
bool process_damaged(const struct process *p, struct bp_error *error);
/* Whether the supervisor wants an end; in lockstep, whether that is agreed. context: the process. */
bool process_commanded(void *context);
/* The trained model, with the training in `fit`, as a file. A disk that is full or fails is waited for: what was trained stays in memory, and a
 * cancel or a stop ends the wait. 1: it did. */
/* The calibration of the version, taken; NULL: there is none, for that reason, which becomes a warning. */
void process_calibrated(struct process *process, json_t *document, const char *why);
int process_write_model(struct process *p, const bp_real *weights, json_t *document);
/* The message that replaces a result after a command. */
int process_end_commanded(struct process *p);

/* From the order to a confined process that is watched; memory_max and results as its spec says. */
int process_confine(struct process *p);
/* What a process begins with, of its order; the engine starts. */
void process_begin(struct process *p);
/* The whole work of a job process, and of one that follows; the exit status. */
int process_work(struct process *p);
/* After an epoch and after a step: what is reported. */
void process_epoch_ended(struct process *p);
void process_step_ended(struct process *p);
/* A report and a progress of the training, when they are due. */
void process_report_due(struct process *p, bool epoch_ended, int64_t now);
/* Starts the thread that listens for commands. */
int process_listen(struct process *p);

/* process_predict.c, process_evaluate.c: the whole work of a job that trains nothing; the exit status. */
int process_predict(struct process *p);
int process_evaluate(struct process *p);
/* process_model.c */
/* The model behind a descriptor, which is closed, with the calibration that the spec has under that name. NULL: the job has failed. The caller's. */
struct schema_model *process_model(struct process *p, int fd, const char *calibration);
/* The first dataset. -1: the job has failed. */
int process_open_dataset(struct process *p);
/* A report of a job that trains nothing, with this progress (taken), and what was gathered. */
json_t *process_rows_report(struct process *p, json_t *progress);
/* Ends the job with such a report. */
int process_fail_rows(struct process *p, const struct bp_error *error);

/* The evaluation of the trained model, with the training in `fit`, on the rows of the test: its metrics go into those of the document, and the report
 * to *report, the caller's, or NULL: the job has none, or a command came. -1: the job has failed. */
int process_test(struct process *p, const bp_real *weights, json_t *document, json_t **report);

/* process_ensemble.c: the job's whole work when it trains an ensemble; the exit status. */
int process_ensemble(struct process *p);
void process_ensemble_checkpoint(struct process *p);

/* rungs.c */
enum verdict { VERDICT_NONE, VERDICT_GO_ON, VERDICT_STOP };
/* Whether this epoch is one after which the sweep decides. */
bool process_rung_is(const struct process *p, int64_t epoch);
/* Asks at each rung that is reached and waits for the answer. True: the trial ends here. A command ends the wait. */
bool process_rung_stops(struct process *p);
/* Whether there is one to ask about; none is left to ask about up to this epoch. */
bool process_rung_is_due(const struct process *p);
void process_rung_pass(struct process *p);
void process_rung_answered(struct process *p, const json_t *message);

/* together.c */
/* Finds the other processes of the job and gives them what they need. -1: the job has failed. */
int process_join(struct process *p);
/* All of them are set up, or (failed) this one has said why not. -1: the job has failed. */
int process_gather_team(struct process *p, bool failed);
/* As process.c trains alone. */
enum bp_train_event process_train_together(struct process *p);
/* The training has ended: each goes its own way. */
void process_part(struct process *p);
/* What it cost becomes an event, and part of the document of the model. */
void process_team_report(struct process *p, json_t *document);
/* A command, as it is agreed on in lockstep; for a wait, context: the process. */
bool process_agrees(void *context);

/* process_compare.c */
void process_served_begin(struct process *p);
/* The supervisor's answer, in the thread that listens; fd -1: none is served, or it cannot be read. */
void process_served_arrived(struct process *p, const json_t *message, int fd);
/* With publish "if_better": what is trained, with the metrics in document, against the version that is served: for the message "done". NULL: not
 * requested. The caller's. */
json_t *process_compare(struct process *p, const json_t *document);

/* draft.c */
void process_draft_begin(struct process *p, bool given);
/* A file to write to, empty; waits for the supervisor if none is here. -1 with the error and its errno. */
int process_draft(struct process *p, int *cause, struct bp_error *error);
/* The supervisor's answer, in the thread that listens; fd -1: it has refused. */
void process_draft_arrived(struct process *p, const json_t *message, int fd);
/* Empties it after a failure, for the next attempt. */
void process_draft_clear(struct process *p);
/* It was written and reported by its number, so it is the supervisor's. more: request the next one. */
void process_draft_reported(struct process *p, bool more);

/* checkpoint.c */
struct saved {
    void *bytes; /* the file, mapped; NULL: there is none */
    size_t size;
    struct bp_trainer_state state;
    json_t *notes;
};
void process_checkpoint(struct process *p);
/* A checkpoint is in the draft, or (error) could not be written: keeps what it cost, and reports it. */
struct checkpoint_written {
    int64_t began; /* ms */
    int64_t epoch, step, bytes;
    bool best;
};
void process_checkpoint_written(struct process *p, const struct checkpoint_written *written, const struct bp_error *error);
/* Warns when the notes of a checkpoint name other kernels than these. */
void process_compare_kernels(struct process *p, const json_t *notes);
/* The checkpoint cannot be used: a warning with the reason. */
void process_start_over(struct process *p, const struct bp_error *error);
/* Every checkpoint_every_epochs: as asked when the user said so, else no oftener than a second or ten times what writing takes; in long epochs every
 * minute. */
bool process_checkpoint_due(const struct process *p, bool epoch_ended);
/* Reads the checkpoint that this attempt resumes from, and its fold. */
void process_saved_open(struct process *p, struct saved *saved);
/* Loads it into the trainer; -1: it does not fit, and a warning reports it. */
int process_saved_restore(struct process *p, const struct saved *saved);
void process_saved_close(struct saved *saved);

#endif
