"""Hot switch under load. Goal: while requests run, an alias moves to and fro, versions are trained, published and deleted: every answer is 200 and whole, is of the version that it names, and
of one version only; once a change has been answered, no request that begins later gets the version of before."""
import http.client
import json
import shutil
import subprocess
import threading

import harness
import pytest

ROWS = 64
BODY = json.dumps({"instances": [[i % 2] for i in range(ROWS)]}).encode()


@pytest.fixture
def two(fresh):
    """A server with a model of two versions, and what each of them answers to BODY."""
    server = fresh("--workers", "1")
    for n in (1, 2):
        server.post_json("level-%d" % n, x=[[i % 2] for i in range(8)], y=[n * 100.0 + i % 2 for i in range(8)])
        train(server, n)
    return server


def train(server, n, **more):
    job = server.train(model={"name": "m", "layers": [{"type": "dense", "units": 1}]}, dataset="level-%d" % n, target="y", task="regression", epochs=1, **more)
    return job["model_version"]


def answers(server, *versions):
    """{version: predictions}: each version's own, which differ between versions."""
    own = {v: server.request("POST", "/v1/models/m/versions/%d/predict" % v, body=BODY, headers={"Content-Type": "application/json"}).json["predictions"] for v in versions}
    assert len({json.dumps(p) for p in own.values()}) == len(versions)
    return own


def switch(server, alias, version):
    answer = server.raw("PUT", "/v1/models/m/aliases/" + alias, json.dumps({"version": version}).encode(), {"Content-Type": "application/json"})
    assert answer.status in (200, 201), answer


class Load:
    """Threads that predict with one connection each until they are stopped. What they got: (version, its predictions, the last version set before the request began)."""

    def __init__(self, server, path, threads=4):
        self.server, self.path, self.got, self.faults, self.over = server, path, [], [], threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        [t.start() for t in self.threads]

    def run(self):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)
        try:
            while not self.over.is_set():
                connection.request("POST", self.path, body=BODY, headers={"Content-Type": "application/json"})
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    self.faults.append((response.status, body[:300]))
                    return
                self.got.append(json.loads(body))
        except Exception as fault:  # a connection that breaks off is a fault of the server
            self.faults.append(fault)
        finally:
            connection.close()

    def stop(self):
        self.over.set()
        [t.join() for t in self.threads]
        assert not self.faults, self.faults[:3]


def check(got, own):
    for answer in got:
        assert answer["model"] == "m" and answer["predictions"] == own[answer["version"]], answer["version"]


@pytest.mark.parametrize("path, alias", [("/v1/models/m/predict", "default"), ("/v1/models/m/versions/production/predict", "production"), ("/v1/models/m@production/predict", "production")])
def test_an_alias_moves_under_load(two, path, alias):
    own = answers(two, 1, 2)
    switch(two, alias, 1)
    load = Load(two, path)
    for i in range(60):
        switch(two, alias, 2 - i % 2)
        # right after the answer every new request is answered by the new version
        answer = two.raw("POST", path, BODY, {"Content-Type": "application/json"})
        assert answer.status == 200 and answer.json["version"] == 2 - i % 2
    harness.until(lambda: len(load.got) > 200, what="some load")
    load.stop()
    check(load.got, own)
    assert {a["version"] for a in load.got} == {1, 2}


def test_versions_are_published_and_deleted_under_load(two):
    """Each training goes live, and the version before it is deleted at once: who asks for what is served never meets a version that is gone."""
    own = answers(two, 1, 2)
    load = Load(two, "/v1/models/m/predict")
    for version in range(3, 11):
        assert train(two, 1 + version % 2, seed=version) == version
        own.update(answers(two, version))
        assert two.delete("/v1/models/m/versions/%d" % (version - 1)).status == 204
    load.stop()
    check(load.got, own)
    assert len({a["version"] for a in load.got}) > 3


def test_with_wrk(two, tmp_path):
    """wrk counts what is not a 2xx, and its script what is not the answer of one version."""
    if not shutil.which("wrk"):
        pytest.skip("wrk is not installed (make deps)")
    raw = {v: two.raw("POST", "/v1/models/m/versions/%d/predict" % v, BODY, {"Content-Type": "application/json"}).body.decode() for v in (1, 2)}
    script = tmp_path / "predict.lua"
    script.write_text("""
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
wrk.body = %s
local own = {[%s] = 1, [%s] = 2}
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() one, two, mixed = 0, 0, 0 end
function response(status, headers, body)
  if own[body] == 1 then one = one + 1 elseif own[body] == 2 then two = two + 1 else mixed = mixed + 1 end
end
function done(summary)
  local a, b, c = 0, 0, 0
  for _, t in ipairs(threads) do a, b, c = a + t:get("one"), b + t:get("two"), c + t:get("mixed") end
  local e = summary.errors
  io.write(string.format("one %%d two %%d mixed %%d status %%d broken %%d\\n", a, b, c, e.status, e.connect + e.read + e.write + e.timeout))
end
""" % tuple(json.dumps(text) for text in (BODY.decode(), raw[1], raw[2])))
    load = subprocess.Popen(["wrk", "-t2", "-c8", "-d2s", "--timeout", "60s", "-s", str(script), "http://%s:%d/v1/models/m/predict" % (two.host, two.port)], stdout=subprocess.PIPE, text=True)
    switches = 0
    while load.poll() is None:
        switch(two, "default", 1 + switches % 2)
        switches += 1
    line = [text for text in load.stdout.read().split("\n") if text.startswith("one ")][0].split()
    count = dict(zip(line[::2], map(int, line[1::2])))
    assert count["mixed"] == count["status"] == count["broken"] == 0 and count["one"] > 0 and count["two"] > 0 and switches > 2, (count, switches)
