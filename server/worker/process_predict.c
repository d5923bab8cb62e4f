/* process_predict.c - a job of the kind predict: all rows of a dataset through a version, into two files that the supervisor has opened. Now and
 * then, between two blocks, both are on disk, and the supervisor learns how long they are. The attempt that follows cuts off what came later and
 * goes on from there, so the files end with the same bytes as without a break. */
#include "server/worker/process.h"

#include "schema/checksum.h"
#include "schema/predict/batch.h"
#include "server/clock.h"
#include "server/jobs/wire.h"
#include "server/worker/heartbeat.h"
#include "server/worker/predict_lanes.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SYNC_MIN_MS = 200, /* between two syncs: at least, and SYNC_COST times what one takes */
    SYNC_COST = 20,
    PROGRESS_MS = 250,
    WAIT_MS = 20, /* for a lane, between two looks at commands */
    WARNINGS_MAX = 20,
    FILES = 2
};

struct result_file {
    int fd;
    int64_t bytes;
    uint32_t crc;
};

struct predicting {
    struct process *p;
    struct schema_model *model;
    struct schema_batch *batch;
    struct predict_lanes *lanes; /* NULL: this thread predicts by itself */
    struct schema_rows_options options;
    struct result_file files[FILES]; /* predictions, failures */
    char cause[200];                 /* of a failure to write; "" */
    bool warned;                     /* that the disk is full */
    int64_t first;                   /* row at which this attempt began */
    int64_t synced_ms, sync_cost_ms;
};

/* ---- files ----------------------------------------------------------------------------------------------------------------------------------- */

