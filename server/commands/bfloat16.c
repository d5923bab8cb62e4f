/* bfloat16.c - `backpropd bfloat16`, started by `backpropd serve` to find out whether jobs can compute in it. */
#include "server/commands/commands.h"
#include "server/worker/worker.h"

int command_bfloat16(int argc, char **argv) {
    (void)argc;
    (void)argv;
    return worker_probe_bfloat16();
}
