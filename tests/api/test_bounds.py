"""Goal: memory of requests is bounded by settings: uploads and answers count, lists and pages have a size, whatever clients send or do not read."""
import socket
import time

import pytest

import harness
from harness import problem, unique


def reserved(server):
    return server.get("/v1/server").json["memory"]["requests"]


def test_uploads_count_in_the_budget(fresh):
    """Each takes some MB once its types are known: a group of rows, and what works on one."""
    server = fresh("--requests-memory-max", "14M")
    rows = b"a,b\n" + b"1.5,2.5\n" * 300000
    head = b"POST /v1/datasets?name=%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=60) as first:
        first.sendall(head % (b"first", len(rows)) + rows[:-8])
        harness.until(lambda: 7 << 20 < reserved(server) <= 14 << 20, what="an upload that is counted")
        refused = server.post("/v1/datasets?name=second", body=rows, headers={"Content-Type": "text/csv"})
        problem(refused, 503, "overloaded")
        assert refused.headers["Retry-After"] and "requests_memory_max" in refused.json["detail"]
        first.sendall(rows[-8:])
        assert first.recv(65536).startswith(b"HTTP/1.1 201 ")
    harness.until(lambda: reserved(server) == 0, what="memory that is given back")
    assert server.post("/v1/datasets?name=second", body=rows, headers={"Content-Type": "text/csv"}).status == 201
    assert sorted(d["name"] for d in server.get("/v1/datasets").json["data"]) == ["first", "second"]


def test_an_upload_beyond_the_budget_is_too_large(fresh):
    server = fresh("--requests-memory-max", "1M")
    refused = server.post("/v1/datasets?name=d", body=b"a,b\n" + b"1.5,2.5\n" * 300000, headers={"Content-Type": "text/csv"})
    problem(refused, 413, "too_large")
    assert "requests_memory_max" in refused.json["detail"] and reserved(server) == 0


def test_answers_count_until_they_are_read(fresh):
    server = fresh()
    text = b"t\n" + b"".join(b"%06d%s\n" % (i, b"x" * 4000) for i in range(1000))
    assert server.post("/v1/datasets?name=texts&types=t:text", body=text, headers={"Content-Type": "text/csv"}).status == 201
    server.flags += ["--requests-memory-max", "6M"]
    server.restart()
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect((server.host, server.port))
        lazy.sendall(b"GET /v1/datasets/texts/rows?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        harness.until(lambda: reserved(server) > 3 << 20, what="an answer that is counted")
        problem(server.get("/v1/datasets/texts/rows?limit=1000"), 503, "overloaded")
    harness.until(lambda: reserved(server) == 0, what="memory that is given back")
    assert len(server.get("/v1/datasets/texts/rows?limit=1000").json["data"]) == 1000


def test_a_client_that_does_not_read_loses_its_connection(fresh):
    server = fresh("--head-timeout", "1", "--rate-min", "10K", "--request-timeout", "3600")
    server.upload("digits", harness.DATA / "digits.csv")
    body = b"a,b\n" + b"1.25,2.5\n" * 3000000
    assert server.post("/v1/datasets?name=long", body=body, headers={"Content-Type": "text/csv"}).status == 201
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(60)
        lazy.connect((server.host, server.port))
        lazy.sendall(b"GET /v1/datasets/long/rows?format=csv HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert lazy.recv(100).startswith(b"HTTP/1.1 200 ")
        time.sleep(3)
        got = 0
        try:
            while piece := lazy.recv(1 << 20):
                got += len(piece)
        except ConnectionResetError:
            pass
        assert got < len(body)


def test_a_client_that_reads_at_the_slowest_allowed_rate_gets_everything(fresh):
    """It takes longer than the seconds for its start."""
    server = fresh("--head-timeout", "1", "--rate-min", "10K")
    body = b"a,b\n" + b"1.25,2.5\n" * 1000000
    assert server.post("/v1/datasets?name=long", body=body, headers={"Content-Type": "text/csv"}).status == 201
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.settimeout(60)
        slow.connect((server.host, server.port))
        slow.sendall(b"GET /v1/datasets/long/rows?format=csv HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = 0
        for turn in range(1 << 20):
            if turn < 30:
                time.sleep(0.1)
            piece = slow.recv(32768 if turn < 30 else 1 << 20)
            if not piece:
                break
            got += len(piece)
        assert got > len(body)


def test_lists_have_a_size(fresh):
    server = fresh("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    server.submit(**harness.ENDLESS)
    jobs = {server.submit(**harness.xor(), metadata={"note": "n" * 16000})["id"] for _ in range(290)}
    page = server.get("/v1/jobs?limit=1000").json
    assert page["has_more"] and 100 < len(page["data"]) < 290
    assert {job["id"] for job in server.all_pages("/v1/jobs?limit=1000")} > jobs


def test_metadata_has_a_size(server):
    name = unique("big")
    body = {**harness.xor(), "metadata": {"note": "n" * (16384 - len('{"note":""}'))}}
    body["model"] = {**body["model"], "name": name}
    assert server.post("/v1/jobs", body).status == 202
    body["metadata"]["note"] += "n"
    refused = server.post("/v1/jobs", body)
    problem(refused, 422, "invalid")
    assert refused.json["errors"][0]["pointer"] == "/metadata" and "16384" in refused.json["detail"]


def test_pages_of_wide_rows_have_a_size(server):
    name, columns, rows = unique("wide"), 5000, 250
    body = ",".join("c%d" % i for i in range(columns)) + "\n" + "\n".join(",".join([str(row)] * columns) for row in range(rows)) + "\n"
    assert server.post("/v1/datasets?name=" + name, body=body.encode(), headers={"Content-Type": "text/csv"}).status == 201
    got, after, pages = [], "", 0
    while not pages or page["has_more"]:
        page = server.raw("GET", "/v1/datasets/%s/rows?limit=1000%s" % (name, after)).json  # checking 5,000 members of each takes minutes
        got, after, pages = got + [row["c7"] for row in page["data"]], "&after=" + page["last_id"], pages + 1
    assert got == list(range(rows)) and 1 < pages < 10
    page = server.get("/v1/datasets/%s/rows?limit=1000&columns=c7" % name).json
    assert not page["has_more"] and page["data"] == [{"c7": row} for row in range(rows)]
