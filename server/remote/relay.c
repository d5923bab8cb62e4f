/* relay.c - `backpropd relay`: stands in for a job process that runs on another host; see remote.h.
 *
 *     WAITING ──HELLO──▶ CONNECTED ──the attempt's last message──▶ OVER
 *        │                   └──closed, silent, damaged──▶ OVER: "unreached", the job waits for its launcher again
 *        └──the command ends, or is late──▶ OVER: "unreached"
 *
 * The main thread reads from the agent; one thread listens to the supervisor, one watches the time, one sends the data. */
#include "server/remote/relay.h"
#include "server/remote/remote.h"

#include "schema/memory.h"
#include "server/clock.h"
#include "server/jobs/child.h"
#include "server/jobs/wire.h"
#include "server/version.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WATCH_MS = 200, CANCEL_MS = 5000, END_MS = 5000 };

/* ---- to the supervisor --------------------------------------------------------------------------------------------------------------------------
 */

void relay_say_text(struct relay *r, const char *text, size_t size) {
    atomic_fetch_add(&r->held, 1);
    if (wire_send_text(WIRE_SOCKET, text, size) != 0) _exit(3);
    atomic_store(&r->link.heard_at, clock_ms());
    atomic_fetch_sub(&r->held, 1);
}

void relay_say(struct relay *r, const json_t *message) {
    char *text = schema_json_dump(message, JSON_COMPACT);
    if (!text) _exit(3);
    relay_say_text(r, text, strlen(text));
    free(text);
}

/* Where the job is, for people: state, host, a sentence. */
static void say_state(struct relay *r, const char *state, const char *host, const char *message) {
    json_t *said = json_pack("{s:s, s:{s:s, s:s, s:s?, s:s?}}", "kind", "launch", "launch", "launcher", r->name, "state", state, "host", host,
                             "message", message);
    relay_say(r, said);
    json_decref(said);
}

/* ---- the supervisor's commands ------------------------------------------------------------------------------------------------------------------
 */

static void on_command(struct relay *r, const char *command, json_t *message, int file) {
    const bool cancel = strcmp(command, "cancel") == 0, stop = strcmp(command, "stop") == 0;
    if (strcmp(command, "file") == 0) {
        relay_draft_arrived(r, message, file);
        return;
    }
    if (strcmp(command, "served") == 0) relay_send_served(r, message, file);
    else if (cancel || stop) {
        atomic_store(&r->command_at, clock_ms());
        atomic_store(&r->command, cancel ? RELAY_CANCEL : RELAY_STOP);
        pthread_mutex_lock(&r->lock);
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        if (atomic_load(&r->state) == RELAY_WAITING) launch_signal(&r->launch, SIGTERM); /* it has nothing to tell */
        else frame_send_json(&r->link, FRAME_TEXT, message);
    } else frame_send_json(&r->link, FRAME_TEXT, message);
    if (file >= 0) close(file);
}

static void *listen_to_supervisor(void *context) {
    struct relay *r = context;
    for (;;) {
        int file = -1;
        json_t *message = wire_receive_file(WIRE_SOCKET, &file);
        if (!message) _exit(3); /* the server has exited; the launcher's command gets SIGTERM, and its input closes */
        const char *command = json_string_value(json_object_get(message, "command"));
        if (command) on_command(r, command, message, file);
        json_decref(message);
    }
}

/* ---- time ---------------------------------------------------------------------------------------------------------------------------------------
 */

/* Until the process on the other host shows how it gets on, the relay does it. */
static void beat(struct relay *r) {
    atomic_fetch_add(&r->pulse->beats, 1);
    atomic_fetch_add(&r->pulse->progress, 1);
}

static void *watch_time(void *context) {
    struct relay *r = context;
    const struct timespec pause = {.tv_nsec = WATCH_MS * 1000000};
    for (int64_t pinged = clock_ms(), beaten = 0;;) {
        nanosleep(&pause, NULL);
        const int64_t now = clock_ms();
        const int state = atomic_load(&r->state), command = atomic_load(&r->command);
        if (state != RELAY_CONNECTED && now - beaten >= REMOTE_PULSE_MS) {
            beat(r);
            beaten = now;
        }
        if (state == RELAY_WAITING && atomic_load(&r->start_by) && now > atomic_load(&r->start_by)) {
            atomic_store(&r->late, true);
            launch_signal(&r->launch, now > atomic_load(&r->start_by) + CANCEL_MS ? SIGKILL : SIGTERM);
        }
        if (state == RELAY_WAITING && command != RELAY_NONE) launch_signal(&r->launch, now > atomic_load(&r->command_at) + 1000 ? SIGKILL : SIGTERM);
        if (state != RELAY_CONNECTED) continue;
        if (now - pinged >= REMOTE_PING_MS) {
            frame_send(&r->link, FRAME_PING, "", 0);
            pinged = now;
        }
        if (atomic_load(&r->held) == 0 && now - atomic_load(&r->link.heard_at) > REMOTE_DEAD_MS + 1000) { /* and nobody reads */
            atomic_store(&r->silent, true);
            launch_signal(&r->launch, SIGKILL);
        }
        if (command == RELAY_CANCEL && now - atomic_load(&r->command_at) > CANCEL_MS) launch_signal(&r->launch, SIGTERM);
    }
    return NULL;
}

