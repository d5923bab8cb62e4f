/* relay.c - `backpropd relay`, started by `backpropd serve` for each attempt of a job that a launcher's command starts elsewhere. */
#include "server/commands/commands.h"
#include "server/remote/remote.h"

int command_relay(int argc, char **argv) {
    (void)argc;
    (void)argv;
    return relay_run();
}
