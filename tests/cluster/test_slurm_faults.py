"""Goal: whatever is killed with kill -9, of Slurm, of the server or of a job, no accepted job is lost, none is finished twice, and the weights are those of
an undisturbed run. While Slurm does not answer, nothing hangs."""
import bed
import harness


def agent_of(job):
    """The id of the agent of a job: the only one."""
    (agent,) = harness.until(lambda: bed.agents(), what="the agent of the job")
    return agent


def test_the_job_process_and_its_agent(slurm, serve, undisturbed):
    server = serve(near=bed.srun("near"))
    job = server.submit(**bed.RUN)["id"]
    bed.reaches(server, job, 5)
    bed.kill(bed.workers(agent_of(job)))
    bed.reaches(server, job, 10, attempt=2)
    bed.kill([agent_of(job)])
    bed.reaches(server, job, 15, attempt=3)
    bed.kill(bed.processes(r"(^|/)srun "))  # both of its processes
    log = bed.succeed(server, job, undisturbed)
    assert len(log) == 4, log
    first, second, third, last = log
    assert first["reason"] == "crashed" and first["signal"] == 9, first
    assert second["reason"] == third["reason"] == "lost" and last["reason"] == "finished"
    assert server.get("/v1/jobs/" + job).json["resumed_from_epoch"] >= 8


def test_slurmstepd(slurm, serve, undisturbed):
    """srun hears nothing of its end: neither its standard output closes nor does it end."""
    server = serve(near=bed.srun("near"))
    job = server.submit(**bed.RUN)["id"]
    bed.reaches(server, job, 5)
    bed.kill(bed.processes(r"^slurmstepd"))
    lost, last = bed.succeed(server, job, undisturbed)
    assert lost["reason"] == "lost" and last["reason"] == "finished", (lost, last)


def test_slurmd(slurm, serve, undisturbed):
    """The job goes on: it is of slurmstepd. A node whose slurmd does not come back gets no new one."""
    server = serve(near=bed.srun("near", "--nodelist=w1"))
    job = server.submit(**bed.RUN)["id"]
    bed.reaches(server, job, 5)
    slurm.kill("w1")
    other = server.submit(**bed.RUN)["id"]
    bed.wait(server, job, lambda j: j["status"] in harness.FINAL)
    slurm.start("w1")
    slurm.await_nodes("w1")
    for one in job, other:
        assert bed.succeed(server, one, undisturbed)[-1]["reason"] == "finished"


def test_slurmctld(slurm, serve, undisturbed):
    """Running jobs go on; new ones wait, in words; one is cancelled; nothing hangs."""
    server = serve(near={**bed.srun("near"), "cancel_seconds": 5, "start_seconds": 15})
    running, cancelled = (server.submit(**bed.RUN)["id"] for _ in range(2))
    for job in running, cancelled:
        bed.reaches(server, job, 5)
    slurm.kill("slurmctld")
    waiting = server.submit(**bed.RUN)["id"]
    bed.cancel(server, cancelled)
    assert "srun" in bed.waits_because(server, waiting)
    assert server.get("/readyz").status == 200
    slurm.start("slurmctld")
    for job in running, waiting:
        assert bed.succeed(server, job, undisturbed)[-1]["reason"] == "finished"
    harness.until(lambda: not slurm.queue(), what="the end of all jobs of Slurm")


def test_the_server(slurm, serve, undisturbed):
    """The next attempt is committed, the old one is cancelled by name, and its checkpoint is resumed. Again while slurmctld is down."""
    server = serve(near={**bed.srun("near"), "cancel_seconds": 5})
    job = server.submit(**bed.RUN)["id"]
    bed.reaches(server, job, 5)
    server.restart(kill=True)
    bed.reaches(server, job, 10, attempt=2)
    assert [(name, comment) for name, state, _, comment in slurm.queue() if state == "RUNNING"] == [("bp-" + job, "attempt=2")]
    slurm.kill("slurmctld")
    server.restart(kill=True)
    bed.wait(server, job, lambda j: j["worker"] and "could not be cancelled" in (j["worker"]["message"] or ""))
    slurm.start("slurmctld")
    log = bed.succeed(server, job, undisturbed)
    assert [a["reason"] for a in log][:2] == ["server_crashed"] * 2 and log[-1]["reason"] == "finished"
    assert all("could not be cancelled" in a["message"] for a in log[2:-1]), log
    assert server.get("/v1/jobs/" + job).json["resumed_from_epoch"] >= 8