/* ---- the agent's messages -----------------------------------------------------------------------------------------------------------------------
 */

static bool ends_attempt(const char *kind) {
    static const char *const last[] = {"done", "failed", "cancelled", "yield"};
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (strcmp(last[i], kind) == 0) return true;
    return false;
}

static void on_pulse(struct relay *r, const struct frame *frame) {
    json_t *json = frame_json(frame);
    struct pulse *p = r->pulse;
    atomic_store(&p->phase, (uint32_t)json_integer_value(json_object_get(json, "phase")));
    atomic_store(&p->epoch, (uint64_t)json_integer_value(json_object_get(json, "epoch")));
    atomic_store(&p->peak_memory, (uint64_t)json_integer_value(json_object_get(json, "peak_memory")));
    atomic_store(&p->beats, (uint64_t)json_integer_value(json_object_get(json, "beats")));
    atomic_store(&p->progress, (uint64_t)json_integer_value(json_object_get(json, "progress")));
    json_decref(json);
}

/* A message of the job process. One that ends the attempt must carry its token; one that names a file, the one that has just arrived. */
static int on_text(struct relay *r, const struct frame *frame, struct bp_error *error) {
    json_t *message = frame_json(frame);
    const char *kind = json_string_value(json_object_get(message, "kind")), *token = json_string_value(json_object_get(message, "token"));
    const json_t *file = json_object_get(message, "file");
    int failed = kind ? 0 : bp_error_set(error, "", "a message arrived that is none of a job process");
    if (!failed && ends_attempt(kind) && (!token || strcmp(token, r->token) != 0))
        failed = bp_error_set(error, "", "a result arrived that is not of this attempt: its token is %s", token ? "another one" : "missing");
    if (!failed && file && (json_integer_value(file) != r->agent_number || r->placed_number == 0))
        failed = bp_error_set(error, "", "a message names a file that has not arrived");
    if (!failed) {
        if (file) json_object_set_new(message, "file", json_integer((json_int_t)r->placed_number));
        if (file) r->placed_number = 0;
        json_object_del(message, "token");
        relay_say(r, message);
        r->final = r->final || ends_attempt(kind);
    }
    json_decref(message);
    return failed;
}

/* The process on the other host has ended without a last message. */
static void on_exit_of_process(struct relay *r, const struct frame *frame) {
    json_t *json = frame_json(frame);
    atomic_store(&r->pulse->user_ms, (uint64_t)json_integer_value(json_object_get(json, "user_ms")));
    atomic_store(&r->pulse->system_ms, (uint64_t)json_integer_value(json_object_get(json, "system_ms")));
    atomic_store(&r->pulse->ended, true);
    if (!r->final && json_object_size(json) > 0) {
        json_object_set_new(json, "kind", json_string("died"));
        relay_say(r, json);
        r->final = true;
    }
    json_decref(json);
}

/* Reads until the end. 0: the agent has said its last; -1 with the error. */
static int converse(struct relay *r, struct bp_error *error) {
    for (;;) {
        struct frame frame;
        if (frame_receive(&r->link, &frame, REMOTE_DEAD_MS, error) != 0) return -1;
        const enum frame_type type = frame.type;
        int failed = 0;
        if (type == FRAME_PING) beat(r);
        if (type == FRAME_PULSE) on_pulse(r, &frame);
        if (type == FRAME_TEXT) failed = on_text(r, &frame, error);
        if (type == FRAME_OBJECT) failed = relay_receive_object(r, &frame, error);
        if (type == FRAME_DATA) failed = relay_receive_data(r, &frame, error);
        if (type == FRAME_ERROR) failed = bp_error_set(error, "", "%.500s", frame.bytes);
        if (type == FRAME_EXIT) on_exit_of_process(r, &frame);
        frame_free(&frame);
        if (failed || type == FRAME_EXIT) return failed;
    }
}

