"""Goal: a job of several processes is one training: the bits of one process with as many threads, whatever is killed, paused or cancelled in between; no process
of it outlives it; what cannot be shared is refused in words."""
import contextlib
import os
import pathlib
import signal

import numpy
import pytest

import harness
from harness import problem, unique

LAYERS = [{"type": "dense", "units": 64, "activation": "relu"}, {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 32, "activation": "tanh"}]
RUN = {"dataset": "digits", "target": "digit", "epochs": 6, "seed": 11, "batch_size": 64, "optimizer": {"type": "adam", "learning_rate": 0.002}}
LONG = {**RUN, "epochs": 120, "checkpoint_every_epochs": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    launchers = tmp_path_factory.mktemp("launchers") / "launchers.json"
    launchers.write_text('{"local": {"retry_seconds": 0}}')
    server = harness.Server("--workers", "2", "--launchers", str(launchers))
    server.upload("digits", harness.DATA / "digits.csv")
    yield server
    assert server.stop() == 0
    server.remove()


def submit(server, **more):
    name = unique("shared")
    job = {**RUN, "model": {"name": name, "layers": LAYERS}, **more}
    return name, server.submit(**job)["id"]


def train(server, **more):
    name, job = submit(server, **more)
    ended = server.wait(job)
    assert ended["status"] == "succeeded", (ended, log_of(server, job))
    return server.weights(name), ended


def log_of(server, job):
    return "\n".join("\n".join(a["lines"]) for a in server.get("/v1/jobs/%s/log" % job).json["attempts"])


def events_of(server, job):
    return server.all_pages("/v1/jobs/%s/events" % job)


def numbers(weights):
    return numpy.concatenate([numpy.frombuffer(weights[name], numpy.float32) for name in sorted(weights)])


def family():
    """All processes, as {pid: (parent, command line)}."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().split(b"\0")
            found[int(folder.name)] = (int((folder / "stat").read_text().rpartition(")")[2].split()[1]), line)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def descendants(server):
    """Processes below the server, as {pid: command line}."""
    everyone, below, size = family(), {server.process.pid}, 0
    while len(below) != size:
        size = len(below)
        below |= {pid for pid, (parent, _) in everyone.items() if parent in below}
    return {pid: everyone[pid][1] for pid in below if pid != server.process.pid and pid in everyone}


def members(server):
    """The processes that train: (those that follow, the first)."""
    everyone, below = family(), descendants(server)
    parents = {everyone[pid][0] for pid in below if pid in everyone}
    follow = [pid for pid, line in below.items() if b"--stdio" in line and b"mpirun" not in line[0] and pid not in parents]
    first = [pid for pid, line in below.items() if line[1:] == [b"job", b""]]
    return follow, first


def until_trains(server, job, epoch, checkpoint=False):
    server.wait(job, lambda j: j["progress"]["epoch"] >= epoch)
    if checkpoint:
        harness.until(lambda: server.get("/v1/jobs/%s/checkpoints" % job).json["data"] or not server.in_time(job), what="a checkpoint")


# -- the same training -------------------------------------------------------------------------------------------------------------------------------

def test_as_threads_of_one_process(server):
    """The shards of a mini-batch are those of threads, added in the same order by two; by three in another order, so that the last bits differ."""
    two, ended = train(server, processes=2)
    threads, alone = train(server, threads=2)
    assert two == threads and ended["metrics"] == alone["metrics"]
    assert ended["options"]["processes"] == 2 and alone["options"]["processes"] == 1
    again, _ = train(server, processes=2)
    assert again == two
    three, ended3 = train(server, processes=3)
    assert three == train(server, processes=3)[0] and three != two
    assert numpy.abs(numbers(three) - numbers(two)).max() < 1e-3
    history = server.get("/v1/jobs/%s/metrics?max_points=100" % ended3["id"]).json["data"]
    assert history[-1]["loss"] < history[0]["loss"] / 4
    mixed, _ = train(server, processes=2, threads=2)
    assert numpy.abs(numbers(mixed) - numbers(two)).max() < 1e-3


VARIANTS = {
    "batch norm, class weights": {"class_weights": "balanced", "model": {"layers": [{"type": "dense", "units": 16}, {"type": "batch_norm"},
                                                                                    {"type": "activation", "activation": "relu"}]}},
    "accumulation, clipping": {"gradient_accumulation_steps": 3, "gradient_clip_norm": 0.5, "l2": 0.001, "ema": 0.9, "mixup": 0.2},
    "early stopping": {"epochs": 40, "early_stopping": {"metric": "val_accuracy", "patience": 2},
                       "model": {"layers": LAYERS, "metrics": ["accuracy", "roc_auc"]}},
    "all rows": {"optimizer": "lbfgs", "epochs": 5, "validation": {"fraction": 0}},
    "a rate found": {"optimizer": {"type": "adam", "learning_rate": "auto"}, "epochs": 2},
    "windows": {"window_rows": 300},
    "folds": {"validation": {"folds": 3}, "epochs": 2},
    "test, calibration": {"test": {"fraction": 0.2}, "calibrate": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(server, variant):
    more = dict(VARIANTS[variant])
    more.setdefault("model", {"layers": LAYERS[::2] if variant == "all rows" else LAYERS})
    names = [unique("variant"), unique("variant")]
    jobs = [server.submit(**{**RUN, **more, "model": {**more["model"], "name": name}, option: 2})["id"] for name, option in zip(names, ("processes", "threads"))]
    shared, alone = (server.wait(job) for job in jobs)
    assert shared["status"] == "succeeded", (shared, log_of(server, jobs[0]))
    assert alone["status"] == "succeeded"
    assert numpy.allclose(numbers(server.weights(names[0])), numbers(server.weights(names[1])), rtol=1e-4, atol=1e-5)
    assert shared["metrics"].keys() == alone["metrics"].keys()
    for name, value in alone["metrics"].items():
        assert shared["metrics"][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert shared["stop_reason"] == alone["stop_reason"] and shared["best"]["epoch"] == alone["best"]["epoch"]


def test_what_it_cost_is_reported(server):
    name, job = submit(server, processes=2)
    server.wait(job)
    told = [e for e in events_of(server, job) if "processes" in (e["message"] or "") and e["data"]]
    assert len(told) == 1 and told[0]["message"].startswith("2 processes: ")
    data = told[0]["data"]
    assert data["count"] == 2 and data["computation_seconds"] >= 0 and data["communication_seconds"] > 0
    parameters = server.get("/v1/jobs/" + job).json["parameters"]
    assert data["bytes"] >= 4 * parameters * RUN["epochs"] * 20  # each of the updates at least sums the gradient


# -- whatever happens to it --------------------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def undisturbed(server):
    return train(server, **LONG, processes=2)[0]


@pytest.mark.parametrize("victim", ["a process that follows", "the first"])
@harness.again_if_too_late
def test_a_lost_process_ends_the_attempt_of_all(server, undisturbed, victim):
    """... and the next attempt resumes from the checkpoint, to the same bits."""
    name, job = submit(server, **LONG, processes=2)
    until_trains(server, job, 5, checkpoint=True)
    follow, first = harness.until(lambda: all(found := members(server)) and found or not server.in_time(job))
    with contextlib.suppress(ProcessLookupError):  # it has just ended: the job tells why
        os.kill((follow if victim.startswith("a") else first)[0], signal.SIGKILL)
    server.wait(job, lambda j: j["attempt"] > 1)
    ended = server.wait(job)
    assert ended["status"] == "succeeded" and ended["attempt"] == 2 and ended["resumed_from_epoch"] >= 2, ended
    assert server.weights(name) == undisturbed
    assert not set(follow + first) & set(family())


@harness.again_if_too_late
def test_paused_and_resumed_with_others(server, undisturbed):
    """With as many processes: the same bits. With another number the job says so, and ends nearly the same."""
    for processes in (2, 3):
        name, job = submit(server, **LONG, processes=2)
        until_trains(server, job, 3)
        server.pause(job)
        harness.until(lambda: not any(members(server)), what="the end of all processes")
        assert server.request("PATCH", "/v1/jobs/" + job, {"processes": processes}).json["options"]["processes"] == processes
        assert server.post("/v1/jobs/%s/resume" % job).status == 200
        ended = server.wait(job)
        assert ended["status"] == "succeeded" and ended["resumed_from_epoch"] is not None, ended
        told = [w for w in ended["warnings"] if "resumes with 3 processes after 2" in w]
        assert (server.weights(name) == undisturbed) == (processes == 2)
        assert len(told) == (processes == 3)


def test_cancelled(server):
    _, job = submit(server, **{**LONG, "epochs": 100000}, processes=2)
    until_trains(server, job, 2)
    follow, first = harness.until(lambda: all(found := members(server)) and found)
    assert server.post("/v1/jobs/%s/cancel" % job).status == 200
    assert server.wait(job)["status"] == "cancelled"
    harness.until(lambda: not set(follow + first) & set(family()), what="the end of all processes")


def test_stopped_by_time(server):
    ended = server.wait(submit(server, **{**LONG, "epochs": 100000, "max_seconds": 1}, processes=2)[1])
    assert ended["status"] == "succeeded" and ended["stop_reason"] == "max_seconds", ended


@harness.again_if_too_late
def test_a_killed_server_leaves_no_process(fresh, undisturbed):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    name, job = submit(server, **LONG, processes=2)
    until_trains(server, job, 5, checkpoint=True)
    left = descendants(server)
    server.in_time(job)
    assert len(left) >= 5  # the relay, mpirun, the agent, the process under it, one that follows
    server.restart(kill=True)
    server.wait(job, lambda j: j["attempt"] > 1)
    harness.until(lambda: not set(left) & set(family()), what="the end of all processes")
    assert server.wait(job)["status"] == "succeeded"
    assert server.weights(name) == undisturbed
    assert server.stop() == 0


def test_diverged(server):
    rows = [{"x": i, "y": i * 0.5 + 0.25} for i in range(64)]
    ended = server.wait(server.submit(model={"layers": [{"type": "dense", "units": 8, "activation": "relu"}]}, dataset={"records": rows}, target="y", seed=1,
                                      optimizer={"type": "sgd", "learning_rate": 1e6, "momentum": 0.9}, epochs=1000, processes=2)["id"])
    assert ended["status"] == "failed" and ended["error"]["code"] == "diverged", ended


def test_all_are_confined(server):
    if "not available" in harness.run("confinement").stdout:
        pytest.skip("this machine or this build cannot confine")
    _, job = submit(server, **{**LONG, "epochs": 100000}, processes=3)
    until_trains(server, job, 2)
    follow, first = harness.until(lambda: len((found := members(server))[0]) == 2 and found)
    for pid in follow + first:
        status = pathlib.Path("/proc/%d/status" % pid).read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status
    server.post("/v1/jobs/%s/cancel" % job)
    assert server.wait(job)["status"] == "cancelled"
    assert "not permitted" not in log_of(server, job)  # MPI has what it needs


# -- refusals ----------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("more, pointer, text", [
    ({"processes": 0}, "/processes", "at least 1"),
    ({"processes": 1.5}, "/processes", "integer"),
    ({"processes": "2"}, "/processes", "integer"),
    ({"processes": 2000}, "/processes", "at most 1024"),
    ({"processes": 65}, "/processes", "processes_max allows 64"),
    ({"processes": 2, "ensemble": True, "validation": {"folds": 3}}, "/processes", "ensemble"),
    ({"processes": 2, "precision": "auto"}, "/processes", "float32"),
])
def test_refused(server, more, pointer, text):
    answer = server.post("/v1/jobs", {**RUN, "model": {"layers": LAYERS}, **more})
    found = {e["pointer"]: e["detail"] for e in problem(answer, 422, "invalid")["errors"]}
    assert text in found[pointer], found


def test_a_table_alone_is_refused(server):
    answer = server.post("/v1/jobs", {"dataset": "digits", "target": "digit", "processes": 2})
    assert "ensemble" in {e["pointer"]: e["detail"] for e in problem(answer, 422, "invalid")["errors"]}["/processes"]


def test_changes_refused(server):
    _, job = submit(server, **{**LONG, "epochs": 100000}, processes=2)
    until_trains(server, job, 1)
    assert "while it is queued or paused" in problem(server.request("PATCH", "/v1/jobs/" + job, {"processes": 3}), 409, "conflict")["detail"]
    for body, pointer in (({"processes": 65}, "/processes"), ({"processes": 0}, "/processes"), ({}, ""), ({"processes": None}, "/processes")):
        answer = server.request("PATCH", "/v1/jobs/" + job, body)
        assert pointer in {e["pointer"] for e in problem(answer, 422, "invalid")["errors"]}, answer
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)
    assert problem(server.request("PATCH", "/v1/jobs/" + job, {"processes": 3}), 409, "conflict")


def test_idle_threads_are_warned_of(server):
    _, ended = train(server, processes=4, threads=2, batch_size=6, epochs=1)
    assert any("4 processes of 2 threads share mini-batches of 6 rows: 2 threads compute nothing" in w for w in ended["warnings"]), ended["warnings"]


@pytest.mark.parametrize("launcher, text", [
    ("env ASKED={processes}", "this process was not started by MPI"),
    ("mpirun --allow-run-as-root --oversubscribe -n 1 env ASKED={processes}", "2 processes, but its launcher has started 1"),
])
def test_launchers_that_start_others(launcher, text):
    server = harness.Server("--workers", "1", "--launcher", launcher)
    server.upload("digits", harness.DATA / "digits.csv")
    ended = server.wait(submit(server, processes=2)[1])
    assert ended["status"] == "failed" and text in ended["error"]["message"], ended
    assert server.stop() == 0
    server.remove()


def test_without_the_library(tmp_path):
    none = harness.preload_library(tmp_path, "none", r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
void *dlopen(const char *name, int flags) {
    static void *(*real)(const char *, int);
    if (!real) real = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return name && strcmp(name, "libmpi.so.40") == 0 && !getenv("OMPI_MCA_orte_launch") ? NULL : real(name, flags);
}
""")
    server = harness.Server("--workers", "1", "--launcher", "env LD_PRELOAD=%s BP_ASKED={processes}" % none)
    server.upload("digits", harness.DATA / "digits.csv")
    ended = server.wait(submit(server, processes=2)[1])
    assert ended["status"] == "failed" and "install the Debian package libopenmpi3" in ended["error"]["message"], ended
    assert server.stop() == 0
    server.remove()


def test_with_onednn():
    """It starts in each process after they have found each other."""
    if "oneDNN" not in harness.run("doctor").stdout:
        pytest.skip("there is no oneDNN here")
    server = harness.Server("--workers", "1", env={"BACKPROPD_ONEDNN": "on"})
    server.upload("digits", harness.DATA / "digits.csv")
    _, ended = train(server, processes=2, epochs=1)
    assert "oneDNN" in log_of(server, ended["id"])
    assert server.stop() == 0
    server.remove()


# -- does it pay? ------------------------------------------------------------------------------------------------------------------------------------

def test_the_estimate(server):
    """A large step with a small gradient pays and a small one with a large gradient does not; the link is that of the last job."""
    large = {**RUN, "batch_size": 1024, "model": {"layers": [{"type": "reshape", "target_shape": [8, 8, 1]}, {"type": "conv2d", "filters": 64, "kernel_size": 3, "padding": "same"},
                                                             {"type": "conv2d", "filters": 64, "kernel_size": 3, "padding": "same"}, {"type": "global_average_pool"}]}}
    small = {**RUN, "batch_size": 2, "model": {"layers": [{"type": "dense", "units": 2000}, {"type": "dense", "units": 1000}]}}
    train(server, processes=2, epochs=1)
    for job, pays in ((large, os.cpu_count() > 1), (small, False)):
        answer = server.post("/v1/models/validate", {**job, "processes": 2})
        assert answer.status == 200, answer
        estimate, warnings = answer.json["processes"], answer.json["warnings"]
        assert estimate["pays"] == pays and (estimate["speedup"] > 1) == pays, estimate
        assert estimate["link_measured"] and estimate["link"] == 'measured by the last such job of the launcher "local"'
        assert any(w.startswith("2 processes would take longer than one") for w in warnings) == (not pays)
    weights = 64 * 2000 + 2000 + 2000 * 1000 + 1000 + 1000 * 10 + 10
    assert 4 * weights <= estimate["gradient_bytes"] < 4 * weights * 1.01
    assert "processes" not in server.post("/v1/models/validate", small).json


def test_the_command_trains_in_one(tmp_path):
    (tmp_path / "options.json").write_text('{"processes": 2}')
    ran = harness.run("train", "--data", harness.DATA / "digits.csv", "--target", "digit", "--options", tmp_path / "options.json", "--out", tmp_path / "m.bpd")
    assert ran.returncode != 0 and "trains in one process" in ran.stderr and not (tmp_path / "m.bpd").exists(), ran
