/* follower.c - a process of a job that is not its first: `backpropd job --stdio` with a rank above 0, started by mpirun or srun beside the job's own
 * process. It has no connection to the server. It takes the order and the files from the first process and trains in lockstep with it (together.c);
 * it reports nothing and writes nothing. When the first process ends, so does it. */
#include "server/worker/process.h"
#include "server/worker/worker.h"

#include "server/jobs/child.h"
#include "server/jobs/pulse.h"
#include "server/jobs/wire.h"
#include "server/worker/mpi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINGER_S = 5 };

/* Not at once: the end of one process is that of all, and what this one has met the first may have met too, and be about to report. */
_Noreturn static void give_up(const char *problem) {
    const struct timespec pause = {.tv_sec = LINGER_S};
    process_note("process %d: %s", (int)mpi_rank_given() + 1, problem);
    nanosleep(&pause, NULL);
    worker_exit(1);
}

/* The descriptors that a job process has, with nothing behind them. */
static int take_descriptors(void) {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int pulse;
    if (null < 0 || !pulse_new(&pulse)) return -1;
    const int high = fcntl(pulse, F_DUPFD_CLOEXEC, WIRE_SOCKET + CHILD_GIVEN), low = fcntl(null, F_DUPFD_CLOEXEC, WIRE_SOCKET + CHILD_GIVEN);
    if (high < 0 || low < 0) return -1;
    for (int fd = WIRE_SOCKET; fd < WIRE_SOCKET + CHILD_GIVEN; fd++)
        if (dup2(fd == WIRE_PULSE ? high : low, fd) < 0) return -1;
    dup2(low, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* that of the first process is its wire */
    close(high);
    close(low);
    return 0;
}

void worker_follow(void) {
    static struct process p = {.resumed_from = -1};
    struct bp_error error = {0};
    child_begin();
    if (take_descriptors() != 0) give_up(strerror(errno));
    if (!(p.team = team_join(0, &error))) give_up(error.message);
    if (!(p.order = team_receive(p.team, &error))) give_up(error.message);
    process_begin(&p);
    if (process_work(&p) != 0) give_up(p.problem[0] ? p.problem : "this process cannot go on");
    team_leave(p.team);
    worker_exit(0);
}