/* ---- the start ----------------------------------------------------------------------------------------------------------------------------------
 */

static void send_hello(struct relay *r) {
    json_t *objects = json_array(), *files = json_object_get(r->remote, "files");
    for (int i = 0; i < WIRE_INPUTS; i++) {
        const struct relay_object *o = &r->objects[i];
        if (o->fd >= 0)
            json_array_append_new(objects, json_pack("{s:s, s:s, s:I, s:O?}", "place", wire_inputs[i].name, "sha256", o->digest, "bytes",
                                                     (json_int_t)o->bytes, "file", json_object_get(files, wire_inputs[i].name)));
    }
    json_t *order = json_copy(r->order);
    json_object_del(order, "remote");
    json_t *hello = json_pack("{s:s, s:i, s:s, s:o, s:O?, s:O?, s:O?, s:o}", "version", BACKPROPD_VERSION, "protocol", FRAME_PROTOCOL, "token",
                              r->token, "objects", objects, "cache", json_object_get(r->remote, "cache"), "cache_mb",
                              json_object_get(r->remote, "cache_mb"), "shared", json_object_get(r->remote, "shared"), "order", order);
    if (hello) frame_send_json(&r->link, FRAME_HELLO, hello);
    json_decref(hello);
}

static int accept_hello(struct relay *r, const json_t *hello, struct bp_error *error) {
    const char *version = json_string_value(json_object_get(hello, "version")), *token = json_string_value(json_object_get(hello, "token"));
    const char *host = json_string_value(json_object_get(hello, "host")), *refusal = json_string_value(json_object_get(hello, "error"));
    const json_int_t protocol = json_integer_value(json_object_get(hello, "protocol"));
    size_t i;
    json_t *place;
    if (!version || strcmp(version, BACKPROPD_VERSION) != 0 || protocol != FRAME_PROTOCOL)
        return bp_error_set(error, "",
                            "the program on %.100s is version %.40s (protocol %d), this server is %s (protocol %d): install the same version on both",
                            host ? host : "the other host", version ? version : "unknown", (int)protocol, BACKPROPD_VERSION, FRAME_PROTOCOL);
    if (refusal) return bp_error_set(error, "", "%.100s: %.400s", host ? host : "the other host", refusal);
    if (!token || strcmp(token, r->token) != 0) return bp_error_set(error, "", "the process that was started is not of this attempt");
    json_array_foreach(json_object_get(hello, "needs"), i, place) {
        const int k = wire_input_find(json_string_value(place));
        if (k >= 0) r->objects[k].needed = r->objects[k].fd >= 0;
    }
    atomic_store(&r->state, RELAY_CONNECTED);
    say_state(r, "connected", host, NULL);
    return relay_send_objects(r, error);
}

/* What an earlier attempt has left on the cluster goes first. */
static int cancel_previous(struct relay *r, struct bp_error *error) {
    const json_t *cancel = json_object_get(r->remote, "cancel");
    struct bp_error cause = {0};
    if (!json_is_array(cancel) || !json_is_true(json_object_get(r->remote, "again"))) return 0;
    say_state(r, "waiting_for_launcher", NULL, "what an earlier attempt may have left is being cancelled");
    if (launch_run(cancel, json_integer_value(json_object_get(r->remote, "cancel_ms")), &cause) == 0) return 0;
    return bp_error_set(error, "", "what an earlier attempt may have left could not be cancelled: %s", cause.message);
}

