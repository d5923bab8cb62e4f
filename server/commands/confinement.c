/* confinement.c - `backpropd confinement`, started by doctor and by tests to find out what a job process can still do. */
#include "server/commands/commands.h"
#include "server/worker/worker.h"

int command_confinement(int argc, char **argv) {
    return worker_try_confinement(argc - 1, argv + 1);
}
