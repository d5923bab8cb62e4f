"""Goal: the HTTP layer refuses invalid requests clearly, keeps its guarantees, leaks nothing, and stops in order."""
import concurrent.futures
import gzip
import http.client
import json
import os
import re
import select
import signal
import socket
import stat
import subprocess

import pytest

import harness
from harness import ENDLESS, problem, unique, xor

JSON = {"Content-Type": "application/json"}
KEY = "a-key-of-at-least-sixteen-characters"


def request_lines(method, path, *headers, body=b"", host="localhost"):
    lines = ["%s %s HTTP/1.1" % (method, path), *(["Host: " + host] if host else []), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status_of(raw):
    found = re.match(rb"HTTP/1\.1 (\d+)", raw)
    assert found, raw
    return int(found.group(1))


# ---- problems ----

def test_unknown_paths_and_methods(server):
    for path in ("/v1", "/v1/", "/v1/jobs//", "/v1/models//versions", "/v2/models", "/v1/jobs/x/y", "/favicon.ico", "/%2e%2e/etc/passwd", "/v1/datasets/..", "/v1/datasets/a/b"):
        answer = server.get(path)
        assert answer.status == 404 and problem(answer, 404, "not_found")["detail"], path
    for method, path, allowed in (("PUT", "/v1/jobs", {"GET", "POST"}), ("DELETE", "/v1/models", {"GET", "POST"}), ("PUT", "/v1/jobs/x", {"GET", "PATCH", "DELETE"}), ("POST", "/v1/server", {"GET"}),
                                  ("GET", "/v1/models/x/predict", {"POST"}), ("GET", "/v1/jobs/x/cancel", {"POST"}), ("OPTIONS", "/v1/jobs", {"GET", "POST"}), ("TRACE", "/livez", {"GET"})):
        answer = server.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert {m.strip() for m in answer.headers["Allow"].split(",")} >= allowed


def test_problem_shape(server):
    body = problem(server.get("/v1/jobs/nothing"), 404, "not_found")
    assert body["type"] == "urn:backpropd:problem:not_found" and body["instance"] == "/v1/jobs/nothing" and body["title"]


@pytest.mark.parametrize("path", ["/v1/models/%FF", "/v1/jobs/%C3%28", "/v1/datasets/%ED%A0%80", "/%FE%FF", "/v1/models/a%00b", "/v1/datasets/iris%00", "/v1/models/%0d%0aX-Evil:1", "/v1/models/" + "x" * 3000])
def test_odd_bytes_in_paths(server, path):
    """Bytes that are no UTF-8, a NUL, line ends: a whole problem, no injected header, no other object than requested."""
    answer = server.get(path)
    assert answer.status == 404 and "X-Evil" not in answer.headers, answer
    harness.check_component(server, "Problem", answer.json)


def test_details_show_values_that_are_not_text(server):
    """Bytes that are no UTF-8, and characters that a message would cut in two, become "?"; all else is shown as it came."""
    assert "/?abc\u00e9;" in problem(server.get("/%FFabc%C3%A9"), 404, "not_found")["detail"]
    assert problem(server.get("/%FFabc"), 404, "not_found")["instance"] == "/?abc"
    assert '"x' + "\u00e9" * 39 + '?" is not a valid name' in problem(server.get("/v1/datasets/x" + "%C3%A9" * 60), 404, "not_found")["detail"]
    assert '"?"' in problem(server.get("/v1/jobs?limit=%FF"), 422, "invalid")["detail"]


def test_answers_end_with_a_line_end(server):
    """A shell prompt starts on its own line."""
    answers = [server.get("/v1/jobs"), server.get("/nothing"), server.post("/v1/models", {"name": unique("line"), "layers": []})]
    assert all(a.body.endswith(b"}\n") for a in answers), answers


@pytest.mark.parametrize("body, status, words", [
    (b"null", 422, "must be a JSON object, got null"), (b"[1,2]", 422, "got an array of 2"), (b'"x"', 422, 'got the string "x"'), (b"17", 422, "got 17"),
    (b'{"name":"\\u0000"}', 400, "\\u0000 is not allowed (line 1"), (b"{'a':1}", 400, "not JSON"), (b"", 400, "empty"), (b'{"a":1,"a":2}', 400, "duplicate"),
])
def test_bodies_that_are_no_objects(server, body, status, words):
    for path in ("/v1/models", "/v1/models/validate", "/v1/jobs"):
        assert words in problem(server.post(path, body=body, headers=JSON), status, "invalid" if status == 422 else "bad_request")["detail"]


def test_unknown_query_parameters(server):
    for path in ("/v1/jobs?statsu=failed", "/v1/models?limt=1", "/livez?x", "/v1/server?verbose=1", "/v1/datasets/iris?version=1", "/openapi.json?a=b"):
        assert "unknown query parameter" in problem(server.get(path), 422, "invalid")["detail"]
    assert "name" in problem(server.post("/v1/datasets?nmae=x", body=b"a\n1\n", headers={"Content-Type": "text/csv"}), 422, "invalid")["detail"]


def test_wrong_content_types(server):
    for path in ("/v1/models", "/v1/models/validate", "/v1/jobs", "/v1/models/x/predict"):
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/jsonx"}):
            body = problem(server.post(path, body=b"{}", headers=headers), 415, "unsupported_media_type")
            assert "-H 'Content-Type: application/json'" in body["detail"]
        assert "gzip or zstd" in problem(server.post(path, body=b"{}", headers={**JSON, "Content-Encoding": "br"}), 415, "unsupported_media_type")["detail"]


ZSTD = {**JSON, "Content-Encoding": "zstd"}
GZIP = {**JSON, "Content-Encoding": "gzip"}


def test_encoded_json_bodies(server):
    """gzip, zstd and a byte order mark on bodies that are no datasets."""
    name = unique("packed")
    body = json.dumps({"name": name, "layers": [{"type": "dense", "units": 3}]}).encode()
    assert server.post("/v1/models", body=gzip.compress(body), headers=GZIP).status == 201
    assert server.post("/v1/models", body=gzip.compress(body[:20]) + gzip.compress(body[20:]), headers=GZIP).status == 200
    zstd = b"\x28\xb5\x2f\xfd\x20" + bytes([len(body)]) + (len(body) << 3 | 1).to_bytes(3, "little") + body  # RFC 8878: one raw block
    assert server.post("/v1/models", body=zstd, headers=ZSTD).status == 200
    assert server.post("/v1/models", body=b"\xef\xbb\xbf" + body, headers=JSON).status == 200
    assert server.post("/v1/models", body=gzip.compress(b"\xef\xbb\xbf" + body), headers=GZIP).status == 200
    assert server.get("/v1/models/" + name).json["definition"]["layers"] == [{"type": "dense", "units": 3}]
    for packed, word in ((gzip.compress(body)[:-4], "truncated"), (body, "not gzip"), (gzip.compress(body) + b"x", "after the end"), (b"", "truncated")):
        assert word in problem(server.post("/v1/models", body=packed, headers=GZIP), 400, "bad_request")["detail"]


def test_encoded_body_beyond_the_limit(fresh):
    server = fresh("--body-max", "100000")
    body = gzip.compress(b'{"name":"' + b"x" * 1000000 + b'"}')
    assert len(body) < 100000
    assert "body_max" in problem(server.post("/v1/models", body=body, headers=GZIP), 413, "too_large")["detail"]


def test_a_body_where_none_belongs(server):
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs/x/cancel"), ("DELETE", "/v1/models/x")):
        for body in (b"{}", b"x" * 3000000):
            try:
                answer = server.request(method, path, body=body, headers=JSON)
            except (BrokenPipeError, ConnectionResetError):
                assert len(body) > 1 << 20
                continue
            problem(answer, 400, "bad_request")


def test_head_is_get_without_a_body(server):
    for path in ("/livez", "/v1/jobs", "/v1/datasets/iris", "/openapi.json", "/v1/jobs/nothing"):
        get, head = server.get(path), server.raw("HEAD", path)
        assert head.status == get.status and head.body == b""
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        if path in ("/livez", "/openapi.json", "/v1/datasets/iris"):
            assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_ids_of_requests(server):
    ids = {server.get("/livez").headers["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20
    refused = server.get("/nothing")
    assert refused.json["request_id"] == refused.headers["X-Request-Id"]


# ---- framing ----

@pytest.mark.parametrize("headers, body", [
    (["Content-Length: 2", "Content-Length: 2"], b"{}"),
    (["Content-Length: 2", "Content-Length: 3"], b"{} "),
    (["Content-Length: 2", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    (["Transfer-Encoding: chunked", "Content-Length: 2"], b"2\r\n{}\r\n0\r\n\r\n"),
    (["Transfer-Encoding: gzip, chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    (["Transfer-Encoding: chunked, chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    (["Transfer-Encoding: xchunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    (["Transfer-Encoding: identity"], b"{}"),
    (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    (["Content-Length: -2"], b"{}"), (["Content-Length: +2"], b"{}"), (["Content-Length: 0x2"], b"{}"), (["Content-Length: 2 2"], b"{}"), (["Content-Length: 99999999999999999999"], b"{}"),
    (["Content-Length: "], b"{}"), (["Content-Length: 2, 2"], b"{}"), (["Host: localhost", "Content-Length: 2"], b"{}"),
], ids=lambda v: " + ".join(v)[:60] if isinstance(v, list) else "")
def test_framing_attacks_are_refused_and_the_connection_closed(server, headers, body):
    """Ambiguous framing is refused; a request smuggled after it is never answered."""
    smuggled = request_lines("GET", "/livez")
    got = server.plain(request_lines("POST", "/v1/models", "Content-Type: application/json", *headers, body=body + smuggled))
    assert status_of(got) in (400, 413), got
    assert b"alive" not in got and b"HTTP/1.1 2" not in got, got


@pytest.fixture(scope="module")
def hasty():
    """A server that closes silent connections after a second."""
    server = harness.Server("--request-timeout", "1")
    yield server
    assert server.stop() == 0
    server.remove()


@pytest.mark.parametrize("data", [
    b"\r\n\r\n", b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET /livez HTTP/1.1\r\n" + b"X: " + b"y" * 100000 + b"\r\n\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
], ids=lambda d: repr(d[:40]))
def test_malformed_http_is_harmless(hasty, data):
    server = hasty
    try:
        got = server.plain(data)
        assert got == b"" or 400 <= status_of(got.lstrip()) < 500 or status_of(got) in (501, 505), got
    except (ConnectionResetError, BrokenPipeError):
        pass
    assert server.get("/livez").status == 200


def test_chunked_bodies_are_fine(server):
    name = unique("chunked")
    body = json.dumps({"name": name, "layers": []}).encode()
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(body[i:i + 5]), body[i:i + 5]) for i in range(0, len(body), 5)) + b"0\r\nTrailer: x\r\n\r\n"
    got = server.plain(request_lines("POST", "/v1/models", "Content-Type: application/json", "Transfer-Encoding: Chunked", "Connection: close", body=chunks))
    assert status_of(got) == 201, got
    assert server.get("/v1/models/" + name).status == 200


def test_a_chunked_body_beyond_the_limit_is_answered(fresh):
    """Its size is unknown and the client keeps sending; it gets the response all the same."""
    server = fresh("--body-max", "1M", "--upload-max", "1M")
    for path, kind in (("/v1/models", "application/json"), ("/v1/datasets?name=x", "text/csv"), ("/v1/jobs/x/cancel", "text/plain")):
        with socket.create_connection((server.host, server.port), timeout=20) as connection:
            connection.sendall(request_lines("POST", path, "Content-Type: " + kind, "Transfer-Encoding: chunked"))
            connection.setblocking(False)
            got, sent, chunk = None, 0, b"10000\r\n" + b"x" * 65536 + b"\r\n"
            while got is None and sent < 64 << 20:  # as a client does that looks for an early answer
                select.select([connection], [connection], [], 20)
                try:
                    sent += connection.send(chunk[sent % len(chunk):])
                except (BlockingIOError, BrokenPipeError):
                    pass
                try:
                    got = connection.recv(65536)
                except BlockingIOError:
                    pass
        assert status_of(got) == (400 if "cancel" in path else 413), got
        body = json.loads(got.partition(b"\r\n\r\n")[2])
        harness.check_component(server, "Problem", body)
        assert body["detail"] and sent < 32 << 20
        assert server.get("/livez").status == 200


def test_half_a_request_and_a_slow_one(server):
    with socket.create_connection((server.host, server.port), timeout=20) as half:
        half.sendall(request_lines("POST", "/v1/models", "Content-Type: application/json", "Content-Length: 100", body=b'{"name":'))
        assert server.get("/livez").status == 200
    name = unique("slow")
    body = json.dumps({"name": name, "layers": []}).encode()
    with socket.create_connection((server.host, server.port), timeout=20) as slow:
        for byte in request_lines("POST", "/v1/models", "Content-Type: application/json", "Content-Length: %d" % len(body), "Connection: close", body=body):
            slow.sendall(bytes([byte]))
        assert status_of(slow.recv(65536)) == 201


def test_a_silent_connection_is_closed(hasty):
    with socket.create_connection((hasty.host, hasty.port), timeout=60) as silent:
        silent.sendall(b"GET /livez HTTP/1.1\r\nHost: loc")
        while silent.recv(65536):
            pass  # a 408 perhaps, then the end; no end is a timeout of the socket


def test_keep_alive_outlives_errors(server):
    """One connection, good and bad requests in turn, each answered as on a separate connection."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.connect()
    port = connection.sock.getsockname()[1]
    for _ in range(3):
        for method, path, body, headers, expected in (
                ("GET", "/livez", None, {}, 200), ("GET", "/nothing", None, {}, 404), ("POST", "/v1/models", b"{", JSON, 400), ("POST", "/v1/models", b"{}", {"Content-Type": "text/plain"}, 415),
                ("POST", "/v1/nothing", b"x" * 50000, JSON, 404), ("PUT", "/v1/jobs", b"x" * 1000, JSON, 405), ("POST", "/v1/datasets?name=BAD", b"a\n1\n", {"Content-Type": "text/csv"}, 422),
                ("POST", "/v1/models/iris/predict", b'{"instances":[]}', JSON, 404), ("GET", "/v1/jobs?limit=0", None, {}, 422), ("GET", "/v1/server", None, {}, 200)):
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status == expected, (method, path)
            assert connection.sock and connection.sock.getsockname()[1] == port, "the connection was closed by %s %s" % (method, path)
    connection.close()


def test_pipelined_requests_are_answered_in_order(server):
    got = server.plain(request_lines("GET", "/livez") + request_lines("GET", "/v1/nothing") + request_lines("GET", "/readyz", "Connection: close"))
    assert [int(s) for s in re.findall(rb"HTTP/1\.1 (\d+)", got)] == [200, 404, 200]


def test_expect_100_continue(server):
    """curl sends it before large bodies: go on, or the refusal at once."""
    with socket.create_connection((server.host, server.port), timeout=20) as good:
        body = b"a\n" + b"1\n" * 1000
        good.sendall(request_lines("POST", "/v1/datasets?name=" + unique("expect"), "Content-Type: text/csv", "Content-Length: %d" % len(body), "Expect: 100-continue", "Connection: close"))
        first = good.recv(65536)
        assert first.startswith(b"HTTP/1.1 100")
        good.sendall(body)
        rest = first[first.index(b"\r\n\r\n") + 4:]
        while b"\r\n\r\n" not in rest:
            rest += good.recv(65536)
        assert status_of(rest) == 201


# ---- authentication ----

@pytest.mark.parametrize("host, status", [("localhost", 200), ("LOCALHOST:1234", 200), ("127.0.0.1", 200), ("127.0.0.1:80", 200), ("[::1]:80", 200), ("evil.example", 403), ("localhost.evil.example", 403),
                                          ("127.0.0.1.evil.example", 403), ("", 400), (None, 400), ("localhost@evil", 400), ("0.0.0.0", 403), ("[::2]", 403)])
def test_host_is_on_the_list(server, host, status):
    got = server.plain(request_lines("GET", "/v1/jobs", "Connection: close", host=host) if host != "" else b"GET /v1/jobs HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
    assert status_of(got) == status, got
    if status == 403:
        assert b"--allow-host" in got


def test_allow_host(fresh):
    server = fresh("--allow-host", "models.example", "--allow-host", "other.example,third.example")
    for host, status in (("models.example", 200), ("models.example:8080", 200), ("MODELS.example", 200), ("third.example", 200), ("localhost", 200), ("example", 403), ("models.example.org", 403)):
        assert status_of(server.plain(request_lines("GET", "/livez", "Connection: close", host=host))) == status, host


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY + "\nsecond line\n")
    path.chmod(0o600)
    return path


def test_key(fresh, key_file):
    server = fresh("--api-key-file", str(key_file), "--access-log")
    bearer = {"Authorization": "Bearer " + KEY}
    assert server.raw("GET", "/openapi.json", headers=bearer).status == 200
    harness._contract = harness._contract or server.raw("GET", "/openapi.json", headers=bearer).json
    for path in ("/livez", "/readyz"):
        assert server.get(path).status == 200
    for headers in ({}, {"Authorization": KEY}, {"Authorization": "Basic " + KEY}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer " + KEY[:-1]},
                    {"Authorization": "Bearer " + KEY + "x"}, {"Authorization": "Bearer second line"}, {"Authorization": "Bearer " + KEY + " "  + KEY}):
        for method, path, body in (("GET", "/v1/jobs", None), ("POST", "/v1/models", b'{"name":"x","layers":[]}'), ("GET", "/openapi.json", None), ("DELETE", "/v1/models/x", None)):
            answer = server.request(method, path, body=body, headers={**headers, **(JSON if body else {})})
            problem(answer, 401, "unauthorized")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert server.get("/v1/jobs", headers=bearer).status == 200 and server.get("/v1/jobs", headers={"Authorization": "bearer " + KEY}).status == 200
    assert server.post("/v1/models", {"name": "x", "layers": []}, headers=bearer).status == 201
    early = server.plain(request_lines("POST", "/v1/datasets?name=x", "Content-Type: text/csv", "Content-Length: 500000000"))
    assert status_of(early) == 401  # before its body is read
    server.get("/v1/jobs?model=" + KEY, headers=bearer)
    assert server.stop() == 0
    assert KEY not in server.log_text() and "second line" not in server.log_text()


@pytest.mark.parametrize("arguments, words", [
    (["--listen", "0.0.0.0:0"], "--api-key-file"), (["--listen", "[::]:0"], "--api-key-file"), (["--listen", ":0"], "--api-key-file"), (["--listen", "nonsense"], "address:port"),
    (["--listen", "127.0.0.1:99999"], "99999"), (["--listen", "127.0.0.1:"], "address:port"), (["--listen", "127.0.0.1:http"], "address:port"), (["--listen", "no.such.host.invalid:80"], "no.such.host.invalid"), (["--api-key-file", "/nonexistent/key"], "/nonexistent/key"),
    (["--kernels", "nonsense"], "nonsense"),
])
def test_refusals_to_start(tmp_path, arguments, words):
    done = harness.run("serve", "--data-dir", tmp_path / "data", *([] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]), *arguments)
    assert done.returncode == (2 if "--kernels" in arguments else 1) and words in done.stderr and done.stdout == "", done


def test_short_key_is_refused(tmp_path):
    (tmp_path / "key").write_text("short\n")
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--api-key-file", tmp_path / "key")
    assert done.returncode == 1 and "16 characters" in done.stderr


def test_key_allows_other_addresses(fresh, key_file):
    server = fresh("--api-key-file", str(key_file), "--listen", "0.0.0.0:0")
    server.host = "127.0.0.1"
    assert server.raw("GET", "/livez").status == 200 and server.raw("GET", "/v1/jobs").status == 401


def test_cors(server, fresh):
    origin = {"Origin": "https://app.example"}
    assert not [h for h in server.get("/v1/jobs", headers=origin).headers if h.startswith("Access-Control")]
    problem(server.request("OPTIONS", "/v1/jobs", headers={**origin, "Access-Control-Request-Method": "POST"}), 405, "method_not_allowed")
    open_one = fresh("--cors-origin", "https://app.example,https://second.example")
    answer = open_one.get("/v1/jobs", headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example" and answer.headers["Vary"] == "Origin"
    assert open_one.get("/nothing", headers=origin).headers["Access-Control-Allow-Origin"] == "https://app.example"  # errors can be read too
    for other in ("https://evil.example", "https://app.example.evil", "http://app.example", "null"):
        assert "Access-Control-Allow-Origin" not in open_one.get("/v1/jobs", headers={"Origin": other}).headers
    preflight = open_one.raw("OPTIONS", "/v1/jobs", headers={**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, idempotency-key"})
    assert preflight.status == 204 and preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"] and "idempotency-key" in preflight.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Origin" not in open_one.raw("OPTIONS", "/v1/jobs", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}).headers


# ---- Idempotency-Key ----

def test_idempotent_posts_are_answered_again(server):
    name = unique("again")
    for path, body, status in (("/v1/models", {"name": name, "layers": []}, 201), ("/v1/datasets", {"name": name, "records": [{"a": 1}]}, 201), ("/v1/jobs", xor(), 202)):
        key = {"Idempotency-Key": unique("any text, ü")}
        key = {"Idempotency-Key": key["Idempotency-Key"].encode().decode("latin1")}
        first, second = (server.post(path, body, headers=key) for _ in range(2))
        assert first.status == status and "Idempotency-Replayed" not in first.headers
        assert (second.status, second.json, second.headers["Location"]) == (first.status, first.json, first.headers["Location"])
        assert second.headers["Idempotency-Replayed"] == "true" and second.headers["X-Request-Id"] != first.headers["X-Request-Id"]
        other = server.post(path, {**body, "metadata": {}} if path == "/v1/jobs" else {**body, "name": unique("other")}, headers=key)
        problem(other, 422, "idempotency_mismatch")
    assert server.get("/v1/datasets/" + name).json["version"] == 1


def test_keys_belong_to_their_path_and_errors_are_not_kept(server):
    key, name = {"Idempotency-Key": unique("key")}, unique("keyed")
    assert server.post("/v1/models", {"name": name, "layers": [5]}, headers=key).status == 422
    assert server.post("/v1/models", {"name": name, "layers": []}, headers=key).status == 201  # fixed, under the same key
    assert server.post("/v1/datasets", {"name": name, "records": [{"a": 1}]}, headers=key).status == 201
    assert server.post("/v1/jobs", xor(), headers=key).status == 202
    problem(server.post("/v1/models", {"name": name, "layers": []}, headers={"Idempotency-Key": "x" * 256}), 422, "invalid")


def test_a_replaced_definition_is_answered_as_such_again(server):
    name = unique("replaced")
    server.post("/v1/models", {"name": name, "layers": []})
    key = {"Idempotency-Key": unique("key")}
    statuses = [server.post("/v1/models", {"name": name, "layers": ["flatten"]}, headers=key).status for _ in range(2)]
    assert statuses == [200, 200]


def test_idempotent_uploads_by_csv(server):
    name, key = unique("csv"), {"Idempotency-Key": unique("key"), "Content-Type": "text/csv"}
    path = "/v1/datasets?name=%s&replace=1" % name
    first, second = (server.post(path, body=b"a\n1\n", headers=key) for _ in range(2))
    assert first.json == second.json and server.get("/v1/datasets/" + name).json["version"] == 1
    problem(server.post(path, body=b"a\n2\n", headers=key), 422, "idempotency_mismatch")
    problem(server.post("/v1/datasets?name=%s" % unique("other"), body=b"a\n1\n", headers=key), 422, "idempotency_mismatch")  # the query is a part of the request


def test_concurrent_idempotent_posts_create_one(server):
    tag, key = unique("tag"), {"Idempotency-Key": unique("key")}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.post("/v1/jobs", xor(metadata={"tag": tag}), headers=key), range(24)))
    created = [a for a in answers if a.status == 202 and "Idempotency-Replayed" not in a.headers]
    assert len(created) == 1 and {a.status for a in answers} <= {202, 409}
    assert {a.json["id"] for a in answers if a.status == 202} == {created[0].json["id"]}
    for busy in (a for a in answers if a.status == 409):
        assert busy.json["code"] in ("idempotency_in_progress", "conflict") and int(busy.headers["Retry-After"]) >= 1
    assert len(server.get("/v1/jobs?metadata.tag=" + tag).json["data"]) == 1


def test_idempotency_survives_a_kill(fresh):
    server = fresh()
    key = {"Idempotency-Key": "kept"}
    first = server.post("/v1/jobs", xor(), headers=key)
    server.restart(kill=True)
    again = server.post("/v1/jobs", xor(), headers=key)
    assert again.status == 202 and again.headers["Location"] == first.headers["Location"] and again.headers["Idempotency-Replayed"] == "true"
    assert len(server.get("/v1/jobs").json["data"]) == 1


# ---- logs, limits, the end ----

def test_access_log_has_the_id_and_no_secrets(fresh, key_file):
    server = fresh("--access-log", "--api-key-file", str(key_file))
    answer = server.raw("GET", "/v1/jobs?metadata.password=hunter2", headers={"Authorization": "Bearer " + KEY, "Cookie": "session=hunter2"})
    body = server.raw("POST", "/v1/models", json.dumps({"name": "hunter2", "layers": []}).encode(), {"Authorization": "Bearer " + KEY, **JSON})
    assert (answer.status, body.status) == (200, 201)
    assert server.stop() == 0
    lines = [line for line in server.log_text().splitlines() if answer.headers["X-Request-Id"] in line]
    assert len(lines) == 1 and "/v1/jobs" in lines[0] and "200" in lines[0] and "GET" in lines[0]
    assert "hunter2" not in server.log_text() and KEY not in server.log_text()


def test_no_line_per_request_by_default(fresh):
    server = fresh()
    for _ in range(5):
        server.get("/livez")
    harness.until(lambda: "event=started" in server.log_text(), what="the line of the start")
    before = server.log_text().count("\n")
    for _ in range(50):
        server.get("/v1/jobs")
        server.get("/nothing")
    assert server.log_text().count("\n") == before


def test_log_lines_cannot_be_forged(fresh):
    server = fresh("--access-log")
    server.raw("GET", "/v1/jobs/x%0aevent=forged%0a%22%20level=error")
    assert server.stop() == 0
    assert not any(line.startswith("event=forged") for line in server.log_text().splitlines())


def test_more_connections_than_allowed(fresh):
    server = fresh("--connections-max", "8", "--http-threads", "1")
    held = []
    try:
        for _ in range(30):
            held.append(socket.create_connection((server.host, server.port), timeout=20))
    finally:
        for connection in held:
            connection.close()
    harness.until(lambda: livez_or_none(server), what="an answer after the crowd has gone")


def livez_or_none(server):
    try:
        return server.raw("GET", "/livez", timeout=5).status == 200
    except OSError:
        return None


def test_sigterm_drains(fresh):
    """With a running job, a long poll and a stream open: all are answered or ended, exit 0, the job resumes at the next start."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    stream = server.stream("/v1/jobs/%s/events" % job)
    assert next(e for e in stream if e[1] == "metrics")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        poll = pool.submit(server.get, "/v1/jobs/" + job, headers={"Prefer": "wait=60"}, timeout=90)
        rest = pool.submit(list, stream)
        harness.until(lambda: server.get("/v1/server").json["streams"] == 1, what="the stream")
        assert server.stop() == 0
        assert poll.result(60).json["status"] in ("running", "queued")
        assert all(kind != "end" for _, kind, _ in rest.result(60))
    assert "stopped" in server.log_text().splitlines()[-1]
    with pytest.raises(OSError):
        server.raw("GET", "/livez")
    server.start()
    again = server.wait(job, lambda j: j["status"] == "running" and j["attempt"] == 2 and j["resumed_from_epoch"] is not None)
    assert again["resumed_from_epoch"] >= 1
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_right_after_the_start(fresh, number):
    """Whichever thread it meets, and however early."""
    for _ in range(10):
        server = fresh()
        server.process.send_signal(number)
        assert server.process.wait(60) == 0
        assert "stopped" in server.log_text().splitlines()[-1]


def test_other_signals_change_nothing(fresh):
    """Neither for the server nor for its job processes; an interrupt of a terminal reaches both, and the job goes back to the queue without a counted crash."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS)["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] >= 1)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM):
        server.process.send_signal(number)
    (child,) = server.children()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGQUIT):
        os.kill(child, number)
    epoch = server.get("/v1/jobs/" + job).json["progress"]["epoch"]
    server.wait(job, lambda j: j["progress"]["epoch"] > epoch)
    assert server.children() == [child]
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0
    assert "event=job_requeued" in server.log_text() and "job_process_died" not in server.log_text()
    server.start()
    assert server.wait(job, lambda j: j["status"] == "running")["attempt"] == 2
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)


def test_nohup_outlives_its_terminal(tmp_path):
    with harness.tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(["nohup", harness.BACKPROPD, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        assert "listening" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0 and "signal=Terminated" in log


def test_a_second_server_on_the_folder_is_refused(fresh):
    server = fresh()
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", server.folder)
    assert done.returncode == 1 and done.stdout == "" and server.folder in done.stderr and "server" in done.stderr, done
    assert server.get("/livez").status == 200


def test_a_port_in_use_is_reported(fresh):
    server = fresh()
    done = harness.run("serve", "--listen", "127.0.0.1:%d" % server.port, "--data-dir", server.folder + "-other")
    assert done.returncode == 1 and "--listen" in done.stderr
    subprocess.run(["rm", "-rf", server.folder + "-other"], check=True)


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "file" / "data")
    assert done.returncode == 1 and str(tmp_path) in done.stderr
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "backpropd.db").write_bytes(b"this is no database, but a file of some other kind" * 100)
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data")
    assert done.returncode == 1 and "backpropd.db" in done.stderr, done


def test_folder_is_for_its_owner_only(fresh, tmp_path):
    """Weights, data and hashes of keys are private, in backups too: in folders that others may read, and without a umask."""
    folder, backup, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    before = os.umask(0)
    try:
        for one in (folder, backup, restored):
            one.mkdir(mode=0o777)
        server = fresh(folder=str(folder))
        server.train(**xor())
        job = server.submit(**xor(epochs=1000000, checkpoint_every_epochs=1))["id"]
        harness.until(lambda: server.get("/v1/jobs/%s/checkpoints" % job).json["data"], what="a checkpoint")
        assert harness.run("backup", backup, "--data-dir", folder).returncode == 0
        assert harness.run("restore", backup, "--data-dir", restored).returncode == 0
        server.post("/v1/jobs/%s/cancel" % job)
    finally:
        os.umask(before)
    for place in (folder, backup, restored):
        assert (place / "backpropd.db").exists()
        for root, folders, files in os.walk(place):
            for name in files + folders:
                try:
                    mode = os.stat(os.path.join(root, name)).st_mode
                except FileNotFoundError:  # a file of the running server
                    continue
                assert not stat.S_IMODE(mode) & 0o077, (root, name)


# ---- settings ----

def test_precedence_flag_environment_file(fresh, tmp_path):
    config = tmp_path / "config"
    config.write_text('# a comment\nqueue_max = 11\n\nstreams-max = 12\nattempts_max = "13"\nbody_max = 5K\n')
    env = {"BACKPROPD_STREAMS_MAX": "22", "BACKPROPD_ATTEMPTS_MAX": "23", "BACKPROPD_ROWS_MAX": "24"}
    server = fresh("--attempts-max", "33", "--config", str(config), env=env)
    limits = server.get("/v1/server").json["limits"]
    assert (limits["queue_max"], limits["streams_max"], limits["attempts_max"], limits["rows_max"], limits["body_max"]) == (11, 22, 33, 24, 5120)
    by_env = fresh(env={"BACKPROPD_CONFIG": str(config), **env})
    limits = by_env.get("/v1/server").json["limits"]
    assert (limits["queue_max"], limits["attempts_max"]) == (11, 23)


@pytest.mark.parametrize("arguments, env, words", [
    (["--wokers", "1"], {}, "--workers"), (["--workers"], {}, "value"), (["--workers", "x"], {}, "--workers"), (["--workers", "-1"], {}, "0"), (["--workers=257"], {}, "256"), (["workers"], {}, "--"),
    (["--body-max", "5X"], {}, "K, M, G"), (["--access-log=perhaps"], {}, "true or false"), ([], {"BACKPROPD_WORKERS": "x"}, "BACKPROPD_WORKERS"), (["--config", "/nonexistent"], {}, "/nonexistent"),
])
def test_wrong_settings(tmp_path, arguments, env, words):
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", *arguments, env=env)
    assert done.returncode == 2 and words in done.stderr and done.stdout == "", done
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text, words", [("wokers = 1\n", "workers"), ("\n\nworkers\n", "line 3"), ("workers = x\n", "line 1")])
def test_wrong_config_file(tmp_path, text, words):
    (tmp_path / "config").write_text(text)
    done = harness.run("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--config", tmp_path / "config")
    assert done.returncode == 2 and words in done.stderr, done


def test_server_reports_its_state(fresh):
    server = fresh("--workers", "3", "--kernels", "base")
    told = server.get("/v1/server").json
    assert told["workers"] == {"slots": 3, "running": 0} and told["kernels"] == "base" and told["version"] in harness.run("--version").stdout
    assert told["limits"]["json_depth"] == 64 and told["limits"]["upload_max"] == 1 << 30
    assert server.get("/openapi.json").json["info"]["version"] == told["version"]
