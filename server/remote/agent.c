/* agent.c - `backpropd job --stdio`: the other end of a relay; see remote.h. It brings the job's files to this node, starts the ordinary job process
 * and passes on what the two say. It writes to the cache folder of its node and to nothing else.
 *
 * Sections: the files, the process's messages, the relay's frames, the start. The main thread reads frames; one thread reads the process's messages,
 * one sends pulses. The process dies with the main thread. */
#include "server/remote/cache.h"
#include "server/remote/remote.h"

#include "engine/kernels/kernels.h"
#include "schema/memory.h"
#include "server/clock.h"
#include "server/jobs/child.h"
#include "server/jobs/pulse.h"
#include "server/jobs/wire.h"
#include "server/version.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DRAFTS_MAX = 4, EXIT_LOST = 4 };

struct agent {
    struct frame_link link;
    struct cache cache;
    json_t *hello; /* the relay's */
    const char *token;
    int given[CHILD_GIVEN];
    struct pulse *_Atomic pulse; /* NULL: the process has not started */
    pid_t pid;
    int socket; /* to the job process */
    /* A file that arrives. */
    struct object_incoming incoming;
    bool receives;
    char place[20];
    int served; /* the version that was sent last; -1: none */
    /* Files that the job process writes. */
    int drafts[DRAFTS_MAX];
    int64_t numbers[DRAFTS_MAX], drafts_made;
};

static int *given(struct agent *a, int place) {
    return &a->given[place - WIRE_SOCKET];
}

/* Nothing that it has begun counts: the attempt is resumed from its last checkpoint. */
_Noreturn static void lose(struct agent *a, const char *why) {
    dprintf(STDERR_FILENO, "backpropd job: %s; this process ends\n", why);
    if (a->pid > 0) kill(a->pid, SIGKILL);
    _exit(EXIT_LOST);
}

/* The relay gets to know why. */
_Noreturn static void refuse(struct agent *a, const struct bp_error *error) {
    frame_send(&a->link, FRAME_ERROR, error->message, strlen(error->message));
    lose(a, error->message);
}

/* ---- the files ----------------------------------------------------------------------------------------------------------------------------------
 */

/* The dataset in the server's own folder, which this node sees; it is only read. -1: it is not there, or is not what it should be. */
static int open_shared(const char *folder, const char *file, const char *digest, int64_t bytes) {
    char path[900], found[OBJECT_DIGEST_SIZE];
    struct bp_error ignored = {0};
    if (!folder || !folder[0] || !file || strchr(file, '/')) return -1;
    snprintf(path, sizeof path, "%s/datasets/%s", folder, file);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    if (object_digest(fd, bytes, found, &ignored) == 0 && strcmp(found, digest) == 0) return fd;
    close(fd);
    return -1;
}

/* Opens what is here, and lists what is not. */
static json_t *find_objects(struct agent *a) {
    json_t *needs = json_array(), *object;
    const char *shared = json_string_value(json_object_get(a->hello, "shared"));
    size_t i;
    json_array_foreach(json_object_get(a->hello, "objects"), i, object) {
        const char *place = json_string_value(json_object_get(object, "place")), *digest = json_string_value(json_object_get(object, "sha256")),
                   *file = json_string_value(json_object_get(object, "file"));
        const int64_t bytes = json_integer_value(json_object_get(object, "bytes"));
        const int k = wire_input_find(place);
        if (k < 0 || !digest) continue;
        int fd = wire_inputs[k].shared ? open_shared(shared, file, digest, bytes) : -1;
        if (fd < 0 && wire_inputs[k].shared) fd = cache_find(&a->cache, digest, bytes);
        *given(a, wire_inputs[k].wire) = fd;
        if (fd < 0) json_array_append_new(needs, json_string(place));
    }
    return needs;
}

static void begin_object(struct agent *a, const struct frame *frame) {
    struct bp_error error = {0};
    json_t *head = frame_json(frame);
    const char *place = json_string_value(json_object_get(head, "place"));
    snprintf(a->place, sizeof a->place, "%s", place ? place : "");
    const int fd = cache_new(&a->cache, &error);
    if (fd < 0 || object_begin(&a->incoming, head, fd, &error) != 0) refuse(a, &error);
    a->receives = true;
    json_decref(head);
}

