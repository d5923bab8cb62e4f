"""Goal: whatever is killed, whenever, no accepted job is lost, and the resumed run ends with the same bits as an uninterrupted one.

A job is killed when the server tells an epoch and a checkpoint; one that has ended before that is trained again. Every run asserts that it was really
resumed."""
import contextlib
import os
import signal

import pytest

import harness
from harness import TooLate, problem, unique

RUN = {"dataset": "digits", "target": "digit", "epochs": 240, "seed": 11, "batch_size": 32, "checkpoint_every_epochs": 2,
       "optimizer": {"type": "adam", "learning_rate": 0.001}}
LAYERS = [{"type": "dense", "units": 256, "activation": "relu"}, {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 128, "activation": "tanh"}]
VARIANTS = {
    "plain": {},
    "long": {"epochs": 1200},  # seconds away from its end while a test disturbs it again and again, on a loaded machine too
    "stopping": {"early_stopping": {"metric": "val_loss", "patience": 60, "min_delta": 0.02}, "optimizer": {"type": "adamw", "learning_rate": 0.005}},
    "windows": {"window_rows": 300, "mixup": 0.2},
    "threads": {"threads": 2, "optimizer": {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True}, "l2": 0.0001, "gradient_clip_norm": 1.0},
}


def submit(server, variant, **more):
    if server.get("/v1/datasets/digits").status == 404:
        server.upload("digits", harness.DATA / "digits.csv")
    name = unique("run")
    return name, server.submit(model={"name": name, "layers": LAYERS}, **{**RUN, **VARIANTS[variant], **more})["id"]


def result(server, name, job):
    """Everything of a run that must not depend on what happened to it."""
    ended = server.wait(job)
    assert ended["status"] == "succeeded", ended
    history = server.get("/v1/jobs/%s/metrics?max_points=100000" % job).json["data"]
    version = server.get("/v1/models/%s/versions/latest" % name).json
    assert [p["epoch"] for p in history] == list(range(1, version["epochs_trained"] + 1))  # one row per epoch, whatever was resumed
    return {"weights": server.weights(name), "history": history, "metrics": ended["metrics"], "best": ended["best"], "warnings": ended["warnings"],
            "version": {k: version[k] for k in ("epoch", "epochs_trained", "metrics", "preprocessing", "options", "definition", "rows_trained")}}, ended


@pytest.fixture(scope="module")
def undisturbed():
    """The reference runs, each on a server that is left alone."""
    server = harness.Server("--workers", "2")
    results = {}
    jobs = {variant: submit(server, variant) for variant in VARIANTS}
    for variant, (name, job) in jobs.items():
        results[variant], ended = result(server, name, job)
        assert ended["attempt"] == 1 and ended["resumed_from_epoch"] is None
    assert server.stop() == 0
    server.remove()
    stopping = results["stopping"]["version"]  # kills at 30 land while it waits for an improvement; after a few epochs none is as large as asked for
    assert stopping["epoch"] < 28 and stopping["epochs_trained"] == stopping["epoch"] + 60 < 240
    assert len({str(sorted(r["weights"].items())) for r in results.values()}) == len(VARIANTS)
    assert all(any(w.startswith("overfitting") for w in r["warnings"]) for r in results.values())  # advice counts epochs, before and after a kill
    return results


def wait_for_checkpoint(server, job, epoch):
    """Until the job has finished this many epochs and has a checkpoint of at least the one before; the job at that moment."""
    def there():
        now = server.raw("GET", "/v1/jobs/" + job).json  # unchecked, to be fast
        if now["status"] == "succeeded":
            raise TooLate("in epoch %d" % now["progress"]["epoch"])
        assert now["status"] in ("queued", "running"), now
        kept = server.raw("GET", "/v1/jobs/%s/checkpoints" % job).json["data"] if now["progress"]["epoch"] >= epoch else None
        return now if kept and max(c["epoch"] for c in kept) >= epoch - 2 else None
    return harness.until(there, what="epoch %d" % epoch)


def assert_running_again(server, job, attempt):
    """The status after a kill of the server is true: queued, or running in a later attempt, which comes."""
    now = server.get("/v1/jobs/" + job).json
    assert now["status"] in ("queued", "running", "succeeded") and now["error"] is None and now["attempt"] >= attempt, now
    server.wait(job, lambda j: j["attempt"] > attempt)


@pytest.mark.parametrize("variant, moments", [("plain", [3, 20, 41]), ("stopping", [30]), ("threads", [15])], ids=str)
@harness.again_if_too_late
def test_kill_9_of_the_job_process(fresh, undisturbed, variant, moments):
    server = fresh("--workers", "1")
    name, job = submit(server, variant)
    for count, epoch in enumerate(moments):
        wait_for_checkpoint(server, job, epoch)
        assert server.kill_process_of(job)["attempt"] == count + 2
    got, ended = result(server, name, job)
    assert ended["attempt"] == len(moments) + 1 and ended["resumed_from_epoch"] >= max(1, moments[-1] - 2)
    assert got == undisturbed[variant]
    crashes = [e for e in server.all_pages("/v1/jobs/%s/events?type=status" % job) if e["level"] == "warning"]
    assert len(crashes) == len(moments) and all(e["data"]["error"]["code"] == "worker_crashed" and e["data"]["error"]["signal"] == 9 for e in crashes)


