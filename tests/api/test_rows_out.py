"""Goal: uploaded rows are returned in every format, to the last bit, as a stream that needs little memory and survives deletions and kills."""
import csv
import gzip
import http.client
import io
import json
import os
import pathlib
import socket
import struct

import pytest

from harness import DATA, problem, unique, until

TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "json": "application/json"}
EDGES = [0.1, -0.0, 0.0, 5e-324, -2.2250738585072011e-308, 2.2250738585072014e-308, 1.7976931348623157e308, 9007199254740992.0, 9007199254740991.0,
         9007199254740994.0, -9007199254740992.0, 1e16, 1e17, 1e22, 1e23, 1e-5, 1e-7, 1 / 3, 0.1 + 0.2, 123456789.123, -1e300]


def out(server, name, form, query="", **headers):
    answer = server.get("/v1/datasets/%s/rows?format=%s%s" % (name, form, query), headers=headers)
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"].split(";")[0] == TYPES[form]
    return answer.body


def types_of(server, name):
    return [(c["name"], c["type"], c["missing"], c.get("shape")) for c in server.get("/v1/datasets/" + name).json["columns"]]


def post(server, form, name, body, query=""):
    answer = server.post("/v1/datasets?name=%s%s" % (name, query), body=body, headers={"Content-Type": TYPES[form]})
    assert answer.status == 201, answer
    return answer.json


