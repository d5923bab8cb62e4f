"""Goal: every way in for data works, types and statistics are right, and every wrong input gets a clear 4xx with its place."""
import base64
import concurrent.futures
import gzip
import http.client
import json
import math
import os
import struct
import subprocess

import pytest

import harness
from harness import problem, unique


def columns_of(dataset):
    return {c["name"]: c for c in dataset["columns"]}


def rows_of(server, name, **query):
    return server.get("/v1/datasets/%s/rows?%s" % (name, "&".join("%s=%s" % i for i in query.items()))).json["data"]


# ---- CSV ----

def test_csv_types_statistics_and_missing_cells(server):
    name = unique("types")
    dataset = server.upload(name, "n,c,b,empty,num_missing\n1,red,true,,1\n2.5,blue,False,,NA\n-3e2,red,TRUE,,n/a\n,,,,?\n4,,false,,NaN\n")
    got = columns_of(dataset)
    assert [c["name"] for c in dataset["columns"]] == ["n", "c", "b", "empty", "num_missing"]
    assert (dataset["rows"], dataset["version"]) == (5, 1)
    n = got["n"]
    assert (n["type"], n["missing"], n["min"], n["max"]) == ("numeric", 1, -300, 4)
    values = [1, 2.5, -300, 4]
    mean = sum(values) / 4
    assert n["mean"] == pytest.approx(mean) and n["std"] == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / 4))
    assert (got["c"]["type"], got["c"]["missing"], got["c"]["categories_count"]) == ("categorical", 2, 2)
    assert got["c"]["categories"] == [{"value": "red", "count": 2}, {"value": "blue", "count": 1}]
    assert (got["b"]["type"], got["b"]["missing"]) == ("boolean", 1)
    assert sum(c["count"] for c in got["b"]["categories"]) == 4
    assert (got["empty"]["type"], got["empty"]["missing"], got["empty"]["mean"]) == ("numeric", 5, None)
    assert any('"empty"' in w for w in dataset["warnings"])
    assert (got["num_missing"]["type"], got["num_missing"]["missing"]) == ("numeric", 4)
    assert rows_of(server, name)[2] == {"n": -300, "c": "red", "b": True, "empty": None, "num_missing": None}
    assert server.get("/v1/datasets/" + name).json == dataset


def test_csv_quotes_newlines_crlf_bom_unicode(server):
    name = unique("rfc4180")
    text = '\ufeff"größe, cm","say ""hi""",日本\r\n1,"two\r\nlines","a,b"\r\n2,"""q""", padded \r\n\r\n3,🐧,"last"'
    dataset = server.upload(name, text)
    assert [c["name"] for c in dataset["columns"]] == ["größe, cm", 'say "hi"', "日本"]
    assert rows_of(server, name) == [{"größe, cm": 1, 'say "hi"': "two\r\nlines", "日本": "a,b"},
                                     {"größe, cm": 2, 'say "hi"': '"q"', "日本": "padded"},
                                     {"größe, cm": 3, 'say "hi"': "🐧", "日本": "last"}]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_other_separators(server, separator):
    name = unique("separator")
    server.upload(name, "a,b\n1,x\n2,y\n".replace(",", separator))
    assert rows_of(server, name) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_csv_types_override(server):
    name = unique("override")
    answer = server.post_csv(name, 'code,"odd, name",t\n1,2,"[[1,2],[3,4]]"\n2,2.0,"[[5,6],[7,8]]"\n1.0,3,\n',
                             "&types=code:categorical,%22odd%2C%20name%22:categorical,t:tensor")
    assert answer.status == 201, answer
    got = columns_of(answer.json)
    assert got["code"]["categories"] == [{"value": "1", "count": 2}, {"value": "2", "count": 1}]  # 1 and 1.0 are one category
    assert got["odd, name"]["categories_count"] == 2
    assert (got["t"]["type"], got["t"]["shape"], got["t"]["missing"]) == ("tensor", [2, 2], 1)
    assert rows_of(server, name)[1]["t"] == [[5, 6], [7, 8]]


def test_csv_numbers_in_all_spellings(server):
    name = unique("numbers")
    server.upload(name, "v\n1\n+2\n-0.5\n.25\n5.\n1e3\n1E-2\n00012\n  7  \n123456789012345\n")
    assert [r["v"] for r in rows_of(server, name)] == [1, 2, -0.5, 0.25, 5, 1000, 0.01, 12, 7, 123456789012345]


def test_text_among_numbers_makes_a_category_and_a_warning(server):
    dataset = server.upload(unique("mixed"), "v\n1\n2\nthree\n4\nNA\n")
    assert columns_of(dataset)["v"]["type"] == "categorical"
    assert any("NA" in w for w in dataset["warnings"]) and any("three" in w for w in dataset["warnings"])


def test_csv_of_europe(server):
    name = unique("europe")
    dataset = server.upload(name, "preis;stadt\n1.234,56;Köln\n-0,5;Bonn\n")
    assert dataset["csv"] == {"separator": ";", "decimal": ",", "quote": '"', "header": True}
    assert rows_of(server, name) == [{"preis": 1234.56, "stadt": "Köln"}, {"preis": -0.5, "stadt": "Bonn"}]
    assert server.get("/v1/datasets/" + name).json["csv"] == dataset["csv"]


