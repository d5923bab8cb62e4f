"""Mutated requests against a running server, from a seed: whole ones with bytes changed, cut, doubled or spliced, several on one connection. The server
answers each with well-formed HTTP or ends the connection, and goes on serving.

    BACKPROPD=build/backpropd python3 tests/faults/fuzz_http.py SECONDS [SEED]"""
import pathlib
import random
import re
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "api"))
import harness  # noqa: E402

H = b" HTTP/1.1\r\nHost: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"


def post(path, body, kind=b"application/json", more=b""):
    return b"POST " + path + H + b"Content-Type: " + kind + b"\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


SEEDS = [
    b"GET /livez" + H + b"\r\n",
    b"GET /v1/jobs?limit=3&after=job_0&status=queued&metadata.a=b" + H + b"Accept: application/json\r\nPrefer: wait=1\r\n\r\n",
    b"GET /v1/datasets/d/rows?format=csv&columns=a,%22b%22&limit=2" + H + b"Accept-Encoding: gzip;q=0.5\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /openapi.json" + H + b"If-None-Match: \"x\"\r\n\r\n",
    b"DELETE /v1/models/none" + H + b"Authorization: Bearer abc\r\n\r\n",
    b"OPTIONS /v1/jobs" + H + b"Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    b"PATCH /v1/jobs/job_01" + H + JSON + b"Content-Length: 14\r\n\r\n{\"priority\":3}",
    post(b"/v1/datasets?name=d&replace=true", b"a,b\n1,2\n3,x\n", b"text/csv", b"Idempotency-Key: k\r\n"),
    post(b"/v1/datasets?name=e&replace=true", b'{"records":[{"a":1,"b":[1,2]},{"a":null,"b":[3,4]}]}'),
    post(b"/v1/datasets/inspect", b"a;b\n1,5;2\n", b"text/csv"),
    post(b"/v1/validate", b'{"model":{"layers":[{"type":"dense","units":4}]},"dataset":"d","target":"b"}'),
    post(b"/v1/models", b'{"name":"m","layers":[{"type":"conv2d","filters":2,"kernel_size":3}]}'),
    post(b"/v1/models/m/predict", b'{"instances":[{"a":1.5e3},{"a":"\\u00e9"}]}'),
    b"POST /v1/datasets?name=c" + H + b"Content-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n8\r\na,b\n1,2\n\r\n4\r\n3,4\n\r\n0\r\n\r\n",
    b"POST /v1/models" + H + JSON + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + bytes.fromhex("1f8b0800000000000003ab0600") + b"\0" * 7,
    b"GET /v1/events" + H + b"Accept: text/event-stream\r\nLast-Event-ID: 3\r\n\r\n",
]
PIECES = [b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"%00", b"%", b"?", b"&", b"#", b"..", b"//", b"\xff\xfe", b"{" * 70, b"[" * 3000, b"A" * 20000, b"-1", b"99999999999999999999", b"Content-Length: 5\r\n",
          b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"1e999", b"NaN", b"\\ud800", b"null", b"\x1f\x8b", b"PK\x03\x04", b"\x93NUMPY\x01\0", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"HTTP/2.0"]


def mutate(luck, data):
    data = bytearray(data)
    for _ in range(luck.choice((0, 1, 1, 2, 4, 9))):
        at = luck.randrange(len(data) + 1)
        what = luck.randrange(6)
        if what == 0:
            data[at:at + 1] = bytes([luck.randrange(256)])
        elif what == 1:
            data[at:at] = luck.choice(PIECES)
        elif what == 2:
            del data[at:at + luck.choice((1, 1, 3, 20))]
        elif what == 3:
            data[at:at] = data[at:at + luck.choice((1, 8, 60))]
        elif what == 4:
            other = luck.choice(SEEDS)
            data[at:] = other[luck.randrange(len(other)):]
        else:
            del data[at:]
    return bytes(data)


def well_formed(answers):
    """HTTP answers one after the other; the last may be cut, because the server ends the connection of a stream."""
    return not answers or re.match(rb"HTTP/1\.1 [1-5]\d\d [^\r\n]*\r\n", answers) is not None


def fuzz(server, rounds, seed):
    """Returns how many requests had an answer."""
    luck, answered = random.Random(seed), 0
    for number in range(rounds):
        sent = b"".join(mutate(luck, luck.choice(SEEDS)) for _ in range(luck.choice((1, 1, 1, 2, 3))))
        got = b""
        with socket.create_connection((server.host, server.port), timeout=20) as one:
            try:
                for at in range(0, len(sent), luck.choice((7, 100, 1 << 20))) if luck.random() < 0.1 else (None,):
                    one.sendall(sent if at is None else sent[at:at + 100])
                one.shutdown(socket.SHUT_WR)
                one.settimeout(0.25)
                while piece := one.recv(65536):
                    got += piece
            except OSError:
                pass
        assert well_formed(got), (seed, number, sent, got[:300])
        answered += bool(got)
        if number % 50 == 49:
            assert server.process.poll() is None, (seed, number, sent)
            assert server.raw("GET", "/livez").status == 200, (seed, number, sent)
    return answered


def main(seconds, seed):
    server = harness.Server("--workers", "1", "--cors-origin", "http://a")
    end, requests, answered = time.monotonic() + seconds, 0, 0
    try:
        while time.monotonic() < end:
            answered += fuzz(server, 500, seed)
            seed, requests = seed + 1, requests + 500
        assert server.stop() == 0
        print("%d connections with mutated requests, %d answered, 0 faults" % (requests, answered))
    finally:
        server.remove()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 600, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