def npy(doubles, columns):
    head = ("{'descr': '<f8', 'fortran_order': False, 'shape': (%d, %d), }" % (len(doubles) // columns, columns)).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%dd" % len(doubles), *doubles)


def noise(count):
    """Doubles of random bits, all finite."""
    state, found = 88172645463325252, []
    while len(found) < count:
        state ^= state << 13 & (1 << 64) - 1
        state ^= state >> 7
        state ^= state << 17 & (1 << 64) - 1
        (number,) = struct.unpack("<d", struct.pack("<Q", state))
        if number - number == 0:
            found.append(number)
    return found


@pytest.fixture(scope="module")
def large(server):
    """200,000 rows of 8 doubles: 13 MB on disk, some 40 MB as CSV."""
    name = unique("large")
    answer = server.post("/v1/datasets?name=" + name, body=npy(noise(16000) * 100, 8), headers={"Content-Type": "application/x-npy"})
    assert answer.status == 201, answer
    return name


# ---- formats ----

MIXED = ('n,"text, odd",flag,t\n1.5,"say ""hi""",True,"[[1,2],[3,null]]"\n,"two\nlines",False,\n-0,NA,,"[[0.1,-2],[1e10,7]]"\n12345678901234567890,über; 🐧,True,"[[1,2],[3,4]]"\n')


@pytest.fixture(scope="module")
def mixed(server):
    name = unique("mixed")
    server.upload(name, MIXED, "&types=t:tensor")
    return name


def test_csv_is_rfc_4180(server, mixed):
    body = out(server, mixed, "csv").decode()
    assert body == ('n,"text, odd",flag,t\n1.5,"say ""hi""",True,"[[1,2],[3,null]]"\n,"two\nlines",False,\n-0,NA,,"[[0.1,-2],[10000000000,7]]"\n'
                    '1.2345678901234567e19,"über; 🐧",True,"[[1,2],[3,4]]"\n')
    assert list(csv.reader(io.StringIO(body)))[2] == ["", "two\nlines", "False", ""]


def test_json_lines_and_json(server, mixed):
    first = {"n": 1.5, "text, odd": 'say "hi"', "flag": True, "t": [[1, 2], [3, None]]}
    lines = out(server, mixed, "ndjson").decode().split("\n")
    assert lines[0] == '{"n":1.5,"text, odd":"say \\"hi\\"","flag":true,"t":[[1,2],[3,null]]}' and lines[-1] == "" and len(lines) == 5
    records = json.loads(out(server, mixed, "json"))["records"]
    assert records == [json.loads(line) for line in lines[:-1]] and records[0] == first
    assert records[1] == {"n": None, "text, odd": "two\nlines", "flag": False, "t": None}


def test_accept_chooses(server, mixed):
    def kind(accept):
        answer = server.get("/v1/datasets/%s/rows" % mixed, headers={"Accept": accept})
        return answer.headers["Content-Type"].split(";")[0], answer.headers.get("Content-Disposition")
    assert kind("text/csv") == ("text/csv", 'attachment; filename="%s@1.csv"' % mixed)
    assert kind("application/x-ndjson") == kind("application/jsonl") == ("application/x-ndjson", 'attachment; filename="%s@1.ndjson"' % mixed)
    assert kind("text/html, text/csv;q=0.9, */*;q=0.1")[0] == "text/csv"
    assert kind("text/csv;q=0.2, application/x-ndjson;q=0.4")[0] == "application/x-ndjson"
    for page in ("*/*", "application/json", "text/csv;q=0", "application/json, text/csv;q=0.5", "text/csvx", ""):
        assert kind(page) == ("application/json", None), page
    forced = server.get("/v1/datasets/%s/rows?format=csv" % mixed, headers={"Accept": "application/x-ndjson"})
    assert forced.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"


def test_columns_offset_and_limit(server):
    name = unique("part")
    server.upload(name, 'a,"b,c",d\n' + "".join("%d,x%d,%d\n" % (i, i % 3, i * i) for i in range(5000)))
    assert out(server, name, "csv", "&columns=d,%22b%2Cc%22&offset=4998") == b'd,"b,c"\n24980004,x0\n24990001,x1\n'
    assert out(server, name, "ndjson", "&columns=a&offset=2&limit=2") == b'{"a":2}\n{"a":3}\n'
    assert out(server, name, "json", "&columns=a&after=2&limit=1") == b'{"records":[\n{"a":3}\n]}\n'
    assert out(server, name, "csv", "&columns=a&offset=5000") == b"a\n" and out(server, name, "ndjson", "&offset=9223372036854775807") == b""
    assert json.loads(out(server, name, "json", "&after=9223372036854775807")) == {"records": []}
    assert out(server, name, "csv", "&limit=1000000000000").count(b"\n") == 5001
    page = server.get("/v1/datasets/%s/rows?columns=d,a&offset=3&limit=2" % name).json
    assert page["data"] == [{"d": 9, "a": 3}, {"d": 16, "a": 4}] and (page["first_id"], page["last_id"], page["has_more"]) == ("3", "4", True)


@pytest.mark.parametrize("query, words", [
    ("format=xml", "csv, ndjson or json"), ("format=", "csv, ndjson or json"), ("format=csv&limit=0", "limit"), ("format=csv&limit=-1", "limit"),
    ("format=csv&limit=x", "limit"), ("limit=1001", "1000"), ("format=csv&offset=-1", "offset"), ("offset=1.5", "offset"), ("format=csv&offset=+1", "offset"),
    ("format=csv&columns=nope", "no column"), ("columns=nope", "no column"), ("format=csv&columns=specie", "did you mean"), ("format=csv&columns=", "no column"),
    ("format=csv&columns=species,", "no column"), ("format=csv&columns=species,species", "twice"), ("format=csv&columns=%22species%22x", "comma"),
    ("format=csv&offset=1&after=1", "either offset or after"), ("frmat=csv", "unknown query parameter"), ("format=csv&after=x", "after")])
def test_wrong_queries(server, query, words):
    assert words in problem(server.get("/v1/datasets/penguins/rows?" + query), 422, "invalid")["detail"]


def test_unknown_datasets(server):
    problem(server.get("/v1/datasets/none-such/rows?format=csv"), 404, "not_found")
    problem(server.get("/v1/datasets/penguins@99/rows?format=csv"), 404, "not_found")


def test_head_has_the_same_headers_and_no_body(server):
    answer = server.raw("HEAD", "/v1/datasets/penguins/rows?format=csv")
    assert (answer.status, answer.body, answer.headers["Content-Disposition"]) == (200, b"", 'attachment; filename="penguins@1.csv"')


def test_gzip(server, large):
    plain = out(server, large, "csv", "&limit=3000")
    answer = server.get("/v1/datasets/%s/rows?format=csv&limit=3000" % large, headers={"Accept-Encoding": "br, gzip"})
    assert answer.headers["Content-Encoding"] == "gzip" and len(answer.body) < len(plain) and gzip.decompress(answer.body) == plain
    for without in ("gzip;q=0", "identity", "br"):
        assert "Content-Encoding" not in server.get("/v1/datasets/%s/rows?format=csv&limit=2" % large, headers={"Accept-Encoding": without}).headers
    empty = server.get("/v1/datasets/%s/rows?format=ndjson&offset=1000000" % large, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(empty.body) == b""


# ---- round trips ----

@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("stem", ["penguins", "iris", "wine", "digits", "breast_cancer"])
def test_a_download_uploaded_again_is_the_same(server, stem, form):
    body, name = out(server, stem, form), unique("again")
    post(server, form, name, body)
    assert types_of(server, name) == types_of(server, stem)
    assert out(server, name, form) == body
    assert server.get("/v1/datasets/%s/rows?limit=1000" % name).json["data"] == server.get("/v1/datasets/%s/rows?limit=1000" % stem).json["data"]


def test_csv_of_all_types_again(server, mixed):
    body, name = out(server, mixed, "csv"), unique("again")
    post(server, "csv", name, body, "&types=t:tensor")
    assert types_of(server, name) == types_of(server, mixed) and out(server, name, "csv") == body
    one = unique("one")  # the only cell of a row is missing: no blank line, which would be passed over
    server.upload(one, "a\n1\nNA\n3\n")
    body = out(server, one, "csv")
    assert body == b'a\n1\n""\n3\n' and post(server, "csv", unique("again"), body)["rows"] == 3


def test_times_and_texts_again(server):
    """Dates are found out by how they are written; a text column has to be named one, in CSV and in JSON lines."""
    name = unique("times")
    server.upload(name, 'day,at,t\n2024-02-29,2024-01-31T12:00:00Z,"a ""b""\nc"\n,1969-12-31T23:59:59.250Z, d \n1900-01-01,,\n', "&types=t:text")
    assert [c[1] for c in types_of(server, name)] == ["datetime", "datetime", "text"]
    assert out(server, name, "csv") == b'day,at,t\n2024-02-29,2024-01-31T12:00:00Z,"a ""b""\nc"\n,1969-12-31T23:59:59.25Z,d\n1900-01-01,,\n'
    lines = [json.loads(line) for line in out(server, name, "ndjson").splitlines()]
    assert lines == server.get("/v1/datasets/%s/rows" % name).json["data"] and lines[0] == {"day": "2024-02-29", "at": "2024-01-31T12:00:00Z", "t": 'a "b"\nc'}
    for form in ("csv", "ndjson"):
        again, body = unique("again"), out(server, name, form)
        post(server, form, again, body, "&types=t:text")
        assert out(server, again, form) == body and types_of(server, again) == types_of(server, name)


def test_records_again(server, mixed):
    name = unique("again")
    body = b'{"name":"%s",' % name.encode() + out(server, mixed, "json")[1:]
    assert server.post("/v1/datasets", body=body, headers={"Content-Type": "application/json"}).status == 201
    assert out(server, name, "ndjson") == out(server, mixed, "ndjson") and types_of(server, name) == types_of(server, mixed)


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_every_double_reads_back_to_the_bit(server, form):
    numbers = EDGES + noise(20000)
    name = unique("bits")
    answer = server.post("/v1/datasets?name=" + name, body=npy(numbers, 1), headers={"Content-Type": "application/x-npy"})
    assert answer.status == 201, answer
    body = out(server, name, form)
    if form == "csv":
        texts = body.decode().split("\n")[1:-1]
    else:
        texts = [line[6:].rstrip(",").rstrip("}") for line in body.decode().split("\n") if line.startswith('{"x0":')]
    assert [struct.pack("<d", float(text)) for text in texts] == [struct.pack("<d", number) for number in numbers]
    assert all(len(text.lstrip("-").replace(".", "").split("e")[0].strip("0")) <= 17 for text in texts)
    if form != "json":
        again = unique("bits")
        post(server, form, again, body)
        assert out(server, again, form) == body


def test_wide_tensors_are_streamed_in_pieces(server):
    """One cell of 300,000 numbers: more than a piece."""
    numbers = [i / 8 for i in range(300000)]
    name = unique("wide")
    server.post_json(name, records=[{"t": [numbers, numbers[::-1]], "y": 1}, {"t": None, "y": 2}], types={"t": {"type": "tensor", "shape": [2, 300000]}})
    assert [json.loads(line) for line in out(server, name, "ndjson").splitlines()] == [{"t": [numbers, numbers[::-1]], "y": 1}, {"t": None, "y": 2}]
    csv.field_size_limit(1 << 26)
    table = list(csv.reader(io.StringIO(out(server, name, "csv").decode())))
    assert table[0] == ["t", "y"] and json.loads(table[1][0]) == [numbers, numbers[::-1]] and table[2] == ["", "2"]


# ---- a stream among others ----

def resident(server, kind="VmRSS"):
    text = pathlib.Path("/proc/%d/status" % server.process.pid).read_text()
    return int(text.split(kind + ":")[1].split()[0]) * 1024


def mapped(server):
    """Column files that the server has open or mapped."""
    folder = pathlib.Path("/proc/%d" % server.process.pid)
    found = [line.split()[-1] for line in (folder / "maps").read_text().splitlines() if ".col" in line]
    for fd in (folder / "fd").iterdir():
        try:
            found += [os.readlink(fd)] if ".col" in os.readlink(fd) else []
        except FileNotFoundError:
            pass
    return found


class Slow:
    """A client that requests a dataset and reads on demand."""

    def __init__(self, server, name):
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.connection.settimeout(60)
        self.connection.connect((server.host, server.port))
        self.connection.sendall(("GET /v1/datasets/%s/rows?format=csv HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (name, server.host, server.port)).encode())
        self.begun = self.connection.recv(1000)
        assert self.begun.startswith(b"HTTP/1.1 200")

    def rest(self):
        response = http.client.HTTPResponse(self)
        response.begin()
        return response.read()

    def makefile(self, mode):
        return io.BufferedReader(self)

    # the interface that BufferedReader expects of a raw stream
    closed = False

    def readable(self):
        return True

    def writable(self):
        return False

    def seekable(self):
        return False

    def readinto(self, room):
        piece = self.begun[:len(room)] or self.connection.recv(len(room))
        self.begun = self.begun[len(piece):]
        room[:len(piece)] = piece
        return len(piece)

    def flush(self):
        pass

    def close(self):
        self.connection.close()


def test_memory_is_bounded_and_let_go(fresh):
    server = fresh("--http-threads", "1")
    assert server.post("/v1/datasets?name=large", body=npy(noise(16000) * 300, 8), headers={"Content-Type": "application/x-npy"}).status == 201  # 38 MB
    server.get("/v1/datasets/large/rows?format=csv&limit=10")
    before = resident(server)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", "/v1/datasets/large/rows?format=csv")
    response, most, size = connection.getresponse(), 0, 0
    while True:
        piece = response.read(1 << 22)
        size += len(piece)
        most = max(most, resident(server))
        if not piece:
            break
    connection.close()
    assert size > 100e6 and (server.sanitized() or most - before < 16e6), (size, most - before)  # the mapping of 38 MB would show
    until(lambda: not mapped(server), what="letting go of the file")


def test_a_slow_client_blocks_no_other(server, large):
    """Two HTTP threads, eight clients that do not read: others are served all the same."""
    slow = [Slow(server, large) for _ in range(8)]
    for _ in range(20):
        assert server.get("/v1/datasets/penguins").status == 200
        assert len(out(server, "penguins", "csv").splitlines()) == 345
    whole = out(server, large, "csv")
    for one in slow[:2]:
        assert one.rest() == whole
    for one in slow:
        one.close()


def test_many_at_once_get_the_same(server, large):
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        bodies = list(pool.map(lambda _: server.raw("GET", "/v1/datasets/%s/rows?format=csv&limit=20000" % large).body, range(12)))
    assert len(set(bodies)) == 1 and bodies[0].count(b"\n") == 20001


def test_a_vanished_client_frees_everything(fresh):
    server = fresh()
    assert server.post("/v1/datasets?name=gone", body=npy(noise(16000) * 50, 8), headers={"Content-Type": "application/x-npy"}).status == 201
    slow = [Slow(server, "gone") for _ in range(5)]
    assert len(mapped(server)) == 5
    for one in slow:
        one.close()
    until(lambda: not mapped(server), what="unmapping")


def test_a_deleted_dataset_is_sent_to_its_end(fresh):
    server = fresh()
    assert server.post("/v1/datasets?name=doomed", body=npy(noise(16000) * 50, 8), headers={"Content-Type": "application/x-npy"}).status == 201
    whole, slow = out(server, "doomed", "csv"), Slow(server, "doomed")
    assert server.delete("/v1/datasets/doomed").status == 204
    assert list(pathlib.Path(server.folder, "datasets").iterdir()) == []  # unlinked at once
    assert any("(deleted)" in line for line in pathlib.Path("/proc/%d/maps" % server.process.pid).read_text().splitlines() if ".col" in line)
    problem(server.get("/v1/datasets/doomed/rows?format=csv"), 404, "not_found")
    assert slow.rest() == whole
    slow.close()
    until(lambda: not mapped(server), what="giving the disk space back")


def test_the_server_stops_while_it_sends(fresh):
    server = fresh()
    assert server.post("/v1/datasets?name=cut", body=npy(noise(16000) * 50, 8), headers={"Content-Type": "application/x-npy"}).status == 201
    slow = Slow(server, "cut")
    assert server.stop() == 0
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        slow.rest()
    slow.close()


def test_data_of_the_fixtures_is_what_was_uploaded(server):
    """The file is unchanged except for notation: iris has numbers with one digit after the point."""
    text = (DATA / "iris.csv").read_text()
    want = [[float(v) if i < 4 else v for i, v in enumerate(row)] for row in list(csv.reader(io.StringIO(text)))[1:]]
    got = [[float(v) if i < 4 else v for i, v in enumerate(row)] for row in list(csv.reader(io.StringIO(out(server, "iris", "csv").decode())))[1:]]
    assert got == want and len(got) == 150
