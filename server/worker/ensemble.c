/* ensemble.c - see ensemble.h. Sections: a member, the threads, what is reported, files. What the members come to together is in ensemble_result.c.
 */
#include "server/worker/ensemble_private.h"

#include "schema/memory.h"
#include "schema/predict/safetensors.h"
#include "server/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_KEPT = 10000 };

/* ---- a member --------------------------------------------------------------------------------------------------------------------------- */

static bool is_stopped(const struct ensemble *e) {
    return atomic_load_explicit(&e->stop, memory_order_relaxed);
}

static double seconds_now(const struct ensemble *e) {
    return e->options.seconds_before + (e->started > 0 ? clock_seconds() - e->started : 0);
}

/* The best weights' predictions of the rows that validated. */
static int predict_held(struct ensemble *e, struct member *m, struct run *run, const bp_real *weights, struct bp_error *error) {
    enum { BATCH = 256 };
    const struct bp_network *net = run->training->network;
    const int32_t width = (int32_t)bp_shape_size(&net->outputs[0].shape);
    struct bp_workspace *workspace = NULL;
    struct bp_batch batch = {0};
    const struct schema_split *split = run->other ? &run->held : &run->split;
    if (!e->measurable || !run->validation) return 0;
    m->held = run->validation_count;
    m->rows = malloc(((size_t)m->held + 1) * sizeof *m->rows);
    m->predictions = malloc(((size_t)m->held * (size_t)width + 1) * sizeof *m->predictions);
    batch.targets[0] = malloc((size_t)BATCH * (size_t)width * sizeof(bp_real));
    batch.weights = malloc(BATCH * sizeof(bp_real));
    batch.counts = malloc(BATCH * sizeof(bp_real));
    int failed = m->rows && m->predictions && batch.targets[0] && batch.weights && batch.counts
                     ? bp_workspace_new(net, BATCH, false, &workspace, error)
                     : bp_error_memory(error, "no memory for the predictions of %lld rows", (long long)m->held);
    for (int32_t i = 0; !failed && i < net->inputs_count; i++) batch.inputs[i] = bp_workspace_input(workspace, i);
    for (int64_t first = 0; !failed && first < m->held; first += BATCH) {
        int64_t samples[BATCH];
        const int32_t n = (int32_t)(m->held - first < BATCH ? m->held - first : BATCH);
        for (int32_t i = 0; i < n; i++) {
            samples[i] = first + i;
            m->rows[first + i] = (double)split->validation[first + i];
        }
        run->validation_batches.fill(run->validation_batches.context, samples, n, &batch);
        memcpy(m->predictions + first * width, bp_predict(net, weights, workspace, n), (size_t)n * (size_t)width * sizeof *m->predictions);
    }
    bp_workspace_free(workspace);
    free(batch.targets[0]);
    free(batch.weights);
    free(batch.counts);
    return failed;
}

/* Which member it is, as events and entries name it. */
static void name_member(const struct ensemble *e, const struct member *m, json_t *json) {
    const struct schema_member *plan = &e->plan->members[m - e->members];
    if (e->plan->families[plan->family].name[0]) json_object_set_new(json, "family", json_string(e->plan->families[plan->family].name));
    if (plan->fold) json_object_set_new(json, "fold", json_integer(plan->fold));
    if (e->plan->repeats > 1) json_object_set_new(json, "repeat", json_integer(plan->repeat + 1));
}

static json_t *describe(const struct ensemble *e, const struct member *m, const struct run *run, int64_t epochs, const json_t *metrics) {
    const bool best = run_keeps_best(run);
    json_t *json = json_object();
    name_member(e, m, json);
    json_object_set_new(json, "train_rows", json_integer(run->split.train_count));
    json_object_set_new(json, "validation_rows", json_integer(run->validation_count));
    json_object_set_new(json, "epoch", json_integer(best ? run->best_epoch : epochs));
    json_object_set_new(json, "epochs", json_integer(epochs));
    json_object_set(json, "metrics", best ? run->best_metrics : (json_t *)metrics);
    if (run->stop_reason[0]) json_object_set_new(json, "stop_reason", json_string(run->stop_reason));
    return json;
}