def test_csv_without_a_header(server):
    name = unique("header")
    dataset = server.upload(name, "1,2\n3,4\n")
    assert dataset["csv"]["header"] is False and any("header=true" in w for w in dataset["warnings"])
    assert rows_of(server, name) == [{"c0": 1, "c1": 2}, {"c0": 3, "c1": 4}]
    name = unique("header")
    assert server.upload(name, "1,2\n3,4\n", "&header=true")["warnings"] == []
    assert rows_of(server, name) == [{"1": 3, "2": 4}]


def test_csv_options_of_the_query(server):
    name = unique("dialect")
    dataset = server.upload(name, "a,b|'c'\n'1,5'|'x|y'\n", "&separator=%7C&decimal=comma&quote=%27&header=1")
    assert dataset["csv"] == {"separator": "|", "decimal": ",", "quote": "'", "header": True}
    assert rows_of(server, name) == [{"a,b": 1.5, "c": "x|y"}]
    for query in ("separator=x", "decimal=x", "quote=x", "header=x"):
        assert query.split("=")[0] in problem(server.post_csv(unique("dialect"), "a\n1\n", "&" + query), 422, "invalid")["detail"]


def test_tsv(server):
    name = unique("tsv")
    answer = server.post("/v1/datasets?name=" + name, body=b"a, b\tc\n1\tx\n", headers={"Content-Type": "text/tab-separated-values"})
    assert answer.status == 201 and answer.json["csv"]["separator"] == "\t", answer
    assert rows_of(server, name) == [{"a, b": 1, "c": "x"}]


def test_misfit_after_the_first_megabyte_names_its_line(server):
    text = "a,b\n" + "1.5,2.5\n" * 150000 + "1,oops\n" + "3,4\n"
    errors = problem(server.post_csv(unique("late"), text), 422, "invalid")["errors"]
    assert errors == [{"line": 150002, "column": "b", "value": "oops", "detail": errors[0]["detail"]}]
    assert "types=b:categorical" in errors[0]["detail"] and "number" in errors[0]["detail"]


def test_all_misfits_at_once_with_their_lines(server):
    text = "a,b\n1,2\nx,4\n5,y\n7,8,9\n10\n"
    errors = problem(server.post_csv(unique("misfits"), text, "&types=a:numeric,b:numeric"), 422, "invalid")["errors"]
    assert sorted((e["line"], e.get("column"), e["value"]) for e in errors if "column" in e) == [(3, "a", "x"), (4, "b", "y")]
    assert sorted(e["line"] for e in errors if "column" not in e) == [5, 6]


@pytest.mark.parametrize("text, line, words", [
    ("a,b\n1,2\n3,4,5\n", 3, "3 cells"),
    ("a,b\n1,2\n3\n", 3, "1 cells"),
    ('a,b\n"1\n\n\n",2\n3,4,5\n', 6, "3 cells"),
    ('a,b\n1,"open\n2,3\n', 2, "not closed"),
    ('a,b\n1,"x"y\n', 2, "closing quote"),
    (b"a,b\n1,\xff\xfe\n", 2, "UTF-8"),
    (b"a,b\n1,\x00\n", 2, "NUL"),
    ("a,a\n1,2\n", 1, "distinct"),
    ("a,\n1,2\n", 1, "no name"),
    ("a\r1\r2\r", 1, "LF or CRLF"),
    (b"\xff\xfea\x00,\x00b\x00\n\x00", 1, "UTF-16"),
], ids=["long", "short", "newlines-in-quotes", "open-quote", "after-quote", "latin1", "nul", "twice", "unnamed", "cr-only", "utf16"])
def test_broken_csv_names_its_line(server, text, line, words):
    error = problem(server.post_csv(unique("broken"), text), 422, "invalid")["errors"][0]
    assert error["line"] == line and words in error["detail"], error


@pytest.mark.parametrize("text, words", [("", "empty"), ("\n\n", "empty"), ("a,b\n", "no rows"), ("a,b\n\n  \n", "no rows")])
def test_csv_without_rows(server, text, words):
    assert words in problem(server.post_csv(unique("none"), text), 422, "invalid")["detail"]


def test_binary_noise_is_refused(server):
    state, noise = 1, bytearray()
    for _ in range(20000):
        state = state * 1103515245 + 12345 & 0x7fffffff
        noise.append(state >> 16 & 255)
    for kind in ("text/csv", "application/json"):
        answer = server.post("/v1/datasets?name=" + unique("noise"), body=bytes(noise), headers={"Content-Type": kind})
        assert answer.status == 422 and answer.json["detail"], answer


