"""Goal: a host that is reached by ssh runs jobs as Slurm does: watched, cancelled, paused; killed, alone or away, no job is lost and none finished twice."""
import subprocess
import time

import pytest

import bed
import harness


@pytest.fixture(scope="module")
def host():
    one = bed.Ssh()
    yield one
    one.crash()


LAUNCHER = {"command": bed.SSH, "slots": 4}


def test_watch_cancel_pause_and_drain(host, serve, undisturbed):
    """With a key that can start job processes only."""
    forced = [part.replace("ssh_key", "jobs_key") for part in bed.SSH]
    assert "is started by a launcher of" in subprocess.run([*forced, "id"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
    server = serve(n1={**LAUNCHER, "command": forced})
    endless = server.submit(**{**bed.RUN, "epochs": 1000000})["id"]
    bed.reaches(server, endless, 2)
    assert len(bed.agents(host)) == 1 and len(bed.agents()) == 1
    bed.cancel(server, endless)
    harness.until(lambda: not bed.agents(), what="the end of a cancelled job")
    job = server.submit(**bed.RUN)["id"]
    shown = bed.reaches(server, job, 5)["worker"]
    assert shown == {"launcher": "n1", "state": "connected", "host": "n1", "message": None}
    server.post("/v1/jobs/%s/pause" % job)
    bed.wait(server, job, lambda j: j["status"] == "paused")
    server.post("/v1/jobs/%s/resume" % job)
    bed.reaches(server, job, 10, attempt=2)
    server.restart()
    assert [a["reason"] for a in bed.succeed(server, job, undisturbed)] == ["paused", "server_stopped", "finished"]


def test_kills(host, serve, undisturbed):
    """The job process, the agent, sshd's process of the connection, ssh, the server."""
    server = serve(n1=LAUNCHER)
    job = server.submit(**bed.RUN)["id"]
    victims = [lambda: bed.workers(bed.agents(host)[0]), lambda: bed.agents(host), lambda: bed.processes(r"^sshd: root@notty", host),
               lambda: bed.processes(r"^ssh -T .*--stdio$")]
    for attempt, victim in enumerate(victims, 1):
        bed.reaches(server, job, 4 * attempt, attempt)
        bed.kill(harness.until(victim, what="victim %d" % attempt))
    bed.reaches(server, job, 20, attempt=5)
    server.restart(kill=True)
    log = bed.succeed(server, job, undisturbed)
    assert [a["reason"] for a in log] == ["crashed", "lost", "lost", "lost", "server_crashed", "finished"], log
    assert server.get("/v1/jobs/" + job).json["resumed_from_epoch"] >= 18


def test_away(host, serve, undisturbed):
    """The cable is pulled for 30 s; then the power fails, and comes back."""
    server = serve(n1=LAUNCHER)
    job = server.submit(**bed.RUN)["id"]
    bed.reaches(server, job, 5)
    host.cable(plugged=False)
    healed = time.monotonic() + 30
    bed.waits_because(server, job)
    harness.until(lambda: not bed.agents(host), what="the end of the processes of a host that is alone")
    while time.monotonic() < healed:  # how long it lasts
        time.sleep(1)
    host.cable(plugged=True)
    bed.wait(server, job, lambda j: j["attempt"] > 1 and j["worker"]["state"] == "connected")
    host.crash()
    words = bed.waits_because(server, job)
    assert words.startswith(("ssh", "the connection to its node was lost: ssh", "its node was not heard from", "nothing was heard")), words
    host.start()
    log = bed.succeed(server, job, undisturbed)
    assert log[0]["reason"] == "lost" and log[-1]["reason"] == "finished"


def test_what_a_host_does_not_have(host, serve):
    """The program is missing there, or there is no such host: the job says so."""
    server = serve(missing={**LAUNCHER, "program": "/opt/backpropd"}, unknown={"command": [*bed.SSH[:-1], "nowhere"]})
    jobs = {name: server.submit(**bed.RUN, requires={"launcher": name})["id"] for name in ("missing", "unknown")}
    assert "ended with exit code 127" in bed.waits_because(server, jobs["missing"])
    assert "ended with exit code 255" in bed.waits_because(server, jobs["unknown"])
    bed.cancel(server, *jobs.values())
