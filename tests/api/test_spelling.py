"""Goal: numbers, dates and codes in common notations are recognised and reported, read the same way in appended rows and at predict, and returned unchanged."""
import json
import struct

import pytest

from harness import problem, unique

CSV = {"Content-Type": "text/csv"}
ID = 1234567890123456789
SMALL = {"layers": [{"type": "dense", "units": 4, "activation": "tanh"}]}


def columns(dataset):
    return {c["name"]: c for c in dataset["columns"]}


def predict(server, model, instances):
    answer = server.post("/v1/models/%s/predict" % model, {"instances": instances})
    assert answer.status == 200, answer
    return answer.json


def rows(server, name, **query):
    return server.get("/v1/datasets/%s/rows?limit=100" % name).json["data"]


def test_codes_round_trip(server):
    """Zip codes and long integers are returned unchanged, in every format."""
    text = "zip,id,y\n00501,%d,1\n02134,%d,0\n10001,%d,1\n" % (ID, ID + 1, ID + 2)
    name = unique("codes")
    dataset = server.post_csv(name, text).json
    assert [c["type"] for c in dataset["columns"]] == ["categorical", "categorical", "numeric"]
    assert "zeros" in dataset["warnings"][0] and "last digits" in dataset["warnings"][1]
    out = server.get("/v1/datasets/%s/rows?format=csv" % name).body
    assert out.decode() == text
    records = [{"zip": "00501", "id": str(ID), "y": 1}, {"zip": "02134", "id": str(ID + 1), "y": 0}, {"zip": "10001", "id": str(ID + 2), "y": 1}]
    assert rows(server, name) == records
    again = unique("codes")
    assert server.post("/v1/datasets?name=" + again, body=server.get("/v1/datasets/%s/rows?format=ndjson" % name).body, headers={"Content-Type": "application/x-ndjson"}).status == 201
    assert server.get("/v1/datasets/%s/rows?format=csv" % again).body.decode() == text


@pytest.mark.parametrize("body, kind", [
    (b'{"id":%d,"y":1}\n{"id":"%d","y":0}\n' % (ID, ID + 1), "application/x-ndjson"),
    (b"id\ty\n%d\t1\n%d\t0\n" % (ID, ID + 1), "text/tab-separated-values"),
    (b"id,y\n%d,1\n%d,0\n" % (ID, ID + 1), "text/csv"),
], ids=["ndjson", "tsv", "csv"])
def test_codes_of_every_format(server, body, kind):
    name = unique("codes")
    answer = server.post("/v1/datasets?name=" + name, body=body, headers={"Content-Type": kind})
    assert columns(answer.json)["id"]["type"] == "categorical", answer
    assert [r["id"] for r in rows(server, name)] == [str(ID), str(ID + 1)]
    answer = server.post("/v1/datasets/%s/rows" % name, {"records": [{"id": ID + 1, "y": 1}, {"id": str(ID), "y": 1}, {"id": 18446744073709551617, "y": 0}]})
    assert columns(answer.json)["id"]["categories"] == [{"value": str(ID), "count": 2}, {"value": str(ID + 1), "count": 2}, {"value": "18446744073709551617", "count": 1}]


def test_the_same_at_predict_as_number_and_as_text(server):
    """A code given as a number or as a text is the same category; as a target its label keeps every digit."""
    data, model = unique("ids"), unique("ids")
    huge = 123456789012345678901234
    server.post_csv(data, "id,zip,y\n" + "".join("%d,%05d,%d\n" % ((ID, ID + 1, huge)[i % 3], 501 + i % 3, i % 3) for i in range(30)))
    server.train(model={"name": model, **SMALL}, dataset=data, target="y", task="regression", epochs=3, seed=1, validation={"fraction": 0})
    got = [server.post("/v1/models/%s/predict" % model, body=('{"instances":[{"id":%s,"zip":"00501"}]}' % v).encode(), headers={"Content-Type": "application/json"}).json
           for v in (ID, '"%d"' % ID, ID + 1, '"%d"' % (ID + 1), huge, '"%d"' % huge)]
    assert all(g["warnings"] == [] for g in got), got
    values = [g["predictions"][0]["value"] for g in got]
    assert values[0] == values[1] != values[2] == values[3] != values[4] == values[5]
    wrong = predict(server, model, [{"id": ID, "zip": 501}])
    assert "not in the training rows" in wrong["warnings"][0]
    target = unique("ids")
    server.train(model={"name": target, **SMALL}, dataset=data, target="id", epochs=3, seed=1, validation={"fraction": 0})
    assert set(predict(server, target, [{"zip": "00501", "y": 1}])["predictions"][0]["probabilities"]) == {str(ID), str(ID + 1), str(huge)}