@pytest.mark.parametrize("types, words", [
    ("a:numbr", "numeric"), ("aa:numeric", "did you mean"), ("a", "column:type"), ("a:numeric,a:numeric", "twice"), ("b:numeric", "number"), ("a:tensor", "tensor"), (":numeric", "column:type"),
])
def test_wrong_types_override(server, types, words):
    answer = server.post_csv(unique("wrong"), "a,b\n1,x\n2,y\n", "&types=" + types)
    assert words in json.dumps(problem(answer, 422, "invalid"))


# ---- JSON ----

RECORDS = [{"a": 1, "b": "x", "c": True}, {"a": 2.5, "b": "y", "c": False}, {"a": None, "b": None, "c": None}]


def test_json_layouts_are_alike(server):
    by_records, by_columns = unique("records"), unique("columns")
    server.post_json(by_records, records=RECORDS)
    server.post_json(by_columns, columns={k: [r[k] for r in RECORDS] for k in RECORDS[0]})
    assert rows_of(server, by_records) == rows_of(server, by_columns) == RECORDS
    assert [c["type"] for c in server.get("/v1/datasets/" + by_records).json["columns"]] == ["numeric", "categorical", "boolean"]


def test_json_absent_keys_are_missing(server):
    name = unique("absent")
    server.post_json(name, records=[{"a": 1}, {"b": 2}, {"a": 3, "b": 4}])
    assert rows_of(server, name) == [{"a": 1, "b": None}, {"a": None, "b": 2}, {"a": 3, "b": 4}]


@pytest.mark.parametrize("x, y, expected", [
    ([[1, 2], [3, 4]], ["p", "q"], [{"x0": 1, "x1": 2, "y": "p"}, {"x0": 3, "x1": 4, "y": "q"}]),
    ([1, 2], [3, 4], [{"x0": 1, "y": 3}, {"x0": 2, "y": 4}]),
    ([[1], [2]], [[3, 5], [4, 6]], [{"x0": 1, "y0": 3, "y1": 5}, {"x0": 2, "y0": 4, "y1": 6}]),
    ([[[1, 2]], [[3, 4]]], [True, False], [{"x": [[1, 2]], "y": True}, {"x": [[3, 4]], "y": False}]),
], ids=["rows", "plain", "several-y", "tensor"])
def test_json_x_and_y(server, x, y, expected):
    name = unique("xy")
    server.post_json(name, x=x, y=y)
    assert rows_of(server, name) == expected


def test_json_tensor_types(server):
    """A tensor column given with a shape and channels first is kept as height, width, channels."""
    name = unique("chw")
    image = [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]]  # 3 channels of 2 x 2
    dataset = server.post_json(name, records=[{"i": image, "t": 1}], types={"i": {"type": "tensor", "shape": [3, 2, 2], "layout": "chw"}, "t": "categorical"})
    assert columns_of(dataset)["i"]["shape"] == [2, 2, 3]
    assert rows_of(server, name) == [{"i": [[[1, 5, 9], [2, 6, 10]], [[3, 7, 11], [4, 8, 12]]], "t": "1"}]


def test_numbers_in_json_strings(server):
    records = [{"a": "1", "b": 1}, {"a": "2", "b": 2}]
    dataset = server.post_json(unique("strings"), records=records)
    assert [c["type"] for c in dataset["columns"]] == ["numeric", "numeric"] and "in quotes" in dataset["warnings"][0]
    dataset = server.post_json(unique("strings"), records=records, types={"a": "categorical"})
    assert [c["type"] for c in dataset["columns"]] == ["categorical", "numeric"] and dataset["warnings"] == []


def test_json_unicode_names_and_escapes(server):
    name = unique("escapes")
    server.post("/v1/datasets", body=('{"name":"%s","records":[{"\\u00e9\\ud83d\\udc27":"\\"\\n\\u0041"}]}' % name).encode(), headers={"Content-Type": "application/json; charset=utf-8"})
    assert rows_of(server, name) == [{"é🐧": '"\nA'}]


