"""Goal: what is not quite a table is read where that is safe; where it is not, the answer names the cause and the remedy."""
import gzip
import io
import json
import struct
import zipfile

import pytest

from harness import problem, unique

CSV = "text/csv"
NDJSON = "application/x-ndjson"


def post(server, body, kind=CSV, query="", **headers):
    if kind:
        headers["Content-Type"] = kind
    return server.post("/v1/datasets?replace=1&name=causes" + query, body=body if isinstance(body, bytes) else body.encode(), headers=headers)


def rows(server, name="causes"):
    return server.get("/v1/datasets/%s/rows?limit=100" % name).json["data"]


AB = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


@pytest.mark.parametrize("body, warning", [
    ("sep=;\na;b\n1;2\n3;4\n", None), ("\ufeffsep=;\r\na;b\r\n1;2\r\n3;4\r\n", None), ("sep=|\na|b\n1|2\n3|4\n", None),
    ("# made by tool\n# v2\na,b\n1,2\n3,4\n", "the first 2 lines begin with #"), ("# a, b and c\na;b\n1;2\n3;4\n", "the first 1 lines begin with #"),
    ("a,b,\n1,2,\n3,4,\n", "ends with a separator"), ("a;b\n1;2;\n3;4;\n", "ends with a separator"), ("a\tb\t\n1\t2\t\n3\t4\t\n", "ends with a separator"),
])
def test_additions_of_spreadsheets(server, body, warning):
    answer = post(server, body)
    assert answer.status == 201 and rows(server) == AB, answer
    assert [w for w in answer.json["warnings"] if not w.startswith("columns")] == [] if warning is None else warning in answer.json["warnings"][0], answer


def test_a_header_that_begins_with_a_hash(server):
    assert post(server, "#a,b\n1,2\n3,4\n").status == 201 and rows(server) == [{"#a": 1, "b": 2}, {"#a": 3, "b": 4}]


@pytest.mark.parametrize("body, line, words", [
    ("a,b\n1,2\n# end\n", 3, "comment"), ("a,b,\n1,2\n3,4\n", 1, "ends with a separator"), ("a,b,\n1,2,\n3,4,x\n", None, "separator"),
])
def test_errors_in_the_validation_dataset(server, body, line, words):
    error = problem(post(server, body), 422, "invalid")["errors"][0]
    assert words in error["detail"] and (line is None or error["line"] == line), error


@pytest.mark.parametrize("body, kind", [
    ("x,y1,23,4", CSV), ("1.5,2.5,x3.5,4.5,y\n", CSV), ("a,b\r\n", CSV), (",".join("%d" % (i % 7) for i in range(2071)), CSV), ("a\tb1\t2", "text/tab-separated-values"),
    ('{"a":1}{"a":2}', NDJSON),
])
def test_one_line(server, body, kind):
    """curl -d leaves the line ends out."""
    detail = json.dumps(problem(post(server, body, kind), 422, "invalid"))
    assert "--data-binary" in detail or "no rows" in detail, detail


def test_one_row_where_that_is_meant(server):
    assert post(server, "1,2", query="&header=false").status == 201 and rows(server) == [{"c0": 1, "c1": 2}]
    assert post(server, "a,b\n1,2").status == 201 and rows(server) == AB[:1]


