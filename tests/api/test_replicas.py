"""Replicas. Goal: a server that follows another answers for its models byte by byte as the primary does, and in the order in which they were changed; it refuses writes with the primary's
address, says how far behind it is, goes on without the primary and after an end of its own process, and catches up after every kind of gap. What comes over a damaged, foreign, hanging or
lying connection does not become visible."""
import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import threading

import pytest

import harness
from harness import problem, unique, until
from test_keys import create
from test_switch import Load, answers, check
from test_tls import certificate

JSON = {"Content-Type": "application/json"}
TABLE = {"x": [[i / 10, (7 * i) % 5] for i in range(30)], "y": ["high" if (7 * i) % 5 > 2 else "low" for i in range(30)]}
ROWS = {"instances": [[0.3, 4], [2.9, 0], [None, 2]]}


# ---- two servers ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def primary():
    one = harness.Server("--workers", "1")
    yield one
    code = one.stop()
    one.remove()
    assert code == 0


@pytest.fixture(scope="module")
def replica(primary):
    one = harness.Server("--follow", primary.url, "--workers", "1")
    up_to_date(one, primary)
    yield one
    code = one.stop()
    one.remove()
    assert code == 0


def train(server, name, seed=1, **more):
    """A version of a few milliseconds; each seed has other weights."""
    return server.train(model={"name": name, "layers": [{"type": "dense", "units": 4, "activation": "tanh"}]}, dataset=TABLE, target="y", epochs=2, batch_size=8, seed=seed,
                        validation={"fraction": 0}, **more)["model_version"]


def following(server):
    return server.get("/v1/server").json["following"]


def newest(server, **more):
    return server.raw("GET", "/v1/changes?limit=1", **more).json["newest"]


def place(server):
    """The change up to which a replica has everything, as its folder says."""
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % os.path.join(server.folder, "backpropd.db"), uri=True)) as database:
        return database.execute("SELECT cursor FROM following").fetchone()[0]


def up_to_date(replica, primary, **more):
    wanted = newest(primary, **more)
    until(lambda: place(replica) == wanted, what="the copy of change " + wanted)


def answer(server, path, body=None, headers=None):
    got = server.raw("POST" if body else "GET", path, json.dumps(body).encode() if body else None, {**(JSON if body else {}), **(headers or {})})
    if got.status >= 400:  # a problem of a replica names the primary
        return got.status, got.json["code"], None, None
    return got.status, got.body, got.headers.get("ETag"), got.headers.get("Content-Type")


def same(replica, primary, path, body=None, **more):
    here, there = answer(replica, path, body, **more), answer(primary, path, body, **more)
    assert here == there, path
    return there


READ = ["/v1/models/{m}/versions", "/v1/models/{m}/versions/latest", "/v1/models/{m}/versions/latest/notes", "/v1/models/{m}/versions/latest/calibration",
        "/v1/models/{m}/versions/latest/evaluation", "/v1/models/{m}/versions/latest/export", "/v1/models/{m}/aliases", "/v1/models/{m}/aliases/default",
        "/v1/models/{m}/aliases/default/history", "/v1/models/{m}@default"]


def all_the_same(replica, primary, model):
    for path in READ:
        same(replica, primary, path.format(m=model))
    same(replica, primary, "/v1/models")
    here, there = (one.get("/v1/models/" + model).json for one in (replica, primary))
    assert {k: v for k, v in here.items() if k != "drift"} == {k: v for k, v in there.items() if k != "drift"}


# ---- what is copied ---------------------------------------------------------------------------------------------------------------------------


def test_a_replica_answers_byte_by_byte_as_its_primary(primary, replica):
    name = unique("bytes")
    train(primary, name, seed=1, test={"fraction": 0.3})
    train(primary, name, seed=2)
    up_to_date(replica, primary)
    all_the_same(replica, primary, name)
    for path in ("/v1/models/%s/predict", "/v1/models/%s@latest/predict", "/v1/models/%s/versions/1/predict"):
        status, body, *_ = same(replica, primary, path % name, ROWS)
        assert status == 200 and len(json.loads(body)["predictions"]) == 3
    inline = {"dataset": {"x": TABLE["x"], "y": TABLE["y"]}}
    assert same(replica, primary, "/v1/models/%s/evaluate" % name, {**inline, "compare": 1})[0] == 200
    assert same(replica, primary, "/v1/models/%s/explain" % name, {**inline, "method": "shapley"})[0] == 200
    assert same(replica, primary, "/v1/models/%s/explain" % name, inline)[0] == 200
    rows = b"x0,x1\n0.3,4\n2.9,0\n"
    here, there = (one.raw("POST", "/v1/models/%s/predict" % name, rows, {"Content-Type": "text/csv"}) for one in (replica, primary))
    assert here.status == there.status == 200 and here.body == there.body and here.body.count(b"\n") >= 2
    assert answer(primary, "/v1/models/%s/versions/1/evaluation" % name)[0] == 200, "a version with test rows has their report"
    same(replica, primary, "/v1/models/%s/versions/1/evaluation" % name)


