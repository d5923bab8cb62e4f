/* job.c - `backpropd job`, started by `backpropd serve` for each attempt of a job. */
#include "server/commands/commands.h"
#include "server/worker/worker.h"

int command_job(int argc, char **argv) {
    (void)argc;
    (void)argv;
    return worker_run();
}
