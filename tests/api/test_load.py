"""Goal: whatever some requests wait for, the others are answered: refused clients that keep sending, a store that hangs, streams that nobody reads."""
import json
import os
import select
import socket

import pytest

import harness
from harness import ENDLESS, xor

# Every step of a query waits while the file HANG exists.
HANGING_STORE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
int sqlite3_step(void *statement) {
    static int (*real)(void *);
    if (!real) real = (int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_step");
    while (access(getenv("HANG"), F_OK) == 0) usleep(1000);
    return real(statement);
}
"""


def connect(server):
    return socket.create_connection((server.host, server.port), timeout=60)


def answer_of(connection):
    """The head and the body of one answer with a Content-Length."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    size = int(harness.re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < size:
        body += connection.recv(65536)
    return head, body


def sockets_of(server):
    folder, found = "/proc/%d/fd" % server.process.pid, 0
    for name in os.listdir(folder):
        try:
            found += os.readlink(os.path.join(folder, name)).startswith("socket:")
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("path, length", [("/nothing", "100000000"), ("/v1/models", "2000000000"), ("/livez", "3000000")])
def test_refused_clients_hold_no_thread(fresh, path, length):
    """Each is refused while it still has a body to send. The server reads on for a while, so that the client can read why, and the one thread there is answers others
    before any of these connections is closed."""
    server = fresh("--http-threads", "1")
    before = sockets_of(server)

    def all_are_open_when_another_is_answered():
        refused = [connect(server) for _ in range(20)]
        try:
            for one in refused:
                one.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n{" % (path.encode(), length.encode()))
            for one in refused:
                head, body = answer_of(one)
                assert head.split()[1] in (b"404", b"405", b"413") and b"Connection: close" in head, head
                assert json.loads(body)["detail"]
            assert server.raw("GET", "/livez").status == 200
            return sockets_of(server) >= before + 20
        finally:
            for one in refused:
                one.close()
    harness.until(all_are_open_when_another_is_answered, what="an answer while refused clients linger")
    harness.until(lambda: sockets_of(server) <= before, what="the end of the refused connections")


def test_a_refused_client_that_sends_for_ever_is_cut_off(fresh):
    server = fresh()
    with connect(server) as one:
        one.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n")
        assert answer_of(one)[0].split()[1] == b"404"
        sent = 0
        with pytest.raises(OSError):
            while sent < 1 << 30:
                sent += one.send(b"x" * 65536)
        assert sent < 100 << 20


def test_a_store_that_hangs_stops_no_request_that_does_not_need_it(fresh, tmp_path):
    """One HTTP thread. While every query hangs, /livez and a prediction are answered, and each route that reads the store waits in its work thread."""
    hang = tmp_path / "hang"
    server = fresh("--http-threads", "1", "--work-threads", "2",
                   env={"LD_PRELOAD": str(harness.preload_library(tmp_path, "hanging", HANGING_STORE)), "HANG": str(hang)})
    server.post_json("d", x=[[0, 0], [1, 1]], y=["a", "b"])
    job = server.train(**xor(model={"name": "m", "layers": [{"type": "dense", "units": 4}]}))["id"]
    for _ in range(3):
        server.predict("m", [[0, 1]])  # it is loaded, and it is known how long it takes
    waiting = {}
    paths = ["/v1/datasets", "/v1/datasets/d", "/v1/datasets/d/versions", "/v1/datasets/d/rows", "/v1/datasets/d/rows?format=csv", "/v1/datasets/d/statistics", "/v1/models",
             "/v1/models/m", "/v1/models/m/versions", "/v1/models/m/versions/1", "/v1/jobs", "/v1/jobs?limit=1000", "/v1/jobs/" + job, "/v1/jobs/%s/events" % job,
             "/v1/jobs/%s/metrics" % job, "/v1/jobs/%s/checkpoints" % job, "/v1/events", "/v1/server", "/readyz"]
    posts = [("/v1/models", "application/json", b'{"name":"n","layers":[]}'), ("/v1/models/validate", "application/json", json.dumps({**xor(), "dataset": "d"}).encode()),
             ("/v1/datasets?name=e", "text/csv", b"a\n1\n"), ("/v1/datasets/d/rows", "text/csv", b"x0,x1,y\n1,2,a\n"), ("/v1/datasets/d/columns/z", "application/json", b"[1,2]"),
             ("/v1/jobs", "application/json", json.dumps(xor()).encode()), ("/v1/models/nothing/predict", "application/json", b'{"instances":[[1]]}')]
    hang.touch()
    try:
        for path in paths:
            waiting[path] = connect(server)
            waiting[path].sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
        for accept in ("/v1/events", "/v1/jobs/%s/events" % job):
            waiting["stream of " + accept] = connect(server)
            waiting["stream of " + accept].sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n" % accept.encode())
        for path, kind, body in posts:
            waiting["POST " + path] = connect(server)
            waiting["POST " + path].sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                                            % (path.encode(), kind.encode(), len(body), body))
        for method in ("DELETE /v1/jobs/" + job, "POST /v1/jobs/%s/cancel" % job, "DELETE /v1/models/x", "DELETE /v1/datasets/x"):
            waiting[method] = connect(server)
            waiting[method].sendall(b"%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % method.encode())
        for _ in range(10):
            assert server.raw("GET", "/livez").status == 200
            assert len(server.predict("m", [[0, 1], [1, 0]])) == 2
        early, _, _ = select.select(list(waiting.values()), [], [], 0)
        assert not early, [name for name, connection in waiting.items() if connection in early]
    finally:
        hang.unlink()
    for name, connection in waiting.items():
        head = connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 ") and head.split()[1][:1] in (b"2", b"4"), (name, head)
        connection.close()


def test_a_stream_that_nobody_reads_for_long_misses_nothing(fresh):
    """Its socket is full long before the job ends; other streams of the job go on, and it gets all of the rest once it reads."""
    server = fresh("--workers", "1")
    job = server.submit(**{**xor(), "epochs": 4000, "model": {"layers": [{"type": "dense", "units": 16, "activation": "relu"}]}})["id"]
    path = "/v1/jobs/%s/events" % job
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.settimeout(60)
    lazy.connect((server.host, server.port))
    lazy.sendall(b"GET %s HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n" % path.encode())
    events = [i for i, _, _ in server.stream(path)]
    got = b""
    while piece := lazy.recv(65536):
        got += piece
    lazy.close()
    ids = [int(i) for i in harness.re.findall(rb"^id: (\d+)$", got, harness.re.M)]
    assert len(events) > 4000 and ids == events


def test_many_streams_get_the_same_bytes(fresh):
    """Two hundred streams of one job, some from its start and some from the middle, while it trains; all of them are over when the job is."""
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**ENDLESS)["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] >= 3)
    path, streams = "/v1/jobs/%s/events" % job, []
    middle = server.all_pages(path)[2]["id"]
    for i in range(200):
        streams.append(connect(server))
        streams[-1].sendall(b"GET %s HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n%s\r\n" % (path.encode(), b"Last-Event-ID: %s\r\n" % middle.encode() if i % 2 else b""))
    harness.until(lambda: server.get("/v1/server").json["streams"] == 200, what="all streams")
    server.post("/v1/jobs/%s/cancel" % job)
    bodies = []
    for one in streams:
        got = b""
        while piece := one.recv(1 << 20):
            got += piece
        bodies.append(got.partition(b"\r\n\r\n")[2])
        one.close()
    assert len(set(bodies[0::2])) == 1 and len(set(bodies[1::2])) == 1
    assert bodies[0].endswith(bodies[1]) and len(bodies[1]) < len(bodies[0])
    listed = [int(e["id"]) for e in server.all_pages(path)]
    assert [int(i) for i in harness.re.findall(rb"^id: (\d+)$", bodies[0], harness.re.M)] == listed
    harness.until(lambda: server.get("/v1/server").json["streams"] == 0, what="the end of all streams")


def test_a_thousand_streams_are_served_by_default(fresh):
    server = fresh("--workers", "1")
    soft, hard = open_files()
    if hard < 2200:
        pytest.skip("this machine allows fewer than 2200 open files")
    job = server.train(**xor())["id"]
    streams = []
    try:
        for _ in range(1000):
            streams.append(connect(server))
            streams[-1].sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: 0\r\n\r\n")
        for one in streams:
            got = b""
            while b"event: end" not in got:
                piece = one.recv(65536)
                assert piece, got
                got += piece
            assert got.startswith(b"HTTP/1.1 200 ") and job.encode() in got
        assert server.get("/v1/server").json["streams"] == 1000
        assert server.raw("GET", "/livez").status == 200
    finally:
        for one in streams:
            one.close()


def open_files():
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2200 <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2200, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard


