/* job.c - `backpropd job`, started by `backpropd serve` for each attempt of a job; `backpropd job --stdio` by a launcher on another host. */
#include "server/commands/commands.h"
#include "server/remote/remote.h"
#include "server/worker/mpi.h"
#include "server/worker/worker.h"

#include <string.h>

int command_job(int argc, char **argv) {
    if (argc != 2 || strcmp(argv[1], "--stdio") != 0) return worker_run();
    if (mpi_rank_given() > 0) worker_follow();
    return agent_run();
}