@pytest.mark.parametrize("body, words", [
    ("", "empty"), ("{", "ends"), ('{"name":"q","records":[{"a":1}', "ends"), ('{"name":"q","records":[{"a":NaN}]}', ""), ('{"name":"q","records":[{"a":Infinity}]}', ""),
    ('{"name":"q","records":[{"a":1},]}', ""), ('{"name":"q","records":[{"a":01}]}', ""), ('{"name":"q","records":[{"a":"\\ud800"}]}', ""), ("[" * 100000, "nested"),
    ('{"name":"q","records":[{"a":1}]} x', ""), ("nonsense", ""), ('{"name":"q","records":[{\'a\':1}]}', ""), ('{"name":"q","records":[{"a":1e999}]}', ""),
])
def test_broken_json(server, body, words):
    answer = server.post("/v1/datasets", body=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status == 422, answer
    assert words in json.dumps(answer.json), answer


@pytest.mark.parametrize("dataset, pointer, words", [
    ({}, None, "records"),
    ({"records": [{"a": 1}], "columns": {"a": [1]}}, None, "one of"),
    ({"records": []}, "/records", "rows"),
    ({"records": {}}, "/records", "array"),
    ({"records": [1]}, "/records/0", "object"),
    ({"records": [{"a": {"b": 1}}]}, "/records/0/a", "object"),
    ({"records": [{"a": 1}, {"a": [1, 2]}]}, "/records/0/a", ""),
    ({"records": [{"a": [1, 2]}, {"a": [1, 2, 3]}]}, "/records/1/a", "2"),
    ({"records": [{"a": [1, "x"]}]}, "/records/0/a", "number"),
    ({"records": [{"": 1}]}, "/records/0", "name"),
    ({"columns": {"a": [1, 2], "b": [1]}}, "/columns/a", "2 values"),
    ({"columns": {"a": 1}}, "/columns/a", "array"),
    ({"columns": {}}, "/columns", ""),
    ({"columns": {"a": []}}, None, "no rows"),
    ({"x": [[1, 2], [3]], "y": [1, 2]}, "/x/1", "2"),
    ({"x": [[1], [2]], "y": [1]}, "/y", "2"),
    ({"x": [[1], [2]]}, "/y", "y is missing"),
    ({"y": [1]}, "/x", "x is missing"),
    ({"recrods": [{"a": 1}]}, "/recrods", "records"),
    ({"records": [{"a": 1}], "types": {"b": "numeric"}}, "/types/b", "column"),
    ({"records": [{"a": 1}], "types": {"a": "numerc"}}, "/types/a", "numeric"),
    ({"records": [{"a": "x"}], "types": {"a": "numeric"}}, "/records/0/a", "number"),
    ({"records": [{"a": [1]}], "types": {"a": {"type": "tensor", "shpae": [1]}}}, "/types/a/shpae", "shape"),
    ({"records": [{"a": [1]}], "types": {"a": {"type": "tensor", "shape": [0]}}}, "/types/a/shape", "1"),
    ({"records": [{"a": 1}], "types": []}, "/types", "object"),
], ids=str)
def test_wrong_json_dataset_names_its_place(server, dataset, pointer, words):
    answer = server.post("/v1/datasets", {"name": unique("wrong"), **dataset})
    body = problem(answer, 422, "invalid")
    assert words in json.dumps(body), body
    if pointer is not None:
        assert any(e.get("pointer", "").startswith(pointer) for e in body["errors"]), body


def test_duplicate_keys_are_refused(server):
    for text in ('{"name":"dup","records":[{"a":1,"a":2}]}', '{"name":"dup","columns":{"a":[1],"a":[2]}}', '{"name":"dup","name":"dup","records":[{"a":1}]}'):
        answer = server.post("/v1/datasets", body=text.encode(), headers={"Content-Type": "application/json"})
        assert answer.status == 422, answer
        assert "twice" in answer.json["detail"] or "distinct" in answer.json["detail"], answer
    assert server.get("/v1/datasets/dup").status == 404


# ---- JSON lines ----

def post_as(server, kind, name, body, query="", **headers):
    return server.post("/v1/datasets?name=%s%s" % (name, query), body=body, headers={"Content-Type": kind, **headers})


def test_ndjson(server):
    text = "".join(json.dumps(r) + "\n" for r in RECORDS).replace("\n", "\n\n", 1).encode()
    for kind in ("application/x-ndjson", "application/jsonl; charset=utf-8"):
        name = unique("lines")
        answer = post_as(server, kind, name, text, "&types=a:categorical")
        assert answer.status == 201, answer
        assert [c["type"] for c in answer.json["columns"]] == ["categorical", "categorical", "boolean"]
        assert rows_of(server, name) == [{"a": "1", "b": "x", "c": True}, {"a": "2.5", "b": "y", "c": False}, {"a": None, "b": None, "c": None}]


def test_ndjson_errors_name_lines_and_are_counted(server):
    body = b'{"a":1.23456789}\n' * 150000 + b"\n" + b'{"a":"x"}\n{"a":2}\n{"a":3\n' * 15
    name = unique("lines")
    told = problem(post_as(server, "application/x-ndjson", name, body), 422, "invalid")
    assert told["detail"].startswith("30 problems; the first: ") and len(told["errors"]) == 20
    assert {k: told["errors"][0][k] for k in ("line", "column", "value")} == {"line": 150002, "column": "a", "value": "x"}
    assert "types=a:categorical" in told["errors"][0]["detail"]
    assert told["errors"][1]["line"] == 150004 and "column 7" in told["errors"][1]["detail"]
    problem(server.get("/v1/datasets/" + name), 404, "not_found")


# ---- arrays ----

ARRAYS = harness.ROOT / "tests" / "fixtures" / "arrays"


def test_npy_and_npz(server):
    name = unique("npy")
    answer = post_as(server, "application/x-npy", name, (ARRAYS / "i8_big.npy").read_bytes(), "&column=label&types=label:categorical")
    assert answer.status == 201 and columns_of(answer.json)["label"]["type"] == "categorical", answer
    assert rows_of(server, name) == [{"label": "1"}, {"label": "-2"}, {"label": "9007199254740991"}]
    name = unique("npz")
    answer = post_as(server, "application/x-npz", name, (ARRAYS / "deflated.npz").read_bytes())
    assert answer.status == 201 and columns_of(answer.json)["image"]["shape"] == [2, 3], answer
    assert rows_of(server, name) == [{"image": [[0, 1, 2], [3, 4, 5]], "pair0": 1.5, "pair1": -2, "yes": True},
                                     {"image": [[6, 7, 8], [9, 10, 11]], "pair0": None, "pair1": 4, "yes": False}]
    told = problem(post_as(server, "application/x-npy", unique("npy"), (ARRAYS / "infinite.npy").read_bytes()), 422, "invalid")
    assert {k: told["errors"][0][k] for k in ("pointer", "column", "value")} == {"pointer": "/1", "column": "x1", "value": "inf"}
    assert "truncated" in problem(post_as(server, "application/x-npz", unique("npz"), (ARRAYS / "stored.npz").read_bytes()[:-1]), 422, "invalid")["detail"]


def test_idx_trains(server):
    """Images and labels of two kinds, as MNIST has them: a tensor column H, W, 1."""
    name = unique("idx")
    images = b"\0\0\x08\x03" + struct.pack(">3I", 8, 2, 2) + bytes([0, 0, 255, 255, 255, 255, 0, 0] * 4)
    answer = post_as(server, "application/x-idx", name, images, "&column=image", **{"Content-Encoding": "identity"})
    assert answer.status == 201 and columns_of(answer.json)["image"]["shape"] == [2, 2, 1], answer
    assert rows_of(server, name)[0]["image"] == [[[0], [0]], [[255], [255]]]
    labels = unique("idx")
    assert post_as(server, "application/x-idx", labels, gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 3) + b"\7\2\1"), **{"Content-Encoding": "gzip"}).status == 201
    assert rows_of(server, labels) == [{"x": 7}, {"x": 2}, {"x": 1}]