/* An epoch of a member, for the events: numbered over all members, in the order in which they end. */
static void report_epoch(struct ensemble *e, struct member *m, const json_t *metrics) {
    pthread_mutex_lock(&e->lock);
    const int64_t number = ++e->epochs, every = (e->epochs_at_most + EVENTS_KEPT - 1) / EVENTS_KEPT;
    if (m->epoch == 1 || number % every == 0) {
        json_t *data = json_pack("{s:I, s:I}", "epoch", (json_int_t)number, "fold_epoch", (json_int_t)m->epoch);
        name_member(e, m, data);
        json_object_update(data, (json_t *)metrics);
        json_array_append_new(e->events, data);
        pthread_cond_signal(&e->news);
    }
    pthread_mutex_unlock(&e->lock);
}

/* Trains until the end; 1 when stopped before, -1 with the error. */
static int train_member(struct ensemble *e, struct member *m, struct run *run, json_t **metrics, struct bp_error *error) {
    for (;;) {
        if (is_stopped(e)) return 1;
        if (m->limit > 0 && run_is_cut(run, m->epoch, seconds_now(e), m->limit)) return 0;
        const enum bp_train_event event = bp_trainer_step(run->trainer);
        if (e->options.step) e->options.step();
        if (event == BP_TRAIN_DONE) return 0;
        if (event == BP_TRAIN_DIVERGED) {
            int64_t epoch;
            if (bp_trainer_good(run->trainer, &epoch)) return 0;
            return bp_error_set(error, "", "the loss is not finite any more in epoch %lld; check the data for extreme values",
                                (long long)m->epoch + 1);
        }
        if (event != BP_TRAIN_EPOCH) continue;
        bool improved;
        json_decref(*metrics);
        atomic_store(&m->epoch, m->epoch + 1);
        *metrics = run_epoch(run, m->epoch, &improved);
        report_epoch(e, m, *metrics);
    }
}

static int keep(struct ensemble *e, struct member *m, struct run *run, const json_t *metrics, struct bp_error *error) {
    int64_t epoch;
    const bp_real *weights = run_end(run, m->epoch, run->options.epochs);
    if (run->stop_reason[0] == '\0' && m->epoch < run->options.epochs) weights = bp_trainer_good(run->trainer, &epoch); /* it has diverged */
    const size_t count = run->training->network->weights_count;
    bp_real *copy = bp_reals_new(count);
    if (!copy) return bp_error_memory(error, "no memory for the weights of a member");
    memcpy(copy, weights, count * sizeof *copy);
    if (predict_held(e, m, run, copy, error) != 0) {
        free(copy);
        return -1;
    }
    m->entry = describe(e, m, run, m->epoch, metrics);
    m->weights_count = count;
    m->weights = copy;
    return 0;
}

static void fit_member(struct ensemble *e, struct member *m) {
    struct bp_error error = {0};
    struct run run = {0};
    json_t *metrics = NULL;
    const double began = clock_seconds();
    int failed = -1;
    pthread_mutex_lock(&e->lock); /* jansson counts references to the spec, and not all of that is atomic */
    struct schema_training *training = schema_ensemble_member(e->options.spec, e->plan, (int32_t)(m - e->members), &error);
    pthread_mutex_unlock(&e->lock);
    if (training) failed = run_open(&run, training, e->options.dataset, e->options.other, &error);
    if (!failed) {
        atomic_store(&m->train_rows, run.split.train_count);
        failed = train_member(e, m, &run, &metrics, &error);
    }
    if (!failed) failed = keep(e, m, &run, metrics, &error);
    json_decref(metrics);
    run_close(&run);
    schema_training_free(training);
    pthread_mutex_lock(&e->lock);
    m->state = failed ? MEMBER_WAITING : MEMBER_FINISHED;
    m->seconds = failed ? 0 : clock_seconds() - began;
    e->running--;
    if (failed < 0) {
        if (!e->error.message[0])
            bp_error_wrap(&e->error, &error, error.pointer, "%s%sfold %d: %s", e->plan->families[e->plan->members[m - e->members].family].name,
                          e->plan->families[e->plan->members[m - e->members].family].name[0] ? ", " : "", (int)e->plan->members[m - e->members].fold,
                          error.message);
        atomic_store(&e->stop, true);
    }
    e->finished += !failed;
    pthread_cond_signal(&e->news);
    pthread_mutex_unlock(&e->lock);
}

/* ---- the threads ------------------------------------------------------------------------------------------------------------------------- */

