"""Goal: three replicas behind HAProxy, as clients/examples/haproxy.cfg sets it up, while aliases switch under wrk, a replica is killed and the primary restarts: no answer fails, none mixes two
versions, and each replica says how far behind it is. The other way round: requests that change something reach the primary."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))

import harness  # noqa: E402
from test_replicas import answer, following, up_to_date  # noqa: E402

JSON = {"Content-Type": "application/json"}
BODY = {"instances": [[i % 2] for i in range(16)]}
VERSIONS = 4


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


class Balancer:
    """HAProxy with the example's configuration and these addresses."""

    def __init__(self, folder, primary, replicas, count=3):
        """count: of the replicas, that get requests."""
        self.host, self.port = "127.0.0.1", free_port()
        text = (ROOT / "clients/examples/haproxy.cfg").read_text()
        for port, there in [(8090, self.port), (8080, primary.port)] + [(8081 + i, r.port) for i, r in enumerate(replicas)]:
            assert text.count("127.0.0.1:%d" % port) == 1
            text = text.replace("127.0.0.1:%d" % port, "127.0.0.1:{%d}" % there)
        for i in range(count, 3):
            text = re.sub(r"\n *server r%d .*" % (i + 1), "", text)
        (folder / "haproxy.cfg").write_text(re.sub(r"\{(\d+)\}", r"\1", text))
        self.process = subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg")], stderr=open(folder / "haproxy.log", "w"))
        self.server = harness.Server.__new__(harness.Server)  # the requests of the harness, without a process
        self.server.host, self.server.port, self.server.tls, self.server.url = self.host, self.port, None, "http://127.0.0.1:%d" % self.port
        harness.until(lambda: self.answers(), what="the load balancer")

    def answers(self):
        try:
            return self.server.raw("POST", "/v1/models/m/predict", json.dumps(BODY).encode(), JSON).status < 500
        except OSError:
            return False

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture
def cluster(tmp_path):
    servers = [harness.Server("--workers", "1")]
    primary = servers[0]
    for n in range(1, VERSIONS + 1):
        primary.post_json("level-%d" % n, x=[[i % 2] for i in range(8)], y=[n * 100.0 + i % 2 for i in range(8)])
        primary.train(model={"name": "m", "layers": [{"type": "dense", "units": 1}]}, dataset="level-%d" % n, target="y", task="regression", epochs=1)
    servers += [harness.Server("--follow", primary.url) for _ in range(3)]
    for replica in servers[1:]:
        up_to_date(replica, primary)
    balancer = Balancer(tmp_path, primary, servers[1:])
    yield primary, servers[1:], balancer
    balancer.end()
    for one in servers:
        one.remove()


def load(balancer, folder, lines):
    """wrk, until it is interrupted."""
    (folder / "answers").write_text("".join(lines))
    return subprocess.Popen(["wrk", "-t2", "-c16", "-d1h", "-s", str(ROOT / "tests/cluster/answers.lua"), balancer.server.url + "/v1/models/m/predict"],
                            stdout=subprocess.PIPE, text=True, env={**os.environ, "ANSWERS": str(folder / "answers"), "BODY": json.dumps(BODY)})


def switch(balancer, replicas):
    """Each version is served twice, by all replicas; through the balancer, that is on the primary."""
    for n in list(range(1, VERSIONS + 1)) * 2:
        done = balancer.server.raw("PUT", "/v1/models/m/aliases/default", json.dumps({"version": n}).encode(), JSON)
        assert done.status == 200 and done.json["version"] == n, done
        for replica in replicas:
            harness.until(lambda: b'"version":%d,' % n in answer(replica, "/v1/models/m/predict", BODY)[1], what="version %d on a replica" % n)


def test_aliases_switch_under_load_and_a_replica_and_the_primary_die(cluster, tmp_path):
    primary, replicas, balancer = cluster
    lines = [answer(primary, "/v1/models/m/versions/%d/predict" % n, BODY)[1].decode() for n in range(1, VERSIONS + 1)]
    assert len(set(lines)) == VERSIONS and all('"version":%d,' % (n + 1) in line for n, line in enumerate(lines)), "each answer names its version"
    wrk = load(balancer, tmp_path, lines)
    switch(balancer, replicas)
    replicas[0].kill()
    replicas[0].start(replicas[0].port)
    switch(balancer, replicas)
    primary.kill()
    away = harness.until(lambda: (f := [following(r) for r in replicas]) and all(one["away_since"] for one in f) and f, what="noticing that the primary is away")
    assert all(not one["connected"] and one["complete"] and one["error"] for one in away) and all(r.get("/readyz").status == 200 for r in replicas)
    assert harness.until(lambda: all(following(r)["behind_seconds"] > 0 for r in replicas), what="the lag")
    primary.start(primary.port)
    harness.until(lambda: balancer.server.raw("GET", "/readyz").status == 200, what="the primary behind the balancer")
    switch(balancer, replicas)
    assert wrk.poll() is None
    wrk.send_signal(signal.SIGINT)
    said = wrk.stdout.read()
    totals = {name: int(number) for name, number in re.findall(r"(answers|failed|mixed) (\d+)", said)}
    assert totals["failed"] == 0 and totals["mixed"] == 0 and totals["answers"] > 1000, said
    assert all(int(count) > 0 for _, count in re.findall(r"seen (\d+) (\d+)", said)), said
    for replica in replicas:
        up_to_date(replica, primary)
        state = harness.until(lambda: (f := following(replica))["connected"] and f["behind_changes"] == 0 and f, what="being up to date")
        assert state["behind_seconds"] == 0 and state["primary"] == primary.url
        assert answer(replica, "/v1/models/m/predict", BODY) == answer(primary, "/v1/models/m/predict", BODY)


def test_requests_go_where_they_can_be_answered(cluster):
    primary, replicas, balancer = cluster
    through = balancer.server
    created = through.raw("POST", "/v1/models", json.dumps({"name": "new", "layers": [{"type": "dense", "units": 2}]}).encode(), JSON)
    assert created.status == 201 and primary.get("/v1/models/new").status == 200
    assert through.raw("GET", "/v1/jobs").json["data"], "jobs are the primary's"
    assert through.raw("GET", "/v1/server").json["following"] is None
    primary.kill()
    for path in ("/v1/models/m/predict", "/v1/models/m/versions/2/predict", "/v1/models/m@1/predict"):
        assert through.raw("POST", path, json.dumps(BODY).encode(), JSON).status == 200
    harness.until(lambda: through.raw("GET", "/v1/jobs").status == 503, what="the primary being away")
    primary.start(primary.port)