/* The process gets it read only: nobody changes a file of the cache. */
static int read_only(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const int again = open(path, O_RDONLY | O_CLOEXEC);
    close(fd);
    return again;
}

static void add_data(struct agent *a, const struct frame *frame) {
    struct bp_error error = {0};
    if (!a->receives) bp_error_set(&error, "", "data arrived that was not expected");
    const int got = a->receives ? object_add(&a->incoming, frame->bytes, frame->size, &error) : -1;
    if (got < 0) refuse(a, &error);
    if (got == 0) return;
    const int k = wire_input_find(a->place);
    a->receives = false;
    if (k >= 0 && wire_inputs[k].shared) cache_keep(&a->cache, a->incoming.fd, a->incoming.digest);
    const int fd = read_only(a->incoming.fd);
    if (fd < 0) {
        bp_error_io(&error, "a file that has arrived cannot be opened: %s", strerror(errno));
        refuse(a, &error);
    }
    if (k >= 0) *given(a, wire_inputs[k].wire) = fd;
    else {
        if (a->served >= 0) close(a->served);
        a->served = fd;
    }
}

/* ---- the process's messages ---------------------------------------------------------------------------------------------------------------------
 */

/* A new file for the process; its number, 0: there is none, with the error. */
static int64_t make_draft(struct agent *a, int *fd, struct bp_error *error) {
    int slot = 0;
    while (slot < DRAFTS_MAX && a->drafts[slot] >= 0) slot++;
    *fd = -1;
    if (slot == DRAFTS_MAX) return bp_error_set(error, "", "there are too many files"), 0;
    if ((a->drafts[slot] = cache_new(&a->cache, error)) < 0) return 0;
    a->numbers[slot] = ++a->drafts_made;
    *fd = a->drafts[slot];
    return a->drafts_made;
}

static void answer_file(struct agent *a) {
    struct bp_error error = {0};
    int fd;
    const int64_t number = make_draft(a, &fd, &error);
    json_t *answer = number ? json_pack("{s:s, s:I}", "command", "file", "number", (json_int_t)number)
                            : json_pack("{s:s, s:s, s:i}", "command", "file", "error", error.message, "errno", ENOSPC);
    char *text = schema_json_dump(answer, JSON_COMPACT);
    if (!text) lose(a, "out of memory");
    if (number) wire_send_file(a->socket, text, strlen(text), fd);
    else wire_send_text(a->socket, text, strlen(text));
    free(text);
    json_decref(answer);
}

/* The file that a message names goes before the message. */
static void send_draft(struct agent *a, int64_t number) {
    struct bp_error error = {0};
    struct stat info;
    char digest[OBJECT_DIGEST_SIZE];
    for (int i = 0; i < DRAFTS_MAX; i++) {
        if (a->drafts[i] < 0 || a->numbers[i] != number) continue;
        json_t *head = json_pack("{s:s, s:I}", "place", "draft", "number", (json_int_t)number);
        if (fstat(a->drafts[i], &info) != 0) bp_error_io(&error, "a file cannot be read: %s", strerror(errno));
        else if (object_digest(a->drafts[i], info.st_size, digest, &error) == 0)
            object_send(&a->link, head, a->drafts[i], info.st_size, digest, &error);
        json_decref(head);
        if (error.message[0]) refuse(a, &error);
        close(a->drafts[i]);
        a->drafts[i] = -1;
    }
}

static void pass_on(struct agent *a, json_t *message) {
    const json_t *file = json_object_get(message, "file");
    if (file) send_draft(a, json_integer_value(file));
    json_object_set_new(message, "token", json_string(a->token));
    if (frame_send_json(&a->link, FRAME_TEXT, message) != 0) lose(a, "the connection to the server is closed");
}

