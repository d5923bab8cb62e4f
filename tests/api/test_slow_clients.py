"""Goal: a client that sends too slowly, or opens too many connections, loses its connections and keeps nobody else waiting."""
import http.client
import pathlib
import socket
import time

import pytest

import harness


def dripped(server, start, drop):
    """Sends start, then drop again and again for as long as the server takes it. All that it answers."""
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(start)
        connection.settimeout(0.1)
        got = b""
        for _ in range(600):
            try:
                piece = connection.recv(65536)
                if not piece:
                    return got
                got += piece
            except TimeoutError:
                pass
            except ConnectionResetError:
                return got
            try:
                connection.sendall(drop)
            except OSError:
                time.sleep(0.01)
        pytest.fail("the server took 600 pieces, 100 ms apart")


@pytest.mark.parametrize("start, drop", [
    (b"GE", b"T"), (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", b"y"),
    (b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n", b" "),
    (b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    (b"POST /v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 50000\r\n\r\na\n", b"1"),
    (b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n", b" "),
], ids=["request line", "header", "body", "chunks", "upload", "refused body"])
def test_a_request_that_never_ends_is_ended(fresh, start, drop):
    """The timeout without a byte is an hour: only the deadline of the whole request can end it."""
    server = fresh("--request-timeout", "3600", "--head-timeout", "1", "--rate-min", "1000")
    got = dripped(server, start, drop)
    assert got.startswith(b"HTTP/1.1 408 ") and got.count(b"HTTP/1.1") == 1, got
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n" and b"head_timeout" in body
    assert server.get("/livez").status == 200


def test_a_body_at_the_slowest_allowed_rate_is_read(fresh):
    """It takes longer than the seconds for its start."""
    server = fresh("--head-timeout", "1", "--rate-min", "10")
    body = b'{"name":"slow","layers":[]}' + b" " * 273
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n")
        for i in range(0, 300, 20):
            connection.sendall(body[i:i + 20])
            time.sleep(0.1)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_one_address_cannot_take_all_connections(fresh):
    server = fresh("--connections-per-address", "3")
    kept = [http.client.HTTPConnection(server.host, server.port, timeout=60) for _ in range(3)]
    for one in kept:
        one.request("GET", "/livez")
        assert one.getresponse().read()
    with pytest.raises(OSError):
        server.raw("GET", "/livez")
    other = http.client.HTTPConnection(server.host, server.port, timeout=60, source_address=("127.0.0.2", 0))
    other.request("GET", "/livez")
    assert other.getresponse().status == 200
    other.close()
    for one in kept:
        one.close()

    def answered():
        try:
            return server.raw("GET", "/livez").status == 200
        except OSError:
            return False
    harness.until(answered, what="an answer after the connections have closed")


def test_clients_that_leave_in_a_head_keep_no_connection(server):
    """Not even until the deadline of the head: the end of some comes together with their last bytes."""
    def open_ones():
        return len(list(pathlib.Path("/proc/%d/fd" % server.process.pid).iterdir()))

    before = open_ones()
    for start in (b"GE", b"GET /livez HTTP/1.1\r\nHo", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET"):
        for _ in range(40):
            with socket.create_connection((server.host, server.port), timeout=60) as connection:
                connection.sendall(start)
    harness.until(lambda: open_ones() < before + 20, seconds=20, what="the end of most of 120 connections")


def test_a_client_that_has_only_ended_its_side_is_answered(server):
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