@pytest.mark.parametrize("variant, moments", [("plain", [5, 6, 33]), ("stopping", [9, 30]), ("threads", [8, 30])], ids=str)
@harness.again_if_too_late
def test_kill_9_of_the_server(fresh, undisturbed, variant, moments):
    server = fresh("--workers", "1")
    name, job = submit(server, variant)
    for count, epoch in enumerate(moments):
        wait_for_checkpoint(server, job, epoch)
        orphans = server.children()
        server.restart(kill=True)
        assert_running_again(server, job, count + 1)
        harness.until(lambda: not any(is_our_job(p) for p in orphans), what="the end of the orphaned job process")
    got, ended = result(server, name, job)
    assert ended["attempt"] == len(moments) + 1 and ended["resumed_from_epoch"] >= max(1, moments[-1] - 2)
    assert got == undisturbed[variant]


def is_our_job(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat, open("/proc/%d/cmdline" % pid, "rb") as line:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z" and b"job" in line.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("variant, epoch", [("plain", 7), ("threads", 25)])
@harness.again_if_too_late
def test_sigterm_gives_the_job_back(fresh, undisturbed, variant, epoch):
    """No finished epoch is lost: the only checkpoint is the one that is written at the stop itself."""
    server = fresh("--workers", "1")
    name, job = submit(server, variant, checkpoint_every_epochs=1000000)
    at = server.wait(job, lambda j: j["progress"]["epoch"] >= epoch)["progress"]["epoch"]
    assert server.get("/v1/jobs/%s/checkpoints" % job).json["data"] == []
    server.restart()
    server.wait(job, lambda j: j["attempt"] >= 2)
    got, ended = result(server, name, job)
    assert ended["attempt"] == 2 and ended["resumed_from_epoch"] >= at
    expected = undisturbed[variant]
    (rare,) = [w for w in got["warnings"] if w.startswith("checkpoint_every_epochs is 1000000, but the job has 240 epochs")]
    got["warnings"].remove(rare)
    assert got["version"].pop("options") != expected["version"]["options"]
    assert got == {**expected, "version": {k: v for k, v in expected["version"].items() if k != "options"}}


@harness.again_if_too_late
def test_kills_of_both_in_turn_with_several_jobs(fresh, undisturbed):
    """Two slots, four jobs: kills of processes and of the server, one after the other, until all have ended."""
    server = fresh("--workers", "2")
    jobs = {variant: submit(server, variant) for variant in ("long", "stopping", "windows", "threads")}
    first = jobs["long"][1]
    wait_for_checkpoint(server, first, 4)
    server.restart(kill=True)
    wait_for_checkpoint(server, first, 8)
    server.wait(first, lambda j: j["resumed_from_epoch"] is not None and j["progress"]["epoch"] > j["resumed_from_epoch"])  # its process is there
    for process in server.children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    server.wait(first, lambda j: j["attempt"] >= 3)
    server.restart(kill=True)
    server.restart(kill=True)  # at once: perhaps before anything was claimed
    server.wait(first, lambda j: j["attempt"] >= 4)
    for variant, (name, job) in jobs.items():
        got, ended = result(server, name, job)
        assert got == undisturbed[variant], variant
        if variant == "long":
            assert ended["attempt"] >= 4 and ended["resumed_from_epoch"] >= 6


@harness.again_if_too_late
def test_checkpoints_while_the_server_is_held(fresh, undisturbed):
    """The job writes the next checkpoint to the file that it has, then waits for another: each is stored with the content it had when it was reported."""
    server = fresh("--workers", "1")
    name, job = submit(server, "plain")
    folder = os.path.join(server.folder, "checkpoints")
    written = lambda: any(f.endswith(".tmp") and os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))  # noqa: E731
    for epoch in range(2, 30, 4):
        wait_for_checkpoint(server, job, epoch)
        process = server.process_of(job)
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            harness.until(written, seconds=5, what="the next checkpoint")
            os.kill(process, signal.SIGKILL)
            break
        except AssertionError:  # it was stopped just before it gave the job its next file: try again
            continue
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
    server.wait(job, lambda j: j["resumed_from_epoch"] is not None)
    got, ended = result(server, name, job)
    reported = [e["data"]["epoch"] for e in server.all_pages("/v1/jobs/%s/events?type=checkpoint" % job) if e["attempt"] == 1]
    assert ended["resumed_from_epoch"] == reported[-1] and reported == list(range(2, reported[-1] + 1, 2))
    assert got == undisturbed["plain"] and "checkpoint_failed" not in server.log_text()