def test_every_kind_of_change_is_copied(primary, replica):
    name = unique("changes")
    for seed in (1, 2, 3):
        train(primary, name, seed=seed)
    changes = [
        ("PUT", "/aliases/blue", {"version": 1}), ("PUT", "/aliases/blue", {"version": 2}), ("POST", "/aliases/blue/rollback", None),
        ("PATCH", "/versions/1/notes", {"notes": "the first", "tags": ["ä", "b"]}), ("PATCH", "/versions/1/notes", {"tags": []}),
        ("PATCH", "/versions/3/calibration", {"thresholds": {"low": 0.9}}), ("PATCH", "/versions/3/calibration", {"thresholds": {"low": 0.2}}),
        ("DELETE", "/versions/3/calibration", None), ("PATCH", "/versions/3/calibration", {"thresholds": {"low": 0.01}}),
        ("DELETE", "/aliases/blue", None), ("DELETE", "/versions/1", None)]
    for method, path, body in changes:
        done = primary.request(method, "/v1/models/" + name + path, body)
        assert done.status < 300, done
        up_to_date(replica, primary)
        all_the_same(replica, primary, name)
        same(replica, primary, "/v1/models/%s/predict" % name, ROWS)
        same(replica, primary, "/v1/models/%s/aliases/blue/history" % name)
        same(replica, primary, "/v1/models/%s/versions/1/notes" % name)
    problem(replica.get("/v1/models/%s/versions/1" % name), 404, "not_found")
    primary.post("/v1/models", {"name": name, "layers": [{"type": "dense", "units": 9}]})
    up_to_date(replica, primary)
    assert replica.get("/v1/models/" + name).json["definition"]["layers"][0]["units"] == 9
    fitted = primary.post("/v1/models/%s/versions/2/calibrate" % name, {"dataset": {"x": TABLE["x"], "y": TABLE["y"]}})
    assert fitted.status == 200, fitted
    up_to_date(replica, primary)
    same(replica, primary, "/v1/models/%s/versions/2/calibration" % name)
    same(replica, primary, "/v1/models/%s/versions/2/predict" % name, {**ROWS, "calibrated": True})
    assert primary.delete("/v1/models/" + name).status == 204
    up_to_date(replica, primary)
    refused = problem(replica.get("/v1/models/" + name), 404, "not_found")
    assert primary.url in refused["detail"] and refused["primary"] == primary.url
    assert answer(replica, "/v1/models/%s/predict" % name, ROWS)[0] == 404


def test_a_model_that_is_deleted_and_made_again_is_another_one(fresh):
    """In one look of the replica: nothing is left of the first one, neither its versions nor the history of its aliases."""
    primary = fresh("--workers", "1")
    train(primary, "m")
    train(primary, "m", seed=2)
    replica = fresh("--follow", primary.url)
    up_to_date(replica, primary)
    replica.stop()
    assert primary.delete("/v1/models/m").status == 204
    train(primary, "m", seed=3)
    replica.start(replica.port)
    up_to_date(replica, primary)
    all_the_same(replica, primary, "m")
    assert "replica_gap" not in replica.log_text() and len(replica.get("/v1/models/m/aliases/default/history").json["data"]) == 1


def test_imports_and_jobs_with_their_own_model(primary, replica):
    """A model of one job is nobody else's: it is not copied."""
    train(primary, "exported")
    blob = primary.raw("GET", "/v1/models/exported/versions/1/export").body
    name = unique("imported")
    got = primary.request("POST", "/v1/models/import?name=" + name, body=blob, headers={"Content-Type": "application/octet-stream"})
    assert got.status == 201
    job = primary.train(**harness.xor())
    up_to_date(replica, primary)
    same(replica, primary, "/v1/models/%s/predict" % name, ROWS)
    all_the_same(replica, primary, name)
    assert replica.get("/v1/models/" + job["model"]).status == 404 and primary.get("/v1/models/" + job["model"]).status == 200
    assert job["model"] not in {c["model"] for c in primary.all_pages("/v1/changes", limit=100)}


