"""Goal: a launcher's command starts job processes elsewhere, and everything about a job is as on this machine: its bits, its states, its end. What a
launcher does wrong is said in words, and loses no job. The commands here stand in for srun and ssh; with Slurm: tests/cluster."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

import harness
import node_stub
from harness import pointers

STUB = [sys.executable, str(pathlib.Path(node_stub.__file__))]
LONG = {**harness.DIGITS, "epochs": 150, "checkpoint_every_epochs": 1, "early_stopping": False}


@pytest.fixture
def cluster(fresh, tmp_path):
    """A server with the launchers of a test: cluster(slurm={"command": [...]})."""
    def make(*flags, **launchers):
        path = tmp_path / "launchers.json"
        path.write_text(json.dumps({name: {"cache": str(tmp_path / "cache"), "retry_seconds": 1, **l} if name != "local" else l for name, l in launchers.items()}))
        server = fresh("--launchers", str(path), "--retry-seconds", "0", *flags)
        server.upload("digits", harness.DATA / "digits.csv")
        return server
    return make


def script(tmp_path, name, text):
    """A command that gets the program and its arguments as "$@"."""
    path = tmp_path / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return [str(path)]


def node_processes(server):
    """The ids of the agents that this server's relays have started, and of the job processes beneath them."""
    found, seen = [], server.children()
    while seen:
        below = []
        for pid in seen:
            for task in pathlib.Path("/proc/%d/task" % pid).glob("*/children"):
                try:
                    below += [int(p) for p in task.read_text().split()]
                except OSError:
                    pass
        found += below
        seen = below
    return found


def words(pid):
    try:
        return pathlib.Path("/proc/%d/cmdline" % pid).read_bytes().split(b"\0")[:-1]
    except OSError:
        return []


def agents(server):
    return [p for p in node_processes(server) if words(p)[-1:] == [b"--stdio"]]


def job_processes(server):
    return [p for p in node_processes(server) if words(p)[-1:] == [b"job"]]


def waits(server, job):
    """The words of a job that waits for its launcher after a start that failed."""
    def waiting(j):
        return j["attempt"] >= 1 and j["worker"] and j["worker"]["state"] == "waiting_for_launcher" and "has not started the job yet" not in j["worker"]["message"] \
            and "being cancelled" not in j["worker"]["message"]
    return server.wait(job["id"], waiting)["worker"]["message"]


