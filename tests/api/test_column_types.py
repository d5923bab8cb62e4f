"""Dates, texts and categories of many values, from the upload over HTTP to predictions. Goal: they are recognised without options, give the network the information in
them, and errors in a job or a prediction are reported with their place."""
import base64
import math
import random
import struct

from harness import pointers, unique

SMALL = {"layers": [{"type": "dense", "units": 16, "activation": "relu"}]}
CSV = {"Content-Type": "text/csv"}


def csv(server, text, query=""):
    name = unique("types")
    answer = server.post_csv(name, text, query)
    assert answer.status == 201, answer
    return name, answer.json


def test_a_cycle_of_the_day_is_learned(server):
    """Half of the noise-free target hangs on the hour alone: without its place in the day a network could not know."""
    draw = random.Random(3)
    lines = ["when,y"]
    for i in range(600):
        day, hour = draw.randrange(28) + 1, draw.randrange(24)
        lines.append("2024-0%d-%02d %02d:00,%.4f" % (draw.randrange(9) + 1, day, hour, 10 * math.sin(2 * math.pi * hour / 24) + 0.3 * draw.gauss(0, 1)))
    data, told = csv(server, "\n".join(lines))
    assert told["columns"][0]["type"] == "datetime" and told["columns"][0]["min"].startswith("2024-01-") and told["warnings"] == []
    model = unique("hours")
    job = server.train(model={"name": model, **SMALL}, dataset=data, target="y", epochs=60, seed=1)
    assert job["columns"]["when"]["parts"] == ["time", "year", "week", "day"]
    assert job["metrics"]["val_r2"] > 0.9
    six = server.predict(model, [{"when": "2024-05-05T06:00"}, {"when": "2024-05-05T08:00+02:00"}, {"when": 1714888800}, {"when": "05.05.2024 06:00"}])
    assert six[0] == six[1] == six[2] == six[3] and six[0]["value"] > 7
    got = pointers(server.post("/v1/models/%s/predict" % model, {"instances": [{"when": "noon"}, {"when": [1]}, {"when": True}]}))
    assert all("expects a date or time" in got["/instances/%d/when" % i] for i in range(3))


def test_words_are_learned(server):
    draw = random.Random(4)
    words = {"good": "fine lovely great superb".split(), "bad": "awful broken poor dreadful".split()}
    filler = ["item%d" % i for i in range(200)]
    rows = []
    for i in range(300):
        kind = "good" if i % 2 else "bad"
        rows.append({"review": " ".join(draw.sample(filler, 7) + [draw.choice(words[kind])]).capitalize() + "!", "kind": kind})
    name = unique("reviews")
    told = server.post("/v1/datasets", {"name": name, "records": rows}).json
    assert told["columns"][0]["type"] == "text" and told["columns"][0]["words"] == {"min": 8, "max": 8, "mean": 8}
    for columns in ({}, {"review": {"encode": "hashed", "buckets": 512}}, {"review": {"vocabulary": 300}}):
        model = unique("words")
        job = server.train(model={"name": model, **SMALL}, dataset=name, target="kind", epochs=40, seed=1, columns=columns)
        assert job["metrics"]["val_accuracy"] > 0.85, (columns, job["metrics"])
    got = server.predict(model, [{"review": "LOVELY, superb."}, {"review": "dreadful"}, {"review": ""}])
    assert [p["label"] for p in got[:2]] == ["good", "bad"]
    layers = [{"type": "embedding", "input_dim": 302, "output_dim": 8, "mask_zero": True}, {"type": "global_average_pool"}]
    job = server.train(model={"layers": layers}, dataset=name, target="kind", epochs=60, seed=1, columns={"review": {"encode": "tokens", "vocabulary": 300}}, optimizer={"type": "adam", "learning_rate": 0.01})
    assert job["columns"]["review"] == {"encode": "tokens", "vocabulary": 300, "length": 8} and job["metrics"]["val_accuracy"] > 0.85
    layers[0]["input_dim"] = 50
    answer = server.post("/v1/jobs", {"model": {"layers": layers}, "dataset": name, "target": "kind", "columns": {"review": {"encode": "tokens", "vocabulary": 100}}})
    assert answer.status == 422 and "an unknown word: the embedding that reads it needs an input_dim of at least" in pointers(answer)["/features"]


