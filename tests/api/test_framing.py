"""Goal: whatever bytes arrive, each request gets exactly one well-formed answer, and a connection whose framing is in doubt is closed. All over raw sockets."""
import json
import re
import socket

import pytest

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
NEXT = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"  # in the same segment: must never be answered

BAD = {
    "white space before the colon": GET + b"X : y\r\n\r\n",
    "tab before the colon": GET + b"X\t: y\r\n\r\n",
    "white space before the colon of a length": POST + b"Content-Length : 2\r\n\r\n{}",
    "white space before the colon of a coding": POST + b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "name with a parenthesis": GET + b"X(y: z\r\n\r\n",
    "name with a space": GET + b"X y: z\r\n\r\n",
    "name with a byte above ASCII": GET + b"X\xe9: z\r\n\r\n",
    "empty name": GET + b": z\r\n\r\n",
    "line without a colon": GET + b"garbage\r\n\r\n",
    "folded value": GET + b"X: y\r\n z\r\n\r\n",
    "folded value with a tab": GET + b"X: y\r\n\tz\r\n\r\n",
    "folded value before another header": GET + b"X: y\r\n z\r\nA: b\r\n\r\n",
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "folded first line": b"GET /livez HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "two equal lengths in one header": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "two lengths in one header": POST + b"Content-Length: 2, 3\r\n\r\n{}",
    "two length headers": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "length in base 16": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "length without digits": POST + b"Content-Length: \r\n\r\n{}",
    "NUL in a value": GET + b"X: y\0z\r\n\r\n",
    "NUL at the end of a value": GET + b"X: y\0\r\n\r\n",
    "NUL in a name": GET + b"X\0Y: z\r\n\r\n",
    "NUL in the path": b"GET /livez\0x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the query": b"GET /v1/jobs?limit=1\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the Host": b"GET /livez HTTP/1.1\r\nHost: localhost\0.evil.example\r\n\r\n",
    "control character in a value": GET + b"X: y\x01z\r\n\r\n",
    "bare CR in a value": GET + b"X: y\rZ: w\r\n\r\n",
    "bare LF after the request line": b"GET /livez HTTP/1.1\nHost: localhost\r\n\r\n",
    "bare LF after a header": b"GET /livez HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare LF before the empty line": b"GET /livez HTTP/1.1\r\nHost: localhost\n\r\n",
    "bare LF as the empty line": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\n",
    "bare LF everywhere": b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    "tab before the method": b"\tGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces in the request line": b"GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces before the version": b"GET /livez  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "no Host": b"GET /livez HTTP/1.1\r\n\r\n",
    "no Host in HTTP/1.0": b"GET /livez HTTP/1.0\r\n\r\n",
    "empty Host": b"GET /livez HTTP/1.1\r\nHost:\r\n\r\n",
    "two Hosts": GET + b"Host: localhost\r\n\r\n",
    "two different Hosts": GET + b"Host: evil.example\r\n\r\n",
    "Host with user information": b"GET /livez HTTP/1.1\r\nHost: localhost:80@evil.example\r\n\r\n",
    "Host with a path": b"GET /livez HTTP/1.1\r\nHost: localhost/evil\r\n\r\n",
    "Host with two ports": b"GET /livez HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n",
    "Host with a list": b"GET /livez HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n",
    "Host with a port that is no number": b"GET /livez HTTP/1.1\r\nHost: localhost:http\r\n\r\n",
    "length and coding": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "coding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "coding twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "coding with a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "coding identity": POST + b"Transfer-Encoding: identity\r\n\r\n{}",
    "target with another host": b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "target with user information": b"GET http://localhost@evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def answers(data):
    """All answers in these bytes, each parsed strictly by its Content-Length; nothing may be left."""
    found = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, data
        lines = head.split(b"\r\n")
        status = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+", lines[0])
        assert status, lines[0]
        headers = {}
        for line in lines[1:]:
            name, value = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\x00-\x1f]*)", line).groups()
            assert name.lower() not in headers, line
            headers[name.lower()] = value
        size = int(headers[b"content-length"])
        assert len(rest) >= size, data
        found.append((int(status.group(1)), headers, rest[:size]))
        data = rest[size:]
    return found


def sent_in(server, *pieces):
    """Sends the pieces one after the other; all that comes until the server closes the connection."""
    with socket.create_connection((server.host, server.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        got = b""
        while piece := connection.recv(65536):
            got += piece
        return got


@pytest.mark.parametrize("name", BAD)
def test_malformed_requests_get_one_answer_and_the_end(server, name):
    got = answers(sent_in(server, BAD[name] + NEXT))
    assert [status for status, _, _ in got] == [400], got
    assert got[0][1][b"connection"].lower() == b"close"


@pytest.mark.parametrize("name", BAD)
def test_malformed_requests_after_a_good_one(server, name):
    """On a connection that stays open, so that nothing relies on fresh memory; libmicrohttpd sees the good request first."""
    got = answers(sent_in(server, NEXT, BAD[name] + NEXT))
    assert [status for status, _, _ in got] == [200, 400], got


@pytest.mark.parametrize("name", ["folded value", "NUL in a value", "bare LF before the empty line", "two equal lengths in one header", "white space before the colon"])
def test_malformed_requests_byte_by_byte(server, name):
    got = answers(sent_in(server, *(bytes([b]) for b in BAD[name])))
    assert [status for status, _, _ in got] == [400], got


@pytest.mark.parametrize("head, body", [
    (b"GET /v1/jobs?limit=1&after= HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b""),
    (GET + b"X:\r\nY: \t z \t\r\nCookie: a=b; c=d\r\nConnection: close\r\n\r\n", b""),
    (GET + b"X: caf\xc3\xa9\r\nConnection: close\r\n\r\n", b""),
    (b"\r\n" + GET + b"Connection: close\r\n\r\n", b""),
    (b"GET http://localhost:80/livez HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n", b""),
    (b"GET /v1/models/a%2Fb?x=%20 HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n", b""),
    (b"POST /v1/models/validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
])
def test_unusual_requests_are_no_attack(server, head, body):
    got = answers(sent_in(server, head + body))
    assert len(got) == 1 and got[0][0] != 400, got


@pytest.mark.parametrize("data, status", [
    (b"GET /v1/jobs?" + b"&".join(b"a%d=1" % i for i in range(300)) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (b"GET /v1/jobs?" + b"&" * 7000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (GET + b"X: " + b"y" * 20000 + b"\r\n\r\n", 431),
    (GET + b"X: " + b"y" * 40000 + b"\r\n\r\n", 431),
    (GET + b"A: b\r\n" * 5000 + b"\r\n", 431),
], ids=["300 parameters", "7000 parameters", "long path", "20 KB header", "40 KB header", "5000 headers"])
def test_a_head_that_is_too_large_is_answered(server, data, status):
    got = answers(sent_in(server, data))
    assert [one[0] for one in got] == [status], got
    assert got[0][1][b"connection"].lower() == b"close"


def test_the_answer_of_a_malformed_length_is_a_problem(server):
    (status, headers, body), = answers(sent_in(server, BAD["two equal lengths in one header"]))
    problem = json.loads(body)
    assert (status, headers[b"content-type"], problem["code"]) == (400, b"application/problem+json", "bad_request")


def test_a_space_before_the_method_ends_the_connection(server):
    """libmicrohttpd closes it without an answer."""
    assert answers(sent_in(server, b" GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" + NEXT)) == []
