/* team.c - see team.h.
 *
 * Sums are started and looked after by whichever thread has the time: a thread of its own while the trainer computes, so that they get on during the
 * backward pass; the trainer itself while it waits for them. The mutex lets one of them into MPI at a time. That thread also sends a number to the
 * other side every BEAT_MS, rank 0 to all and all to rank 0, and ends the process when it has not heard one for too long: a process that is gone
 * without closing its connections (its host is) would be waited for without an end.
 *
 * Order: sums, the watch, joining, the order and the files. */
#include "server/worker/team.h"

#include "schema/memory.h"
#include "server/clock.h"
#include "server/hex.h"
#include "server/jobs/wire.h"
#include "server/version.h"
#include "server/worker/mpi.h"
#include "server/worker/process.h"
#include "server/worker/worker.h"
#include "server/write.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SUMS_MAX = 256,
    REALS_A_SUM = 1 << 28,
    SPINS = 4000,
    YIELDS = 400,
    BEAT_MS = 2000,
    LEAVE_MS = 20000,
    IDLE_MS = 250,
    OVERLAP_NS = 30000,
    WAIT_NS = 50000,
    PAUSES = 10000,
    LONG_WAIT_NS = 2000000
};

struct sum {
    void *values;
    size_t count;
    bool doubles;
    mpi_request request;
};

/* What one process knows of another. */
struct peer {
    int64_t sent, received;
    mpi_request sending, receiving;
    bool sends, receives;
    int64_t heard_ms;
};

struct team {
    struct mpi_world world;
    struct bp_reducer reducer;
    pthread_mutex_t mutex; /* of MPI and of the sums */
    pthread_cond_t changed;
    pthread_t thread;
    bool runs, ends;
    bool driven; /* the trainer looks after the sums */
    struct sum sums[SUMS_MAX];
    int begun, started, done; /* of the sums; all of them are done: 0 */
    struct team_use use;
    struct peer *peers; /* [ranks] */
    int64_t silence_ms, beat_at, looked_at;
};

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* Whether all sums are done. The mutex is held. */
static bool get_on(struct team *t) {
    for (; t->started < t->begun; t->started++) {
        struct sum *sum = &t->sums[t->started];
        mpi_sum_start(sum->values, sum->count, sum->doubles, &sum->request);
    }
    while (t->done < t->started && mpi_is_done(&t->sums[t->done].request)) t->done++;
    return t->done == t->begun;
}

static void begin_sum(struct team *t, void *values, size_t count, bool doubles) {
    t->sums[t->begun++] = (struct sum){.values = values, .count = count, .doubles = doubles};
    t->use.bytes += (int64_t)(count * (doubles ? sizeof(double) : sizeof(bp_real)));
}

/* To the end. What waits long sleeps: another process may need the core, or write a model; what waits very long uses so little of it that it does not
 * count as work (heartbeat.h). */
static void wait_for_sums(struct team *t) {
    const struct timespec pause = {.tv_nsec = WAIT_NS}, longer = {.tv_nsec = LONG_WAIT_NS};
    for (int turn = 0;; turn++) {
        pthread_mutex_lock(&t->mutex);
        t->driven = true;
        const bool done = get_on(t);
        if (done) {
            t->begun = t->started = t->done = 0;
            t->driven = false;
        }
        pthread_mutex_unlock(&t->mutex);
        if (done) return;
        if (turn < SPINS) continue;
        if (turn < SPINS + YIELDS) sched_yield();
        else nanosleep(turn < SPINS + YIELDS + PAUSES ? &pause : &longer, NULL);
    }
}

static void start(void *context, bp_real *buffer, size_t count) {
    struct team *t = context;
    if (t->begun == SUMS_MAX - 2) wait_for_sums(t); /* the same in all processes */
    pthread_mutex_lock(&t->mutex);
    for (size_t n; count > 0; count -= n, buffer += n) {
        n = count < REALS_A_SUM ? count : REALS_A_SUM;
        begin_sum(t, buffer, n, false);
    }
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->mutex);
}

static void finish(void *context, double *numbers, size_t count) {
    struct team *t = context;
    const double began = clock_seconds();
    if (count > 0) {
        pthread_mutex_lock(&t->mutex);
        begin_sum(t, numbers, count, true);
        pthread_mutex_unlock(&t->mutex);
    }
    wait_for_sums(t);
    t->use.waited += clock_seconds() - began;
    t->use.sums++;
}

