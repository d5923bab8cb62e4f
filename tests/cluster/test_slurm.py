"""Goal: a job that Slurm runs is like one of this machine: its events, its bits, cancel, pause, drain and requirements."""
import bed
import harness


def test_submit_and_watch(slurm, serve, undisturbed):
    server = serve(near=bed.srun("near"))
    job = server.submit(**bed.RUN)["id"]
    events, shown = server.stream("/v1/jobs/%s/events" % job), None
    seen = []
    for _, kind, event in events:
        seen.append((kind, event["data"]))
        if kind == "metrics" and shown is None:
            shown = server.get("/v1/jobs/" + job).json["worker"]
            assert slurm.queue("bp-" + job) == [("bp-" + job, "RUNNING", slurm.queue()[0][2], "attempt=1")]
            (worker,) = server.get("/v1/workers").json["data"][:1]
            assert worker["name"] == "near" and worker["running"] == 1 and worker["jobs"][0]["host"] == "control", worker
    losses = [data["loss"] for kind, data in seen if kind == "metrics"]
    assert len(losses) == bed.RUN["epochs"] and losses[-1] < losses[0] / 100 and seen[-1][0] == "end"
    assert shown == {"launcher": "near", "state": "connected", "host": "control", "message": None}
    (attempt,) = bed.succeed(server, job, undisturbed)
    assert attempt["reason"] == "finished" and attempt["peak_memory_bytes"] > 1 << 20
    harness.until(lambda: not slurm.queue(), what="the end of the job of Slurm")


def test_cancel_pause_and_drain(slurm, serve, undisturbed):
    server = serve(near=bed.srun("near"))
    endless = server.submit(**{**bed.RUN, "epochs": 1000000})["id"]
    bed.reaches(server, endless, 2)
    bed.cancel(server, endless)
    harness.until(lambda: not slurm.queue("bp-" + endless) and not bed.agents(), what="the end of a cancelled job")

    job = server.submit(**bed.RUN)["id"]
    bed.reaches(server, job, 5)
    server.post("/v1/jobs/%s/pause" % job)
    bed.wait(server, job, lambda j: j["status"] == "paused")
    harness.until(lambda: not slurm.queue("bp-" + job) and not bed.agents(), what="the end of a paused job's process")
    server.post("/v1/jobs/%s/resume" % job)
    bed.reaches(server, job, 10, attempt=2)
    server.restart()  # SIGTERM: the job writes a checkpoint and is given back
    last = bed.succeed(server, job, undisturbed)
    assert [a["reason"] for a in last] == ["paused", "server_stopped", "finished"]
    assert server.get("/v1/jobs/" + job).json["resumed_from_epoch"] >= 10


def test_without_a_node_a_job_waits_and_can_be_cancelled(slurm, serve, undisturbed):
    server = serve(near=bed.srun("near"))
    bed.call("scontrol", "update", "nodename=w1,w2", "state=drain", "reason=test")
    job, other = (server.submit(**bed.RUN)["id"] for _ in range(2))
    for j in job, other:
        shown = bed.wait(server, j, lambda j: j["worker"] is not None)
        assert shown["status"] == "running" and shown["worker"]["state"] == "waiting_for_launcher" and shown["worker"]["host"] is None, shown
        harness.until(lambda: [q[1] for q in slurm.queue("bp-" + j)] == ["PENDING"], what="the job in the queue of Slurm")
    assert server.get("/v1/jobs/" + job).json["worker"]["message"] == "srun has not started the job yet"
    bed.cancel(server, other)
    harness.until(lambda: not slurm.queue("bp-" + other), what="the end of the cancelled job of Slurm")
    server.restart()  # it stops although a job waits, and starts it again
    bed.call("scontrol", "update", "nodename=w1,w2", "state=resume")
    slurm.await_nodes("w1", "w2")
    assert bed.succeed(server, job, undisturbed)[-1]["reason"] == "finished"


def test_requirements(slurm, serve):
    server = serve(small={**bed.srun("near", "--nodelist=w1"), "memory_mb": 500}, big={**bed.srun("near", "--nodelist=w2"), "labels": ["big-memory"]},
                   local={})
    job = {**bed.RUN, "epochs": 1000000}
    places = {"w1": {"launcher": "small"}, "w2": {"label": "big-memory"}, "": {"launcher": "local"}}
    jobs = {node: server.submit(**job, requires=requires)["id"] for node, requires in places.items()}
    large = server.submit(**job, requires={"label": "big-memory", "memory_mb": 3000})["id"]
    for one in *jobs.values(), large:
        bed.reaches(server, one, 1)
    assert {name: node for name, _, node, _ in slurm.queue()} == {"bp-" + jobs["w1"]: "w1", "bp-" + jobs["w2"]: "w2", "bp-" + large: "w2"}
    refused = server.post("/v1/jobs", {**job, "requires": {"launcher": "small", "memory_mb": 3000}})
    assert "no launcher takes this job" in harness.pointers(refused)["/requires"]
    assert server.get("/v1/jobs/" + jobs[""]).json["worker"] is None
    memory = dict(line.split() for line in bed.call("squeue", "--noheader", "-o", "%j %m").splitlines())
    assert memory["bp-" + large] == "3000M"
    bed.cancel(server, large, *jobs.values())
