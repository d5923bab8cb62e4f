/* probe.c - a process that finds out whether jobs can compute in bfloat16: it loads oneDNN, which the server does not. */
#include "server/jobs/bfloat16.h"
#include "server/jobs/child.h"
#include "server/worker/run.h"
#include "server/worker/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Exits with 0 and writes nothing when they can, else writes why not. Ends without tidying up. */
int worker_probe_bfloat16(void) {
    struct bp_error failed = {0}, unavailable = {0};
    child_begin();
    if (fcntl(WIRE_SOCKET, F_GETFD) < 0) {
        fprintf(stderr, "backpropd bfloat16 is started by `backpropd serve` only; see `backpropd doctor`\n");
        return 2;
    }
    bp_engine_start();
    bp_flush_denormals();
    if (bp_onednn_start(run_onednn_mode(), true, &failed) == 0) worker_exit(0);
    const char *why = bp_bfloat16_available(&unavailable) ? failed.message : unavailable.message; /* the same in its words */
    const size_t size = strlen(why);
    worker_exit(write(WIRE_SOCKET, why, size) == (ssize_t)size ? 0 : 1);
}
