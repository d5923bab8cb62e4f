/* job.c - `backpropd job`, started by `backpropd serve` for each attempt of a job; `backpropd job --stdio` by a launcher on another host. */
#include "server/commands/commands.h"
#include "server/remote/remote.h"
#include "server/worker/worker.h"

#include <string.h>

int command_job(int argc, char **argv) {
    return argc == 2 && strcmp(argv[1], "--stdio") == 0 ? agent_run() : worker_run();
}