def test_attempts_run_out(fresh):
    """No checkpoint, a crash at every attempt: failed, with the signal, and the queue continues."""
    server = fresh("--workers", "1", "--attempts-max", "3")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS, checkpoint_every_epochs=1000000)["id"]
    for attempt in (1, 2, 3):
        server.wait(job, lambda j: j["status"] == "running" and j["attempt"] == attempt)
        os.kill(server.process_of(job), signal.SIGKILL)
        harness.until(lambda: server.get("/v1/jobs/" + job).json["attempt"] > attempt or attempt == 3, what="the next attempt")
    ended = server.wait(job)
    assert (ended["status"], ended["attempt"], ended["attempts_max"]) == ("failed", 3, 3)
    assert ended["error"]["code"] == "quarantined" and ended["error"]["signal"] == 9
    assert ended["error"]["message"].startswith("the job is quarantined after 3 crashes without a new checkpoint; the last one: the job's process was ended by signal 9")
    assert ended["resumed_from_epoch"] is None
    end = list(server.stream("/v1/jobs/%s/events" % job))[-1][2]
    assert end["type"] == "end" and end["data"]["error"] == ended["error"]
    assert server.train(**harness.xor())["status"] == "succeeded"
    server.restart(kill=True)
    assert server.get("/v1/jobs/" + job).json == ended


@harness.again_if_too_late
def test_a_new_checkpoint_resets_the_count(fresh, undisturbed):
    """Three crashes with --attempts-max 2, each after a new checkpoint: the job succeeds."""
    server = fresh("--workers", "1", "--attempts-max", "2")
    name, job = submit(server, "plain")
    for count, epoch in enumerate((4, 12, 24)):
        wait_for_checkpoint(server, job, epoch)
        assert server.kill_process_of(job)["attempt"] == count + 2
    got, ended = result(server, name, job)
    assert ended["attempt"] == 4 and got == undisturbed["plain"]


def test_kills_of_the_server_never_count(fresh):
    """More kills than attempts, none of them the job's fault."""
    server = fresh("--workers", "1", "--attempts-max", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS, checkpoint_every_epochs=1000000)["id"]
    for attempt in (1, 2, 3):
        server.wait(job, lambda j: j["status"] == "running" and j["attempt"] == attempt)
        server.restart(kill=True)
    server.wait(job, lambda j: j["status"] == "running" and j["attempt"] == 4)
    server.post("/v1/jobs/%s/cancel" % job)
    assert server.wait(job)["status"] == "cancelled"


def test_accepted_work_survives_a_kill(fresh):
    """Jobs, datasets, models and versions survive a kill right after their answers, and cancelled stays cancelled."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    server.post("/v1/models", {"name": "kept", "layers": [{"type": "dense", "units": 3}]})
    server.restart(kill=True)
    blocker = server.submit(**harness.ENDLESS)["id"]
    jobs = [server.submit(**{**harness.xor(metadata={"i": str(i)}), "model": "kept"})["id"] for i in range(20)]
    cancelled = server.submit(**harness.xor())["id"]
    server.post("/v1/jobs/%s/cancel" % cancelled)
    server.restart(kill=True)
    listed = {j["id"]: j for j in server.all_pages("/v1/jobs")}
    assert set(listed) == {blocker, cancelled, *jobs}
    assert listed[cancelled]["status"] == "cancelled" and all(listed[j]["status"] in ("queued", "running") for j in (blocker, *jobs))
    server.wait(blocker, ("running",))
    server.post("/v1/jobs/%s/cancel" % blocker)
    server.restart(kill=True)  # while it is being cancelled
    assert server.wait(blocker)["status"] == "cancelled"
    assert [server.wait(j)["model_version"] for j in jobs] == list(range(1, 21))  # in the order of their submission, with one slot
    before = server.predict("kept", [[0, 1]])
    server.restart(kill=True)
    assert server.predict("kept", [[0, 1]]) == before
    assert server.get("/v1/server").json["jobs"] == {"queued": 0, "running": 0, "pausing": 0, "paused": 0, "cancelling": 0, "cancelled": 2, "succeeded": 20, "failed": 0}


@harness.again_if_too_late
def test_leftovers_are_gone_after_the_start(fresh):
    server = fresh("--workers", "1")
    name, job = submit(server, "plain")
    wait_for_checkpoint(server, job, 4)
    server.kill()
    for folder, left in (("datasets", "dat_00000000000000000000000001.tmp"), ("datasets", "dat_00000000000000000000000000.col"), ("checkpoints", "ckp_00000000000000000000000000.safetensors"),
                         ("checkpoints", job + ".1.99.tmp")):
        with open(os.path.join(server.folder, folder, left), "wb") as file:
            file.write(b"half")
    server.start()
    assert len(os.listdir(os.path.join(server.folder, "datasets"))) == 1
    assert not [f for f in os.listdir(os.path.join(server.folder, "checkpoints")) if "0000000000" in f or ".1.99." in f]
    assert {"ckp_00000000000000000000000000.safetensors", "dat_00000000000000000000000000.col"} <= set(os.listdir(os.path.join(server.folder, "lost")))
    assert server.wait(job)["status"] == "succeeded"
    assert server.delete("/v1/jobs/" + job).status == 204
    harness.until(lambda: os.listdir(os.path.join(server.folder, "checkpoints")) == [], what="the removal of the checkpoints of a deleted job")
    assert problem(server.get("/v1/datasets/dat_00000000000000000000000000"), 404, "not_found")
