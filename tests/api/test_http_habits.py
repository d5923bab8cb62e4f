"""Goal: what clients, proxies and browsers expect of HTTP: slashes, Host, the key before all else, ETags, compression, CORS, streams that end for good, bounded JSON."""
import gzip
import json
import os
import socket

import pytest

import harness
from harness import problem, unique, xor


def raw(server, head, body=b""):
    """The whole answer to these bytes."""
    with socket.create_connection((server.host, server.port), timeout=30) as s:
        s.sendall(head.replace(b"\n", b"\r\n") + body)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    return answer


# ---- the request line and Host --------------------------------------------------------------------------------------------------------


def test_a_trailing_slash_is_ignored(server):
    assert server.raw("GET", "/v1/datasets/").json == server.get("/v1/datasets").json
    assert server.raw("GET", "/v1/datasets/iris/?").json == server.get("/v1/datasets/iris").json
    made = server.raw("POST", "/v1/models/", json.dumps({"name": unique("slash"), "layers": []}).encode(), {"Content-Type": "application/json"})
    assert made.status == 201
    assert server.raw("DELETE", "/v1/models/").status == 405


@pytest.mark.parametrize("host", [None, "", "localhost:80@evil.example", "local host", "localhost:http", "[::1", "::1", "[]", "localhost/x", "user@localhost"])
def test_a_host_that_is_none(server, host):
    line = b"" if host is None else b"Host: %s\n" % host.encode()
    answer = raw(server, b"GET /livez HTTP/1.1\n%s\n" % line)
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"bad_request"' in answer and b"Host" in answer.split(b"\r\n\r\n", 1)[1]
    assert answer.count(b"HTTP/1.1") == 1


def test_a_well_formed_host_of_others_is_forbidden(server):
    answer = raw(server, b"GET /livez HTTP/1.1\nHost: evil.example:8080\nConnection: close\n\n")
    assert answer.startswith(b"HTTP/1.1 403 ") and b"--allow-host" in answer