# ---- a look first ----

def test_inspect_stores_nothing(fresh):
    server = fresh()
    text = "id;preis;stadt;zwei\n" + "".join("%d;%d,5;%s;%d,5\n" % (i, i * 7 % 60, "xy"[i % 2], i * 7 % 60) for i in range(60)) + "60;1"
    for body, headers in ((text, {}), (text, {"Content-Type": "text/csv"}), (text, {"Content-Type": "application/x-www-form-urlencoded"})):
        answer = server.post("/v1/datasets/inspect", body=body.encode(), headers=headers)
        assert answer.status == 200, answer
        seen = answer.json
        assert (seen["format"], seen["content_type"], seen["encoding"], seen["rows"]) == ("csv", "text/csv", None, 60)
        assert seen["csv"] == {"separator": ";", "decimal": ",", "quote": '"', "header": True}
        assert [c["type"] for c in seen["columns"]] == ["numeric", "numeric", "categorical", "numeric"]
        assert seen["reasons"]["preis"] == "all 60 cells are numbers"
        assert len(seen["preview"]) == 10 and seen["preview"][1] == {"id": 1, "preis": 7.5, "stadt": "y", "zwei": 7.5}
        assert any("identifier" in w for w in seen["warnings"]) and any('"preis" and "zwei" are equal' in w for w in seen["warnings"])
    assert server.post("/v1/datasets/inspect", body=gzip.compress(text.encode())).json["encoding"] == "gzip"
    assert server.post("/v1/datasets/inspect?types=id:categorical&separator=semicolon", body=text.encode()).json["reasons"]["id"] == "set by types"
    assert server.post("/v1/datasets/inspect", body=(ARRAYS / "f8.npy").read_bytes()).json["format"] == "npy"
    assert server.post("/v1/datasets/inspect", body=b"a\n" + b"1\n" * 1000000).json["rows"] == 524287  # the first MiB is looked at
    assert "Parquet" in problem(server.post("/v1/datasets/inspect", body=b"PAR1"), 422, "invalid")["detail"]
    assert "separator" in problem(server.post("/v1/datasets/inspect?separator=x", body=b"a\n1\n"), 422, "invalid")["detail"]
    assert server.get("/v1/datasets").json["data"] == [] and os.listdir(os.path.join(server.folder, "datasets")) == []


# ---- rows and columns for a dataset ----