def test_aliases_never_get_ahead_of_their_versions(fresh):
    """While versions are trained, published and deleted, every answer of the replica is whole and of the version that it names, and no answer is older than one before."""
    primary = fresh("--workers", "1")
    for n in range(1, 7):
        primary.post_json("level-%d" % n, x=[[i % 2] for i in range(8)], y=[n * 100.0 + i % 2 for i in range(8)])

    own = {}

    def publish(n):
        job = primary.train(model={"name": "m", "layers": [{"type": "dense", "units": 1}]}, dataset="level-%d" % n, target="y", task="regression", epochs=1)
        assert job["model_version"] == n
        own.update(answers(primary, n))
        if n > 2:
            assert primary.delete("/v1/models/m/versions/%d" % (n - 2)).status == 204

    publish(1)
    replica = fresh("--follow", primary.url)
    up_to_date(replica, primary)
    load = Load(replica, "/v1/models/m/predict", threads=1)
    for n in range(2, 7):
        publish(n)
    up_to_date(replica, primary)
    after = len(load.got)
    until(lambda: len(load.got) > after + 10 or load.faults, what="answers after the last change")
    load.stop()
    check(load.got, own)
    versions = [got["version"] for got in load.got]
    assert versions == sorted(versions) and versions[0] < 6 == versions[-1], "none is older than the one before"


# ---- what is refused --------------------------------------------------------------------------------------------------------------------------

ANSWERED = {"predict", "predict_version", "evaluate", "evaluate_version", "explain", "explain_version", "trace", "trace_version", "trace_definition", "validate_model", "inspect_dataset",
            "create_ticket", "create_session", "delete_session"}


def test_every_write_is_refused_with_the_address_of_the_primary(primary, replica):
    refused = 0
    for template, operations in replica.contract()["paths"].items():
        for method, operation in operations.items():
            if method in ("get", "parameters") or operation["operationId"] in ANSWERED:
                continue
            path = re.sub(r"\{[^}]*\}", "x", template)
            got = problem(replica.raw(method.upper(), path, b"{}", JSON), 403, "read_only_replica")
            assert primary.url in got["detail"] and got["primary"] == primary.url and method.upper() in got["detail"], operation
            link = replica.raw(method.upper(), path, b"{}", JSON).headers["Link"]
            assert link == '<%s%s>; rel="edit"' % (primary.url, path)
            refused += 1
    assert refused >= 20
    problem(replica.post("/v1/models", {"name": "mine", "layers": []}), 403, "read_only_replica")
    big = replica.plain(b"POST /v1/datasets?name=big HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 900000000\r\n\r\n")
    assert big.startswith(b"HTTP/1.1 403") and b"read_only_replica" in big, "refused before its body comes"


def test_what_is_not_copied_is_said(primary, replica):
    name = unique("data")
    primary.post_json(name, **TABLE)
    train(primary, name)
    up_to_date(replica, primary)
    for path in ("evaluate", "explain"):
        wrong = harness.pointers(replica.post("/v1/models/%s/%s" % (name, path), {"dataset": name}))
        assert primary.url in wrong["/dataset"] and "records" in wrong["/dataset"]
    later = replica.post("/v1/models/%s/evaluate" % name, {"dataset": TABLE, "async": True})
    problem(later, 403, "read_only_replica")
    for path in ("/v1/jobs", "/v1/datasets", "/v1/sweeps", "/v1/batches"):
        assert replica.get(path).json["data"] == []
    assert primary.url in problem(replica.get("/v1/datasets/" + name), 404, "not_found")["detail"]
    assert "primary" not in problem(replica.raw("GET", "/v1/nothing"), 404, "not_found")


# ---- how far behind ---------------------------------------------------------------------------------------------------------------------------


def sample(server, name):
    found = re.search("^%s(?:{[^}]*})? (\\S+)$" % name, server.raw("GET", "/metrics").body.decode(), re.M)
    return float(found.group(1)) if found else None


def test_readiness_and_metrics_say_how_far_behind_it_is(fresh, primary, replica):
    up_to_date(replica, primary)
    state = until(lambda: (s := replica.get("/readyz").json)["following"]["behind_changes"] == 0 and s, what="being up to date")
    assert state["status"] == "ready" and state["following"] == following(replica) | {"heard_at": state["following"]["heard_at"]}
    about = state["following"]
    assert about["primary"] == primary.url and about["connected"] and about["complete"] and about["behind_seconds"] == 0 and about["away_since"] is None
    assert [sample(replica, "backpropd_replica_" + n) for n in ("connected", "behind_changes", "lag_seconds")] == [1, 0, 0]
    assert sample(primary, "backpropd_replica_connected") is None and following(primary) is None
    lonely = fresh("--follow", "http://127.0.0.1:1")
    detail = until(lambda: "tries again" in (got := problem(lonely.raw("GET", "/readyz"), 503, "overloaded"))["detail"] and got["detail"])
    assert "has not copied all models of http://127.0.0.1:1 yet" in detail and "onnect" in detail
    assert lonely.get("/livez").status == 200 and answer(lonely, "/v1/models/m/predict", ROWS)[0] == 404
    until(lambda: sample(lonely, "backpropd_replica_sync_errors_total") >= 2, what="another try")
    assert sample(lonely, "backpropd_replica_connected") == 0 and sample(lonely, "backpropd_replica_lag_seconds") > 0


