"""Goal: a paused job frees its slot, stays paused, and ends with the bits of a run that was never paused; every action can be repeated in every state; a job
whose process dies is tried again after a growing delay; the queue follows the priorities."""
import os
import signal
import threading
import time

import pytest

import harness
from harness import TooLate, pointers, problem, unique
from test_folds import in_fold, result as folds_result, submit as submit_folds  # noqa: F401
from test_kills import result, submit, undisturbed, wait_for_checkpoint  # noqa: F401


def act(server, job, action):
    """The status code, and the job's status after it; "gone" when it is deleted."""
    answer = server.delete("/v1/jobs/" + job) if action == "delete" else server.post("/v1/jobs/%s/%s" % (job, action))
    if answer.status == 409:
        problem(answer, 409, "conflict")
    after = server.get("/v1/jobs/" + job)
    if answer.status == 200:
        assert answer.json["id"] == job
        return 200, answer.json["status"]
    return answer.status, after.json["status"] if after.status == 200 else "gone"


def statuses(server, job):
    return [e["data"]["status"] for e in server.all_pages("/v1/jobs/%s/events?type=status" % job)]


@pytest.mark.parametrize("variant, moments", [("plain", [3, 20, 41]), ("stopping", [30]), ("windows", [9]), ("threads", [15])], ids=str)
@harness.again_if_too_late
def test_the_bits_of_a_run_without_a_pause(fresh, undisturbed, variant, moments):  # noqa: F811
    server = fresh("--workers", "1")
    name, job = submit(server, variant)
    for count, epoch in enumerate(moments):
        wait_for_checkpoint(server, job, epoch)
        paused = server.pause(job)
        assert paused["attempt"] == count + 1 and paused["progress"]["epoch"] >= epoch and paused["progress"]["eta_seconds"] is None and paused["finished_at"] is None
        harness.until(lambda: not server.children() and server.get("/v1/server").json["workers"]["running"] == 0, what="a free slot")
        kept = server.get("/v1/jobs/%s/checkpoints" % job).json["data"]
        assert max(c["epoch"] for c in kept) == paused["progress"]["epoch"]  # written at the pause: no epoch is trained twice
        assert server.post("/v1/jobs/%s/resume" % job).json["status"] == "queued"
        server.wait(job, lambda j: j["attempt"] == count + 2 and j["resumed_from_epoch"] == paused["progress"]["epoch"])
    got, ended = result(server, name, job)
    assert ended["attempt"] == len(moments) + 1 and got == undisturbed[variant]
    assert statuses(server, job) == ["queued", "running"] + ["pausing", "paused", "queued", "running"] * len(moments) + ["succeeded"]


@harness.again_if_too_late
def test_folds_are_paused_too(fresh):
    server, long = fresh("--workers", "1"), {"epochs": 120, "checkpoint_every_epochs": 10}
    undisturbed_result, _ = folds_result(server, *submit_folds(server, **long))
    name, job = submit_folds(server, **long)
    for count, fold in enumerate((1, 3, None)):
        in_fold(server, job, fold, 3)
        paused = server.pause(job)
        at = paused["progress"]["fold"]  # on a busy machine the next fold may have begun before the pause
        if (at or 4) > (fold or 4) + 1:
            raise TooLate("the pause came in fit %s instead of %s" % (at, fold))
        assert at in (fold, None if fold in (3, None) else fold + 1) and len(paused["cross_validation"]["folds"]) == (at or 4) - 1
        server.post("/v1/jobs/%s/resume" % job)
        server.wait(job, lambda j: j["attempt"] == count + 2 and j["resumed_from_epoch"] == paused["progress"]["epoch"])
    got, ended = folds_result(server, name, job)
    assert ended["attempt"] == 4 and got == undisturbed_result


@harness.again_if_too_late
def test_the_slot_is_free_and_restarts_keep_the_pause(fresh, undisturbed):  # noqa: F811
    server = fresh("--workers", "1")
    name, job = submit(server, "plain")
    waiting = server.submit(**harness.xor())["id"]
    wait_for_checkpoint(server, job, 4)
    server.pause(job)
    assert server.wait(waiting)["status"] == "succeeded"
    server.restart()
    server.restart(kill=True)
    assert server.train(**harness.xor())["status"] == "succeeded"  # a claim that would have taken the paused job first
    assert server.get("/v1/jobs/" + job).json["status"] == "paused"
    assert server.get("/v1/server").json["jobs"]["paused"] == 1
    server.post("/v1/jobs/%s/resume" % job)
    got, ended = result(server, name, job)
    assert ended["attempt"] == 2 and got == undisturbed["plain"]


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_a_pausing_job_is_paused_after_a_restart(fresh, kill):
    server = fresh("--workers", "1", "--drain-seconds", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS)["id"]
    server.wait(job, lambda j: j["status"] == "running" and j["progress"]["epoch"] > 0)
    (process,) = server.children()
    os.kill(process, signal.SIGSTOP)
    assert act(server, job, "pause") == (200, "pausing")
    server.restart(kill=kill)
    assert server.get("/v1/jobs/" + job).json["status"] == "paused"
    assert act(server, job, "cancel") == (200, "cancelled")