double team_agree(struct team *t, double number) {
    finish(t, &number, 1);
    return number;
}

static double time_of_sum(struct team *t, bp_real *buffer, size_t count) {
    enum { ROUNDS = 5 };
    double least = INFINITY, number = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const double began = clock_seconds();
        if (count > 0) start(t, buffer, count);
        finish(t, &number, 1);
        const double seconds = clock_seconds() - began;
        if (seconds < least) least = seconds;
    }
    return least;
}

int team_measure(struct team *t, double *seconds, double *seconds_per_byte) {
    enum { REALS = 1 << 18 };
    bp_real *buffer = calloc(REALS, sizeof *buffer);
    const struct team_use before = t->use;
    if (team_agree(t, buffer ? 0 : 1) > 0) {
        free(buffer);
        return -1;
    }
    *seconds = time_of_sum(t, buffer, 0);
    const double more = time_of_sum(t, buffer, REALS) - *seconds;
    *seconds_per_byte = more > 0 ? more / (REALS * sizeof *buffer) : 0;
    free(buffer);
    t->use = before;
    return 0;
}

bool team_same(struct team *t, const void *bytes, size_t size) {
    uint8_t digest[SHA256_DIGEST_SIZE];
    double numbers[SHA256_DIGEST_SIZE], own[SHA256_DIGEST_SIZE];
    struct sha256_ctx sha;
    bool same = true;
    sha256_init(&sha);
    sha256_update(&sha, size, bytes);
    sha256_digest(&sha, sizeof digest, digest);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) own[i] = numbers[i] = digest[i];
    finish(t, numbers, SHA256_DIGEST_SIZE);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) same = same && numbers[i] == own[i] * t->world.ranks;
    return team_agree(t, same ? 0 : 1) == 0; /* different ones may add up to somebody's */
}

void team_used(const struct team *t, struct team_use *use) {
    *use = t->use;
}

/* ---- the watch --------------------------------------------------------------------------------------------------- */

_Noreturn static void lose(const struct team *t, int32_t rank) {
    process_note("process %d of %d has not been heard for %.0f s; this attempt ends", (int)rank + 1, (int)t->world.ranks,
                 (double)t->silence_ms / 1000);
    worker_exit(4);
}

static void exchange_beats(struct team *t, int64_t now) {
    const bool beat = now >= t->beat_at;
    const int32_t first = t->world.rank == 0 ? 1 : 0, last = t->world.rank == 0 ? t->world.ranks - 1 : 0;
    const bool stopped = now - t->looked_at > BEAT_MS; /* this process was: the others may have been heard */
    if (beat) t->beat_at = now + BEAT_MS;
    t->looked_at = now;
    for (int32_t r = first; r <= last; r++) {
        struct peer *peer = &t->peers[r];
        if (peer->sends && mpi_is_done(&peer->sending)) peer->sends = false;
        if (beat && !peer->sends) {
            peer->sent++;
            peer->sends = true;
            mpi_send_start(&peer->sent, r, &peer->sending);
        }
        if (peer->receives && mpi_is_done(&peer->receiving)) {
            peer->receives = false;
            peer->heard_ms = now;
        }
        if (stopped) peer->heard_ms = now;
        if (!peer->receives) {
            peer->receives = true;
            mpi_receive_start(&peer->received, r, &peer->receiving);
        }
        if (now - peer->heard_ms > t->silence_ms) lose(t, r);
    }
}

static void *look_after(void *context) {
    struct team *t = context;
    const struct timespec pause = {.tv_nsec = OVERLAP_NS};
    bp_flush_denormals();
    pthread_mutex_lock(&t->mutex);
    while (!t->ends) {
        const int64_t now = clock_ms();
        const bool idle = t->driven || get_on(t);
        exchange_beats(t, now);
        if (idle) {
            const struct timespec until = clock_after(IDLE_MS);
            pthread_cond_timedwait(&t->changed, &t->mutex, &until);
            continue;
        }
        pthread_mutex_unlock(&t->mutex);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&t->mutex);
    }
    pthread_mutex_unlock(&t->mutex);
    return NULL;
}

