"""Goal: whatever ended a process of a job, its log says when and why, what it used and what it wrote; a process that shows no sign of life or of progress is
killed, and a healthy one is not."""
import ctypes
import os
import signal

import pytest

import harness
from harness import problem

ENDLESS = {**harness.ENDLESS, "checkpoint_every_epochs": 1000000}


def attempts(server, job):
    log = server.get("/v1/jobs/%s/log" % job).json
    assert (log["object"], log["job"]) == ("log", job)
    return log["attempts"]


def complete(server, job, count):
    """The attempts, when the last of `count` processes has been waited for."""
    def there():
        found = attempts(server, job)
        last = found[0] if found else {"exit_code": None, "signal": None}
        return found if len(found) == count and (last["exit_code"], last["signal"]) != (None, None) else None
    return harness.until(there, what="the end of process %d" % count)


def text_of(server, job):
    answer = server.get("/v1/jobs/%s/log" % job, headers={"Accept": "text/plain"})
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return answer.body.decode()


def trains(attempt):
    return any("rows train" in line for line in attempt["lines"])


def running(server, job, attempt):
    """Until it trains in this attempt; its process."""
    server.wait(job, lambda j: j["attempt"] == attempt and j["status"] == "running" and trains(attempts(server, job)[0]) and j["progress"]["epoch"] > 0)
    (process,) = server.children()
    return process


def check_end(attempt, number, reason, signal_number, message=None):
    assert (attempt["attempt"], attempt["reason"], attempt["signal"]) == (number, reason, signal_number), attempt
    assert (attempt["exit_code"] is None) == (signal_number is not None)
    assert attempt["started_at"] <= attempt["ended_at"] and attempt["truncated"] is False
    # The kernel may book all of a short life under one of the two: their sum is exact, each alone is sampled.
    assert attempt["user_seconds"] >= 0 and attempt["system_seconds"] >= 0 and attempt["user_seconds"] + attempt["system_seconds"] > 0
    assert 1 << 20 < attempt["peak_memory_bytes"] < 8 << 30
    assert "rows train" in " ".join(attempt["lines"])
    assert message is None and attempt["message"] is None or message in attempt["message"], attempt["message"]


def test_every_reason_on_one_job(fresh):
    """Crashes, a pause, a stop and a kill of the server, a cancel: one attempt each."""
    server = fresh("--workers", "1", "--retry-seconds", "0")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    process = running(server, job, 1)
    now = attempts(server, job)[0]
    assert now["ended_at"] is now["reason"] is now["signal"] is now["peak_memory_bytes"] is None
    assert " now: running\n" in text_of(server, job)
    os.kill(process, signal.SIGABRT)
    os.kill(running(server, job, 2), signal.SIGTERM)  # ignored: not for job processes
    server.post("/v1/jobs/%s/pause" % job)
    server.wait(job, ("paused",))
    complete(server, job, 2)
    server.post("/v1/jobs/%s/resume" % job)
    running(server, job, 3)
    server.restart()
    running(server, job, 4)
    server.restart(kill=True)
    running(server, job, 5)
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job, ("cancelled",))
    fifth, fourth, third, second, first = complete(server, job, 5)
    check_end(first, 1, "crashed", 6, "the job's process was ended by signal 6 (Aborted); it was training, in epoch ")
    check_end(second, 2, "paused", None)
    check_end(third, 3, "server_stopped", None)
    assert fourth["reason"] == "server_crashed" and fourth["signal"] is fourth["exit_code"] is fourth["user_seconds"] is None and fourth["ended_at"]
    assert fifth["reason"] == "cancelled"
    assert [a["started_at"] for a in (first, second, third, fourth, fifth)] == sorted(a["started_at"] for a in (fifth, fourth, third, second, first))
    text = text_of(server, job)
    assert [line.split(",")[0] for line in text.splitlines() if line.startswith("attempt")] == ["attempt %d" % i for i in range(1, 6)]
    assert "crashed: the job's process was ended by signal 6" in text and "peak memory" in text and " s user, " in text
    assert server.delete("/v1/jobs/" + job).status == 204
    problem(server.get("/v1/jobs/%s/log" % job), 404, "not_found")


def test_finished_failed_and_never_run(fresh):
    server = fresh("--workers", "1")
    job = server.train(**harness.xor())["id"]
    (only,) = complete(server, job, 1)
    check_end(only, 1, "finished", None)
    assert only["exit_code"] == 0 and "4 rows train, 0 validate" in only["lines"][-1]
    failed = server.wait(server.submit(**harness.xor(optimizer={"type": "sgd", "learning_rate": 1e6}, l2=1000, epochs=1000))["id"], ("failed",))
    (only,) = complete(server, failed["id"], 1)
    check_end(only, 1, "failed", None, failed["error"]["message"])
    server.upload("digits", harness.DATA / "digits.csv")
    blocker = server.submit(**ENDLESS)["id"]
    server.wait(blocker, ("running",))
    waiting = server.submit(**harness.xor())["id"]
    assert attempts(server, waiting) == [] and text_of(server, waiting) == "the job has not started yet\n"
    server.post("/v1/jobs/%s/cancel" % blocker)
    problem(server.get("/v1/jobs/job_00000000000000000000000000/log"), 404, "not_found")


