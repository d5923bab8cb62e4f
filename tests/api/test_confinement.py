"""Goal: a job process can train, and nothing else: no file, no network, no other process, no secret of the server's; a training has the same bits confined and
not; where the kernel lacks something the job runs with a note, or fails if the setting requires it."""
import os
import re

import pytest

import harness
from harness import ROOT  # noqa: F401
from test_kills import LAYERS, RUN, VARIANTS

IMAGES = {"x": [[[[float((i * 7 + r * 3 + c) % 5)] for c in range(8)] for r in range(8)] for i in range(60)], "y": ["ab"[i % 2] for i in range(60)]}
SERIES = {"x": [[[float((i + t) % 3), 1.0] for t in range(6)] for i in range(60)], "y": ["ab"[i % 2] for i in range(60)]}
DENSE = {**RUN, "epochs": 3, "model": {"layers": LAYERS}}
TRAININGS = {
    "plain": DENSE,
    "threads": {**DENSE, **VARIANTS["threads"], "epochs": 3, "threads": 4},
    "windows": {**DENSE, **VARIANTS["windows"], "epochs": 3},
    "folds": {**DENSE, "validation": {"folds": 3}},
    "range test": {**DENSE, "optimizer": {"type": "adam", "learning_rate": "auto"}, "max_seconds": 100},
    "lbfgs": {**DENSE, "model": {"layers": LAYERS[:1]}, "optimizer": "lbfgs"},
    "large": {**DENSE, "epochs": 1, "model": {"layers": [{"type": "dense", "units": 1500, "activation": "relu"}]}, "batch_size": 512, "threads": 2},
    "cnn": {"model": {"layers": [{"type": "conv2d", "filters": 8, "kernel_size": 3, "activation": "relu"}, {"type": "flatten"}]}, "dataset": IMAGES, "target": "y",
            "epochs": 3, "seed": 1, "ema": 0.9, "mixup": 0.2},
    "lstm": {"model": {"layers": [{"type": "lstm", "units": 16}]}, "dataset": SERIES, "target": "y", "epochs": 3, "seed": 1, "early_stopping": {"patience": 1}},
}
# A kernel without seccomp and Landlock: their calls fail as there.
OLD_KERNEL = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
long syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    long a[6];
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_seccomp || (number >= 444 && number <= 446)) return errno = ENOSYS, -1;
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
int prctl(int option, ...) {
    va_list list;
    va_start(list, option);
    long a[4];
    for (int i = 0; i < 4; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (option == 21 || option == 22) return errno = EINVAL, -1; /* PR_GET_SECCOMP, PR_SET_SECCOMP */
    return ((int (*)(int, ...))dlsym(RTLD_NEXT, "prctl"))(option, a[0], a[1], a[2], a[3]);
}
"""


@pytest.fixture(scope="module")
def able():
    """What this machine can confine; tests that need it are skipped by name where it cannot."""
    said = harness.run("confinement")
    if "not available" in said.stdout:
        pytest.skip("this machine or this build cannot confine: %s" % said.stdout.splitlines()[0])
    return said


def lines_of(server, job):
    return server.get("/v1/jobs/%s/log" % job).json["attempts"][0]["lines"]


def test_everything_else_is_refused(able, fresh, tmp_path):
    """In the confinement of a job: the database and the key file by their paths, files, sockets, programs, processes, signals."""
    server = fresh("--workers", "1")
    key = tmp_path / "key"
    key.write_text("a secret of forty characters, at the least\n")
    database = os.path.join(server.folder, "backpropd.db")
    assert open(database, "rb").read(6) == b"SQLite"  # it can be read from here
    tried = harness.run("confinement", database, key, "/proc/%d/environ" % server.process.pid, "/etc/passwd", "/dev/null", ".")
    assert tried.returncode == 0 and "ALLOWED" not in tried.stdout, tried.stdout
    assert tried.stdout.count(": refused\n") == 24 and tried.stdout.endswith("24 of 24 attempts refused\n"), tried.stdout
    assert "%s: refused" % database in tried.stdout and "%s: refused" % key in tried.stdout


def test_a_running_process_is_confined(able, fresh):
    server = fresh("--workers", "1", "--job-nice", "7", env={"SECRET_OF_THE_SERVER": "hunter2", "BACKPROPD_JOB_SILENCE_SECONDS": "100"})
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS, threads=2, window_rows=500)["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] > 0)
    (process,) = server.children()
    for thread in os.listdir("/proc/%d/task" % process):  # the list binds all threads
        with open("/proc/%d/task/%s/status" % (process, thread)) as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status
    assert os.getpriority(os.PRIO_PROCESS, process) == min(19, os.getpriority(os.PRIO_PROCESS, server.process.pid) + 7)
    with open("/proc/%d/oom_score_adj" % process) as file:
        assert int(file.read()) == 500
    if os.geteuid() == 0:  # of a process that is not dumpable the rest is root's to see
        with open("/proc/%d/environ" % process, "rb") as file:
            names = {v.split(b"=")[0].decode() for v in file.read().split(b"\0") if v}
        assert "OPENBLAS_NUM_THREADS" in names and not names & {"SECRET_OF_THE_SERVER", "PATH", "HOME", "BACKPROPD_JOB_SILENCE_SECONDS"}
        with open("/proc/%d/limits" % process) as file:
            limits = {line[:26].strip(): line[26:47].strip() for line in file}
        assert limits["Max open files"] == "64" and limits["Max core file size"] == "0"
        opened = [os.readlink("/proc/%d/fd/%s" % (process, fd)) for fd in os.listdir("/proc/%d/fd" % process)]
        assert not any("backpropd.db" in path or os.path.isdir(path) for path in opened), opened
    assert not any("not fully confined" in line for line in lines_of(server, job))
    server.post("/v1/jobs/%s/cancel" % job)


def test_the_same_bits_with_and_without(able, fresh):
    results = {}
    for confinement in "true", "false":
        server = fresh("--workers", "2", "--job-confinement", confinement)
        server.upload("digits", harness.DATA / "digits.csv")
        jobs = {name: server.submit(**job)["id"] for name, job in TRAININGS.items()}
        for name, job in jobs.items():
            ended = server.wait(job)
            assert ended["status"] == "succeeded", (name, ended["error"], lines_of(server, job))
            results.setdefault(name, []).append((server.weights(ended["model"]), ended["metrics"], ended["best"]))
    assert all(one == other for one, other in results.values()), [name for name, (one, other) in results.items() if one != other]


def test_a_checkpoint_and_a_resume(able, fresh):
    server = fresh("--workers", "1", "--job-confinement", "true")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS, checkpoint_every_epochs=2)["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] > 10)
    server.post("/v1/jobs/%s/pause" % job)
    server.wait(job, ("paused",))
    server.post("/v1/jobs/%s/resume" % job)
    server.wait(job, lambda j: j["attempt"] == 2 and j["resumed_from_epoch"] and j["progress"]["epoch"] > j["resumed_from_epoch"])
    server.post("/v1/jobs/%s/cancel" % job)
    folder = os.path.join(server.folder, "checkpoints")
    harness.until(lambda: not server.children() and not [f for f in os.listdir(folder) if f.endswith(".tmp")], what="no file of the attempts")


def test_an_old_kernel(able, fresh, tmp_path):
    """auto: a line in the log of the job and of the server, and doctor says so. true: the job fails and says why."""
    shim = harness.preload_library(tmp_path, "old_kernel", OLD_KERNEL)
    server = fresh("--workers", "1", env={"LD_PRELOAD": str(shim)})
    job = server.train(**harness.xor())["id"]
    (warning,) = [line for line in lines_of(server, job) if "not fully confined" in line]
    assert "Landlock is not available" in warning and "seccomp" in warning and "not fully confined" in server.log_text()
    strict = fresh("--workers", "1", "--job-confinement", "true", env={"LD_PRELOAD": str(shim)})
    failed = strict.wait(strict.submit(**harness.xor())["id"])
    assert failed["status"] == "failed" and "job_confinement true requires" in failed["error"]["message"], failed["error"]
    told = harness.run("doctor", "--data-dir", tmp_path / "data", env={"LD_PRELOAD": str(shim), "BACKPROPD_LISTEN": "127.0.0.1:0"})
    assert re.search(r"^confinement .*seccomp\) is not available", told.stdout, re.M), told.stdout


def test_doctor_and_the_setting(able, tmp_path):
    told = harness.run("doctor", "--data-dir", tmp_path / "data", env={"BACKPROPD_LISTEN": "127.0.0.1:0"}).stdout
    assert re.search(r"^confinement   18 of 18 attempts refused$", told, re.M), told
    refused = harness.run("serve", "--data-dir", tmp_path / "data", "--job-confinement", "maybe")
    assert refused.returncode == 2 and "job_confinement must be auto, true or false, got \"maybe\"" in refused.stderr