def test_append_rows(server):
    name = unique("grow")
    server.upload(name, "a;b\n1,5;x\n2,5;y\n")
    path = "/v1/datasets/%s/rows" % name
    answer = server.post(path, body=b"b,a\nz,3\n", headers={"Content-Type": "text/csv"})
    assert (answer.status, answer.json["version"], answer.json["rows"]) == (201, 2, 3), answer
    assert answer.headers["Location"] == "/v1/datasets/" + name
    answer = server.post(path, {"records": [{"a": 4, "b": "x"}]})
    assert (answer.status, answer.json["version"]) == (201, 3), answer
    answer = server.post(path, body=b'{"a":null,"b":"y"}\n', headers={"Content-Type": "application/x-ndjson"})
    assert columns_of(answer.json)["b"]["categories"] == [{"value": "x", "count": 2}, {"value": "y", "count": 2}, {"value": "z", "count": 1}]
    assert rows_of(server, name) == [{"a": 1.5, "b": "x"}, {"a": 2.5, "b": "y"}, {"a": 3, "b": "z"}, {"a": 4, "b": "x"}, {"a": None, "b": "y"}]
    assert rows_of(server, name + "@1") == [{"a": 1.5, "b": "x"}, {"a": 2.5, "b": "y"}]
    errors = problem(server.post(path, body=b"a,b\n1,x\noops,y\n", headers={"Content-Type": "text/csv"}), 422, "invalid")["errors"]
    assert (errors[0]["line"], errors[0]["column"], errors[0]["value"]) == (3, "a", "oops") and "types=" not in errors[0]["detail"]
    assert "lack the column" in problem(server.post(path, {"records": [{"a": 1}]}), 422, "invalid")["detail"]
    assert "the body" in problem(server.post(path, {"name": "other", "records": [{"a": 1, "b": "x"}]}), 422, "invalid")["detail"]
    assert "@1" in problem(server.post("/v1/datasets/%s@1/rows" % name, {"records": [{"a": 1, "b": "x"}]}), 422, "invalid")["detail"]
    problem(server.post("/v1/datasets/%s/rows" % unique("none"), {"records": [{"a": 1}]}), 404, "not_found")
    assert server.get("/v1/datasets/" + name).json["version"] == 4


def test_rows_appended_at_once_are_not_lost(server):
    """Of two requests on the same version only one succeeds; the other gets a conflict."""
    name = unique("race")
    server.upload(name, "a\n0\n")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: server.post("/v1/datasets/%s/rows" % name, {"records": [{"a": i}]}), range(1, 25)))
    assert {a.status for a in answers} <= {201, 409}
    stored = sorted(r["a"] for r in rows_of(server, name, limit=100))
    assert stored == [0] + [i for i, a in enumerate(answers, 1) if a.status == 201]


def test_add_column(server):
    name = unique("wide")
    server.upload(name, "a\n1\n2\n")
    path = "/v1/datasets/%s/columns/" % name
    answer = server.post(path + "label", ["x", None])
    assert (answer.status, answer.json["version"], [c["name"] for c in answer.json["columns"]]) == (201, 2, ["a", "label"]), answer
    images = b"\0\0\x08\x03" + struct.pack(">3I", 2, 1, 2) + bytes([1, 2, 3, 4])
    assert server.post(path + "the%20image", body=images, headers={"Content-Type": "application/x-idx"}).status == 201
    assert server.post(path + "pair", body=(ARRAYS / "version2.npy").read_bytes(), headers={"Content-Type": "application/x-npy"}).status == 201
    assert server.post(path + "code?types=code:categorical", [7, 7.0]).status == 201
    assert rows_of(server, name) == [{"a": 1, "label": "x", "the image": [[[1], [2]]], "pair": [1, 2], "code": "7"},
                                     {"a": 2, "label": None, "the image": [[[3], [4]]], "pair": [3, 4], "code": "7"}]
    assert rows_of(server, name + "@1") == [{"a": 1}, {"a": 2}]
    assert "2 rows" in problem(server.post(path + "short", [1]), 422, "invalid")["detail"]
    assert "already" in problem(server.post(path + "a", [1, 2]), 422, "invalid")["detail"]
    assert "array" in problem(server.post(path + "b", {"x": 1}), 422, "invalid")["detail"]
    errors = problem(server.post(path + "b", [[1], 2]), 422, "invalid")["errors"]
    assert (errors[0]["pointer"], errors[0]["column"]) == ("/1", "b")
    problem(server.post(path + "b", body=b"b\n1\n2\n", headers={"Content-Type": "text/csv"}), 415, "unsupported_media_type")
    problem(server.post("/v1/datasets/%s/columns/b" % unique("none"), [1]), 404, "not_found")


# ---- names, versions, lists ----

@pytest.mark.parametrize("name", ["Upper", "-x", ".x", "a" * 64, "a b", "a/b", "ü", "a@1", "", "..", "a%00b"])
def test_invalid_names(server, name):
    assert problem(server.post_csv(name, "a\n1\n"), 422, "invalid")["detail"]
    assert problem(server.post("/v1/datasets", {"name": name, "records": [{"a": 1}]}), 422, "invalid")["detail"]


def test_name_is_needed_and_must_agree(server):
    text = {"Content-Type": "text/csv"}
    assert "?name=" in problem(server.post("/v1/datasets", body=b"a\n1\n", headers=text), 422, "invalid")["detail"]
    answer = server.request("POST", "/v1/datasets?name=" + unique("one"), {"name": unique("other"), "records": [{"a": 1}]})
    assert problem(answer, 422, "invalid")
    same = unique("same")
    assert server.request("POST", "/v1/datasets?name=" + same, {"name": same, "records": [{"a": 1}]}).status == 201


def test_longest_name(server):
    name = "n" * 63
    assert server.upload(name, "a\n1\n")["name"] == name
    assert server.delete("/v1/datasets/" + name).status == 204