def kill_one(server, job, processes):
    """kill -9 of the first of what is found, once there is something."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended: the job tells why
        os.kill(harness.until(lambda: processes(server) or not server.in_time(job), what="a process to kill")[0], signal.SIGKILL)


def settled(server):
    """After the end: nothing is left of it anywhere."""
    harness.until(lambda: not server.children(), what="the end of the relays")


# ---- the same as on this machine ----

def test_same_bits_and_the_dataset_travels_once(cluster, tmp_path):
    tee = script(tmp_path, "tee-to", 'tee "$0.$$.in" | "$@"\n')
    server = cluster(node={"command": tee}, local={})
    job = {**harness.DIGITS, "epochs": 5}
    here = server.train(**job, requires={"launcher": "local"})
    first = server.train(**job, requires={"launcher": "node"})
    second = server.train(**job, requires={"launcher": "node"})
    assert here["worker"] is None and first["worker"]["launcher"] == "node" and first["worker"]["state"] == "connected" and first["worker"]["host"]
    assert server.weights(here["model"]) == server.weights(first["model"]) == server.weights(second["model"])
    assert first["metrics"] == here["metrics"] and first["requires"] == {"launcher": "node"}
    settled(server)
    bytes_of = server.get("/v1/datasets/digits").json["bytes"]
    sent = sorted(p.stat().st_size for p in tmp_path.glob("tee-to.*.in"))
    assert len(sent) == 2 and sent[0] < bytes_of / 2 < bytes_of < sent[1]
    assert [p.stat().st_size for p in (tmp_path / "cache").iterdir()] == [bytes_of]
    attempt, = server.get("/v1/jobs/%s/log" % first["id"]).json["attempts"]
    assert attempt["reason"] == "finished" and attempt["user_seconds"] + attempt["system_seconds"] > 0 and attempt["peak_memory_bytes"] > 1 << 20
    assert any("rows train" in line for line in attempt["lines"])


def test_a_shared_folder_is_read_in_place(cluster, tmp_path, fresh):
    folder = tmp_path / "data"
    tee = script(tmp_path, "tee-to", 'tee "$0.$$.in" | "$@"\n')
    path = tmp_path / "launchers.json"
    path.write_text(json.dumps({"node": {"command": tee, "shared": str(folder), "cache": str(tmp_path / "cache")}}))
    folder.mkdir(mode=0o700)
    server = fresh("--launchers", str(path), folder=str(folder))
    server.upload("digits", harness.DATA / "digits.csv")
    server.train(**harness.DIGITS, epochs=1)
    settled(server)
    sent, = [p.stat().st_size for p in tmp_path.glob("tee-to.*.in")]
    assert sent < server.get("/v1/datasets/digits").json["bytes"] / 2 and list((tmp_path / "cache").iterdir()) == []


def test_a_full_cache_drops_what_was_used_longest_ago(cluster, tmp_path):
    server = cluster(node={"command": ["env"], "cache_mb": 1})
    rows = "\n".join("%d,%d" % (i * 7919 % 1000003, i % 2) for i in range(90000))
    for name in "one", "two", "three":
        server.upload(name, "x,y\n%s\n%d,1\n" % (rows, len(name)), "&types=y:categorical")
        server.train(model={"layers": [{"type": "dense", "units": 2}]}, dataset=name, target="y", epochs=1, batch_size=10000)
    assert server.get("/v1/datasets/one").json["bytes"] > 300000
    assert sum(p.stat().st_size for p in (tmp_path / "cache").iterdir()) <= 1 << 20


def test_a_served_version_goes_to_the_node_and_a_validation_dataset_too(cluster):
    server = cluster(node={"command": ["env"]})
    model = {"name": "m", "layers": [{"type": "dense", "units": 8, "activation": "relu"}]}
    server.train(model=model, dataset="digits", target="digit", epochs=3)
    better = server.train(model="m", dataset="digits", target="digit", epochs=4, publish="if_better", init_from="m@1")
    assert better["publication"]["served_version"] == 1 and better["publication"]["reason"], better["publication"]
    server.upload("more", harness.DATA / "digits.csv")
    other = server.train(model="m", dataset="digits", target="digit", epochs=1, validation={"dataset": "more"})
    assert other["metrics"]["val_loss"] > 0


@harness.again_if_too_late
def test_pause_resume_drain_and_cancel(cluster):
    server = cluster(node={"command": ["env"], "slots": 1})
    plain = server.train(**LONG, requires=None)
    job = server.submit(**LONG)
    server.wait(job["id"], lambda j: j["progress"]["epoch"] > 3)
    assert server.pause(job["id"])["progress"]["epoch"] < LONG["epochs"]
    settled(server)
    server.post("/v1/jobs/%s/resume" % job["id"])
    server.wait(job["id"], lambda j: j["attempt"] == 2 and j["status"] == "running" and j["resumed_from_epoch"] is not None)
    server.restart()
    server.wait(job["id"], lambda j: j["attempt"] > 2)
    ended = server.wait(job["id"])
    assert ended["status"] == "succeeded" and ended["attempt"] == 3 and ended["resumed_from_epoch"] > 0, ended
    assert server.weights(ended["model"]) == server.weights(plain["model"])
    endless = server.submit(**harness.ENDLESS)
    server.wait(endless["id"], lambda j: j["progress"]["epoch"] > 0)
    server.post("/v1/jobs/%s/cancel" % endless["id"])
    assert server.wait(endless["id"], ("cancelled",))["worker"]["launcher"] == "node"
    settled(server)


# ---- faults ----

@harness.again_if_too_late
def test_kills_end_with_the_same_bits(cluster, tmp_path):
    """kill -9 of the job process, of its agent, of the relay and of the server."""
    record = tmp_path / "cancelled"
    record.unlink(missing_ok=True)
    server = cluster(node={"command": ["env"], "cancel": ["sh", "-c", "echo bp-{job} >> %s" % record]})
    plain = server.train(**LONG)
    job = server.submit(**LONG)["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] > 2)
    kill_one(server, job, job_processes)
    server.wait(job, lambda j: j["attempt"] == 2 and j["progress"]["epoch"] > 4 and j["resumed_from_epoch"])
    assert not record.exists() or record.read_text() == "bp-%s\n" % job
    kill_one(server, job, lambda server: job_processes(server) and agents(server))
    server.wait(job, lambda j: j["attempt"] == 3 and j["resumed_from_epoch"] and j["progress"]["epoch"] > 6)
    left = harness.until(lambda: job_processes(server) and node_processes(server) or not server.in_time(job), what="the job's process")
    server.restart(kill=True)
    server.wait(job, lambda j: j["attempt"] > 3)
    harness.until(lambda: not any(words(pid)[-1:] in ([b"job"], [b"--stdio"]) for pid in left), what="the end of what the old server had started")
    ended = server.wait(job)
    assert ended["status"] == "succeeded" and ended["attempt"] == 4 and ended["resumed_from_epoch"] > 0, ended
    assert server.weights(job) == server.weights(plain["id"]) and ended["metrics"] == plain["metrics"]
    assert record.read_text() == "bp-%s\n" % job * 3
    log = server.get("/v1/jobs/%s/log" % job).json["attempts"]
    assert [a["reason"] for a in log] == ["finished", "server_crashed", "lost", "crashed"], log
    assert log[3]["signal"] == 9 and "signal 9" in log[3]["message"] and "connection to its node was lost" in log[2]["message"]
    assert server.get("/v1/models/%s" % job).json["versions"] == 1


def test_what_ends_without_a_result_is_no_success(cluster, tmp_path):
    """srun ends with 0 when its node dies. The job waits, however often, and does not fail."""
    record = tmp_path / "calls"
    server = cluster(node={"command": ["sh", "-c", "echo call >> %s; echo no node is up >&2" % record], "retry_seconds": 0}, local={})
    job = server.submit(**harness.DIGITS, epochs=1, requires={"launcher": "node"})
    assert waits(server, job) == "sh ended with exit code 0: no node is up"
    harness.until(lambda: record.exists() and len(record.read_text().split()) > 8, what="many calls")
    other = server.train(**harness.DIGITS, epochs=1, requires={"launcher": "local"})  # others go on
    assert other["worker"] is None
    now = server.get("/v1/jobs/" + job["id"]).json
    assert now["status"] in ("queued", "running") and now["attempt"] > 8 and now["error"] is None
    assert server.post("/v1/jobs/%s/cancel" % job["id"]).status == 200
    server.wait(job["id"], ("cancelled",))


@pytest.mark.parametrize("act,said", [
    ("stale", "a result arrived that is not of this attempt: its token is another one"),
    ("version", "the program on stub is version 0.0.1 (protocol 1), this server is"),
    ("nameless", "a message names a file that has not arrived"),
])
def test_what_an_agent_must_not_do(cluster, act, said):
    server = cluster(node={"command": ["sh", "-c", 'exec "$0" "$1" ' + act, *STUB]})
    job = server.submit(**harness.DIGITS, epochs=1)
    assert said in waits(server, job)
    assert server.get("/v1/models").json["data"] == []
    server.post("/v1/jobs/%s/cancel" % job["id"])
    server.wait(job["id"], ("cancelled",))


def test_text_before_the_first_frame_is_skipped_and_damage_is_seen(cluster, tmp_path):
    """A login script writes to standard output; a wire that flips a bit is not believed."""
    noisy = script(tmp_path, "noisy", 'echo "Welcome to node 1"\nexec "$@"\n')
    flip = script(tmp_path, "flip", """test -e "$0.done" && exec "$@"
