/* draft.c - files for checkpoints and the model. The supervisor makes and names them, and sends descriptors: this process names no path. One is
 * always requested ahead, so that a checkpoint rarely waits for the supervisor. */
#include "server/worker/process.h"

#include "server/jobs/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void process_draft_begin(struct process *p, bool given) {
    struct draft *d = &p->draft;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    *d = (struct draft){.lock = d->lock, .changed = d->changed, .fd = given ? WIRE_DRAFT : -1, .number = given ? 1 : 0};
}

static void ask(struct draft *d) {
    json_t *message = json_pack("{s:s}", "kind", "file");
    pthread_mutex_lock(&d->lock);
    d->requested = true;
    d->refusal[0] = '\0';
    pthread_mutex_unlock(&d->lock);
    process_say(message);
    json_decref(message);
}

void process_draft_arrived(struct process *p, const json_t *message, int fd) {
    struct draft *d = &p->draft;
    const char *refusal = json_string_value(json_object_get(message, "error"));
    pthread_mutex_lock(&d->lock);
    d->requested = false;
    d->fd = fd;
    d->number = json_integer_value(json_object_get(message, "number"));
    d->cause = (int)json_integer_value(json_object_get(message, "errno"));
    if (fd < 0) snprintf(d->refusal, sizeof d->refusal, "%s", refusal ? refusal : "no file was sent");
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

int process_draft(struct process *p, int *cause, struct bp_error *error) {
    struct draft *d = &p->draft;
    pthread_mutex_lock(&d->lock);
    const bool none = d->fd < 0 && !d->requested;
    pthread_mutex_unlock(&d->lock);
    if (none) ask(d);
    pthread_mutex_lock(&d->lock);
    while (d->requested) pthread_cond_wait(&d->changed, &d->lock);
    const int fd = d->fd;
    *cause = d->cause;
    if (fd < 0) bp_error_io(error, "cannot create a file in the data folder: %.300s", d->refusal);
    pthread_mutex_unlock(&d->lock);
    return fd;
}

void process_draft_clear(struct process *p) {
    if (p->draft.fd >= 0 && (ftruncate(p->draft.fd, 0) != 0 || lseek(p->draft.fd, 0, SEEK_SET) != 0)) {
        close(p->draft.fd); /* the supervisor removes it at the end of the attempt */
        p->draft.fd = -1;
    }
}

void process_draft_reported(struct process *p, bool more) {
    close(p->draft.fd);
    p->draft.fd = -1;
    if (more) ask(&p->draft);
}
