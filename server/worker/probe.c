/* probe.c - a process that finds out whether jobs can compute in bfloat16: it loads oneDNN, which the server does not. */
#include "server/jobs/bfloat16.h"
#include "server/jobs/child.h"
#include "server/worker/run.h"
#include "server/worker/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Ends without tidying up. */
int worker_probe_bfloat16(void) {
    char why[BFLOAT16_WHY_SIZE];
    child_begin();
    if (fcntl(WIRE_SOCKET, F_GETFD) < 0) {
        fprintf(stderr, "backpropd bfloat16 is started by `backpropd serve`, not by people; see `backpropd doctor`\n");
        return 2;
    }
    bp_engine_start();
    bp_flush_denormals();
    const bool ready = bp_onednn_start(run_onednn_mode(), true, why, sizeof why) == 0;
    if (!ready) bp_bfloat16_available(why, sizeof why); /* the same in its words */
    const char *said = ready ? BFLOAT16_READY : why;
    const size_t size = strlen(said);
    _exit(write(WIRE_SOCKET, said, size) == (ssize_t)size ? 0 : 1);
}
