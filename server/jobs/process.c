/* process.c - the job process: `backpropd job`, started by the supervisor, one per attempt.
 *
 * Descriptors: 3 the socket to the supervisor, 4 the dataset's column file, 5 the checkpoint to go on from (when there is one). It never opens the
 * database. One thread trains; another listens for commands and ends the process when the supervisor is gone.
 *
 * Sections: the process's own limits, talking, checkpoints, the loop, the end. */
#include "advice.h"
#include "commands.h"

#include "kernels/kernels.h"
#include "run.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    REPORT_MS = 50,
    PROGRESS_MS = 250,
    CHECKPOINT_MIN_MS = 1000,
    CHECKPOINT_MAX_MS = 60000,
    EPOCHS_KEPT = 10000,
    HEALTH_KEPT = 500,
    WARNINGS_MAX = 20
};
enum command { COMMAND_NONE, COMMAND_CANCEL, COMMAND_STOP };

struct process {
    json_t *order; /* the first frame */
    const char *job, *folder;
    int64_t attempt;
    struct schema_training *training;
    struct schema_dataset *dataset;
    struct run run;
    atomic_int command;
    /* what the next report tells */
    json_t *events, *metrics, *notes;
    json_t *warnings; /* the job's, and what was added to them */
    bool warned;      /* since the last report */
    struct advice advice;
    int64_t resumed_from; /* -1: told already, or never */
    int64_t reported_ms;
    int64_t epoch, position; /* finished epochs, samples into the current one */
    double started;          /* seconds, monotonic */
    int64_t started_samples;
    int64_t last_emitted; /* epoch of the last metrics event */
    /* checkpoints */
    int64_t checkpoint_ms, checkpoint_epoch, checkpoint_cost_ms, checkpoints;
};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int64_t now_ms(void) {
    return (int64_t)(seconds() * 1000);
}

/* ---- the process's own limits ---------------------------------------------------------------------------------------------------- */