/* What a member of that family takes: the longest that one has taken in this attempt. Until one has ended, more than any. Lock held. */
static double seconds_of_family(const struct ensemble *e, int32_t family) {
    double longest = 0;
    for (int32_t i = 0; i < e->plan->members_count; i++)
        if (e->plan->members[i].family == family && e->members[i].seconds > longest) longest = e->members[i].seconds;
    return longest > 0 ? longest : (double)INFINITY;
}

/* The next member to train, marked as under way; NULL: there is none, or no time for it. Fold by fold if time is limited, so that what is done by
 * then has members of all families; else the longest first, so that the threads end together. Which comes first changes no bit of the result. */
static struct member *next_member(struct ensemble *e) {
    struct member *next = NULL;
    int32_t left = 0;
    pthread_mutex_lock(&e->lock);
    const double most = e->options.max_seconds, seconds = seconds_now(e);
    double longest = -1;
    for (int32_t i = 0; i < e->plan->members_count; i++) {
        if (e->members[i].state != MEMBER_WAITING) continue;
        const double expected = most > 0 ? 0 : seconds_of_family(e, e->plan->members[i].family);
        left++;
        if (expected <= longest) continue;
        next = &e->members[i];
        longest = expected;
    }
    if (is_stopped(e) || (next && most > 0 && seconds >= most && e->finished > 0)) next = NULL;
    if (next) {
        const double turns = (double)(left + e->threads_count - 1) / e->threads_count;
        next->limit = most > 0 ? seconds + (most > seconds ? (most - seconds) / ceil(turns) : 0) : 0;
        next->state = MEMBER_RUNNING;
        atomic_store(&next->epoch, 0);
        e->running++;
    }
    pthread_mutex_unlock(&e->lock);
    return next;
}

static void *work(void *context) {
    struct ensemble *e = context;
    struct member *m;
    bp_flush_denormals();
    while ((m = next_member(e))) fit_member(e, m);
    pthread_mutex_lock(&e->lock);
    e->threads_running--;
    pthread_cond_signal(&e->news);
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

int ensemble_open(const struct ensemble_options *options, struct ensemble **ensemble, struct bp_error *error) {
    struct ensemble *e = calloc(1, sizeof *e);
    *ensemble = NULL;
    if (!e) return bp_error_memory(error, "no memory for an ensemble");
    e->options = *options;
    e->events = json_array();
    pthread_mutex_init(&e->lock, NULL);
    clock_condition_init(&e->news);
    if (!(e->plan = schema_ensemble_decode(options->spec, error))) {
        ensemble_close(e);
        return -1;
    }
    e->measurable = true;
    const struct bp_network *first = e->plan->families[0].training->network;
    for (int32_t f = 0; f < e->plan->families_count; f++) {
        const struct schema_training *t = e->plan->families[f].training;
        e->measurable =
            e->measurable && schema_measurable(t) && bp_shape_size(&t->network->outputs[0].shape) == bp_shape_size(&first->outputs[0].shape);
    }
    e->width = (int32_t)bp_shape_size(&first->outputs[0].shape);
    for (int32_t i = 0; i < e->plan->members_count; i++) e->epochs_at_most += e->plan->families[e->plan->members[i].family].training->options.epochs;
    *ensemble = e;
    return 0;
}

void ensemble_count(struct ensemble *e, int64_t epochs) {
    e->epochs = epochs;
}

int ensemble_start(struct ensemble *e, struct bp_error *error) {
    e->threads_count = e->options.threads < 1 ? 1 : e->options.threads > ENSEMBLE_THREADS_MAX ? ENSEMBLE_THREADS_MAX : e->options.threads;
    if (e->threads_count > e->plan->members_count) e->threads_count = e->plan->members_count;
    e->started = clock_seconds();
    for (int32_t i = 0; i < e->threads_count; i++) {
        pthread_mutex_lock(&e->lock);
        e->threads_running++;
        pthread_mutex_unlock(&e->lock);
        const int failed = pthread_create(&e->threads[i], NULL, work, e);
        if (!failed) {
            e->threads_started++;
            continue;
        }
        pthread_mutex_lock(&e->lock);
        e->threads_running--;
        pthread_mutex_unlock(&e->lock);
        if (i == 0) return bp_error_io(error, "cannot start a thread: %s", strerror(failed));
    }
    return 0;
}

bool ensemble_wait(struct ensemble *e, int64_t ms, json_t **events) {
    const struct timespec until = clock_after(ms);
    pthread_mutex_lock(&e->lock);
    if (e->threads_running > 0) pthread_cond_timedwait(&e->news, &e->lock, &until);
    *events = e->events;
    e->events = json_array();
    const bool more = e->threads_running > 0;
    pthread_mutex_unlock(&e->lock);
    return more;
}

void ensemble_stop(struct ensemble *e) {
    atomic_store(&e->stop, true);
    for (int32_t i = 0; i < e->threads_started; i++) pthread_join(e->threads[i], NULL);
    e->threads_started = 0;
}

void ensemble_close(struct ensemble *e) {
    if (!e) return;
    ensemble_stop(e);
    for (int32_t i = 0; i < SCHEMA_MEMBERS_MAX; i++) {
        free(e->members[i].weights);
        free(e->members[i].predictions);
        free(e->members[i].rows);
        json_decref(e->members[i].entry);
    }
    ensemble_result_free(e);
    json_decref(e->events);
    schema_ensemble_free(e->plan);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->news);
    free(e);
}