# ---- ends and beginnings ------------------------------------------------------------------------------------------------------------------------


def test_it_goes_on_without_its_primary_and_after_kills_of_both(fresh):
    primary = fresh("--workers", "1")
    train(primary, "m")
    replica = fresh("--follow", primary.url)
    up_to_date(replica, primary)
    before = answer(primary, "/v1/models/m/predict", ROWS)
    primary.kill()
    away = until(lambda: (f := replica.get("/readyz").json["following"])["away_since"] and f, what="noticing it")
    assert not away["connected"] and away["complete"] and away["error"]
    assert answer(replica, "/v1/models/m/predict", ROWS) == before
    assert until(lambda: (f := following(replica))["behind_seconds"] > 0 and f)["behind_changes"] == 0
    replica.restart(kill=True, port=replica.port)
    assert replica.get("/readyz").json["following"]["complete"], "it has had everything once"
    assert answer(replica, "/v1/models/m/predict", ROWS) == before
    primary.start(primary.port)
    train(primary, "m", seed=2)
    up_to_date(replica, primary)
    assert until(lambda: (f := following(replica))["connected"] and f)["error"] is None
    assert answer(replica, "/v1/models/m/predict", ROWS) == answer(primary, "/v1/models/m/predict", ROWS) != before
    assert "replica_copies_all" not in replica.log_text().split("event=stopp")[0].split("replica_connected", 1)[1], "the place was known: nothing is compared again"
    primary.restart(port=primary.port)
    primary.post("/v1/models", {"name": "later", "layers": [{"type": "dense", "units": 2}]})
    up_to_date(replica, primary)
    same(replica, primary, "/v1/models")


def test_a_gap_is_filled_by_comparing_everything(fresh):
    """The replica is away for longer than the feed is kept."""
    primary = fresh("--workers", "1")
    for name in ("a", "b", "c", "d"):
        train(primary, name)
    replica = fresh("--follow", primary.url)
    up_to_date(replica, primary)
    replica.stop()
    train(primary, "b", seed=7)
    primary.delete("/v1/models/a"), primary.delete("/v1/models/d"), train(primary, "e")
    primary.request("PUT", "/v1/models/c/aliases/blue", {"version": 1})
    primary.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(primary.folder, "backpropd.db"))) as database, database:
        database.executemany("INSERT INTO changes (type, action, model) VALUES ('model', 'set', ?)", [("c",)] * 10050)
        assert database.execute("SELECT count(*) FROM changes").fetchone() == (10000,), "the newest are kept"
    primary.start(primary.port)
    replica.start(replica.port)
    up_to_date(replica, primary)
    assert "replica_gap" in replica.log_text()
    for name in ("b", "c", "e"):
        all_the_same(replica, primary, name)
        same(replica, primary, "/v1/models/%s/predict" % name, ROWS)
    assert [m["name"] for m in replica.get("/v1/models").json["data"]] == ["b", "c", "e"]


def test_a_primary_restored_from_a_backup_is_followed(fresh, tmp_path):
    """Numbers of changes, of versions and of changes of aliases are given a second time, to others."""
    primary = fresh("--workers", "1")
    train(primary, "m")
    train(primary, "other")
    assert harness.run("backup", str(tmp_path / "backup"), "--data-dir", primary.folder).returncode == 0
    replica = fresh("--follow", primary.url)
    for seed in (2, 3):
        train(primary, "m", seed=seed)
    primary.request("PATCH", "/v1/models/m/versions/1/calibration", {"thresholds": {"low": 0.99}})
    up_to_date(replica, primary)
    answer(replica, "/v1/models/m/predict", ROWS), answer(replica, "/v1/models/m/versions/2/predict", ROWS)  # they are in its memory
    lost = answer(replica, "/v1/models/m/versions/2/predict", ROWS)
    primary.stop()
    shutil.rmtree(primary.folder)
    assert harness.run("restore", str(tmp_path / "backup"), "--data-dir", primary.folder).returncode == 0
    primary.start(primary.port)
    train(primary, "other", seed=5)
    train(primary, "m", seed=6)
    train(primary, "m", seed=7)
    primary.request("PATCH", "/v1/models/m/versions/1/calibration", {"thresholds": {"low": 0.01}})
    up_to_date(replica, primary)
    for name in ("m", "other"):
        all_the_same(replica, primary, name)
        for version in (1, 2):
            same(replica, primary, "/v1/models/%s/versions/%d/predict" % (name, version), ROWS)
    assert answer(replica, "/v1/models/m/versions/2/predict", ROWS) != lost