static int connect_agent(struct relay *r, struct bp_error *error) {
    struct frame frame;
    char waiting[200];
    const json_t *command = json_object_get(r->remote, "command");
    if (cancel_previous(r, error) != 0 || relay_objects(r, error) != 0) return -1;
    if (atomic_load(&r->command) != RELAY_NONE) return bp_error_set(error, "", "it was not started");
    atomic_store(&r->start_by, clock_ms() + json_integer_value(json_object_get(r->remote, "start_ms")));
    if (launch_start(&r->launch, command, error) != 0) return -1;
    frame_link_begin(&r->link, r->launch.out, r->launch.in);
    snprintf(waiting, sizeof waiting, "%.100s has not started the job yet", json_string_value(json_array_get(command, 0)));
    say_state(r, "waiting_for_launcher", NULL, waiting);
    send_hello(r); /* when it fails, what the other side has written says why */
    if (frame_receive(&r->link, &frame, 0, error) != 0) return -1;
    json_t *hello = frame_json(&frame);
    const int failed = frame.type == FRAME_ERROR   ? bp_error_set(error, "", "%.500s", frame.bytes)
                       : frame.type != FRAME_HELLO ? bp_error_set(error, "", "the other side does not begin as `backpropd job --stdio` does")
                                                   : accept_hello(r, hello, error);
    frame_free(&frame);
    json_decref(hello);
    return failed;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------------------
 */

/* Why there is no result, in words. */
static void explain(struct relay *r, bool connected, const struct bp_error *error) {
    const char *command = json_string_value(json_array_get(json_object_get(r->remote, "command"), 0));
    const int64_t start_s = json_integer_value(json_object_get(r->remote, "start_ms")) / 1000;
    char end[400] = "";
    const bool closed = r->link.closed;
    if (closed) launch_describe(&r->launch, command, end, sizeof end);
    for (size_t i = 0; i < r->link.noise_size; i++)
        if ((unsigned char)r->link.noise[i] < ' ') r->link.noise[i] = ' ';
    if (atomic_load(&r->late))
        snprintf(r->why, sizeof r->why, "%.100s has not started the job within %lld s (start_seconds)", command, (long long)start_s);
    else if (atomic_load(&r->silent)) snprintf(r->why, sizeof r->why, "its node was not heard from for %d s", REMOTE_DEAD_MS / 1000);
    else if (closed) snprintf(r->why, sizeof r->why, "%s%s", connected ? "the connection to its node was lost: " : "", end);
    else snprintf(r->why, sizeof r->why, "%.500s", error->message);
    const size_t n = strlen(r->why);
    if (r->link.noise_size && !connected) snprintf(r->why + n, sizeof r->why - n, "; it wrote: %.200s", r->link.noise);
}

/* The end of an attempt that has no last message. */
static void conclude(struct relay *r, bool connected) {
    const int command = atomic_load(&r->command);
    const json_t *cancel = json_object_get(r->remote, "cancel");
    struct bp_error ignored = {0};
    json_t *message;
    if (command == RELAY_CANCEL && json_is_array(cancel) &&
        launch_run(cancel, json_integer_value(json_object_get(r->remote, "cancel_ms")), &ignored) != 0)
        dprintf(STDERR_FILENO, "what this attempt may have left could not be cancelled: %s\n", ignored.message);
    if (command == RELAY_CANCEL) message = json_pack("{s:s, s:{}}", "kind", "cancelled", "report");
    else if (command == RELAY_STOP && !connected) message = json_pack("{s:s, s:{}}", "kind", "yield", "report");
    else
        message = json_pack("{s:s, s:s, s:b, s:O?, s:{s:s, s:s, s:n, s:s}}", "kind", "unreached", "message", r->why, "connected", connected,
                            "retry_ms", json_object_get(r->remote, "retry_ms"), "launch", "launcher", r->name, "state", "waiting_for_launcher",
                            "host", "message", r->why);
    relay_say(r, message);
    json_decref(message);
}

static void start_thread(void *(*run)(void *), struct relay *r) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, r) != 0) _exit(3);
    pthread_detach(thread);
}

int relay_run(void) {
    static struct relay r = {.draft = -1};
    struct bp_error error = {0};
    child_begin();
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < CHILD_GIVEN; i++) fcntl(WIRE_SOCKET + i, F_SETFD, FD_CLOEXEC); /* they are not for the launcher */
    if (!(r.order = wire_receive(WIRE_SOCKET)) || !(r.remote = json_object_get(r.order, "remote")) || !(r.pulse = pulse_join(WIRE_PULSE))) {
        fprintf(stderr, "backpropd relay is started by `backpropd serve` only; see `backpropd help`\n");
        return 2;
    }
    r.name = json_string_value(json_object_get(r.remote, "launcher"));
    r.token = json_string_value(json_object_get(r.remote, "token"));
    if (json_is_true(json_object_get(r.order, "draft"))) {
        r.draft = WIRE_DRAFT;
        r.draft_number = 1;
    }
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.changed, NULL);
    start_thread(listen_to_supervisor, &r);
    start_thread(watch_time, &r);
    const bool began = connect_agent(&r, &error) == 0;
    const bool connected = atomic_load(&r.state) == RELAY_CONNECTED;
    const bool said_all = began && converse(&r, &error) == 0;
    atomic_store(&r.state, RELAY_OVER);
    launch_end(&r.launch, said_all || r.final ? END_MS : 500);
    if (!r.final) {
        explain(&r, connected, &error);
        conclude(&r, connected);
    }
    _exit(0);
}