/* A disk that is full or fails is waited for: what was predicted is on disk or in memory. False: a command has ended the wait. */
static bool wait_for_disk(struct predicting *w, int cause) {
    char text[400];
    snprintf(text, sizeof text, "the predictions cannot be written: %s; free space on the disk; the job retries every second", strerror(cause));
    if (!w->warned) {
        process_warn(w->p, text);
        json_t *message = json_pack("{s:s, s:o}", "kind", "report", "report", process_rows_report(w->p, NULL));
        process_say(message);
        json_decref(message);
    }
    w->warned = true;
    for (int i = 0; i < 50; i++) {
        struct timespec pause = {.tv_nsec = 20000000};
        heartbeat_step();
        if (process_commanded(w->p)) return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static bool write_file(void *context, bool failures, const char *bytes, size_t size) {
    struct predicting *w = context;
    struct result_file *file = &w->files[failures];
    while (size > 0) {
        const ssize_t n = write(file->fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 && (n == 0 || errno == ENOSPC || errno == EDQUOT)) {
            if (!wait_for_disk(w, n ? errno : ENOSPC)) return false;
            continue;
        }
        if (n < 0) {
            snprintf(w->cause, sizeof w->cause, "the predictions cannot be written: %s", strerror(errno));
            return false;
        }
        file->crc = schema_crc32(file->crc, bytes, (size_t)n);
        bytes += n, size -= (size_t)n;
        file->bytes += n;
    }
    return true;
}

/* The file as the last attempt that was recorded left it. */
static int open_file(struct predicting *w, int k, const json_t *place) {
    const json_int_t bytes = json_integer_value(json_array_get(place, 1));
    w->files[k] = (struct result_file){k ? WIRE_FAILURES : WIRE_PREDICTIONS, bytes, (uint32_t)json_integer_value(json_array_get(place, 2))};
    if (bytes == 0) w->files[k].crc = 0;
    if (ftruncate(w->files[k].fd, bytes) == 0 && lseek(w->files[k].fd, bytes, SEEK_SET) == bytes) return 0;
    return process_fail(w->p, "storage", "the file of the results cannot be written: %s", strerror(errno)), -1;
}

/* ---- reports ----------------------------------------------------------------------------------------------------------------------------------- */

static json_t *progress(const struct predicting *w) {
    struct schema_batch_place place;
    schema_batch_place(w->batch, &place);
    const double elapsed = clock_seconds() - w->p->started, rows = (double)w->p->dataset->rows;
    const double rate = elapsed > 0 ? (double)(place.row - w->first) / elapsed : 0;
    return json_pack("{s:I, s:I, s:I, s:f, s:o, s:o}", "rows", (json_int_t)place.row, "rows_total", (json_int_t)w->p->dataset->rows, "failed_rows",
                     (json_int_t)place.failed, "fraction", rows > 0 ? (double)place.row / rows : 1, "rows_per_second",
                     rate > 0 ? json_real(round(rate)) : json_null(), "eta_seconds",
                     rate > 0 ? json_real(ceil(100 * (rows - (double)place.row) / rate) / 100) : json_null());
}

static json_t *part(const struct predicting *w, int k, int64_t rows) {
    return json_pack("[I, I, I]", (json_int_t)rows, (json_int_t)w->files[k].bytes, (json_int_t)w->files[k].crc);
}

/* What is on disk. */
static json_t *message_of(const struct predicting *w, const char *kind) {
    struct schema_batch_place place;
    schema_batch_place(w->batch, &place);
    return json_pack("{s:s, s:{s:o, s:o, s:o}, s:o}", "kind", kind, "results", "predictions", part(w, 0, place.good), "failures",
                     part(w, 1, place.failed), "state", schema_batch_counts(w->batch), "report", process_rows_report(w->p, progress(w)));
}

static void say(const struct predicting *w, const char *kind) {
    json_t *message = message_of(w, kind);
    process_say(message);
    json_decref(message);
}

/* Everything so far to the disk. 1: a command came in between. */
static int sync_files(struct predicting *w) {
    struct bp_error error = {0};
    const enum pulse_phase phase = heartbeat_phase(PULSE_CHECKPOINT);
    const int64_t began = clock_ms();
    if (schema_batch_write(w->batch, &error) != 0) {
        if (error.message[0]) return process_fail_rows(w->p, &error);
        return w->cause[0] ? (process_fail(w->p, "storage", "%s", w->cause), -1) : 1;
    }
    for (int k = 0; k < FILES; k++)
        while (fsync(w->files[k].fd) != 0) {
            if (errno != ENOSPC && errno != EDQUOT)
                return process_fail(w->p, "storage", "the results cannot be written to disk: %s", strerror(errno)), -1;
            if (!wait_for_disk(w, errno)) return 1;
        }
    heartbeat_phase(phase);
    w->synced_ms = clock_ms();
    w->sync_cost_ms = w->synced_ms - began;
    return 0;
}

static bool sync_is_due(const struct predicting *w, int64_t now) {
    const int64_t pause = SYNC_COST * w->sync_cost_ms;
    return now - w->synced_ms >= (pause > SYNC_MIN_MS ? pause : SYNC_MIN_MS);
}

static void warn(void *context, const char *text) {
    struct process *p = context;
    if (json_array_size(p->warnings) >= WARNINGS_MAX) return;
    process_event(p, "log", "warning", 0, text, NULL);
    json_array_append_new(p->warnings, json_string(text));
    p->warned = true;
}

static int finish(struct predicting *w) {
    const int ended = sync_files(w);
    if (ended != 0) return ended;
    schema_batch_warnings(w->batch, warn, w->p);
    say(w, "done");
    return 0;
}

/* ---- the work ------------------------------------------------------------------------------------------------------------------------------------
 */

static int end_commanded(struct predicting *w, bool broken) {
    const bool stop = atomic_load(&w->p->command) == COMMAND_STOP;
    predict_lanes_free(w->lanes); /* a job that is reported as paused has no process for long */
    w->lanes = NULL;
    if (stop && !broken && sync_files(w) == 0) say(w, "results");
    json_t *message = json_pack("{s:s, s:o}", "kind", stop ? "yield" : "cancelled", "report", process_rows_report(w->p, NULL));
    process_say(message);
    json_decref(message);
    return 0;
}

/* Further rows. 0: there were none yet. */
static int predict_some(struct predicting *w, struct bp_error *error) {
    const int taken = w->lanes ? predict_lanes_next(w->lanes, WAIT_MS, error) : schema_batch_next(w->batch, error) == 0 ? 1 : -1;
    if (taken > 0) heartbeat_step();
    return taken > 0 && w->lanes && schema_batch_write(w->batch, error) != 0 ? -1 : taken;
}

static int predict(struct predicting *w) {
    struct bp_error error = {0};
    struct schema_batch_place place;
    int ended = 0;
    heartbeat_phase(PULSE_PREDICTING);
    w->synced_ms = clock_ms();
    for (;;) {
        schema_batch_place(w->batch, &place);
        if (place.row == w->p->dataset->rows) break;
        if (process_commanded(w->p)) return end_commanded(w, false);
        if (predict_some(w, &error) < 0) {
            if (error.message[0]) return process_fail_rows(w->p, &error);
            if (!w->cause[0]) return end_commanded(w, true); /* while it waited for the disk */
            return process_fail(w->p, "storage", "%s", w->cause);
        }
        const int64_t now = clock_ms();
        if (sync_is_due(w, now)) {
            if ((ended = sync_files(w)) != 0) return ended > 0 ? end_commanded(w, true) : -1;
            say(w, "results");
        } else if (now - w->p->reported_ms >= PROGRESS_MS) {
            json_t *message = json_pack("{s:s, s:o}", "kind", "report", "report", process_rows_report(w->p, progress(w)));
            process_say(message);
            json_decref(message);
        }
    }
    ended = finish(w);
    return ended > 0 ? end_commanded(w, true) : ended;
}

static int open_batch(struct predicting *w) {
    const json_t *spec = json_object_get(w->p->order, "spec"), *results = json_object_get(w->p->order, "results");
    const json_t *good = json_object_get(results, "predictions"), *failed = json_object_get(results, "failures");
    const char *form = json_string_value(json_object_get(spec, "format"));
    const int named = form ? schema_rows_form_of(form) : -1;
    struct schema_problems problems = {0};
    struct schema_batch_place place = {.good = json_integer_value(json_array_get(good, 0)), .failed = json_integer_value(json_array_get(failed, 0))};
    w->options = (struct schema_rows_options){.form = named < 0 ? SCHEMA_FORM_CSV : (enum schema_rows_form)named,
                                              .apart = true,
                                              .keep = json_string_value(json_object_get(spec, "keep")),
                                              .lenient = json_is_false(json_object_get(spec, "strict")),
                                              .thresholds = json_object_get(spec, "thresholds"),
                                              .coverage = json_object_get(spec, "coverage"),
                                              .writer = {write_file, w}};
    if (!(w->batch = schema_batch_open(w->model, w->p->dataset, &w->options, &problems))) {
        process_fail(w->p, problems.code == BP_ERROR_MEMORY ? "out_of_memory" : "invalid", "%s",
                     problems.total ? problems.items[0].detail : "no memory");
        schema_problems_clear(&problems);
        return -1;
    }
    if (open_file(w, 0, good) != 0 || open_file(w, 1, failed) != 0) return -1;
    place.row = w->first = place.good + place.failed;
    if (place.row > 0) {
        schema_batch_resume(w->batch, &place, json_object_get(results, "state"));
        w->p->resumed_from = place.row;
        process_note("resumes after row %lld", (long long)place.row);
    }
    return 0;
}

/* Threads, where the spec has several and there is work for them. Without memory for them this thread predicts by itself. */
static void open_lanes(struct predicting *w) {
    const json_int_t asked = json_integer_value(json_object_get(json_object_get(w->p->order, "spec"), "threads"));
    const int64_t pieces = (w->p->dataset->rows - w->first) / predict_lanes_piece(w->batch) + 1;
    const int32_t threads = (int32_t)(asked < pieces ? asked : pieces);
    struct bp_error error = {0};
    if (threads < 2 || (w->lanes = predict_lanes_new(w->batch, threads, &error))) return;
    process_note("predicts in one thread: %s", error.message);
}

int process_predict(struct process *p) {
    struct predicting w = {.p = p};
    if (process_confine(p) != 0 || process_open_dataset(p) != 0 || !(w.model = process_model(p, WIRE_INIT, "calibration")) || open_batch(&w) != 0)
        return 1;
    p->started = clock_seconds();
    if (process_listen(p) != 0) return 1;
    open_lanes(&w);
    const int status = predict(&w);
    predict_lanes_free(w.lanes);
    schema_batch_close(w.batch);
    schema_model_free(w.model);
    return status == 0 ? 0 : 1;
}