# ---- keys, certificates ---------------------------------------------------------------------------------------------------------------------------


def test_a_key_with_the_scope_read_is_enough_and_a_wrong_one_is_said(fresh, tmp_path):
    primary = fresh("--workers", "1")
    train(primary, "m")
    admin = create(primary.folder, "admin", "admin")
    until(lambda: primary.raw("GET", "/v1/models").status == 401, what="the key in use")
    bearer = {"Authorization": "Bearer " + admin}
    file = tmp_path / "key"
    file.write_text("bpd_00000000_" + "0" * 52 + "\n")
    file.chmod(0o600)
    replica = fresh("--follow", primary.url, "--follow-key-file", str(file))
    until(lambda: "needs a key with the scope read" in problem(replica.raw("GET", "/readyz"), 503, "overloaded")["detail"], what="the refusal in words")
    file.write_text(create(primary.folder, "predictor", "predict") + "\n")
    retry(replica)
    until(lambda: "the scope of the key \"predictor\" is predict" in problem(replica.raw("GET", "/readyz"), 503, "overloaded")["detail"], what="the scope in words")
    file.write_text(create(primary.folder, "reader", "read") + "\n")
    retry(replica)
    up_to_date(replica, primary, headers=bearer)
    assert answer(replica, "/v1/models/m/predict", ROWS)[:2] == answer(primary, "/v1/models/m/predict", ROWS, bearer)[:2], "the replica has no keys: it asks for none"
    log = replica.log_text()
    assert "replica_behind" in log and "0" * 52 not in log and admin not in log
    shared = tmp_path / "shared"
    shared.write_text(admin + "\n")
    shared.chmod(0o600)
    second = fresh("--follow", primary.url, "--api-key-file", str(shared))
    up_to_date(second, primary, headers=bearer)
    assert second.raw("GET", "/v1/models").status == 401 and answer(second, "/v1/models/m/predict", ROWS, bearer)[0] == 200
    problem(second.raw("DELETE", "/v1/models/m", headers=bearer), 403, "read_only_replica")


def test_a_primary_with_tls(fresh, tmp_path):
    cert, key = certificate(tmp_path, "one")
    context = ssl.create_default_context(cafile=str(cert))
    primary = fresh("--workers", "1", "--tls-cert", str(cert), "--tls-key", str(key), tls=context)
    train(primary, "m")
    stranger = fresh("--follow", primary.url)
    until(lambda: "ertificate" in problem(stranger.raw("GET", "/readyz"), 503, "overloaded")["detail"], what="the certificate in words")
    replica = fresh("--follow", primary.url, "--follow-ca-file", str(cert))
    up_to_date(replica, primary)
    same(replica, primary, "/v1/models/m/predict", ROWS)


# ---- wrong primaries ------------------------------------------------------------------------------------------------------------------------------


class Between:
    """A primary's GET requests, passed on; `change(path, body)` gives what is answered instead: bytes, or a status."""

    def __init__(self, primary):
        outer, self.change, self.seen = self, lambda path, body: body, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.seen.append(self.path)
                connection = http.client.HTTPConnection(primary.host, primary.port, timeout=60)
                connection.request("GET", self.path, headers={"Accept": self.headers.get("Accept", "*/*")})
                response = connection.getresponse()
                if response.headers["Content-Type"] == "text/event-stream":
                    return self.stream(response, connection)
                body = outer.change(self.path, response.read())
                status = body if isinstance(body, int) else response.status
                body = b"{}" if isinstance(body, int) else body
                self.send_response(status)
                for name in ("Content-Type", "ETag"):
                    if response.headers[name]:
                        self.send_header(name, response.headers[name])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                connection.close()

            def stream(self, response, connection):
                self.close_connection = True
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                with contextlib.suppress(OSError, http.client.HTTPException):
                    for line in response:
                        self.wfile.write(outer.change("line", line))
                        self.wfile.flush()
                connection.close()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def pair(fresh):
    """(a primary, what is between, a replica of it)."""
    primary = fresh("--workers", "1")
    between = Between(primary)
    replica = fresh("--follow", between.url)
    up_to_date(replica, primary)
    yield primary, between, replica
    between.end()


def retry(replica):
    """At once: the settings are read again."""
    replica.process.send_signal(signal.SIGHUP)


def spoil(body):
    """One bit of the weights."""
    return body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]


DAMAGE = {
    "a flipped bit of the weights": ("/v1/mirror/%s/1?", spoil, "entity tag"),
    "a version that was cut off": ("/v1/mirror/%s/1?", lambda body: body[:-7], "entity tag"),
    "an empty version": ("/v1/mirror/%s/1?", lambda body: b"", "entity tag"),
    "a state that is no JSON": ("/v1/mirror/%s?", lambda body: b'{"object":', "no JSON object"),
    "a state that is a list": ("/v1/mirror/%s?", lambda body: b"[" * 3000 + b"]" * 3000, "no JSON object"),
    "a number that is a text": ("/v1/mirror/%s?", lambda body: re.sub(b'"created_at":[0-9]+', b'"created_at":"x"', body), "the state"),
    "an alias of a version that is not listed": ("/v1/mirror/%s?", lambda body: body.replace(b'"default","version":1', b'"default","version":8'), "the state"),
    "an alias with a wrong name": ("/v1/mirror/%s?", lambda body: body.replace(b'"default"', b'"../up"'), "the state"),
    "another model": ("/v1/mirror/%s?", lambda body: body.replace(b'"model":"', b'"model":"x'), "the state"),
    "settings of another format": ("/v1/mirror/%s/1/settings?", lambda body: body.replace(b'"format":1', b'"format":2'), "the settings"),
    "an error of the primary": ("/v1/mirror/%s/1?", lambda body: 500, "with 500"),
}


def test_damaged_answers_do_not_become_visible(pair):
    """Each damage concerns one model, which is not there until it comes whole; its place in the feed is not passed, but the others go on."""
    primary, between, replica = pair
    for number, (what, (where, damage, words)) in enumerate(DAMAGE.items()):
        name = "m%d" % number
        between.change = lambda path, body: damage(body) if where % name in path + "?" else body
        train(primary, name)
        train(primary, "other", seed=number)
        about = until(lambda: (f := following(replica))["error"] and name in f["error"] and f, what=what + " in words")
        assert words in about["error"] and about["behind_changes"] > 0 and about["connected"], what
        until(lambda: answer(replica, "/v1/models/other/predict", ROWS) == answer(primary, "/v1/models/other/predict", ROWS), what="the other model")
        assert answer(replica, "/v1/models/%s/predict" % name, ROWS)[0] in (404, 409), what
        between.change = lambda path, body: body
        retry(replica)
        up_to_date(replica, primary)
        same(replica, primary, "/v1/models/%s/predict" % name, ROWS)
    before = answer(replica, "/v1/models/m0/predict", ROWS)  # and a damaged next version leaves the one that is served
    between.change = lambda path, body: spoil(body) if path.endswith("/m0/2") else body
    train(primary, "m0", seed=9)
    until(lambda: following(replica)["error"], what="the damage in words")
    assert answer(replica, "/v1/models/m0/predict", ROWS) == before


def test_a_feed_that_leaves_out_a_change_or_lies(pair):
    """Lines of the stream are dropped or replaced once; then everything is compared again, or the stream begins again."""
    primary, between, replica = pair
    for damage in (lambda line: b"\n", lambda line: b'data: {"id":"1-00000000","model":"../../etc"}\n', lambda line: b"data: " + b"\xff" * 50 + b"\n"):
        name, spoiled = unique("feed"), []

        def once(path, body):
            if path == "line" and body.startswith(b"data: ") and not spoiled:
                spoiled.append(body)
                return damage(body)
            return body

        between.change = once
        train(primary, name)
        up_to_date(replica, primary)
        assert spoiled
        same(replica, primary, "/v1/models/%s/predict" % name, ROWS)


def test_servers_that_cannot_be_followed_are_said_in_words(fresh, pair):
    primary, between, _ = pair
    refusals = [(lambda path, body: 404 if "/v1/changes" in path else body, "has no GET /v1/changes: it runs an older version"),
                (lambda path, body: b'{"object":"list"}' if "/v1/changes" in path else body, "is it a backpropd?"),
                (lambda path, body: body.replace(b'"format":1', b'"format":2') if "/v1/changes" in path else body, "in another format"),
                (lambda path, body: 302 if "/v1/changes" in path else body, "with 302"),
                (lambda path, body: 503 if "/v1/models" in path else body, "with 503")]
    between.change = refusals[0][0]
    replica = fresh("--follow", between.url)
    for change, words in refusals:
        between.change = change
        retry(replica)
        until(lambda: words in problem(replica.raw("GET", "/readyz"), 503, "overloaded")["detail"], what=words)
    between.change = lambda path, body: body
    retry(replica)
    up_to_date(replica, primary)