def test_long_polls_and_streams_report_a_pause(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS)["id"]
    server.wait(job, lambda j: j["status"] == "running" and j["progress"]["epoch"] > 0)
    seen = []

    def poll():
        for _ in range(2):
            seen.append(server.get("/v1/jobs/" + job, headers={"Prefer": "wait=30"}).json["status"])

    poller = threading.Thread(target=poll)
    poller.start()
    server.post("/v1/jobs/%s/pause" % job)
    server.wait(job, ("paused",))
    server.post("/v1/jobs/%s/resume" % job)
    poller.join(timeout=60)
    assert len(seen) == 2 and set(seen) <= {"pausing", "paused", "queued", "running"} and seen[0] != "running"
    server.wait(job, ("running",))
    server.post("/v1/jobs/%s/cancel" % job)
    told = [data["data"]["status"] for _, kind, data in server.stream("/v1/jobs/%s/events" % job) if kind == "status"]
    assert told == ["queued", "running", "pausing", "paused", "queued", "running", "cancelling", "cancelled"]


TABLE = {  # state: cancel, pause, resume, delete: status code and state, the first time and the second
    "queued": [(200, "cancelled"), (200, "paused"), (200, "queued"), (409, "queued")],
    "running": [(200, "cancelling"), (200, "pausing"), (200, "running"), (409, "running")],
    "pausing": [(200, "cancelling"), (200, "pausing"), (200, "running"), (409, "pausing")],
    "paused": [(200, "cancelled"), (200, "paused"), (200, "queued"), (409, "paused")],
    "cancelled": [(200, "cancelled"), (409, "cancelled"), (409, "cancelled"), (204, "gone")],
    "succeeded": [(200, "succeeded"), (409, "succeeded"), (409, "succeeded"), (204, "gone")],
    "failed": [(200, "failed"), (409, "failed"), (409, "failed"), (204, "gone")],
}


def job_in(server, state):
    """A new job in this state. One that runs or pauses has a stopped process, and stays so."""
    if state == "succeeded":
        return server.train(**harness.xor())["id"]
    if state == "failed":
        return server.wait(server.submit(**harness.xor(optimizer={"type": "sgd", "learning_rate": 1e6}, l2=1000, epochs=1000))["id"], ("failed",))["id"]
    blocker = server.submit(**harness.ENDLESS)["id"] if state in ("queued", "paused", "cancelled") else None
    if blocker:
        server.wait(blocker, ("running",))
    job = server.submit(**harness.ENDLESS)["id"]
    if blocker:
        {"queued": lambda: None, "paused": lambda: server.pause(job), "cancelled": lambda: server.post("/v1/jobs/%s/cancel" % job)}[state]()
        return job
    server.wait(job, lambda j: j["status"] == "running" and server.children())
    (process,) = server.children()
    os.kill(process, signal.SIGSTOP)
    if state == "pausing":
        assert server.post("/v1/jobs/%s/pause" % job).json["status"] == "pausing"
    return job