def test_a_quarantined_job_names_the_place_and_its_log(fresh):
    server = fresh("--workers", "1", "--retry-seconds", "0", "--attempts-max", "2")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    for attempt in (1, 2):
        os.kill(running(server, job, attempt), signal.SIGABRT)
    error = server.wait(job)["error"]
    assert (error["code"], error["signal"], error["phase"]) == ("quarantined", 6, "training") and error["epoch"] >= 1
    assert "it was training, in epoch %d; its last lines are at /v1/jobs/%s/log" % (error["epoch"], job) in error["message"]
    assert [a["reason"] for a in complete(server, job, 2)] == ["crashed", "crashed"]


# ---- the watchdog ----

@harness.again_if_too_late
def test_a_stopped_process_is_killed(fresh):
    server = fresh("--workers", "1", "--retry-seconds", "0", "--job-silence-seconds", "2")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    os.kill(running(server, job, 1), signal.SIGSTOP)
    running(server, job, 2)
    first = attempts(server, job)[1]
    check_end(first, 1, "killed", 9, "it showed no sign of life for 2 s (job_silence_seconds): it was stopped; it was training, in epoch ")
    (crash,) = [e for e in server.all_pages("/v1/jobs/%s/events?type=status" % job) if e["level"] == "warning"]
    assert crash["data"]["error"]["code"] == "worker_crashed" and crash["data"]["failures"] == 1 and crash["message"] == first["message"]
    os.kill(running(server, job, 2), signal.SIGSTOP)  # while it pauses: the pause is not lost
    pausing = server.post("/v1/jobs/%s/pause" % job).json
    if pausing["attempt"] > 2:
        raise harness.TooLate("it was killed before the pause")
    assert pausing["status"] == "pausing"
    server.wait(job, ("paused",))
    assert [a["reason"] for a in complete(server, job, 2)] == ["killed", "killed"]


def test_a_process_whose_training_hangs_is_killed(fresh):
    """One thread is held by a debugger, the others go on: as if it waited for a lock."""
    server = fresh("--workers", "1", "--retry-seconds", "0", "--job-silence-seconds", "2")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    process = running(server, job, 1)
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.restype, ptrace.argtypes = ctypes.c_long, [ctypes.c_long] * 4
    if ptrace(0x4206, process, 0, 0) != 0 or ptrace(0x4207, process, 0, 0) != 0:  # PTRACE_SEIZE, PTRACE_INTERRUPT
        pytest.skip("this machine does not allow to hold a thread (ptrace): %s" % os.strerror(ctypes.get_errno()))
    harness.until(lambda: os.WIFSIGNALED(os.waitpid(process, 0x40000000)[1]), what="the end of the process")  # __WALL: as its debugger
    running(server, job, 2)
    check_end(attempts(server, job)[1], 1, "killed", 9, "its work has not got on for 2 s (job_silence_seconds): its threads waited for each other; it was training")
    server.post("/v1/jobs/%s/cancel" % job)


def test_a_healthy_process_lives_through_long_steps_and_a_stopped_server(fresh):
    """One mini-batch of many rows and much work: no step within the limit. Then the server itself is stopped for longer than the limit."""
    server = fresh("--workers", "1", "--job-silence-seconds", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    wide = {"layers": [{"type": "dense", "units": 700, "activation": "relu"}] * 4}
    slow = server.submit(**{**ENDLESS, "model": wide, "batch_size": 1797, "epochs": 100000})["id"]
    server.wait(slow, ("running",))
    harness.until(lambda: trains(attempts(server, slow)[0]), what="the start of the training")
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
        harness.until(lambda: cpu_of(server.children()[0]) > 1.8, what="a second of work and more")
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    server.wait(slow, lambda j: j["progress"]["epoch"] >= 1)
    assert [a["attempt"] for a in attempts(server, slow)] == [1]
    server.post("/v1/jobs/%s/cancel" % slow)


def cpu_of(process):
    """Seconds of CPU time, of all threads."""
    with open("/proc/%d/stat" % process) as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_process_has_a_limit_of_processor_time(fresh):
    """Each attempt has it anew, and goes on from the last checkpoint; one that gets no further is quarantined as after any other crash."""
    server = fresh("--workers", "1", "--job-cpu-seconds", "1", "--retry-seconds", "0")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS)["id"]
    server.wait(job, lambda j: j["attempt"] >= 2)
    first = server.get("/v1/jobs/%s/log" % job).json["attempts"][-1]
    assert first["attempt"] == 1 and first["signal"] == signal.SIGXCPU and "job_cpu_seconds" in first["message"] and first["user_seconds"] > 0.5, first
    server.post("/v1/jobs/%s/cancel" % job)