def test_a_primary_that_hangs_does_not_hold_the_replica(fresh):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        replica = fresh("--follow", "http://127.0.0.1:%d" % silent.getsockname()[1])
        connection, _ = silent.accept()
        with connection:
            assert b"GET /v1/changes" in connection.recv(4096)
            assert replica.get("/livez").status == 200 and problem(replica.raw("GET", "/readyz"), 503, "overloaded")
            assert replica.stop() == 0


def test_nobody_follows_himself_and_replicas_can_be_followed(fresh, primary):
    name = unique("chain")
    train(primary, name)
    first = fresh("--follow", primary.url)
    second = fresh("--follow", first.url)
    up_to_date(first, primary)
    up_to_date(second, first)
    all_the_same(second, primary, name)
    train(primary, name, seed=4)
    up_to_date(first, primary)
    up_to_date(second, first)
    same(second, primary, "/v1/models/%s/predict" % name, ROWS)
    assert len(second.raw("GET", "/v1/changes?limit=1").json["servers"]) == 3
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    own = fresh("--listen", "127.0.0.1:%d" % port, "--follow", "http://127.0.0.1:%d" % port)
    until(lambda: "follows this server, or is this server" in problem(own.raw("GET", "/readyz"), 503, "overloaded")["detail"], what="the circle in words")


# ---- the folder, the settings ---------------------------------------------------------------------------------------------------------------------


def test_a_folder_with_models_of_its_own_is_not_overwritten_and_a_replica_can_become_a_primary(fresh, primary):
    name = unique("own")
    train(primary, name)
    own = fresh("--workers", "1")
    train(own, "mine")
    own.stop()
    refused = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", own.folder, "--follow", primary.url)
    assert refused.returncode == 1 and "has models, datasets or jobs of its own" in refused.stderr and "use an empty folder" in refused.stderr
    replica = fresh("--follow", primary.url)
    up_to_date(replica, primary)
    replica.stop()
    replica.flags = ["--workers", "1"]
    replica.start()
    assert "replica_ended" in replica.log_text()
    before = replica.get("/v1/models/%s" % name).json["latest_version"]
    assert train(replica, name, seed=8) == before + 1, "it goes on with the numbers of its primary"
    replica.stop()
    refused = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", replica.folder, "--follow", primary.url)
    assert refused.returncode == 1 and "of its own" in refused.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "http://user:secret@host", "http://host/?a=1", "http://host/#x", "http://a b", "http://" + "h" * 500])
def test_addresses_that_are_refused(tmp_path, url):
    for more in ([], ["--check-config"]):
        refused = harness.run("serve", *more, "--data-dir", tmp_path / "folder", "--follow", url)
        assert refused.returncode == 2 and "--follow expects the address of a server, like http://host:8080" in refused.stderr


def test_the_key_file_must_be_there(tmp_path, fresh):
    replica = fresh("--follow", "http://127.0.0.1:1", "--follow-key-file", str(tmp_path / "nothing"))
    until(lambda: str(tmp_path / "nothing") in problem(replica.raw("GET", "/readyz"), 503, "overloaded")["detail"], what="the file in words")


def test_a_full_disk_stops_the_copies_and_not_the_answers(fresh, tmp_path):
    """Writes to the replica's folder fail for a while."""
    from test_full_disk import SHIM
    shim = harness.preload_library(tmp_path, "full", SHIM)
    primary = fresh("--workers", "1")
    train(primary, "m")
    full = tmp_path / "full"
    replica = fresh("--follow", primary.url, env={"LD_PRELOAD": str(shim), "FULL_DISK": str(full)})
    up_to_date(replica, primary)
    before = answer(replica, "/v1/models/m/predict", ROWS)
    full.touch()
    train(primary, "m", seed=2)
    about = until(lambda: (f := following(replica))["error"] and f, what="the full disk in words")
    assert "disk" in about["error"] or "No space" in about["error"], about
    assert about["behind_changes"] > 0 and answer(replica, "/v1/models/m/predict", ROWS) == before
    full.unlink()
    up_to_date(replica, primary)
    same(replica, primary, "/v1/models/m/predict", ROWS)


# ---- the feed ---------------------------------------------------------------------------------------------------------------------------------------


def events(server, after=None, headers=None):
    """The changes of the stream, as they come."""
    return server.stream_of("Change", "/v1/changes" + ("?after=" + after if after else ""), harness.patience(20), headers)