@pytest.mark.parametrize("state", TABLE)
def test_every_action_in_every_state_twice(fresh, state):
    """Cancelling ends within 100 ms: this state is in the table of tests/server/store/test_jobs.c, with all actions."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    for action, expected in zip(("cancel", "pause", "resume", "delete"), TABLE[state]):
        job = job_in(server, state)
        assert server.get("/v1/jobs/" + job).json["status"] == state
        assert act(server, job, action) == expected, action
        again = act(server, job, action)
        if expected == (200, "cancelling"):
            assert again in ((200, "cancelling"), (200, "cancelled"))
        else:
            assert again == ((404, "gone") if expected[0] == 204 else expected), action
        for left in server.get("/v1/jobs?limit=1000").json["data"]:
            server.post("/v1/jobs/%s/cancel" % left["id"])
        harness.until(lambda: not server.children(), what="the end of all jobs")
    for action in "cancel", "pause", "resume":
        problem(server.post("/v1/jobs/job_00000000000000000000000000/" + action), 404, "not_found")


# ---- retries ----

@harness.again_if_too_late
def test_five_kills_in_a_moment_do_not_end_a_job(fresh, undisturbed):  # noqa: F811
    """Each process is killed as soon as it exists, for 0.3 s and longer: the delays outlast that, and the job succeeds with its bits."""
    server = fresh("--workers", "1")
    name, job = submit(server, "plain")
    deadline, killed = time.monotonic() + 0.6, 0
    while time.monotonic() < deadline or killed < 2:
        server.in_time(job)
        for process in server.children():
            try:
                os.kill(process, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
            harness.until(lambda: process not in server.children(), what="the end of the process")
        assert killed < 5
    got, ended = result(server, name, job)
    assert ended["attempt"] == killed + 1 and got == undisturbed["plain"]


def test_the_delay_doubles_and_is_shown(fresh):
    server = fresh("--workers", "1", "--attempts-max", "4")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS, checkpoint_every_epochs=1000000)["id"]
    for attempt in (1, 2):
        server.wait(job, lambda j: j["status"] == "running" and j["attempt"] == attempt)
        other = server.submit(**harness.ENDLESS, priority=1)["id"]  # it runs while the first waits, and until that has been looked at
        os.kill(server.process_of(job), signal.SIGKILL)
        server.wait(other, ("running",))
        waiting = server.get("/v1/jobs/" + job).json
        assert waiting["status"] == "queued" and waiting["attempt"] == attempt
        assert waiting["retry_at"] > waiting["created_at"] and waiting["queue_position"] == 1
        (crash,) = [e for e in server.all_pages("/v1/jobs/%s/events?type=status" % job) if e["level"] == "warning"][attempt - 1:]
        assert crash["data"]["retry_at"] == waiting["retry_at"] and crash["data"]["failures"] == attempt
        assert attempt - 0.9 < seconds_between(crash["created_at"], waiting["retry_at"]) <= attempt  # the event is written a moment after the crash
        server.post("/v1/jobs/%s/cancel" % other)
        running = server.wait(job, lambda j: j["status"] == "running")
        assert running["retry_at"] is None
        begun = server.all_pages("/v1/jobs/%s/events?type=status" % job)[-1]["created_at"]
        assert begun >= waiting["retry_at"]
    assert act(server, job, "pause")[0] == 200


def seconds_between(first, second):
    from datetime import datetime
    return (datetime.fromisoformat(second.replace("Z", "+00:00")) - datetime.fromisoformat(first.replace("Z", "+00:00"))).total_seconds()


# ---- priorities ----

def test_the_queue_follows_the_priorities(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    blocker = server.submit(**harness.ENDLESS)["id"]
    server.wait(blocker, ("running",))
    server.post("/v1/models", {"name": "m", "layers": [{"type": "dense", "units": 4, "activation": "tanh"}]})
    jobs = {name: server.submit(**{**harness.xor(**({} if priority is None else {"priority": priority})), "model": "m"}) for name, priority in
            (("a", None), ("b", 5), ("c", -100), ("d", 5), ("e", 100))}
    assert [jobs[n]["priority"] for n in "abcde"] == [0, 5, -100, 5, 100]
    ids = {n: j["id"] for n, j in jobs.items()}

    def order():
        positions = {n: server.get("/v1/jobs/" + ids[n]).json["queue_position"] for n in ids}
        listed = {j["id"]: j["queue_position"] for j in server.get("/v1/jobs").json["data"]}
        assert {ids[n]: p for n, p in positions.items()} == {i: p for i, p in listed.items() if i != blocker}
        return "".join(sorted(positions, key=positions.get))

    assert order() == "ebdac"
    changed = server.request("PATCH", "/v1/jobs/" + ids["c"], {"priority": 6})
    assert changed.status == 200 and changed.json["priority"] == 6 and changed.json["queue_position"] == 2
    assert order() == "ecbda"
    assert server.request("PATCH", "/v1/jobs/" + blocker, {"priority": -1}).json["status"] == "running"
    server.restart(kill=True)  # the running one is queued again, with its priority: last
    server.wait(ids["a"])
    assert [server.wait(ids[n])["model_version"] for n in "ecbda"] == [1, 2, 3, 4, 5]
    problem(server.request("PATCH", "/v1/jobs/" + ids["a"], {"priority": 1}), 409, "conflict")
    server.post("/v1/jobs/%s/cancel" % blocker)


def test_wrong_priorities(server):
    dataset = unique("data")
    server.upload(dataset, "x,y\n1,a\n2,b\n3,a\n4,b\n")
    body = {"model": {"layers": [{"type": "dense", "units": 2}]}, "dataset": dataset, "target": "y"}
    for value, words in ((101, "-100"), (-101, "-100"), (1.5, "integer"), ("high", "integer"), (True, "integer")):
        assert words in pointers(server.post("/v1/jobs", {**body, "priority": value}))["/priority"]
    job = server.train(**harness.xor())["id"]
    for sent, pointer in (({"priority": 200}, "/priority"), ({"priorty": 2}, "/priorty"), ({}, ""), ({"priority": 2, "epochs": 3}, "/epochs")):
        assert pointer in pointers(server.request("PATCH", "/v1/jobs/" + job, sent)), sent
    problem(server.request("PATCH", "/v1/jobs/job_00000000000000000000000000", {"priority": 1}), 404, "not_found")
