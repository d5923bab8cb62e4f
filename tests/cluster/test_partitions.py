"""Goal: a host whose cable is pulled, whose power fails or whose clock is wrong loses no job and finishes none twice. What it still runs writes nothing: its
attempt ends on both sides, on the host while it is alone, and only what a later attempt reports counts."""
import time

import pytest

import bed
import harness

far = bed.FAR
FREE, BOUND = bed.srun("far"), bed.srun("far", "--nodelist=n1")


def on_n1(server, slurm, *launchers):
    """A job by each launcher, all of them on n1 and some epochs on their way."""
    slurm.await_nodes("n1")
    jobs = [server.submit(**bed.RUN, requires={"launcher": name})["id"] for name in launchers]
    for job in jobs:
        bed.reaches(server, job, 5)
    assert [node for _, _, node, _ in slurm.queue()] == ["n1"] * len(jobs)
    return jobs


def identity(pid):
    """A process, not only its number."""
    try:
        return pid, open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


@pytest.mark.parametrize("seconds", [30, 120])
def test_partition(slurm, serve, undisturbed, seconds):
    """One job may go elsewhere, one may not: it waits for the host."""
    server = serve(free=FREE, bound=BOUND)
    host = slurm.hosts["n1"]
    free, bound = on_n1(server, slurm, "free", "bound")
    stale = [identity(pid) for pid in bed.agents(host)]
    assert len(stale) == 2 and None not in stale
    host.cable(plugged=False)
    healed = time.monotonic() + seconds
    for job in free, bound:
        bed.wait(server, job, lambda j: j["attempt"] > 1 or j["worker"]["state"] == "waiting_for_launcher")
    harness.until(lambda: not {identity(pid) for pid, _ in stale} & set(stale), what="the end of the processes of a host that is alone")
    while time.monotonic() < healed:  # how long it lasts
        time.sleep(1)
    host.cable(plugged=True)
    for job in free, bound:
        first, *_, last = bed.succeed(server, job, undisturbed)
        assert first["reason"] == "lost" and last["reason"] == "finished", first
        assert "was lost" in first["message"] or "nothing was heard" in first["message"] or "not heard from" in first["message"]
        assert server.get("/v1/jobs/" + job).json["resumed_from_epoch"] > 0


def test_a_short_interruption_costs_nothing(slurm, serve, undisturbed):
    server = serve(bound=BOUND)
    (job,) = on_n1(server, slurm, "bound")
    slurm.hosts["n1"].cable(plugged=False)
    time.sleep(5)  # how long it lasts
    slurm.hosts["n1"].cable(plugged=True)
    assert [a["reason"] for a in bed.succeed(server, job, undisturbed)] == ["finished"]


def test_crash_and_reboot(slurm, serve, undisturbed):
    server = serve(free=FREE, bound=BOUND)
    host = slurm.hosts["n1"]
    free, bound = on_n1(server, slurm, "free", "bound")
    host.crash()
    assert bed.processes(r"slurmd -D -N n1") == {} and bed.agents(host) == []
    assert [a["reason"] for a in bed.succeed(server, free, undisturbed)][-1] == "finished"
    assert server.get("/v1/jobs/" + bound).json["status"] in ("queued", "running")
    slurm.boot(host)
    log = bed.succeed(server, bound, undisturbed)
    assert log[0]["reason"] == "lost" and log[-1]["reason"] == "finished"


def test_clocks(slurm, serve, undisturbed, tmp_path):
    """Two minutes behind: nothing is compared with a clock of another host. An hour ahead: MUNGE refuses the host's credentials, the job waits, and runs
    when the clock is right."""
    wrapped = tmp_path / "skewed"
    library, = bed.call("find", "/usr/lib", "-name", "libfaketimeMT.so.1").split()
    clock = {"LD_PRELOAD": library, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1"}
    wrapped.write_text('#!/bin/sh\nexport FAKETIME=-120s %s\nexec %s "$@"\n' % (" ".join("%s=%s" % item for item in clock.items()), harness.BACKPROPD))
    wrapped.chmod(0o755)
    server = serve(behind={**BOUND, "program": str(wrapped)}, ahead=bed.srun("far", "--nodelist=n2"))
    for name, skew in ("n1", "-120s"), ("n2", "+3600s"):
        slurm.hosts[name].crash()
        slurm.boot(slurm.hosts[name], {**clock, "FAKETIME": skew})
    slurm.await_nodes("n1")
    behind, ahead = (server.submit(**bed.RUN, requires={"launcher": name})["id"] for name in ("behind", "ahead"))
    bed.reaches(server, behind, 1)
    assert any("FAKETIME=-120s" in open("/proc/%d/environ" % pid).read() for pid in bed.agents(slurm.hosts["n1"]))
    assert [a["reason"] for a in bed.succeed(server, behind, undisturbed)] == ["finished"]
    shown = server.get("/v1/jobs/" + ahead).json
    assert shown["worker"]["state"] == "waiting_for_launcher" and slurm.states()["n2"] not in ("idle", "allocated", "mixed"), shown
    slurm.hosts["n2"].crash()
    slurm.boot(slurm.hosts["n2"])
    assert bed.succeed(server, ahead, undisturbed)[-1]["reason"] == "finished"