def test_target_encoding_holds_back(server):
    """400 shops without signal: means that include the row itself would let the network memorise the training rows."""
    draw = random.Random(5)
    rows = [{"shop": "s%d" % draw.randrange(400), "x": draw.gauss(0, 1), "y": draw.gauss(0, 1)} for _ in range(1200)]
    name = unique("chance")
    server.post("/v1/datasets", {"name": name, "records": rows})
    job = server.train(model=SMALL, dataset=name, target="y", epochs=20, seed=1, columns={"shop": {"encode": "target", "smoothing": 0}})
    assert job["metrics"]["r2"] < 0.1
    means = {}
    for row in rows:  # and there is something in them
        row["y"] += means.setdefault(row["shop"], draw.gauss(0, 3))
    name = unique("shops")
    server.post("/v1/datasets", {"name": name, "records": rows})
    model = unique("shops")
    job = server.train(model={"name": model, **SMALL}, dataset=name, target="y", epochs=40, seed=1, columns={"shop": {"encode": "target", "smoothing": 1}})
    assert job["metrics"]["val_r2"] > 0.6
    feature = server.get("/v1/models/%s/versions/1" % model).json["preprocessing"]["features"][0]
    assert feature["encode"] == "target" and len(feature["means"]) == len(feature["categories"]) + 1


def test_wrong_requests(server):
    data, _ = csv(server, "when,k,note,y\n" + "\n".join("2024-01-%02d,%s,word number %d,%d.5" % (i + 1, "ab"[i % 2], i, i) for i in range(20)), "&types=note:text")
    for columns, where, words in (
        ({"when": {"parts": ["tim"]}}, "/columns/when/parts", "a list of time, year"), ({"when": {"parts": []}}, "/columns/when/parts", "a list of time"),
        ({"k": {"parts": ["time"]}}, "/columns/k/parts", "dates and times"), ({"when": {"scale": "log"}}, "/columns/when/scale", "datetime"),
        ({"when": {"encode": "tokens"}}, "/columns/when/encode", "texts"), ({"note": {"encode": "one_hot", "vocabulary": 0}}, "/columns/note/vocabulary", "from 1"),
        ({"note": {"encode": "ordinal"}}, "/columns/note/encode", "categories"), ({"note": {"length": 4}}, "/columns/note/length", "tokens"),
        ({"note": {"encode": "hashed", "buckets": 1}}, "/columns/note/buckets", "from 2"), ({"note": {"encode": "hashed", "vocabulary": 9}}, "/columns/note/vocabulary", "bag_of_words"),
        ({"k": {"smoothing": 1}}, "/columns/k/smoothing", "target"), ({"k": {"encode": "target", "smoothing": -1}}, "/columns/k/smoothing", "from 0"),
        ({"k": {"categories_max": 1.5}}, "/columns/k/categories_max", "whole"), ({"note": {"missing": "mean"}}, "/columns/note/missing", "text"),
        ({"k": {"tokens": 5}}, "/columns/k/tokens", "unknown field")):
        answer = server.post("/v1/jobs", {"model": SMALL, "dataset": data, "target": "y", "columns": columns})
        assert answer.status == 422 and words in pointers(answer).get(where, ""), (columns, answer)
    for target in ("when", "note"):
        assert "cannot be the target" in pointers(server.post("/v1/jobs", {"model": SMALL, "dataset": data, "target": target}))["/target"]
    for types in ("when:datetime:%H", "k:categorical:%Y", "when:dates"):
        answer = server.post_csv(unique("bad"), "when,k\n2024-01-01,a\n", "&types=" + types.replace("%", "%25"))
        assert answer.status == 422, (types, answer)


def test_base64_tensors(server):
    """Bytes and little-endian floats as base64 are decoded to tensors, in an upload and in a prediction."""
    draw = random.Random(6)
    cells = [[draw.randrange(256) for _ in range(6)] for _ in range(30)]
    records = [{"x": base64.b64encode(bytes(c)).decode() if i % 2 else c, "y": sum(c) / 6} for i, c in enumerate(cells)]
    name, model = unique("base64"), unique("base64")
    answer = server.post("/v1/datasets", {"name": name, "records": records, "types": {"x": {"type": "tensor", "shape": [2, 3]}}})
    assert answer.status == 201, answer
    rows = server.get("/v1/datasets/%s/rows?limit=30" % name).json["data"]
    assert [row["x"][0] + row["x"][1] for row in rows] == cells
    server.train(model={"name": model, "layers": ["flatten"]}, dataset=name, target="y", epochs=1, seed=1)
    floats = base64.b64encode(struct.pack("<6f", *cells[0])).decode()
    got = server.predict(model, [{"x": cells[0]}, {"x": base64.b64encode(bytes(cells[0])).decode()}, {"x": floats}])
    assert got[0] == got[1] == got[2]
    assert "base64" in pointers(server.post("/v1/models/%s/predict" % model, {"instances": [{"x": "AAAA"}]}))["/instances/0/x"]