def test_the_key_comes_before_everything_else(fresh, tmp_path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123\n")
    key.chmod(0o600)
    server = fresh("--api-key-file", str(key))
    for method, path, headers, body in (("GET", "/v1/jobs?nonsense=1", {}, None), ("GET", "/v1/jobs?limit=x", {}, None), ("POST", "/v1/models", {"Content-Type": "text/plain"}, b"x"),
                                        ("POST", "/v1/models", {"Content-Type": "application/json"}, b"not json"), ("GET", "/v1/models/No Such/", {}, None)):
        answer = server.raw(method, path.replace(" ", "%20"), body, headers)
        assert (answer.status, answer.json["code"], answer.headers["WWW-Authenticate"]) == (401, "unauthorized", "Bearer"), path
    known = {"Authorization": "Bearer 0123456789abcdef0123"}
    assert server.raw("GET", "/v1/jobs?nonsense=1", headers=known).status == 422


# ---- documents -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/catalog"])
def test_documents_are_compressed_and_have_a_tag(server, path):
    plain = server.raw("GET", path)
    small = server.raw("GET", path, headers={"Accept-Encoding": "br, gzip"})
    assert plain.status == small.status == 200 and "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip" and gzip.decompress(small.body) == plain.body and len(small.body) < len(plain.body) / 3
    assert plain.headers["Vary"] == small.headers["Vary"] == "Accept-Encoding" and plain.headers["ETag"] != small.headers["ETag"]
    assert server.raw("GET", path, headers={"Accept-Encoding": "gzip;q=0"}).body == plain.body
    for tag, encoding in ((plain.headers["ETag"], ""), (small.headers["ETag"], "gzip"), ('W/"x", ' + small.headers["ETag"], "gzip"), ("*", "")):
        again = server.raw("GET", path, headers={"If-None-Match": tag, "Accept-Encoding": encoding})
        assert (again.status, again.body) == (304, b"") and again.headers["ETag"].startswith(plain.headers["ETag"][:-1])
    assert server.raw("GET", path, headers={"If-None-Match": '"other"'}).status == 200


# ---- browsers --------------------------------------------------------------------------------------------------------------------------


def test_cors_allows_and_exposes_the_headers_in_use(fresh):
    server = fresh("--cors-origin", "https://app.example")
    origin = {"Origin": "https://app.example"}
    preflight = server.raw("OPTIONS", "/v1/jobs", headers={**origin, "Access-Control-Request-Method": "DELETE"})
    assert preflight.status == 204 and preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    allowed = {h.strip().lower() for h in preflight.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "content-encoding", "idempotency-key", "if-none-match", "last-event-id", "prefer"} <= allowed
    assert {m.strip() for m in preflight.headers["Access-Control-Allow-Methods"].split(",")} >= {"GET", "POST", "DELETE"}
    sent = set()  # every header that an answer of ours names by itself
    for source in (harness.ROOT / "server").rglob("*.c"):
        sent |= set(harness.re.findall(r'answer_header\(r, "([A-Za-z-]+)"', source.read_text()))
    exposed = {h.strip() for h in server.raw("GET", "/livez", headers=origin).headers["Access-Control-Expose-Headers"].split(",")}
    safelisted = {"Cache-Control", "Vary", "Content-Encoding", "Content-Security-Policy", "Referrer-Policy", "Set-Cookie", "X-Content-Type-Options"}  # without a say, or the browser's own business
    assert sent - safelisted <= exposed and "X-Request-Id" in exposed
    assert "Access-Control-Allow-Origin" not in server.raw("GET", "/livez", headers={"Origin": "https://evil.example"}).headers


def test_a_stream_that_is_over_is_not_begun_again(server):
    """204 is the one answer that stops a browser's EventSource."""
    job = server.train(**xor())
    path, stream = "/v1/jobs/%s/events" % job["id"], {"Accept": "text/event-stream"}
    first = server.raw("GET", path, headers=stream)
    ids = harness.re.findall(rb"^id: (\d+)$", first.body, harness.re.M)
    assert first.status == 200 and first.headers["X-Accel-Buffering"] == "no" and b"event: end" in first.body
    over = server.get(path, headers={**stream, "Last-Event-ID": ids[-1].decode()})
    assert (over.status, over.body) == (204, b"")
    rest = server.raw("GET", path, headers={**stream, "Last-Event-ID": ids[-2].decode()})
    assert rest.status == 200 and harness.re.findall(rb"^id: (\d+)$", rest.body, harness.re.M) == [ids[-1]]
    assert server.raw("GET", path, headers={**stream, "Last-Event-ID": "0"}).body == first.body


def test_max_points_is_a_promise(server):
    """Even where the extremes of all series are more."""
    job = server.train(model={"layers": [{"type": "dense", "units": 8, "activation": "relu"}], "metrics": ["accuracy", "f1", "log_loss"]}, dataset="iris", target="class", epochs=60,
                       seed=3)
    path = "/v1/jobs/%s/metrics?max_points=" % job["id"]
    for most in (2, 3, 4, 5, 7, 11, 20, 40, 59, 60, 61):
        points = [p["epoch"] for p in server.get(path + str(most)).json["data"]]
        assert len(points) <= most and points[0] == 1 and points[-1] == 60 and points == sorted(set(points)), (most, points)
    assert len(server.get(path + "60").json["data"]) == 60
    one = server.get(path + "4&names=val_loss").json["data"]
    losses = [p["val_loss"] for p in server.get(path + "60&names=val_loss").json["data"]]
    assert min(p["val_loss"] for p in one) == min(losses) and max(p["val_loss"] for p in one) == max(losses)


# ---- bounds of JSON ----------------------------------------------------------------------------------------------------------------------


def resident(server):
    text = open("/proc/%d/status" % server.process.pid).read()
    return int(harness.re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) >> 10


def test_json_of_many_values_is_refused_before_it_is_decoded(fresh):
    server = fresh()
    server.train(**{**xor(), "model": {"name": "m", "layers": []}})
    before = resident(server)
    for path, body in (("/v1/models/m/predict", b'{"instances":[' + b"{}," * 3_000_000 + b"{}]}"), ("/v1/jobs", b'{"model":[' + b"{}," * 10_000_000 + b"{}]}"),
                       ("/v1/models", b'{"layers":[' + b"0," * 10_000_000 + b"0]}"), ("/v1/models", b'{"layers":' + b'[[[[' * 15 + b"]]]]" * 15 + b"," + b'"a":{},' * 4_000_000 + b'"b":1}')):
        answer = server.post(path, body=body, headers={"Content-Type": "application/json"})
        detail = problem(answer, 413, "too_large")["detail"]
        assert any(word in detail for word in ("instances_max", "json_values_max", "requests_memory_max")), detail
    if not server.sanitized():
        assert resident(server) < before + 200  # the bodies, 60 MB at most, and room to grow
        harness.until(lambda: resident(server) < before + 20, what="giving memory back to the system")
    assert server.predict("m", [[0, 1]])


def test_requests_share_a_budget(fresh):
    server = fresh("--requests-memory-max", "8M", "--json-values-max", "1000")
    early = raw(server, b"POST /v1/models HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 5000000\n\n")  # before its body came
    assert early.startswith(b"HTTP/1.1 413 ") and b"requests_memory_max" in early
    assert "1001 values" in problem(server.post("/v1/models", {"layers": [0] * 999}), 413, "too_large")["detail"]
    held = []

    def overloaded():  # by clients that do not go on: each has reserved the 4 MB that it declared
        s = socket.create_connection((server.host, server.port), timeout=30)
        s.sendall(b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4194304\r\n\r\n{")
        held.append(s)
        answer = server.post("/v1/models", {"name": unique("budget"), "layers": [], "nothing": "x" * 100_000})
        return answer if answer.status == 503 else None
    answer = harness.until(overloaded, what="a full budget")
    assert answer.json["code"] == "overloaded" and answer.headers["Retry-After"] == "1" and "requests_memory_max" in answer.json["detail"]
    assert server.post("/v1/models", {"name": unique("budget"), "layers": []}).status == 201  # small ones are served
    for s in held:
        s.close()
    harness.until(lambda: server.post("/v1/models", {"name": unique("budget"), "layers": [], "nothing": "x" * 100_000}).status == 422, what="giving the budget back")
    assert server.get("/v1/server").json["limits"]["requests_memory_max"] == 8 << 20


def test_a_process_without_threads_reports_it(tmp_path):
    """Work threads that cannot be started end the start, in words."""
    if harness.has_sanitizer():
        pytest.skip("a sanitizer maps more than a limit on memory allows")
    done = harness.subprocess.run(["bash", "-c", "ulimit -v 600000; exec %s serve --listen 127.0.0.1:0 --data-dir %s --work-threads 64" % (harness.BACKPROPD, tmp_path / "data")],
                                  capture_output=True, text=True, timeout=60, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 1 and "listening" not in done.stdout
    assert "work thread" in done.stderr or "memory" in done.stderr or "thread" in done.stderr