def test_taken_name_and_next_version(server):
    name = unique("versions")
    server.upload(name, "a\n1\n")
    assert "replace=1" in problem(server.post_csv(name, "a\n2\n"), 409, "exists")["detail"]
    assert rows_of(server, name) == [{"a": 1}]
    assert server.upload(name, "a\n2\n", "&replace=1")["version"] == 2
    assert rows_of(server, name) == rows_of(server, name + "@2") == [{"a": 2}]
    assert rows_of(server, name + "@1") == [{"a": 1}]
    assert server.get("/v1/datasets/%s@1" % name).json["version"] == 1
    for missing in (name + "@3", name + "@0", name + "@", name + "@-1", name + "@1x", name + "@99999999999999999999", unique("nothing"), "Nothing"):
        problem(server.get("/v1/datasets/" + missing), 404, "not_found")
    assert server.delete("/v1/datasets/%s@2" % name).status == 204
    assert server.get("/v1/datasets/" + name).json["version"] == 1
    assert server.upload(name, "a\n3\n", "&replace=1")["version"] == 3  # numbers are never given again
    assert server.delete("/v1/datasets/" + name).status == 204
    problem(server.get("/v1/datasets/" + name), 404, "not_found")
    problem(server.delete("/v1/datasets/" + name), 404, "not_found")
    assert server.upload(name, "a\n4\n")["version"] == 4


def test_list_and_preview_paging(fresh):
    server = fresh()
    names = sorted("set-%02d" % i for i in range(7))
    for name in reversed(names):
        server.upload(name, "a\n" + "".join("%d\n" % i for i in range(25)))
    assert [d["name"] for d in server.all_pages("/v1/datasets", limit=3)] == names
    first = server.get("/v1/datasets?limit=3").json
    assert (first["first_id"], first["last_id"], first["has_more"]) == (names[0], names[2], True)
    assert server.get("/v1/datasets?limit=3&after=" + names[4]).json["has_more"] is False
    assert server.get("/v1/datasets?after=zzz").json == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert [r["a"] for r in server.all_pages("/v1/datasets/set-00/rows", limit=4)] == list(range(25))
    page = server.get("/v1/datasets/set-00/rows?limit=2&after=3").json
    assert (page["data"], page["first_id"], page["last_id"]) == ([{"a": 4}, {"a": 5}], "4", "5")
    assert len(server.get("/v1/datasets/set-00/rows").json["data"]) == 20
    for after in ("24", "9223372036854775806", "9223372036854775807", "99999999999999999999"):
        assert server.get("/v1/datasets/set-00/rows?after=" + after).json["data"] == []
    for query in ("after=x", "after=-2", "limit=0", "limit=1001", "limit=x", "limit=1x", "limit="):
        problem(server.get("/v1/datasets/set-00/rows?" + query), 422, "invalid")


def test_used_dataset_cannot_be_deleted(server):
    name = unique("used")
    server.upload(name, harness.DATA / "iris.csv")
    job = server.submit(model={"layers": harness.SLOW}, dataset=name, target="class", epochs=1000000)["id"]
    body = problem(server.delete("/v1/datasets/" + name), 409, "in_use")
    assert job in body["detail"]
    problem(server.delete("/v1/datasets/%s@1" % name), 409, "in_use")
    server.post("/v1/jobs/%s/cancel" % job)
    server.wait(job)
    assert server.delete("/v1/datasets/" + name).status == 204


# ---- the body ----

def test_wrong_content_type_gives_the_flags(server):
    for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/csvx"}, {"Content-Type": "multipart/form-data; boundary=x"}):
        body = problem(server.post("/v1/datasets?name=q", body=b"a\n1\n", headers=headers), 415, "unsupported_media_type")
        assert "--data-binary @file.csv -H 'Content-Type: text/csv'" in body["detail"]
    answer = server.post("/v1/datasets?name=q", body=b"a\n1\n", headers={"Content-Type": "text/csv", "Content-Encoding": "br"})
    assert "gzip or zstd" in problem(answer, 415, "unsupported_media_type")["detail"]


def test_charset_and_case_of_content_type(server):
    for kind in ("text/csv; charset=utf-8", "TEXT/CSV", "text/csv;charset=UTF-8"):
        assert server.post("/v1/datasets?name=" + unique("charset"), body=b"a\n1\n", headers={"Content-Type": kind}).status == 201


def chunked(server, path, pieces, kind="text/csv"):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        connection.request("POST", path, body=iter(pieces), headers={"Content-Type": kind}, encode_chunked=True)
        response = connection.getresponse()
        return harness.Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def test_chunked_upload(server):
    """The same rows in pieces of every small size, cut within fields, quotes and characters."""
    text = 'a,"b ü"\n1,"x\ny"\n2,"é""é"\n'.encode()
    name = unique("whole")
    server.upload(name, text)
    expected = rows_of(server, name)
    assert len(expected) == 2
    for size in (1, 2, 3, 7):
        name = unique("chunked")
        answer = chunked(server, "/v1/datasets?name=" + name, [text[i:i + size] for i in range(0, len(text), size)])
        assert answer.status == 201, answer
        assert rows_of(server, name) == expected


