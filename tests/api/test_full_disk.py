"""Goal: a job that ends, fails, crashes or is cancelled while the disk is full keeps its end, its model and its metrics, and the server reports it until the store
has them."""
import os
import signal
import sqlite3

import pytest

import harness

# write(2) and its kin fail with ENOSPC on the files of the data folder while the file named by FULL_DISK exists: the database, datasets, checkpoints.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
static int full(int fd) {
    char link[64], path[4096];
    const char *flag = getenv("FULL_DISK");
    if (!flag || access(flag, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    if (!strstr(path, "/backpropd.db") && !strstr(path, "/datasets/") && !strstr(path, "/checkpoints/")) return 0;
    errno = ENOSPC;
    return 1;
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
ssize_t write(int fd, const void *b, size_t n) { return full(fd) ? -1 : REAL(write)(fd, b, n); }
ssize_t writev(int fd, const struct iovec *v, int n) { return full(fd) ? -1 : REAL(writev)(fd, v, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { return full(fd) ? -1 : REAL(pwrite)(fd, b, n, at); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) { return full(fd) ? -1 : REAL(pwrite64)(fd, b, n, at); }
int ftruncate(int fd, off_t n) { return full(fd) ? -1 : REAL(ftruncate)(fd, n); }
int ftruncate64(int fd, off64_t n) { return full(fd) ? -1 : REAL(ftruncate64)(fd, n); }
int posix_fallocate(int fd, off_t at, off_t n) { return full(fd) ? ENOSPC : REAL(posix_fallocate)(fd, at, n); }
"""
LONG = {"model": {"layers": [{"type": "dense", "units": 64, "activation": "relu"}]}, "dataset": "digits", "target": "digit", "seed": 5, "optimizer": {"type": "adam", "learning_rate": 0.001}}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return harness.preload_library(tmp_path_factory.mktemp("shim"), "full", SHIM)


class Disk:
    def __init__(self, path):
        self.path = path

    def fill(self):
        self.path.touch()

    def free(self):
        self.path.unlink()


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path / "full")


@pytest.fixture
def server(fresh, shim, disk):
    # the shim looks at paths, which a confined process cannot
    one = fresh("--workers", "1", "--job-confinement", "false", env={"LD_PRELOAD": str(shim), "FULL_DISK": str(disk.path), "BACKPROPD_JOB_ENVIRONMENT": "FULL_DISK"})
    one.upload("digits", harness.DATA / "digits.csv")
    return one


def held(server, job):
    """The job once it reports that the store cannot write."""
    return server.wait(job, lambda j: any("cannot be stored" in w or "cannot be written" in w for w in j["warnings"]))


def fill(server, disk, job):
    """The disk, before the job ends."""
    with server.held(job):
        disk.fill()


def epochs_of(server, job):
    return [e["data"]["epoch"] for e in server.all_pages("/v1/jobs/%s/events?type=metrics" % job)]


def start(server, **more):
    job = server.submit(**{**LONG, "epochs": 400, **more})["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] >= 1)
    return job


@harness.again_if_too_late
def test_an_end_on_a_full_disk_is_stored_later(server, disk):
    """The training runs to its end, waits, and ends with the bits and all the epochs that it has on a disk with free space."""
    expected = server.train(**LONG, epochs=400)
    job = start(server)
    fill(server, disk, job)
    waiting = held(server, job)
    assert waiting["status"] == "running" and waiting["error"] is None
    assert server.get("/livez").status == 200 and server.get("/v1/jobs").status == 200
    log = server.log_text()
    assert "event=job_report_delayed job=" + job in log
    disk.free()
    ended = server.wait(job)
    assert ended["status"] == "succeeded" and ended["metrics"] == expected["metrics"] and ended["warnings"] == expected["warnings"]
    assert epochs_of(server, job) == list(range(1, 401))
    assert os.listdir(os.path.join(server.folder, "checkpoints")) == [] or all(f.endswith(".safetensors") for f in os.listdir(os.path.join(server.folder, "checkpoints")))
    assert server.log_text().count("event=job_report_delayed") <= 2  # not a line for each attempt


def test_a_cancel_on_a_full_disk(server, disk):
    """It cannot be stored and is refused with a message; the job continues, and can be cancelled when there is space."""
    job = start(server, epochs=1000000)
    disk.fill()
    held(server, job)
    refused = server.raw("POST", "/v1/jobs/%s/cancel" % job)
    assert refused.status == 507 and refused.json["code"] == "storage" and "free space" in refused.json["detail"]
    disk.free()
    server.post("/v1/jobs/%s/cancel" % job)
    assert server.wait(job)["status"] == "cancelled"


@harness.again_if_too_late
def test_a_cancel_is_recorded_before_the_disk_fills(server, disk):
    """The process ends, its end cannot be stored: the job stays in cancelling until it can."""
    job = start(server, epochs=1000000)
    with server.held(job):
        server.post("/v1/jobs/%s/cancel" % job)
        disk.fill()
    if server.get("/v1/jobs/" + job).json["status"] == "cancelled":  # it stood still for so long that the server has killed it
        disk.free()
        raise harness.TooLate("the end of the process came before the disk was full")
    assert held(server, job)["status"] == "cancelling"
    disk.free()
    assert server.wait(job)["status"] == "cancelled"


@harness.again_if_too_late
def test_a_crash_on_a_full_disk(server, disk):
    """The process dies; its job goes back to the queue once that can be stored, and ends as an unbroken one."""
    expected = server.train(**LONG, epochs=400)
    job = start(server)
    with server.held(job) as process:
        disk.fill()
        os.kill(process, signal.SIGKILL)
    assert held(server, job)["status"] == "running"
    disk.free()
    ended = server.wait(job)
    assert ended["status"] == "succeeded" and ended["attempt"] == 2 and ended["metrics"] == expected["metrics"]


@harness.again_if_too_late
def test_a_failure_on_a_full_disk(server, disk):
    """The loss diverges after the disk has filled: the job fails with that reason when it can."""
    server.upload("line", "a,y\n" + "\n".join("%d,%d.5" % (i % 7, i % 5) for i in range(5000)), "&replace=1")
    job = server.submit(model={"layers": [{"type": "dense", "units": 1}]}, dataset="line", target="y", task="regression", epochs=1000000, batch_size=5000, seed=1,
                        optimizer={"type": "sgd", "learning_rate": 1.005}, validation={"fraction": 0})["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] >= 1)
    with server.held(job, "failed"):
        disk.fill()
    waiting = held(server, job)
    disk.free()
    ended = server.wait(job)
    assert waiting["status"] == "running" and ended["status"] == "failed" and ended["error"]["code"] == "diverged"


@harness.again_if_too_late
def test_a_stop_on_a_full_disk(server, disk):
    """The server ends all the same; the next one resumes the job from its last checkpoint, to the same bits."""
    expected = server.train(**LONG, epochs=400)
    job = start(server)
    fill(server, disk, job)
    held(server, job)
    server.flags += ["--drain-seconds", "1"]
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    disk.free()
    server.start()
    job = server.wait(job)
    assert job["status"] == "succeeded" and job["metrics"] == expected["metrics"]
    again = start(server)
    fill(server, disk, again)
    held(server, again)
    assert server.stop() == 0
    disk.free()
    server.start()
    assert server.wait(again)["metrics"] == expected["metrics"]


def test_a_row_without_a_process_is_found(fresh):
    """A job that is marked as running without a process is queued again."""
    server = fresh("--workers", "1")
    job = server.train(**harness.xor())
    with sqlite3.connect(os.path.join(server.folder, "backpropd.db"), timeout=10) as database:
        database.execute("UPDATE jobs SET status = 'running', owner = 'gone', finished_at = 0, model_version = 0, publication = 'null' WHERE id = ?", (job["id"],))
    database.close()
    again = server.wait(job["id"])
    assert again["status"] == "succeeded" and again["attempt"] == job["attempt"] + 1 and again["model_version"] == 2
    assert "event=job_without_process job=" + job["id"] in server.log_text()
