"""Goal: a job of several processes under Slurm, on two hosts that share nothing but the network, is one training: the bits of the same job on this
machine; a lost process or host ends the attempt of all, and the next one resumes from the checkpoint."""
import bed
import harness

far = bed.FAR
# srun -K1: a lost process ends the others; pmix: how the processes find each other.
LAUNCHER = bed.srun("far", "--nodes=2", "-K1", "--mpi=pmix")
LAUNCHER["command"] = ["--ntasks={processes}" if part.startswith("--ntasks") else part for part in LAUNCHER["command"]]
RUN = {**bed.RUN, "epochs": 200, "processes": 2}


def followers(host):
    """The processes of jobs on a host, but for the agent's child."""
    return bed.agents(host)


def test_two_hosts_train_one_network(slurm, serve):
    server = serve(far=LAUNCHER, local={})
    here = server.submit(**RUN, requires={"launcher": "local"})["id"]
    bed.wait(server, here, lambda j: j["status"] == "succeeded")
    expected = bed.outcome(server, here)

    job = server.submit(**RUN, requires={"launcher": "far"})["id"]
    bed.reaches(server, job, 5)
    assert [node for _, _, node, _ in slurm.queue("bp-" + job)] == ["n[1-2]"]
    assert followers(slurm.hosts["n1"]) and followers(slurm.hosts["n2"])
    bed.succeed(server, job, expected)

    job = server.submit(**RUN, requires={"launcher": "far"})["id"]
    bed.reaches(server, job, 5)
    bed.kill(followers(slurm.hosts["n2"]))
    harness.until(lambda: server.get("/v1/jobs/" + job).json["attempt"] > 1, what="the next attempt")
    bed.reaches(server, job, 20, attempt=server.get("/v1/jobs/" + job).json["attempt"])
    slurm.hosts["n2"].crash()
    bed.wait(server, job, lambda j: j["worker"]["state"] == "waiting_for_launcher")
    slurm.boot(slurm.hosts["n2"])
    slurm.await_nodes("n1", "n2")
    attempts = bed.succeed(server, job, expected)
    assert len(attempts) > 2 and server.get("/v1/jobs/" + job).json["resumed_from_epoch"] > 0, attempts