int team_watch(struct team *t, int64_t silence_ms) {
    const int64_t now = clock_ms();
    t->silence_ms = silence_ms;
    t->looked_at = now;
    for (int32_t r = 0; r < t->world.ranks; r++) t->peers[r].heard_ms = now;
    if (pthread_create(&t->thread, NULL, look_after, t) != 0) return -1;
    t->runs = true;
    return 0;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

struct team *team_join(int32_t expected, struct bp_error *error) {
    struct team *t = calloc(1, sizeof *t);
    if (!t) {
        bp_error_memory(error, "no memory to join other processes");
        return NULL;
    }
    if (mpi_begin(&t->world, error) != 0) goto fail;
    if (expected > 0 && t->world.ranks != expected) {
        bp_error_set(error, "/processes",
                     "the job asks for %d processes, but its launcher has started %d; its command must start {processes} of them, as `mpirun -n "
                     "{processes}` and `srun --mpi=pmix -K1 --ntasks={processes}` do",
                     (int)expected, (int)t->world.ranks);
        goto fail;
    }
    if (!(t->peers = calloc((size_t)t->world.ranks, sizeof *t->peers))) {
        bp_error_memory(error, "no memory to join other processes");
        goto fail;
    }
    t->reducer = (struct bp_reducer){.context = t, .rank = t->world.rank, .ranks = t->world.ranks, .start = start, .finish = finish};
    pthread_mutex_init(&t->mutex, NULL);
    clock_condition_init(&t->changed);
    return t;
fail:
    free(t);
    return NULL;
}

int32_t team_rank(const struct team *t) {
    return t->world.rank;
}

int32_t team_ranks(const struct team *t) {
    return t->world.ranks;
}

const struct bp_reducer *team_reducer(const struct team *t) {
    return &t->reducer;
}

/* One that has left cannot be waited for without an end. */
static void *end_anyway(void *context) {
    (void)context;
    const struct timespec pause = {.tv_sec = LEAVE_MS / 1000};
    nanosleep(&pause, NULL);
    worker_exit(4);
}

void team_leave(struct team *t) {
    pthread_t thread;
    team_agree(t, 0); /* rank 0 may be writing the model */
    if (t->runs) {
        pthread_mutex_lock(&t->mutex);
        t->ends = true;
        pthread_cond_signal(&t->changed);
        pthread_mutex_unlock(&t->mutex);
        pthread_join(t->thread, NULL);
    }
    for (int32_t r = 0; r < t->world.ranks; r++)
        if (t->peers[r].receives) mpi_drop(&t->peers[r].receiving);
    if (pthread_create(&thread, NULL, end_anyway, NULL) == 0) pthread_detach(thread);
    mpi_end();
}

/* ---- the order and the files ------------------------------------------------------------------------------------- */

enum { PIECE = 4 << 20, PROBLEM_SIZE = 400, TEXT_MAX = 256 << 20, MEMORY_FILE_MAX = 64 << 20 };

void team_tell(struct team *t, void *bytes, size_t size) {
    (void)t;
    mpi_broadcast(bytes, size);
}

int team_ready(struct team *t, const char *problem, struct bp_error *error) {
    char own[PROBLEM_SIZE];
    char *all = t->world.rank == 0 ? calloc((size_t)t->world.ranks, PROBLEM_SIZE) : NULL;
    int32_t first = -1;
    snprintf(own, sizeof own, "%s", problem);
    mpi_gather(own, sizeof own, all);
    for (int32_t r = 0; all && first < 0 && r < t->world.ranks; r++)
        if (all[r * PROBLEM_SIZE]) first = r;
    if (first > 0) bp_error_set(error, "", "process %d of %d: %.380s", (int)first + 1, (int)t->world.ranks, all + first * PROBLEM_SIZE);
    if (first == 0) bp_error_set(error, "", "%.380s", all);
    free(all);
    mpi_broadcast(&first, sizeof first);
    mpi_forget_files();
    if (first >= 0 && t->world.rank > 0) bp_error_set(error, "", "%.380s", own[0] ? own : "another process cannot take part");
    return first < 0 ? 0 : -1;
}

/* Bytes of what is behind a descriptor of the job; 0: nothing. */
static int64_t file_size(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? info.st_size : 0;
}

/* Piece by piece, with its SHA-256 at the end. A piece that cannot be read is zeros: the digest is then left empty, and all fail. */
static void send_file(int fd, int64_t size, uint8_t *piece) {
    char digest[HEX_SHA256_SIZE] = "";
    struct sha256_ctx sha;
    bool read_all = true;
    sha256_init(&sha);
    for (int64_t at = 0; at < size;) {
        const size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        size_t have = 0;
        for (ssize_t got; have < n && (got = pread(fd, piece + have, n - have, at + (int64_t)have)) > 0;) have += (size_t)got;
        read_all = read_all && have == n;
        memset(piece + have, 0, n - have);
        sha256_update(&sha, n, piece);
        mpi_broadcast(piece, n);
        at += (int64_t)n;
    }
    if (read_all) hex_sha256_end(&sha, digest);
    mpi_broadcast(digest, sizeof digest);
}

int team_send(struct team *t, const json_t *order, struct bp_error *error) {
    char version[64] = BACKPROPD_VERSION;
    uint8_t *piece = malloc(PIECE);
    char *text = schema_json_dump(order, JSON_COMPACT);
    int64_t size = text && piece ? (int64_t)strlen(text) : 0;
    mpi_broadcast(version, sizeof version);
    mpi_broadcast(&size, sizeof size);
    if (size > 0) mpi_broadcast(text, (size_t)size);
    for (int i = 0; size > 0 && i < WIRE_INPUTS; i++) {
        int64_t bytes = file_size(wire_inputs[i].wire);
        mpi_broadcast(&bytes, sizeof bytes);
        if (bytes > 0) send_file(wire_inputs[i].wire, bytes, piece);
    }
    free(text);
    free(piece);
    return team_ready(t, size > 0 ? "" : "out of memory", error);
}

/* A file without a name: small ones in memory. */
static int new_file(int64_t size) {
    const char *folder = getenv("TMPDIR");
    int fd = -1;
    if (size > MEMORY_FILE_MAX) fd = open(folder && *folder ? folder : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : memfd_create("job-file", MFD_CLOEXEC);
}

/* Takes all pieces, also when one cannot be written. */
static void receive_file(int wire, int64_t size, uint8_t *piece, char problem[PROBLEM_SIZE]) {
    char digest[HEX_SHA256_SIZE] = "", expected[HEX_SHA256_SIZE] = "";
    struct sha256_ctx sha;
    const int fd = new_file(size);
    bool written = fd >= 0;
    int cause = errno;
    sha256_init(&sha);
    for (int64_t at = 0; at < size;) {
        const size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        mpi_broadcast(piece, n);
        sha256_update(&sha, n, piece);
        if (written && write_whole(fd, piece, n) < n) {
            cause = errno;
            written = false;
        }
        at += (int64_t)n;
    }
    mpi_broadcast(expected, sizeof expected);
    hex_sha256_end(&sha, digest);
    if (!written) snprintf(problem, PROBLEM_SIZE, "no room for the job's files, %lld bytes: %s", (long long)size, strerror(cause));
    else if (strcmp(digest, expected) != 0) snprintf(problem, PROBLEM_SIZE, "a file of the job was changed on its way, or could not be read");
    if (fd >= 0 && dup2(fd, wire) < 0) snprintf(problem, PROBLEM_SIZE, "no descriptor: %s", strerror(errno));
    if (fd >= 0 && fd != wire) close(fd);
}

json_t *team_receive(struct team *t, struct bp_error *error) {
    char version[64] = "", problem[PROBLEM_SIZE] = "";
    int64_t size = 0;
    mpi_broadcast(version, sizeof version);
    mpi_broadcast(&size, sizeof size);
    char *text = size > 0 && size <= TEXT_MAX ? malloc((size_t)size) : NULL;
    uint8_t *piece = malloc(PIECE);
    if (size > 0 && (!text || !piece)) worker_exit(4); /* it cannot even take part in the broadcast */
    if (size > 0) mpi_broadcast(text, (size_t)size);
    json_t *order = size > 0 ? json_loadb(text, (size_t)size, 0, NULL) : NULL;
    for (int i = 0; size > 0 && i < WIRE_INPUTS; i++) {
        int64_t bytes = 0;
        mpi_broadcast(&bytes, sizeof bytes);
        if (bytes > 0) receive_file(wire_inputs[i].wire, bytes, piece, problem);
    }
    free(text);
    free(piece);
    version[sizeof version - 1] = '\0';
    if (strcmp(version, BACKPROPD_VERSION) != 0)
        snprintf(problem, sizeof problem, "this host has version " BACKPROPD_VERSION " of backpropd, the first process has %s; install the same one",
                 version);
    else if (!order) snprintf(problem, sizeof problem, "the job's order cannot be read");
    if (team_ready(t, problem, error) == 0) return order;
    json_decref(order);
    return NULL;
}