/* How the process gets on; before it has started, that this side is alive. */
static void send_pulse(struct agent *a) {
    const struct pulse *p = atomic_load(&a->pulse);
    if (!p) {
        frame_send(&a->link, FRAME_PING, "", 0);
        return;
    }
    json_t *json = json_pack("{s:I, s:I, s:I, s:I, s:I}", "phase", (json_int_t)atomic_load(&p->phase), "epoch", (json_int_t)atomic_load(&p->epoch),
                             "beats", (json_int_t)atomic_load(&p->beats), "progress", (json_int_t)atomic_load(&p->progress), "peak_memory",
                             (json_int_t)atomic_load(&p->peak_memory));
    if (json) frame_send_json(&a->link, FRAME_PULSE, json);
    json_decref(json);
}

/* How it has ended, and what it has used. */
_Noreturn static void report_exit(struct agent *a) {
    int status = 0;
    struct rusage used = {0};
    while (wait4(a->pid, &status, 0, &used) < 0 && errno == EINTR) continue;
    send_pulse(a);
    json_t *json = json_pack("{s:I, s:I, s:i}", "user_ms", (json_int_t)used.ru_utime.tv_sec * 1000 + used.ru_utime.tv_usec / 1000, "system_ms",
                             (json_int_t)used.ru_stime.tv_sec * 1000 + used.ru_stime.tv_usec / 1000, WIFSIGNALED(status) ? "signal" : "exit_code",
                             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    frame_send_json(&a->link, FRAME_EXIT, json);
    _exit(WIFSIGNALED(status) ? 1 : WEXITSTATUS(status));
}

static void *listen_to_process(void *context) {
    struct agent *a = context;
    json_t *message;
    while ((message = wire_receive(a->socket))) {
        const char *kind = json_string_value(json_object_get(message, "kind"));
        if (kind && strcmp(kind, "file") == 0) answer_file(a);
        else pass_on(a, message);
        json_decref(message);
    }
    report_exit(a);
}

static void *send_pulses(void *context) {
    const struct timespec pause = {.tv_nsec = REMOTE_PULSE_MS % 1000 * 1000000, .tv_sec = REMOTE_PULSE_MS / 1000};
    for (;;) {
        send_pulse(context);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* ---- the relay's frames -------------------------------------------------------------------------------------------------------------------------
 */

/* A command of the supervisor, for the process. */
static void on_command(struct agent *a, const struct frame *frame) {
    json_t *message = frame_json(frame);
    const char *command = json_string_value(json_object_get(message, "command"));
    if (command && strcmp(command, "served") == 0 && a->served >= 0) {
        wire_send_file(a->socket, frame->bytes, frame->size, a->served);
        close(a->served);
        a->served = -1;
    } else if (command) wire_send_text(a->socket, frame->bytes, frame->size);
    json_decref(message);
}

/* Reads until FRAME_START. */
static void receive_objects(struct agent *a) {
    for (;;) {
        struct frame frame;
        struct bp_error error = {0};
        if (frame_receive(&a->link, &frame, REMOTE_DEAD_MS, &error) != 0) lose(a, error.message);
        const enum frame_type type = frame.type;
        if (type == FRAME_OBJECT) begin_object(a, &frame);
        if (type == FRAME_DATA) add_data(a, &frame);
        frame_free(&frame);
        if (type == FRAME_START) return;
    }
}

_Noreturn static void serve_relay(struct agent *a) {
    for (;;) {
        struct frame frame;
        struct bp_error error = {0};
        if (frame_receive(&a->link, &frame, REMOTE_DEAD_MS, &error) != 0) lose(a, error.message);
        if (frame.type == FRAME_TEXT) on_command(a, &frame);
        if (frame.type == FRAME_OBJECT) begin_object(a, &frame);
        if (frame.type == FRAME_DATA) add_data(a, &frame);
        frame_free(&frame);
    }
}

/* ---- the start ----------------------------------------------------------------------------------------------------------------------------------
 */

/* Standard input and output are the wire: nothing else may read or write there. */
static void take_standard_streams(struct agent *a) {
    const int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 64), out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 64), null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (null > STDERR_FILENO) close(null);
    frame_link_begin(&a->link, in, out);
}

static void answer_hello(struct agent *a) {
    struct bp_error error = {0};
    char host[256] = "";
    const char *version = json_string_value(json_object_get(a->hello, "version")), *cache = json_string_value(json_object_get(a->hello, "cache"));
    const int64_t cache_mb = json_integer_value(json_object_get(a->hello, "cache_mb"));
    const bool same =
        version && strcmp(version, BACKPROPD_VERSION) == 0 && json_integer_value(json_object_get(a->hello, "protocol")) == FRAME_PROTOCOL;
    gethostname(host, sizeof host - 1);
    json_t *needs = same && cache_open(&a->cache, cache ? cache : "", cache_mb << 20, &error) == 0 ? find_objects(a) : json_array();
    json_t *answer = json_pack("{s:s, s:i, s:s, s:s, s:s, s:o}", "version", BACKPROPD_VERSION, "protocol", FRAME_PROTOCOL, "token",
                               a->token ? a->token : "", "host", host, "kernels", bp_kernels_name(), "needs", needs);
    if (error.message[0]) json_object_set_new(answer, "error", json_string(error.message));
    const int failed = frame_send_json(&a->link, FRAME_HELLO, answer);
    json_decref(answer);
    if (failed || !same || error.message[0]) lose(a, !same ? "this program is not the version of the server" : error.message);
}

/* Whether the job is of several processes, of which this one's is the first. */
static bool is_shared(const json_t *order) {
    return json_integer_value(json_object_get(order, "processes")) > 1;
}

static void start_process(struct agent *a) {
    struct bp_error error = {0};
    int pair[2], draft;
    struct pulse *pulse = NULL;
    json_t *order = json_object_get(a->hello, "order");
    if (json_is_true(json_object_get(order, "draft")) && make_draft(a, &draft, &error)) *given(a, WIRE_DRAFT) = draft;
    else json_object_set_new(order, "draft", json_false());
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || !(pulse = pulse_new(given(a, WIRE_PULSE)))) {
        bp_error_io(&error, "cannot share anything with the job process: %s", strerror(errno));
        refuse(a, &error);
    }
    a->socket = pair[0];
    *given(a, WIRE_SOCKET) = pair[1];
    const struct child child = {.command = "job", .given = a->given, .errors = -1, .processes = is_shared(order)};
    if ((a->pid = child_start(&child)) < 0) {
        bp_error_io(&error, "cannot start the job process: %s", strerror(errno));
        refuse(a, &error);
    }
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (a->given[i] >= 0 && i != WIRE_DRAFT - WIRE_SOCKET) close(a->given[i]);
    if (wire_send(a->socket, order) != 0) lose(a, "the job process has ended at once");
    atomic_store(&a->pulse, pulse);
}

static void start_thread(void *(*run)(void *), struct agent *a) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, a) != 0) lose(a, "cannot start a thread");
    pthread_detach(thread);
}

int agent_run(void) {
    static struct agent a = {.served = -1};
    struct bp_error error = {0};
    struct frame frame;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (int i = 0; i < CHILD_GIVEN; i++) a.given[i] = -1;
    for (int i = 0; i < DRAFTS_MAX; i++) a.drafts[i] = -1;
    take_standard_streams(&a);
    if (frame_receive(&a.link, &frame, REMOTE_DEAD_MS, &error) != 0 || frame.type != FRAME_HELLO || !(a.hello = frame_json(&frame))) {
        char why[700];
        snprintf(why, sizeof why, "%s (`backpropd job --stdio` is started by a launcher of `backpropd serve`)",
                 error.message[0] ? error.message : "the other side does not begin as a server does");
        lose(&a, why);
    }
    frame_free(&frame);
    a.token = json_string_value(json_object_get(a.hello, "token"));
    answer_hello(&a);
    start_thread(send_pulses, &a);
    receive_objects(&a);
    start_process(&a);
    start_thread(listen_to_process, &a);
    serve_relay(&a);
}
