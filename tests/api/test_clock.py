"""Goal: somebody sets the clock while the server works: forward and back by a day. Jobs run and are tried again, long polls and the drain end in time, nothing is
negative."""
import os
import signal

import pytest

import harness

# The time of day is off by the seconds in the file that CLOCK names; the monotonic clock is not.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static long offset(void) {
    const char *path = getenv("CLOCK");
    FILE *file = path ? fopen(path, "re") : NULL;
    long seconds = 0;
    if (file && fscanf(file, "%ld", &seconds) != 1) seconds = 0;
    if (file) fclose(file);
    return seconds;
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
int clock_gettime(clockid_t clock, struct timespec *t) {
    int code = REAL(clock_gettime)(clock, t);
    if (clock == CLOCK_REALTIME) t->tv_sec += offset();
    return code;
}
time_t time(time_t *to) {
    time_t now = REAL(time)(NULL) + offset();
    if (to) *to = now;
    return now;
}
"""
DAY = 86400


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return harness.preload_library(tmp_path_factory.mktemp("shim"), "clock", SHIM)


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
def test_the_clock_jumps(fresh, shim, tmp_path, jump):
    clock = tmp_path / "clock"
    clock.write_text("0")
    server = fresh("--workers", "1", "--retry-seconds", "1", env={"LD_PRELOAD": str(shim), "CLOCK": str(clock)})
    server.upload("digits", harness.DATA / "digits.csv")
    endless = server.submit(**harness.ENDLESS)["id"]
    server.wait(endless, lambda j: j["status"] == "running" and j["progress"]["epoch"] > 0)
    waiting = server.submit(**harness.xor())["id"]
    before = server.get("/v1/jobs/" + endless).json["progress"]["epoch"]
    clock.write_text(str(jump))
    server.wait(endless, lambda j: j["progress"]["epoch"] > before)
    (process,) = server.children()
    os.kill(process, signal.SIGKILL)
    server.wait(endless, lambda j: j["attempt"] == 2 and j["status"] == "running")
    clock.write_text(str(-jump))  # while a retry may be planned for tomorrow
    (process,) = harness.until(lambda: server.children(), what="the job's process")
    os.kill(process, signal.SIGKILL)
    server.wait(endless, lambda j: j["attempt"] == 3 and j["status"] == "running")
    job = server.get("/v1/jobs/" + endless).json
    assert job["training_seconds"] >= 0 and (job["progress"]["eta_seconds"] is None or job["progress"]["eta_seconds"] >= 0)
    assert server.get("/v1/server").json["uptime_seconds"] < 3600
    assert server.post("/v1/jobs/%s/cancel" % endless).status == 200
    assert server.wait(waiting)["status"] == "succeeded"
    stream = server.submit(**harness.ENDLESS)["id"]
    server.wait(stream, lambda j: j["status"] == "running" and j["progress"]["epoch"] > 0)
    clock.write_text(str(jump))
    assert server.stop() == 0
    server.start()
    assert server.get("/v1/jobs/" + stream).json["status"] in ("queued", "running")