def test_the_feed_lists_and_streams_every_change_once(fresh):
    server = fresh("--workers", "1")
    first = server.get("/v1/changes").json
    assert [(c["type"], c["model"]) for c in first["data"]] == [("start", None)] and first["newest"] == first["last_id"] == first["data"][0]["id"]
    stream = events(server, after=first["newest"])
    train(server, "m")
    server.request("PUT", "/v1/models/m/aliases/blue", {"version": 1})
    server.request("PATCH", "/v1/models/m/versions/1/notes", {"notes": "x"})
    server.request("PATCH", "/v1/models/m/versions/1/calibration", {"thresholds": {"low": 0.5}})
    server.delete("/v1/models/m/versions/1/calibration")
    server.delete("/v1/models/m/aliases/blue")
    server.train(**harness.xor())  # a model of its own: no change
    server.delete("/v1/models/m")
    expected = [("model", "set", None, None), ("version", "set", 1, None), ("alias", "set", 1, "default"), ("alias", "set", 1, "blue"), ("notes", "set", 1, None),
                ("calibration", "set", 1, None), ("calibration", "delete", 1, None), ("alias", "delete", 1, "blue"), ("model", "delete", None, None)]
    got = [next(stream) for _ in expected]
    assert [(c["type"], c["action"], c["version"], c["name"]) for c in got] == expected
    assert [int(c["id"].split("-")[0]) for c in got] == list(range(2, 2 + len(expected))), "numbers have no gaps"
    assert server.all_pages("/v1/changes", limit=2)[1:] == got
    again = events(server, headers={"Last-Event-ID": got[3]["id"]})
    assert [next(again) for _ in got[4:]] == got[4:]
    server.restart(port=server.port)
    resumed = server.get("/v1/changes?after=" + got[5]["id"]).json
    assert resumed["data"] == got[6:] and resumed["servers"] != first["servers"]


def test_places_in_the_feed_that_are_refused(primary):
    last = primary.get("/v1/changes").json["newest"]
    number, mark = last.split("-")
    other = "%08x" % (int(mark, 16) ^ 1)
    for place, status, code in ((number + "-" + other, 410, "gap"), ("999999-" + mark, 410, "gap"), ("0-" + mark, 410, "gap"), (number, 422, "invalid"), ("x", 422, "invalid"),
                                ("-1-" + mark, 422, "invalid"), (number + "-" + mark + "0", 422, "invalid"), (number + "-" + mark.upper() + "G", 422, "invalid")):
        for headers in ({}, {"Accept": "text/event-stream"}):
            problem(primary.request("GET", "/v1/changes?after=" + place, headers=headers), status, code)
        problem(primary.request("GET", "/v1/changes", headers={"Accept": "text/event-stream", "Last-Event-ID": place}), status, code)
    assert "list the models" in primary.get("/v1/changes?after=%s-%s" % (number, other)).json["detail"]


def test_what_replicas_read(primary):
    name = unique("mirrored")
    train(primary, name)
    state = primary.get("/v1/mirror/" + name).json
    assert [a["name"] for a in state["aliases"]] == ["default"] and [v["version"] for v in state["versions"]] == [1] and len(state["history"]) == 1
    assert primary.get("/v1/mirror/%s?history_after=%d" % (name, state["history"][0]["change"])).json["history"] == []
    whole = primary.request("GET", "/v1/mirror/%s/1" % name)
    head, _, blob = whole.body.partition(b"\n")
    assert (len(head) + 1) % 64 == 0 and json.loads(head)["bytes"] == len(blob) == state["versions"][0]["bytes"]
    assert primary.request("GET", "/v1/mirror/%s/1" % name, headers={"If-None-Match": whole.headers["ETag"]}).status == 304
    import hashlib
    assert whole.headers["ETag"] == '"%s"' % hashlib.sha256(whole.body).hexdigest()
    assert primary.get("/v1/mirror/%s/1/settings" % name).json["calibration"]["document"] is None
    for path, status, code in (("/v1/mirror/nothing", 404, "not_found"), ("/v1/mirror/%s/7" % name, 404, "not_found"), ("/v1/mirror/%s/7/settings" % name, 404, "not_found"),
                               ("/v1/mirror/%s/default" % name, 422, "invalid"), ("/v1/mirror/%s/0/settings" % name, 422, "invalid"),
                               ("/v1/mirror/%s/99999999999999999999" % name, 422, "invalid"), ("/v1/mirror/%s?history_after=x" % name, 422, "invalid")):
        problem(primary.get(path), status, code)