/* ---- what is reported -------------------------------------------------------------------------------------------------------------------- */

const struct schema_ensemble *ensemble_plan(const struct ensemble *e) {
    return e->plan;
}

int32_t ensemble_finished(struct ensemble *e) {
    pthread_mutex_lock(&e->lock);
    const int32_t finished = e->finished;
    pthread_mutex_unlock(&e->lock);
    return finished;
}

bool ensemble_cut(struct ensemble *e) {
    pthread_mutex_lock(&e->lock);
    bool cut = e->finished < e->plan->members_count;
    for (int32_t i = 0; i < e->plan->members_count; i++) {
        const char *reason = json_string_value(json_object_get(e->members[i].entry, "stop_reason"));
        cut = cut || (reason && strcmp(reason, "max_seconds") == 0);
    }
    pthread_mutex_unlock(&e->lock);
    return cut;
}

bool ensemble_failed(struct ensemble *e, struct bp_error *error) {
    pthread_mutex_lock(&e->lock);
    const bool failed = e->error.message[0] != '\0';
    if (failed && error) *error = e->error;
    pthread_mutex_unlock(&e->lock);
    return failed;
}

void ensemble_progress(struct ensemble *e, struct ensemble_progress *p) {
    double done = 0;
    pthread_mutex_lock(&e->lock);
    *p = (struct ensemble_progress){.epochs = e->epochs, .epochs_at_most = e->epochs_at_most};
    for (int32_t i = 0; i < e->plan->members_count; i++) {
        const struct member *m = &e->members[i];
        const int32_t most = e->plan->families[e->plan->members[i].family].training->options.epochs;
        p->samples += m->epoch * m->train_rows;
        if (m->train_rows > p->rows) p->rows = m->train_rows;
        done += m->state == MEMBER_FINISHED ? 1 : (double)m->epoch / most;
    }
    p->fraction = e->threads_running == 0 && !is_stopped(e) ? 1 : done / e->plan->members_count;
    pthread_mutex_unlock(&e->lock);
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------------- */

const char ensemble_format[] = "backpropd-ensemble/1";

static struct schema_tensor flat(const char *name, int32_t member, enum schema_dtype dtype, const void *data, int64_t n) {
    struct schema_tensor t = {.dtype = dtype, .rank = 1, .dims = {n}, .data = data, .bytes = (size_t)n * (dtype == SCHEMA_F64 ? 8 : 4)};
    snprintf(t.name, sizeof t.name, "%d/%s", (int)member, name);
    return t;
}

int ensemble_save(struct ensemble *e, int fd, const json_t *notes, struct bp_error *error) {
    struct schema_tensor *tensors = calloc(3 * SCHEMA_MEMBERS_MAX, sizeof *tensors);
    json_t *entries = json_object();
    int32_t count = 0;
    size_t size;
    pthread_mutex_lock(&e->lock);
    for (int pass = 0; tensors && pass < 2; pass++) /* those of 8 bytes first, so that they are aligned */
        for (int32_t i = 0; i < e->plan->members_count; i++) {
            const struct member *m = &e->members[i];
            if (m->state != MEMBER_FINISHED) continue;
            if (pass == 0 && m->rows) tensors[count++] = flat("rows", i, SCHEMA_F64, m->rows, m->held);
            if (pass == 1 && m->rows) tensors[count++] = flat("predictions", i, SCHEMA_F32, m->predictions, m->held * e->width);
            if (pass == 1) tensors[count++] = flat("weights", i, SCHEMA_F32, m->weights, (int64_t)m->weights_count);
            char name[16];
            snprintf(name, sizeof name, "%d", (int)i);
            if (pass == 1) json_object_set(entries, name, m->entry);
        }
    pthread_mutex_unlock(&e->lock);
    char *entries_text = schema_json_dump(entries, JSON_COMPACT), *notes_text = schema_json_dump(notes, JSON_COMPACT);
    json_t *metadata =
        entries_text && notes_text ? json_pack("{s:s, s:s, s:s}", "format", ensemble_format, "members", entries_text, "notes", notes_text) : NULL;
    const int failed =
        tensors && metadata ? schema_safetensors_write(fd, tensors, count, metadata, &size, error) : bp_error_memory(error, "no memory");
    json_decref(metadata);
    json_decref(entries);
    free(entries_text);
    free(notes_text);
    free(tensors);
    return failed;
}

/* A copy of the member's tensor; NULL: there is none of that kind, or no memory. */
static void *copy_of(const struct schema_tensor *tensors, int32_t count, const char *name, int32_t member, enum schema_dtype dtype, int64_t *n) {
    const struct schema_tensor wanted = flat(name, member, dtype, NULL, 0), *t = schema_safetensors_find(tensors, count, wanted.name);
    if (!t || t->dtype != dtype || t->rank != 1) return NULL;
    void *copy = dtype == SCHEMA_F32 ? (void *)bp_reals_new((size_t)t->dims[0]) : malloc(t->bytes + 1);
    if (copy) memcpy(copy, t->data, t->bytes);
    *n = t->dims[0];
    return copy;
}

static int load_member(struct ensemble *e, int32_t i, const struct schema_tensor *tensors, int32_t count, json_t *entry) {
    struct member *m = &e->members[i];
    int64_t weights = 0, numbers = 0;
    m->weights = copy_of(tensors, count, "weights", i, SCHEMA_F32, &weights);
    m->rows = copy_of(tensors, count, "rows", i, SCHEMA_F64, &m->held);
    m->predictions = copy_of(tensors, count, "predictions", i, SCHEMA_F32, &numbers);
    m->weights_count = (size_t)weights;
    const struct bp_network *net = e->plan->families[e->plan->members[i].family].training->network;
    if (!m->weights || m->weights_count != net->weights_count || !m->rows != !m->predictions || numbers != m->held * e->width) return -1;
    m->entry = json_incref(entry);
    m->state = MEMBER_FINISHED;
    m->epoch = json_integer_value(json_object_get(entry, "epochs"));
    m->train_rows = json_integer_value(json_object_get(entry, "train_rows"));
    e->finished++;
    return 0;
}

static json_t *load_object(const json_t *metadata, const char *name) {
    const char *text = json_string_value(json_object_get(metadata, name));
    return text ? schema_json_load(text, strlen(text), 0, NULL) : NULL;
}

int ensemble_load(struct ensemble *e, const void *bytes, size_t size, json_t **notes, struct bp_error *error) {
    struct schema_tensor *tensors = NULL;
    int32_t count = 0;
    json_t *metadata = NULL, *entry;
    const char *name;
    *notes = NULL;
    if (schema_safetensors_read(bytes, size, &tensors, &count, &metadata, error) != 0) return -1;
    const char *is = json_string_value(json_object_get(metadata, "format"));
    json_t *entries = load_object(metadata, "members");
    int failed = is && strcmp(is, ensemble_format) == 0 && json_is_object(entries) ? 0 : -1;
    json_object_foreach(entries, name, entry) {
        const int32_t i = (int32_t)strtol(name, NULL, 10);
        if (!failed) failed = i < 0 || i >= e->plan->members_count ? -1 : load_member(e, i, tensors, count, entry);
    }
    *notes = load_object(metadata, "notes");
    json_decref(entries);
    json_decref(metadata);
    free(tensors);
    return failed && !error->message[0] ? bp_error_set(error, "", "this is not a checkpoint of the ensemble, or it is damaged") : failed;
}