touch "$0.done"
"$@" | %s -u -c 'import sys
while True:
    piece = sys.stdin.buffer.raw.read(4096)
    if not piece: break
    sys.stdout.buffer.write(piece[:-1] + bytes([piece[-1] ^ 1]))
    sys.stdout.buffer.flush()'
""" % sys.executable)
    server = cluster(noisy={"command": noisy}, flip={"command": flip, "retry_seconds": 0}, echo={"command": ["sh", "-c", "echo You must change your password"]})
    server.train(**harness.DIGITS, epochs=1, requires={"launcher": "noisy"})
    job = server.train(**harness.DIGITS, epochs=1, requires={"launcher": "flip"})
    assert job["attempt"] == 2
    log = server.get("/v1/jobs/%s/log" % job["id"]).json["attempts"]
    assert log[1]["reason"] == "lost" and "damaged" in log[1]["message"], log
    lost = server.submit(**harness.DIGITS, epochs=1, requires={"launcher": "echo"})
    assert waits(server, lost).endswith("it wrote: You must change your password ")


def test_calls_have_time_limits(cluster, tmp_path):
    server = cluster(slow={"command": ["sh", "-c", "sleep 1000"], "start_seconds": 1}, missing={"command": ["no-such-scheduler"]},
                     hung={"command": ["sh", "-c", "exit 3"], "cancel": ["sh", "-c", "echo slurmctld is away; sleep 1000"], "cancel_seconds": 1, "retry_seconds": 0})
    jobs = {name: server.submit(**harness.DIGITS, epochs=1, requires={"launcher": name}) for name in ("slow", "missing", "hung")}
    first = server.wait(jobs["slow"]["id"], lambda j: j["worker"] is not None)
    assert first["worker"]["state"] == "waiting_for_launcher" and first["status"] in ("running", "queued")
    assert waits(server, jobs["slow"]) == "sh has not started the job within 1 s (start_seconds)"
    assert "no-such-scheduler cannot be started" in waits(server, jobs["missing"])
    assert server.wait(jobs["hung"]["id"], lambda j: j["worker"] and "could not be cancelled" in (j["worker"]["message"] or ""))["worker"]["message"] == \
        "what an earlier attempt may have left could not be cancelled: sh has not ended within 1 s"
    for job in jobs.values():
        server.post("/v1/jobs/%s/cancel" % job["id"])
        server.wait(job["id"], ("cancelled",))
    settled(server)


def test_silence_ends_both_sides(cluster, tmp_path):
    """An agent that hears nothing for 20 s ends with its process; a relay that hears nothing gives the job back."""
    server = cluster(node={"command": ["env"], "slots": 2, "retry_seconds": 30})
    mute, deaf = server.submit(**harness.ENDLESS), server.submit(**harness.ENDLESS)
    for job in mute, deaf:
        server.wait(job["id"], lambda j: j["progress"]["epoch"] > 0)
    relays = {json.loads(json.dumps(j["id"])): None for j in (mute, deaf)}
    assert len(server.children()) == 2 and len(relays) == 2
    one, two = server.children()
    below = {pid: [p for p in node_processes(server) if pathlib.Path("/proc/%d/stat" % p).read_text().split(")")[1].split()[1] == str(pid)] for pid in (one, two)}
    (agent,) = below[one]
    os.kill(agent, signal.SIGSTOP)   # its relay hears nothing
    (heard,) = below[two]
    os.kill(two, signal.SIGSTOP)     # its agent hears nothing
    harness.until(lambda: not words(heard), what="the end of the agent that hears nothing")
    os.kill(two, signal.SIGCONT)
    for job in mute, deaf:
        j = server.wait(job["id"], lambda j: j["status"] == "queued")
        assert j["worker"]["state"] == "waiting_for_launcher" and ("not heard from" in j["worker"]["message"] or "was lost" in j["worker"]["message"]
                                                                   or "nothing was heard" in j["worker"]["message"]), j["worker"]
        server.post("/v1/jobs/%s/cancel" % job["id"])
    harness.until(lambda: not words(agent), what="the end of the agent that was stopped")
    settled(server)


# ---- placement ----

def test_requirements_choose_the_launcher(cluster):
    server = cluster(small={"command": ["env"], "memory_mb": 64, "slots": 1}, big={"command": ["env"], "labels": ["big-memory", "x"], "slots": 3}, local={})
    job = {**harness.DIGITS, "epochs": 1}

    def where(**requires):
        worker = server.train(**job, requires=requires)["worker"]
        return worker["launcher"] if worker else "local"
    assert where() == "small"  # the first that takes it
    assert where(memory_mb=65) == "big" and where(label="big-memory") == "big" and where(launcher="big") == "big" and where(launcher="local") == "local"
    assert where(memory_mb=64, launcher="small") == "small"
    assert pointers(server.post("/v1/jobs", {**job, "requires": {"launcher": "huge"}}))["/requires/launcher"] == "there is no launcher \"huge\"; there are: small, big, local"
    assert "no launcher takes this job" in pointers(server.post("/v1/jobs", {**job, "requires": {"launcher": "small", "memory_mb": 100}}))["/requires"]
    assert "no launcher takes this job" in pointers(server.post("/v1/jobs", {**job, "requires": {"label": "gpu"}}))["/requires"]
    for wrong in 3, [], "big", {"launcher": 3}, {"launcher": ""}, {"launcher": "a" * 64}, {"memory_mb": 0}, {"memory_mb": "3"}, {"memory": 3}:
        assert [p for p in pointers(server.post("/v1/jobs", {**job, "requires": wrong})) if p.startswith("/requires")], wrong
    assert server.post("/v1/models/validate", {**job, "requires": {"launcher": "big"}}).json["valid"] is True
    workers = {w["name"]: w for w in server.get("/v1/workers").json["data"]}
    assert list(workers) == ["small", "big", "local"] and workers["big"]["slots"] == 3 and workers["big"]["labels"] == ["big-memory", "x"]
    assert workers["small"]["memory_mb"] == 64 and workers["local"]["command"] is None and workers["big"]["command"] == "env"
    running = server.submit(**harness.ENDLESS, requires={"launcher": "big"})
    server.wait(running["id"], lambda j: j["worker"] and j["worker"]["state"] == "connected")
    (shown,) = [w for w in server.get("/v1/workers").json["data"] if w["name"] == "big"]
    assert shown["running"] == 1 and shown["jobs"][0]["id"] == running["id"] and shown["jobs"][0]["host"] and shown["jobs"][0]["attempt"] == 1
    server.post("/v1/jobs/%s/cancel" % running["id"])
    server.wait(running["id"], ("cancelled",))


def test_a_launcher_that_is_gone_is_named(cluster):
    server = cluster(node={"command": ["false"], "retry_seconds": 0}, local={})
    job = server.submit(**harness.DIGITS, epochs=1, requires={"launcher": "node"})
    server.stop()
    server.flags = [f for f in server.flags if "launchers" not in f]
    server.start()
    shown = server.wait(job["id"], ("queued",))["worker"]
    assert shown == {"launcher": "node", "state": "waiting_for_launcher", "host": None, "message": "no launcher takes this job any more; there are: local"}
    server.post("/v1/jobs/%s/cancel" % job["id"])
    server.wait(job["id"], ("cancelled",))


def test_one_command_takes_all_trainings_and_slots_are_kept(fresh):
    server = fresh("--launcher", "env 'A B=c d' ", "--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    one, two = server.submit(**harness.ENDLESS), server.submit(**harness.ENDLESS)
    server.wait(one["id"], lambda j: j["worker"] and j["worker"]["state"] == "connected")
    assert one["status"] == "queued" and server.get("/v1/jobs/" + two["id"]).json["status"] == "queued"
    environment = pathlib.Path("/proc/%d/environ" % agents(server)[0]).read_bytes().split(b"\0")
    assert b"A B=c d" in environment and not [e for e in environment if e.startswith(b"BACKPROPD_LAUNCHER")]
    for job in one, two:
        server.post("/v1/jobs/%s/cancel" % job["id"])
        server.wait(job["id"], ("cancelled",))
    trained = server.train(**harness.DIGITS, epochs=1)
    batch = server.post("/v1/batches", {"model": trained["model"], "dataset": "digits"})
    assert server.wait(batch.json["id"])["status"] == "succeeded"  # by this machine, which has the data


@pytest.mark.parametrize("text,said", [
    ("{", "cannot be read"), ("[]", "must hold an object"), ("{}", "must hold an object"), ('{"a": 3}', "must be an object such as"),
    ('{"a": {}}', "has no command"), ('{"a": {"command": []}}', "must be an array of strings"), ('{"a": {"command": ["x", 3]}}', "item 1"),
    ('{"a b": {"command": ["x"]}}', "is no name"), ('{"a": {"command": ["{jub}"]}}', "is no placeholder"), ('{"a": {"command": ["x"], "slots": 0}}', "slots must be a whole number"),
    ('{"a": {"command": ["x"], "cache": "tmp"}}', "absolute path"), ('{"a": {"command": ["x"], "sluts": 1}}', "has no member"),
    ('{"local": {"command": ["x"]}}', "it has no command"), ('{"a": {"command": ["x"]}, "a": {"command": ["y"]}}', "duplicate"),
])
def test_a_wrong_file_is_refused_at_the_start(tmp_path, text, said):
    path = tmp_path / "launchers.json"
    path.write_text(text)
    run = subprocess.run([harness.BACKPROPD, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "d"), "--launchers", str(path)],
                         capture_output=True, text=True, timeout=harness.patience(60))
    assert run.returncode != 0 and said in run.stderr and "Sanitizer" not in run.stderr, run.stderr


def test_both_settings_at_once_and_an_open_quote_are_refused(tmp_path):
    for flags, said in ((["--launcher", "env", "--launchers", "x"], "but not both"), (["--launcher", "ssh 'host"], "a quote that is not closed")):
        run = subprocess.run([harness.BACKPROPD, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "d"), *flags],
                             capture_output=True, text=True, timeout=harness.patience(60))
        assert run.returncode != 0 and said in run.stderr, run.stderr


def test_the_agent_alone_says_what_it_is():
    """A person types the hidden command: it ends with words, not with a trace."""
    run = subprocess.run([harness.BACKPROPD, "job", "--stdio"], input=b"", capture_output=True, timeout=harness.patience(60))
    assert run.returncode == 4 and b"the connection was closed" in run.stderr
    run = subprocess.run([harness.BACKPROPD, "relay"], input=b"", capture_output=True, timeout=harness.patience(60))
    assert run.returncode == 2 and b"started by `backpropd serve` only" in run.stderr
