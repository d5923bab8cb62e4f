/* process_compare.c - the job process compares what it has trained with the version that is served, for publish "if_better". The supervisor sends the
 * served version as a file. The store publishes the new one if it is better and the other is still the one that is served. */
#include "server/worker/compare.h"
#include "server/worker/process.h"

#include "server/jobs/wire.h"
#include "server/worker/heartbeat.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the served version ------------------------------------------------------------------------------------------------------------------ */

void process_served_begin(struct process *p) {
    pthread_mutex_init(&p->served.lock, NULL);
    pthread_cond_init(&p->served.changed, NULL);
    p->served.fd = -1;
}

void process_served_arrived(struct process *p, const json_t *message, int fd) {
    struct served *s = &p->served;
    const char *refusal = json_string_value(json_object_get(message, "error"));
    pthread_mutex_lock(&s->lock);
    if (s->fd >= 0) close(s->fd);
    s->fd = fd;
    s->version = json_integer_value(json_object_get(message, "version"));
    snprintf(s->refusal, sizeof s->refusal, "%s", refusal ? refusal : "");
    s->arrived = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* NULL: none is served, or it cannot be read, which the refusal says. */
static struct schema_model *served_model(struct process *p, char *refusal, size_t size) {
    struct served *s = &p->served;
    struct bp_error error = {0};
    struct schema_model *model = NULL;
    struct stat info;
    json_t *message = json_pack("{s:s}", "kind", "served");
    s->arrived = false;
    process_say(message);
    json_decref(message);
    pthread_mutex_lock(&s->lock);
    while (!s->arrived) pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    refusal[0] = '\0';
    if (s->refusal[0]) snprintf(refusal, size, "%s", s->refusal);
    if (s->fd < 0) return NULL;
    void *bytes = fstat(s->fd, &info) == 0 && info.st_size > 0 ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, s->fd, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED) snprintf(refusal, size, "%s", strerror(errno));
    else {
        model = schema_model_read(bytes, (size_t)info.st_size, &error);
        if (!model) snprintf(refusal, size, "%.300s", error.message[0] ? error.message : "no memory");
        munmap(bytes, (size_t)info.st_size);
    }
    close(s->fd);
    s->fd = -1;
    return model;
}

/* ---- the comparison ----------------------------------------------------------------------------------------------------------------------- */

/* The value of the new version: of its validation rows, or over the folds. */
static double own_value(const json_t *document, const char *metric) {
    char key[BP_NAME_MAX + 32];
    const json_t *metrics = json_object_get(document, "metrics"), *value = json_object_get(metrics, metric);
    snprintf(key, sizeof key, "cross_validated_%s", metric + strlen("val_"));
    if (!json_is_number(value)) value = json_object_get(metrics, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* The rows that validate, of the dataset that has them. */
static int rows_of(struct process *p, bool of_folds, struct schema_split *split, struct bp_error *error) {
    const struct schema_dataset *dataset = p->other ? p->other : p->dataset;
    struct schema_view *view = schema_view_new(p->training->preprocessing, dataset, true, error);
    int failed = view ? 0 : -1;
    if (view && p->other) failed = schema_training_held(p->training, view, split, error);
    else if (view && of_folds) failed = schema_training_known(p->training, view, split, error);
    else if (view) failed = schema_training_split(p->training, view, split, error);
    schema_view_free(view);
    return failed;
}

static void name_data(const struct process *p, struct compare *c, char *name, size_t size) {
    const json_t *dataset = json_object_get(p->order, "dataset");
    const char *other = p->training->options.validation_dataset, *at = strchr(other, '@');
    if (p->other) snprintf(name, size, "%.*s", (int)strcspn(other, "@"), other);
    else snprintf(name, size, "%s", json_string_value(json_object_get(dataset, "name")));
    c->name = name;
    c->version = p->other ? at ? strtoll(at + 1, NULL, 10) : 0 : json_integer_value(json_object_get(dataset, "version"));
}

/* That of early stopping, else the loss, or what an ensemble is measured by. */
static const char *metric_of(const struct schema_options *options, const json_t *document) {
    static const char *const usual[] = {"val_loss", "val_log_loss", "val_rmse"};
    if (options->stop_early && options->stop_metric[0] && strcmp(options->stop_metric, usual[0]) != 0) return options->stop_metric;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (isfinite(own_value(document, usual[i]))) return usual[i];
    return usual[0];
}

static json_t *compare(struct process *p, const json_t *document, const struct schema_model *served) {
    struct schema_split split = {0};
    struct bp_error error = {0};
    char name[300];
    const struct schema_options *options = &p->training->options;
    const char *metric = metric_of(options, document);
    if (strncmp(metric, "val_", 4) != 0)
        return compare_refused(metric, "%s is not of validation rows; set early_stopping.metric to one that starts with val_", metric);
    struct compare c = {.training = p->training,
                        .dataset = p->other ? p->other : p->dataset,
                        .metric = metric,
                        .value = own_value(document, metric),
                        .batch_size = options->batch_size,
                        .of_folds = !p->other && (p->ensemble ? ensemble_plan(p->ensemble)->folds > 0 : options->folds > 0),
                        .step = heartbeat_step,
                        .stop = process_commanded,
                        .context = p};
    name_data(p, &c, name, sizeof name);
    if (rows_of(p, c.of_folds, &split, &error) != 0) return compare_refused(metric, "the validation rows cannot be read: %.300s", error.message);
    c.rows = split.validation;
    c.n = split.validation_count;
    json_t *result = c.n > 0 ? compare_with_served(&c, served, p->served.version)
                             : compare_refused(metric, "the job has no validation rows; give it \"validation\":{\"fraction\":0.2}, or a dataset");
    schema_split_free(&split);
    return result;
}

json_t *process_compare(struct process *p, const json_t *document) {
    const char *publish = json_string_value(json_object_get(p->order, "publish"));
    char refusal[400];
    if (!publish || strcmp(publish, "if_better") != 0) return NULL;
    heartbeat_phase(PULSE_MODEL);
    struct schema_model *served = served_model(p, refusal, sizeof refusal);
    json_t *comparison = served       ? compare(p, document, served)
                         : refusal[0] ? compare_refused("val_loss", "the version that is served cannot be read: %.300s", refusal)
                                      : json_object();
    schema_model_free(served);
    json_object_set_new(comparison, "served", json_integer(p->served.version));
    const char *reason = json_string_value(json_object_get(comparison, "reason"));
    if (reason) process_note("compared with version %lld: %s", (long long)p->served.version, reason);
    return comparison;
}