static void confine(const json_t *order) {
    struct rlimit none = {0, 0};
    json_int_t memory = json_integer_value(json_object_get(json_object_get(order, "spec"), "memory_max"));
    setrlimit(RLIMIT_CORE, &none);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    memory = 0; /* the sanitizers map terabytes of shadow memory */
#endif
    if (memory > 0) {
        rlim_t bytes = (rlim_t)memory + (256u << 20); /* stacks and the buffers of the BLAS come on top */
        struct rlimit data = {bytes, bytes};
        setrlimit(RLIMIT_DATA, &data);
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* ---- talking ------------------------------------------------------------------------------------------------------------------------ */

static void *listen_for_commands(void *context) {
    struct process *p = context;
    for (;;) {
        json_t *message = wire_receive(WIRE_SOCKET);
        if (!message) _exit(3); /* the supervisor is gone: nobody will take the result */
        const char *command = json_string_value(json_object_get(message, "command"));
        if (command && strcmp(command, "cancel") == 0) atomic_store(&p->command, COMMAND_CANCEL);
        if (command && strcmp(command, "stop") == 0) atomic_store(&p->command, COMMAND_STOP);
        json_decref(message);
    }
}

static void say(const json_t *message) {
    if (wire_send(WIRE_SOCKET, message) != 0) _exit(3);
}

static void add_event(struct process *p, const char *type, const char *level, int64_t epoch, const char *message, json_t *data) {
    json_array_append_new(p->events, json_pack("{s:s, s:s, s:I, s:s?, s:o?}", "type", type, "level", level, "epoch", (json_int_t)epoch, "message",
                                               message, "data", data));
}

/* A warning of the training: an event, and one of the job's warnings; what is said there already (up to its first number) is not said again. */
static void warn(void *context, const char *text) {
    struct process *p = context;
    const size_t same = strcspn(text, "0123456789");
    const char *layer = strstr(text, "layer \"");
    size_t i;
    json_t *said;
    json_array_foreach(p->warnings, i, said) {
        const char *other = json_string_value(said), *other_layer = other ? strstr(other, "layer \"") : NULL;
        if (!other || strncmp(other, text, same < 12 ? 12 : same) != 0) continue;
        if (!layer || !other_layer || strncmp(layer, other_layer, strcspn(layer + 7, "\"") + 8) == 0) return;
    }
    add_event(p, "log", "warning", 0, text, NULL);
    if (json_array_size(p->warnings) >= WARNINGS_MAX) return;
    json_array_append_new(p->warnings, json_string(text));
    p->warned = true;
}

static json_t *progress(const struct process *p) {
    int64_t epochs = p->training->options.epochs, rows = p->run.split.train_count, batch = p->training->options.batch_size;
    int64_t samples = p->epoch * rows + p->position, total = epochs * rows;
    double elapsed = seconds() - p->started, rate = elapsed > 0 ? (double)(samples - p->started_samples) / elapsed : 0;
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "epoch", (json_int_t)p->epoch, "epochs", (json_int_t)epochs, "step",
                     (json_int_t)((p->position + batch - 1) / batch), "steps_per_epoch", (json_int_t)run_steps_per_epoch(&p->run), "fraction",
                     json_real(total ? (double)samples / (double)total : 0), "samples_per_second", rate > 0 ? json_real(round(rate)) : json_null(),
                     "eta_seconds", rate > 0 ? json_real(ceil((double)(total - samples) / rate * 100) / 100) : json_null());
}

/* The body of a report; empties what was gathered. */
static json_t *gather(struct process *p) {
    json_t *report = json_pack("{s:o, s:o, s:o, s:I}", "progress", progress(p), "events", p->events, "best", run_best_json(&p->run),
                               "resumed_from_epoch", (json_int_t)p->resumed_from);
    if (p->metrics) json_object_set(report, "metrics", p->metrics);
    if (p->warned) json_object_set(report, "warnings", p->warnings);
    p->warned = false;
    p->events = json_array();
    p->resumed_from = -1;
    p->reported_ms = now_ms();
    return report;
}

static void report(struct process *p) {
    json_t *message = json_pack("{s:s, s:o}", "kind", "report", "report", gather(p));
    say(message);
    json_decref(message);
}

static int fail(struct process *p, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct process *p, const char *code, const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *message = json_pack("{s:s, s:{s:s, s:s}}", "kind", "failed", "error", "code", code, "message", text);
    if (p->run.trainer) json_object_set_new(message, "report", gather(p));
    say(message);
    json_decref(message);
    return 1;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------------------------ */

static void save_checkpoint(struct process *p) {
    struct bp_trainer_state state;
    struct bp_error error = {0};
    struct stat info;
    char path[4300];
    int64_t began = now_ms();
    /* A name of its own: the supervisor may not have taken the one before yet, and must not find this one in its place. */
    snprintf(path, sizeof path, "%s/%s.%lld.%lld.tmp", p->folder, p->job, (long long)p->attempt, (long long)++p->checkpoints);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bp_trainer_state(p->run.trainer, &state);
    json_t *notes = json_pack("{s:s, s:s, s:o, s:O?, s:I}", "kernels", bp_kernels_name(), "blas", bp_blas_name(), "best", run_best_json(&p->run),
                              "best_metrics", p->run.best_metrics, "threads", (json_int_t)p->training->options.threads);
    if (p->metrics) json_object_set(notes, "metrics", p->metrics);
    int failed =
        fd < 0 ? bp_error_set(&error, "", "cannot create %s: %s", path, strerror(errno)) : schema_checkpoint_write(fd, &state, notes, &error);
    if (!failed && fstat(fd, &info) != 0) failed = -1;
    json_decref(notes);
    if (fd >= 0) close(fd);
    p->checkpoint_ms = now_ms();
    p->checkpoint_epoch = state.epoch;
    p->checkpoint_cost_ms = p->checkpoint_ms - began;
    if (failed) {
        unlink(path);
        add_event(p, "log", "warning", 0, error.message, NULL);
        return;
    }
    report(p); /* the metrics up to here are stored before the checkpoint that follows them */
    json_t *message = json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "kind", "checkpoint", "file", path, "epoch", (json_int_t)state.epoch, "step",
                                (json_int_t)state.updates, "bytes", (json_int_t)info.st_size, "best", p->run.best_epoch == state.epoch);
    say(message);
    json_decref(message);
}

/* Every checkpoint_every_epochs: as asked when the user said so, else no oftener than a second or ten times what writing takes; in long epochs every
 * minute. */
static bool checkpoint_due(const struct process *p, bool epoch_ended) {
    int64_t since = now_ms() - p->checkpoint_ms,
            least = p->checkpoint_cost_ms * 10 > CHECKPOINT_MIN_MS ? p->checkpoint_cost_ms * 10 : CHECKPOINT_MIN_MS;
    bool as_asked = json_is_true(json_object_get(json_object_get(p->order, "spec"), "checkpoint_as_asked"));
    if (since >= CHECKPOINT_MAX_MS && since >= least) return true;
    return epoch_ended && p->epoch - p->checkpoint_epoch >= p->training->options.checkpoint_every_epochs && (as_asked || since >= least);
}

static void recall_notes(struct process *p, const json_t *notes) {
    const json_t *best = json_object_get(notes, "best"), *kernels = json_object_get(notes, "kernels"), *blas = json_object_get(notes, "blas");
    if (json_is_object(best)) {
        p->run.best_epoch = json_integer_value(json_object_get(best, "epoch"));
        p->run.best_value = json_number_value(json_object_get(best, "value"));
        p->run.best_metrics = json_incref(json_object_get(notes, "best_metrics"));
    }
    p->metrics = json_incref(json_object_get(notes, "metrics"));
    bool same = kernels && blas && strcmp(json_string_value(kernels), bp_kernels_name()) == 0 && strcmp(json_string_value(blas), bp_blas_name()) == 0;
    if (!same)
        add_event(p, "log", "warning", 0,
                  "this job goes on with other kernels than it started with (another kind of CPU): its last bits may differ from an unbroken run",
                  NULL);
}

static void resume(struct process *p) {
    struct stat info;
    struct bp_trainer_state state;
    struct bp_error error = {0};
    json_t *notes = NULL;
    if (!json_is_true(json_object_get(p->order, "resume"))) return;
    void *bytes = fstat(WIRE_CHECKPOINT, &info) == 0 && info.st_size > 0
                      ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, WIRE_CHECKPOINT, 0)
                      : MAP_FAILED;
    if (bytes == MAP_FAILED) bp_error_set(&error, "", "the checkpoint cannot be read: %s", strerror(errno));
    else if (schema_checkpoint_read(bytes, (size_t)info.st_size, &state, &notes, &error) == 0 &&
             bp_trainer_restore(p->run.trainer, &state, &error) == 0) {
        p->epoch = p->checkpoint_epoch = state.epoch;
        p->position = state.position;
        p->resumed_from = state.epoch;
        recall_notes(p, notes);
    }
    if (error.message[0]) {
        char text[700];
        snprintf(text, sizeof text, "starting over: %s", error.message);
        add_event(p, "log", "warning", 0, text, NULL);
    }
    json_decref(notes);
    if (bytes != MAP_FAILED) munmap(bytes, (size_t)info.st_size);
    close(WIRE_CHECKPOINT);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------------------- */

static json_t *with_epoch(const json_t *metrics, int64_t epoch) {
    json_t *data = json_pack("{s:I}", "epoch", (json_int_t)epoch);
    json_object_update(data, (json_t *)metrics);
    return data;
}

/* The health of the layers is told with every epoch of up to HEALTH_KEPT, beyond that with every k-th, the first and the last. */
static bool health_due(const struct process *p) {
    const int64_t epochs = p->training->options.epochs, every = (epochs + HEALTH_KEPT - 1) / HEALTH_KEPT;
    return p->epoch == 1 || p->epoch == epochs || p->epoch % every == 0;
}

/* Up to EPOCHS_KEPT epochs every one is told, beyond that every k-th, and always the first; finish adds the best and the last. */
static void epoch_ended(struct process *p) {
    bool improved;
    int64_t every = (p->training->options.epochs + EPOCHS_KEPT - 1) / EPOCHS_KEPT;
    p->epoch++;
    p->position = 0;
    json_decref(p->metrics);
    p->metrics = run_epoch(&p->run, p->epoch, &improved);
    advice_epoch(&p->advice, &p->run, p->epoch, warn, p);
    if (p->epoch != 1 && p->epoch % every != 0) return;
    json_t *data = with_epoch(p->metrics, p->epoch);
    if (health_due(p)) json_object_set_new(data, "layers", run_health(&p->run));
    add_event(p, "metrics", "info", p->epoch, NULL, data);
    p->last_emitted = p->epoch;
}

static void step_ended(struct process *p) {
    struct bp_trainer_state state;
    bp_trainer_state(p->run.trainer, &state);
    p->position = state.epoch == p->epoch ? state.position : 0;
}

/* Trains until the end, a command, or divergence. Returns what ended it. */
static enum bp_train_event train(struct process *p) {
    int64_t looked = now_ms();
    unsigned steps = 0;
    for (;;) {
        enum bp_train_event event = bp_trainer_step(p->run.trainer);
        if (event == BP_TRAIN_DONE || event == BP_TRAIN_DIVERGED) return event;
        if (event == BP_TRAIN_EPOCH) epoch_ended(p);
        if (atomic_load_explicit(&p->command, memory_order_relaxed) != COMMAND_NONE) {
            step_ended(p);
            return BP_TRAIN_STEP;
        }
        /* The clock is read at the end of an epoch, or now and then within one. */
        if (event != BP_TRAIN_EPOCH && (++steps & 15) != 0) continue;
        int64_t now = now_ms();
        if (event != BP_TRAIN_EPOCH && now == looked) continue;
        looked = now;
        if (event == BP_TRAIN_EPOCH ? now - p->reported_ms >= REPORT_MS || p->reported_ms == 0 : now - p->reported_ms >= PROGRESS_MS) {
            step_ended(p);
            report(p);
        }
        if (checkpoint_due(p, event == BP_TRAIN_EPOCH)) {
            step_ended(p);
            save_checkpoint(p);
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------------------- */

static int finish(struct process *p) {
    struct bp_error error = {0};
    char path[4300], *bytes = NULL;
    size_t size = 0;
    int64_t best = p->run.best_epoch;
    if (p->training->options.epochs > EPOCHS_KEPT) {
        if (p->run.best_metrics) add_event(p, "metrics", "info", best, NULL, with_epoch(p->run.best_metrics, best)); /* kept once by the store */
        if (p->last_emitted != p->epoch && p->metrics) add_event(p, "metrics", "info", p->epoch, NULL, with_epoch(p->metrics, p->epoch));
    }
    if (p->training->options.stop_early && p->epoch < p->training->options.epochs) {
        char text[300];
        snprintf(text, sizeof text, "stopped early after epoch %lld: %s has not improved for %d epochs; the weights of epoch %lld are kept",
                 (long long)p->epoch, p->run.best_metric, p->training->options.stop_patience, (long long)best);
        add_event(p, "log", "info", 0, text, NULL);
    }
    json_t *document = run_document(&p->run, p->metrics, p->epoch);
    json_object_set(document, "dataset", json_object_get(p->order, "dataset"));
    json_object_set_new(document, "job", json_string(p->job));
    snprintf(path, sizeof path, "%s/%s.%lld.model.tmp", p->folder, p->job, (long long)p->attempt);
    int failed = schema_model_write(p->training, document, bp_trainer_result(p->run.trainer), &bytes, &size, &error);
    int fd = failed ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!failed && fd < 0) failed = bp_error_set(&error, "", "cannot create %s: %s", path, strerror(errno));
    for (size_t done = 0; !failed && done < size;) {
        ssize_t n = write(fd, bytes + done, size - done);
        if (n <= 0) failed = bp_error_set(&error, "", "cannot write the model: %s", strerror(errno));
        else done += (size_t)n;
    }
    if (fd >= 0) close(fd);
    free(bytes);
    if (failed) {
        json_decref(document);
        unlink(path);
        return fail(p, "storage", "%s", error.message);
    }
    json_t *last = gather(p);
    json_object_set(last, "metrics", json_object_get(document, "metrics"));
    json_t *message = json_pack("{s:s, s:s, s:o, s:o}", "kind", "done", "file", path, "document", document, "report", last);
    say(message);
    json_decref(message);
    return 0;
}

static void start_onednn(struct process *p) {
    const char *kernels = json_string_value(json_object_get(p->order, "kernels"));
    char why[512], text[600];
    run_start_onednn(p->training, p->dataset->rows, kernels && strcmp(kernels, "auto") != 0, why, sizeof why);
    if (p->training->options.precision_auto && p->training->options.precision == BP_PRECISION_FLOAT32) {
        snprintf(text, sizeof text, "precision \"auto\" is float32 here: %s", why);
        warn(p, text);
    } else if (why[0]) {
        fprintf(stderr, "without oneDNN: %s\n", why);
    }
}

static int set_up(struct process *p) {
    struct bp_error error = {0};
    if (!(p->training = schema_training_decode(json_object_get(p->order, "spec"), &error))) return fail(p, "invalid", "%s", error.message);
    if (schema_dataset_open(WIRE_DATASET, 0, &p->dataset, &error) != 0) return fail(p, "dataset", "%s", error.message);
    close(WIRE_DATASET);
    start_onednn(p);
    if (run_open(&p->run, p->training, p->dataset, &error) != 0)
        return fail(p, strstr(error.message, "memory") ? "out_of_memory" : "invalid", "%s", error.message);
    resume(p);
    p->started = seconds();
    p->checkpoint_ms = now_ms();
    p->started_samples = p->epoch * p->run.split.train_count + p->position;
    return 0;
}

static bool commanded(void *context) {
    const struct process *p = context;
    return atomic_load_explicit(&p->command, memory_order_relaxed) != COMMAND_NONE;
}

/* Only a training that has not begun looks for its rate; a resumed one has it in its checkpoint. */
static void find_rate(struct process *p) {
    char text[200];
    if (p->epoch > 0 || p->position > 0) return;
    json_t *found = run_find_rate(&p->run, commanded, p);
    if (!found || commanded(p)) {
        json_decref(found);
        return;
    }
    const json_t *rate = json_object_get(found, "learning_rate");
    if (json_is_number(rate))
        snprintf(text, sizeof text, "learning rate %.3g: a tenth of the one at which the loss of a range test of %zu steps was least",
                 json_number_value(rate), json_array_size(json_object_get(found, "curve")));
    else snprintf(text, sizeof text, "the range test found no learning rate: its losses were not finite; the optimizer's default is used");
    add_event(p, "log", json_is_number(rate) ? "info" : "warning", 0, text, found);
}

static int work(struct process *p) {
    pthread_t listener;
    if (set_up(p) != 0) return 1;
    if (pthread_create(&listener, NULL, listen_for_commands, p) != 0) return fail(p, "internal", "cannot start a thread: %s", strerror(errno));
    pthread_detach(listener);
    find_rate(p);
    if (p->resumed_from >= 0) report(p);
    enum bp_train_event event = train(p);
    if (event == BP_TRAIN_DONE) return finish(p);
    if (event == BP_TRAIN_DIVERGED)
        return fail(p, "diverged",
                    "the loss is not finite any more in epoch %lld; try a smaller learning_rate, gradient_clip_norm, or look for extreme values in "
                    "the data. The last good checkpoint is kept",
                    (long long)p->epoch + 1);
    if (atomic_load(&p->command) == COMMAND_STOP) save_checkpoint(p);
    json_t *message = json_pack("{s:s, s:o}", "kind", atomic_load(&p->command) == COMMAND_STOP ? "yield" : "cancelled", "report", gather(p));
    say(message);
    json_decref(message);
    return 0;
}

int command_job(int argc, char **argv) {
    struct process p = {.resumed_from = -1};
    (void)argc;
    (void)argv;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* ctrl-C in the terminal of `serve` is for the server, which tells its jobs */
    signal(SIGTERM, SIG_IGN);
    p.order = wire_receive(WIRE_SOCKET);
    if (!p.order) {
        fprintf(stderr, "backpropd job is started by `backpropd serve`, not by people; see `backpropd help`\n");
        return 2;
    }
    confine(p.order);
    p.job = json_string_value(json_object_get(p.order, "job"));
    p.folder = json_string_value(json_object_get(p.order, "folder"));
    p.attempt = json_integer_value(json_object_get(p.order, "attempt"));
    p.events = json_array();
    p.warnings = json_object_get(p.order, "warnings");
    if (!json_is_array(p.warnings)) p.warnings = json_array();
    const char *kernels = json_string_value(json_object_get(p.order, "kernels"));
    if (kernels && strcmp(kernels, "auto") != 0) bp_kernels_force(kernels);
    bp_engine_start();
    bp_flush_denormals();
    int status = work(&p);
    _exit(status == 0 ? 0 : 1); /* the listener may be reading: nothing to tidy up in a process that ends */
}