def book(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize("body, words", [
    (book("[Content_Types].xml"), "Excel"), (book("data.csv"), "zip"), (b"PAR1" + b"\0" * 100, "Parquet"), (b"%PDF-1.4\n", "PDF"), (b"\xd0\xcf\x11\xe0" + b"\0" * 100, "old Excel"),
    (b"\x93NUMPY\x01\x00" + b" " * 100, "-H 'Content-Type: application/x-npy'"), (b'{"records":[{"a":1}]}', "-H 'Content-Type: application/json'"),
    (b'{"a":1}\n{"a":2}\n', "-H 'Content-Type: application/x-ndjson'"),
])
def test_other_kinds_as_csv(server, body, words):
    assert words in problem(post(server, body), 422, "invalid")["detail"]
    assert words in problem(post(server, gzip.compress(body)), 422, "invalid")["detail"]


def test_csv_as_json(server):
    assert "-H 'Content-Type: text/csv'" in problem(post(server, "a,b\n1,2\n", "application/json"), 422, "invalid")["detail"]


@pytest.mark.parametrize("body, kind", [
    (b"a,b\n1,2\n3,4\n", None), (b"a,b\n1,2\n3,4\n", "application/octet-stream"), (b"a;b\n1;2\n3;4\n", "application/vnd.ms-excel"),
    (gzip.compress(b"a,b\n1,2\n3,4\n"), CSV), (gzip.compress(b"a,b\n1,2\n3,4\n"), None), (json.dumps({"records": AB}).encode(), None),
    (b'{"a":1,"b":2}\n{"a":3,"b":4}\n', "application/octet-stream"),
])
def test_files_without_a_type(server, body, kind):
    """A browser sends a File it does not know without a type; gzip needs no header."""
    answer = post(server, body, kind)
    assert answer.status == 201 and rows(server) == AB, answer


def test_forms(server):
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na\n1\n\r\n--x--\r\n'
    detail = problem(post(server, form, "multipart/form-data; boundary=x"), 415, "unsupported_media_type")["detail"]
    assert "--data-binary @file.csv -H 'Content-Type: text/csv'" in detail and "body: file" in detail and "curl -F" in detail and "options in the query" in detail


@pytest.mark.parametrize("path", ["/v1/datasets/penguins/rows", "/v1/datasets/penguins/columns/c", "/v1/datasets/inspect"])
def test_forms_with_data_on_every_route(server, path):
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\na\n1\n\r\n--x--\r\n'
    answer = server.post(path, body=form, headers={"Content-Type": "multipart/form-data; boundary=x"})
    detail = problem(answer, 415, "unsupported_media_type")["detail"]
    assert "--data-binary @file.csv -H 'Content-Type: text/csv'" in detail and "curl -F" in detail and "body: file" in detail


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/models", "/v1/models/validate", "/v1/models/none/predict"])
def test_forms_with_json_on_every_route(server, path):
    form = b'--x\r\nContent-Disposition: form-data; name="target"\r\n\r\ny\r\n--x--\r\n'
    detail = problem(server.post(path, body=form, headers={"Content-Type": "multipart/form-data; boundary=x"}), 415, "unsupported_media_type")["detail"]
    assert "-H 'Content-Type: application/json' -d '{...}'" in detail and "curl -F" in detail and "JSON.stringify" in detail


def test_names_of_datasets(server):
    for path in ("", "/rows", "/statistics", "/versions"):
        assert "did you mean \"penguins\"?" in problem(server.get("/v1/datasets/pengiuns" + path), 404, "not_found")["detail"], path
    assert "did you mean" not in problem(server.get("/v1/datasets/nothing-like-it"), 404, "not_found")["detail"]
    error = problem(server.post("/v1/jobs", {"model": {"layers": []}, "dataset": "pengiuns", "target": "species"}), 422, "invalid")["errors"][0]
    assert error["pointer"] == "/dataset" and "did you mean \"penguins\"?" in error["detail"]


def test_null_inside_a_tensor(server):
    dataset = server.post_json(unique("gaps"), records=[{"t": [1, None], "y": 1}, {"t": [2, 3], "y": 2}, {"t": None, "y": 3}])
    assert "column \"t\": numbers are missing (null or NaN) inside 1 of its arrays" in dataset["warnings"][0]
    padded = server.post_json(unique("gaps"), records=[{"t": [1], "y": 1}, {"t": [2, 3], "y": 2}], types={"t": {"type": "tensor", "shape": [2]}})
    assert padded["warnings"] == []  # padding is none