def test_grows_with_dates_and_texts(server):
    """Appended rows are read as the dataset's columns are: by its format; the old version stays."""
    data, _ = csv(server, "when,note\n1/31/2024,one\n2/1/2024,two words\n", "&types=when:datetime:%25m/%25d/%25Y,note:text")
    answer = server.post("/v1/datasets/%s/rows" % data, body=b"when,note\n12/24/2024,a third one\n", headers=CSV)
    assert answer.status == 201 and answer.json["version"] == 2, answer
    assert [c["type"] for c in answer.json["columns"]] == ["datetime", "text"] and answer.json["columns"][0]["format"] == "%m/%d/%Y"
    assert server.get("/v1/datasets/%s/rows" % data).json["data"][2] == {"when": "2024-12-24", "note": "a third one"}
    assert len(server.get("/v1/datasets/%s@1/rows" % data).json["data"]) == 2
    assert server.post("/v1/datasets/%s/rows" % data, body=b"when,note\n24/12/2024,x\n", headers=CSV).status == 422


def test_out_again(server):
    """Rows of dates and texts come out as they went in, and go in again to the same bytes; a dashboard gets numbers for them."""
    lines = ["when,note"] + ['2024-01-%02dT0%d:00:00Z,"sentence number %d, of ""many"" words here"' % (i + 1, i % 10, i) for i in range(25)] + [",a last one without any date here"]
    text = "\n".join(lines) + "\n"
    first, told = csv(server, text)
    assert [c["type"] for c in told["columns"]] == ["datetime", "text"]
    assert server.get("/v1/datasets/%s/rows?format=csv" % first).body.decode() == text
    out = server.get("/v1/datasets/%s/rows?format=ndjson" % first).body
    assert b'{"when":"2024-01-02T01:00:00Z","note":"sentence number 1, of \\"many\\" words here"}' in out.splitlines()
    second = unique("again")
    assert server.post("/v1/datasets?name=" + second, body=out, headers={"Content-Type": "application/x-ndjson"}).status == 201
    assert server.get("/v1/datasets/%s/rows?format=csv" % second).body.decode() == text
    when, note = server.get("/v1/datasets/%s/statistics" % first).json["columns"]
    assert when["quantiles"]["0"] == when["min"] == 1704067200 and when["missing"] == 1 and sum(when["histogram"]["counts"]) == 25
    assert (note["min"], note["max"], note["count"]) == (7, 7, 26)


# One column of each type that can be a feature.
FEATURES = {"numeric": [1.5, 2.5, 4.0], "categorical": ["red", "green", "blue"], "boolean": [True, False, False], "datetime": ["2024-01-31", "2024-02-01", "2023-07-15"],
            "text": ["a short note on one thing", "another short note on things", "no note at all on one thing"], "tensor": [[1, 2], [3, 4], [5, 7]]}


def values_of(option):
    """What the catalog says an option may be."""
    if option["type"] == "choices":
        return [[c] for c in option["choices"]] + [option["choices"]]
    if option["type"] == "choice":
        return option["choices"] + ([1.5] if option.get("number") else [])
    return [option["minimum"]] + ([0] if option.get("zero") else [])


def test_catalog_lists_what_columns_accept(server):
    """Every option of a column type with every value of the catalog is accepted, and one of another type is refused."""
    name, columns = unique("types"), {c["name"]: {o["name"]: o for o in c["params"]} for c in server.get("/v1/catalog").json["columns"]}
    assert set(columns) == set(FEATURES) | {"labels"} and columns["labels"] == {}
    records = [{**{kind: cells[i % 3] for kind, cells in FEATURES.items()}, "y": i % 7 + 0.5} for i in range(30)]
    assert server.post("/v1/datasets", {"name": name, "types": {k: k for k in FEATURES if k != "tensor"}, "records": records}).status == 201
    encodes = {"smoothing": "target", "vocabulary": "bag_of_words", "length": "tokens", "buckets": "hashed"}

    def answer(kind, option, value):
        extra = {"encode": encodes[option]} if option in encodes else {}
        return server.post("/v1/models/validate", {"model": SMALL, "dataset": name, "target": "y", "task": "regression", "features": [kind], "columns": {kind: {**extra, option: value}}})
    tried = 0
    for kind in FEATURES:
        for option in columns[kind].values():
            for value in values_of(option):
                got = answer(kind, option["name"], value)
                assert got.status == 200, (kind, option["name"], value, got.json)
                tried += 1
    assert tried > 50
    for kind, option, value in [("numeric", "encode", "one_hot"), ("categorical", "scale", "log"), ("boolean", "clip", 4), ("tensor", "missing", "drop"), ("text", "parts", ["year"]),
                                ("datetime", "unseen", "ignore"), ("numeric", "scale", "global"), ("tensor", "scale", "quantile"), ("datetime", "missing", "median")]:
        assert option not in columns[kind] or value not in columns[kind][option]["choices"]
        got = answer(kind, option, value)
        assert got.status == 422 and any(e["pointer"] == "/columns/%s/%s" % (kind, option) for e in got.json["errors"]), (kind, option, got.json)