def test_numbers_as_people_write_them(server):
    """Thousands, percent, currency, parentheses: one format for upload, append and predict."""
    data, model = unique("written"), unique("written")
    text = "amt,share,price,net,y\n" + "".join('"%s",%d%%,"$%s",%s,%d\n' % ("{:,}".format(1000 + 37 * i), i, "{:,.2f}".format(990 + i), "(%d.50)" % i if i % 2 else "%d.50" % i, i) for i in range(40))
    dataset = server.post_csv(data, text).json
    assert {n: c.get("format") for n, c in columns(dataset).items()} == {"amt": "thousands_comma", "share": "percent", "price": "thousands_comma currency=$", "net": "accounting", "y": None}
    assert columns(dataset)["amt"]["max"] == 2443 and columns(dataset)["price"]["min"] == 990 and columns(dataset)["net"]["min"] == -39.5
    assert sum("of the format" in w for w in dataset["warnings"]) == 4
    row = {"amt": "12,345", "share": "7%", "price": "$1,234.50", "net": "(2.50)", "y": 1}
    answer = server.post("/v1/datasets/%s/rows" % data, {"records": [row]})
    assert answer.status == 201 and columns(answer.json)["amt"]["format"] == "thousands_comma", answer
    assert rows(server, data)[40] == {"amt": 12345, "share": 7, "price": 1234.5, "net": -2.5, "y": 1}
    out = server.get("/v1/datasets/%s/rows?format=csv" % data).body
    assert server.post("/v1/datasets/%s/rows" % data, body=out, headers=CSV).json["rows"] == 82  # what came out goes in again
    server.train(model={"name": model, **SMALL}, dataset=data, target="y", task="regression", epochs=3, seed=1, validation={"fraction": 0})
    del row["y"]
    written, plain = predict(server, model, [row])["predictions"], predict(server, model, [{"amt": 12345, "share": 7, "price": 1234.5, "net": -2.5}])["predictions"]
    assert written == plain
    assert "thousands_comma" in problem(server.post("/v1/models/%s/predict" % model, {"instances": [{**row, "amt": "1,2,3"}]}), 422, "invalid")["detail"]


def test_dates_as_people_write_them(server):
    data, model = unique("days"), unique("days")
    text = "when,day,y\n" + "".join("%d/1/2024,202402%02d,%d\n" % (i + 1, i + 1, i) for i in range(28))
    dataset = server.post_csv(data, text).json
    assert {n: (c["type"], c.get("format")) for n, c in columns(dataset).items()} == {"when": ("datetime", "%d/%m/%Y"), "day": ("datetime", "%Y%m%d"), "y": ("numeric", None)}
    server.train(model={"name": model, **SMALL}, dataset=data, target="y", task="regression", epochs=3, seed=1, validation={"fraction": 0})
    got = [predict(server, model, [i])["predictions"] for i in ({"when": "5/1/2024", "day": 20240205}, {"when": "2024-01-05", "day": "20240205"})]
    assert got[0] == got[1]
    problem(server.post("/v1/models/%s/predict" % model, {"instances": [{"when": "5/1/2024", "day": 20240230}]}), 422, "invalid")
    assert server.post("/v1/datasets/%s/rows" % data, {"records": [{"when": "31/12/2024", "day": 20241231, "y": 5}]}).status == 201


def npy(kind, values, shape):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack("%s%d%s" % (kind[0], len(values), "qQ"[kind[1] == "u"]), *values)


@pytest.mark.parametrize("kind", ["<i8", ">i8", "<u8"])
def test_integers_of_numpy(server, kind):
    """int64 and uint64 beyond 2^53 are codes; up to it they are numbers; a late one is an error with advice."""
    name = unique("npy")
    post = lambda values, shape, query="": server.post("/v1/datasets?replace=1&name=%s%s" % (name, query), body=npy(kind, values, shape), headers={"Content-Type": "application/x-npy"})
    answer = post([ID, 7, ID + 1], "(3,)")
    assert columns(answer.json)["x"]["type"] == "categorical" and "last digits" in answer.json["warnings"][0], answer
    assert [r["x"] for r in rows(server, name)] == [str(ID), "7", str(ID + 1)]
    answer = post([ID, 1, ID + 1, 2], "(2, 2)")
    assert [(c["name"], c["type"]) for c in answer.json["columns"]] == [("x0", "categorical"), ("x1", "numeric")]
    answer = post([2**53, 7], "(2,)")
    assert columns(answer.json)["x"]["max"] == 2**53 and answer.json["warnings"] == [], answer
    answer = post([ID, 7], "(2,)", "&types=x:numeric")
    assert columns(answer.json)["x"]["type"] == "numeric" and "loses digits" in answer.json["warnings"][0], answer
    late = problem(post([1] * 200000 + [ID], "(200001,)"), 422, "invalid")["errors"][0]
    assert late["value"] == str(ID) and "types=x:categorical" in late["detail"]
    assert columns(post([ID + i for i in range(2000)], "(2000,)").json)["x"]["type"] == "text"


def test_spelling_of_the_command_line(server, tmp_path):
    """backpropd predict reads a file as the model's columns are written."""
    import harness

    train = tmp_path / "train.csv"
    train.write_text("zip,amt,y\n" + "".join('%05d,"%s",%d\n' % (501 + i % 3, "{:,}".format(1000 + i), i) for i in range(30)))
    model = tmp_path / "m.bpd"
    harness.run("train", "--data", train, "--target", "y", "--epochs", "2", "--out", model)
    rows = tmp_path / "rows.csv"
    rows.write_text('zip,amt\n00501,"1,005"\n502,1005\n')
    out = harness.run("predict", "--model", model, "--data", rows)
    assert out.returncode == 0, out