CSV_ZSTD = base64.b64decode("KLUv/QRYYQAAYSxiCjEseAoyLHkKLp8hRg==")  # a,b / 1,x / 2,y


def test_compressed_uploads(server):
    expected = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    packed = gzip.compress(b"a,b\n1,x") + gzip.compress(b"\n2,y\n")
    for coding, body in (("gzip", packed), ("x-gzip", packed), ("zstd", CSV_ZSTD)):
        name = unique("packed")
        answer = post_as(server, "text/csv", name, body, **{"Content-Encoding": coding})
        assert answer.status == 201, answer
        assert rows_of(server, name) == expected
    body = json.dumps({"name": unique("packed"), "records": expected}).encode()
    assert server.post("/v1/datasets", body=gzip.compress(body), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}).status == 201
    for coding, body, words in (("gzip", packed[:-1], "truncated"), ("zstd", CSV_ZSTD[:-1], "truncated"), ("gzip", packed + b"x", "after the end"), ("gzip", b"a,b\n1,2\n", "not gzip"),
                                ("zstd", packed, "not zstd"), ("gzip", b"", "truncated")):
        assert words in problem(post_as(server, "text/csv", unique("packed"), body, **{"Content-Encoding": coding}), 422, "invalid")["detail"]


def test_bomb_is_refused(fresh):
    server = fresh("--upload-max", "1M")
    body = gzip.compress(b"a\n" + b"1\n" * 1000000)
    assert "1048576" in problem(post_as(server, "text/csv", "bomb", body, **{"Content-Encoding": "gzip"}), 413, "too_large")["detail"]
    harness.until(lambda: os.listdir(os.path.join(server.folder, "datasets")) == [], what="nothing of it to be kept")


def test_too_large_upload_is_refused(fresh):
    server = fresh("--upload-max", "1K", "--body-max", "2K", "--rows-max", "10")
    rows = "a\n" + "1\n" * 4
    assert server.post_csv("fits", rows).status == 201
    for size in (2000, 600000):
        body = problem(server.post_csv("big", "a\n" + "1\n" * (size // 2)), 413, "too_large")
        assert "1024" in body["detail"]
    early = server.plain(b"POST /v1/datasets?name=big HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 5000000\r\n\r\na\n1\n")
    assert b" 413 " in early and b'"too_large"' in early  # before the body is read
    answer = chunked(server, "/v1/datasets?name=big", [b"a\n"] + [b"1\n" * 500] * 100)
    assert answer.status == 413 and answer.json["code"] == "too_large"
    assert problem(server.post_csv("rows", "a\n" + "1\n" * 11), 413, "too_large")
    assert problem(server.post("/v1/models", {"name": "x" * 3000, "layers": []}), 413, "too_large")
    assert server.get("/v1/datasets").json["data"][0]["name"] == "fits"
    limits = server.get("/v1/server").json["limits"]
    assert (limits["upload_max"], limits["body_max"], limits["rows_max"]) == (1024, 2048, 10)


def test_curl_can_read_why_an_upload_was_refused(fresh, tmp_path):
    server = fresh("--upload-max", "1K")
    file = tmp_path / "big.csv"
    for size in (10000, 900000, 20000000):
        file.write_text("a\n" + "1\n" * (size // 2))
        done = subprocess.run(["curl", "-s", "-X", "POST", "--data-binary", "@%s" % file, "-H", "Content-Type: text/csv", server.url + "/v1/datasets?name=big"],
                              capture_output=True, text=True, timeout=60)
        assert json.loads(done.stdout)["code"] == "too_large", (size, done)


def test_broken_uploads_leave_nothing_behind(fresh):
    server = fresh("--request-timeout", "1")
    for text in ("a,b\n1\n", "", "a\n" + "1\n" * 200000 + "x\n"):
        assert server.post_csv("gone", text, "&types=a:numeric" if text else "").status == 422
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.putrequest("POST", "/v1/datasets?name=gone")
    connection.putheader("Content-Type", "text/csv")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"a\n1\n")
    connection.close()  # half an upload
    harness.until(lambda: os.listdir(os.path.join(server.folder, "datasets")) == [], what="the removal of half an upload")
    assert server.get("/v1/datasets").json["data"] == []


def test_its_warnings_are_on_the_job_too(server):
    """Warnings of an upload are repeated in its jobs; an inline dataset reports them there for the first time."""
    columns = {"id": list(range(60)), "x": [i % 7 for i in range(60)], "y": [i % 7 * 2.5 for i in range(60)]}
    name = unique("warned")
    said = server.post("/v1/datasets", {"name": name, "columns": columns}).json["warnings"]
    assert len(said) == 2 and "counts up by one" in said[0] and "equal up to scale" in said[1]
    for dataset in (name, {"columns": columns}):
        job = server.train(model={"layers": []}, dataset=dataset, target="y", task="regression", epochs=1, seed=1)
        assert [w for w in job["warnings"] if w in said] == said
